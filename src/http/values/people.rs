//! What the values of accounts and tokens may be.

use serde_json::Value;

use super::super::fields::Fault;
use super::{integer, limited_text, text};
use crate::clock::parse_rfc3339;
use crate::config::Secret;
use crate::identity::names::{EMAIL_RULE, LONGEST_EMAIL, USERNAME_RULE, is_email, is_reserved, is_username};
use crate::identity::{Role, passwords};

/// The highest limit that an account can be given of its own.
const OWN_LIMIT: u32 = 1_000_000;

/// The name of an account that is to be made.
pub fn new_username(value: Value) -> Result<String, Fault> {
    let text = text(value)?;
    if !is_username(&text) {
        return Err(("format", format!("must be {USERNAME_RULE}")));
    }
    if is_reserved(&text) {
        return Err(("reserved", "is a name that nobody may take".into()));
    }
    Ok(text)
}

pub fn email(value: Value) -> Result<String, Fault> {
    let text = limited_text(value, LONGEST_EMAIL)?;
    if is_email(&text) { Ok(text) } else { Err(("format", format!("must be {EMAIL_RULE}"))) }
}

/// A password that somebody is to get, kept to the rules for passwords.
pub fn new_password(value: Value) -> Result<Secret, Fault> {
    let Value::String(text) = value else { return Err(("type", "must be a string".into())) };
    match passwords::check(&text) {
        Ok(()) => Ok(Secret(text)),
        Err(error) => Err(("format", error.to_string())),
    }
}

pub fn role(value: Value) -> Result<Role, Fault> {
    let names = Role::ALL.map(Role::as_str).join(" or ");
    text(value)?.parse().map_err(|_| ("format", format!("must be {names}")))
}

/// A time, in milliseconds since 1970.
pub fn time(value: Value) -> Result<i64, Fault> {
    parse_rfc3339(&text(value)?).ok_or_else(|| ("format", "must be a time like 2027-01-31T12:00:00Z".into()))
}

/// The most that one person may have of something.
pub fn own_limit(value: Value) -> Result<i32, Fault> {
    let whole = integer(value, 0, OWN_LIMIT)?;
    i32::try_from(whole).map_err(|_| ("range", format!("must be at most {OWN_LIMIT}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code<T>(parsed: Result<T, Fault>) -> &'static str {
        parsed.err().map_or("ok", |(code, _)| code)
    }

    #[test]
    fn values_of_people() {
        let table = [
            (json!("alice"), "ok"),
            (json!("Alice"), "format"),
            (json!("a\u{0}"), "format"),
            (json!("'; DROP TABLE users;--"), "format"),
            (json!("<b>"), "format"),
            (json!("a".repeat(33)), "format"),
            (json!(""), "empty"),
            (json!("admin"), "reserved"),
            (json!("api"), "reserved"),
            (json!(1), "type"),
        ];
        for (value, expected) in table {
            assert_eq!(code(new_username(value.clone())), expected, "{value}");
        }
        let table = [
            (json!("a@b"), "ok"),
            (json!("a@b@c"), "format"),
            (json!("a b@c"), "format"),
            (json!(format!("{}@b", "a".repeat(253))), "too_long"),
            (json!(null), "type"),
        ];
        for (value, expected) in table {
            assert_eq!(code(email(value.clone())), expected, "{value}");
        }
        assert_eq!(code(role(json!("admin"))), "ok");
        assert_eq!(code(role(json!("Admin"))), "format");
        assert_eq!(code(new_password(json!("correct horse"))), "ok");
        assert_eq!(code(new_password(json!("short"))), "format");
        assert_eq!(code(new_password(json!(1234567890))), "type");
        assert_eq!(own_limit(json!(0)), Ok(0));
        for wrong in [json!(-1), json!(1_000_001)] {
            assert_eq!(code(own_limit(wrong)), "range");
        }
        assert_eq!(time(json!("1970-01-01T01:00:00+01:00")), Ok(0));
        assert_eq!(code(time(json!("tomorrow"))), "format");
    }
}
