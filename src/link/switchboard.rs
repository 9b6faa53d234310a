//! Joins a session's [`Link`] to its channels.
//!
//! What the peer sent goes to the channels as one [`Incoming`] each and batch; what the channels send goes to the
//! link, which writes it in turns. The owner (AgentSession on the server, Session on the agent) polls it and hands it
//! the messages that channels send.

use std::collections::HashMap;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::messages::{
    ALLOWANCE, CROWDED_ALLOWANCE, ChannelKey, ChannelPort, Consumed, Flow, Gone, Incoming, IncomingEnd, Outgoing,
    WORTH_TELLING,
};
use super::websocket::{Link, LinkEnd};
use crate::wire::codes::{ResetCode, SessionClose};
use crate::wire::credit::CROWDED;
use crate::wire::frame::Open;
use crate::wire::mux::UNCREDITED_WAITING;
use crate::wire::stream::{Delivery, End};

/// Batches that are read before everything else of the thread gets its turn.
const READS_PER_POLL: usize = 8;
/// Version 1 without `credit`: a user who takes nothing for this long while the session waits is disconnected.
const BLOCKED_LIMIT: Duration = Duration::from_secs(30);

/// See the module's documentation.
pub struct Switchboard {
    link: Link,
    channels: HashMap<u32, Channel>,
    ids: HashMap<ChannelKey, u32>,
    paused: bool,
    /// Since when users hold up the whole session: version 1 without `credit`.
    blocked: Option<Instant>,
}

struct Channel {
    key: ChannelKey,
    port: ChannelPort,
    /// Has the allowance of a session that is not crowded.
    raised: bool,
    /// On its way to the peer, and not yet told to the channel.
    taken: usize,
    /// When its user last took something.
    consumed: Instant,
}

impl Switchboard {
    pub fn new(link: Link) -> Self {
        Self { link, channels: HashMap::new(), ids: HashMap::new(), paused: false, blocked: None }
    }

    /// Live channels, and those of which only the last bytes are still to be sent.
    pub fn channels(&self) -> usize {
        self.channels.len().max(self.link.mux.channels())
    }

    pub fn rtt(&self) -> Option<Duration> {
        self.link.rtt()
    }

    /// Has the peer said its HELLO?
    pub fn greeted(&self) -> bool {
        self.link.mux.greeted()
    }

    pub fn going_away(&self) -> Option<u16> {
        self.link.mux.going_away()
    }

    pub fn goaway(&mut self, code: u16) {
        self.link.mux.goaway(code);
    }

    pub fn close(&mut self, close: SessionClose) {
        self.link.close(close, Instant::now());
    }

    /// Ask the agent to open a channel (server). The answer comes to `port`.
    pub fn open(&mut self, key: ChannelKey, open: Open, port: ChannelPort) {
        match self.link.mux.open(open) {
            Ok(id) => {
                if !self.link.mux.tells_connected() {
                    port.deliver(Incoming { opened: true, data: Vec::new(), end: None });
                }
                self.attach(id, key, port);
            }
            Err(failure) => {
                let end = Some(IncomingEnd::Failed(failure));
                port.deliver(Incoming { opened: false, data: Vec::new(), end });
            }
        }
    }

    /// Join a channel that the server has opened (agent).
    pub fn attach(&mut self, id: u32, key: ChannelKey, port: ChannelPort) {
        if !self.link.mux.is_credited() {
            port.flow(Flow::TellAll);
        }
        if self.paused {
            port.flow(Flow::Pause);
        }
        self.ids.insert(key, id);
        self.channels.insert(id, Channel { key, port, raised: false, taken: 0, consumed: Instant::now() });
    }

    /// The target of a channel answered (agent).
    pub fn accept(&mut self, id: u32) {
        self.link.mux.accept(id);
    }

    /// The target of a channel cannot be reached (agent).
    pub fn refuse(&mut self, id: u32, failure: crate::wire::codes::OpenFailure) {
        self.link.mux.refuse(id, failure);
    }

    pub fn outgoing(&mut self, message: Outgoing) {
        let Some(id) = self.ids.get(&message.key).copied() else { return };
        if !message.data.is_empty() {
            self.link.mux.send(id, message.data);
        }
        if message.finish {
            self.link.mux.finish(id);
        }
    }

    pub fn consumed(&mut self, message: &Consumed) {
        let Some(id) = self.ids.get(&message.key).copied() else { return };
        let now = Instant::now();
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.consumed = now;
        }
        self.link.mux.consumed(id, message.bytes, now);
    }

    pub fn gone(&mut self, message: &Gone) {
        let Some(id) = self.ids.remove(&message.key) else { return };
        self.channels.remove(&id);
        match message.reset {
            Some(code) => self.link.mux.reset(id, code),
            None => self.link.mux.forget(id, Instant::now()),
        }
    }

    /// Once a second. Returns the session's end, if this is it.
    pub fn tick(&mut self) -> Option<LinkEnd> {
        let now = Instant::now();
        self.link.mux.expire(now);
        self.dispatch();
        self.blocked = self.link.mux.blocked().then(|| self.blocked.unwrap_or(now));
        if let Some(since) = self.blocked {
            self.disconnect_those_who_take_nothing(since, now);
        }
        self.link.tick(now)
    }

    /// Read and write as far as it goes. `opened` makes the channel for each OPEN of the server (agent).
    pub fn poll(&mut self, cx: &mut Context<'_>, mut opened: impl FnMut(&mut Self, u32, Open)) -> Poll<LinkEnd> {
        // First, since a channel's bytes are mostly what woke the session.
        if let Poll::Ready(Err(end)) = self.link.poll_write(cx) {
            return Poll::Ready(end);
        }
        for turn in 0.. {
            match self.link.poll_read(cx, Instant::now()) {
                Poll::Pending => break,
                Poll::Ready(Err(end)) => {
                    self.dispatch();
                    return Poll::Ready(end);
                }
                Poll::Ready(Ok(())) => {
                    for (id, open) in self.link.mux.take_opens() {
                        opened(self, id, open);
                    }
                    self.dispatch();
                }
            }
            if turn == READS_PER_POLL {
                cx.waker().wake_by_ref();
                break;
            }
        }
        let wrote = self.link.poll_write(cx);
        self.return_allowances();
        match wrote {
            Poll::Ready(Err(end)) => Poll::Ready(end),
            _ => Poll::Pending,
        }
    }

    fn dispatch(&mut self) {
        for Delivery { channel, opened, data, end } in self.link.mux.take_deliveries() {
            let Some(channel) = self.channels.get(&channel) else { continue };
            let end = end.map(|end| match end {
                End::Finished => IncomingEnd::Finished,
                End::Disconnected => IncomingEnd::Disconnected,
                End::Reset(code) => IncomingEnd::Reset(code),
                End::Failed(failure) => IncomingEnd::Failed(failure),
            });
            channel.port.deliver(Incoming { opened, data, end });
        }
    }

    fn return_allowances(&mut self) {
        let crowded = self.channels.len() >= CROWDED;
        for (id, bytes) in self.link.mux.take_taken() {
            let Some(channel) = self.channels.get_mut(&id) else { continue };
            channel.taken += bytes;
            if channel.taken < WORTH_TELLING {
                continue;
            }
            let raise = !crowded && !channel.raised;
            channel.raised |= raise;
            let more = if raise { ALLOWANCE - CROWDED_ALLOWANCE } else { 0 };
            channel.port.flow(Flow::Taken(std::mem::take(&mut channel.taken) + more));
        }
        self.pause_or_resume();
    }

    /// Without windows, users are not read while too much waits for the agent.
    fn pause_or_resume(&mut self) {
        let (waiting, limited) = (self.link.mux.waiting(), !self.link.mux.is_credited());
        let flow = match self.paused {
            false if limited && waiting >= UNCREDITED_WAITING => Flow::Pause,
            // Windows were agreed on in the meantime.
            true if !limited => Flow::Resume,
            true if waiting <= UNCREDITED_WAITING / 2 => Flow::Resume,
            _ => return,
        };
        self.paused = flow == Flow::Pause;
        self.channels.values().for_each(|channel| channel.port.flow(flow));
    }

    fn disconnect_those_who_take_nothing(&mut self, since: Instant, now: Instant) {
        let stuck: Vec<u32> = self.link.mux.holding().collect();
        for id in stuck {
            match self.channels.get(&id) {
                Some(channel) if now - channel.consumed.max(since) < BLOCKED_LIMIT => {}
                Some(channel) => {
                    let end = Some(IncomingEnd::Reset(ResetCode::ABORTED));
                    channel.port.deliver(Incoming { opened: false, data: Vec::new(), end });
                    tracing::info!(channel.key, "the user takes nothing and holds up the agent: disconnected");
                    self.link.mux.reset(id, ResetCode::ABORTED);
                }
                None => self.link.mux.forget(id, now),
            }
        }
    }
}
