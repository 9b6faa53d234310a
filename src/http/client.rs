//! Where a request comes from and how it reached us, behind a trusted reverse proxy or without one.
//!
//! `X-Forwarded-For`, `-Proto` and `-Host` are believed from the addresses of `--trusted-proxies` only; from anybody
//! else they are nothing.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderMap};
use ipnet::IpNet;

use super::Settings;

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The nearest address that is no trusted proxy. None only in tests without a socket.
    pub address: Option<IpAddr>,
    /// Whether the browser speaks HTTPS.
    pub https: bool,
    /// Host, and port if one is given, that the client asked for, in lower case.
    pub authority: Option<String>,
}

impl Client {
    pub fn of(request: &HttpRequest, settings: &Settings) -> Self {
        let peer = request.peer_addr().map(|peer| peer.ip());
        Self::from_parts(peer, request.headers(), settings)
    }

    fn from_parts(peer: Option<IpAddr>, headers: &HeaderMap, settings: &Settings) -> Self {
        let proxies = settings.trusted_proxies.as_slice();
        let trusted = peer.is_some_and(|peer| is_trusted(peer, proxies));
        let forwarded = |name: &str| if trusted { last_of(headers, name) } else { None };
        let https_by_setting = settings.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        let https = match forwarded("x-forwarded-proto") {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => https_by_setting,
        };
        let host = || headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
        Self {
            address: if trusted { forwarded_address(headers, proxies).or(peer) } else { peer },
            https,
            authority: forwarded("x-forwarded-host").or_else(host).map(|authority| authority.to_ascii_lowercase()),
        }
    }
}

fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|network| network.contains(&address))
}

/// The values of a header that may be repeated or hold a list, in order.
fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
    let all: Vec<&str> = headers.get_all(name).filter_map(|value| value.to_str().ok()).collect();
    all.into_iter().flat_map(|value| value.split(',')).map(str::trim).filter(|value| !value.is_empty())
}

/// What the nearest proxy wrote.
fn last_of(headers: &HeaderMap, name: &str) -> Option<String> {
    values(headers, name).next_back().map(str::to_owned)
}

/// From the nearest proxy backwards, the first address that is no trusted proxy itself: what stands further back was
/// written by somebody who is not trusted.
fn forwarded_address(headers: &HeaderMap, proxies: &[IpNet]) -> Option<IpAddr> {
    let mut nearest = None;
    for value in values(headers, "x-forwarded-for").rev() {
        let Some(address) = parse_address(value) else { break };
        nearest = Some(address);
        if !is_trusted(address, proxies) {
            break;
        }
    }
    nearest
}

/// An address, with or without a port and brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}
