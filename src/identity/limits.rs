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
            tunnels: own(user.max_tunnels, role.tunnels),
            desktops: own(user.max_desktops, role.desktops),
            agents: own(user.max_agents, role.agents),
            tokens: own(user.max_tokens, role.tokens),
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
