//! The words of a stream: what a reader is told, and how it is written.

use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::identity::Snapshot;
use crate::identity::news::{Event, Subject};

/// What a reader is told next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// From here on nothing is missed: whoever reads what there is after this knows everything.
    Hello,
    Event {
        name: &'static str,
        /// A JSON object.
        text: String,
    },
    /// Something was missed, or what may be seen has changed: read everything again.
    StartOver,
    /// The last one.
    End(Ended),
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Signed out, revoked, expired, or the account is not active any more.
    SignedOut,
    /// The server stops.
    GoingAway,
}

impl Item {
    /// An event as this reader's snapshot has it.
    pub(super) fn of(event: &Event, snapshot: &Snapshot) -> Self {
        Self::Event { name: event.name, text: text(event, snapshot) }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Event { name, .. } => name,
            Self::StartOver => "start_over",
            Self::End(Ended::SignedOut) => "signed_out",
            Self::End(Ended::GoingAway) => "going_away",
        }
    }

    /// As JSON.
    pub fn into_text(self) -> String {
        match self {
            Self::Event { text, .. } => text,
            other => json!({ "type": other.name() }).to_string(),
        }
    }
}

fn text(event: &Event, snapshot: &Snapshot) -> String {
    let mut fields = event.data.clone();
    let owned = match &event.subject {
        Subject::Tunnel { owner_id } => Some(("tunnel", owner_id)),
        Subject::Desktop { owner_id } => Some(("desktop", owner_id)),
        _ => None,
    };
    if let Some((Value::Object(object), owner_id)) = owned.and_then(|(key, id)| Some((fields.get_mut(key)?, id))) {
        object.insert("owner".into(), snapshot.username(owner_id).into());
    }
    fields.insert("type".into(), event.name.into());
    fields.insert("id".into(), event.id.clone().into());
    fields.insert("at".into(), rfc3339(event.at).into());
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::snapshot::Rows;
    use crate::store::models::UserRow;
    use crate::store::testing::user;

    #[test]
    fn the_text_of_an_event() {
        let ann = UserRow { id: "ann".into(), username: "Ann".into(), ..user("ann") };
        let snapshot = Snapshot::new(Rows { users: vec![ann], ..Rows::default() }, 1000);
        let event = Event::new("tunnel.changed", "t1", Subject::Tunnel { owner_id: "ann".into() });
        let event = Event { at: 0, ..event }.with("tunnel", json!({ "owner": "", "local_port": 1 }));
        let shown: Value = serde_json::from_str(&text(&event, &snapshot)).unwrap();
        let expected = json!({
            "type": "tunnel.changed", "id": "t1", "at": "1970-01-01T00:00:00.000Z",
            "tunnel": { "owner": "Ann", "local_port": 1 },
        });
        assert_eq!(shown, expected);

        let event = Event::new("desktop.changed", "d1", Subject::Desktop { owner_id: "ann".into() });
        let event = event.with("desktop", json!({ "owner": "", "status": "ready" }));
        let shown: Value = serde_json::from_str(&text(&event, &snapshot)).unwrap();
        assert_eq!(shown["desktop"], json!({ "owner": "Ann", "status": "ready" }));
        let event = Event::new("desktop.deleted", "d1", Subject::Desktop { owner_id: "ann".into() });
        let shown: Value = serde_json::from_str(&text(&event, &snapshot)).unwrap();
        assert_eq!((&shown["id"], shown.get("desktop")), (&json!("d1"), None));
        assert_eq!(Item::StartOver.into_text(), r#"{"type":"start_over"}"#);
    }
}
