//! The API for handler tests: a store with two tokens and an agent, and a supervisor that is away.

mod desktops;

use std::net::{SocketAddr, TcpListener};

use actix::{AsyncContext, Context};
use actix_http::Request;
use actix_server::{Server, ServerHandle};
use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, init_service, read_body};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

pub use self::desktops::desktops;
use super::{AppState, app};
use crate::config::TunnelConfig;
use crate::identity;
use crate::identity::secrets::{hash_token, new_token};
use crate::identity::{Scope, ScopeSet};
use crate::server::tests::{plan, start_tree};
use crate::store::models::{TokenRow, UserRow};
use crate::store::testing::{database, user};
use crate::store::{Connection, StoreError, tokens, users};

/// Name of the agent that is enrolled.
pub const AGENT: &str = "enrolled";

/// What makes a request the opening handshake of a WebSocket.
pub const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Tokens that are valid.
pub struct Tokens {
    /// May do everything; belongs to the user `admin`.
    pub admin: String,
    /// May only read.
    pub reader: String,
    /// Of the agent [`AGENT`].
    pub agent: String,
    /// Holds the database for as long as its tokens are used.
    _directory: tempfile::TempDir,
}

/// A state whose supervisor of tunnels does not answer, and the tokens that it knows.
pub async fn state() -> (AppState, Tokens) {
    state_with(|_| Ok(())).await
}

/// As [`state`], with what `prepare` puts into the database before anything is started.
pub async fn state_with(
    prepare: impl FnOnce(&mut Connection) -> Result<(), StoreError> + Send + 'static,
) -> (AppState, Tokens) {
    let database = database();
    let store = database.store.clone();
    let mut admin = user("admin");
    admin.role = "admin".into();
    let (all, reading) = (
        token_of(&admin, "all", &[Scope::Admin, Scope::TunnelsRead, Scope::TunnelsWrite]),
        token_of(&admin, "reading", &[Scope::TunnelsRead]),
    );
    let rows = [all.1, reading.1];
    let owner_id = admin.id.clone();
    store
        .run_now(|c| {
            users::insert(c, &admin)?;
            rows.iter().try_for_each(|row| tokens::insert(c, row))?;
            prepare(c)
        })
        .unwrap();
    let (_, agent) = identity::agents::enrol(&store, AGENT, &owner_id, false).await.unwrap();
    let (mut state, _) = start_tree(plan(store, TunnelConfig::for_tests(20_000..=20_010)));
    state.tell(identity::directory::Ping).await.unwrap();
    // The address of a context that never runs: its mailbox is closed.
    state.tunnels = watch::channel(Context::new().address()).1;
    (state, Tokens { admin: all.0, reader: reading.0, agent, _directory: database.directory })
}

/// A token and its row.
pub fn token_of(owner: &UserRow, name: &str, scopes: &[Scope]) -> (String, TokenRow) {
    let token = new_token("test_");
    let row = TokenRow {
        id: name.to_owned(),
        user_id: owner.id.clone(),
        name: name.to_owned(),
        token_hash: hash_token(&token),
        scopes: scopes.iter().copied().collect::<ScopeSet>().to_string(),
        created_at: 0,
        expires_at: None,
        last_used: None,
    };
    (token, row)
}

/// The handlers with their routes, called without a socket.
pub struct TestApi {
    app: Box<dyn CallApp>,
    pub state: AppState,
    pub tokens: Tokens,
}

impl TestApi {
    pub async fn start() -> Self {
        Self::of(state().await).await
    }

    /// With this state and these tokens.
    pub async fn of((state, tokens): (AppState, Tokens)) -> Self {
        let app = init_service(app(state.clone())).await;
        Self { app: Box::new(app), state, tokens }
    }

    /// Call with a bearer token and a JSON body; an empty string leaves either out.
    pub async fn call(&self, method: Method, path: &str, token: &str, body: &str) -> Answer {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        let shown = [!token.is_empty(), !body.is_empty()];
        let headers: Vec<_> =
            headers.into_iter().zip(shown).filter(|(_, shown)| *shown).map(|(pair, _)| pair).collect();
        self.call_with(method, path, &headers, body).await
    }

    /// Call with these headers and no others; an empty body is none.
    pub async fn call_with(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = TestRequest::with_uri(path).method(method);
        if !body.is_empty() {
            request = request.set_payload(body.to_owned());
        }
        for header in headers {
            request = request.append_header(*header);
        }
        let response = self.app.call_app(request.to_request()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = String::from_utf8(read_body(response).await.to_vec()).unwrap();
        Answer { status, headers, body }
    }
}

/// What a call was answered with.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// A header's value, empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        let name = HeaderName::try_from(name).unwrap();
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// `code` of a problem.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

type Called<'a> = futures_util::future::LocalBoxFuture<'a, Result<ServiceResponse<BoxBody>, Error>>;

/// Takes the name off the type of an initialised `App`.
trait CallApp {
    fn call_app(&self, request: Request) -> Called<'_>;
}

impl<S, B> CallApp for S
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    fn call_app(&self, request: Request) -> Called<'_> {
        let called = self.call(request);
        Box::pin(async move { Ok(called.await?.map_into_boxed_body()) })
    }
}

/// A real server, stopped when dropped.
pub struct TestServer {
    pub address: SocketAddr,
    pub handle: ServerHandle,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

impl TestServer {
    pub fn start(serve: impl FnOnce(TcpListener) -> std::io::Result<Server>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve(listener).unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { address, handle }
    }

    /// A connection over which `request` was sent.
    pub async fn connect(&self, request: &[u8]) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request).await.unwrap();
        socket
    }
}

/// The head of an answer, with the empty line that ends it.
pub async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Everything until the server closes.
pub async fn read_all(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    socket.read_to_end(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}
