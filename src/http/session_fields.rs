//! The bodies with passwords in them.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fields::{Fault, Fields};
use super::values;
use crate::config::Secret;
use crate::error::{Error, FieldError};
use crate::identity::passwords::{self, LONGEST_BYTES, PasswordError};

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInBody {
    #[schema(min_length = 1, max_length = 200, example = "alice")]
    pub username: String,
    #[schema(max_length = 1024, format = Password, example = "a long passphrase")]
    pub password: String,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// Left out or null by an account that has none.
    #[schema(max_length = 1024, format = Password, example = "a long passphrase")]
    pub current_password: Option<String>,
    #[schema(min_length = 10, max_length = 1024, format = Password, example = "a longer passphrase")]
    pub new_password: String,
}

/// Read the body of `POST /api/session`: name and password.
pub fn sign_in(object: Map<String, Value>) -> Result<(String, Secret), Error> {
    let mut fields = Fields::new(object);
    let username = fields.required("username", values::username);
    let password = fields.required("password", shown_password);
    fields.finish()?;
    // A required field that is None was reported by finish.
    username.zip(password).ok_or(Error::Internal)
}

/// Read the body of `POST /api/me/password`: the current password and the new one.
pub fn password_change(object: Map<String, Value>) -> Result<(Option<Secret>, Secret), Error> {
    let mut fields = Fields::new(object);
    let current = fields.nullable("current_password", shown_password).flatten();
    let new = fields.required("new_password", new_password);
    fields.finish()?;
    // A required field that is None was reported by finish.
    Ok((current, new.ok_or(Error::Internal)?))
}

/// The account has a password, and the request shows none.
pub fn current_password_missing() -> Error {
    Error::Invalid(vec![FieldError::new(
        "current_password",
        "missing",
        "is required, since the account has a password",
    )])
}

/// Any text that can be somebody's password.
fn shown_password(value: Value) -> Result<Secret, Fault> {
    let Value::String(text) = value else { return Err(("type", "must be a string".into())) };
    if text.len() > LONGEST_BYTES {
        return Err(("too_long", PasswordError::TooLong.to_string()));
    }
    Ok(Secret(text))
}

/// A text that keeps the rules for passwords.
fn new_password(value: Value) -> Result<Secret, Fault> {
    let password = shown_password(value)?;
    passwords::check(&password.0).map_err(|error| ("format", error.to_string()))?;
    Ok(password)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("not an object") };
        object
    }

    fn report<T>(read: Result<T, Error>) -> Vec<(String, &'static str)> {
        match read {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| (error.field, error.code)).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn who_signs_in() {
        let (name, password) = sign_in(object(json!({"username": "Who Ever", "password": ""}))).unwrap();
        assert_eq!((name.as_str(), password.0.as_str()), ("Who Ever", ""));
        let table = [
            (json!({}), vec![("username", "missing"), ("password", "missing")]),
            (json!({"username": "", "password": 7}), vec![("username", "empty"), ("password", "type")]),
            (json!({"username": "a\u{0}", "password": "p"}), vec![("username", "format")]),
            (json!({"username": "a".repeat(201), "password": "p"}), vec![("username", "too_long")]),
            (json!({"username": "a", "password": "p".repeat(1025)}), vec![("password", "too_long")]),
            (json!({"username": "a", "password": null}), vec![("password", "type")]),
            (json!({"username": "a", "password": "p", "next": "/"}), vec![("next", "unknown")]),
        ];
        for (body, expected) in table {
            let expected: Vec<_> = expected.into_iter().map(|(field, code)| (field.to_owned(), code)).collect();
            assert_eq!(report(sign_in(object(body.clone()))), expected, "{body}");
        }
    }

    #[test]
    fn another_password() {
        for none in
            [json!({"new_password": "tenletters"}), json!({"current_password": null, "new_password": "tenletters"})]
        {
            assert_eq!(password_change(object(none)).unwrap().0, None);
        }
        let table = [
            (json!({}), "missing"),
            (json!({"new_password": "short"}), "format"),
            (json!({"new_password": "password123"}), "format"),
            (json!({"new_password": ["tenletters"]}), "type"),
            (json!({"new_password": "p".repeat(1025)}), "too_long"),
        ];
        for (body, code) in table {
            let read = report(password_change(object(body.clone())));
            assert_eq!(read, [("new_password".to_owned(), code)], "{body}");
        }
    }
}
