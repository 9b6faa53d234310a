//! AgentSession: one authenticated WebSocket of an agent.
//!
//! Started by the agent endpoint with the raw socket, on the thread that accepted it. Once the agent has said HELLO
//! (version 1: anything, or 250 ms have passed) it makes itself known to the TunnelSupervisor, and from then on relays
//! between UserChannels and the link. It ends when the link ends: the agent closed, was silent, broke the protocol,
//! was replaced or revoked. Its guard tells the supervisor; its channels hear of it by the drop of their ports.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::fut::ActorFuture;
use actix::prelude::*;
use bytes::BytesMut;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::Span;

use super::messages::{CloseSession, DrainSession, OpenChannel, SessionHandle, SessionStatus};
use super::supervisor::{SessionDraining, SessionKey, SessionUp};
use crate::link::messages::{Consumed, Gone, Outgoing};
use crate::link::socket::prepare;
use crate::link::websocket::{HELLO_LIMIT, LinkEnd};
use crate::link::{Link, Switchboard};
use crate::supervision::{ChildDown, ChildGuard};
use crate::wire::codes::SessionClose;
use crate::wire::mux::{Role, Version};

/// Heartbeat and limits are looked at this often.
const TICK: Duration = Duration::from_secs(1);
/// Version 1: no channel is opened in a session's first moment, so that an agent's `hello` comes first.
const FIRST_MOMENT: Duration = Duration::from_millis(250);

/// Sessions of this process are numbered.
static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

/// Who logged in on an agent WebSocket, and how.
#[derive(Debug, Clone)]
pub struct AgentLogin {
    pub client_id: String,
    /// `dockway.v2` was negotiated; otherwise JSON.
    pub binary: bool,
    /// Where it connects from: an address, with its port unless a proxy stands between.
    pub address: Option<String>,
    /// The User-Agent header, at most 200 characters.
    pub version: Option<String>,
    /// SHA-256 of the token that it showed, hex: a rotation is noticed by comparing it.
    pub token_hash: String,
}

/// Whom a session tells of its life.
#[derive(Clone)]
pub struct SessionParent {
    pub up: Recipient<SessionUp>,
    pub draining: Recipient<SessionDraining>,
    pub down: Recipient<ChildDown<SessionKey>>,
}

/// See the module's documentation.
pub struct AgentSession {
    board: Switchboard,
    login: AgentLogin,
    id: u64,
    parent: SessionParent,
    guard: ChildGuard<SessionKey>,
    status: Arc<SessionStatus>,
    began: Instant,
    registered: bool,
    draining: bool,
    closing: bool,
    span: Span,
}

/// Start the session on this thread's arbiter, with the socket and what was already read from it.
pub fn start(login: AgentLogin, socket: TcpStream, read: &BytesMut, parent: SessionParent) {
    if let Err(error) = prepare(SockRef::from(&socket)) {
        tracing::warn!(%error, client_id = login.client_id, "the agent's socket keeps its defaults");
    }
    AgentSession::new(login, socket, read, parent).start();
}

impl AgentSession {
    pub(super) fn new(login: AgentLogin, socket: TcpStream, read: &[u8], parent: SessionParent) -> Self {
        let id = NEXT_SESSION.fetch_add(1, Ordering::Relaxed);
        let version = if login.binary { Version::Binary } else { Version::Json };
        let now = Instant::now();
        let link = Link::new(Box::new(socket), read, Role::Server, version, now);
        let span = tracing::info_span!("session", client_id = login.client_id, session = id);
        let key = SessionKey { client_id: login.client_id.clone(), id };
        Self {
            board: Switchboard::new(link),
            login,
            id,
            guard: ChildGuard::new(key, parent.down.clone(), ()),
            parent,
            status: Arc::default(),
            began: now,
            registered: false,
            draining: false,
            closing: false,
            span,
        }
    }

    fn as_handle(&self, ctx: &Context<Self>) -> SessionHandle {
        let address = ctx.address();
        SessionHandle {
            id: self.id,
            arbiter: Arbiter::current(),
            open: address.clone().recipient(),
            outgoing: address.clone().recipient(),
            consumed: address.clone().recipient(),
            gone: address.clone().recipient(),
            close: address.clone().recipient(),
            #[cfg(test)]
            panic: address.clone().recipient(),
            drain: address.recipient(),
            status: self.status.clone(),
        }
    }

    /// Become the agent's session: channels may come from now on.
    #[expect(clippy::disallowed_methods, reason = "one for each session")]
    fn register(&mut self, ctx: &Context<Self>) {
        if self.registered || self.closing {
            return;
        }
        self.registered = true;
        self.parent.up.do_send(SessionUp { login: self.login.clone(), handle: self.as_handle(ctx) });
    }

    #[expect(clippy::disallowed_methods, reason = "one for each session")]
    fn note_going_away(&mut self) {
        if self.draining || self.board.going_away().is_none() {
            return;
        }
        self.draining = true;
        self.parent.draining.do_send(SessionDraining { client_id: self.login.client_id.clone(), id: self.id });
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if !self.guard.has_parent() {
            self.close(SessionClose::new(SessionClose::RESTART, "the server's tunnels restart"));
        }
        if self.login.binary && !self.board.greeted() && self.began.elapsed() >= HELLO_LIMIT {
            self.close(SessionClose::protocol("no HELLO came"));
        }
        if let Some(end) = self.board.tick() {
            self.ended(&end, ctx);
        }
    }

    fn close(&mut self, close: SessionClose) {
        self.closing = true;
        self.board.close(close);
    }

    fn ended(&mut self, end: &LinkEnd, ctx: &mut Context<Self>) {
        self.span.in_scope(|| tracing::info!(%end, "the agent's session has ended"));
        ctx.stop();
    }
}

impl Actor for AgentSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ctx.spawn(Pump(ticks));
        if !self.login.binary {
            ctx.run_later(FIRST_MOMENT, |session, ctx| session.register(ctx));
        }
    }
}

/// Polls the switchboard with the actor.
struct Pump(Interval);

impl ActorFuture<AgentSession> for Pump {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        session: &mut AgentSession,
        ctx: &mut Context<AgentSession>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        while self.0.poll_tick(cx).is_ready() {
            session.tick(ctx);
        }
        // A server is never asked to open: the mux answers that with a protocol error.
        let polled = session.board.poll(cx, |_, _, _| {});
        if session.board.greeted() {
            session.register(ctx);
        }
        session.note_going_away();
        session.status.set(session.board.rtt(), session.board.channels());
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(end) => {
                session.ended(&end, ctx);
                Poll::Ready(())
            }
        }
    }
}

impl Handler<OpenChannel> for AgentSession {
    type Result = ();

    fn handle(&mut self, message: OpenChannel, _: &mut Self::Context) {
        // Dropping the port of a session that closes tells the channel.
        if !self.closing {
            self.board.open(message.key, message.open, message.port);
        }
    }
}

impl Handler<Outgoing> for AgentSession {
    type Result = ();

    fn handle(&mut self, message: Outgoing, _: &mut Self::Context) {
        self.board.outgoing(message);
    }
}

impl Handler<Consumed> for AgentSession {
    type Result = ();

    fn handle(&mut self, message: Consumed, _: &mut Self::Context) {
        self.board.consumed(&message);
    }
}

impl Handler<Gone> for AgentSession {
    type Result = ();

    fn handle(&mut self, message: Gone, _: &mut Self::Context) {
        self.board.gone(&message);
    }
}

impl Handler<CloseSession> for AgentSession {
    type Result = ();

    fn handle(&mut self, CloseSession(close): CloseSession, _: &mut Self::Context) {
        self.span.in_scope(|| tracing::info!(%close, "closing the agent's session"));
        self.close(close);
    }
}

impl Handler<DrainSession> for AgentSession {
    type Result = ();

    fn handle(&mut self, _: DrainSession, _: &mut Self::Context) {
        self.board.goaway(0);
    }
}
