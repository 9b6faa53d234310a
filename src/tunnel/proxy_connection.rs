//! ProxyConnection: one tunnel's acceptor.
//!
//! Started by the [TunnelSupervisor](super::supervisor), which lends it the bound listener, so that the port stays
//! open while a ProxyConnection is replaced. It accepts users, turns away those who may not connect, holds those who
//! come while the agent is away, and starts a [UserChannel](super::user_channel) for each of the others. It ends when
//! the supervisor stops it; if it ends otherwise, its estate (channels and held users) goes to its successor.

mod accepting;

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use ipnet::{IpNet, Ipv4Net};
use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

use self::accepting::Accept;
use super::counters::{ChannelCounters, TunnelCounters};
use super::estate::{Connection, Estate, Waiting, deliver};
use super::messages::SessionHandle;
use super::supervisor::DialFailed;
use super::user_channel::{Adopt, ChannelEstate, NewChannel, UserChannel};
use super::view::ConnectionView;
use crate::clock::now_ms;
use crate::error::Error;
use crate::link::messages::ChannelKey;
use crate::link::socket::reset_on_close;
use crate::supervision::{Backoff, ChildDown, ChildGuard};
use crate::wire::codes::ResetCode;
use crate::wire::frame::Open;

/// Users who are held while the agent is away, in each tunnel.
const MAX_WAITING: usize = 1024;
/// Rates are computed, held users looked after and vanished channels forgotten this often.
const TICK: Duration = Duration::from_secs(1);

/// What a tunnel is for; replaced as a whole when an operator changes it.
#[derive(Debug, Clone)]
pub struct Target {
    pub proxy_id: String,
    pub local_port: u16,
    pub remote_host: String,
    pub remote_port: u16,
    pub protocol: String,
    pub allow: Vec<IpNet>,
    pub max_connections: Option<u32>,
}

/// The agent's session has come (Some) or gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct UseSession(pub Option<SessionHandle>);

/// New connections get this target and these limits.
#[derive(Message)]
#[rtype(result = "()")]
pub struct UseTarget(pub Arc<Target>);

/// Accept on another listener from now on. The first one is not held any more when this answers.
#[derive(Message)]
#[rtype(result = "()")]
pub struct UseListener(pub Option<Arc<TcpListener>>);

/// Let go of the listener, cut the channels, end. The listener is not held any more when this answers.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopTunnel(pub ResetCode);

#[derive(Message)]
#[rtype(result = "Vec<ConnectionView>")]
pub struct Connections;

#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct CutUser(pub String);

/// What a ProxyConnection is made from.
pub struct NewProxy {
    pub target: Arc<Target>,
    pub listener: Arc<TcpListener>,
    pub session: Option<SessionHandle>,
    pub counters: Arc<TunnelCounters>,
    /// The next number for a `user_id`; never used twice.
    pub numbers: Arc<AtomicU64>,
    pub hold: Duration,
    /// Nobody from there is let in.
    pub desktop_subnets: Ipv4Net,
    pub dial_failed: Recipient<DialFailed>,
    pub guard: ChildGuard<String, Estate>,
}

/// See the module's documentation.
pub struct ProxyConnection {
    /// Before the guard: the listener is let go before the supervisor hears of the end.
    listener: Option<AsyncFd<Arc<TcpListener>>>,
    lent: Option<Arc<TcpListener>>,
    target: Arc<Target>,
    session: Option<SessionHandle>,
    counters: Arc<TunnelCounters>,
    numbers: Arc<AtomicU64>,
    hold: Duration,
    desktop_subnets: Ipv4Net,
    dial_failed: Recipient<DialFailed>,
    guard: ChildGuard<String, Estate>,
    pause: Option<Pin<Box<Sleep>>>,
    backoff: Backoff,
    sampled: Instant,
}

impl ProxyConnection {
    pub fn new(new: NewProxy) -> Self {
        let NewProxy { target, listener, session, counters, numbers, hold, desktop_subnets, dial_failed, guard } = new;
        Self {
            listener: None,
            lent: Some(listener),
            target,
            session,
            counters,
            numbers,
            hold,
            desktop_subnets,
            dial_failed,
            guard,
            pause: None,
            backoff: accepting::backoff(),
            sampled: Instant::now(),
        }
    }

    /// A user has connected: turned away, held, or given a channel.
    fn accepted(&mut self, socket: TcpStream, peer: SocketAddr, ctx: &mut Context<Self>) {
        self.backoff.reset();
        if let Some(reason) = self.turned_away(peer) {
            tracing::info!(%peer, proxy_id = self.target.proxy_id, reason, "turned away");
            return reset_on_close(SockRef::from(&socket));
        }
        let key = self.numbers.fetch_add(1, Ordering::Relaxed);
        let user_id = format!("user-{}-{key}", self.target.local_port);
        let (since, until) = (now_ms(), Instant::now() + self.hold);
        let user = Waiting { key, user_id, peer, socket, since, until };
        self.counters.connections_total.fetch_add(1, Ordering::Relaxed);
        match self.session.clone() {
            Some(session) => self.start_channel(user, session, ctx),
            None => self.guard.estate.waiting.push_back(user),
        }
        self.count_connections();
    }

    fn turned_away(&self, peer: SocketAddr) -> Option<&'static str> {
        let address = peer.ip().to_canonical();
        if matches!(address, IpAddr::V4(address) if self.desktop_subnets.contains(&address)) {
            return Some("desktops may not use tunnels");
        }
        if !self.target.allow.is_empty() && !self.target.allow.iter().any(|net| net.contains(&address)) {
            return Some("the address is not allowed");
        }
        if self.target.max_connections.is_some_and(|max| self.guard.estate.len() >= max as usize) {
            return Some("the tunnel has all the connections that it may have");
        }
        if self.session.is_none() && self.guard.estate.waiting.len() >= MAX_WAITING {
            return Some("too many users wait for the agent");
        }
        None
    }

    fn count_connections(&self) {
        self.counters.connections.store(self.guard.estate.len() as u64, Ordering::Relaxed);
    }

    fn start_channel(&mut self, user: Waiting, session: SessionHandle, ctx: &Context<Self>) {
        let Waiting { key, user_id, peer, socket, since, .. } = user;
        let counters = Arc::new(ChannelCounters::default());
        let new = NewChannel {
            open: Open {
                proxy_id: self.target.proxy_id.clone(),
                user_id: user_id.clone(),
                remote_host: self.target.remote_host.clone(),
                remote_port: self.target.remote_port,
                protocol: self.target.protocol.clone(),
                window: None,
            },
            peer,
            socket,
            tunnel: self.counters.clone(),
            counters: counters.clone(),
            guard: ChildGuard::new(key, ctx.address().recipient(), ChannelEstate::default()),
            key,
            session,
        };
        let arbiter = new.session.arbiter.clone();
        let channel = UserChannel::start_in_arbiter(&arbiter, move |_| UserChannel::new(new));
        let connection = Connection {
            user_id,
            peer,
            since,
            counters,
            cut: channel.clone().recipient(),
            #[cfg(test)]
            panic: channel.clone().recipient(),
            adopt: channel.recipient(),
        };
        self.guard.estate.channels.insert(key, connection);
    }

    /// Take over what the predecessor left.
    fn adopt(&mut self, ctx: &Context<Self>) {
        for connection in self.guard.estate.channels.values() {
            deliver(&connection.adopt, Adopt(ctx.address().recipient()));
        }
        self.release_waiting(ctx);
        self.count_connections();
    }

    /// The agent is there: those who waited go on.
    fn release_waiting(&mut self, ctx: &Context<Self>) {
        let Some(session) = self.session.clone() else { return };
        while let Some(user) = self.guard.estate.waiting.pop_front() {
            self.start_channel(user, session.clone(), ctx);
        }
    }

    fn tick(&mut self) {
        let elapsed = self.sampled.elapsed();
        self.sampled = Instant::now();
        self.counters.traffic.sample(elapsed);
        // A channel that ended between two ProxyConnections told neither.
        self.guard.estate.channels.retain(|_, connection| connection.cut.connected());
        for connection in self.guard.estate.channels.values() {
            connection.counters.traffic.sample(elapsed);
        }
        self.guard.estate.give_up_waiting(Instant::now());
        self.count_connections();
    }

    fn cut_everything(&mut self, code: ResetCode) {
        self.guard.estate.cut(code);
        self.count_connections();
    }
}

impl Actor for ProxyConnection {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let lent = self.lent.take();
        self.use_listener(lent, ctx);
        self.adopt(ctx);
        ctx.spawn(Accept);
        ctx.run_interval(TICK, |proxy, _| proxy.tick());
    }
}

impl Handler<UseSession> for ProxyConnection {
    type Result = ();

    fn handle(&mut self, UseSession(session): UseSession, ctx: &mut Self::Context) {
        self.session = session;
        self.release_waiting(ctx);
    }
}

impl Handler<UseTarget> for ProxyConnection {
    type Result = ();

    fn handle(&mut self, UseTarget(target): UseTarget, _: &mut Self::Context) {
        self.target = target;
    }
}

impl Handler<UseListener> for ProxyConnection {
    type Result = ();

    fn handle(&mut self, UseListener(listener): UseListener, ctx: &mut Self::Context) {
        self.use_listener(listener, ctx);
    }
}

impl Handler<StopTunnel> for ProxyConnection {
    type Result = ();

    fn handle(&mut self, StopTunnel(code): StopTunnel, ctx: &mut Self::Context) {
        self.listener = None;
        self.cut_everything(code);
        ctx.stop();
    }
}

impl Handler<ChildDown<ChannelKey, ChannelEstate>> for ProxyConnection {
    type Result = ();

    #[expect(clippy::disallowed_methods, reason = "one for each channel, at its end")]
    fn handle(&mut self, down: ChildDown<ChannelKey, ChannelEstate>, _: &mut Self::Context) {
        if let Some(connection) = self.guard.estate.channels.remove(&down.key)
            && down.cause == crate::supervision::Cause::Panicked
        {
            tracing::error!(user_id = connection.user_id, "a channel panicked: its connection is closed");
        }
        if let Some(failure) = down.estate.dial_error {
            let proxy_id = self.target.proxy_id.clone();
            self.dial_failed.do_send(DialFailed { proxy_id, failure });
        }
        self.count_connections();
    }
}

impl Handler<Connections> for ProxyConnection {
    type Result = Vec<ConnectionView>;

    fn handle(&mut self, _: Connections, _: &mut Self::Context) -> Self::Result {
        self.guard.estate.views()
    }
}

impl Handler<CutUser> for ProxyConnection {
    type Result = Result<(), Error>;

    fn handle(&mut self, CutUser(user_id): CutUser, _: &mut Self::Context) -> Self::Result {
        if !self.guard.estate.cut_user(&user_id) {
            return Err(Error::ConnectionUnknown(user_id));
        }
        self.count_connections();
        Ok(())
    }
}

/// How tests reach the channel of the user at this address.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "Option<Recipient<super::tests::Panic>>")]
pub(crate) struct ChannelOf(pub SocketAddr);

#[cfg(test)]
impl Handler<ChannelOf> for ProxyConnection {
    type Result = MessageResult<ChannelOf>;

    fn handle(&mut self, ChannelOf(peer): ChannelOf, _: &mut Self::Context) -> Self::Result {
        let channel = self.guard.estate.channels.values().find(|connection| connection.peer == peer);
        MessageResult(channel.map(|connection| connection.panic.clone()))
    }
}
