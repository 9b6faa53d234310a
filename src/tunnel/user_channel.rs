//! UserChannel: one TCP connection of a user.
//!
//! Started by [ProxyConnection](super::proxy_connection) on the arbiter of the agent's session, which it addresses by
//! the relay messages. It asks the session to open a channel and moves bytes between the user's socket and the
//! session. It ends when both directions have ended, at a reset from either side, when the target cannot be reached or
//! does not answer in time, when the session is lost, or when it is cut; its guard tells the ProxyConnection.

use std::net::TcpStream as StdTcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::fut::ActorFuture;
use actix::prelude::*;
use tokio::net::TcpStream;
use tracing::Span;

use super::counters::{ChannelCounters, ConnectionState, TunnelCounters};
use super::messages::{OpenChannel, SessionHandle};
use crate::link::Leg;
use crate::link::leg::LegEnd;
use crate::link::messages::{ChannelKey, ChannelPort, Flow, Incoming};
use crate::supervision::{ChildDown, ChildGuard};
use crate::wire::codes::{OpenError, OpenFailure, ResetCode};
use crate::wire::frame::Open;

/// The agent gives up after 10 s; one that does not even say so is not waited for much longer.
const OPEN_LIMIT: Duration = Duration::from_secs(12);
/// A connection of which one direction has ended may be silent for this long in the other.
const HALF_CLOSED_IDLE: Duration = Duration::from_secs(30 * 60);
/// How often that is looked at.
const IDLE_CHECK: Duration = Duration::from_secs(60);

/// End this connection at once.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Cut(pub ResetCode);

/// Report to another ProxyConnection from now on: the first one was replaced.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Adopt(pub Recipient<ChildDown<ChannelKey, ChannelEstate>>);

/// What a channel leaves behind: why its target could not be reached.
#[derive(Debug, Default)]
pub struct ChannelEstate {
    pub dial_error: Option<OpenFailure>,
}

/// What a channel is made from.
pub struct NewChannel {
    pub open: Open,
    pub peer: std::net::SocketAddr,
    pub socket: StdTcpStream,
    pub session: SessionHandle,
    pub tunnel: Arc<TunnelCounters>,
    pub counters: Arc<ChannelCounters>,
    pub guard: ChildGuard<ChannelKey, ChannelEstate>,
    pub key: ChannelKey,
}

/// See the module's documentation.
pub struct UserChannel {
    /// Before the guard, so that the session hears of the end first.
    leg: Option<Leg>,
    fresh: Option<Fresh>,
    session: SessionHandle,
    tunnel: Arc<TunnelCounters>,
    counters: Arc<ChannelCounters>,
    guard: ChildGuard<ChannelKey, ChannelEstate>,
    key: ChannelKey,
    open_timer: Option<SpawnHandle>,
    half_closed: bool,
    active: Instant,
    span: Span,
}

/// What is needed once, at the start.
struct Fresh {
    open: Open,
    socket: StdTcpStream,
}

impl UserChannel {
    pub fn new(new: NewChannel) -> Self {
        let NewChannel { open, peer, socket, session, tunnel, counters, guard, key } = new;
        let span = tracing::info_span!(
            "connection",
            user_id = open.user_id,
            proxy_id = open.proxy_id,
            %peer,
            session = session.id
        );
        Self {
            leg: None,
            fresh: Some(Fresh { open, socket }),
            session,
            tunnel,
            counters,
            guard,
            key,
            open_timer: None,
            half_closed: false,
            active: Instant::now(),
            span,
        }
    }

    fn opened(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.open_timer.take() {
            ctx.cancel_future(timer);
            self.counters.set_state(ConnectionState::Open);
        }
    }

    fn open_timed_out(&mut self, ctx: &mut Context<Self>) {
        if self.open_timer.take().is_none() {
            return;
        }
        let failure = OpenFailure::new(OpenError::Timeout, "the agent did not say whether it has connected");
        if let Some(leg) = &mut self.leg {
            leg.cut(ResetCode::ABORTED);
        }
        self.ended(LegEnd::Failed(failure), ctx);
    }

    fn ended(&mut self, end: LegEnd, ctx: &mut Context<Self>) {
        let (bytes_in, bytes_out) = self.counters.traffic.bytes();
        self.span.in_scope(|| match &end {
            LegEnd::Failed(failure) => tracing::warn!(%failure, "the target cannot be reached"),
            end => tracing::debug!(%end, bytes_in, bytes_out, "ended"),
        });
        if let LegEnd::Failed(failure) = end {
            self.guard.estate.dial_error = Some(failure);
        }
        ctx.stop();
    }

    fn count(&mut self) {
        let Some(leg) = &mut self.leg else { return };
        let progress = leg.take_progress();
        if progress.read == 0 && progress.written == 0 {
            return;
        }
        self.tunnel.traffic.add(progress);
        self.counters.traffic.add(progress);
        if self.half_closed {
            self.active = Instant::now();
        }
    }

    /// From the end of one direction on, the other has an idle limit.
    fn watch_half_closed(&mut self, ctx: &mut Context<Self>) {
        if self.half_closed || !self.leg.as_ref().is_some_and(Leg::half_closed) {
            return;
        }
        self.half_closed = true;
        self.active = Instant::now();
        self.counters.set_state(ConnectionState::HalfClosed);
        ctx.run_interval(IDLE_CHECK, |channel, ctx| {
            if channel.active.elapsed() >= HALF_CLOSED_IDLE {
                channel.cut(ResetCode::IDLE, ctx);
            }
        });
    }

    fn cut(&mut self, code: ResetCode, ctx: &mut Context<Self>) {
        if let Some(leg) = &mut self.leg {
            leg.cut(code);
        }
        self.ended(LegEnd::Reset(code), ctx);
    }
}

impl Actor for UserChannel {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(Fresh { open, socket }) = self.fresh.take() else { return };
        let socket = match TcpStream::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => {
                self.guard.fail(format!("the socket cannot be used: {error}"));
                return ctx.stop();
            }
        };
        self.leg = Some(Leg::new(socket, self.session.port(self.key)));
        self.counters.set_state(ConnectionState::Connecting);
        self.span.in_scope(|| tracing::debug!("accepted"));
        let address = ctx.address();
        let port = ChannelPort { incoming: address.clone().recipient(), flow: address.recipient() };
        self.session.open(OpenChannel { key: self.key, open, port });
        self.open_timer = Some(ctx.run_later(OPEN_LIMIT, Self::open_timed_out));
        ctx.spawn(Pump);
    }
}

/// Polls the leg with the actor.
struct Pump;

impl ActorFuture<UserChannel> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        channel: &mut UserChannel,
        ctx: &mut Context<UserChannel>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let Some(leg) = &mut channel.leg else { return Poll::Ready(()) };
        let polled = leg.poll(cx);
        channel.count();
        match polled {
            Poll::Pending => {
                channel.watch_half_closed(ctx);
                Poll::Pending
            }
            Poll::Ready(end) => {
                channel.ended(end, ctx);
                Poll::Ready(())
            }
        }
    }
}

impl Handler<Incoming> for UserChannel {
    type Result = ();

    fn handle(&mut self, incoming: Incoming, ctx: &mut Self::Context) {
        if incoming.opened {
            self.opened(ctx);
        }
        if let Some(leg) = &mut self.leg {
            leg.incoming(incoming);
        }
    }
}

impl Handler<Flow> for UserChannel {
    type Result = ();

    fn handle(&mut self, flow: Flow, _: &mut Self::Context) {
        if let Some(leg) = &mut self.leg {
            leg.flow(flow);
        }
    }
}

impl Handler<Cut> for UserChannel {
    type Result = ();

    fn handle(&mut self, Cut(code): Cut, ctx: &mut Self::Context) {
        self.cut(code, ctx);
    }
}

impl Handler<Adopt> for UserChannel {
    type Result = ();

    fn handle(&mut self, Adopt(parent): Adopt, _: &mut Self::Context) {
        self.guard.set_parent(parent);
    }
}
