//! The headers of a request to the upstream.
//!
//! A Kasm image gets those of a short list, as many as fit into its 4 KB, the most needed first. A web application may
//! invent headers of its own, so it gets all but those that are for Dockway, for one connection, or for proxies to set.

use actix_web::http::header as from;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};

use super::{HOP_BY_HOP, Passage, named_by_connection};
use crate::desktop::Kind;
use crate::http::cookies;
use crate::identity::secrets::{AGENT_TOKEN, API_TOKEN};

/// The most bytes of a request's head for a Kasm image: older ones refuse 4 KB, and hyper adds the body's length.
const KASM_HEAD_LIMIT: usize = 4000;

/// What a Kasm image is told of the browser's headers, the most needed first.
const KASM_WANTED: [&str; 14] = [
    "range",
    "if-range",
    "if-none-match",
    "if-modified-since",
    "content-type",
    "content-encoding",
    "accept",
    "accept-encoding",
    "cache-control",
    "pragma",
    "origin",
    "x-requested-with",
    "user-agent",
    "accept-language",
];

/// What only proxies say, and of a browser is a lie; and what is between it and Dockway.
const WITHHELD: [&str; 18] = [
    "authorization",
    "cf-connecting-ip",
    "client-ip",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "proxy",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-dockway-csrf",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// The request does not fit into what the upstream takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadTooLarge {
    /// The longest address that would have fitted.
    pub address_limit: usize,
}

/// The headers of a request for `target` that the upstream gets, but those of its body's length.
///
/// # Errors
/// The target alone is too long.
pub fn request_headers(
    browser: &from::HeaderMap,
    method: &str,
    target: &str,
    passage: &Passage<'_>,
) -> Result<HeaderMap, HeadTooLarge> {
    let mut headers = HeaderMap::with_capacity(24);
    for (name, value) in [
        ("host", host(passage)),
        ("x-forwarded-for", passage.client.address.map(|address| address.to_string())),
        ("x-forwarded-host", passage.client.authority.clone()),
        ("x-forwarded-proto", Some(if passage.client.https { "https" } else { "http" }.to_owned())),
        ("x-forwarded-prefix", passage.strip_prefix.then(|| passage.prefix.to_owned())),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    put_authorization(&mut headers, browser, passage);
    let named = named_by_connection(browser.get_all(from::CONNECTION).map(from::HeaderValue::as_bytes));
    match passage.kind {
        Kind::Kasm => add_wanted(&mut headers, browser, &named, method.len() + target.len())?,
        Kind::Web => add_all(&mut headers, browser, &named),
    }
    Ok(headers)
}

/// The host that the browser asked for: applications compare it with Origin, and make links of it.
fn host(passage: &Passage<'_>) -> Option<String> {
    passage.client.authority.clone().or_else(|| Some(passage.upstream.address.to_string()))
}

fn put_authorization(headers: &mut HeaderMap, browser: &from::HeaderMap, passage: &Passage<'_>) {
    let injected = passage.upstream.authorization.as_deref().and_then(|value| HeaderValue::try_from(value).ok());
    let own = || match passage.kind {
        Kind::Kasm => None,
        Kind::Web if passage.by_token => None,
        Kind::Web => browser.get(from::AUTHORIZATION).filter(|value| !is_ours(value.as_bytes())).and_then(converted),
    };
    if let Some(mut value) = injected.or_else(own) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
}

/// Whether this shows a token of Dockway's, in whatever scheme.
fn is_ours(authorization: &[u8]) -> bool {
    let mut parts = authorization.split(|byte| byte.is_ascii_whitespace() || *byte == b',');
    parts.any(|part| [API_TOKEN, AGENT_TOKEN].iter().any(|token| part.starts_with(token.as_bytes())))
}

/// What the upstream is told as far as there is room; `line` is the length of the method and the target.
fn add_wanted(
    headers: &mut HeaderMap,
    browser: &from::HeaderMap,
    named: &[String],
    line: usize,
) -> Result<(), HeadTooLarge> {
    let needed = "  HTTP/1.1\r\n\r\n".len() + headers.iter().map(|(name, value)| length(name, value)).sum::<usize>();
    let Some(mut room) = KASM_HEAD_LIMIT.checked_sub(needed + line) else {
        return Err(HeadTooLarge { address_limit: KASM_HEAD_LIMIT.saturating_sub(needed) });
    };
    for name in KASM_WANTED.into_iter().filter(|name| !named.iter().any(|other| other == name)) {
        let Some(value) = browser.get(name).and_then(converted) else { continue };
        let name = HeaderName::from_static(name);
        if let Some(left) = room.checked_sub(length(&name, &value)) {
            room = left;
            headers.insert(name, value);
        }
    }
    Ok(())
}

fn length(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + ": \r\n".len()
}

fn add_all(headers: &mut HeaderMap, browser: &from::HeaderMap, named: &[String]) {
    for (name, value) in browser {
        let text = name.as_str();
        if is_withheld(text) || named.iter().any(|other| other == text) {
            continue;
        }
        if let (Ok(name), Some(value)) = (HeaderName::from_bytes(text.as_bytes()), converted(value)) {
            headers.append(name, value);
        }
    }
    let cookies = cookies::without_ours(browser);
    if let Some(value) = cookies.and_then(|cookies| HeaderValue::from_bytes(&cookies).ok()) {
        headers.insert(COOKIE, value);
    }
    debug_assert!(headers.contains_key(HOST), "each request names a host");
}

/// Names with an underscore become those with a dash in some applications.
fn is_withheld(name: &str) -> bool {
    HOP_BY_HOP.contains(&name)
        || WITHHELD.contains(&name)
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-envoy-")
        || name.contains('_')
}

fn converted(value: &from::HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{client, passage, upstream};
    use super::*;
    use crate::http::client::Client;

    const BASIC: Option<&str> = Some("Basic a2FzbTpwdw==");
    /// What every request to an upstream that strips the prefix has.
    const ALWAYS: &str = "host=desk.example.org:8080 x-forwarded-for=192.0.2.7 x-forwarded-host=desk.example.org:8080 \
                          x-forwarded-prefix=/desktop/alice-x x-forwarded-proto=http";

    fn browser(pairs: &[(&str, &str)]) -> from::HeaderMap {
        let mut headers = from::HeaderMap::new();
        for (name, value) in pairs {
            headers.append(from::HeaderName::try_from(*name).unwrap(), from::HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    /// All headers sorted, without those of [`ALWAYS`].
    fn passed(kind: Kind, authorization: Option<&str>, pairs: &[(&str, &str)]) -> String {
        let (upstream, client) = (upstream(authorization), client(false));
        let passage = passage(kind, true, &upstream, &client);
        let headers = request_headers(&browser(pairs), "GET", "/x", &passage).unwrap();
        let shown = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}={}", value.to_str().unwrap());
        let mut all: Vec<String> = headers.iter().map(shown).collect();
        all.sort();
        for always in ALWAYS.split(' ') {
            let at = all.iter().position(|header| header == always).unwrap_or_else(|| panic!("{always} in {all:?}"));
            all.remove(at);
        }
        all.join(" ")
    }

    #[test]
    fn a_kasm_image_is_told_little() {
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[("Cookie", "a=b; dockway_session=x")], ""),
            (&[("Accept", "text/html"), ("User-Agent", "x")], "accept=text/html user-agent=x"),
            (&[("Authorization", "Basic eA==")], ""),
            (&[("Referer", "http://x/"), ("X-Own", "1"), ("Sec-Fetch-Site", "same-origin")], ""),
            (&[("Range", "bytes=0-1"), ("Connection", "Range, close")], ""),
        ];
        for (pairs, expected) in table {
            let expected = format!("authorization=Basic a2FzbTpwdw== {expected}");
            let mut sorted: Vec<_> = expected.trim().split(' ').collect();
            sorted.sort_unstable();
            let mut found: Vec<_> = passed(Kind::Kasm, BASIC, pairs).split(' ').map(str::to_owned).collect();
            found.sort();
            assert_eq!(found, sorted, "{pairs:?}");
        }
    }

    #[test]
    fn a_web_application_is_told_all_but_what_is_dockways() {
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[("Cookie", "a=b; dockway_session=x; c=d")], "cookie=a=b; c=d"),
            (&[("Cookie", "dockway_session=x;__Host-dockway_session=y; dockway_oidc=z")], ""),
            (&[("Cookie", "a=b"), ("Cookie", "c=d;__Host-dockway_oidc=x")], "cookie=a=b; c=d"),
            (&[("Authorization", "Basic eA==")], "authorization=Basic eA=="),
            (&[("Authorization", "Bearer eyJ.x")], "authorization=Bearer eyJ.x"),
            (&[("Authorization", "Bearer dwt_x")], ""),
            (&[("Authorization", "token  dwt_x")], ""),
            (&[("Authorization", "Bearer dwt_x x")], ""),
            (&[("Authorization", "Bearer x,dwt_x, y")], ""),
            (&[("X-CSRFToken", "1"), ("Tus-Resumable", "1.0.0")], "tus-resumable=1.0.0 x-csrftoken=1"),
            (&[("X-Two", "1"), ("X-Two", "2")], "x-two=1 x-two=2"),
            (&[("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-User", "root"), ("Forwarded", "for=x")], ""),
            (&[("X-Real-IP", "1.1.1.1"), ("X_Forwarded_For", "1.1.1.1"), ("X-Original-URL", "/admin")], ""),
            (&[("Host", "evil"), ("Expect", "100-continue"), ("Content-Length", "5")], ""),
            (&[("Connection", "keep-alive, X-Own"), ("Keep-Alive", "5"), ("X-Own", "1"), ("TE", "trailers")], ""),
            (&[("Connection", "x-forwarded-for, host")], ""),
            (&[("Upgrade", "h2c"), ("HTTP2-Settings", "x"), ("Transfer-Encoding", "chunked")], ""),
            (&[("Origin", "http://desk.example.org:8080")], "origin=http://desk.example.org:8080"),
        ];
        for (pairs, expected) in table {
            assert_eq!(passed(Kind::Web, None, pairs), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn what_the_type_injects_comes_first() {
        let own = [("Authorization", "Basic eA==")];
        assert_eq!(passed(Kind::Web, BASIC, &own), "authorization=Basic a2FzbTpwdw==");
    }

    #[test]
    fn the_token_of_a_caller_is_withheld_whatever_it_looks_like() {
        let (upstream, client) = (upstream(None), client(false));
        let passage = Passage { by_token: true, ..passage(Kind::Web, true, &upstream, &client) };
        let headers = request_headers(&browser(&[("Authorization", "Bearer odd")]), "GET", "/", &passage).unwrap();
        assert!(!headers.contains_key("authorization"));
    }

    #[test]
    fn an_upstream_that_keeps_its_prefix_is_told_of_none() {
        let (upstream, client) = (upstream(None), Client { authority: None, ..client(true) });
        let headers =
            request_headers(&browser(&[]), "GET", "/", &passage(Kind::Web, false, &upstream, &client)).unwrap();
        assert!(!headers.contains_key("x-forwarded-prefix") && !headers.contains_key("x-forwarded-host"));
        assert_eq!(
            (&headers["x-forwarded-proto"], &headers["host"]),
            (&"https".parse().unwrap(), &"127.0.0.1:7001".parse().unwrap())
        );
    }

    /// As it goes over the wire.
    fn head_length(target: &str, headers: &HeaderMap) -> usize {
        let line = format!("GET {target} HTTP/1.1\r\n\r\n").len();
        line + headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
    }

    #[test]
    fn the_head_for_a_kasm_image_stays_below_four_kilobytes() {
        let (upstream, client) = (upstream(BASIC), client(false));
        let passage = passage(Kind::Kasm, true, &upstream, &client);
        let long = "x".repeat(1500);
        let all: Vec<(&str, &str)> = KASM_WANTED.iter().map(|name| (*name, long.as_str())).collect();
        let headers = request_headers(&browser(&all), "GET", "/x", &passage).unwrap();
        assert!(headers.contains_key("range") && headers.contains_key("if-range"), "the most needed are there");
        assert!(!headers.contains_key("accept-language") && headers.contains_key("authorization"));
        assert!(head_length("/x", &headers) <= KASM_HEAD_LIMIT);

        let short = [("Accept", "*/*"), ("Accept-Language", long.as_str()), ("Cache-Control", long.as_str())];
        let headers = request_headers(&browser(&short), "GET", &"/y".repeat(800), &passage).unwrap();
        assert!(headers.contains_key("accept") && !headers.contains_key("accept-language"));

        let HeadTooLarge { address_limit } =
            request_headers(&browser(&[]), "GET", &"/".repeat(4000), &passage).unwrap_err();
        let longest = "/".repeat(address_limit - "GET".len());
        let headers = request_headers(&browser(&all), "GET", &longest, &passage).unwrap();
        assert_eq!(head_length(&longest, &headers), KASM_HEAD_LIMIT);
    }
}
