//! From what a provider claims about somebody to what the Directory takes: bounded, and text only. Pure.

use serde_json::{Map, Value};

use super::super::directory::ProvenIdentity;
use crate::config::OidcProvider;

/// By name, of the ID token and the userinfo answer together.
pub type Claims = Map<String, Value>;

/// The longest `sub` (OpenID Connect Core, section 2).
const SUBJECT_LIMIT: usize = 255;
/// The most characters of a display name that are kept.
const DISPLAY_NAME_LIMIT: usize = 100;
/// The longest e-mail address (RFC 5321, section 4.5.3.1.3).
const EMAIL_LIMIT: usize = 254;
/// The most characters of a claimed name that a new account's name is made from.
const WANTED_NAME_LIMIT: usize = 200;

/// Whether a claim that the settings name is not among these.
pub fn lacks(claims: &Claims, provider: &OidcProvider) -> bool {
    let is_missing = |claim: &String| claims.get(claim).is_none_or(Value::is_null);
    is_missing(&provider.username_claim) || provider.groups_claim.as_ref().is_some_and(is_missing)
}

/// Add what was not claimed before.
pub fn supplement(claims: &mut Claims, more: Claims) {
    for (name, value) in more {
        let known = claims.entry(name).or_insert(Value::Null);
        if known.is_null() {
            *known = value;
        }
    }
}

/// Who it is, for the Directory.
///
/// # Errors
/// `sub` is none that a provider may give.
pub fn identity(provider: &OidcProvider, subject: &str, claims: &Claims) -> Result<ProvenIdentity, &'static str> {
    if subject.is_empty() || subject.len() > SUBJECT_LIMIT || !subject.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the provider names this person with a `sub` that is empty, too long or not plain ASCII");
    }
    let email = email(claims);
    let claimed = claims.get(&provider.username_claim).and_then(Value::as_str);
    let wanted: &str = claimed.or(email.as_deref()).unwrap_or_default();
    Ok(ProvenIdentity {
        provider: provider.name.clone(),
        subject: subject.to_owned(),
        wanted_name: wanted.chars().take(WANTED_NAME_LIMIT).collect(),
        display_name: display_name(claims),
        email,
        admin: is_admin(provider, claims),
    })
}

fn display_name(claims: &Claims) -> Option<String> {
    let name = claims.get("name")?.as_str()?;
    let plain: String = name.chars().filter(|character| !character.is_control()).take(DISPLAY_NAME_LIMIT).collect();
    Some(plain.trim().to_owned()).filter(|plain| !plain.is_empty())
}

/// An address that the provider does not call unverified.
fn email(claims: &Claims) -> Option<String> {
    let unverified = matches!(claims.get("email_verified"), Some(Value::Bool(false)));
    let email = claims.get("email")?.as_str().filter(|_| !unverified)?;
    let odd = |character: char| character.is_control() || character.is_whitespace();
    let fits = email.len() <= EMAIL_LIMIT && email.contains('@') && !email.contains(odd);
    fits.then(|| email.to_owned())
}

/// Whether the groups have the administrators' among them. Somebody without the claim is in no group.
fn is_admin(provider: &OidcProvider, claims: &Claims) -> Option<bool> {
    let (claim, wanted) = (provider.groups_claim.as_ref()?, provider.admin_group.as_ref()?);
    Some(match claims.get(claim) {
        Some(Value::Array(groups)) => groups.iter().any(|group| group.as_str() == Some(wanted)),
        Some(Value::String(group)) => group == wanted,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::provider;
    use super::*;

    fn claims(value: Value) -> Claims {
        let Value::Object(claims) = value else { panic!("not an object") };
        claims
    }

    fn with_groups() -> OidcProvider {
        OidcProvider { groups_claim: Some("groups".into()), admin_group: Some("staff".into()), ..provider("corp") }
    }

    #[test]
    fn names_and_addresses() {
        let long = "x".repeat(300);
        let table = [
            (json!({"preferred_username": "alice", "name": "Alice A."}), "alice", Some("Alice A."), None),
            (json!({"email": "a@example.org"}), "a@example.org", None, Some("a@example.org")),
            (json!({"email": "a@example.org", "email_verified": true}), "a@example.org", None, Some("a@example.org")),
            (json!({"email": "a@example.org", "email_verified": false}), "", None, None),
            (json!({"email": "a b@example.org"}), "", None, None),
            (json!({"email": "nobody"}), "", None, None),
            (json!({"email": format!("{long}@x")}), "", None, None),
            (json!({"preferred_username": 5, "name": ["a"]}), "", None, None),
            (json!({"name": " \u{0}\u{1b}[31mred\n "}), "", Some("[31mred"), None),
            (json!({"name": "\u{0}\n"}), "", None, None),
            (json!({"name": "<b>'; DROP TABLE users;--</b>"}), "", Some("<b>'; DROP TABLE users;--</b>"), None),
            (json!({"preferred_username": long, "name": long}), &long[..200], Some(&long[..100]), None),
        ];
        for (given, wanted, name, email) in table {
            let proven = identity(&provider("corp"), "subject", &claims(given.clone())).unwrap();
            assert_eq!(proven.wanted_name, wanted, "{given}");
            assert_eq!((proven.display_name.as_deref(), proven.email.as_deref()), (name, email), "{given}");
            assert_eq!((proven.provider.as_str(), proven.subject.as_str()), ("corp", "subject"));
            assert_eq!(proven.admin, None);
        }
    }

    #[test]
    fn another_claim_may_hold_the_name() {
        let settings = OidcProvider { username_claim: "nick".into(), ..provider("corp") };
        let proven = identity(&settings, "s", &claims(json!({"nick": "al", "preferred_username": "alice"}))).unwrap();
        assert_eq!(proven.wanted_name, "al");
    }

    #[test]
    fn groups_make_administrators() {
        let table = [
            (json!({"groups": ["staff"]}), true),
            (json!({"groups": ["a", "staff"]}), true),
            (json!({"groups": "staff"}), true),
            (json!({"groups": ["Staff", "staff2", " staff"]}), false),
            (json!({"groups": "staff,other"}), false),
            (json!({"groups": []}), false),
            (json!({"groups": [["staff"], {"staff": true}, 1]}), false),
            (json!({"groups": {"staff": true}}), false),
            (json!({"groups": null}), false),
            (json!({}), false),
        ];
        for (given, admin) in table {
            let proven = identity(&with_groups(), "s", &claims(given.clone())).unwrap();
            assert_eq!(proven.admin, Some(admin), "{given}");
        }
    }

    #[test]
    fn subjects() {
        let longest = "s".repeat(SUBJECT_LIMIT);
        let too_long = "s".repeat(SUBJECT_LIMIT + 1);
        for right in ["1", "auth0|5f7c8ec7", longest.as_str()] {
            assert!(identity(&provider("corp"), right, &Claims::new()).is_ok(), "{right}");
        }
        for wrong in ["", "a b", "a\0", "ä", too_long.as_str()] {
            assert!(identity(&provider("corp"), wrong, &Claims::new()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn userinfo_is_asked_only_for_what_is_missing_and_changes_nothing_else() {
        let complete = json!({"preferred_username": "alice", "groups": []});
        assert!(!lacks(&claims(complete.clone()), &with_groups()));
        assert!(!lacks(&claims(json!({"preferred_username": "alice"})), &provider("corp")));
        assert!(lacks(&claims(json!({"preferred_username": "alice"})), &with_groups()));
        assert!(lacks(&claims(json!({"preferred_username": null, "groups": []})), &with_groups()));
        let mut known = claims(complete);
        supplement(&mut known, claims(json!({"preferred_username": "mallory", "groups": ["staff"], "name": "Alice"})));
        assert_eq!(Value::Object(known), json!({"preferred_username": "alice", "groups": [], "name": "Alice"}));
    }
}
