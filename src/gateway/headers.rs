//! What goes from the browser's request into the upstream's, and back. Pure.

mod location;
mod request;
mod response;
mod set_cookie;

pub use request::{HeadTooLarge, request_headers};
pub use response::response_headers;

use crate::desktop::Kind;
use crate::http::client::Client;
use crate::upstream::Upstream;

/// Between whom headers pass.
#[derive(Debug, Clone, Copy)]
pub struct Passage<'a> {
    pub kind: Kind,
    /// Where the desktop is for the browser, without a slash at the end.
    pub prefix: &'a str,
    /// Whether the upstream knows nothing of the prefix.
    pub strip_prefix: bool,
    pub upstream: &'a Upstream,
    pub client: &'a Client,
    /// Whether the browser's Authorization header is Dockway's, and nobody else's to see.
    pub by_token: bool,
}

/// Meant for one connection, not for what is passed on (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Names that a Connection header makes into hop-by-hop ones, in lower case.
fn named_by_connection<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let names = values.flat_map(|value| value.split(|byte| *byte == b','));
    names.map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase()).collect()
}

/// An authority without the scheme's own port, in lower case.
fn bare_authority(scheme: &str, authority: &str) -> String {
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase()
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::upstream::Scheme;

    pub fn upstream(authorization: Option<&str>) -> Upstream {
        Upstream {
            scheme: Scheme::Https,
            address: "127.0.0.1:7001".parse().unwrap(),
            authorization: authorization.map(str::to_owned),
        }
    }

    pub fn client(https: bool) -> Client {
        Client { address: "192.0.2.7".parse().ok(), https, authority: Some("desk.example.org:8080".into()) }
    }

    pub fn passage<'a>(kind: Kind, strip_prefix: bool, upstream: &'a Upstream, client: &'a Client) -> Passage<'a> {
        Passage { kind, prefix: "/desktop/alice-x", strip_prefix, upstream, client, by_token: false }
    }
}
