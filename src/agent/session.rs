//! Session: the agent's side of one WebSocket to the server.
//!
//! Started by [`reconnect`](super::reconnect) with a connected socket. It starts a [`Channel`] for each OPEN and
//! relays between them and the link. It ends when the link ends, or after `Stop` when its channels are done; dropping
//! it drops `ended`, which tells reconnect (a panic drops it unsent).

use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::allow::AllowList;
use super::channel::{Channel, Dialled};
use crate::link::messages::{ChannelPort, Consumed, Gone, Outgoing, SessionPort};
use crate::link::websocket::{HELLO_LIMIT, LinkEnd};
use crate::link::{Link, Switchboard};
use crate::wire::codes::SessionClose;
use crate::wire::frame::Open;
use crate::wire::mux::Version;

/// Heartbeat and limits are looked at this often.
const TICK: Duration = Duration::from_secs(1);

/// Finish what runs, open nothing new, then end.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

/// See the module's documentation.
pub struct Session {
    board: Switchboard,
    version: Version,
    allow: Rc<AllowList>,
    ended: Option<oneshot::Sender<LinkEnd>>,
    stopping: bool,
    age: Duration,
}

impl Session {
    pub fn new(link: Link, version: Version, allow: Rc<AllowList>, ended: oneshot::Sender<LinkEnd>) -> Self {
        let board = Switchboard::new(link);
        Self { board, version, allow, ended: Some(ended), stopping: false, age: Duration::ZERO }
    }

    fn end(&mut self, end: LinkEnd, ctx: &mut Context<Self>) {
        if let Some(ended) = self.ended.take() {
            // Nobody waits any more: the program is ending.
            let _ = ended.send(end);
        }
        ctx.stop();
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.age += TICK;
        if self.version == Version::Binary && !self.board.greeted() && self.age >= HELLO_LIMIT {
            self.board.close(SessionClose::protocol("no HELLO came"));
        }
        if (self.stopping || self.board.going_away().is_some()) && self.board.channels() == 0 {
            self.board.close(SessionClose::new(SessionClose::GOING_AWAY, "done"));
        }
        if let Some(end) = self.board.tick() {
            self.end(end, ctx);
        }
    }
}

/// Start the channel of an OPEN.
fn open_channel(board: &mut Switchboard, id: u32, open: Open, allow: &Rc<AllowList>, session: &Addr<Session>) {
    let key = u64::from(id);
    let port =
        SessionPort::new(key, session.clone().recipient(), session.clone().recipient(), session.clone().recipient());
    let channel = Channel::new(id, open, allow.clone(), session.clone().recipient(), port).start();
    board.attach(id, key, ChannelPort { incoming: channel.clone().recipient(), flow: channel.recipient() });
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        #[cfg(test)]
        super::tests::note_session(&ctx.address());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ctx.spawn(Pump(ticks));
    }
}

/// Polls the switchboard with the actor.
struct Pump(Interval);

impl ActorFuture<Session> for Pump {
    type Output = ();

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        session: &mut Session,
        ctx: &mut Context<Session>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        while self.0.poll_tick(cx).is_ready() {
            session.tick(ctx);
        }
        let (allow, address, stopping) = (session.allow.clone(), ctx.address(), session.stopping);
        let polled = session.board.poll(cx, |board, id, open| {
            if stopping {
                let failure = crate::wire::codes::OpenFailure::new(
                    crate::wire::codes::OpenError::Unreachable,
                    "the agent is shutting down",
                );
                board.refuse(id, failure);
            } else {
                open_channel(board, id, open, &allow, &address);
            }
        });
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(end) => {
                session.end(end, ctx);
                Poll::Ready(())
            }
        }
    }
}

impl Handler<Outgoing> for Session {
    type Result = ();

    fn handle(&mut self, message: Outgoing, _: &mut Self::Context) {
        self.board.outgoing(message);
    }
}

impl Handler<Consumed> for Session {
    type Result = ();

    fn handle(&mut self, message: Consumed, _: &mut Self::Context) {
        self.board.consumed(&message);
    }
}

impl Handler<Gone> for Session {
    type Result = ();

    fn handle(&mut self, message: Gone, _: &mut Self::Context) {
        self.board.gone(&message);
    }
}

impl Handler<Dialled> for Session {
    type Result = ();

    fn handle(&mut self, message: Dialled, _: &mut Self::Context) {
        match message.result {
            Ok(()) => self.board.accept(message.channel),
            Err(failure) => self.board.refuse(message.channel, failure),
        }
    }
}

impl Handler<Stop> for Session {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        self.stopping = true;
        self.board.goaway(0);
    }
}
