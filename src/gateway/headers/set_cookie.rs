//! Cookies that a desktop sets: never one of Dockway's, and none that other desktops get to see.

use super::Passage;
use crate::http::cookies;

/// Of a longer one browsers take no notice, and choose the path themselves (RFC 6265bis section 5.6).
const LONGEST_ATTRIBUTE: usize = 1024;

/// The value of a Set-Cookie header for the browser; None for a cookie that it must not get.
pub fn rescoped(value: &[u8], passage: &Passage<'_>) -> Option<Vec<u8>> {
    let mut parts = value.split(|byte| *byte == b';');
    let pair = parts.next()?.trim_ascii();
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let name = pair[..equals].trim_ascii();
    // A browser sends the value of a cookie without a name alone, which then looks like whatever it likes.
    if name.is_empty() || cookies::is_ours(name) {
        return None;
    }
    let mut path = None;
    let mut kept = pair.to_vec();
    for attribute in parts.map(<[u8]>::trim_ascii) {
        let (key, value) = match attribute.iter().position(|byte| *byte == b'=') {
            Some(at) => (attribute[..at].trim_ascii(), attribute[at + 1..].trim_ascii()),
            None => (attribute, &b""[..]),
        };
        if key.eq_ignore_ascii_case(b"path") {
            path = Some(value);
        } else if !key.eq_ignore_ascii_case(b"domain") {
            kept.extend_from_slice(b"; ");
            kept.extend_from_slice(attribute);
        }
    }
    kept.extend_from_slice(b"; Path=");
    let whole = || [passage.prefix.as_bytes(), b"/"].concat();
    let within = below(path.unwrap_or_default(), passage);
    kept.extend(if within.len() <= LONGEST_ATTRIBUTE { within } else { whole() });
    Some(kept)
}

/// The path within the desktop that the upstream meant; the whole desktop if it meant none, or one elsewhere.
fn below(path: &[u8], passage: &Passage<'_>) -> Vec<u8> {
    let prefix = passage.prefix.as_bytes();
    let is_odd = |path: &[u8]| path.iter().any(|byte| b"%\\".contains(byte)) || path.windows(2).any(|two| two == b"..");
    let is_inside = path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
    match path {
        path if is_odd(path) => [prefix, b"/"].concat(),
        path if is_inside && path.len() > prefix.len() => path.to_vec(),
        [b'/', ..] if passage.strip_prefix && !is_inside => [prefix, path].concat(),
        _ => [prefix, b"/"].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{client, passage, upstream};
    use super::*;
    use crate::desktop::Kind;

    fn of(value: &str, strip_prefix: bool) -> Option<String> {
        let (upstream, client) = (upstream(None), client(false));
        let passage = passage(Kind::Web, strip_prefix, &upstream, &client);
        rescoped(value.as_bytes(), &passage).map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn a_cookie_is_for_its_desktop_alone() {
        let table = [
            ("a=b", true, "a=b; Path=/desktop/alice-x/"),
            ("a=b; Path=/", true, "a=b; Path=/desktop/alice-x/"),
            ("a=b; path=/lab; HttpOnly", true, "a=b; HttpOnly; Path=/desktop/alice-x/lab"),
            ("a=b; Path=/lab; Path=/", true, "a=b; Path=/desktop/alice-x/"),
            ("a=b; Path=lab", true, "a=b; Path=/desktop/alice-x/"),
            ("a=b; Path", true, "a=b; Path=/desktop/alice-x/"),
            ("a=b; Path=/desktop/alice-x/lab", true, "a=b; Path=/desktop/alice-x/lab"),
            ("a=b; Path=/desktop/alice-x", true, "a=b; Path=/desktop/alice-x/"),
            ("a=b; Path=/desktop/alice-xy/", true, "a=b; Path=/desktop/alice-x/desktop/alice-xy/"),
            ("a=b; Path=/desktop/alice-x/../bob", true, "a=b; Path=/desktop/alice-x/"),
            ("a=b; Path=/%2e%2e", true, "a=b; Path=/desktop/alice-x/"),
            ("a=b; Path=/", false, "a=b; Path=/desktop/alice-x/"),
            ("a=b; Path=/api", false, "a=b; Path=/desktop/alice-x/"),
            ("a=b; Path=/desktop/alice-x/lab", false, "a=b; Path=/desktop/alice-x/lab"),
            ("a=b; Domain=example.org; Secure", true, "a=b; Secure; Path=/desktop/alice-x/"),
            ("a=\"b;c\" ; DOMAIN ; SameSite=Lax", true, "a=\"b; c\"; SameSite=Lax; Path=/desktop/alice-x/"),
            ("dockway_session_of_mine=1", true, "dockway_session_of_mine=1; Path=/desktop/alice-x/"),
        ];
        for (value, strip_prefix, expected) in table {
            assert_eq!(of(value, strip_prefix).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn no_path_is_so_long_that_browsers_pass_over_it() {
        let fits = LONGEST_ATTRIBUTE - "/desktop/alice-x/".len();
        for (length, expected) in
            [(fits, format!("/desktop/alice-x/{}", "a".repeat(fits))), (fits + 1, "/desktop/alice-x/".into())]
        {
            let value = of(&format!("a=b; Path=/{}", "a".repeat(length)), true);
            assert_eq!(value.unwrap(), format!("a=b; Path={expected}"), "{length}");
        }
    }

    #[test]
    fn dockways_own_cookies_are_not_set() {
        for value in [
            "dockway_session=evil",
            "__Host-dockway_session=evil; Path=/; Secure",
            "dockway_oidc=evil",
            "__Host-dockway_oidc=evil",
            " \tdockway_session =evil",
            "Dockway_Session=evil",
            "=dockway_session=evil",
            "dockway_session",
            "",
            ";a=b",
        ] {
            assert_eq!(of(value, true), None, "{value}");
        }
    }
}
