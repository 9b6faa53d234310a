//! The bodies of `POST /api/users` and `PATCH /api/users/{id}`: how they are described, and how they are read.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fields::Fields;
use super::proxy_fields::nothing_to_change;
use super::values;
use crate::config::Secret;
use crate::error::Error;
use crate::identity::Role;
use crate::identity::directory::{NewUser, UserChanges};
use crate::store::models::OwnLimits;

// The body structs only describe; the functions below read, to name every bad field at once.

/// The account that is wanted. Null stands for a field that was left out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUserBody {
    /// It becomes part of addresses and never changes; some names are reserved.
    #[schema(min_length = 1, max_length = 32, pattern = "^[a-z0-9](?:[a-z0-9.-]{0,30}[a-z0-9])?$", example = "alice")]
    pub username: String,
    #[schema(min_length = 1, max_length = 100)]
    pub display_name: Option<String>,
    #[schema(max_length = 254, example = "alice@example.org")]
    pub email: Option<String>,
    /// `admin` or `user`, which it is without this.
    #[schema(pattern = "^(admin|user)$")]
    pub role: Option<String>,
    /// Without one there is no sign-in by password.
    #[schema(min_length = 10, max_length = 1024, format = Password)]
    pub password: Option<String>,
    /// True without it.
    pub active: Option<bool>,
    /// The most tunnels of this person; without it the limit of the role. The three below likewise.
    #[schema(minimum = 0, maximum = 1000000)]
    pub max_tunnels: Option<u32>,
    #[schema(minimum = 0, maximum = 1000000)]
    pub max_desktops: Option<u32>,
    #[schema(minimum = 0, maximum = 1000000)]
    pub max_agents: Option<u32>,
    #[schema(minimum = 0, maximum = 1000000)]
    pub max_tokens: Option<u32>,
}

/// What is to change: at least one field. Null clears `display_name`, `email` and the limits.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchUserBody {
    #[schema(min_length = 1, max_length = 100, example = "Alice Smith")]
    pub display_name: Option<String>,
    #[schema(max_length = 254)]
    pub email: Option<String>,
    #[schema(nullable = false, pattern = "^(admin|user)$")]
    pub role: Option<String>,
    /// False ends the account's sessions, and its tokens and agents are not let in until it is true again.
    #[schema(nullable = false)]
    pub active: Option<bool>,
    /// Ends the account's sessions.
    #[schema(nullable = false, min_length = 10, max_length = 1024, format = Password)]
    pub password: Option<String>,
    #[schema(minimum = 0, maximum = 1000000)]
    pub max_tunnels: Option<u32>,
    #[schema(minimum = 0, maximum = 1000000)]
    pub max_desktops: Option<u32>,
    #[schema(minimum = 0, maximum = 1000000)]
    pub max_agents: Option<u32>,
    #[schema(minimum = 0, maximum = 1000000)]
    pub max_tokens: Option<u32>,
}

/// Read the body of a create: the account without its password's hash, and the password.
pub fn new_user(object: Map<String, Value>) -> Result<(NewUser, Option<Secret>), Error> {
    let mut fields = Fields::new(object);
    let username = fields.required("username", values::new_username);
    let password = fields.nullable("password", values::new_password).flatten();
    let user = NewUser {
        // A required field that is None is reported by finish.
        username: username.unwrap_or_default(),
        display_name: fields.nullable("display_name", values::name).flatten(),
        email: fields.nullable("email", values::email).flatten(),
        role: fields.nullable("role", values::role).flatten().unwrap_or(Role::User),
        password_hash: None,
        active: fields.nullable("active", values::boolean).flatten().unwrap_or(true),
        limits: OwnLimits {
            max_tunnels: fields.nullable("max_tunnels", values::own_limit).flatten(),
            max_desktops: fields.nullable("max_desktops", values::own_limit).flatten(),
            max_agents: fields.nullable("max_agents", values::own_limit).flatten(),
            max_tokens: fields.nullable("max_tokens", values::own_limit).flatten(),
        },
    };
    fields.finish()?;
    Ok((user, password))
}

/// Read the body of a PATCH: the changes without the password's hash, and the password.
pub fn user_changes(object: Map<String, Value>) -> Result<(UserChanges, Option<Secret>), Error> {
    if object.is_empty() {
        return Err(nothing_to_change());
    }
    let mut fields = Fields::new(object);
    let password = fields.optional("password", values::new_password);
    let changes = UserChanges {
        display_name: fields.nullable("display_name", values::name),
        email: fields.nullable("email", values::email),
        role: fields.optional("role", values::role),
        active: fields.optional("active", values::boolean),
        password_hash: None,
        max_tunnels: fields.nullable("max_tunnels", values::own_limit),
        max_desktops: fields.nullable("max_desktops", values::own_limit),
        max_agents: fields.nullable("max_agents", values::own_limit),
        max_tokens: fields.nullable("max_tokens", values::own_limit),
    };
    fields.finish()?;
    Ok((changes, password))
}

/// What a change changes, for the audit log.
pub fn summary(changes: &UserChanges) -> String {
    let named = |given: bool, name: &str| given.then(|| name.to_owned());
    let parts = [
        named(changes.display_name.is_some(), "display_name"),
        named(changes.email.is_some(), "email"),
        changes.role.map(|role| format!("role {role}")),
        changes.active.map(|active| format!("active {active}")),
        named(changes.password_hash.is_some(), "password"),
        named(changes.max_tunnels.is_some(), "max_tunnels"),
        named(changes.max_desktops.is_some(), "max_desktops"),
        named(changes.max_agents.is_some(), "max_agents"),
        named(changes.max_tokens.is_some(), "max_tokens"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("not an object") };
        object
    }

    fn faults<T>(read: Result<T, Error>) -> Vec<(String, &'static str)> {
        match read {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| (error.field, error.code)).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_name_is_enough() {
        let (user, password) = new_user(object(json!({"username": "alice", "password": null, "role": null}))).unwrap();
        assert_eq!((user.username.as_str(), user.role, user.active), ("alice", Role::User, true));
        assert!(user.display_name.is_none() && user.limits == OwnLimits::default() && password.is_none());
    }

    #[test]
    fn every_bad_field_of_an_account_is_named() {
        let body =
            json!({"username": "root", "email": "x", "role": "god", "password": "short", "max_tokens": -1, "id": 1});
        let expected = [
            ("username", "reserved"),
            ("password", "format"),
            ("email", "format"),
            ("role", "format"),
            ("max_tokens", "range"),
            ("id", "unknown"),
        ];
        assert_eq!(faults(new_user(object(body))), expected.map(|(field, code)| (field.to_owned(), code)));
        assert_eq!(faults(new_user(object(json!({})))), [("username".to_owned(), "missing")]);
    }

    #[test]
    fn null_clears_what_may_be_cleared() {
        let body = json!({"display_name": null, "max_agents": null, "max_tokens": 3, "role": "admin"});
        let (changes, password) = user_changes(object(body)).unwrap();
        assert_eq!((changes.display_name.clone(), changes.email.clone()), (Some(None), None));
        assert_eq!((changes.max_agents, changes.max_tokens, changes.max_tunnels), (Some(None), Some(Some(3)), None));
        assert!(password.is_none());
        assert_eq!(summary(&changes), "display_name, role admin, max_agents, max_tokens");
        for field in ["role", "active", "password"] {
            assert_eq!(faults(user_changes(object(json!({field: null})))), [(field.to_owned(), "type")]);
        }
        for field in ["username", "id", "created_at"] {
            assert_eq!(faults(user_changes(object(json!({field: "x"})))), [(field.to_owned(), "unknown")]);
        }
        assert_eq!(faults(user_changes(Map::new())), [(String::new(), "empty")]);
    }
}
