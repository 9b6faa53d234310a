//! `/`: where people sign in, and see which desktops they have. Its script does all of it with the API; who asks for the
//! page makes no difference.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};

use super::Place;
use super::assets::PAGE_POLICY;

const PAGE: &str = include_str!("../../static/sign-in.html");

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![Place::at("/").get(show)]
}

async fn show() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, PAGE_POLICY))
        .body(PAGE)
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use super::*;
    use crate::http::test_support::TestApi;

    #[actix_web::test]
    async fn everybody_gets_the_page() {
        let api = TestApi::start().await;
        for (path, token) in
            [("/", ""), ("/?next=/desktop/alice-x%3Fa=b", ""), ("/?next=//evil.test", &api.tokens.admin)]
        {
            let answer = api.call(Method::GET, path, token, "").await;
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, PAGE), "{path}");
            assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
            assert_eq!((answer.header("cache-control"), answer.header("x-frame-options")), ("no-cache", "DENY"));
            let policy = answer.header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
                "{policy}"
            );
        }
        let other = api.call(Method::POST, "/", "", "").await;
        assert_eq!((other.status.as_u16(), other.header("allow")), (405, "GET, HEAD"));
    }

    #[actix_web::test]
    async fn the_page_keeps_to_its_policy_and_its_parts_are_there() {
        let api = TestApi::start().await;
        assert!(!PAGE.contains("style=") && !PAGE.contains("<style") && !PAGE.contains("://"));
        let handlers = PAGE.split_whitespace().filter(|word| word.starts_with("on") && word.contains('='));
        assert_eq!(handlers.count(), 0, "no script inside the page");
        assert_eq!(PAGE.matches("<script").count(), PAGE.matches("<script src=\"/static/").count());
        let parts = PAGE.split('"').filter(|text| text.starts_with("/static/"));
        for part in parts.clone() {
            assert_eq!(api.call(Method::GET, part, "", "").await.status.as_u16(), 200, "{part}");
        }
        assert_eq!(parts.count(), 3);
    }
}
