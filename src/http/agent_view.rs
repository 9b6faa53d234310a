//! An agent as the API shows it, and the bodies that make or change one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fields::Fields;
use super::proxy_fields::nothing_to_change;
use super::values;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::store::models::AgentRow;
use crate::tunnel::view::SessionView;

/// An agent, connected or not. Times RFC 3339 UTC.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentView {
    pub client_id: String,
    /// Name of the user it belongs to.
    pub owner: String,
    /// Whether every user may make tunnels through it.
    pub shared: bool,
    pub online: bool,
    /// When the live session began.
    #[schema(required)]
    pub since: Option<String>,
    /// When it was last connected.
    #[schema(required)]
    pub last_seen: Option<String>,
    /// Where it connects from, or did last.
    #[schema(required)]
    pub address: Option<String>,
    /// The agent program's own name and version.
    #[schema(required)]
    pub version: Option<String>,
    /// `json` or `binary`; null while it is away.
    #[schema(required)]
    pub protocol: Option<String>,
    /// Round trip of the last ping, in milliseconds.
    #[schema(required)]
    pub rtt_ms: Option<f64>,
    /// Users' connections that it carries now.
    pub channels: u64,
    /// Only when it was just made: it is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<String>,
}

impl AgentView {
    /// Merge what the database knows with the live session. The session is the newer word on address and version.
    pub fn new(row: &AgentRow, owner: String, session: Option<SessionView>) -> Self {
        let offline = Self {
            client_id: row.client_id.clone(),
            owner,
            shared: row.shared,
            online: false,
            since: None,
            last_seen: row.last_seen.map(rfc3339),
            address: row.address.clone(),
            version: row.version.clone(),
            protocol: None,
            rtt_ms: None,
            channels: 0,
            token: None,
        };
        match session {
            Some(session) => offline.connected(session),
            None => offline,
        }
    }

    fn connected(self, session: SessionView) -> Self {
        Self {
            online: true,
            since: Some(rfc3339(session.since_ms)),
            last_seen: Some(rfc3339(crate::clock::now_ms())),
            address: session.address.or(self.address),
            version: session.version.or(self.version),
            protocol: Some(session.protocol.to_owned()),
            rtt_ms: session.rtt_ms,
            channels: session.channels,
            ..self
        }
    }

    pub fn with_token(self, token: String) -> Self {
        Self { token: Some(token), ..self }
    }
}

/// The agent that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAgentBody {
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "pc1")]
    pub client_id: String,
    /// Whether every user may make tunnels through it; false without it.
    #[schema(example = false)]
    pub shared: Option<bool>,
    /// Name of the user it belongs to; the caller without it.
    #[schema(min_length = 1, max_length = 200)]
    pub owner: Option<String>,
}

/// What is to change: at least one field.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchAgentBody {
    #[schema(nullable = false, example = true)]
    pub shared: Option<bool>,
    /// Name of the user it is handed over to.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    pub owner: Option<String>,
}

/// An agent that somebody wants, verified.
#[derive(Debug, PartialEq, Eq)]
pub struct NewAgent {
    pub client_id: String,
    pub shared: bool,
    pub owner: Option<String>,
}

/// What a PATCH changes.
#[derive(Debug, PartialEq, Eq)]
pub struct AgentChanges {
    pub shared: Option<bool>,
    pub owner: Option<String>,
}

/// Read the body of `POST /api/agents`. Null stands for an optional field that was left out.
pub fn new_agent(object: Map<String, Value>) -> Result<NewAgent, Error> {
    let mut fields = Fields::new(object);
    let client_id = fields.required("client_id", values::client_id);
    let shared = fields.nullable("shared", values::boolean).flatten().unwrap_or_default();
    let owner = fields.nullable("owner", values::username).flatten();
    fields.finish()?;
    // A required field that is None was reported by finish.
    let client_id = client_id.ok_or(Error::Internal)?;
    Ok(NewAgent { client_id, shared, owner })
}

/// Read the body of `PATCH /api/agents/{client_id}`.
pub fn agent_changes(object: Map<String, Value>) -> Result<AgentChanges, Error> {
    if object.is_empty() {
        return Err(nothing_to_change());
    }
    let mut fields = Fields::new(object);
    let shared = fields.optional("shared", values::boolean);
    let owner = fields.optional("owner", values::username);
    fields.finish()?;
    Ok(AgentChanges { shared, owner })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> AgentRow {
        AgentRow {
            client_id: "pc1".into(),
            owner_id: "1".into(),
            shared: true,
            token_hash: "hash".into(),
            created_at: 0,
            last_seen: Some(1000),
            address: Some("10.0.0.1".into()),
            version: Some("old".into()),
        }
    }

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("not an object") };
        object
    }

    #[test]
    fn an_agent_that_is_away() {
        let expected = json!({
            "client_id": "pc1", "owner": "alice", "shared": true, "online": false, "since": null,
            "last_seen": "1970-01-01T00:00:01.000Z", "address": "10.0.0.1", "version": "old", "protocol": null,
            "rtt_ms": null, "channels": 0,
        });
        assert_eq!(serde_json::to_value(AgentView::new(&row(), "alice".into(), None)).unwrap(), expected);
    }

    #[test]
    fn a_live_session_is_the_newer_word() {
        let session = SessionView {
            client_id: "pc1".into(),
            since_ms: 2000,
            address: Some("10.0.0.2:5000".into()),
            version: None,
            protocol: "binary",
            rtt_ms: Some(1.5),
            channels: 3,
        };
        let shown = AgentView::new(&row(), "alice".into(), Some(session));
        assert!(shown.online && shown.last_seen.unwrap().as_str() > "2026");
        assert_eq!(shown.since.as_deref(), Some("1970-01-01T00:00:02.000Z"));
        assert_eq!((shown.address.as_deref(), shown.version.as_deref()), (Some("10.0.0.2:5000"), Some("old")));
        assert_eq!((shown.protocol.as_deref(), shown.rtt_ms, shown.channels), (Some("binary"), Some(1.5), 3));
    }

    #[test]
    fn bodies() {
        let least = new_agent(object(json!({"client_id": "pc1", "owner": null}))).unwrap();
        assert_eq!(least, NewAgent { client_id: "pc1".into(), shared: false, owner: None });
        let changes = agent_changes(object(json!({"owner": "bob"}))).unwrap();
        assert_eq!(changes, AgentChanges { shared: None, owner: Some("bob".into()) });
        for bad in [json!({}), json!({"client_id": "a/b"}), json!({"client_id": "pc1", "shared": 1, "x": 1})] {
            assert!(matches!(new_agent(object(bad)), Err(Error::Invalid(_))));
        }
        for bad in [json!({}), json!({"owner": null}), json!({"client_id": "pc2"})] {
            assert!(matches!(agent_changes(object(bad)), Err(Error::Invalid(_))));
        }
    }
}
