//! What a single field's value may be. Each function takes a JSON value and says what is wrong with it.

mod catalogue;
mod people;

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;

pub use self::catalogue::{
    asked_type, basic_user, capabilities, command, cpus, entry_path, environment, extra_hosts, home_path, idle_limit_s,
    image, kind, memory_bytes, pids, scheme, seccomp, shm_bytes, type_label, type_name,
};
pub use self::people::{email, new_password, new_username, own_limit, role, time};
use super::fields::Fault;
use crate::identity::names::{LONGEST_LABEL, is_client_id};

/// The most characters of a host name (RFC 1035).
const HOST_LIMIT: usize = 253;
/// The most entries of an allow list.
const ALLOW_LIMIT: usize = 1000;
/// The highest limit of connections that a tunnel can be given.
const CONNECTIONS_LIMIT: u32 = 100_000;
/// The most characters of a user's name that are looked up.
const USERNAME_LIMIT: usize = 200;

/// A string without control characters (NUL among them).
fn text(value: Value) -> Result<String, Fault> {
    let Value::String(text) = value else { return Err(("type", "must be a string".into())) };
    if text.chars().any(char::is_control) {
        return Err(("format", "must not contain control characters".into()));
    }
    if text.trim().is_empty() {
        return Err(("empty", "must not be empty".into()));
    }
    Ok(text)
}

fn limited_text(value: Value, limit: usize) -> Result<String, Fault> {
    let text = text(value)?;
    if text.chars().count() > limit {
        return Err(("too_long", format!("must have at most {limit} characters")));
    }
    Ok(text)
}

/// What people call something of theirs.
pub fn name(value: Value) -> Result<String, Fault> {
    limited_text(value, LONGEST_LABEL)
}

pub fn username(value: Value) -> Result<String, Fault> {
    limited_text(value, USERNAME_LIMIT)
}

pub fn client_id(value: Value) -> Result<String, Fault> {
    let text = text(value)?;
    if !is_client_id(&text) {
        return Err(("format", "must be 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`".into()));
    }
    Ok(text)
}

pub fn boolean(value: Value) -> Result<bool, Fault> {
    value.as_bool().ok_or_else(|| ("type", "must be true or false".into()))
}

fn integer(value: Value, lowest: u32, highest: u32) -> Result<u32, Fault> {
    let Value::Number(number) = value else { return Err(("type", "must be a number".into())) };
    if number.is_f64() {
        return Err(("type", "must be a whole number".into()));
    }
    let whole = number.as_u64().and_then(|whole| u32::try_from(whole).ok());
    whole
        .filter(|whole| (lowest..=highest).contains(whole))
        .ok_or_else(|| ("range", format!("must be from {lowest} to {highest}")))
}

pub fn port(value: Value) -> Result<u16, Fault> {
    let whole = integer(value, 1, u16::MAX.into())?;
    u16::try_from(whole).map_err(|_| ("range", "must be a port".into()))
}

pub fn max_connections(value: Value) -> Result<u32, Fault> {
    integer(value, 1, CONNECTIONS_LIMIT)
}

/// `tcp`, the only protocol so far.
pub fn protocol(value: Value) -> Result<(), Fault> {
    if text(value)? == "tcp" { Ok(()) } else { Err(("format", "must be \"tcp\"".into())) }
}

/// A host name or an address; the brackets of `[::1]` are taken off.
pub fn host(value: Value) -> Result<String, Fault> {
    let host = limited_text(value, HOST_LIMIT)?;
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return if is_ipv6(inner) { Ok(inner.to_owned()) } else { Err(not_a_host()) };
    }
    let odd = |c: char| c.is_whitespace() || "/\\:@?#[]%\"<>,;".contains(c);
    if host.contains(odd) && !is_ipv6(&host) {
        return Err(not_a_host());
    }
    Ok(host)
}

fn not_a_host() -> Fault {
    ("format", "must be a host name or an address, without a scheme, port or path".into())
}

/// An IPv6 address, with or without a zone (`fe80::1%eth0`).
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "zone"));
    let zone_is_plain = !zone.is_empty() && zone.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    zone_is_plain && address.parse::<Ipv6Addr>().is_ok()
}

/// An address to listen on.
pub fn bind(value: Value) -> Result<IpAddr, Fault> {
    address(text(value)?.trim_start_matches('[').trim_end_matches(']'))
        .ok_or_else(|| ("format", "must be an IP address of the server, such as 0.0.0.0, 127.0.0.1 or ::".into()))
}

/// CIDRs, or addresses that stand for themselves alone.
pub fn allow(value: Value) -> Result<Vec<IpNet>, Fault> {
    let Value::Array(entries) = value else { return Err(("type", "must be a list of strings".into())) };
    if entries.len() > ALLOW_LIMIT {
        return Err(("too_long", format!("must have at most {ALLOW_LIMIT} entries")));
    }
    entries.iter().enumerate().map(|(n, entry)| allow_entry(n, entry)).collect()
}

fn allow_entry(n: usize, entry: &Value) -> Result<IpNet, Fault> {
    let Value::String(text) = entry else { return Err(("type", format!("entry {} must be a string", n + 1))) };
    network(text).ok_or_else(|| ("format", format!("entry {} must be an address or a CIDR such as 10.0.0.0/8", n + 1)))
}

fn network(text: &str) -> Option<IpNet> {
    if let Some(address) = address(text) {
        return Some(IpNet::from(address));
    }
    let network = text.parse::<IpNet>().ok()?.trunc();
    Some(mapped_as_ipv4(network).unwrap_or(network))
}

/// An address; IPv4 written as IPv6 (`::ffff:10.0.0.1`) is IPv4.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn mapped_as_ipv4(network: IpNet) -> Option<IpNet> {
    /// Bits of `::ffff:0:0/96`, in front of the IPv4 address.
    const MAPPED_PREFIX: u8 = 96;
    let IpNet::V6(network) = network else { return None };
    let address = network.addr().to_ipv4_mapped()?;
    let prefix = network.prefix_len().checked_sub(MAPPED_PREFIX)?;
    Ipv4Net::new(address, prefix).ok().map(IpNet::V4)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code<T>(result: Result<T, Fault>) -> &'static str {
        result.err().map_or("ok", |fault| fault.0)
    }

    #[test]
    fn ports() {
        let table = [
            (json!(1), "ok"),
            (json!(65535), "ok"),
            (json!(0), "range"),
            (json!(70000), "range"),
            (json!(-1), "range"),
            (json!(u64::MAX), "range"),
            (json!(i64::MIN), "range"),
            (json!(3389.0), "type"),
            (json!(1e300), "type"),
            (json!("3389"), "type"),
            (json!(null), "type"),
            (json!([3389]), "type"),
        ];
        for (value, expected) in table {
            assert_eq!(code(port(value.clone())), expected, "{value}");
        }
        assert_eq!(code(max_connections(json!(100_000))), "ok");
        assert_eq!(code(max_connections(json!(100_001))), "range");
        assert_eq!(code(max_connections(json!(0))), "range");
    }

    #[test]
    fn hosts() {
        let good = [
            "db",
            "db.internal",
            "my_host-1.local.",
            "10.0.0.1",
            "::1",
            "fe80::1%eth0",
            "::ffff:1.2.3.4",
            "bücher.example",
        ];
        for text in good {
            assert_eq!(host(json!(text)).unwrap(), text);
        }
        assert_eq!(host(json!("[::1]")).unwrap(), "::1");
        assert_eq!(host(json!("[fe80::1%2]")).unwrap(), "fe80::1%2");
        let bad = [
            "db:22",
            "http://db",
            "db/x",
            "a b",
            "[db]",
            "[::1",
            "::1]",
            "[::1]:22",
            "u@db",
            "1::2::3",
            "::1%",
            "::1%a/b",
            "a%b",
            "a\u{a0}b",
            "a,b",
        ];
        for text in bad {
            assert_eq!(code(host(json!(text))), "format", "{text}");
        }
        let table = [
            (json!(""), "empty"),
            (json!("  "), "empty"),
            (json!("a\u{0}"), "format"),
            (json!("a\nb"), "format"),
            (json!("a".repeat(253)), "ok"),
            (json!("a".repeat(254)), "too_long"),
            (json!(7), "type"),
        ];
        for (value, expected) in table {
            assert_eq!(code(host(value.clone())), expected, "{value}");
        }
    }

    #[test]
    fn names_and_flags() {
        let table = [
            (json!("Büro 1"), "ok"),
            (json!("n".repeat(100)), "ok"),
            (json!("n".repeat(101)), "too_long"),
            (json!(" "), "empty"),
            (json!("a\tb"), "format"),
            (json!({}), "type"),
        ];
        for (value, expected) in table {
            assert_eq!(code(name(value.clone())), expected, "{value}");
        }
        assert_eq!(code(client_id(json!("pc-1.x_Y"))), "ok");
        assert_eq!(code(client_id(json!("pc 1"))), "format");
        assert_eq!(code(client_id(json!("p".repeat(65)))), "format");
        assert_eq!(code(client_id(json!(""))), "empty");
        assert_eq!(code(boolean(json!(0))), "type");
        assert_eq!(code(protocol(json!("tcp"))), "ok");
        assert_eq!(code(protocol(json!("udp"))), "format");
    }

    #[test]
    fn addresses_to_listen_on() {
        assert_eq!(bind(json!("::ffff:127.0.0.1")).unwrap().to_string(), "127.0.0.1");
        assert_eq!(bind(json!("[::]")).unwrap().to_string(), "::");
        for text in ["localhost", "127.0.0.1:80", "10.0.0.0/8", "1.2.3", "01.2.3.4"] {
            assert_eq!(code(bind(json!(text))), "format", "{text}");
        }
    }

    #[test]
    fn allow_lists() {
        let table = [
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::1", "::1/128"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:10.0.0.1/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/90", "::ffc0:0:0/90"),
        ];
        for (text, network) in table {
            assert_eq!(allow(json!([text])).unwrap()[0].to_string(), network, "{text}");
        }
        assert_eq!(allow(json!([])).unwrap(), []);
        for text in ["10.0.0.0/33", "::/129", "all", "", "10.0.0.1-10.0.0.9", "10.0.0.1/-1"] {
            assert_eq!(code(allow(json!(["10.0.0.1", text]))), "format", "{text}");
        }
        assert_eq!(code(allow(json!([7]))), "type");
        assert_eq!(code(allow(json!("10.0.0.1"))), "type");
        assert_eq!(code(allow(json!(vec!["::1"; ALLOW_LIMIT + 1]))), "too_long");
    }
}
