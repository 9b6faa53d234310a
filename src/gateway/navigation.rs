//! Whether a person looks at the answer: then it is a page, and else data. Pure.

use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, HeaderMap};

/// What a browser calls the places where it shows pages.
const SHOWN: [&str; 5] = ["document", "iframe", "frame", "embed", "object"];

/// Whether the request is a browser's for a page. One that does not say is judged by what it would like to have.
pub fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match said("sec-fetch-mode") {
        Some(mode) => mode == "navigate" && said("sec-fetch-dest").is_none_or(|place| SHOWN.contains(&place)),
        None => (method == Method::GET || method == Method::HEAD) && prefers_html(headers),
    }
}

/// Whether a page is named among what is accepted, and nothing else before it.
fn prefers_html(headers: &HeaderMap) -> bool {
    let Some(accepted) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else { return false };
    let (mut page, mut other) = (0.0, 0.0);
    for part in accepted.split(',') {
        let (kind, weight) = weighed(part);
        let best = if ["text/html", "application/xhtml+xml"].contains(&kind.as_str()) { &mut page } else { &mut other };
        *best = weight.max(*best);
    }
    page > 0.0 && page >= other
}

/// A media type and how much it is wanted (RFC 9110 section 12.4.2).
fn weighed(part: &str) -> (String, f32) {
    let mut pieces = part.split(';').map(str::trim);
    let kind = pieces.next().unwrap_or_default().to_ascii_lowercase();
    let weight = pieces.find_map(|piece| piece.strip_prefix("q=").or_else(|| piece.strip_prefix("Q=")));
    (kind, weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn which_requests_are_for_pages() {
        let navigate = ("sec-fetch-mode", "navigate");
        let html = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8");
        type Row<'a> = (Method, &'a [(&'a str, &'a str)], bool);
        let table: &[Row<'_>] = &[
            (Method::GET, &[navigate, ("sec-fetch-dest", "document")], true),
            (Method::GET, &[navigate, ("sec-fetch-dest", "iframe")], true),
            (Method::POST, &[navigate, ("sec-fetch-dest", "document")], true),
            (Method::GET, &[navigate], true),
            (Method::GET, &[navigate, ("sec-fetch-dest", "empty")], false),
            (Method::GET, &[("sec-fetch-mode", "cors"), html], false),
            (Method::GET, &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")], false),
            (Method::GET, &[("sec-fetch-mode", "websocket")], false),
            (Method::GET, &[html], true),
            (Method::HEAD, &[html], true),
            (Method::POST, &[html], false),
            (Method::GET, &[("accept", "text/html")], true),
            (Method::GET, &[("accept", "application/json, text/html;q=0.9")], false),
            (Method::GET, &[("accept", "text/html;q=0")], false),
            (Method::GET, &[("accept", "TEXT/HTML; q=x")], false),
            (Method::GET, &[("accept", "*/*")], false),
            (Method::GET, &[("accept", "text/event-stream")], false),
            (Method::GET, &[], false),
        ];
        for (method, pairs, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in *pairs {
                headers.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(is_navigation(method, &headers), *expected, "{method} {pairs:?}");
        }
    }
}
