//! The cookies that this server sets, and how they are taken away: the session's, and the one that binds a sign-in with a
//! provider to the browser in which it began.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{COOKIE, HeaderMap};

use crate::identity::Credential;
use crate::identity::oidc::flows::FLOW_LIFE;

/// What a cookie is called.
struct Name {
    /// Over HTTPS with the prefix that makes browsers insist on `Secure`, `Path=/` and no `Domain`, so that no other
    /// host can set it (RFC 6265bis section 4.1.3.2).
    secure: &'static str,
    /// Over plain HTTP, where browsers refuse that prefix.
    plain: &'static str,
}

const SESSION: Name = Name { secure: "__Host-dockway_session", plain: "dockway_session" };
const FLOW: Name = Name { secure: "__Host-dockway_oidc", plain: "dockway_oidc" };

/// The session that the browser shows.
pub fn session(request: &HttpRequest, https: bool) -> Option<Credential> {
    SESSION.read(request, https).map(|id| Credential::of_cookie(&id))
}

/// Keep this session's id for `lifetime_s` seconds.
pub fn begin_session(id: &str, lifetime_s: i64, https: bool) -> Cookie<'static> {
    SESSION.build(id.to_owned(), Duration::seconds(lifetime_s), https)
}

/// Forget the session's id.
pub fn end_session(https: bool) -> Cookie<'static> {
    SESSION.build(String::new(), Duration::ZERO, https)
}

/// What the browser shows of a sign-in with a provider.
pub fn flow(request: &HttpRequest, https: bool) -> Option<String> {
    FLOW.read(request, https)
}

/// Keep this for as long as the sign-in with a provider may take.
pub fn begin_flow(browser: String, https: bool) -> Cookie<'static> {
    FLOW.build(browser, Duration::seconds(FLOW_LIFE.as_secs().cast_signed()), https)
}

/// Forget the sign-in with a provider.
pub fn end_flow(https: bool) -> Cookie<'static> {
    FLOW.build(String::new(), Duration::ZERO, https)
}

/// Whether a cookie of this name is one of these, over HTTPS or without. In whatever case: other programs may not care.
pub fn is_ours(name: &[u8]) -> bool {
    let names = [SESSION.secure, SESSION.plain, FLOW.secure, FLOW.plain];
    names.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}

/// All other cookies that the browser shows, as the value of one header.
pub fn without_ours(headers: &HeaderMap) -> Option<Vec<u8>> {
    let pairs = headers.get_all(COOKIE).flat_map(|header| header.as_bytes().split(|byte| *byte == b';')).map(trimmed);
    let name = |pair: &[u8]| trimmed(pair.split(|byte| *byte == b'=').next().unwrap_or_default()).to_vec();
    let others: Vec<&[u8]> = pairs.filter(|pair| !pair.is_empty() && !is_ours(&name(pair))).collect();
    (!others.is_empty()).then(|| others.join(&b"; "[..]))
}

impl Name {
    const fn over(&self, https: bool) -> &'static str {
        if https { self.secure } else { self.plain }
    }

    /// The value of the cookie with this name, byte by byte as the browser sent it: percent-decoded, or trimmed of more
    /// than the separator's spaces, a name that any host of the domain may set would pass for one with the prefix. Two
    /// values that differ are none: one of them is somebody else's, and nothing tells which.
    fn read(&self, request: &HttpRequest, https: bool) -> Option<String> {
        let name = self.over(https).as_bytes();
        let pairs = request.headers().get_all(COOKIE).flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
        let mut values = pairs.filter_map(|pair| trimmed(pair).strip_prefix(name)?.strip_prefix(b"="));
        let first = values.next()?;
        if values.any(|other| other != first) {
            return None;
        }
        std::str::from_utf8(first).ok().map(str::to_owned)
    }

    fn build(&self, value: String, max_age: Duration, https: bool) -> Cookie<'static> {
        Cookie::build(self.over(https), value)
            .http_only(true)
            // A provider sends the browser back with a GET from its own site, which `Strict` would keep them out of.
            .same_site(SameSite::Lax)
            .secure(https)
            .path("/")
            .max_age(max_age)
            .finish()
    }
}

/// Without the spaces and tabs around it.
fn trimmed(mut pair: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = pair {
        pair = rest;
    }
    pair
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn it_is_for_this_host_alone_and_no_script_reads_it() {
        assert_eq!(
            begin_session("abc", 3600, true).to_string(),
            "__Host-dockway_session=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=3600"
        );
        assert_eq!(
            begin_session("abc", 60, false).to_string(),
            "dockway_session=abc; HttpOnly; SameSite=Lax; Path=/; Max-Age=60"
        );
        assert_eq!(
            end_session(true).to_string(),
            "__Host-dockway_session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"
        );
    }

    #[test]
    fn a_sign_in_with_a_provider_is_bound_alike() {
        for (https, text) in [
            (false, "dockway_oidc=x; HttpOnly; SameSite=Lax; Path=/; Max-Age=600"),
            (true, "__Host-dockway_oidc=x; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600"),
        ] {
            assert_eq!(begin_flow("x".into(), https).to_string(), text);
        }
        assert_eq!(end_flow(false).to_string(), "dockway_oidc=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
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
            assert_eq!(session(&request, https), expected.map(Credential::of_cookie), "{header} {https}");
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
                assert_eq!(session(&request, true), Some(Credential::of_cookie("own")), "{header}");
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
        assert_eq!(session_of(&[b"dockway_session=abc", b"dockway_session=abc"]), Some(Credential::of_cookie("abc")));
        assert_eq!(session_of(&[b"other=\xff; dockway_session=abc; %zz"]), Some(Credential::of_cookie("abc")));
        assert_eq!(session_of(&[b"dockway_session=\xff"]), None);
    }
}
