//! Which names accounts and agents may have.

/// The longest name of an account: it becomes part of URLs and container names.
const LONGEST_USERNAME: usize = 32;

/// The longest name of an agent.
const LONGEST_CLIENT_ID: usize = 64;

/// What an account's name looks like, in words.
pub const USERNAME_RULE: &str =
    "1 to 32 of a-z, 0-9, `.` and `-`, with a letter or digit at the beginning and at the end";

/// The most characters of an e-mail address (RFC 5321 section 4.5.3.1.3, without its angle brackets).
pub const LONGEST_EMAIL: usize = 254;

/// What an e-mail address looks like, in words. Whether anybody reads it, only a letter would tell.
pub const EMAIL_RULE: &str =
    "at most 254 characters with one `@` and something on both sides of it, without spaces and control characters";

/// The most characters of a name that people give to what is theirs: a display name, a tunnel's, a token's.
pub const LONGEST_LABEL: usize = 100;

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

/// See [`EMAIL_RULE`].
pub fn is_email(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    let Some((local, domain)) = text.split_once('@') else { return false };
    let whole = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    whole && !text.contains(odd) && text.chars().count() <= LONGEST_EMAIL
}

/// Whether people may call something so: 1 to [`LONGEST_LABEL`] characters, not blank, none of them a control character.
pub fn is_label(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(char::is_control) && text.chars().count() <= LONGEST_LABEL
}

/// `^[A-Za-z0-9._-]{1,64}$`
pub fn is_client_id(text: &str) -> bool {
    (1..=LONGEST_CLIENT_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Names that no account gets, since they stand in URLs or people take them for the house itself. The first start and
/// `dockway admin` alone make one called `admin`.
const RESERVED: &[&str] = &[
    "admin",
    "administrator",
    "anonymous",
    "api",
    "assets",
    "audit",
    "desktop",
    "desktops",
    "dockway",
    "docs",
    "events",
    "healthz",
    "login",
    "logout",
    "me",
    "metrics",
    "nobody",
    "oidc",
    "readyz",
    "root",
    "session",
    "static",
    "support",
    "system",
    "tokens",
    "tunnels",
    "users",
];

/// Whether nobody may take this name.
pub fn is_reserved(username: &str) -> bool {
    RESERVED.contains(&username)
}

/// A name for a new account: made from what a provider says, safe for URLs, and not `taken`.
pub fn free_username(wanted: &str, taken: impl Fn(&str) -> bool) -> String {
    let base = safe_username(wanted);
    let numbered = (2_u64..).map(|number| {
        let suffix = format!("-{number}");
        let room = LONGEST_USERNAME - suffix.len();
        let base = base.get(..room).unwrap_or(&base);
        format!("{}{suffix}", base.trim_end_matches(SEPARATORS))
    });
    let mut names = std::iter::once(base.clone()).chain(numbered);
    // A number that is free comes before u64 runs out.
    names.find(|name| !is_reserved(name) && !taken(name)).unwrap_or(base)
}

/// What may stand inside a name but not at its ends.
const SEPARATORS: [char; 2] = ['.', '-'];

/// The part before an `@`, in lower case; what may not stand in a name becomes `-`.
fn safe_username(wanted: &str) -> String {
    let local = wanted.split('@').next().unwrap_or_default();
    let mut name = String::new();
    for character in local.chars().flat_map(char::to_lowercase).take(LONGEST_USERNAME) {
        match character {
            'a'..='z' | '0'..='9' | '.' => name.push(character),
            // Not two in a row for one odd character of several bytes or several of them.
            _ if !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    match name.trim_matches(SEPARATORS) {
        "" => "user".to_owned(),
        trimmed => trimmed.to_owned(),
    }
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
    fn names_for_whom_a_provider_knows() {
        let longest = "a".repeat(40);
        let cases = [
            ("alice", "alice"),
            ("Alice@example.org", "alice"),
            ("alice.b-c", "alice.b-c"),
            ("Älice Müller", "lice-m-ller"),
            ("../../etc/passwd", "etc-passwd"),
            ("bob\0'; DROP TABLE users;--", "bob-drop-table-users"),
            ("<script>", "script"),
            ("", "user"),
            ("@", "user"),
            ("日本", "user"),
            ("admin", "admin-2"),
            ("API", "api-2"),
            (longest.as_str(), &longest[..32]),
        ];
        for (wanted, expected) in cases {
            let name = free_username(wanted, |_| false);
            assert_eq!(name, expected, "{wanted}");
            assert!(is_username(&name) && !is_reserved(&name), "{name}");
        }
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        let taken = ["alice", "alice-2", "admin-2"];
        assert_eq!(free_username("alice", |name| taken.contains(&name)), "alice-3");
        assert_eq!(free_username("admin", |name| taken.contains(&name)), "admin-3");
        let longest = "a".repeat(32);
        let name = free_username(&longest, |name| name == longest);
        assert_eq!(name, format!("{}-2", "a".repeat(30)));
        let dotted = format!("{}.bc", "a".repeat(29));
        assert_eq!(free_username(&dotted, |name| name == dotted), format!("{}-2", "a".repeat(29)));
    }

    #[test]
    fn emails() {
        let longest = format!("{}@b", "a".repeat(252));
        for right in ["a@b", "alice.b+c@example.org", "<b>\"'--@x", "jürgen@bücher.example", longest.as_str()] {
            assert!(is_email(right), "{right}");
        }
        let too_long = format!("a{longest}");
        for wrong in ["", "@", "a@", "@b", "a", "a@b@c", "a b@c", "a@b\n", "a\0@b", "a\u{a0}@b", too_long.as_str()] {
            assert!(!is_email(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn labels() {
        let (longest, too_long) = ("ü".repeat(100), "u".repeat(101));
        for right in ["a", " a b ", "<script>", "'; DROP TABLE users;--", longest.as_str()] {
            assert!(is_label(right), "{right}");
        }
        for wrong in ["", " ", "a\0", "a\tb", too_long.as_str()] {
            assert!(!is_label(wrong), "{wrong:?}");
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
