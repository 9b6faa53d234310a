//! Passwords of people: which are taken, and how they are kept (argon2id in PHC form).

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};

use crate::store::values::random_bytes;

/// The fewest characters of a password.
const SHORTEST: usize = 10;

/// The most bytes of a password, so that nobody keeps the hash busy.
pub const LONGEST_BYTES: usize = 1024;

/// Bytes of salt.
const SALT_BYTES: usize = 16;

/// The commonest passwords that are long enough otherwise, in lower case.
const COMMONEST: &[&str] = &[
    "0123456789",
    "0987654321",
    "1234567890",
    "12345678910",
    "123456789a",
    "1q2w3e4r5t",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "a123456789",
    "abcdefghij",
    "adminadmin",
    "administrator",
    "changeme123",
    "changemenow",
    "dockway123",
    "iloveyou123",
    "letmein123",
    "letmeinnow",
    "p@ssw0rd123",
    "passw0rd123",
    "password01",
    "password10",
    "password11",
    "password12",
    "password123",
    "password1234",
    "password12345",
    "passwordpassword",
    "q1w2e3r4t5",
    "qazwsxedcrfv",
    "qwerty12345",
    "qwerty123456",
    "qwertyuiop",
    "qwertyuiop123",
    "superman123",
    "welcome123",
    "welcome1234",
    "zaq12wsxcde3",
];

/// Why a password is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("a password needs at least {SHORTEST} characters")]
    TooShort,
    #[error("a password has at most {LONGEST_BYTES} bytes")]
    TooLong,
    #[error("this password is among the first that anybody would try")]
    TooCommon,
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// Whether a password is taken.
///
/// # Errors
/// Too short, too long, or too common.
pub fn check(password: &str) -> Result<(), PasswordError> {
    if password.chars().count() < SHORTEST {
        return Err(PasswordError::TooShort);
    }
    if password.len() > LONGEST_BYTES {
        return Err(PasswordError::TooLong);
    }
    let lower = password.to_lowercase();
    let first = lower.chars().next();
    if COMMONEST.contains(&lower.as_str()) || lower.chars().all(|c| Some(c) == first) {
        return Err(PasswordError::TooCommon);
    }
    Ok(())
}

/// Check a password and hash it. Takes tens of milliseconds and 19 MiB: not for a thread that serves sockets.
///
/// # Errors
/// Those of `check`.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    check(password)?;
    let failed = |error: argon2::password_hash::Error| PasswordError::Hash(error.to_string());
    let salt = SaltString::encode_b64(&random_bytes::<SALT_BYTES>()).map_err(failed)?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(failed)?;
    Ok(hash.to_string())
}

/// Whether the password has this hash. Takes as long as `hash`; false at once for what is no hash.
pub fn verify(password: &str, stored_hash: &str) -> bool {
    if password.len() > LONGEST_BYTES {
        return false;
    }
    let Ok(parsed) = PasswordHash::new(stored_hash) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let cases = [
            ("", Err(PasswordError::TooShort)),
            ("short", Err(PasswordError::TooShort)),
            ("ninechars", Err(PasswordError::TooShort)),
            ("öäüöäüöäü", Err(PasswordError::TooShort)),
            ("tenletters", Ok(())),
            ("öäüöäüöäüß", Ok(())),
            ("Password123", Err(PasswordError::TooCommon)),
            ("1234567890", Err(PasswordError::TooCommon)),
            ("aaaaaaaaaaaa", Err(PasswordError::TooCommon)),
        ];
        for (password, expected) in cases {
            assert_eq!(check(password), expected, "{password}");
        }
        assert_eq!(check(&"ab".repeat(512)), Ok(()));
        assert_eq!(check(&"ab".repeat(513)), Err(PasswordError::TooLong));
    }

    #[test]
    fn the_list_holds_only_what_length_lets_through() {
        for word in COMMONEST {
            assert!(word.len() >= SHORTEST && *word == word.to_lowercase(), "{word}");
        }
    }

    #[test]
    fn a_hash_fits_its_password_alone() {
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert_ne!(stored, hash("correct horse").unwrap(), "salted");
        assert!(verify("correct horse", &stored));
        assert!(!verify("correct house", &stored));
        assert!(!verify("correct horse", "no hash"));
        assert!(!verify("correct horse", ""));
        assert!(matches!(hash("short"), Err(PasswordError::TooShort)));
    }
}
