//! The engine of an agent session, the same at both ends and in both versions: many channels over one WebSocket.
//!
//! Pure: bytes of the peer go in by [`Mux::receive`] and come out as [`Delivery`]s; what the channels send goes in by
//! [`Mux::send`] and comes out of [`Mux::fill`] as WebSocket frames, session and channel control first, then the
//! channels in turn. The caller owns the socket, the clock and the channels.
//!
//! ```text
//! channel:  open ──accept──▶ opened ──FIN sent──▶ half closed ──FIN received──▶ gone
//!             └─refuse─▶ gone  └───────────── RESET, either way ─────────────▶ gone
//! ```

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use self::uncredited::Uncredited;
use super::codes::{OpenError, OpenFailure, ResetCode, SessionClose};
use super::credit::{EARLY_WINDOW, GrowthBudget, INITIAL_WINDOW, ReceiveWindow, SendWindow, initial_window};
use super::frame::{self, Frame, Hello, Limits, Open};
use super::json::{self, Features};
use super::stream::{Delivery, End, Names, Receiving, Sending, Stream};
use super::websocket::{Message, Opcode, Side, put_frame};

mod encode;
mod receive;
mod send;
mod uncredited;

/// A session holds at most this many channels.
pub const MAX_CHANNELS: usize = 16_384;
/// Ids stop here; GOAWAY asks for a new session before they run out.
const LAST_CHANNEL: u32 = u32::MAX - 65_536;
/// Version 1 without `credit`: users are not read while this waits for the agent.
pub const UNCREDITED_WAITING: usize = 1024 * 1024;
/// Version 1 without `shutdown`: after a user's FIN the agent's answer is still delivered until it pauses this long.
pub const LINGER: Duration = Duration::from_secs(5);
/// The last bytes of a channel that has ended wait this long for the peer to take some.
const ORPHAN_LIMIT: Duration = Duration::from_secs(60);

/// Which side of the protocol this is. The server is also the WebSocket's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Server,
    Agent,
}

/// The protocol's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Json,
    Binary,
}

impl Version {
    /// The largest WebSocket message that the peer may send.
    pub fn max_message(self) -> usize {
        match self {
            Self::Json => json::MAX_MESSAGE,
            Self::Binary => frame::MAX_FRAME,
        }
    }
}

/// See the module's documentation.
pub struct Mux {
    role: Role,
    version: Version,
    streams: HashMap<u32, Stream>,
    /// Version 1: channels by `user_id`.
    by_user: HashMap<String, u32>,
    /// Version 1: what both sides know.
    features: Features,
    /// What both sides can take.
    channel_limit: usize,
    /// The highest id so far; a frame for a higher one is a protocol error.
    last_channel: u32,
    greeted: bool,
    going_away: Option<u16>,
    goaway_sent: bool,
    unknown_logged: bool,
    /// Session frames, OPEN, CREDIT, RESET: whole WebSocket frames that go out before any DATA.
    control: BytesMut,
    headers: BytesMut,
    /// Channels that have something to send, in turn.
    turns: VecDeque<u32>,
    waiting: usize,
    taken: Vec<(u32, usize)>,
    deliveries: Vec<Delivery>,
    opens: Vec<(u32, Open)>,
    budget: GrowthBudget,
    rtt: Duration,
    uncredited: Uncredited,
}

impl Mux {
    pub fn new(role: Role, version: Version) -> Self {
        Self {
            role,
            version,
            streams: HashMap::new(),
            by_user: HashMap::new(),
            features: Features::default(),
            channel_limit: MAX_CHANNELS,
            last_channel: 0,
            greeted: false,
            going_away: None,
            goaway_sent: false,
            unknown_logged: false,
            control: BytesMut::new(),
            headers: BytesMut::new(),
            turns: VecDeque::new(),
            waiting: 0,
            taken: Vec::new(),
            deliveries: Vec::new(),
            opens: Vec::new(),
            budget: GrowthBudget::default(),
            rtt: Duration::ZERO,
            uncredited: Uncredited::default(),
        }
    }

    /// Queue this side's HELLO. A version 1 server has none: it answers the agent's.
    pub fn greet(&mut self) {
        match (self.version, self.role) {
            (Version::Binary, _) => {
                let limits = Limits { channels: Some(MAX_CHANNELS as u32) };
                self.control_frame(&Frame::Hello(Hello { versions: vec![2], features: Vec::new(), limits }));
            }
            (Version::Json, Role::Agent) => self.control_text(&json::Message::Hello(Features::ALL).encode("")),
            (Version::Json, Role::Server) => {}
        }
    }

    /// Has the peer said its HELLO (version 1: anything)?
    pub fn greeted(&self) -> bool {
        self.greeted
    }

    /// The code of the peer's GOAWAY.
    pub fn going_away(&self) -> Option<u16> {
        self.going_away
    }

    pub fn channels(&self) -> usize {
        self.streams.len()
    }

    /// Can the agent tell whether it has connected, so that a time limit makes sense?
    pub fn tells_connected(&self) -> bool {
        self.version == Version::Binary || self.features.connected
    }

    pub fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// Take a whole message of the peer. An error closes the session.
    pub fn receive(&mut self, message: Message, now: Instant) -> Result<(), SessionClose> {
        match (self.version, message) {
            (Version::Binary, Message::Binary(bytes)) => self.receive_frame(Frame::decode(bytes)?, now),
            (Version::Json, Message::Text(text)) => self.receive_json(json::Message::decode(&text)?, now),
            (Version::Binary, Message::Text(_)) => Err(SessionClose::protocol("version 2 speaks binary messages")),
            (Version::Json, Message::Binary(_)) => Err(SessionClose::protocol("version 1 speaks text messages")),
            _ => Ok(()),
        }
    }

    /// What has come since the last call, channel by channel.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        let deliveries = std::mem::take(&mut self.deliveries);
        for delivery in &deliveries {
            if let Some(stream) = self.streams.get_mut(&delivery.channel) {
                stream.delivery = None;
            }
        }
        deliveries
    }

    /// The channels that the server has opened since the last call (agent).
    pub fn take_opens(&mut self) -> Vec<(u32, Open)> {
        std::mem::take(&mut self.opens)
    }

    /// How many bytes of which channels have gone into [`fill`](Self::fill)'s output since the last call.
    pub fn take_taken(&mut self) -> Vec<(u32, usize)> {
        std::mem::take(&mut self.taken)
    }

    /// Open a channel (server).
    pub fn open(&mut self, mut open: Open) -> Result<u32, OpenFailure> {
        if self.streams.len() >= self.channel_limit {
            return Err(OpenFailure::new(OpenError::Limit, "the agent's session has no channel left"));
        }
        if self.last_channel >= LAST_CHANNEL {
            self.goaway(0);
            return Err(OpenFailure::new(OpenError::Limit, "the agent's session has used up its channel numbers"));
        }
        self.last_channel += 1;
        let id = self.last_channel;
        let stream = match self.version {
            Version::Binary => {
                let window = initial_window(self.streams.len());
                open.window = Some(window);
                self.control_frame(&Frame::Open(id, open));
                let receiving = Receiving::Window(ReceiveWindow::new(window));
                Stream::new(None, SendWindow::new(EARLY_WINDOW), receiving)
            }
            Version::Json => {
                self.control_text(&json::Message::Connect(open.clone()).encode(""));
                self.named_stream(id, open.proxy_id, open.user_id)
            }
        };
        self.streams.insert(id, stream);
        Ok(id)
    }

    /// The target of an opened channel answered (agent).
    pub fn accept(&mut self, id: u32) {
        // Beside the others, as the server counts.
        let window = initial_window(self.streams.len().saturating_sub(1));
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.opened = true;
        match stream.names.clone() {
            None => {
                if let Receiving::Window(receiving) = &mut stream.receiving {
                    receiving.raise_to(window);
                }
                self.control_frame(&Frame::Opened(id, window));
            }
            Some(names) if names.features.connected => {
                self.control_text(&json::Message::Connected { user_id: names.user_id }.encode(&names.proxy_id));
            }
            Some(_) => {}
        }
        self.schedule(id);
    }

    /// The target of an opened channel cannot be reached (agent).
    pub fn refuse(&mut self, id: u32, failure: OpenFailure) {
        let Some(stream) = self.remove(id) else { return };
        match stream.names {
            None => self.control_frame(&Frame::OpenFailed(id, failure)),
            Some(names) if names.features.error => {
                self.control_text(&json::Message::Error { user_id: names.user_id, failure }.encode(&names.proxy_id));
            }
            Some(names) => {
                self.control_text(&json::Message::Disconnect { user_id: names.user_id }.encode(&names.proxy_id));
            }
        }
    }

    /// Queue a channel's bytes. The caller keeps the amount bounded by waiting for [`take_taken`](Self::take_taken).
    pub fn send(&mut self, id: u32, data: Vec<Bytes>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.sending != Sending::Open {
            return;
        }
        let before = stream.pending_bytes;
        stream.push(data);
        self.waiting += stream.pending_bytes - before;
        self.schedule(id);
    }

    /// This side sends nothing more on the channel, after what is queued.
    pub fn finish(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.sending == Sending::Open {
            stream.sending = Sending::Finishing;
            self.schedule(id);
        }
    }

    /// End a channel at once; what is queued is dropped.
    pub fn reset(&mut self, id: u32, code: ResetCode) {
        self.uncredited.forget(id);
        let Some(stream) = self.remove(id) else { return };
        match stream.names {
            None => self.control_frame(&Frame::Reset(id, code)),
            // Without `shutdown` our FIN was a `proxy_disconnect` already.
            Some(names) if !names.features.shutdown && stream.sending == Sending::Finished => {}
            Some(names) => {
                self.control_text(&json::Message::Disconnect { user_id: names.user_id }.encode(&names.proxy_id));
            }
        }
    }

    /// The channel's owner has gone in good order: what it sent last may still be on its way.
    pub fn forget(&mut self, id: u32, now: Instant) {
        self.uncredited.forget(id);
        match self.streams.get_mut(&id) {
            Some(stream) if stream.peer_finished && stream.sending != Sending::Open => stream.orphaned = Some(now),
            // A direction is open that nobody serves any more.
            _ => self.reset(id, ResetCode::ABORTED),
        }
    }

    /// The channel's owner has taken `bytes` out of its queue.
    pub fn consumed(&mut self, id: u32, bytes: usize, now: Instant) {
        self.uncredited.consume(id, bytes);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Receiving::Window(window) = &mut stream.receiving else { return };
        let Some(credit) = window.consume(bytes, now, self.rtt, &mut self.budget) else { return };
        if stream.peer_finished {
            return;
        }
        match stream.names.clone() {
            None => self.control_frame(&Frame::Credit(id, credit)),
            Some(names) => {
                let message = json::Message::Credit { user_id: names.user_id, bytes: credit };
                self.control_text(&message.encode(&names.proxy_id));
            }
        }
    }

    /// Tell the peer to open no more channels (version 1 has no word for it).
    pub fn goaway(&mut self, code: u16) {
        if self.version == Version::Binary && !std::mem::replace(&mut self.goaway_sent, true) {
            self.control_frame(&Frame::Goaway(code));
        }
    }

    /// Queue a WebSocket control frame.
    pub fn websocket_control(&mut self, opcode: Opcode, payload: &[u8]) {
        put_frame(self.side(), opcode, payload, &mut self.control);
    }

    /// Bytes of control frames that wait for [`fill`](Self::fill).
    pub fn control_len(&self) -> usize {
        self.control.len()
    }

    /// Is there anything for [`fill`](Self::fill)?
    pub fn has_output(&self) -> bool {
        !self.control.is_empty() || !self.turns.is_empty()
    }

    /// Bytes of channels that wait for the socket or for credit.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Without windows the session itself is the limit.
    pub fn is_credited(&self) -> bool {
        self.version == Version::Binary || self.features.credit
    }

    /// Version 1 without `credit`: must the session not be read until users have taken more?
    pub fn blocked(&self) -> bool {
        self.uncredited.blocked()
    }

    /// Version 1 without `credit`: the channels whose users have not taken what came for them.
    pub fn holding(&self) -> impl Iterator<Item = u32> + '_ {
        self.uncredited.holding()
    }

    /// End the channels whose agent has had its time to answer after a FIN that it could only take as a whole end, and
    /// those whose owner is gone and whose peer takes nothing of what is left.
    pub fn expire(&mut self, now: Instant) {
        let stuck = |stream: &Stream| stream.orphaned.is_some_and(|since| now - since >= ORPHAN_LIMIT);
        let ids: Vec<u32> = self.streams.iter().filter(|(_, stream)| stuck(stream)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.reset(id, ResetCode::IDLE));
        let over = |stream: &Stream| stream.lingering_since.is_some_and(|since| now - since >= LINGER);
        let ids: Vec<u32> = self.streams.iter().filter(|(_, stream)| over(stream)).map(|(id, _)| *id).collect();
        for id in ids {
            self.deliver(id).end = Some(End::Disconnected);
            self.remove(id);
        }
    }

    fn side(&self) -> Side {
        if self.role == Role::Server { Side::Server } else { Side::Client }
    }

    /// A channel of version 1, with the limits that were agreed on.
    fn named_stream(&mut self, id: u32, proxy_id: String, user_id: String) -> Stream {
        self.by_user.insert(user_id.clone(), id);
        let (send, receiving) = if self.features.credit {
            (SendWindow::new(INITIAL_WINDOW), Receiving::Window(ReceiveWindow::new(INITIAL_WINDOW)))
        } else {
            (SendWindow::unlimited(), Receiving::Counted)
        };
        let mut stream = Stream::new(Some(Names { proxy_id, user_id, features: self.features }), send, receiving);
        // Without `proxy_connected` an open channel cannot be told from one that is being opened.
        stream.opened = !self.features.connected;
        stream
    }

    fn remove(&mut self, id: u32) -> Option<Stream> {
        let mut stream = self.streams.remove(&id)?;
        self.waiting -= stream.pending_bytes;
        if let Receiving::Window(window) = &mut stream.receiving {
            window.release(&mut self.budget);
        }
        if let Some(names) = &stream.names {
            self.by_user.remove(&names.user_id);
        }
        Some(stream)
    }

    fn control_frame(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::with_capacity(64);
        frame.encode(&mut bytes);
        put_frame(self.side(), Opcode::Binary, &bytes, &mut self.control);
    }

    fn control_text(&mut self, text: &str) {
        put_frame(self.side(), Opcode::Text, text.as_bytes(), &mut self.control);
    }

    /// The channel's place in this batch's deliveries.
    fn deliver(&mut self, id: u32) -> &mut Delivery {
        let next = self.deliveries.len();
        let index = self.streams.get_mut(&id).map_or(next, |stream| *stream.delivery.get_or_insert(next));
        if index == next {
            self.deliveries.push(Delivery { channel: id, opened: false, data: Vec::new(), end: None });
        }
        &mut self.deliveries[index]
    }

    fn note_unknown(&mut self, kind: &str) {
        if !std::mem::replace(&mut self.unknown_logged, true) {
            let kind: String = kind.chars().take(64).collect();
            tracing::info!(kind, "the peer sends messages of another kind, which are ignored");
        }
    }
}

#[cfg(test)]
mod tests;
