//! The relay messages: the joint between a channel and its session. Each knows the other by these `Recipient`s alone.
//!
//! They are sent by `do_send`, which queues without bound, because what they carry is bounded: data towards the peer
//! by the channel's [`ALLOWANCE`]; data from the peer by the channel's window, or without one by what the session may
//! hold; what tells of progress by the data that it tells of; and everything else comes once or twice a channel.

use actix::{Message, Recipient};
use bytes::Bytes;

use crate::wire::codes::{OpenFailure, ResetCode};

/// What a channel may have read from its socket and not yet seen on its way to the peer, in bytes.
pub const ALLOWANCE: usize = 512 * 1024;
/// The same once a session has many channels.
pub const CROWDED_ALLOWANCE: usize = 64 * 1024;

/// What a channel or its session tells the other about the progress of bytes is told once it is this much: a message for
/// each keystroke would cost more than the keystroke. A window or an allowance is several times as large.
pub const WORTH_TELLING: usize = 8 * 1024;

/// Names a channel in its session: on the server the number in `user_id`, on the agent the session's own.
pub type ChannelKey = u64;

/// Channel to session: bytes for the peer, and whether they are the last.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Outgoing {
    pub key: ChannelKey,
    pub data: Vec<Bytes>,
    pub finish: bool,
}

/// Channel to session: so much of what the peer sent has left the queue.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Consumed {
    pub key: ChannelKey,
    pub bytes: usize,
}

/// Channel to session: the channel is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Gone {
    pub key: ChannelKey,
    /// None: both directions ended in order.
    pub reset: Option<ResetCode>,
}

/// Session to channel: what the peer sent.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Incoming {
    pub opened: bool,
    pub data: Vec<Bytes>,
    pub end: Option<IncomingEnd>,
}

/// How the peer's direction, or the whole channel, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncomingEnd {
    Finished,
    Disconnected,
    Reset(ResetCode),
    Failed(OpenFailure),
    /// The session ended under the channel.
    SessionLost,
}

/// Session to channel: how reading goes on.
#[derive(Message, Debug, Clone, Copy, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum Flow {
    /// So many of the channel's bytes are on their way: as many may be read again.
    Taken(usize),
    /// Tell of every byte that has left the queue: without windows they are all counted.
    TellAll,
    /// Read nothing for now.
    Pause,
    Resume,
}

/// A channel's side of the joint, held by its session. Its `Drop` is the notice that the session is gone.
pub struct ChannelPort {
    pub incoming: Recipient<Incoming>,
    pub flow: Recipient<Flow>,
}

impl ChannelPort {
    #[expect(clippy::disallowed_methods, reason = "bounded by the channel's window")]
    pub fn deliver(&self, incoming: Incoming) {
        self.incoming.do_send(incoming);
    }

    #[expect(clippy::disallowed_methods, reason = "bounded by what the channel sent before")]
    pub fn flow(&self, flow: Flow) {
        self.flow.do_send(flow);
    }
}

impl Drop for ChannelPort {
    fn drop(&mut self) {
        self.deliver(Incoming { opened: false, data: Vec::new(), end: Some(IncomingEnd::SessionLost) });
    }
}

/// A session's side of the joint, held by a channel. Its `Drop` tells the session that the channel is gone: a reset,
/// unless both directions have ended.
pub struct SessionPort {
    key: ChannelKey,
    outgoing: Recipient<Outgoing>,
    consumed: Recipient<Consumed>,
    gone: Recipient<Gone>,
    reset: Option<ResetCode>,
}

impl SessionPort {
    pub fn new(
        key: ChannelKey,
        outgoing: Recipient<Outgoing>,
        consumed: Recipient<Consumed>,
        gone: Recipient<Gone>,
    ) -> Self {
        Self { key, outgoing, consumed, gone, reset: Some(ResetCode::ABORTED) }
    }

    pub fn key(&self) -> ChannelKey {
        self.key
    }

    #[expect(clippy::disallowed_methods, reason = "bounded by the channel's allowance")]
    pub fn send(&self, data: Vec<Bytes>, finish: bool) {
        self.outgoing.do_send(Outgoing { key: self.key, data, finish });
    }

    #[expect(clippy::disallowed_methods, reason = "bounded by what the session delivered before")]
    pub fn consumed(&self, bytes: usize) {
        self.consumed.do_send(Consumed { key: self.key, bytes });
    }

    /// What the session is told at the end: None when both directions ended in order.
    pub fn set_reset(&mut self, reset: Option<ResetCode>) {
        self.reset = reset;
    }
}

impl Drop for SessionPort {
    #[expect(clippy::disallowed_methods, reason = "a death notice: one for each channel")]
    fn drop(&mut self) {
        self.gone.do_send(Gone { key: self.key, reset: self.reset });
    }
}
