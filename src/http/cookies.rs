//! The session's cookie: what it is called, and how it is set and taken away.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};

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
    request.cookie(name(https)).map(|cookie| cookie.value().to_owned())
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
        ];
        for (header, https, expected) in table {
            let request = TestRequest::default().insert_header(("cookie", header)).to_http_request();
            assert_eq!(session(&request, https).as_deref(), expected, "{header} {https}");
        }
    }
}
