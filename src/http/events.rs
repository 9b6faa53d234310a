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
