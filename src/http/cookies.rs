//! The session's cookie: what it is called, and how it is set and taken away.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::COOKIE;

/// Over HTTPS with the prefix that makes browsers insist on `Secure`, `Path=/` and no `Domain`, so that no other host
/// can set it (RFC 6265bis section 4.1.3.2).
const SECURE_NAME: &str = "__Host-dockway_session";
/// Over plain HTTP, where browsers refuse that prefix.
const PLAIN_NAME: &str = "dockway_session";

const fn name(https: bool) -> &'static str {
    if https { SECURE_NAME } else { PLAIN_NAME }
}

/// What the browser has as its session's id.
pub fn session(request: &HttpRequest, https: bool) -> Option<String> {
    named(request, name(https))
}

/// The value of the cookie with this name, byte by byte as the browser sent it: percent-decoded, or trimmed of more than
/// the separator's spaces, a name that any host of the domain may set would pass for one with the prefix. Two values
/// that differ are none: one of them is somebody else's, and nothing tells which.
pub(super) fn named(request: &HttpRequest, name: &str) -> Option<String> {
    let pairs = request.headers().get_all(COOKIE).flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| trimmed(pair).strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    let first = values.next()?;
    if values.any(|other| other != first) {
        return None;
    }
    std::str::from_utf8(first).ok().map(str::to_owned)
}

/// Without the spaces and tabs around it.
fn trimmed(mut pair: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = pair {
        pair = rest;
    }
    pair
}

/// Keep this session's id for `lifetime_s` seconds.
pub fn begin(id: &str, lifetime_s: i64, https: bool) -> Cookie<'static> {
    build(id.to_owned(), Duration::seconds(lifetime_s), https)
}

/// Forget the session's id.
pub fn end(https: bool) -> Cookie<'static> {
    build(String::new(), Duration::ZERO, https)
}

fn build(value: String, max_age: Duration, https: bool) -> Cookie<'static> {
    Cookie::build(name(https), value)
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(https)
        .path("/")
        .max_age(max_age)
        .finish()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn it_is_for_this_host_alone_and_no_script_reads_it() {
        assert_eq!(
            begin("abc", 3600, true).to_string(),
            "__Host-dockway_session=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=3600"
        );
        assert_eq!(
            begin("abc", 60, false).to_string(),
            "dockway_session=abc; HttpOnly; SameSite=Lax; Path=/; Max-Age=60"
        );
        assert_eq!(end(true).to_string(), "__Host-dockway_session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0");
    }

    #[test]
    fn a_cookie_of_the_other_kind_is_none() {
        let table = [
            ("dockway_session=abc", false, Some("abc")),
            ("dockway_session=abc", true, None),
            ("__Host-dockway_session=abc", true, Some("abc")),
            ("__Host-dockway_session=abc", false, None),
            ("other=1; __Host-dockway_session=abc; dockway_session=evil", true, Some("abc")),
            ("Dockway_Session=abc", false, None),
            ("dockway_session", false, None),
            ("", false, None),
            ("noise; =x; dockway_session=abc", false, Some("abc")),
            ("dockway_session=abc;dockway_session=abc\t", false, Some("abc")),
            ("dockway_session=a=b", false, Some("a=b")),
        ];
        for (header, https, expected) in table {
            let request = TestRequest::default().insert_header(("cookie", header)).to_http_request();
            assert_eq!(session(&request, https).as_deref(), expected, "{header} {https}");
        }
    }

    /// What other hosts of the domain, and pages without HTTPS, can set.
    #[test]
    fn no_other_name_passes_for_the_one_with_the_prefix() {
        for name in [
            "%5F%5FHost-dockway_session",
            "__Host%2Ddockway_session",
            "__host-dockway_session",
            "\u{2000}__Host-dockway_session",
            "\u{a0}__Host-dockway_session",
            "\"__Host-dockway_session\"",
            "__Host-dockway_session ",
            "",
        ] {
            for header in [format!("{name}=evil"), format!("a=b; {name}=evil")] {
                let request = TestRequest::default().insert_header(("cookie", header.as_bytes())).to_http_request();
                assert_eq!(session(&request, true), None, "{header}");
                let own = [header.as_bytes(), b"; __Host-dockway_session=own"].concat();
                let request = TestRequest::default().insert_header(("cookie", own)).to_http_request();
                assert_eq!(session(&request, true).as_deref(), Some("own"), "{header}");
            }
        }
    }

    #[test]
    fn two_that_differ_are_none_and_odd_ones_beside_it_change_nothing() {
        let session_of = |headers: &[&[u8]]| {
            let add = |request: TestRequest, header: &&[u8]| request.append_header(("cookie", *header));
            session(&headers.iter().fold(TestRequest::default(), add).to_http_request(), false)
        };
        assert_eq!(session_of(&[b"dockway_session=evil; dockway_session=abc"]), None);
        assert_eq!(session_of(&[b"dockway_session=abc", b"dockway_session=evil"]), None);
        assert_eq!(session_of(&[b"dockway_session=abc", b"dockway_session=abc"]).as_deref(), Some("abc"));
        assert_eq!(session_of(&[b"other=\xff; dockway_session=abc; %zz"]).as_deref(), Some("abc"));
        assert_eq!(session_of(&[b"dockway_session=\xff"]), None);
    }
}
