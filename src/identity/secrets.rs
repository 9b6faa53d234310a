//! Tokens and passwords that this program makes, and how tokens are kept.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::store::values::random_bytes;

/// What an agent's token begins with.
pub const AGENT_TOKEN: &str = "dwa_";

/// What an API token begins with.
pub const API_TOKEN: &str = "dwt_";

/// What the id of a session, a state or a nonce begins with: only programs see them.
pub const NO_PREFIX: &str = "";

/// Bytes of randomness in a token: 256 bits, so that a plain hash keeps it.
const TOKEN_BYTES: usize = 32;

/// Groups and characters in each of a password that is made: 20 × 5 bits.
const PASSWORD_GROUPS: usize = 4;
const PASSWORD_GROUP: usize = 5;

/// 32 characters that are hard to mistake for each other: no i, l, o, u. Five bits each, so none is likelier.
const PASSWORD_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A fresh token: the prefix that tells its kind, and 32 random bytes in base64url.
pub fn new_token(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random_bytes::<TOKEN_BYTES>()))
}

/// What is stored of a token: SHA-256 in hex.
pub fn hash_token(token: &str) -> String {
    format!("{:x}", Sha256::digest(token.as_bytes()))
}

/// Whether this token has that hash, in a time that does not tell how much of it fits.
pub fn token_matches(shown: &str, stored_hash: &str) -> bool {
    hash_token(shown).as_bytes().ct_eq(stored_hash.as_bytes()).into()
}

/// A password of 100 random bits, like `k7dm2-x9wqp-4hbtn-vc3ru`.
pub fn generate_password() -> String {
    let random = random_bytes::<{ PASSWORD_GROUPS * PASSWORD_GROUP }>();
    let character = |byte: &u8| char::from(PASSWORD_ALPHABET[usize::from(byte % 32)]);
    let groups: Vec<String> =
        random.chunks(PASSWORD_GROUP).map(|group| group.iter().map(character).collect()).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_random_and_tell_their_kind() {
        let (one, other) = (new_token(AGENT_TOKEN), new_token(AGENT_TOKEN));
        assert_ne!(one, other);
        let random = URL_SAFE_NO_PAD.decode(one.strip_prefix("dwa_").unwrap()).unwrap();
        assert_eq!(random.len(), 32);
        assert!(new_token(API_TOKEN).starts_with("dwt_"));
    }

    #[test]
    fn a_token_matches_its_own_hash_alone() {
        // The SHA-256 of "abc", from the standard.
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_token("abc"), hash);
        assert!(token_matches("abc", hash));
        for (shown, stored) in
            [("abd", hash), ("", hash), ("abc", ""), ("abc", &hash[1..]), ("abc", &hash.to_uppercase())]
        {
            assert!(!token_matches(shown, stored), "{shown} {stored}");
        }
    }

    #[test]
    fn made_passwords_are_taken_by_the_rules_for_passwords() {
        let password = generate_password();
        assert_eq!(password.len(), 23);
        assert_ne!(password, generate_password());
        assert_eq!(crate::identity::passwords::check(&password), Ok(()));
    }
}
