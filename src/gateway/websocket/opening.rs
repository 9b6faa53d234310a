//! The handshake that the gateway sends to a desktop. Pure.
//!
//! | header | `kasm` | `web` |
//! |---|---|---|
//! | `Host`, `Origin` | the container's own address | what the browser asked for |
//! | `Sec-WebSocket-Key` | the browser's | the browser's |
//! | `Sec-WebSocket-Protocol` | the browser's; without one, `binary` | the browser's |
//! | `Sec-WebSocket-Extensions` | none | the browser's |
//! | `Authorization` | the desktop's own | the desktop's own |
//! | cookies, `User-Agent`, `Accept-Language`, `X-Forwarded-*` | none | the browser's, without ours; fresh |
//!
//! `Origin` always names the host that `Host` names, and so does `X-Forwarded-Host`: programs compare them. Whether the
//! browser's page was ours has been verified before. KasmVNC reads no more than 4 KB.

use actix_web::HttpRequest;
use actix_web::http::Version;
use actix_web::http::header::{
    ACCEPT_LANGUAGE, CONTENT_LENGTH, HeaderMap, HeaderName, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, USER_AGENT,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::desktop::Kind;
use crate::error::Error;
use crate::http::client::Client;
use crate::http::cookies;
use crate::upstream::Upstream;

/// What KasmVNC 1.3 reads of a handshake.
const KASM_HEAD_LIMIT: usize = 4096;
/// The subprotocol without which KasmVNC opens nothing.
const KASM_PROTOCOL: &[u8] = b"binary";
/// Bytes of a Sec-WebSocket-Key once decoded (RFC 6455 section 4.1).
const KEY_BYTES: usize = 16;

/// What is asked of a desktop.
pub struct Opening<'a> {
    pub kind: Kind,
    pub upstream: &'a Upstream,
    /// Path and query.
    pub target: &'a str,
    /// What was taken off the path before it.
    pub prefix: Option<String>,
    /// The browser's.
    pub headers: &'a HeaderMap,
    pub client: &'a Client,
}

/// What the general look at a handshake passes over.
///
/// # Errors
/// `BadRequest` or `UpgradeRequired`, saying what is wrong.
pub fn verify(request: &HttpRequest) -> Result<(), Error> {
    let headers = request.headers();
    if request.version() != Version::HTTP_11 {
        return Err(Error::UpgradeRequired("open a WebSocket with HTTP/1.1"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Error::UpgradeRequired("open a WebSocket of version 13 here"));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).map(|key| STANDARD.decode(key.as_bytes()));
    if !matches!((keys.next(), keys.next()), (Some(Ok(key)), None) if key.len() == KEY_BYTES) {
        return Err(Error::BadRequest("the Sec-WebSocket-Key header is not 16 bytes in base64".into()));
    }
    let length = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if length || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Error::BadRequest("a request that opens a WebSocket has no body".into()));
    }
    Ok(())
}

impl Opening<'_> {
    /// The browser's Sec-WebSocket-Key.
    pub fn key(&self) -> &[u8] {
        self.headers.get(SEC_WEBSOCKET_KEY).map_or(b"", |key| key.as_bytes())
    }

    /// Whether the browser offers a subprotocol.
    pub fn offers_protocol(&self) -> bool {
        self.headers.contains_key(SEC_WEBSOCKET_PROTOCOL)
    }

    /// Whether extensions are offered to the desktop.
    pub fn offers_extensions(&self) -> bool {
        self.kind == Kind::Web && self.headers.contains_key(SEC_WEBSOCKET_EXTENSIONS)
    }

    /// The request's head.
    ///
    /// # Errors
    /// `AddressTooLong` where the desktop would not read all of it; `BadRequest` for an address that is none.
    pub fn head(&self) -> Result<Vec<u8>, Error> {
        if self.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(Error::BadRequest("the address holds a blank or a control character".into()));
        }
        let mut head = Head::begin(self.target);
        let (scheme, host) = self.origin();
        head.put("Host", host.as_bytes());
        head.put("Connection", b"Upgrade");
        head.put("Upgrade", b"websocket");
        head.put("Sec-WebSocket-Version", b"13");
        head.put("Sec-WebSocket-Key", self.key());
        head.put("Origin", format!("{scheme}://{host}").as_bytes());
        if self.kind == Kind::Kasm && !self.offers_protocol() {
            head.put("Sec-WebSocket-Protocol", KASM_PROTOCOL);
        }
        self.pass(&mut head, SEC_WEBSOCKET_PROTOCOL, "Sec-WebSocket-Protocol");
        if let Some(authorization) = &self.upstream.authorization {
            head.put("Authorization", authorization.as_bytes());
        }
        if self.kind == Kind::Web {
            self.put_web_headers(&mut head, scheme, &host);
        }
        let bytes = head.end();
        if self.kind == Kind::Kasm && bytes.len() > KASM_HEAD_LIMIT {
            return Err(Error::AddressTooLong { limit: KASM_HEAD_LIMIT });
        }
        Ok(bytes)
    }

    /// Scheme and host that the desktop shall believe to be asked by.
    fn origin(&self) -> (&'static str, String) {
        match &self.client.authority {
            Some(authority) if self.kind == Kind::Web => {
                (if self.client.https { "https" } else { "http" }, authority.clone())
            }
            _ => (self.upstream.scheme.as_str(), self.upstream.address.to_string()),
        }
    }

    fn put_web_headers(&self, head: &mut Head, scheme: &str, host: &str) {
        self.pass(head, SEC_WEBSOCKET_EXTENSIONS, "Sec-WebSocket-Extensions");
        self.pass(head, USER_AGENT, "User-Agent");
        self.pass(head, ACCEPT_LANGUAGE, "Accept-Language");
        if let Some(cookies) = cookies::without_ours(self.headers) {
            head.put("Cookie", &cookies);
        }
        if let Some(address) = self.client.address {
            head.put("X-Forwarded-For", address.to_string().as_bytes());
        }
        head.put("X-Forwarded-Proto", scheme.as_bytes());
        head.put("X-Forwarded-Host", host.as_bytes());
        if let Some(prefix) = &self.prefix {
            head.put("X-Forwarded-Prefix", prefix.as_bytes());
        }
    }

    /// The browser's values of a header, as one list.
    fn pass(&self, head: &mut Head, name: HeaderName, written: &str) {
        let values: Vec<&[u8]> = self.headers.get_all(name).map(|value| value.as_bytes()).collect();
        if !values.is_empty() {
            head.put(written, &values.join(&b", "[..]));
        }
    }
}

/// A head in the making. Values come from headers that were parsed, or are made here: none holds a line's end.
struct Head(Vec<u8>);

impl Head {
    fn begin(target: &str) -> Self {
        Self(format!("GET {target} HTTP/1.1\r\n").into_bytes())
    }

    fn put(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.0.extend_from_slice(part);
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use actix_web::test::TestRequest;

    use super::*;
    use crate::upstream::Scheme;

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");

    fn upstream(authorization: Option<&str>) -> Upstream {
        let address = "127.0.0.1:7001".parse().unwrap();
        Upstream { scheme: Scheme::Https, address, authorization: authorization.map(str::to_owned) }
    }

    fn client() -> Client {
        Client { address: Some("192.0.2.7".parse().unwrap()), https: false, authority: Some("desk:8080".into()) }
    }

    fn head_of(kind: Kind, upstream: &Upstream, target: &str, pairs: &[(&str, &str)]) -> Result<String, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in [&[KEY], pairs].concat() {
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let opening =
            Opening { kind, upstream, target, prefix: Some("/desktop/d".into()), headers: &headers, client: &client() };
        opening.head().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_kasm_desktop_gets_what_it_needs_and_nothing_else() {
        let noise = [
            ("cookie", "dockway_session=secret; other=1"),
            ("origin", "http://desk:8080"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("authorization", "Bearer token"),
            ("x-forwarded-for", "evil"),
            ("user-agent", "Mozilla"),
        ];
        let upstream = upstream(Some("Basic a2FzbV91c2VyOnB3"));
        let head = head_of(Kind::Kasm, &upstream, "/websockify?a=b", &noise).unwrap();
        assert_eq!(
            head,
            "GET /websockify?a=b HTTP/1.1\r\nHost: 127.0.0.1:7001\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Origin: https://127.0.0.1:7001\r\nSec-WebSocket-Protocol: binary\r\n\
             Authorization: Basic a2FzbV91c2VyOnB3\r\n\r\n"
        );
        let offered = [("sec-websocket-protocol", "base64"), ("sec-websocket-protocol", "binary")];
        let head = head_of(Kind::Kasm, &upstream, "/", &offered).unwrap();
        assert!(head.contains("\r\nSec-WebSocket-Protocol: base64, binary\r\n"), "{head}");
        assert_eq!(head.matches("Protocol").count(), 1);
    }

    #[test]
    fn a_web_application_believes_to_be_asked_by_the_browser() {
        let pairs = [
            ("cookie", "dockway_session=secret; other=1"),
            ("cookie", "__Host-dockway_session=x;third=3 ; dockway_oidc=y"),
            ("origin", "http://elsewhere"),
            ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
            ("authorization", "Bearer token"),
            ("x-forwarded-for", "evil"),
            ("x-forwarded-host", "evil"),
            ("user-agent", "Mozilla"),
        ];
        let head = head_of(Kind::Web, &upstream(None), "/ws", &pairs).unwrap();
        for line in [
            "Host: desk:8080",
            "Origin: http://desk:8080",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            "User-Agent: Mozilla",
            "Cookie: other=1; third=3",
            "X-Forwarded-For: 192.0.2.7",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: desk:8080",
            "X-Forwarded-Prefix: /desktop/d",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
        }
        for absent in ["Protocol", "Authorization", "evil", "secret", "elsewhere"] {
            assert!(!head.contains(absent), "{absent} in {head}");
        }
        assert!(!head_of(Kind::Web, &upstream(None), "/ws", &pairs[..1]).unwrap().contains("dockway"));
    }

    #[test]
    fn what_kasm_would_not_read_and_what_is_no_address_is_refused() {
        let long = format!("/{}", "x".repeat(KASM_HEAD_LIMIT));
        let refused = head_of(Kind::Kasm, &upstream(None), &long, &[]).unwrap_err();
        assert!(matches!(refused, Error::AddressTooLong { limit: KASM_HEAD_LIMIT }), "{refused}");
        assert!(head_of(Kind::Web, &upstream(None), &long, &[]).is_ok());
        for target in ["/a b", "/a\r\nX: y", "/\u{7f}"] {
            let refused = head_of(Kind::Web, &upstream(None), target, &[]).unwrap_err();
            assert!(matches!(refused, Error::BadRequest(_)), "{target:?}: {refused}");
        }
    }

    #[test]
    fn what_is_no_handshake_is_told_so() {
        let status = |change: &dyn Fn(TestRequest) -> TestRequest| {
            let request = TestRequest::get().insert_header(KEY).insert_header(("sec-websocket-version", "13"));
            match verify(&change(request).to_http_request()) {
                Ok(()) => 101,
                Err(Error::BadRequest(_)) => 400,
                Err(Error::UpgradeRequired(_)) => 426,
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(status(&|request| request), 101);
        assert_eq!(status(&|request| request.version(Version::HTTP_10)), 426);
        assert_eq!(status(&|request| request.insert_header(("sec-websocket-version", "8"))), 426);
        for key in ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSEhIQ=="] {
            assert_eq!(status(&|request| request.insert_header(("sec-websocket-key", key))), 400, "{key}");
        }
        assert_eq!(status(&|request| request.append_header(KEY)), 400);
        assert_eq!(status(&|request| request.insert_header(("content-length", "5"))), 400);
        assert_eq!(status(&|request| request.insert_header(("content-length", "0"))), 101);
        assert_eq!(status(&|request| request.insert_header(("transfer-encoding", "chunked"))), 400);
    }
}
