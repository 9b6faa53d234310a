//! What a value may look like, on the command line, in the environment and in the file alike.

use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

/// The longest time that a setting in seconds takes.
const LONGEST_S: u64 = 3600;

/// The longest path of the agent's endpoint.
const LONGEST_AGENT_PATH: usize = 200;

/// `FIRST-LAST`, both included.
pub fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').ok_or("write a range of ports as FIRST-LAST, like 10000-60000")?;
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("the range ends before it begins; did you mean {last}-{first}?"));
    }
    Ok(first..=last)
}

fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(0) | Err(_) => Err(format!("`{text}` is no port from 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

/// Whole seconds, at most an hour.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 0..=LONGEST_S) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("write whole seconds from 0 to {LONGEST_S}")),
    }
}

/// The path of a URL, from its first slash.
pub fn agent_path(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !text.starts_with('/') || text.len() > LONGEST_AGENT_PATH || !text.bytes().all(plain) {
        return Err("write a path like /api/agent/ws, of letters, digits and -._~".into());
    }
    Ok(text.to_owned())
}

/// An address that people open; a bare host name means http. Nothing at all is as if it were not set.
pub fn public_url(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    url(&full, &["http", "https"]).map(Some)
}

/// Where an agent finds its server.
pub fn server_url(text: &str) -> Result<String, String> {
    url(text, &["http", "https", "ws", "wss"])
}

fn url(text: &str, schemes: &[&str]) -> Result<String, String> {
    let wanted = || format!("write a URL like {}://dockway.example.org", schemes[0]);
    let parsed: actix_web::http::Uri = text.parse().map_err(|_| wanted())?;
    let scheme_fits = parsed.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    let authority = parsed.authority().ok_or_else(wanted)?;
    if !scheme_fits || authority.host().is_empty() || parsed.query().is_some() {
        return Err(wanted());
    }
    if authority.as_str().contains('@') {
        return Err("a URL with a name or password in it is not taken".into());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The name of an agent must fit into a header; which names there are, the server knows.
pub fn client_id(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("write the name under which the agent was enrolled".into());
    }
    Ok(text.to_owned())
}

/// An entry of the allow list. An empty one is refused, since an empty list would allow everything.
pub fn allow_entry(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("an entry is empty; leave the setting out to allow everything".into()),
        entry => Ok(entry.to_owned()),
    }
}

/// A database that this program can use. The URL is not repeated in the error: it may hold a password.
pub fn database_url(text: &str) -> Result<String, String> {
    if text.starts_with("sqlite:") { Ok(text.to_owned()) } else { Err("only sqlite:// for now".into()) }
}

/// The longest time that a session may be set to.
const LONGEST_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// A time like `30m`, `12h` or `7d`; a plain number counts seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err("must be a number with s, m, h or d, like 12h".into()),
    };
    let number = digits.parse::<u64>().map_err(|_| "must be a number with s, m, h or d, like 12h".to_owned())?;
    let duration = Duration::from_secs(number.saturating_mul(seconds));
    if duration.is_zero() || duration > LONGEST_DURATION {
        return Err("must be between 1s and 366d".into());
    }
    Ok(duration)
}

/// The most of something: a number, or `none` for no limit.
pub fn limit(text: &str) -> Result<Option<u32>, String> {
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| "must be a number, or `none` for no limit".into())
}

/// A network, or a single address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    parsed.map(|network| network.trunc()).map_err(|_| format!("`{text}` is no address and no network like 10.0.0.0/8"))
}

/// The bits of a desktop's own network: 14 addresses, of which the engine takes one.
pub const DESKTOP_PREFIX: u8 = 28;

/// A network that holds at least one desktop's.
pub fn subnets(text: &str) -> Result<Ipv4Net, String> {
    let network = text.trim().parse::<Ipv4Net>().map_err(|_| format!("`{text}` is no network like 10.213.0.0/16"))?;
    if network.prefix_len() > DESKTOP_PREFIX {
        return Err(format!("each desktop needs a /{DESKTOP_PREFIX}; write a network that holds some of them"));
    }
    Ok(network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ports() {
        assert_eq!(port_range("10000-60000"), Ok(10_000..=60_000));
        assert_eq!(port_range("7-7"), Ok(7..=7));
        assert!(port_range("60000-10000").unwrap_err().contains("did you mean 10000-60000"));
        for wrong in ["", "80", "0-10", "1-70000", "a-b", "1-2-3", "-1"] {
            assert!(port_range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_in_seconds() {
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        for wrong in ["", "-1", "1.5", "10s", "3601"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("90", 90), ("45s", 45), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "0", "h", "-1h", "1.5h", "1w", "12 h", "367d", "99999999999999999999d", "99999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_and_networks() {
        assert_eq!(limit("20"), Ok(Some(20)));
        assert_eq!(limit("0"), Ok(Some(0)));
        assert_eq!(limit("none"), Ok(None));
        for wrong in ["", "-1", "many", "5000000000"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network(" ::1 ").unwrap().to_string(), "::1/128");
        for wrong in ["", "proxy", "10.0.0.0/33", "10.0.0"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn urls() {
        assert_eq!(public_url("desk.example.org"), Ok(Some("http://desk.example.org".into())));
        assert_eq!(public_url("localhost:8080"), Ok(Some("http://localhost:8080".into())));
        assert_eq!(public_url("https://desk.example.org/"), Ok(Some("https://desk.example.org".into())));
        assert_eq!(public_url(""), Ok(None));
        for wrong in ["ftp://x", "http://", "http://a b", "https://u:p@host", "http://h/?q"] {
            assert!(public_url(wrong).is_err(), "{wrong}");
        }
        assert_eq!(server_url("wss://host:8443/base/"), Ok("wss://host:8443/base".into()));
        assert!(server_url("host:8080").is_err());
        assert!(server_url("").is_err());
    }

    #[test]
    fn paths_names_and_databases() {
        assert!(agent_path("/api/agent/ws").is_ok());
        for wrong in ["", "api", "/a b", "/a?b", "/{id}", "/a#b"] {
            assert!(agent_path(wrong).is_err(), "{wrong}");
        }
        assert!(client_id("pc1").is_ok());
        assert!(client_id("").is_err());
        assert!(client_id("pc\r\n1").is_err());
        assert!(allow_entry(" ").is_err());
        assert!(database_url("sqlite://data/x.db").is_ok());
        let error = database_url("postgres://u:secret@host/x").unwrap_err();
        assert!(error.contains("only sqlite://") && !error.contains("secret"));
    }
}
