//! WebSockets through the gateway: the handshake with the desktop, then the raw sockets of both sides.
//!
//! ```text
//! browser ──GET, Upgrade──> verified ──connect, own handshake──> desktop
//!         <──101, its own Accept──────────────101, verified──────
//!         <════════════ bytes, untouched (relay) ════════════════>
//! ```
//!
//! The desktop gets the browser's own Sec-WebSocket-Key, so that it proves itself to the browser. A desktop that does
//! not open the WebSocket is a 502 that says what it did instead; one that does not answer, a 504.

mod answer;
mod opening;
mod use_watch;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::answer::Accepted;
use self::opening::Opening;
use self::use_watch::UseWatch;
use super::Permit;
use super::handler::refusal;
use super::relay::Relay;
use crate::desktop::Route;
use crate::error::Error;
use crate::http::AppState;
use crate::http::agent_socket::handshake;
use crate::http::client::Client;
use crate::http::upgrade::TakeSocket;
use crate::identity::Caller;
use crate::upstream::{Connection, Connector, Upstream, watch_peer};

/// How long a desktop may take to answer a handshake.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
/// Room for a usual answer.
const READ_SIZE: usize = 2048;

/// Open a WebSocket to the desktop for a caller who may, and relay it. `target` is the path and query as the desktop
/// shall see them.
///
/// # Errors
/// `BadRequest`, `AddressTooLong` or `UpgradeRequired` for a request that opens no WebSocket; `DesktopNotReady`;
/// `BadGateway` or `GatewayTimeout`, saying what the desktop did instead of opening one.
pub async fn upgrade(
    request: &HttpRequest,
    state: &AppState,
    caller: &Caller,
    route: &Arc<Route>,
    target: &str,
) -> Result<HttpResponse, Error> {
    let mut head = handshake(request, &[])?;
    opening::verify(request)?;
    let upstream = route.upstream.as_ref().ok_or(Error::DesktopNotReady { status: route.status.as_str() })?;
    let client = Client::of(request, &state.settings);
    let prefix = route.strip_prefix.then(|| format!("/desktop/{}", route.proxy_path));
    let opening = Opening { kind: route.kind, upstream, target, prefix, headers: request.headers(), client: &client };
    let (bytes, key) = (opening.head()?, opening.key());
    let mut permit = Permit::of(request, state, caller, route.clone());
    let desktop = tokio::select! {
        biased;
        ended = permit.ended_or_left() => return Err(refusal(ended)),
        opened = dial(&state.connector, upstream, &bytes, key) => opened?,
    };
    answer_browser(&mut head, &opening, &desktop.accepted);
    let seen = UseWatch::new(state, caller, route);
    let permit = permit.without_socket();
    Ok(TakeSocket::serve(head, |browser, read| serve((browser, read), desktop, seen, permit)))
}

/// A desktop that has opened a WebSocket.
struct Desktop {
    connection: Connection,
    accepted: Accepted,
    /// What followed its answer.
    read: BytesMut,
}

async fn dial(connector: &Connector, upstream: &Upstream, head: &[u8], key: &[u8]) -> Result<Desktop, Error> {
    let connection = connector.connect(upstream).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Error::GatewayTimeout("it cannot be reached".into()),
        _ => Error::BadGateway(format!("it cannot be reached: {error}")),
    })?;
    let opened = timeout(ANSWER_LIMIT, open(connection, head, key)).await;
    opened.unwrap_or_else(|_| Err(Error::GatewayTimeout("it leaves a WebSocket unanswered".into())))
}

/// Ask for the WebSocket on a connection of its own.
async fn open(mut connection: Connection, head: &[u8], key: &[u8]) -> Result<Desktop, Error> {
    let lost = |error: io::Error| Error::BadGateway(format!("it broke off a WebSocket's handshake: {error}"));
    connection.write_all(head).await.map_err(lost)?;
    connection.flush().await.map_err(lost)?;
    let mut read = BytesMut::new();
    loop {
        if let Some(accepted) = answer::take(&mut read, key)? {
            return Ok(Desktop { connection, accepted, read });
        }
        read.reserve(READ_SIZE);
        if connection.read_buf(&mut read).await.map_err(lost)? == 0 {
            return Err(Error::BadGateway("it closed the connection instead of opening a WebSocket".into()));
        }
    }
}

/// What the desktop agreed to; but not the subprotocol that only the gateway offered.
fn answer_browser(head: &mut HttpResponseBuilder, opening: &Opening<'_>, accepted: &Accepted) {
    if let Some(protocol) = accepted.protocol.clone().filter(|_| opening.offers_protocol()) {
        head.insert_header((SEC_WEBSOCKET_PROTOCOL, protocol));
    }
    if let Some(extensions) = accepted.extensions.clone().filter(|_| opening.offers_extensions()) {
        head.insert_header((SEC_WEBSOCKET_EXTENSIONS, extensions));
    }
}

/// Relay until the end, or until the caller's permit ends.
async fn serve((browser, early): (TcpStream, BytesMut), desktop: Desktop, mut seen: UseWatch, mut permit: Permit) {
    // A socket that refuses it is gone, which the first read tells.
    let _ = watch_peer(&browser);
    let route = seen.route.clone();
    let _counted = route.activity.connection();
    let relay = Relay::new((browser, &early), (desktop.connection, &desktop.read), |bytes| seen.look(bytes));
    drop((early, desktop.read));
    let end = relay.run(async { permit.ended().await.reason() }).await;
    tracing::debug!(desktop = route.proxy_path, %end, "a desktop's websocket is over");
}

#[cfg(test)]
mod tests;
