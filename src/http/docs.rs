//! `/api/openapi.json` and the page at `/api/docs` that renders it. The page loads nothing from other hosts.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpResponse, web};

use super::assets::PAGE_POLICY;
use super::{Place, openapi};

/// The document does not change while the program runs.
static DOCUMENT: LazyLock<web::Bytes> = LazyLock::new(|| web::Bytes::from(openapi::document()));

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![
        Place::at("/api/openapi.json").get(document),
        Place::at("/api/docs").get(|| asset("text/html; charset=utf-8", include_str!("../../static/docs.html"))),
        Place::at("/api/docs/docs.css").get(|| asset("text/css; charset=utf-8", include_str!("../../static/docs.css"))),
        Place::at("/api/docs/docs.js")
            .get(|| asset("text/javascript; charset=utf-8", include_str!("../../static/docs.js"))),
    ]
}

/// This document
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "Description", operation_id = "openapi", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value))
)]
pub(super) async fn document() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.clone())
}

async fn asset(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, PAGE_POLICY))
        .body(text)
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use crate::http::test_support::TestApi;

    #[actix_web::test]
    async fn the_page_and_its_parts_come_from_here_alone() {
        let api = TestApi::start().await;
        for (path, kind) in [
            ("/api/docs", "text/html; charset=utf-8"),
            ("/api/docs/docs.css", "text/css; charset=utf-8"),
            ("/api/docs/docs.js", "text/javascript; charset=utf-8"),
        ] {
            let answer = api.call(Method::GET, path, "", "").await;
            assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, kind));
            assert!(answer.header("content-security-policy").starts_with("default-src 'none'; script-src 'self';"));
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert!(!answer.body.contains("://"), "{path} names another host");
        }
        let document = api.call(Method::GET, "/api/openapi.json", "", "").await;
        assert_eq!(document.json()["openapi"], "3.1.0");
    }
}
