//! A token as the API shows it, and the body that makes one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fields::{Fault, Fields};
use super::values;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::identity::{Scope, ScopeSet};
use crate::store::models::TokenRow;

/// The longest life of a token that ends at all: ten years, in milliseconds.
const LONGEST_LIFE_MS: i64 = 3653 * 24 * 3600 * 1000;

/// The most entries of a list of scopes, many of them given twice.
const SCOPES_LIMIT: usize = 100;

/// An API token. Times RFC 3339 UTC.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    pub id: String,
    pub name: String,
    /// `tunnels:read`, `tunnels:write`, `desktops:read`, `desktops:write`, `admin`.
    pub scopes: Vec<&'static str>,
    pub created_at: String,
    /// Null: it does not end by itself.
    #[schema(required)]
    pub expires_at: Option<String>,
    #[schema(required)]
    pub last_used: Option<String>,
    /// Only when it was just made: it is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<String>,
}

impl TokenView {
    pub fn new(row: &TokenRow) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            scopes: ScopeSet::of_row(&row.scopes).iter().map(Scope::as_str).collect(),
            created_at: rfc3339(row.created_at),
            expires_at: row.expires_at.map(rfc3339),
            last_used: row.last_used.map(rfc3339),
            token: None,
        }
    }

    pub fn with_token(self, token: String) -> Self {
        Self { token: Some(token), ..self }
    }
}

/// The token that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTokenBody {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100, example = "backup script")]
    pub name: String,
    /// What it may be used for: `tunnels:read`, `tunnels:write`, `desktops:read`, `desktops:write`, `admin`. Without
    /// them all that its owner may do, or all that the token may do that asks.
    #[schema(min_items = 1, max_items = 100, example = json!(["tunnels:read"]))]
    pub scopes: Option<Vec<String>>,
    /// In the future, at most ten years from now. Without it, it does not end by itself.
    #[schema(format = DateTime, example = "2035-01-31T12:00:00Z")]
    pub expires_at: Option<String>,
}

/// A token that somebody wants, verified.
#[derive(Debug, PartialEq, Eq)]
pub struct NewToken {
    pub name: String,
    pub scopes: Option<ScopeSet>,
    /// In milliseconds since 1970.
    pub expires_at: Option<i64>,
}

/// Read the body of `POST /api/tokens` at `now` (milliseconds since 1970). Null stands for a field that was left out.
pub fn new_token(object: Map<String, Value>, now: i64) -> Result<NewToken, Error> {
    let mut fields = Fields::new(object);
    let name = fields.required("name", values::name);
    let scopes = fields.nullable("scopes", scopes).flatten();
    let expires_at = fields.nullable("expires_at", |value| end_of_life(value, now)).flatten();
    fields.finish()?;
    // A required field that is None was reported by finish.
    Ok(NewToken { name: name.ok_or(Error::Internal)?, scopes, expires_at })
}

fn scopes(value: Value) -> Result<ScopeSet, Fault> {
    let Value::Array(entries) = value else { return Err(("type", "must be a list of strings".into())) };
    if entries.is_empty() {
        return Err(("empty", "must have at least one scope: a token without any is of no use".into()));
    }
    if entries.len() > SCOPES_LIMIT {
        return Err(("too_long", format!("must have at most {SCOPES_LIMIT} entries")));
    }
    entries.iter().enumerate().map(|(n, entry)| scope(n, entry)).collect()
}

fn scope(n: usize, entry: &Value) -> Result<Scope, Fault> {
    let Value::String(text) = entry else { return Err(("type", format!("entry {} must be a string", n + 1))) };
    let names = Scope::ALL.map(Scope::as_str).join(", ");
    text.parse().map_err(|_| ("format", format!("entry {} must be one of {names}", n + 1)))
}

fn end_of_life(value: Value, now: i64) -> Result<i64, Fault> {
    let end = values::time(value)?;
    if end <= now {
        return Err(("range", "must be in the future".into()));
    }
    if end > now.saturating_add(LONGEST_LIFE_MS) {
        return Err(("range", "must be within ten years; leave it out for a token that does not end by itself".into()));
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_770_091_506_007;

    fn read(body: Value) -> Result<NewToken, (String, &'static str)> {
        let Value::Object(object) = body else { panic!("not an object") };
        match new_token(object, NOW) {
            Ok(token) => Ok(token),
            Err(Error::Invalid(errors)) => Err((errors[0].field.clone(), errors[0].code)),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_a_token_may_be_asked_for() {
        let least = NewToken { name: "ci".into(), scopes: None, expires_at: None };
        assert_eq!(read(json!({"name": "ci"})), Ok(least));
        let body = json!({"name": "ci", "scopes": ["admin", "tunnels:read", "admin"], "expires_at": rfc3339(NOW + 1)});
        let whole = NewToken {
            name: "ci".into(),
            scopes: Some([Scope::TunnelsRead, Scope::Admin].into_iter().collect()),
            expires_at: Some(NOW + 1),
        };
        assert_eq!(read(body), Ok(whole));
        let longest = json!({"name": "ci", "expires_at": rfc3339(NOW + LONGEST_LIFE_MS)});
        assert_eq!(read(longest).unwrap().expires_at, Some(NOW + LONGEST_LIFE_MS));
    }

    #[test]
    fn what_is_wrong_with_a_token() {
        let table = [
            ("name", json!(""), "empty"),
            ("name", json!("n".repeat(101)), "too_long"),
            ("name", json!("a\u{0}"), "format"),
            ("scopes", json!([]), "empty"),
            ("scopes", json!(["everything"]), "format"),
            ("scopes", json!(["tunnels:read", 1]), "type"),
            ("scopes", json!("admin"), "type"),
            ("scopes", json!(vec!["admin"; 101]), "too_long"),
            ("expires_at", json!("tomorrow"), "format"),
            ("expires_at", json!(NOW), "type"),
            ("expires_at", json!(rfc3339(NOW)), "range"),
            ("expires_at", json!(rfc3339(NOW + LONGEST_LIFE_MS + 1)), "range"),
            ("owner", json!("bob"), "unknown"),
        ];
        for (field, value, code) in table {
            let mut body = json!({"name": "ci"});
            body[field] = value;
            assert_eq!(read(body.clone()), Err((field.to_owned(), code)), "{body}");
        }
        assert_eq!(read(json!({})), Err(("name".to_owned(), "missing")));
    }

    #[test]
    fn a_token_is_shown_without_its_hash() {
        let row = TokenRow {
            id: "t1".into(),
            user_id: "u1".into(),
            name: "ci".into(),
            token_hash: "hash".into(),
            scopes: "admin tunnels:read".into(),
            created_at: 0,
            expires_at: Some(1000),
            last_used: None,
        };
        let expected = json!({
            "id": "t1", "name": "ci", "scopes": ["tunnels:read", "admin"], "created_at": "1970-01-01T00:00:00.000Z",
            "expires_at": "1970-01-01T00:00:01.000Z", "last_used": null,
        });
        assert_eq!(serde_json::to_value(TokenView::new(&row)).unwrap(), expected);
    }
}
