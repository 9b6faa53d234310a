//! What changed, told to whoever watches: the dashboard over a WebSocket, scripts by server-sent events.
//!
//! Publishers send an [`Event`] to the [`EventBus`]; each reader takes them from a ring at its own pace, through a
//! [`Feed`] that lets it see only what the policy allows. A [`live_session`] brings them to a WebSocket, [`sse`] puts
//! them into an answer's body.

mod bus;
mod feed;
pub mod live_session;
pub mod sse;

use serde_json::{Map, Value};

pub use bus::{EventBus, MOST_STREAMS, Publisher};
pub use feed::{Ended, Feed, Item, Stop};

use crate::clock::now_ms;
use crate::identity::ScopeSet;
use crate::identity::policy::{Action, Object};
use crate::store::models::AgentRow;

/// What an event is about, as far as the policy asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Tunnel { owner_id: String },
    Agent { client_id: String, owner_id: String, shared: bool },
    Token { owner_id: String, scopes: ScopeSet },
    User { user_id: String },
}

impl Subject {
    pub fn of_agent(row: &AgentRow) -> Self {
        Self::Agent { client_id: row.client_id.clone(), owner_id: row.owner_id.clone(), shared: row.shared }
    }

    /// What a reader must be allowed to see it.
    pub fn permission(&self) -> (Action, Object<'_>) {
        match self {
            Self::Tunnel { owner_id } => (Action::ReadTunnel, Object::Owned { owner_id }),
            Self::Agent { client_id, owner_id, shared } => {
                (Action::ReadAgent, Object::Agent { client_id, owner_id, shared: *shared })
            }
            Self::Token { owner_id, scopes } => (Action::ReadToken, Object::Token { owner_id, scopes: *scopes }),
            Self::User { user_id } => (Action::ReadSelf, Object::Owned { owner_id: user_id }),
        }
    }
}

/// Something has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What happened to what, like `tunnel.changed`.
    pub name: &'static str,
    /// Of what it is about: `proxy_id`, `client_id`, …
    pub id: String,
    pub subject: Subject,
    /// In milliseconds since 1970.
    pub at: i64,
    /// More that readers are told.
    pub data: Map<String, Value>,
}

impl Event {
    pub fn new(name: &'static str, id: &str, subject: Subject) -> Self {
        Self { name, id: id.to_owned(), subject, at: now_ms(), data: Map::new() }
    }

    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests;
