//! What goes out: control first, then the channels in turn.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::super::frame::{self, Frame};
use super::super::json;
use super::super::stream::Sending;
use super::super::websocket::{Opcode, put_frame, put_header};
use super::{Mux, encode};

/// A channel's turn: so much goes out before the next one's.
pub(super) const TURN: usize = 256 * 1024;

impl Mux {
    /// Move frames to `out` until about `limit` bytes stand there.
    pub fn fill(&mut self, out: &mut VecDeque<Bytes>, limit: usize, now: Instant) -> usize {
        let mut filled = self.control.len();
        if filled > 0 {
            out.push_back(self.control.split().freeze());
        }
        while filled < limit {
            let Some(id) = self.turns.pop_front() else { break };
            filled += self.turn(id, out, now);
            self.schedule(id);
        }
        filled
    }

    /// Give the channel a turn if it has something that may go out.
    pub(super) fn schedule(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.scheduled
            && stream.sendable()
        {
            stream.scheduled = true;
            self.turns.push_back(id);
        }
    }

    /// One channel's turn: some of its data, or its FIN.
    fn turn(&mut self, id: u32, out: &mut VecDeque<Bytes>, now: Instant) -> usize {
        let side = self.side();
        let Some(stream) = self.streams.get_mut(&id) else { return 0 };
        stream.scheduled = false;
        let before = stream.pending_bytes;
        let mut filled = 0;
        while filled < TURN {
            let size = stream.pending_bytes.min(stream.send.available());
            if size == 0 {
                break;
            }
            filled += match &stream.names {
                None => encode::binary(side, id, stream, size.min(frame::MAX_DATA), &mut self.headers, out),
                Some(_) => encode::json(side, stream, size.min(json::MAX_DATA), &mut self.headers, out),
            };
        }
        let moved = before - stream.pending_bytes;
        if moved > 0 {
            stream.orphaned = stream.orphaned.map(|_| now);
            self.waiting -= moved;
            match self.taken.last_mut() {
                Some((last, bytes)) if *last == id => *bytes += moved,
                _ => self.taken.push((id, moved)),
            }
        }
        if stream.pending_bytes == 0 && stream.sending == Sending::Finishing {
            filled += self.send_fin(id, out, now);
        }
        filled
    }

    fn send_fin(&mut self, id: u32, out: &mut VecDeque<Bytes>, now: Instant) -> usize {
        let side = self.side();
        let Some(stream) = self.streams.get_mut(&id) else { return 0 };
        stream.sending = Sending::Finished;
        let mut bytes = BytesMut::new();
        match &stream.names {
            None => {
                put_header(side, Opcode::Binary, frame::HEADER, &mut bytes);
                Frame::Fin(id).encode(&mut bytes);
            }
            Some(names) => {
                let user_id = names.user_id.clone();
                let message = if names.features.shutdown {
                    json::Message::Shutdown { user_id }
                } else {
                    stream.lingering_since = Some(now);
                    json::Message::Disconnect { user_id }
                };
                put_frame(side, Opcode::Text, message.encode(&names.proxy_id).as_bytes(), &mut bytes);
            }
        }
        if stream.peer_finished {
            self.remove(id);
        }
        let size = bytes.len();
        out.push_back(bytes.freeze());
        size
    }
}
