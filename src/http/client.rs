//! Where a request comes from and how it reached us, behind a trusted reverse proxy or without one.
//!
//! `X-Forwarded-For`, `-Proto` and `-Host` are believed from the addresses of `--trusted-proxies` only; from anybody
//! else they are nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderMap};
use actix_web::http::uri::Authority;
use ipnet::IpNet;

use super::Settings;
use crate::error::Error;

/// The most characters of a host and its port: a name has at most 253 (RFC 1035).
const AUTHORITY_LIMIT: usize = 262;

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
        // Of an absolute target the host counts, whatever the Host header says (RFC 9112 section 3.2.2).
        let target = request.uri().authority().map(Authority::as_str);
        Self::from_parts(peer, request.headers(), target, settings)
    }

    /// The address whose attempts are counted. Clients without one share one.
    pub fn counted_address(&self) -> IpAddr {
        self.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// Where browsers reach this server, with its scheme and without a slash at its end.
    ///
    /// # Errors
    /// `BadRequest` if neither the settings nor the request name the host.
    pub fn base_url(&self, settings: &Settings) -> Result<String, Error> {
        if let Some(url) = &settings.public_url {
            return Ok(url.clone());
        }
        let authority = self.authority.as_deref();
        let authority = authority.ok_or_else(|| Error::BadRequest("the request has no Host header".into()))?;
        Ok(format!("{}://{authority}", if self.https { "https" } else { "http" }))
    }

    /// Where it comes from, for people to read: an address, with its port if the client is the peer itself.
    pub fn origin(&self, peer: Option<SocketAddr>) -> Option<String> {
        let address = self.address?;
        match peer {
            Some(peer) if peer.ip().to_canonical() == address => {
                Some(SocketAddr::new(address, peer.port()).to_string())
            }
            _ => Some(address.to_string()),
        }
    }

    fn from_parts(peer: Option<IpAddr>, headers: &HeaderMap, target: Option<&str>, settings: &Settings) -> Self {
        let (peer, proxies) = (peer.map(|peer| peer.to_canonical()), settings.trusted_proxies.as_slice());
        let trusted = peer.is_some_and(|peer| is_trusted(peer, proxies));
        let forwarded = |name: &str| if trusted { last_of(headers, name) } else { None };
        let https_by_setting = settings.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        let https = match forwarded("x-forwarded-proto") {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => https_by_setting,
        };
        let host = || target.or_else(|| headers.get(HOST)?.to_str().ok()).map(str::to_owned);
        let authority = forwarded("x-forwarded-host").or_else(host).filter(|text| is_authority(text));
        Self {
            address: if trusted { forwarded_address(headers, proxies).or(peer) } else { peer },
            https,
            authority: authority.map(|text| text.to_ascii_lowercase()),
        }
    }
}

/// Whether this can be a host with or without a port: it becomes part of addresses that people are sent to.
fn is_authority(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (1..=AUTHORITY_LIMIT).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    proxies.iter().any(|network| network.contains(&address))
}

/// The values of a header that may be repeated or hold a list, in order. What is not UTF-8 stays a value, a wrong one:
/// a stranger must not make a proxy's word disappear by writing nonsense before it.
fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
    let all: Vec<&[u8]> = headers.get_all(name).map(|value| value.as_bytes()).collect();
    let parts = all.into_iter().flat_map(|value| value.split(|byte| *byte == b','));
    let texts = parts.map(|part| std::str::from_utf8(part).map_or("not text", str::trim));
    texts.filter(|value| !value.is_empty())
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
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::config::{DEFAULT_AGENT_PATH, Limits, RoleLimits};

    const PROXY: &str = "10.0.0.1";

    fn settings(public_url: Option<&str>) -> Settings {
        let limits = Limits { tunnels: None, desktops: None, agents: None, tokens: None };
        Settings {
            agent_path: DEFAULT_AGENT_PATH.into(),
            public_url: public_url.map(str::to_owned),
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()],
            limits: RoleLimits { user: limits, admin: limits },
            desktop_subnets: "10.213.0.0/16".parse().unwrap(),
        }
    }

    fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    fn client(peer: &str, pairs: &[(&str, &[u8])], public_url: Option<&str>) -> Client {
        Client::from_parts(Some(peer.parse().unwrap()), &headers(pairs), None, &settings(public_url))
    }

    #[test]
    fn the_nearest_address_that_is_no_trusted_proxy() {
        // The peer, each X-Forwarded-For header, and the client's address.
        let table: &[(&str, &[&[u8]], &str)] = &[
            ("192.0.2.9", &[], "192.0.2.9"),
            ("192.0.2.9", &[b"203.0.113.5"], "192.0.2.9"),
            ("::ffff:192.0.2.9", &[b"203.0.113.5"], "192.0.2.9"),
            (PROXY, &[], PROXY),
            (PROXY, &[b"203.0.113.5"], "203.0.113.5"),
            ("::ffff:10.0.0.1", &[b"203.0.113.5"], "203.0.113.5"),
            ("2001:db8:1::7", &[b"203.0.113.5"], "203.0.113.5"),
            ("2001:db8:2::7", &[b"203.0.113.5"], "2001:db8:2::7"),
            // What stands before the nearest stranger was written by a stranger.
            (PROXY, &[b"1.1.1.1, 203.0.113.5"], "203.0.113.5"),
            (PROXY, &[b"1.1.1.1, 203.0.113.5, 10.9.9.9 ,10.0.0.2"], "203.0.113.5"),
            (PROXY, &[b"1.1.1.1", b"203.0.113.5", b"10.0.0.2"], "203.0.113.5"),
            (PROXY, &[b"203.0.113.5, 10.0.0.2", b"198.51.100.7"], "198.51.100.7"),
            (PROXY, &[b"10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            (PROXY, &[b"203.0.113.5:4711"], "203.0.113.5"),
            (PROXY, &[b"[2001:db8::5]:4711"], "2001:db8::5"),
            (PROXY, &[b"[2001:db8::5]"], "2001:db8::5"),
            (PROXY, &[b"2001:db8::5"], "2001:db8::5"),
            (PROXY, &[b"::ffff:203.0.113.5"], "203.0.113.5"),
            (PROXY, &[b"1.1.1.1, ::ffff:10.0.0.2"], "1.1.1.1"),
            (PROXY, &[b"203.0.113.5, ,,"], "203.0.113.5"),
            // Nonsense ends the walk: nothing before it is believed.
            (PROXY, &[b""], PROXY),
            (PROXY, &[b"unknown"], PROXY),
            (PROXY, &[b"203.0.113.5, unknown"], PROXY),
            (PROXY, &[b"203.0.113.5, unknown, 10.0.0.2"], "10.0.0.2"),
            (PROXY, &[b"unknown, 203.0.113.5"], "203.0.113.5"),
            (PROXY, &[b"\xff\xfe, 203.0.113.5"], "203.0.113.5"),
            (PROXY, &[b"203.0.113.5", b"\xff"], PROXY),
            (PROXY, &[b"fe80::1%eth0"], PROXY),
            (PROXY, &[b"1.2.3.4.5"], PROXY),
            (PROXY, &[b"[203.0.113.5"], PROXY),
            (PROXY, &[b"for=203.0.113.5"], PROXY),
        ];
        for (peer, values, expected) in table {
            let pairs: Vec<(&str, &[u8])> = values.iter().map(|value| ("X-Forwarded-For", *value)).collect();
            let address = client(peer, &pairs, None).address.unwrap().to_string();
            assert_eq!(address, *expected, "{peer} {:?}", values.iter().map(|v| v.escape_ascii().to_string()));
        }
    }

    #[test]
    fn whether_the_browser_speaks_https() {
        let (http, https) = (Some("http://desk.example.org"), Some("https://desk.example.org"));
        // The peer, X-Forwarded-Proto, the public URL.
        let table: &[(&str, Option<&str>, Option<&str>, bool)] = &[
            ("192.0.2.9", None, None, false),
            ("192.0.2.9", Some("https"), None, false),
            ("192.0.2.9", Some("http"), https, true),
            ("192.0.2.9", None, http, false),
            (PROXY, None, None, false),
            (PROXY, None, https, true),
            (PROXY, Some("https"), None, true),
            (PROXY, Some("HTTPS"), http, true),
            (PROXY, Some("http"), https, false),
            (PROXY, Some("http, https"), None, true),
            (PROXY, Some("https, http"), None, false),
            (PROXY, Some("wss"), None, false),
        ];
        for (peer, proto, public_url, expected) in table {
            let pairs: Vec<(&str, &[u8])> = proto.iter().map(|proto| ("x-forwarded-proto", proto.as_bytes())).collect();
            assert_eq!(client(peer, &pairs, *public_url).https, *expected, "{peer} {proto:?} {public_url:?}");
        }
    }

    #[test]
    fn which_host_was_asked_for() {
        let long = format!("{}.example.org", "a".repeat(300));
        // The peer, Host, X-Forwarded-Host, and the authority.
        let table: &[(&str, &str, &str, Option<&str>)] = &[
            ("192.0.2.9", "Desk.Example.org:8080", "", Some("desk.example.org:8080")),
            ("192.0.2.9", "desk.example.org", "evil.example.net", Some("desk.example.org")),
            (PROXY, "internal:8080", "", Some("internal:8080")),
            (PROXY, "internal:8080", "DESK.example.org", Some("desk.example.org")),
            (PROXY, "internal:8080", "evil.example.net, desk.example.org", Some("desk.example.org")),
            (PROXY, "[::1]:8080", "", Some("[::1]:8080")),
            (PROXY, "", "", None),
            (PROXY, "a/b", "", None),
            (PROXY, "user@host", "", None),
            (PROXY, "desk.example.org", "evil.example.net/\\", None),
            (PROXY, &long, "", None),
        ];
        for (peer, host, forwarded, expected) in table {
            let mut pairs: Vec<(&str, &[u8])> = vec![("Host", host.as_bytes())];
            if !forwarded.is_empty() {
                pairs.push(("X-Forwarded-Host", forwarded.as_bytes()));
            }
            assert_eq!(client(peer, &pairs, None).authority.as_deref(), *expected, "{peer} {host} {forwarded}");
        }
    }

    #[test]
    fn where_browsers_reach_the_server() {
        let host: &[(&str, &[u8])] = &[("Host", b"desk.example.org:8080")];
        let proxied: &[(&str, &[u8])] =
            &[("Host", b"internal"), ("X-Forwarded-Host", b"desk.example.org"), ("X-Forwarded-Proto", b"https")];
        let table = [
            ("192.0.2.9", host, None, Some("http://desk.example.org:8080")),
            ("192.0.2.9", host, Some("https://public.example.org"), Some("https://public.example.org")),
            (PROXY, proxied, None, Some("https://desk.example.org")),
            ("192.0.2.9", proxied, None, Some("http://internal")),
            ("192.0.2.9", &[], None, None),
        ];
        for (peer, pairs, public_url, expected) in table {
            let base = client(peer, pairs, public_url).base_url(&settings(public_url)).ok();
            assert_eq!(base.as_deref(), expected, "{peer} {public_url:?}");
        }
    }

    #[test]
    fn a_port_is_shown_with_the_peers_own_address_alone() {
        let table = [
            ("192.0.2.9:5000", "", "192.0.2.9:5000"),
            ("[::ffff:192.0.2.9]:5000", "", "192.0.2.9:5000"),
            ("[2001:db8:2::1]:5000", "", "[2001:db8:2::1]:5000"),
            ("10.0.0.1:5000", "203.0.113.5", "203.0.113.5"),
            ("10.0.0.1:5000", "[2001:db8::5]:80", "2001:db8::5"),
            ("10.0.0.1:5000", "nonsense", "10.0.0.1:5000"),
        ];
        for (peer, forwarded, expected) in table {
            let peer: SocketAddr = peer.parse().unwrap();
            let client = client(&peer.ip().to_string(), &[("X-Forwarded-For", forwarded.as_bytes())], None);
            assert_eq!(client.origin(Some(peer)).as_deref(), Some(expected), "{peer} {forwarded}");
        }
    }

    #[test]
    fn the_host_of_an_absolute_target_counts() {
        let request =
            actix_web::test::TestRequest::with_uri("http://Desk.example.org:81/x").insert_header(("host", "evil"));
        let client = Client::of(&request.to_http_request(), &settings(None));
        assert_eq!(client.authority.as_deref(), Some("desk.example.org:81"));
    }
}
