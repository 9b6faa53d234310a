//! The headers of an answer to the browser.
//!
//! What an upstream may say about its own pages passes. What it would say about the whole origin, which is Dockway's,
//! or to a proxy in front of Dockway, does not.

use actix_web::http::header as to;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, HeaderMap, HeaderValue, LOCATION, REFRESH, SET_COOKIE,
    WWW_AUTHENTICATE,
};

use super::{HOP_BY_HOP, Passage, location, named_by_connection, set_cookie};
use crate::desktop::Kind;

/// A link with `?host=evil` would make noVNC send keystrokes elsewhere. Beside the image's own policy: both apply.
const KASM_POLICY: &str = "connect-src 'self'";

/// For the whole origin, or for proxies: `X-Accel-Redirect` would make nginx answer with files of its own.
const WITHHELD: [&str; 14] = [
    "alt-svc",
    "clear-site-data",
    "nel",
    "origin-agent-cluster",
    "public-key-pins",
    "public-key-pins-report-only",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie2",
    "strict-transport-security",
    "x-lighttpd-send-file",
    "x-reproxy-url",
    "x-sendfile",
];

/// The one word to nginx that concerns this answer alone.
const UNBUFFERED: &str = "x-accel-buffering";

/// The headers of the upstream's answer that the browser gets, but those of its body's length.
pub fn response_headers(upstream: &HeaderMap, passage: &Passage<'_>) -> to::HeaderMap {
    let named = named_by_connection(upstream.get_all(CONNECTION).iter().map(HeaderValue::as_bytes));
    let mut headers = to::HeaderMap::with_capacity(upstream.len() + 4);
    for (name, value) in upstream {
        let text = name.as_str();
        if is_withheld(text, passage) || named.iter().any(|other| other == text) {
            continue;
        }
        let value = match name {
            &SET_COOKIE => set_cookie::rescoped(value.as_bytes(), passage),
            &LOCATION | &CONTENT_LOCATION => Some(readdressed(value, |text| location::rewritten(text, passage))),
            &REFRESH => Some(readdressed(value, |text| location::rewritten_refresh(text, passage))),
            _ => Some(value.as_bytes().to_vec()),
        };
        let value = value.and_then(|value| to::HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).ok());
        if let (Ok(name), Some(value)) = (to::HeaderName::try_from(text), value) {
            headers.append(name, value);
        }
    }
    if passage.kind == Kind::Kasm {
        headers.append(to::CONTENT_SECURITY_POLICY, to::HeaderValue::from_static(KASM_POLICY));
    }
    headers
}

fn is_withheld(name: &str, passage: &Passage<'_>) -> bool {
    HOP_BY_HOP.contains(&name)
        || WITHHELD.contains(&name)
        || name == CONTENT_LENGTH.as_str()
        || name.starts_with("x-accel-") && name != UNBUFFERED
        || name == WWW_AUTHENTICATE.as_str() && passage.upstream.authorization.is_some()
}

/// An address in UTF-8 is rewritten; one in another encoding leads nowhere anyway.
fn readdressed(value: &HeaderValue, rewritten: impl FnOnce(&str) -> String) -> Vec<u8> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => rewritten(text).into_bytes(),
        Err(_) => value.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{client, passage, upstream};
    use super::*;

    fn passed(kind: Kind, authorization: Option<&str>, pairs: &[(&'static str, &str)]) -> Vec<String> {
        let (upstream, client) = (upstream(authorization), client(false));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        let passage = passage(kind, true, &upstream, &client);
        let passed = response_headers(&headers, &passage);
        let mut shown: Vec<String> =
            passed.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        shown.sort();
        shown
    }

    #[test]
    fn what_an_answer_says_of_itself_passes() {
        let pairs = [
            ("content-type", "text/html"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-frame-options", "SAMEORIGIN"),
            ("etag", "\"x\""),
            ("vary", "a"),
            ("vary", "b"),
            ("x-accel-buffering", "no"),
        ];
        let mut expected: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        expected.sort();
        assert_eq!(passed(Kind::Web, None, &pairs), expected);
    }

    #[test]
    fn what_concerns_others_does_not() {
        let pairs = [
            ("connection", "close, X-Own"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("upgrade", "h2c"),
            ("trailer", "x"),
            ("service-worker-allowed", "/"),
            ("clear-site-data", "\"*\""),
            ("strict-transport-security", "max-age=1"),
            ("alt-svc", "h3=\":443\""),
            ("x-accel-redirect", "/internal"),
            ("x-sendfile", "/etc/passwd"),
            ("set-cookie", "dockway_session=x"),
            ("www-authenticate", "Basic realm=x"),
        ];
        assert_eq!(passed(Kind::Web, Some("Basic x"), &pairs), Vec::<String>::new());
        assert_eq!(passed(Kind::Web, None, &pairs), ["www-authenticate: Basic realm=x"]);
    }

    #[test]
    fn cookies_and_addresses_are_rewritten() {
        let pairs =
            [("set-cookie", "a=b"), ("set-cookie", "c=d; Path=/e"), ("location", "/f"), ("refresh", "0;url=/g")];
        assert_eq!(
            passed(Kind::Web, None, &pairs),
            [
                "location: /desktop/alice-x/f",
                "refresh: 0;url=/desktop/alice-x/g",
                "set-cookie: a=b; Path=/desktop/alice-x/",
                "set-cookie: c=d; Path=/desktop/alice-x/e",
            ]
        );
        assert_eq!(passed(Kind::Web, None, &[("content-location", "/f")]), ["content-location: /desktop/alice-x/f"]);
    }

    #[test]
    fn a_kasm_client_talks_to_its_own_server_alone() {
        let added = "content-security-policy: connect-src 'self'";
        assert_eq!(passed(Kind::Kasm, None, &[]), [added]);
        let own = ("content-security-policy", "default-src 'self'");
        assert_eq!(passed(Kind::Kasm, None, &[own]), [added, "content-security-policy: default-src 'self'"]);
    }
}
