//! Live events over HTTP: `/api/events`, a WebSocket or server-sent events.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::FutureExt;

use super::agent_socket::handshake;
use super::caller::Authorized;
use super::problems::{EventsRefused, Refused};
use super::upgrade::{Stopping, TakeSocket};
use super::{AppState, Place};
use crate::error::Error;
use crate::events::{Feed, live_session, sse};
use crate::identity::policy::Action;

/// Tells nginx and its like not to keep events back.
const UNBUFFERED: (&str, &str) = ("X-Accel-Buffering", "no");

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![Place::at("/api/events").get(watch)]
}

/// Watch what changes
///
/// A WebSocket if the request asks for one, else server-sent events. Each WebSocket message, and each event's `data`,
/// is a JSON object with `type`, `id` (of the tunnel, agent, token or account) and `at`; a caller is told only of what
/// it may read.
///
/// `tunnel.created` and `tunnel.changed` carry `tunnel`, as reading the tunnel would answer; traffic is no change.
/// `tunnel.deleted`, `agent.created`, `agent.changed`, `agent.deleted`, `agent.online`, `agent.offline`,
/// `token.created`, `token.deleted`, `user.created`, `user.changed` and `user.deleted` carry nothing more. Other types
/// may be added.
///
/// Three types tell of the stream itself and have neither `id` nor `at`: `hello` is the first (from here on nothing is
/// missed); `start_over` means that something was, since the client reads too slowly or a part of the server restarted,
/// or that the account's role has changed: read everything again; `signed_out` is the last of server-sent events when
/// the credential is void, and a WebSocket is closed with code 4003 then. When the server stops, a WebSocket is closed
/// with code 1001 and server-sent events end.
///
/// A client sends nothing but pings, pongs and closes. A browser that shows its session's cookie opens a WebSocket
/// from our own pages only.
#[utoipa::path(
    get, path = "/api/events", tag = "Events", operation_id = "watch_events",
    responses(
        (status = 101, description = "A WebSocket with one JSON text per event"),
        (status = 200, description = "Server-sent events without end", body = String, content_type = "text/event-stream", example = json!("event: agent.online\ndata: {\"at\":\"2026-02-03T04:05:06.007Z\",\"id\":\"pc1\",\"type\":\"agent.online\"}\n\n")),
        Refused, EventsRefused,
    )
)]
pub(super) async fn watch(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    caller.require(Action::ReadEvents)?;
    let upgrade = TakeSocket::is_offered(&request).then(|| handshake(&request, &[])).transpose()?;
    if upgrade.is_none() && request.method() == Method::HEAD {
        return Ok(event_stream().finish());
    }
    let stop = Stopping::of(&request).begun().boxed_local().shared();
    let feed = Feed::open(state.events.clone(), state.snapshot.clone(), &caller, stop).await?;
    Ok(match upgrade {
        Some(head) => TakeSocket::serve(head, |socket, read| live_session::serve(feed, socket, read)),
        None => event_stream().streaming(sse::body(feed)),
    })
}

fn event_stream() -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.content_type("text/event-stream").insert_header(UNBUFFERED);
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::http::serve;
    use crate::http::test_support::{HANDSHAKE, TestServer, Tokens, read_all, read_head, state};
    use crate::identity::directory::{CloseSessions, OpenSession};

    const ADMIN: &str = "id-of-admin";

    /// A server, and the Cookie header of a session.
    struct Signed {
        server: TestServer,
        state: AppState,
        cookie: String,
        _tokens: Tokens,
    }

    impl Signed {
        async fn start() -> Self {
            let (state, tokens) = state().await;
            let opened = state.tell(OpenSession::for_tests(ADMIN)).await.unwrap().unwrap();
            let cookie = format!("Cookie: dockway_session={}\r\n", opened.id);
            let served = state.clone();
            let server = TestServer::start(|listener| serve(listener, served, 1));
            Self { server, state, cookie, _tokens: tokens }
        }

        /// Ask for the events with the cookie and these headers; the connection and the answer's head.
        async fn ask(&self, headers: &str) -> (TcpStream, String) {
            let (host, cookie) = (self.server.address, &self.cookie);
            let request = format!("GET /api/events HTTP/1.1\r\nHost: {host}\r\n{cookie}{headers}\r\n");
            let mut socket = self.server.connect(request.as_bytes()).await;
            let head = read_head(&mut socket).await;
            (socket, head)
        }
    }

    #[actix_web::test]
    async fn a_cookie_opens_a_websocket_from_our_own_pages_only() {
        let signed = Signed::start().await;
        let own = format!("Origin: http://{}\r\n", signed.server.address);
        let table = [
            (String::new(), "403"),
            ("Origin: http://evil.example\r\n".to_owned(), "403"),
            ("Origin: null\r\n".to_owned(), "403"),
            (format!("{own}Sec-Fetch-Site: cross-site\r\n"), "403"),
            (own, "101"),
            ("Sec-Fetch-Site: same-origin\r\n".to_owned(), "101"),
        ];
        for (origin, status) in table {
            let (_socket, head) = signed.ask(&format!("{HANDSHAKE}{origin}")).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{origin} {head}");
        }
        let (_socket, head) = signed.ask("").await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-type: text/event-stream\r\n"), "{head}");
    }

    #[actix_web::test]
    async fn signing_out_everywhere_closes_what_is_open() {
        let signed = Signed::start().await;
        let (mut socket, _) = signed.ask(&format!("{HANDSHAKE}Sec-Fetch-Site: same-origin\r\n")).await;
        let (mut stream, _) = signed.ask("Connection: close\r\n").await;
        signed.state.tell(CloseSessions { user_id: ADMIN.into(), except: None }).await.unwrap().unwrap();
        let mut frames = Vec::new();
        socket.read_to_end(&mut frames).await.unwrap();
        let close = [&[0x88, 12], &live_session::SIGNED_OUT.to_be_bytes()[..], b"signed out"].concat();
        assert!(frames.ends_with(&close), "{frames:x?}");
        let text = read_all(&mut stream).await;
        assert!(text.contains("event: hello\n") && text.contains("event: signed_out\n"), "{text}");
    }
}
