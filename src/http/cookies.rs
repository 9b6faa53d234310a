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
