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
    /// Everything that its owner may do.
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

    const fn bit(self) -> u8 {
        1 << self as u8
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

/// The scopes of one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ScopeSet(u8);

impl ScopeSet {
    /// What `Display` wrote, as a token's row keeps it. A word that a later version wrote gives no right here.
    pub fn of_row(text: &str) -> Self {
        text.split_whitespace().filter_map(|word| word.parse::<Scope>().ok()).collect()
    }

    /// Whether a token with these may do what needs `scope`. `admin` includes all others.
    pub const fn allows(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether a token with these may do whatever one with `other` may.
    pub fn covers(self, other: Self) -> bool {
        other.iter().all(|scope| self.allows(scope))
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// Separated by spaces, as OAuth 2.0 writes them (RFC 6749 section 3.3).
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(scopes: &[Scope]) -> ScopeSet {
        scopes.iter().copied().collect()
    }

    #[test]
    fn each_is_read_as_it_is_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        let error = "tunnels".parse::<Scope>().unwrap_err();
        assert!(error.to_string().contains("tunnels:read, tunnels:write"), "{error}");
    }

    #[test]
    fn sets_are_kept_and_unknown_words_give_nothing() {
        assert_eq!(ScopeSet::of_row(&set(&Scope::ALL).to_string()), set(&Scope::ALL));
        assert_eq!(ScopeSet::of_row("everything admin"), set(&[Scope::Admin]));
        assert_eq!(ScopeSet::of_row(" "), ScopeSet::default());
        assert!(ScopeSet::default().is_empty());
        assert_eq!(set(&[Scope::Admin, Scope::TunnelsRead]).to_string(), "tunnels:read admin");
    }

    #[test]
    fn what_covers_what() {
        use Scope::{Admin, DesktopsRead, TunnelsRead, TunnelsWrite};
        let cases: &[(&[Scope], &[Scope], bool)] = &[
            (&[TunnelsRead], &[TunnelsRead], true),
            (&[TunnelsRead, TunnelsWrite], &[TunnelsWrite], true),
            (&[TunnelsRead], &[TunnelsWrite], false),
            (&[TunnelsRead], &[TunnelsRead, DesktopsRead], false),
            (&[Admin], &[TunnelsRead, DesktopsRead, Admin], true),
            (&[TunnelsRead, TunnelsWrite], &[Admin], false),
            (&[TunnelsRead], &[], true),
            (&[], &[TunnelsRead], false),
        ];
        for (wide, narrow, covered) in cases {
            assert_eq!(set(wide).covers(set(narrow)), *covered, "{wide:?} {narrow:?}");
        }
    }
}
