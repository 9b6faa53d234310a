//! Channel: one connection from the agent to a target.
//!
//! Started by the [Session](super::session) for each OPEN. It dials, tells the session `Dialled`, and then moves bytes
//! between the target's socket and the session. It ends when both directions have ended, at a reset, when the target
//! cannot be reached, or when the session is lost; its [`SessionPort`] tells the session.

use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use actix::fut::ActorFuture;
use actix::prelude::*;
use tokio::net::TcpStream;
use tracing::Span;

use super::allow::AllowList;
use super::dial::dial;
use crate::link::leg::{Leg, LegEnd};
use crate::link::messages::{Flow, Incoming, SessionPort};
use crate::wire::codes::OpenFailure;
use crate::wire::frame::Open;

/// Channel to session: the target answered, or why not.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Dialled {
    pub channel: u32,
    pub result: Result<(), OpenFailure>,
}

/// See the module's documentation.
pub struct Channel {
    channel: u32,
    open: Open,
    allow: Rc<AllowList>,
    dialled: Recipient<Dialled>,
    /// Until the target has answered.
    session: Option<SessionPort>,
    /// What came before that: at most the early window.
    early: Vec<Incoming>,
    early_flow: Vec<Flow>,
    leg: Option<Leg>,
    span: Span,
}

impl Channel {
    pub fn new(
        channel: u32,
        open: Open,
        allow: Rc<AllowList>,
        dialled: Recipient<Dialled>,
        session: SessionPort,
    ) -> Self {
        let target = format!("{}:{}", open.remote_host, open.remote_port);
        let span = tracing::info_span!("channel", user_id = open.user_id, proxy_id = open.proxy_id, target);
        Self {
            channel,
            open,
            allow,
            dialled,
            session: Some(session),
            early: Vec::new(),
            early_flow: Vec::new(),
            leg: None,
            span,
        }
    }

    fn dial_ended(&mut self, result: Result<TcpStream, OpenFailure>, ctx: &mut Context<Self>) {
        let Some(mut session) = self.session.take() else { return };
        let result = match result {
            Ok(socket) => {
                let mut leg = Leg::new(socket, session);
                self.early.drain(..).for_each(|incoming| leg.incoming(incoming));
                self.early_flow.drain(..).for_each(|flow| leg.flow(flow));
                self.leg = Some(leg);
                ctx.spawn(Pump);
                Ok(())
            }
            Err(failure) => {
                self.span.in_scope(|| tracing::warn!(%failure, "the target cannot be reached"));
                session.set_reset(None);
                ctx.stop();
                // After the refusal, so that the session still knows the channel when it comes.
                self.session = Some(session);
                Err(failure)
            }
        };
        self.report(result);
    }

    #[expect(clippy::disallowed_methods, reason = "one for each channel")]
    fn report(&self, result: Result<(), OpenFailure>) {
        self.dialled.do_send(Dialled { channel: self.channel, result });
    }

    fn ended(&self, end: &LegEnd) {
        self.span.in_scope(|| match end {
            LegEnd::Finished => tracing::debug!("closed"),
            end => tracing::debug!(%end, "ended"),
        });
    }
}

impl Actor for Channel {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        #[cfg(test)]
        super::tests::note_channel(&ctx.address());
        let (open, allow) = (self.open.clone(), self.allow.clone());
        let dial = async move { dial(&open.remote_host, open.remote_port, &allow).await };
        ctx.spawn(dial.into_actor(self).map(|result, channel, ctx| channel.dial_ended(result, ctx)));
    }
}

impl Handler<Incoming> for Channel {
    type Result = ();

    fn handle(&mut self, incoming: Incoming, ctx: &mut Self::Context) {
        match &mut self.leg {
            Some(leg) => leg.incoming(incoming),
            None if incoming.end.as_ref().is_some_and(ends_at_once) => {
                if let Some(session) = &mut self.session {
                    session.set_reset(None);
                }
                ctx.stop();
            }
            None => self.early.push(incoming),
        }
    }
}

fn ends_at_once(end: &crate::link::messages::IncomingEnd) -> bool {
    use crate::link::messages::IncomingEnd::{Disconnected, Finished};
    !matches!(end, Finished | Disconnected)
}

impl Handler<Flow> for Channel {
    type Result = ();

    fn handle(&mut self, flow: Flow, _: &mut Self::Context) {
        match &mut self.leg {
            Some(leg) => leg.flow(flow),
            None => self.early_flow.push(flow),
        }
    }
}

/// Polls the leg with the actor.
struct Pump;

impl ActorFuture<Channel> for Pump {
    type Output = ();

    fn poll(
        self: std::pin::Pin<&mut Self>,
        channel: &mut Channel,
        ctx: &mut Context<Channel>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let Some(leg) = &mut channel.leg else { return Poll::Ready(()) };
        match leg.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(end) => {
                channel.ended(&end);
                ctx.stop();
                Poll::Ready(())
            }
        }
    }
}
