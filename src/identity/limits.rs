//! How many things one person may have.

use super::role::Role;
use crate::config::{Limits, RoleLimits};
use crate::error::Error;
use crate::store::models::UserRow;

/// A kind of thing that is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    Tunnels,
    Desktops,
    Agents,
    Tokens,
}

impl Limited {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tunnels => "tunnels",
            Self::Desktops => "desktops",
            Self::Agents => "agents",
            Self::Tokens => "tokens",
        }
    }
}

impl RoleLimits {
    /// What this person may have: the account's own limit where it has one, else the role's.
    pub fn of(&self, user: &UserRow) -> Limits {
        let role = match Role::of_row(&user.role) {
            Role::Admin => self.admin,
            Role::User => self.user,
        };
        let own = |own: Option<i32>, role: Option<u32>| own.and_then(|own| u32::try_from(own).ok()).or(role);
        Limits {
            tunnels: own(user.limits.max_tunnels, role.tunnels),
            desktops: own(user.limits.max_desktops, role.desktops),
            agents: own(user.limits.max_agents, role.agents),
            tokens: own(user.limits.max_tokens, role.tokens),
        }
    }
}

/// Whether somebody who has `present` of them may have one more.
///
/// # Errors
/// `LimitReached`.
pub fn check(kind: Limited, limit: Option<u32>, present: usize) -> Result<(), Error> {
    match limit {
        Some(limit) if present >= usize::try_from(limit).unwrap_or(usize::MAX) => {
            Err(Error::LimitReached { kind: kind.as_str(), limit })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::models::OwnLimits;
    use crate::store::testing::user;

    const LIMITS: RoleLimits = RoleLimits {
        user: Limits { tunnels: Some(1), desktops: Some(2), agents: Some(3), tokens: Some(4) },
        admin: Limits { tunnels: None, desktops: Some(20), agents: None, tokens: Some(40) },
    };

    fn limits(role: &str, own: [Option<i32>; 4]) -> [Option<u32>; 4] {
        let [max_tunnels, max_desktops, max_agents, max_tokens] = own;
        let own = OwnLimits { max_tunnels, max_desktops, max_agents, max_tokens };
        let row = UserRow { role: role.into(), limits: own, ..user("alice") };
        let Limits { tunnels, desktops, agents, tokens } = LIMITS.of(&row);
        [tunnels, desktops, agents, tokens]
    }

    #[test]
    fn an_accounts_own_limit_comes_before_its_roles() {
        assert_eq!(limits("user", [None; 4]), [Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(limits("admin", [None; 4]), [None, Some(20), None, Some(40)]);
        assert_eq!(limits("owner", [None; 4]), [Some(1), Some(2), Some(3), Some(4)], "an unknown role");
        assert_eq!(
            limits("user", [Some(0), Some(9), None, Some(i32::MAX)]),
            [Some(0), Some(9), Some(3), Some(2_147_483_647)]
        );
        assert_eq!(limits("admin", [Some(5), None, Some(0), Some(-1)]), [Some(5), Some(20), Some(0), Some(40)]);
    }

    #[test]
    fn one_more_fits_below_the_limit() {
        for (limit, present, fits) in [
            (None, usize::MAX, true),
            (Some(0), 0, false),
            (Some(1), 0, true),
            (Some(1), 1, false),
            (Some(1), 2, false),
            (Some(u32::MAX), 4_294_967_294, true),
            (Some(u32::MAX), 4_294_967_295, false),
        ] {
            for kind in [Limited::Tunnels, Limited::Desktops, Limited::Agents, Limited::Tokens] {
                match check(kind, limit, present) {
                    Ok(()) => assert!(fits, "{limit:?} {present}"),
                    Err(error @ Error::LimitReached { .. }) => {
                        assert!(!fits && error.to_string().contains(kind.as_str()), "{error}");
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }
}
