//! The cookie that binds a sign-in with a provider to the browser in which it began.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};

use super::cookies;
use crate::identity::oidc::flows::FLOW_LIFE;

/// Named by the same rule as the session's cookie.
const SECURE_NAME: &str = "__Host-dockway_oidc";
const PLAIN_NAME: &str = "dockway_oidc";

const fn name(https: bool) -> &'static str {
    if https { SECURE_NAME } else { PLAIN_NAME }
}

/// What the browser has.
pub fn browser(request: &HttpRequest, https: bool) -> Option<String> {
    cookies::named(request, name(https))
}

/// Keep this for as long as the sign-in may take.
pub fn begin(browser: String, https: bool) -> Cookie<'static> {
    build(browser, Duration::seconds(FLOW_LIFE.as_secs().cast_signed()), https)
}

/// Forget it.
pub fn end(https: bool) -> Cookie<'static> {
    build(String::new(), Duration::ZERO, https)
}

fn build(value: String, max_age: Duration, https: bool) -> Cookie<'static> {
    Cookie::build(name(https), value)
        .http_only(true)
        // The provider sends the browser back with a GET from its own site, which `Strict` would keep it out of.
        .same_site(SameSite::Lax)
        .secure(https)
        .path("/")
        .max_age(max_age)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_is_set() {
        for (https, text) in [
            (false, "dockway_oidc=x; HttpOnly; SameSite=Lax; Path=/; Max-Age=600"),
            (true, "__Host-dockway_oidc=x; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600"),
        ] {
            assert_eq!(begin("x".into(), https).to_string(), text);
        }
        assert_eq!(end(false).to_string(), "dockway_oidc=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
    }
}
