//! The agents' WebSocket: verified before the upgrade, then handed over to `tunnel::agent_session` as a raw socket.

use std::sync::Arc;

use actix_web::http::header::{HeaderMap, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use actix_web_actors::ws::{HandshakeError, handshake_with_protocols};

use super::caller::bearer;
use super::client::Client;
use super::problems::AgentSocketRefused;
use super::upgrade::TakeSocket;
use super::{AppState, Place};
use crate::current::ask;
use crate::error::Error;
use crate::identity::agents::authenticate_agent;
use crate::identity::attempts::{Failed, MayTry, Succeeded};
use crate::identity::directory::LookAgain;
use crate::store::models::AgentRow;
use crate::tunnel::TunnelSupervisor;
use crate::tunnel::agent_session::{self, AgentLogin};
use crate::wire::frame::SUBPROTOCOL;

/// The most characters of a User-Agent header that are kept.
const VERSION_LIMIT: usize = 200;

/// The agents' WebSocket at its configured path.
pub fn places(path: &str) -> Vec<Place> {
    vec![Place::at(path).get(connect)]
}

/// Connect an agent
///
/// A WebSocket. With the subprotocol `dockway.v2` it speaks the binary protocol, without it JSON. The path can be
/// configured.
#[utoipa::path(
    get, path = "/api/agent/ws", tag = "Agents", operation_id = "connect_agent",
    params(
        ("X-Client-Id" = String, Header, description = "Name of the agent"),
        ("Sec-WebSocket-Protocol" = Option<String>, Header, description = "`dockway.v2` for the binary protocol"),
    ),
    security(("agent" = [])),
    responses((status = 101, description = "The session has begun"), AgentSocketRefused)
)]
pub(super) async fn connect(request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, Error> {
    let agent = authenticate(&request, &state).await?;
    let head = handshake(&request, &[SUBPROTOCOL])?;
    let login = AgentLogin {
        client_id: agent.client_id.clone(),
        binary: offers_binary(request.headers()),
        address: Client::of(&request, &state.settings).origin(request.peer_addr()),
        version: version(request.headers()),
        token_hash: agent.token_hash.clone(),
    };
    let parent = TunnelSupervisor::session_parent(&state.tunnels());
    Ok(TakeSocket::answer(head, move |socket, read| agent_session::start(login, socket, &read, parent)))
}

async fn authenticate(request: &HttpRequest, state: &AppState) -> Result<Arc<AgentRow>, Error> {
    let client_id = request.headers().get("X-Client-Id").and_then(|id| id.to_str().ok());
    let client_id = client_id.ok_or(Error::Unauthenticated("send the agent's name as X-Client-Id"))?;
    let token = bearer(request.headers())?;
    let Some(address) = Client::of(request, &state.settings).address else {
        return log_in(state, client_id, token).await;
    };
    let allowed = ask(&state.attempts, MayTry(address)).await?;
    allowed.map_err(|retry_after_s| Error::TooManyAttempts { retry_after_s })?;
    let found = log_in(state, client_id, token).await;
    match &found {
        Ok(_) => ask(&state.attempts, Succeeded(address)).await?,
        Err(Error::Unauthenticated(_)) => ask(&state.attempts, Failed(address)).await?,
        // The token was right: its owner's other agents, behind the same address, must not be locked out.
        Err(_) => {}
    }
    found
}

/// What the snapshot does not know may have been stored by another program just now.
async fn log_in(state: &AppState, client_id: &str, token: &str) -> Result<Arc<AgentRow>, Error> {
    let found = authenticate_agent(&state.snapshot(), client_id, token);
    if !matches!(found, Err(Error::Unauthenticated(_))) {
        return found;
    }
    state.tell(LookAgain).await?;
    authenticate_agent(&state.snapshot(), client_id, token)
}

/// The head of a 101 for a request that opens a WebSocket, with the first of `protocols` that it offers.
pub(crate) fn handshake(request: &HttpRequest, protocols: &[&str]) -> Result<HttpResponseBuilder, Error> {
    let head = handshake_with_protocols(request, protocols).map_err(|error| match error {
        HandshakeError::BadWebsocketKey => Error::BadRequest("the Sec-WebSocket-Key header is missing".into()),
        HandshakeError::NoVersionHeader | HandshakeError::UnsupportedVersion => {
            Error::UpgradeRequired("open a WebSocket of version 13 here")
        }
        _ => Error::UpgradeRequired("open a WebSocket here"),
    })?;
    // A request whose Upgrade header names more than `websocket` passes for a handshake, but came without its socket.
    if TakeSocket::is_offered(request) { Ok(head) } else { Err(Error::UpgradeRequired("open a WebSocket here")) }
}

fn offers_binary(headers: &HeaderMap) -> bool {
    let offered = headers.get(SEC_WEBSOCKET_PROTOCOL).and_then(|offered| offered.to_str().ok()).unwrap_or_default();
    offered.split(',').any(|protocol| protocol.trim() == SUBPROTOCOL)
}

fn version(headers: &HeaderMap) -> Option<String> {
    let version = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(version.chars().take(VERSION_LIMIT).collect())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::config::DEFAULT_AGENT_PATH;
    use crate::http::serve;
    use crate::http::test_support::{AGENT, HANDSHAKE, TestServer, Tokens, read_all, read_head, state};

    async fn start() -> (TestServer, Tokens) {
        let (state, tokens) = state().await;
        (TestServer::start(|listener| serve(listener, state, 1)), tokens)
    }

    fn login(client_id: &str, token: &str) -> String {
        format!("X-Client-Id: {client_id}\r\nAuthorization: Bearer {token}\r\n")
    }

    async fn refused(server: &TestServer, headers: &str) -> String {
        let request = format!("GET {DEFAULT_AGENT_PATH} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        let mut socket = server.connect(request.as_bytes()).await;
        // Half-closed, so that a connection that is kept alive ends too.
        socket.shutdown().await.unwrap();
        read_all(&mut socket).await
    }

    async fn accepted(server: &TestServer, headers: &str) -> String {
        let request = format!("GET {DEFAULT_AGENT_PATH} HTTP/1.1\r\nHost: h\r\n{headers}{HANDSHAKE}\r\n");
        read_head(&mut server.connect(request.as_bytes()).await).await.to_ascii_lowercase()
    }

    #[actix_web::test]
    async fn the_subprotocol_decides_on_the_protocol() {
        let (server, tokens) = start().await;
        let login = login(AGENT, &tokens.agent);
        let json = accepted(&server, &login).await;
        assert!(json.starts_with("http/1.1 101 ") && !json.contains("sec-websocket-protocol"), "{json}");
        assert!(json.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{json}");
        let binary = accepted(&server, &format!("{login}Sec-WebSocket-Protocol: other, dockway.v2\r\n")).await;
        assert!(binary.contains("sec-websocket-protocol: dockway.v2\r\n"), "{binary}");
        let other = accepted(&server, &format!("{login}Sec-WebSocket-Protocol: dockway.v9\r\n")).await;
        assert!(other.starts_with("http/1.1 101 ") && !other.contains("sec-websocket-protocol"), "{other}");
        for answer in [json, binary, other] {
            assert!(!answer.contains("sec-websocket-extensions"), "{answer}");
        }
    }

    #[actix_web::test]
    async fn name_and_token_are_verified_before_the_upgrade() {
        for row in 0..7 {
            // Each row has a server of its own: wrong tokens count.
            let (server, tokens) = start().await;
            let headers = match row {
                0 => String::new(),
                1 => format!("X-Client-Id: {AGENT}\r\n"),
                2 => format!("Authorization: Bearer {}\r\n", tokens.agent),
                3 => login(AGENT, "wrong"),
                4 => login("nobody", &tokens.agent),
                5 => login("../etc", &tokens.agent),
                _ => login(AGENT, &tokens.admin),
            };
            for handshake in ["", HANDSHAKE] {
                let answer = refused(&server, &format!("{headers}{handshake}")).await;
                assert!(answer.starts_with("HTTP/1.1 401 "), "{headers} {answer}");
                assert!(answer.contains("www-authenticate: Bearer") && answer.contains("\"unauthenticated\""));
            }
        }
    }

    #[actix_web::test]
    async fn what_is_no_handshake_is_told_so() {
        let (server, tokens) = start().await;
        let login = login(AGENT, &tokens.agent);
        let table = [
            (String::new(), "426"),
            (HANDSHAKE.replace("Connection: Upgrade", "Connection: close"), "426"),
            (HANDSHAKE.replace("Version: 13", "Version: 12"), "426"),
            (HANDSHAKE.replace("Upgrade: websocket", "Upgrade: websocket, h2c"), "426"),
            (HANDSHAKE.replace("-Key:", "-Other:"), "400"),
        ];
        for (headers, status) in table {
            let answer = refused(&server, &format!("{login}{headers}")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers} {answer}");
            assert!(status == "400" || answer.contains("upgrade: websocket\r\n"), "{answer}");
        }
    }

    #[actix_web::test]
    async fn too_many_wrong_tokens_lock_the_address_for_a_while() {
        let (server, tokens) = start().await;
        let mut answer = String::new();
        for _ in 0..1000 {
            answer = refused(&server, &login(AGENT, "wrong")).await;
            if !answer.starts_with("HTTP/1.1 401 ") {
                break;
            }
        }
        assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("retry-after: "), "{answer}");
        assert!(answer.contains("\"too_many_attempts\""), "{answer}");
        let right = refused(&server, &login(AGENT, &tokens.agent)).await;
        assert!(right.starts_with("HTTP/1.1 429 "), "{right}");
    }

    #[test]
    fn only_the_start_of_a_user_agent_is_kept() {
        let mut headers = HeaderMap::new();
        assert_eq!(version(&headers), None);
        headers.insert(USER_AGENT, "x".repeat(1000).parse().unwrap());
        assert_eq!(version(&headers).unwrap().len(), VERSION_LIMIT);
    }
}
