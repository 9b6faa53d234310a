//! From a request's target to the desktop that is asked for and what is asked of it. Pure.
//!
//! Bytes go on as they came: nothing is decoded, joined or taken out. What two programs may understand differently is
//! refused instead.

/// Where all desktops are.
pub const ROOT: &str = "/desktop";

/// No server decodes a path more often. What is encoded deeper yet was made to deceive one.
const MOST_DECODINGS: usize = 8;

/// Below [`ROOT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Letters, digits, `-`, `.`, `_` and `~`.
    pub proxy_path: &'a str,
    /// From its slash, byte for byte as it came; empty for `/desktop/{proxy_path}` itself.
    pub rest: &'a str,
    pub query: Option<&'a str>,
}

/// Why a target leads to no desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadTarget {
    /// A `.` or `..`, encoded or not: programs differ in what they make of it.
    DotSegment,
    /// No desktop can be called so.
    NoName,
}

impl<'a> Target<'a> {
    /// Take a request's path, of an absolute target its path alone (RFC 9112 section 3.2.2), and its query.
    ///
    /// # Errors
    /// See [`BadTarget`].
    pub fn parse(path: &'a str, query: Option<&'a str>) -> Result<Self, BadTarget> {
        let below = path.strip_prefix(ROOT).and_then(|below| below.strip_prefix('/')).ok_or(BadTarget::NoName)?;
        if has_dot_segment(below) {
            return Err(BadTarget::DotSegment);
        }
        let (proxy_path, rest) = below.split_at(below.find('/').unwrap_or(below.len()));
        if !is_plain_name(proxy_path) {
            return Err(BadTarget::NoName);
        }
        Ok(Self { proxy_path, rest, query })
    }

    /// What the upstream is asked for.
    pub fn upstream(&self, strip_prefix: bool) -> String {
        let mut target = if strip_prefix { String::new() } else { prefix(self.proxy_path) };
        target.push_str(self.rest);
        if target.is_empty() {
            target.push('/');
        }
        if let Some(query) = self.query {
            target.push('?');
            target.push_str(query);
        }
        target
    }

    /// Whether this is the desktop itself, and nothing in it.
    pub fn is_root(&self) -> bool {
        self.rest.is_empty() || self.rest == "/" && self.query.is_none()
    }
}

/// Where this desktop is, without a slash at the end.
pub fn prefix(proxy_path: &str) -> String {
    format!("{ROOT}/{proxy_path}")
}

/// Whether a path is the gateway's.
pub fn is_below(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

fn is_plain_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Whether a server could take a part of the path for `.` or `..`, if it decodes dots and separators once.
fn has_dot_segment(path: &str) -> bool {
    let mut rest = path.as_bytes();
    let (mut dots, mut other) = (0, false);
    loop {
        let (byte, after) = match rest {
            [] => return is_dots(dots, other),
            [b'%', high, low, after @ ..] => match decoded(*high, *low) {
                Some(byte @ (b'.' | b'/' | b'\\')) => (byte, after),
                _ => (b'%', &rest[1..]),
            },
            [byte, after @ ..] => (*byte, after),
        };
        rest = after;
        match byte {
            b'/' | b'\\' if is_dots(dots, other) => return true,
            b'/' | b'\\' => (dots, other) = (0, false),
            b'.' => dots += 1,
            _ => other = true,
        }
    }
}

const fn is_dots(dots: usize, other: bool) -> bool {
    !other && (dots == 1 || dots == 2)
}

/// The byte that two hexadecimal digits stand for.
fn decoded(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Whether a Kasm image could take this for a call of its own API, which knows no owners: however often it decodes the
/// path, and whatever it makes of backslashes, parameters and empty segments.
pub fn is_image_api(rest: &str) -> bool {
    let mut path = rest.as_bytes().to_vec();
    for _ in 0..=MOST_DECODINGS {
        if passes_api(&path, |byte| byte == b'/') || passes_api(&path, |byte| byte == b'/' || byte == b'\\') {
            return true;
        }
        let next = percent_decoded(&path);
        if next == path {
            return false;
        }
        path = next;
    }
    true
}

/// Whether `api` comes first in the path, at its end or on the way there.
fn passes_api(path: &[u8], is_separator: impl Fn(u8) -> bool) -> bool {
    let mut depth = 0_usize;
    for segment in path.split(|byte| is_separator(*byte)) {
        let end = segment.iter().position(|byte| b";?#\0".contains(byte) || byte.is_ascii_whitespace());
        match &segment[..end.unwrap_or(segment.len())] {
            b"" | b"." => {}
            b".." => depth = depth.saturating_sub(1),
            b"api" if depth == 0 => return true,
            _ => depth += 1,
        }
    }
    false
}

fn percent_decoded(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, later @ ..]) if decoded(*high, *low).is_some() => {
                plain.extend(decoded(*high, *low));
                rest = later;
            }
            _ => plain.push(*byte),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(path: &str) -> Result<(&str, &str), BadTarget> {
        Target::parse(path, None).map(|target| (target.proxy_path, target.rest))
    }

    #[test]
    fn a_target_is_a_name_and_a_rest() {
        let table = [
            ("/desktop/alice-x", Ok(("alice-x", ""))),
            ("/desktop/alice-x/", Ok(("alice-x", "/"))),
            ("/desktop/alice-x//a/", Ok(("alice-x", "//a/"))),
            ("/desktop/alice-x/%20/%2F%5c\\;a=b/...", Ok(("alice-x", "/%20/%2F%5c\\;a=b/..."))),
            ("/desktop/a.b_c~d/%252e%252e/x", Ok(("a.b_c~d", "/%252e%252e/x"))),
            ("/desktop/alice/..a/.b/c../%2ex", Ok(("alice", "/..a/.b/c../%2ex"))),
            ("/desktop/alice/%", Ok(("alice", "/%"))),
            ("/desktop/alice/%2", Ok(("alice", "/%2"))),
            ("/desktop", Err(BadTarget::NoName)),
            ("/desktop/", Err(BadTarget::NoName)),
            ("/desktop//x", Err(BadTarget::NoName)),
            ("/desktops/x", Err(BadTarget::NoName)),
            ("/%64esktop/x", Err(BadTarget::NoName)),
            ("/desktop/alice%2dx/", Err(BadTarget::NoName)),
            ("/desktop/alice;x/", Err(BadTarget::NoName)),
            ("*", Err(BadTarget::NoName)),
            ("", Err(BadTarget::NoName)),
        ];
        for (path, expected) in table {
            assert_eq!(parsed(path), expected, "{path}");
        }
    }

    #[test]
    fn dot_segments_are_refused_in_every_guise() {
        for rest in [
            "/.",
            "/..",
            "/./",
            "/../",
            "/a/..",
            "/a/../b",
            "/a/./b",
            "/%2e",
            "/%2E%2e/",
            "/.%2e",
            "/%2e./x",
            "/a%2f..",
            "/a%2F%2e%2E",
            "/..%2fb",
            "/a%5c..%5Cb",
            "/..%5c",
            "/\\..",
            "/a\\..\\b",
            "/.\\",
            "/a/%2e%2e%2fapi",
            "//../",
        ] {
            assert_eq!(parsed(&format!("/desktop/alice{rest}")), Err(BadTarget::DotSegment), "{rest}");
        }
        for path in ["/desktop/..", "/desktop/./x", "/desktop/%2e%2e/api", "/desktop/..%2fapi", "/desktop/a\\..\\api"] {
            assert_eq!(parsed(path), Err(BadTarget::DotSegment), "{path}");
        }
    }

    #[test]
    fn the_upstream_is_asked_with_or_without_the_prefix() {
        let table = [
            ("/desktop/a", None, "/", "/desktop/a"),
            ("/desktop/a/", Some(""), "/?", "/desktop/a/?"),
            ("/desktop/a//x%20", Some("q=1?2"), "//x%20?q=1?2", "/desktop/a//x%20?q=1?2"),
            ("/desktop/a", Some("b"), "/?b", "/desktop/a?b"),
        ];
        for (path, query, stripped, whole) in table {
            let target = Target::parse(path, query).unwrap();
            assert_eq!((target.upstream(true), target.upstream(false)), (stripped.into(), whole.into()), "{path}");
        }
    }

    #[test]
    fn which_targets_are_the_desktop_itself() {
        let table = [("", None, true), ("", Some("q"), true), ("/", None, true), ("/", Some("q"), false)];
        for (rest, query, expected) in table {
            assert_eq!(Target { proxy_path: "a", rest, query }.is_root(), expected, "{rest} {query:?}");
        }
    }

    #[test]
    fn what_is_encoded_without_end_is_closed() {
        let nested = |times: usize| format!("/%{}41", "25".repeat(times));
        assert!(!is_image_api(&nested(MOST_DECODINGS - 1)));
        assert!(is_image_api(&nested(4000)));
    }

    #[test]
    fn the_images_api_is_found_in_every_guise() {
        for rest in [
            "/api",
            "/api/",
            "/api/get_screenshot",
            "//api/x",
            "/./api",
            "/x/../api/y",
            "/%61pi",
            "/%2561pi/x",
            "/api;v=1/x",
            "/;/api",
            "/%2fapi",
            "/%2Fapi%2Fx",
            "\\api",
            "/\\api/x",
            "/%5capi",
            "/%255c%2561pi",
            "/x/..;/api",
            "/api%3fx",
            "/api%00.html",
            "/api%20",
            "/x/%252e%252e/api",
            "/api/%252e%252e/x",
            "/x\\%252e%252e\\api",
            "/%09/api",
            "/a\\b/%252e%252e/api",
        ] {
            assert!(is_image_api(rest), "{rest}");
        }
        for rest in ["", "/", "/apis", "/API/x", "/vnc/api", "/x/api/y", "/api.js", "/%2", "/%zz", "/vnc.html", "/xapi"]
        {
            assert!(!is_image_api(rest), "{rest}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_goes_on_unchanged(rest in "(/[!-~&&[^?#]]{0,12}){0,4}", query in "[!-~&&[^#]]{0,12}") {
            let path = format!("/desktop/alice-x{rest}");
            if let Ok(target) = Target::parse(&path, Some(&query)) {
                prop_assert_eq!(target.proxy_path, "alice-x");
                prop_assert_eq!(target.upstream(false), format!("{path}?{query}"));
                let below = if rest.is_empty() { "/" } else { &rest };
                prop_assert_eq!(target.upstream(true), format!("{below}?{query}"));
            }
        }

        /// A server that decodes once and resolves dots never leaves the desktop.
        #[test]
        fn nothing_that_is_taken_leads_out(rest in "(/|\\\\|%2f|%5C|\\.|%2e|%2E|%|a){0,14}") {
            let path = format!("/desktop/alice/{rest}");
            let plain = percent_decoded(rest.as_bytes());
            let leads_out = plain.split(|byte| b"/\\".contains(byte)).any(|part| part == b"." || part == b"..");
            prop_assert_eq!(Target::parse(&path, None).is_err(), leads_out, "{}", rest);
        }

        /// However often the server decodes, what begins with `api` for it is closed.
        #[test]
        fn the_api_is_closed_however_often_it_is_encoded(depth in 0_usize..4, mask in 0_u8..32) {
            let mut path = b"/api/x".to_vec();
            for _ in 0..depth {
                let encode = |(at, byte): (usize, &u8)| match mask >> (at % 5) & 1 {
                    1 => format!("%{byte:02x}").into_bytes(),
                    _ if *byte == b'%' => b"%25".to_vec(),
                    _ => vec![*byte],
                };
                path = path.iter().enumerate().flat_map(encode).collect();
            }
            prop_assert!(is_image_api(std::str::from_utf8(&path).unwrap()));
        }

        #[test]
        fn anything_can_be_looked_at(path in ".{0,40}") {
            let _ = (Target::parse(&path, None), is_image_api(&path));
        }
    }
}
