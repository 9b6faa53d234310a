//! Which names accounts and agents may have.

/// The longest name of an account: it becomes part of URLs and container names.
const LONGEST_USERNAME: usize = 32;

/// The longest name of an agent.
const LONGEST_CLIENT_ID: usize = 64;

/// What an account's name looks like, in words.
pub const USERNAME_RULE: &str =
    "1 to 32 of a-z, 0-9, `.` and `-`, with a letter or digit at the beginning and at the end";

/// What an agent's name looks like, in words.
pub const CLIENT_ID_RULE: &str = "1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`";

/// `^[a-z0-9](?:[a-z0-9.-]{0,30}[a-z0-9])?$`
pub fn is_username(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    bytes.len() <= LONGEST_USERNAME
        && alphanumeric(*first)
        && alphanumeric(*last)
        && bytes.iter().all(|byte| alphanumeric(*byte) || b".-".contains(byte))
}

/// `^[A-Za-z0-9._-]{1,64}$`
pub fn is_client_id(text: &str) -> bool {
    (1..=LONGEST_CLIENT_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames() {
        let longest = "a".repeat(32);
        for right in ["a", "7", "alice", "alice.b-c", "a..b", "0x", longest.as_str()] {
            assert!(is_username(right), "{right}");
        }
        let too_long = "a".repeat(33);
        for wrong in ["", "-a", "a-", ".a", "a.", ".", "Alice", "a_b", "a b", "ä", "a\n", "a/b", too_long.as_str()] {
            assert!(!is_username(wrong), "{wrong}");
        }
    }

    #[test]
    fn client_ids() {
        let longest = "a".repeat(64);
        for right in ["pc1", "PC_1.lan-2", ".", "-", longest.as_str()] {
            assert!(is_client_id(right), "{right}");
        }
        let too_long = "a".repeat(65);
        for wrong in ["", "pc 1", "pc/1", "ä", "pc1\n", too_long.as_str()] {
            assert!(!is_client_id(wrong), "{wrong}");
        }
    }
}
