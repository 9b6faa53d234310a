//! What the server may connect to through this agent: a server that is taken over must not own the network behind it.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// Why an `--allow` cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}`: {reason}; write HOST:PORT, NAME:PORT-PORT, CIDR:PORT or [IPV6]:PORT, with * for every port")]
pub struct AllowError {
    rule: String,
    reason: &'static str,
}

/// The rules; none at all means that everything is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    target: Target,
    ports: RangeInclusive<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// Lower case.
    Name(String),
    /// `*.example.com`, kept with its leading dot.
    Suffix(String),
    Net(IpNet),
}

impl AllowList {
    pub fn parse<S: AsRef<str>>(rules: &[S]) -> Result<Self, AllowError> {
        let parse = |rule: &S| Rule::parse(rule.as_ref().trim());
        rules.iter().filter(|rule| !rule.as_ref().trim().is_empty()).map(parse).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// May this name be looked up and connected to, whatever its addresses are?
    pub fn allows_name(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.is_empty() || self.0.iter().any(|rule| rule.ports.contains(&port) && rule.target.matches_name(&host))
    }

    /// May this address be connected to?
    pub fn allows_address(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        self.is_empty() || self.0.iter().any(|rule| rule.ports.contains(&port) && rule.target.contains(address))
    }

    /// Could any address be allowed on this port? If not, a name need not even be looked up.
    pub fn allows_port(&self, port: u16) -> bool {
        let for_address = |rule: &Rule| matches!(rule.target, Target::Net(_)) && rule.ports.contains(&port);
        self.is_empty() || self.0.iter().any(for_address)
    }
}

impl Target {
    fn matches_name(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => name == host,
            Self::Suffix(suffix) => host.ends_with(suffix.as_str()) && host.len() > suffix.len(),
            Self::Net(_) => false,
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        matches!(self, Self::Net(net) if net.contains(&address))
    }
}

impl Rule {
    fn parse(rule: &str) -> Result<Self, AllowError> {
        let fail = |reason| AllowError { rule: rule.to_owned(), reason };
        let (host, ports) = split_host(rule).map_err(fail)?;
        let ports = parse_ports(ports).map_err(fail)?;
        let target = parse_target(host).map_err(fail)?;
        Ok(Self { target, ports })
    }
}

/// `host:ports`, `[v6]:ports`, or a bare host, which means every port.
fn split_host(rule: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = rule.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
        return match rest.strip_prefix(':') {
            Some(ports) => Ok((host, Some(ports))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("after the bracket comes :PORT"),
        };
    }
    if rule.matches(':').count() > 1 {
        return Err("IPv6 goes in brackets");
    }
    Ok(rule.split_once(':').map_or((rule, None), |(host, ports)| (host, Some(ports))))
}

fn parse_ports(ports: Option<&str>) -> Result<RangeInclusive<u16>, &'static str> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or("ports are 1 to 65535");
    match ports {
        None | Some("*") => Ok(1..=u16::MAX),
        Some(ports) => {
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let range = number(first)?..=number(last)?;
            if range.is_empty() { Err("the range is empty") } else { Ok(range) }
        }
    }
}

fn parse_target(host: &str) -> Result<Target, &'static str> {
    if let Ok(net) = host.parse::<IpNet>() {
        return Ok(Target::Net(net));
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Target::Net(IpNet::from(address.to_canonical())));
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let bare = name.strip_prefix("*.").unwrap_or(&name);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if bare.is_empty() || !bare.chars().all(plain) {
        return Err("neither a name, an address nor a CIDR");
    }
    Ok(if bare.len() < name.len() { Target::Suffix(format!(".{bare}")) } else { Target::Name(name) })
}

impl fmt::Display for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            match &rule.target {
                Target::Name(name) => write!(f, "{comma}{name}")?,
                Target::Suffix(suffix) => write!(f, "{comma}*{suffix}")?,
                Target::Net(net) => write!(f, "{comma}[{net}]")?,
            }
            write!(f, ":{}-{}", rule.ports.start(), rule.ports.end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_what_they_allow() {
        let cases: &[(&str, &str, u16, bool)] = &[
            ("10.0.0.0/8:22", "10.1.2.3", 22, true),
            ("10.0.0.0/8:22", "10.1.2.3", 23, false),
            ("10.0.0.0/8:22", "11.1.2.3", 22, false),
            ("192.168.1.5:3389-3390", "192.168.1.5", 3390, true),
            ("192.168.1.5", "192.168.1.5", 1, true),
            ("192.168.1.5", "::ffff:192.168.1.5", 1, true),
            ("[fd00::/8]:*", "fd12::1", 9, true),
            ("[::1]:22", "::1", 22, true),
            ("db.internal:5432", "10.0.0.1", 5432, false),
        ];
        for (rule, address, port, allowed) in cases {
            let list = AllowList::parse(&[rule]).unwrap();
            assert_eq!(list.allows_address(address.parse().unwrap(), *port), *allowed, "{rule} {address}:{port}");
        }
    }

    #[test]
    fn names_match_without_case_and_by_suffix() {
        let list = AllowList::parse(&["DB.internal:5432", "*.lab.example:80-90"]).unwrap();
        assert!(list.allows_name("db.INTERNAL.", 5432));
        assert!(list.allows_name("a.b.lab.example", 85));
        assert!(!list.allows_name("lab.example", 85));
        assert!(!list.allows_name("evillab.example", 85));
        assert!(!list.allows_name("db.internal", 5433));
        assert!(!list.allows_port(5432), "no address is allowed there, so nothing needs to be looked up");
    }

    #[test]
    fn nothing_given_allows_everything() {
        let list = AllowList::parse::<&str>(&[]).unwrap();
        assert!(list.allows_name("x", 1) && list.allows_address("1.2.3.4".parse().unwrap(), 9) && list.allows_port(1));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for rule in ["host:0", "host:70000", "host:9-3", "::1:22", "[::1", "[::1]x", "a b:1", ":22", "10.0.0.0/40:1"] {
            assert!(AllowList::parse(&[rule]).is_err(), "{rule}");
        }
    }
}
