//! May this account do this? Pure, and the only place that knows.

use std::fmt;
use std::str::FromStr;

use super::scopes::Scope;

/// What an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Admin,
    User,
}

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("this needs an account with the role `admin`")]
    Role,
    #[error("this token lacks the scope `{0}`")]
    Scope(Scope),
}

/// Whether an account of this role, with a token of these scopes, may do what needs that scope. The scope `admin`
/// includes all others. For now only administrators may do anything.
///
/// # Errors
/// What is lacking.
pub fn may(role: Role, scopes: &[Scope], needed: Scope) -> Result<(), Denied> {
    if role != Role::Admin {
        return Err(Denied::Role);
    }
    if scopes.contains(&needed) || scopes.contains(&Scope::Admin) {
        return Ok(());
    }
    Err(Denied::Scope(needed))
}

/// What a token gets that was asked for without naming scopes.
pub fn default_scopes(role: Role) -> Vec<Scope> {
    let mut scopes = vec![Scope::TunnelsRead, Scope::TunnelsWrite];
    if role == Role::Admin {
        scopes.push(Scope::Admin);
    }
    scopes
}

/// Whether an account of this role may have a token with this scope.
///
/// # Errors
/// `Role` for the scope `admin` and no administrator.
pub fn may_grant(role: Role, scope: Scope) -> Result<(), Denied> {
    if scope == Scope::Admin && role != Role::Admin { Err(Denied::Role) } else { Ok(()) }
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
        }
    }

    /// As a row has it. An unknown word gives the fewest rights.
    pub fn of_row(text: &str) -> Self {
        text.parse().unwrap_or(Self::User)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// This text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; there are admin, user")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "admin" => Ok(Self::Admin),
            "user" => Ok(Self::User),
            other => Err(UnknownRole(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Scope::{Admin, DesktopsRead, TunnelsRead, TunnelsWrite};

    #[test]
    fn who_may_what() {
        type Case = (Role, &'static [Scope], Scope, Result<(), Denied>);
        let cases: &[Case] = &[
            (Role::Admin, &[TunnelsRead], TunnelsRead, Ok(())),
            (Role::Admin, &[TunnelsRead], TunnelsWrite, Err(Denied::Scope(TunnelsWrite))),
            (Role::Admin, &[TunnelsWrite], TunnelsRead, Err(Denied::Scope(TunnelsRead))),
            (Role::Admin, &[TunnelsRead, TunnelsWrite], Admin, Err(Denied::Scope(Admin))),
            (Role::Admin, &[Admin], Admin, Ok(())),
            (Role::Admin, &[Admin], TunnelsWrite, Ok(())),
            (Role::Admin, &[Admin], DesktopsRead, Ok(())),
            (Role::Admin, &[], TunnelsRead, Err(Denied::Scope(TunnelsRead))),
            (Role::User, &[TunnelsRead], TunnelsRead, Err(Denied::Role)),
            (Role::User, &[Admin], Admin, Err(Denied::Role)),
        ];
        for (role, scopes, needed, expected) in cases {
            assert_eq!(may(*role, scopes, *needed), *expected, "{role} {scopes:?} {needed}");
        }
    }

    #[test]
    fn what_tokens_get() {
        assert_eq!(default_scopes(Role::User), [TunnelsRead, TunnelsWrite]);
        assert_eq!(default_scopes(Role::Admin), [TunnelsRead, TunnelsWrite, Admin]);
        assert_eq!(may_grant(Role::User, Admin), Err(Denied::Role));
        assert_eq!(may_grant(Role::User, TunnelsWrite), Ok(()));
        assert_eq!(may_grant(Role::Admin, Admin), Ok(()));
    }

    #[test]
    fn roles_in_rows() {
        for role in [Role::Admin, Role::User] {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!(Role::of_row("owner"), Role::User);
        assert!("Admin".parse::<Role>().is_err());
    }
}
