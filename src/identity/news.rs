//! News of what has changed, and who may read them: what the Directory and the tunnels announce.

use serde_json::{Map, Value};

use super::ScopeSet;
use super::policy::{Action, Object};
use crate::clock::now_ms;
use crate::store::models::AgentRow;

/// What an event is about, as far as the policy asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Tunnel {
        owner_id: String,
    },
    Agent {
        client_id: String,
        owner_id: String,
        shared: bool,
    },
    Token {
        owner_id: String,
        scopes: ScopeSet,
    },
    User {
        user_id: String,
    },
    Desktop {
        owner_id: String,
    },
    /// The catalogue of desktop types.
    DesktopTypes,
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
            Self::Desktop { owner_id } => (Action::ReadDesktop, Object::Owned { owner_id }),
            Self::DesktopTypes => (Action::ListDesktopTypes, Object::None),
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
