//! An account as the API shows it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::rfc3339;
use crate::store::models::UserRow;

/// An account. Times RFC 3339 UTC.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    pub id: String,
    pub username: String,
    #[schema(required)]
    pub display_name: Option<String>,
    #[schema(required)]
    pub email: Option<String>,
    /// `admin` or `user`.
    pub role: String,
    /// Whether it may sign in and its tokens and agents are let in.
    pub active: bool,
    pub created_at: String,
    #[schema(required)]
    pub last_sign_in: Option<String>,
    /// The most tunnels of this person; null: the limit of the role. The three below likewise.
    #[schema(required)]
    pub max_tunnels: Option<i32>,
    #[schema(required)]
    pub max_desktops: Option<i32>,
    #[schema(required)]
    pub max_agents: Option<i32>,
    #[schema(required)]
    pub max_tokens: Option<i32>,
}

impl UserView {
    pub fn new(row: &UserRow) -> Self {
        Self {
            id: row.id.clone(),
            username: row.username.clone(),
            display_name: row.display_name.clone(),
            email: row.email.clone(),
            role: row.role.clone(),
            active: row.active,
            created_at: rfc3339(row.created_at),
            last_sign_in: row.last_sign_in.map(rfc3339),
            max_tunnels: row.limits.max_tunnels,
            max_desktops: row.limits.max_desktops,
            max_agents: row.limits.max_agents,
            max_tokens: row.limits.max_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::models::OwnLimits;
    use crate::store::testing::user;

    #[test]
    fn an_account_is_shown_without_its_password() {
        let row = UserRow {
            password_hash: Some("$argon2id$secret".into()),
            last_sign_in: Some(1000),
            limits: OwnLimits { max_tunnels: Some(0), ..OwnLimits::default() },
            ..user("alice")
        };
        let expected = json!({
            "id": "id-of-alice", "username": "alice", "display_name": null, "email": null, "role": "admin",
            "active": true, "created_at": "1970-01-01T00:00:00.001Z", "last_sign_in": "1970-01-01T00:00:01.000Z",
            "max_tunnels": 0, "max_desktops": null, "max_agents": null, "max_tokens": null,
        });
        assert_eq!(serde_json::to_value(UserView::new(&row)).unwrap(), expected);
    }
}
