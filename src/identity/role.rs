//! What an account is.

use std::fmt;
use std::str::FromStr;

/// What an account may do beyond its own things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reaches everything.
    Admin,
    /// Reaches what is its own or shared.
    User,
}

impl Role {
    pub const ALL: [Self; 2] = [Self::Admin, Self::User];

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
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_in_rows() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!(Role::of_row("owner"), Role::User);
        assert!("Admin".parse::<Role>().is_err());
    }
}
