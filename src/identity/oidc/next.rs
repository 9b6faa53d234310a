//! Where a person goes after the sign-in: a path on this host and nothing else.

/// The most bytes of such a path.
const NEXT_LIMIT: usize = 2048;

/// Check a path that a browser is to be sent to, and make it fit for a `Location` header.
///
/// # Errors
/// What is wrong with it.
pub fn checked(path: &str) -> Result<String, &'static str> {
    if path.len() > NEXT_LIMIT {
        return Err("must have at most 2048 bytes");
    }
    // Browsers take `//host` and `/\host` for another host, and forget tabs and line ends.
    if !path.starts_with('/') || path.starts_with("//") {
        return Err("must be a path on this host, with one `/` at its beginning");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return Err("must not contain a backslash or control characters");
    }
    Ok(encoded(path))
}

/// What may not stand in a header, percent-encoded.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use openidconnect::url::Url;
    use proptest::prelude::*;

    use super::*;

    /// Where a browser goes.
    fn resolved(location: &str) -> Url {
        Url::parse("https://here.test:8443/api/oidc/x/callback?code=1").unwrap().join(location).unwrap()
    }

    #[test]
    fn paths_on_this_host() {
        let longest = format!("/{}", "a".repeat(NEXT_LIMIT - 1));
        let table = [
            ("/", "/"),
            ("/desktop/alice", "/desktop/alice"),
            ("/a?b=c&d=//e#f", "/a?b=c&d=//e#f"),
            ("/a//b", "/a//b"),
            ("/%2F%2Fevil.test", "/%2F%2Fevil.test"),
            ("/@evil.test", "/@evil.test"),
            ("/:80/x", "/:80/x"),
            ("/é \"<", "/%C3%A9%20\"<"),
            (longest.as_str(), longest.as_str()),
        ];
        for (path, location) in table {
            assert_eq!(checked(path).as_deref(), Ok(location), "{path}");
            assert_eq!(resolved(location).host_str(), Some("here.test"));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let too_long = format!("/{}", "a".repeat(NEXT_LIMIT));
        let table = [
            "",
            "a",
            "evil.test",
            "https://evil.test",
            "//evil.test",
            "///evil.test",
            "/\\evil.test",
            "\\\\evil.test",
            "/a\\b",
            "/\t/evil.test",
            "/\n/evil.test",
            "/\r\nSet-Cookie: a=b",
            "\t//evil.test",
            " //evil.test",
            " /a",
            "/a\0",
            "/a\u{7f}",
            "/a\u{85}",
            "javascript:alert(1)",
            "?a",
            "#a",
            ".//evil.test",
            "\u{2f00}/evil.test",
            too_long.as_str(),
        ];
        for path in table {
            assert!(checked(path).is_err(), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_stays_on_this_host(path in "[/\\\\.:@?#%\t\n\r a-z0-9é]{0,12}|/.{0,20}|\\PC{0,20}") {
            if let Ok(location) = checked(&path) {
                let url = resolved(&location);
                prop_assert_eq!(url.origin(), resolved("/").origin());
                prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
