//! What the peer's frames and messages do to a session.

use std::time::Instant;

use bytes::Bytes;

use super::super::codes::{OpenError, OpenFailure, ResetCode, SessionClose};
use super::super::credit::{EARLY_WINDOW, ReceiveWindow, SendWindow};
use super::super::frame::{Frame, Open};
use super::super::json::{self, Features};
use super::super::stream::{End, Receiving, Sending, Stream};
use super::{MAX_CHANNELS, Mux, Role};

impl Mux {
    pub(super) fn receive_frame(&mut self, frame: Frame, now: Instant) -> Result<(), SessionClose> {
        if !self.greeted && !matches!(frame, Frame::Hello(_)) {
            return Err(SessionClose::protocol("the first frame is HELLO"));
        }
        match frame {
            Frame::Hello(_) if self.greeted => Err(SessionClose::protocol("HELLO comes once")),
            Frame::Hello(hello) if !hello.versions.contains(&2) => {
                Err(SessionClose::protocol("the peer does not speak version 2"))
            }
            Frame::Hello(hello) => {
                self.greeted = true;
                self.channel_limit =
                    hello.limits.channels.map_or(MAX_CHANNELS, |limit| MAX_CHANNELS.min(limit as usize));
                Ok(())
            }
            Frame::Goaway(code) => {
                self.going_away = Some(code);
                Ok(())
            }
            Frame::Open(id, open) => self.opened_by_server(id, open),
            Frame::Opened(id, window) => self.opened_by_agent(id, window),
            Frame::OpenFailed(id, failure) => self.failed_by_agent(id, failure),
            Frame::Data(id, data) => self.known(id)?.map_or(Ok(()), |id| self.data(id, data, now)),
            Frame::Credit(id, bytes) => {
                if let Some(id) = self.known(id)? {
                    self.credit(id, bytes);
                }
                Ok(())
            }
            Frame::Fin(id) => {
                if let Some(id) = self.known(id)? {
                    self.peer_finished(id);
                }
                Ok(())
            }
            Frame::Reset(id, code) => {
                if let Some(id) = self.known(id)? {
                    self.peer_ended(id, End::Reset(code));
                }
                Ok(())
            }
        }
    }

    /// The channel if it is live, None if it has ended; one that was never opened is a protocol error.
    fn known(&self, id: u32) -> Result<Option<u32>, SessionClose> {
        if id > self.last_channel {
            return Err(SessionClose::protocol(format!("channel {id} was never opened")));
        }
        Ok(self.streams.contains_key(&id).then_some(id))
    }

    fn opened_by_server(&mut self, id: u32, open: Open) -> Result<(), SessionClose> {
        if self.role == Role::Server {
            return Err(SessionClose::protocol("only the server opens channels"));
        }
        if id <= self.last_channel {
            return Err(SessionClose::protocol(format!("channel {id} was used before")));
        }
        self.last_channel = id;
        let full = self.streams.len() >= MAX_CHANNELS;
        let send = SendWindow::new(open.window.unwrap_or(EARLY_WINDOW));
        let receiving = Receiving::Window(ReceiveWindow::new(EARLY_WINDOW));
        self.streams.insert(id, Stream::new(None, send, receiving));
        if full {
            self.refuse(id, OpenFailure::new(OpenError::Limit, "the session has no channel left"));
        } else {
            self.opens.push((id, open));
        }
        Ok(())
    }

    fn opened_by_agent(&mut self, id: u32, window: u32) -> Result<(), SessionClose> {
        if self.role == Role::Agent {
            return Err(SessionClose::protocol("only the agent answers OPENED"));
        }
        let Some(id) = self.known(id)? else { return Ok(()) };
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if stream.opened || window < EARLY_WINDOW {
            return Err(SessionClose::protocol("OPENED comes once, with a window of at least 64 KiB"));
        }
        stream.opened = true;
        stream.send.set_total(window);
        self.deliver(id).opened = true;
        self.schedule(id);
        Ok(())
    }

    fn failed_by_agent(&mut self, id: u32, failure: OpenFailure) -> Result<(), SessionClose> {
        if self.role == Role::Agent {
            return Err(SessionClose::protocol("only the agent answers OPEN_FAILED"));
        }
        let Some(id) = self.known(id)? else { return Ok(()) };
        if self.streams.get(&id).is_some_and(|stream| stream.opened) {
            return Err(SessionClose::protocol("OPEN_FAILED after OPENED"));
        }
        self.peer_ended(id, End::Failed(failure));
        Ok(())
    }

    fn data(&mut self, id: u32, data: Bytes, now: Instant) -> Result<(), SessionClose> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if self.role == Role::Server && !stream.opened && stream.names.is_none() {
            return Err(SessionClose::protocol("DATA before OPENED"));
        }
        if stream.peer_finished {
            self.abort(id, ResetCode::ABORTED);
            return Ok(());
        }
        if stream.receive(data.len(), now).is_err() {
            self.abort(id, ResetCode::WINDOW_OVERRUN);
            return Ok(());
        }
        if matches!(stream.receiving, Receiving::Counted) {
            self.uncredited.hold(id, data.len());
        }
        if !data.is_empty() {
            self.deliver(id).data.push(data);
        }
        Ok(())
    }

    fn credit(&mut self, id: u32, bytes: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.send.add(bytes);
            self.schedule(id);
        }
    }

    fn peer_finished(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if std::mem::replace(&mut stream.peer_finished, true) {
            return self.abort(id, ResetCode::ABORTED);
        }
        let done = stream.sending == Sending::Finished;
        self.deliver(id).end = Some(End::Finished);
        if done {
            self.remove(id);
        }
    }

    /// Both directions are over by the peer's word; only an ordinary end keeps what came before.
    fn peer_ended(&mut self, id: u32, end: End) {
        let delivery = self.deliver(id);
        if end != End::Disconnected {
            delivery.data.clear();
        }
        delivery.end = Some(end);
        self.remove(id);
    }

    /// The peer broke the rules of one channel: it ends, and nothing else does.
    fn abort(&mut self, id: u32, code: ResetCode) {
        let delivery = self.deliver(id);
        delivery.data.clear();
        delivery.end = Some(End::Reset(code));
        self.reset(id, code);
    }

    pub(super) fn receive_json(&mut self, message: json::Message, now: Instant) -> Result<(), SessionClose> {
        let first = !std::mem::replace(&mut self.greeted, true);
        match message {
            json::Message::Hello(offered) => self.json_hello(first, offered),
            json::Message::Unknown(kind) => self.note_unknown(&kind),
            json::Message::Connect(open) => return self.json_connect(open),
            json::Message::Data { user_id, data } => {
                if let Some(id) = self.named(&user_id) {
                    return self.data(id, data, now);
                }
            }
            json::Message::Disconnect { user_id } => {
                if let Some(id) = self.named(&user_id) {
                    let whole = self.streams.get(&id).is_some_and(Stream::ends_whole);
                    self.peer_ended(id, if whole { End::Disconnected } else { End::Reset(ResetCode::ABORTED) });
                }
            }
            json::Message::Connected { user_id } => {
                if let Some(id) = self.named(&user_id)
                    && let Some(stream) = self.streams.get_mut(&id)
                {
                    stream.opened = true;
                    self.deliver(id).opened = true;
                }
            }
            json::Message::Error { user_id, failure } => {
                if let Some(id) = self.named(&user_id) {
                    self.peer_ended(id, End::Failed(failure));
                }
            }
            json::Message::Shutdown { user_id } => {
                if let Some(id) = self.named(&user_id) {
                    self.peer_finished(id);
                }
            }
            json::Message::Credit { user_id, bytes } => {
                if let Some(id) = self.named(&user_id) {
                    self.credit(id, bytes);
                }
            }
        }
        Ok(())
    }

    fn named(&self, user_id: &str) -> Option<u32> {
        self.by_user.get(user_id).copied()
    }

    fn json_hello(&mut self, first: bool, offered: Features) {
        match (self.role, first) {
            (Role::Agent, _) => self.features = offered,
            (Role::Server, true) => {
                self.features = offered;
                self.control_text(&json::Message::Hello(offered).encode(""));
            }
            (Role::Server, false) => self.note_unknown("hello"),
        }
    }

    fn json_connect(&mut self, open: Open) -> Result<(), SessionClose> {
        if self.role == Role::Server {
            return Err(SessionClose::protocol("only the server sends proxy_connect"));
        }
        if self.by_user.contains_key(&open.user_id) {
            return Err(SessionClose::protocol(format!("{} is connected already", open.user_id)));
        }
        self.last_channel += 1;
        let id = self.last_channel;
        let full = self.streams.len() >= MAX_CHANNELS;
        let stream = self.named_stream(id, open.proxy_id.clone(), open.user_id.clone());
        self.streams.insert(id, stream);
        if full {
            self.refuse(id, OpenFailure::new(OpenError::Limit, "the session has no channel left"));
        } else {
            self.opens.push((id, open));
        }
        Ok(())
    }
}
