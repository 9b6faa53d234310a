//! One channel's state inside the [mux](super::mux).

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::codes::{OpenFailure, ResetCode};
use super::credit::{Overrun, ReceiveWindow, SendWindow};
use super::json::Features;

/// How the peer's direction of a channel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// FIN: the other direction stays open.
    Finished,
    /// Version 1 without `shutdown`: an ordinary end of both directions.
    Disconnected,
    /// Both directions, at once; what was queued is dropped.
    Reset(ResetCode),
    /// The agent could not connect to the target.
    Failed(OpenFailure),
}

/// What one batch of the peer's frames brought for one channel.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery {
    pub channel: u32,
    pub opened: bool,
    pub data: Vec<Bytes>,
    pub end: Option<End>,
}

/// Whether this side still sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    Open,
    /// FIN goes out after what is pending.
    Finishing,
    Finished,
}

/// What limits the peer on this channel.
#[derive(Debug)]
pub(super) enum Receiving {
    Window(ReceiveWindow),
    /// Version 1 without `credit`: only counted; the session stops reading beyond a limit.
    Counted,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// Version 1 names a channel by these on the wire.
    pub names: Option<Names>,
    pub opened: bool,
    pub pending: VecDeque<Bytes>,
    pub pending_bytes: usize,
    pub send: SendWindow,
    pub sending: Sending,
    /// Stands in the queue of channels whose turn comes.
    pub scheduled: bool,
    pub receiving: Receiving,
    pub peer_finished: bool,
    /// Where this batch's delivery stands.
    pub delivery: Option<usize>,
    /// When the peer last sent something after our FIN.
    pub lingering_since: Option<Instant>,
    /// When something last went out after the channel's owner had gone.
    pub orphaned: Option<Instant>,
}

#[derive(Debug, Clone)]
pub(super) struct Names {
    pub proxy_id: String,
    pub user_id: String,
    /// What had been agreed on when the channel was opened.
    pub features: Features,
}

impl Stream {
    pub fn new(names: Option<Names>, send: SendWindow, receiving: Receiving) -> Self {
        Self {
            names,
            opened: false,
            pending: VecDeque::new(),
            pending_bytes: 0,
            send,
            sending: Sending::Open,
            scheduled: false,
            receiving,
            peer_finished: false,
            delivery: None,
            lingering_since: None,
            orphaned: None,
        }
    }

    /// Is there something that may go out now?
    pub fn sendable(&self) -> bool {
        (self.pending_bytes > 0 && self.send.available() > 0)
            || (self.pending_bytes == 0 && self.sending == Sending::Finishing)
    }

    pub fn push(&mut self, data: Vec<Bytes>) {
        for piece in data {
            self.pending_bytes += piece.len();
            self.pending.push_back(piece);
        }
    }

    /// Move at most `limit` pending bytes to `out`, as slices.
    pub fn move_pending(&mut self, limit: usize, out: &mut VecDeque<Bytes>) {
        let mut left = limit;
        while left > 0 {
            let Some(front) = self.pending.front_mut() else { break };
            let piece =
                if front.len() <= left { self.pending.pop_front().unwrap_or_default() } else { front.split_to(left) };
            left -= piece.len();
            out.push_back(piece);
        }
        self.pending_bytes -= limit - left;
        self.send.take(limit - left);
    }

    pub fn receive(&mut self, bytes: usize, now: Instant) -> Result<(), Overrun> {
        if self.lingering_since.is_some() {
            self.lingering_since = Some(now);
        }
        match &mut self.receiving {
            Receiving::Window(window) => window.receive(bytes, now),
            Receiving::Counted => Ok(()),
        }
    }

    /// Has version 1 without `shutdown` no way to end one direction here?
    pub fn ends_whole(&self) -> bool {
        self.names.as_ref().is_some_and(|names| !names.features.shutdown)
    }
}
