//! What people see where a desktop's page would be: that it is starting, or why there is none.

use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpResponse, ResponseError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::path;
use super::start_page::{StartPage, escaped};
use crate::desktop::Route;
use crate::error::Error;
use crate::http::assets::PAGE_POLICY;

const HTML: &str = "text/html; charset=utf-8";

/// The pages that tell of errors load nothing; their one style is named by its hash.
const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto 0;padding:0 1rem;\
                     color:#1c2733;background:#fff}h1{font-size:1.4rem}a{color:#0b5cad}\
                     @media(prefers-color-scheme:dark){body{color:#dde5ee;background:#11181f}a{color:#7db8f5}}";

static ERROR_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The page of a desktop that is not ready. It shows what happens, and turns into the desktop; it starts nothing by
/// itself.
pub fn start_page(route: &Route) -> HttpResponse {
    let Route { desktop_id, proxy_path, label, status, .. } = route;
    let page = StartPage { id: desktop_id, proxy_path, label, status: *status };
    HttpResponse::Ok().content_type(HTML).insert_header((CONTENT_SECURITY_POLICY, PAGE_POLICY)).body(page.html())
}

/// The page for an error, with the status and the headers that the API would answer with.
pub fn error_page(error: &Error, proxy_path: Option<&str>) -> HttpResponse {
    let again = proxy_path.map(|name| format!("<p><a href=\"{}/\">Try again</a></p>\n", escaped(&path::prefix(name))));
    let (title, reason) = (title(error), escaped(&capitalised(&told(error))));
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p>{reason}.</p>\n{}\
         <p><a href=\"/\">Dockway</a></p>\n</main>\n</body>\n</html>\n",
        again.unwrap_or_default()
    );
    let mut answer = error.error_response().set_body(actix_web::body::BoxBody::new(body));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, actix_web::http::header::HeaderValue::from_static(HTML));
    if let Ok(policy) = ERROR_POLICY.as_str().try_into() {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

fn title(error: &Error) -> &'static str {
    match error {
        Error::NotFound => "There is no such desktop",
        Error::OwnerOnly => "This desktop is somebody else's",
        Error::BadGateway(_) => "The desktop does not answer",
        Error::GatewayTimeout(_) => "The desktop does not answer in time",
        other if other.status_code() == StatusCode::SERVICE_UNAVAILABLE => "Not just now",
        other if other.status_code().is_server_error() => "Something went wrong",
        _ => "This cannot be done",
    }
}

/// A person at a desktop's address is not told of the API.
fn told(error: &Error) -> String {
    match error {
        Error::NotFound => "Nothing is at this address, or nothing that you may see".into(),
        other => other.to_string(),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.trim_end_matches('.').chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;
    use crate::desktop::{Kind, Status};

    async fn shown(answer: HttpResponse) -> (u16, String, String) {
        let header = |name| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), HTML);
        let (status, policy) = (answer.status().as_u16(), header("content-security-policy"));
        let body = to_bytes(answer.into_body()).await.unwrap();
        (status, policy, String::from_utf8(body.to_vec()).unwrap())
    }

    #[actix_web::test]
    async fn an_error_is_a_page_that_runs_nothing() {
        let error = Error::BadGateway("it said <script>alert(1)</script> & left".into());
        let (status, policy, body) = shown(error_page(&error, Some("alice-x"))).await;
        assert_eq!(status, 502);
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("script"), "{policy}");
        assert!(body.contains("<h1>The desktop does not answer</h1>") && body.contains("href=\"/desktop/alice-x/\""));
        assert!(body.contains("It said &lt;script&gt;") || body.contains("it said &lt;script&gt;"), "{body}");
        assert!(!body.contains("<script"), "{body}");
    }

    #[actix_web::test]
    async fn an_error_keeps_its_headers() {
        let answer = error_page(&Error::DesktopNotReady { status: "stopped" }, None);
        assert_eq!(answer.headers().get("retry-after").unwrap(), "2");
        let (status, _, body) = shown(answer).await;
        assert_eq!(status, 503);
        assert!(body.contains("The desktop is stopped") && !body.contains("Try again"), "{body}");
    }

    #[actix_web::test]
    async fn the_start_page_names_the_desktop() {
        let route = Route {
            desktop_id: "d\"1".into(),
            owner_id: "o".into(),
            proxy_path: "alice-x".into(),
            label: "Ubuntu <VS>".into(),
            kind: Kind::Kasm,
            status: Status::Pulling,
            upstream: None,
            strip_prefix: true,
            entry_path: "/".into(),
            activity: std::sync::Arc::default(),
            cut: tokio_util::sync::CancellationToken::new(),
        };
        let (status, policy, body) = shown(start_page(&route)).await;
        assert_eq!(status, 200);
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert!(body.contains("data-id=\"d&quot;1\" data-path=\"alice-x\" data-status=\"pulling\""), "{body}");
        assert!(body.contains("<h1>Ubuntu &lt;VS&gt;</h1>"), "{body}");
    }
}
