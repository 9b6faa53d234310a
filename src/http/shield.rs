//! What every answer has and every request must keep to: security headers, and limits of size and time.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::ResponseError;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::web;
use tokio::time::timeout;

use super::AppState;
use super::client::Client;
use crate::error::Error;
use crate::gateway;

/// The most bytes of a request's address, with its query.
pub const ADDRESS_LIMIT: usize = 8 * 1024;
/// The most bytes of a request's headers, names and values.
const HEADERS_LIMIT: usize = 32 * 1024;
/// How long an answer may take to begin. What streams or has the socket has begun then.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// What an answer has unless its handler says otherwise. An answer of the API is no page: it may load nothing.
const DEFAULTS: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What a page of a desktop has unless it says otherwise: it loads, keeps and frames what it likes of its own.
const OF_DESKTOP: [(HeaderName, &str); 4] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "SAMEORIGIN"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// In an answer's extensions: a desktop gave it, and its headers are the desktop's own.
pub struct OfDesktop;

/// A browser that came by HTTPS comes by nothing else for a year. Other hosts of the domain are not ours to speak for.
const HTTPS_ONLY: (HeaderName, &str) = (STRICT_TRANSPORT_SECURITY, "max-age=31536000");

/// Refuse what is too large, and put the headers on.
pub async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let https = speaks_https(&request);
    let mut response = match verify(&request) {
        // The gateway has limits of its own, which leave a desktop more time.
        Ok(()) if gateway::is_below(request.path()) => next.call(request).await?.map_into_left_body(),
        Ok(()) => match timeout(ANSWER_TIME, next.call(request)).await {
            Ok(answered) => answered?.map_into_left_body(),
            Err(_) => return Err(too_slow(https)),
        },
        Err(error) => request.error_response(error).map_into_right_body(),
    };
    let of_desktop = response.response().extensions().contains::<OfDesktop>();
    match of_desktop {
        true => put(response.headers_mut(), OF_DESKTOP.into_iter(), https),
        false => put_defaults(response.headers_mut(), https),
    }
    Ok(response)
}

fn speaks_https(request: &ServiceRequest) -> bool {
    let state = request.app_data::<web::Data<AppState>>();
    state.is_some_and(|state| Client::of(request.request(), &state.settings).https)
}

/// The request is gone with its handler, so this goes around everything else.
fn too_slow(https: bool) -> actix_web::Error {
    let error = Error::Unavailable("this takes too long; try again later".into());
    let mut response = error.error_response();
    put_defaults(response.headers_mut(), https);
    InternalError::from_response(error, response).into()
}

fn verify(request: &ServiceRequest) -> Result<(), Error> {
    if comes_from_a_desktop(request) {
        return Err(Error::Forbidden("desktops may not use this server from inside".into()));
    }
    if request.uri().path_and_query().is_some_and(|address| address.as_str().len() > ADDRESS_LIMIT) {
        return Err(Error::AddressTooLong { limit: ADDRESS_LIMIT });
    }
    let size: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADERS_LIMIT {
        return Err(Error::HeadersTooLarge { limit: HEADERS_LIMIT });
    }
    Ok(())
}

/// A desktop runs whatever its user likes: it has no business with this server.
fn comes_from_a_desktop(request: &ServiceRequest) -> bool {
    let Some(state) = request.app_data::<web::Data<AppState>>() else { return false };
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    // It may have come by way of a trusted proxy, too.
    let client = Client::of(request.request(), &state.settings).address;
    let is_desktop =
        |address| matches!(address, IpAddr::V4(address) if state.settings.desktop_subnets.contains(&address));
    [peer, client].into_iter().flatten().any(is_desktop)
}

fn put_defaults(headers: &mut HeaderMap, https: bool) {
    put(headers, DEFAULTS.into_iter(), https);
}

fn put(headers: &mut HeaderMap, defaults: impl Iterator<Item = (HeaderName, &'static str)>, https: bool) {
    for (name, value) in defaults.chain(https.then_some(HTTPS_ONLY)) {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::dev::Service;
    use actix_web::http::{Method, StatusCode};
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::test_support::{TestApi, TestServer, state};
    use crate::http::{Settings, app, serve};

    /// What every answer has.
    const EVERYWHERE: [(&str, &str); 4] = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";

    #[actix_web::test]
    async fn every_answer_has_the_headers() {
        let api = TestApi::start().await;
        for (method, path, token, status) in [
            (Method::GET, "/healthz", "", 200),
            (Method::GET, "/api/openapi.json", "", 200),
            (Method::GET, "/api/agents", "", 401),
            (Method::GET, "/api/agents/nobody", api.tokens.admin.as_str(), 404),
            (Method::GET, "/nothing", "", 404),
            (Method::PUT, "/api/agents", "", 405),
            (Method::POST, "/api/agents", api.tokens.reader.as_str(), 403),
            (Method::POST, "/api/agents", api.tokens.admin.as_str(), 400),
            (Method::GET, "/api/proxy", api.tokens.admin.as_str(), 503),
            (Method::GET, "/api/agent/ws", "", 401),
            (Method::HEAD, "/healthz", "", 200),
        ] {
            let answer = api.call(method.clone(), path, token, "").await;
            assert_eq!(answer.status.as_u16(), status, "{method} {path}");
            for (name, value) in EVERYWHERE {
                assert_eq!(answer.header(name), value, "{method} {path}");
            }
            assert_eq!(answer.header("content-security-policy"), NO_PAGE, "{method} {path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{method} {path}");
            assert_eq!(answer.header("strict-transport-security"), "", "{method} {path}");
        }
    }

    #[actix_web::test]
    async fn a_page_keeps_its_own_policy_and_has_the_rest() {
        let api = TestApi::start().await;
        for path in ["/api/docs", "/api/docs/docs.js"] {
            let answer = api.call(Method::GET, path, "", "").await;
            let policy = answer.header("content-security-policy").to_owned();
            assert!(policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(answer.headers.get_all("content-security-policy").count(), 1);
            assert_eq!(answer.header("cache-control"), "no-cache");
            for (name, value) in EVERYWHERE {
                assert_eq!(answer.header(name), value, "{path}");
            }
        }
    }

    #[actix_web::test]
    async fn a_browser_that_came_by_https_is_told_to_stay() {
        // The public URL, X-Forwarded-Proto of a trusted proxy, and the header.
        let table = [
            (None, None, None),
            (Some("https://desk.example.org"), None, Some("max-age=31536000")),
            (Some("http://desk.example.org"), None, None),
            (None, Some("https"), Some("max-age=31536000")),
            (Some("https://desk.example.org"), Some("http"), None),
        ];
        for (public_url, proto, expected) in table {
            let (mut state, _tokens) = state().await;
            let settings = Settings {
                public_url: public_url.map(str::to_owned),
                trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
                ..(*state.settings).clone()
            };
            state.settings = std::sync::Arc::new(settings);
            let app = init_service(app(state)).await;
            for path in ["/healthz", "/nothing", "/api/agents"] {
                let mut request = TestRequest::with_uri(path).peer_addr("10.0.0.1:80".parse().unwrap());
                if let Some(proto) = proto {
                    request = request.insert_header(("x-forwarded-proto", proto));
                }
                let answer = call_service(&app, request.to_request()).await;
                let header = answer.headers().get("strict-transport-security").map(|value| value.to_str().unwrap());
                assert_eq!(header, expected, "{path} {public_url:?} {proto:?}");
            }
        }
    }

    #[actix_web::test]
    async fn a_desktop_is_not_served() {
        let (state, _tokens) = state().await;
        let app = init_service(app(state)).await;
        for (peer, status) in [("10.213.7.2:80", 403), ("[::ffff:10.213.7.2]:80", 403), ("10.214.0.1:80", 200)] {
            let request = TestRequest::with_uri("/healthz").peer_addr(peer.parse().unwrap());
            assert_eq!(call_service(&app, request.to_request()).await.status().as_u16(), status, "{peer}");
        }
    }

    #[actix_web::test]
    async fn a_desktop_is_not_served_by_way_of_a_proxy() {
        let (mut state, _tokens) = state().await;
        let trusted_proxies = vec!["10.0.0.1/32".parse().unwrap()];
        state.settings = std::sync::Arc::new(Settings { trusted_proxies, ..(*state.settings).clone() });
        let app = init_service(app(state)).await;
        for (peer, forwarded, status) in [
            ("10.0.0.1:80", "10.213.7.2", 403),
            ("10.0.0.1:80", "192.0.2.7, 10.213.7.2", 403),
            ("10.0.0.1:80", "10.213.7.2, 192.0.2.7", 200),
            ("10.0.0.2:80", "10.213.7.2", 200),
            ("10.213.7.2:80", "192.0.2.7", 403),
        ] {
            let request = TestRequest::with_uri("/healthz").peer_addr(peer.parse().unwrap());
            let request = request.insert_header(("x-forwarded-for", forwarded));
            assert_eq!(call_service(&app, request.to_request()).await.status().as_u16(), status, "{peer} {forwarded}");
        }
    }

    #[actix_web::test]
    async fn an_answer_that_does_not_begin_is_given_up() {
        tokio::time::pause();
        let never = App::new().wrap(from_fn(guard)).route("/", web::get().to(std::future::pending::<HttpResponse>));
        let app = init_service(never).await;
        let Err(error) = app.call(TestRequest::default().to_request()).await else { panic!("answered") };
        let answer = error.error_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers().get("x-content-type-options").unwrap(), "nosniff");
    }

    #[actix_web::test]
    async fn what_is_too_large_is_refused_with_its_limit() {
        let api = TestApi::start().await;
        let address = |length: usize| format!("/healthz?{}", "a".repeat(length - "/healthz?".len()));
        for (length, status) in [(ADDRESS_LIMIT, 200), (ADDRESS_LIMIT + 1, 414)] {
            let answer = api.call(Method::GET, &address(length), "", "").await;
            assert_eq!(answer.status.as_u16(), status);
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
        let long = api.call(Method::GET, &address(ADDRESS_LIMIT + 1), "", "").await;
        assert_eq!(
            (long.code().as_str(), long.header("content-type")),
            ("address_too_long", "application/problem+json")
        );
        // A token is a header like any other: its limit comes first.
        let name = "authorization".len() + "Bearer ".len();
        let fits = api.call(Method::GET, "/api/agents", &"t".repeat(HEADERS_LIMIT - name), "").await;
        assert_eq!(fits.status, StatusCode::UNAUTHORIZED);
        let large = api.call(Method::GET, "/api/agents", &"t".repeat(HEADERS_LIMIT - name + 1), "").await;
        assert_eq!((large.status.as_u16(), large.code().as_str()), (431, "headers_too_large"));
        assert!(large.body.len() < 1000, "it repeats nothing");
    }

    /// Beyond what the server's parser takes there is no request that could be answered in full, only a refusal.
    #[actix_web::test]
    async fn heads_that_the_parser_does_not_take_are_refused_and_closed() {
        let (state, _tokens) = state().await;
        let server = TestServer::start(|listener| serve(listener, state, 1));
        let many = |count: usize| (0..count).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
        let table = [
            (format!("x-large: {}\r\n", "a".repeat(40_000)), "431"),
            (format!("x-large: {}\r\n", "a".repeat(400_000)), "431"),
            (many(90), "200"),
            (many(200), "431"),
            ("no colon\r\n".to_owned(), "400"),
            ("x: \0\r\n".to_owned(), "400"),
        ];
        for (headers, status) in table {
            let request = format!("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
            let mut socket = server.connect(b"").await;
            // The server may answer and close before all of it is sent; then a reset may overtake its answer.
            let sent = socket.write_all(request.as_bytes()).await;
            let mut answer = Vec::new();
            let read = socket.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            let is_reset = answer.is_empty() && (sent.is_err() || read.is_err());
            let begins = answer.starts_with(&format!("HTTP/1.1 {status} "));
            let shown: String = headers.chars().take(20).collect();
            assert!(begins || status != "200" && is_reset, "{shown} {answer} {sent:?} {read:?}");
        }
    }
}
