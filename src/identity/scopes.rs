//! What a token may be used for.

use std::fmt;
use std::str::FromStr;

/// A right that a token carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    TunnelsRead,
    TunnelsWrite,
    DesktopsRead,
    DesktopsWrite,
    /// Everything, accounts and agents among it.
    Admin,
}

/// This text names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope; there are {names}", names = Scope::ALL.map(Scope::as_str).join(", "))]
pub struct UnknownScope(pub String);

impl Scope {
    pub const ALL: [Self; 5] =
        [Self::TunnelsRead, Self::TunnelsWrite, Self::DesktopsRead, Self::DesktopsWrite, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TunnelsRead => "tunnels:read",
            Self::TunnelsWrite => "tunnels:write",
            Self::DesktopsRead => "desktops:read",
            Self::DesktopsWrite => "desktops:write",
            Self::Admin => "admin",
        }
    }

    /// As a token's row keeps them: separated by spaces.
    pub fn join(scopes: &[Self]) -> String {
        scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// What `join` wrote. A word that a later version wrote gives no right here.
    pub fn split(text: &str) -> Vec<Self> {
        text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_read_as_it_is_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        let error = "tunnels".parse::<Scope>().unwrap_err();
        assert!(error.to_string().contains("tunnels:read, tunnels:write"), "{error}");
    }

    #[test]
    fn lists_are_kept_and_unknown_words_give_nothing() {
        assert_eq!(Scope::split(&Scope::join(&Scope::ALL)), Scope::ALL);
        assert_eq!(Scope::split("everything admin"), [Scope::Admin]);
        assert_eq!(Scope::split(""), []);
    }
}
