//! Who calls, once a cookie or a token has proved it.

use super::policy::{self, Action, Actor, Decision, Denied, Means, Object};
use super::role::Role;
use super::secrets::hash_token;

/// What somebody showed, as it is stored: a hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    Session(String),
    Token(String),
}

impl Credential {
    /// The session whose id a browser's cookie holds.
    pub fn of_cookie(value: &str) -> Self {
        Self::Session(hash_token(value))
    }

    /// The API token of an Authorization header.
    pub fn of_bearer(token: &str) -> Self {
        Self::Token(hash_token(token))
    }

    /// The hash of a session's id.
    pub fn into_session_hash(self) -> Option<String> {
        match self {
            Self::Session(hash) => Some(hash),
            Self::Token(_) => None,
        }
    }
}

/// A person whose credential was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub user_id: String,
    pub username: String,
    pub role: Role,
    pub by: Means,
    /// When the credential ends, in milliseconds since 1970: a session without further use, or a token.
    pub ends_at: Option<i64>,
    pub credential: Credential,
}

impl Caller {
    pub fn actor(&self) -> Actor<'_> {
        Actor::Person { user_id: &self.user_id, role: self.role, by: self.by }
    }

    /// Ask the policy.
    ///
    /// # Errors
    /// Why not.
    pub fn may(&self, action: Action, object: Object<'_>) -> Result<(), Denied> {
        match policy::may(self.actor(), action, object) {
            Decision::Allow => Ok(()),
            Decision::Deny(denied) => Err(denied),
        }
    }

    /// Whether the policy allows it, for lists.
    pub fn can(&self, action: Action, object: Object<'_>) -> bool {
        policy::may(self.actor(), action, object) == Decision::Allow
    }

    /// The hash of the session's id, of somebody who signed in with a browser.
    pub fn session_hash(&self) -> Option<&str> {
        match &self.credential {
            Credential::Session(hash) => Some(hash),
            Credential::Token(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ScopeSet;

    fn caller(by: Means, credential: Credential) -> Caller {
        Caller { user_id: "1".into(), username: "alice".into(), role: Role::User, by, ends_at: None, credential }
    }

    #[test]
    fn the_same_text_as_cookie_and_as_token_is_not_the_same() {
        assert_ne!(Credential::of_cookie("abc"), Credential::of_bearer("abc"));
        assert_ne!(Credential::of_cookie("abc"), Credential::of_cookie("abd"));
        let Credential::Session(hash) = Credential::of_cookie("abc") else { panic!("a session") };
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn the_policy_is_asked_as_what_it_is() {
        let browser = caller(Means::Session, Credential::of_cookie("abc"));
        let script = caller(Means::Token(ScopeSet::default()), Credential::of_bearer("abc"));
        assert_eq!(browser.may(Action::ListTunnels, Object::None), Ok(()));
        assert!(browser.can(Action::ReadTunnel, Object::Owned { owner_id: "1" }));
        assert!(!browser.can(Action::ReadTunnel, Object::Owned { owner_id: "2" }));
        let lacks = Denied::Scope(crate::identity::Scope::TunnelsRead);
        assert_eq!(script.may(Action::ListTunnels, Object::None), Err(lacks));
        assert_eq!(script.may(Action::EndSessions, Object::None), Err(Denied::Session));
        assert_eq!((browser.session_hash().is_some(), script.session_hash()), (true, None));
    }
}
