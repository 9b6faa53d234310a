//! The real server over a database of its own, with agents, targets and users in the same process.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use actix::Addr;
use actix_server::ServerHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::super::TunnelSupervisor;
use super::super::commands::{CreateTunnel, GetTunnel, NewTunnel};
use super::super::proxy_connection::ChannelOf;
use super::super::supervisor::probe::{Parts, Probe};
use super::super::view::{TunnelState, TunnelView};
use super::Panic;
use crate::agent::allow::AllowList;
use crate::agent::connect::Connector;
use crate::agent::reconnect;
use crate::config::{AgentConfig, AgentProtocol, DEFAULT_AGENT_PATH, Secret, TunnelConfig};
use crate::http;
use crate::identity::agents::enrol;
use crate::identity::directory;
use crate::server::tests::{plan, start_tree};
use crate::store::testing::{TestDatabase, database, user};
use crate::store::users;

/// What has not come after this does not come. Shorter than every limit by which it might come after all.
pub const PATIENCE: Duration = Duration::from_secs(10);
pub const AGENT_PATH: &str = DEFAULT_AGENT_PATH;
/// A view announces nothing, so it is looked at this often.
const LOOK: Duration = Duration::from_millis(5);
/// Each rig has so many ports of its own, so that a port that was let go stays free for its tunnel.
const PORTS: u16 = 16;

static NEXT_PORTS: AtomicU16 = AtomicU16::new(21_000);

/// See the module's documentation. Stopped when dropped.
pub(crate) struct Rig {
    pub tunnels: watch::Receiver<Addr<TunnelSupervisor>>,
    pub failed: watch::Receiver<()>,
    pub address: SocketAddr,
    tokens: HashMap<String, String>,
    http: ServerHandle,
    _database: TestDatabase,
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.http.stop(false));
    }
}

impl Rig {
    /// With these agents enrolled; none of them runs.
    pub async fn start(clients: &[&str]) -> Self {
        let database = database();
        let store = database.store.clone();
        store.run_now(|c| users::insert(c, &user("owner"))).unwrap();
        let mut tokens = HashMap::new();
        for client in clients {
            let (_, token) = enrol(&store, client, "id-of-owner", false).await.unwrap();
            tokens.insert((*client).to_owned(), token);
        }
        let first = NEXT_PORTS.fetch_add(PORTS, Ordering::Relaxed);
        let config = TunnelConfig::for_tests(first..=first + PORTS - 1);
        let (state, failed) = start_tree(plan(store, config));
        state.tell(directory::Ping).await.unwrap();
        let tunnels = state.tunnels.clone();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = http::serve(listener, state, 2).unwrap();
        let http = server.handle();
        actix_rt::spawn(server);
        Self { tunnels, failed, address, tokens, http, _database: database }
    }

    pub fn supervisor(&self) -> Addr<TunnelSupervisor> {
        self.tunnels.borrow().clone()
    }

    pub fn token(&self, client_id: &str) -> &str {
        &self.tokens[client_id]
    }

    /// The agent program, until this is dropped.
    pub fn agent(&self, client_id: &str) -> Agent {
        let config = AgentConfig {
            server: format!("http://{}", self.address),
            client_id: client_id.into(),
            token: Secret(self.token(client_id).into()),
            allow: Vec::new(),
            protocol: AgentProtocol::Binary,
            agent_path: AGENT_PATH.into(),
            ca_file: None,
        };
        let connector = Connector::new(&config).unwrap();
        Agent(actix_rt::spawn(async {
            let _ = reconnect::run(connector, AllowList::default()).await;
        }))
    }

    /// A tunnel to this target.
    pub async fn tunnel(&self, client_id: &str, target: &TcpListener) -> TunnelView {
        let tunnel = NewTunnel {
            client_id: client_id.into(),
            remote_host: "127.0.0.1".into(),
            remote_port: target.local_addr().unwrap().port(),
            local_port: None,
            name: None,
            bind: None,
            allow: Vec::new(),
            max_connections: None,
        };
        let create = CreateTunnel { tunnel, owner_id: "id-of-owner".into(), limit: None };
        self.supervisor().send(create).await.unwrap().unwrap()
    }

    pub async fn view(&self, tunnel: &TunnelView) -> TunnelView {
        self.supervisor().send(GetTunnel(tunnel.proxy_id.clone())).await.unwrap().unwrap()
    }

    pub async fn until_view(&self, tunnel: &TunnelView, what: &str, is: impl Fn(&TunnelView) -> bool) -> TunnelView {
        until(what, async || Some(self.view(tunnel).await).filter(&is)).await
    }

    pub async fn until_listening(&self, tunnel: &TunnelView) {
        self.until_view(tunnel, "the tunnel listens", |view| view.state == TunnelState::Listening).await;
    }

    pub async fn until_connections(&self, tunnel: &TunnelView, connections: u64) {
        self.until_view(tunnel, "the count of connections", |view| view.connections == connections).await;
    }

    pub async fn parts(&self, tunnel: &TunnelView) -> Parts {
        self.supervisor().send(Probe(tunnel.proxy_id.clone())).await.unwrap().expect("the tunnel is served")
    }

    /// Make the tunnel's ProxyConnection panic and wait for its successor.
    pub async fn replace_proxy(&self, tunnel: &TunnelView) -> Parts {
        let old = self.parts(tunnel).await.proxy;
        assert!(old.send(Panic).await.is_err(), "it panicked");
        until("another ProxyConnection", async || {
            let parts = self.supervisor().send(Probe(tunnel.proxy_id.clone())).await.unwrap()?;
            (parts.proxy != old).then_some(parts)
        })
        .await
    }

    /// Make the UserChannel of this user panic.
    pub async fn panic_channel(&self, tunnel: &TunnelView, user: &TcpStream) {
        let proxy = self.parts(tunnel).await.proxy;
        let channel = proxy.send(ChannelOf(user.local_addr().unwrap())).await.unwrap().expect("the user has a channel");
        assert!(channel.send(Panic).await.is_err(), "it panicked");
    }

    /// A user, and the connection that reached the target for it.
    pub async fn connect(&self, tunnel: &TunnelView, target: &TcpListener) -> Pair {
        let user = user_of(tunnel).await.unwrap();
        let (remote, _) = timeout(PATIENCE, target.accept()).await.expect("the target is reached").unwrap();
        let mut pair = Pair { user, remote };
        pair.works().await;
        pair
    }
}

/// A running agent program.
pub(crate) struct Agent(JoinHandle<()>);

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Both ends of one relayed connection.
pub(crate) struct Pair {
    pub user: TcpStream,
    pub remote: TcpStream,
}

impl Pair {
    /// Bytes pass both ways.
    pub async fn works(&mut self) {
        passes(&mut self.user, &mut self.remote, b"question").await;
        passes(&mut self.remote, &mut self.user, b"and answer").await;
    }
}

async fn passes(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    let mut got = vec![0; bytes.len()];
    timeout(PATIENCE, to.read_exact(&mut got)).await.expect("the bytes pass in time").expect("the bytes pass");
    assert_eq!(got, bytes);
}

pub(crate) async fn target() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Connect to the tunnel's port.
pub(crate) async fn user_of(tunnel: &TunnelView) -> io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", tunnel.local_port)).await
}

/// Wait for this end of a connection to be reset; an end in order is none.
pub(crate) async fn assert_reset(socket: &mut TcpStream) {
    let read = timeout(PATIENCE, socket.read_u8()).await.expect("the connection ends");
    assert_eq!(read.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));
}

/// Look until there is something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(LOOK).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("in vain: {what}"))
}
