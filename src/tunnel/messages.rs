//! How the tunnel side's actors address an agent session: by `Recipient`s, never by its type.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{ArbiterHandle, Message, Recipient};

use crate::link::messages::{ChannelKey, ChannelPort, Consumed, Gone, Outgoing, SessionPort};
use crate::wire::codes::SessionClose;
use crate::wire::frame::Open;

/// Channel to session: ask the agent to connect to a target.
#[derive(Message)]
#[rtype(result = "()")]
pub struct OpenChannel {
    pub key: ChannelKey,
    pub open: Open,
    pub port: ChannelPort,
}

/// Close the session, with a code and a reason for the agent.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CloseSession(pub SessionClose);

/// Tell the agent that no more channels will come.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DrainSession;

/// A live session, as others may use it.
#[derive(Clone)]
pub struct SessionHandle {
    /// Rises with each session of this process: a later login has a higher one.
    pub id: u64,
    /// Where the session runs, and its channels beside it.
    pub arbiter: ArbiterHandle,
    pub open: Recipient<OpenChannel>,
    pub outgoing: Recipient<Outgoing>,
    pub consumed: Recipient<Consumed>,
    pub gone: Recipient<Gone>,
    pub close: Recipient<CloseSession>,
    pub drain: Recipient<DrainSession>,
    #[cfg(test)]
    pub panic: Recipient<super::tests::Panic>,
    pub status: Arc<SessionStatus>,
}

impl SessionHandle {
    /// A channel's side of the joint.
    pub fn port(&self, key: ChannelKey) -> SessionPort {
        SessionPort::new(key, self.outgoing.clone(), self.consumed.clone(), self.gone.clone())
    }

    #[expect(clippy::disallowed_methods, reason = "one for each channel")]
    pub fn open(&self, message: OpenChannel) {
        self.open.do_send(message);
    }

    #[expect(clippy::disallowed_methods, reason = "shutdown: one for each session")]
    pub fn close(&self, close: SessionClose) {
        self.close.do_send(CloseSession(close));
    }

    #[expect(clippy::disallowed_methods, reason = "shutdown: one for each session")]
    pub fn drain(&self) {
        self.drain.do_send(DrainSession);
    }
}

/// What a session lets others see while it runs.
#[derive(Debug, Default)]
pub struct SessionStatus {
    rtt_micros: AtomicU64,
    channels: AtomicU64,
}

impl SessionStatus {
    pub fn set(&self, rtt: Option<Duration>, channels: usize) {
        let micros = rtt.map_or(0, |rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX).max(1));
        self.rtt_micros.store(micros, Ordering::Relaxed);
        self.channels.store(channels as u64, Ordering::Relaxed);
    }

    /// Milliseconds, once a ping has been answered.
    pub fn rtt_ms(&self) -> Option<f64> {
        let micros = self.rtt_micros.load(Ordering::Relaxed);
        (micros > 0).then(|| micros as f64 / 1000.0)
    }

    pub fn channels(&self) -> u64 {
        self.channels.load(Ordering::Relaxed)
    }
}
