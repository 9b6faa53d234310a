//! The connections of a tunnel: live channels, and users who are held while the agent is away. They outlive the
//! ProxyConnection that keeps them.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use actix::{Message, Recipient};
use socket2::SockRef;

use super::counters::{ChannelCounters, ConnectionState};
use super::user_channel::{Adopt, Cut};
use super::view::ConnectionView;
use crate::clock::rfc3339;
use crate::link::messages::ChannelKey;
use crate::link::socket::reset_on_close;
use crate::wire::codes::ResetCode;

/// What outlives a ProxyConnection. Dropping it ends what no successor has taken over.
#[derive(Default)]
pub struct Estate {
    pub channels: HashMap<ChannelKey, Connection>,
    pub waiting: VecDeque<Waiting>,
}

impl Estate {
    /// All connections, held ones too.
    pub fn len(&self) -> usize {
        self.channels.len() + self.waiting.len()
    }

    /// What the API shows of them.
    pub fn views(&self) -> Vec<ConnectionView> {
        let waiting = self.waiting.iter().map(|user| ConnectionView {
            user_id: user.user_id.clone(),
            peer: user.peer.to_string(),
            since: rfc3339(user.since),
            bytes_in: 0,
            bytes_out: 0,
            rate_in: 0,
            rate_out: 0,
            state: ConnectionState::Waiting.as_str(),
        });
        let live = self.channels.values().map(|connection| {
            let traffic = &connection.counters.traffic;
            let ((bytes_in, bytes_out), (rate_in, rate_out)) = (traffic.bytes(), traffic.rates());
            ConnectionView {
                user_id: connection.user_id.clone(),
                peer: connection.peer.to_string(),
                since: rfc3339(connection.since),
                bytes_in,
                bytes_out,
                rate_in,
                rate_out,
                state: connection.counters.state().as_str(),
            }
        });
        waiting.chain(live).collect()
    }

    /// End one user's connection. Is there one?
    pub fn cut_user(&mut self, user_id: &str) -> bool {
        if let Some(connection) = self.channels.values().find(|connection| connection.user_id == user_id) {
            deliver(&connection.cut, Cut(ResetCode::CUT));
            return true;
        }
        let Some(index) = self.waiting.iter().position(|user| user.user_id == user_id) else { return false };
        if let Some(user) = self.waiting.remove(index) {
            reset_on_close(SockRef::from(&user.socket));
        }
        true
    }

    /// Close those who have waited long enough.
    pub fn give_up_waiting(&mut self, now: Instant) {
        let waiting = &mut self.waiting;
        while let Some(user) = waiting.front().filter(|user| user.until <= now) {
            tracing::info!(user_id = user.user_id, peer = %user.peer, "closed: the agent did not come back in time");
            reset_on_close(SockRef::from(&user.socket));
            waiting.pop_front();
        }
    }

    /// Nobody takes over: end them all.
    pub fn cut(&mut self, code: ResetCode) {
        self.channels.drain().for_each(|(_, connection)| deliver(&connection.cut, Cut(code)));
        self.waiting.drain(..).for_each(|user| reset_on_close(SockRef::from(&user.socket)));
    }
}

impl Drop for Estate {
    fn drop(&mut self) {
        self.cut(ResetCode::ABORTED);
    }
}

/// A live channel, as its ProxyConnection knows it.
pub struct Connection {
    pub user_id: String,
    pub peer: SocketAddr,
    pub since: i64,
    pub counters: Arc<ChannelCounters>,
    pub cut: Recipient<Cut>,
    pub adopt: Recipient<Adopt>,
    #[cfg(test)]
    pub panic: Recipient<super::tests::Panic>,
}

/// A user who is held while the agent is away.
pub struct Waiting {
    pub key: ChannelKey,
    pub user_id: String,
    pub peer: SocketAddr,
    pub socket: TcpStream,
    pub since: i64,
    pub until: Instant,
}

/// One message for each channel, at the end of something.
#[expect(clippy::disallowed_methods, reason = "shutdown or succession: one for each channel")]
pub(super) fn deliver<M: Message<Result = ()> + Send>(to: &Recipient<M>, message: M) {
    to.do_send(message);
}
