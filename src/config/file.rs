//! The TOML file of `serve` and `admin`: the flags' names in snake_case. What it does not name stays open.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::oidc::OidcTable;
use super::{ConfigError, DesktopReach, LogFormat, parse, read_file};

/// What the file says. A path in it is taken from the working directory, like one on the command line.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    pub listen: Option<SocketAddr>,
    #[serde(deserialize_with = "public_url")]
    pub public_url: Option<String>,
    #[serde(deserialize_with = "agent_path")]
    pub agent_path: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub database_url: Option<String>,
    pub secret_key_file: Option<PathBuf>,
    pub admin_password_file: Option<PathBuf>,
    pub tunnel_bind: Option<IpAddr>,
    #[serde(deserialize_with = "port_range")]
    pub tunnel_ports: Option<RangeInclusive<u16>>,
    #[serde(deserialize_with = "seconds")]
    pub tunnel_hold: Option<Duration>,
    #[serde(deserialize_with = "seconds")]
    pub drain: Option<Duration>,
    #[serde(deserialize_with = "port_range")]
    pub desktop_ports: Option<RangeInclusive<u16>>,
    pub desktop_reach: Option<DesktopReach>,
    #[serde(deserialize_with = "subnets")]
    pub desktop_subnets: Option<Ipv4Net>,
    pub desktop_publish: Option<IpAddr>,
    #[serde(deserialize_with = "duration")]
    pub desktop_pull_limit: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub desktop_ready_limit: Option<Duration>,
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Option<Vec<IpNet>>,
    #[serde(deserialize_with = "duration")]
    pub session_idle: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub session_lifetime: Option<Duration>,
    pub user_tunnels: Option<Limit>,
    pub admin_tunnels: Option<Limit>,
    pub user_desktops: Option<Limit>,
    pub admin_desktops: Option<Limit>,
    pub user_agents: Option<Limit>,
    pub admin_agents: Option<Limit>,
    pub user_tokens: Option<Limit>,
    pub admin_tokens: Option<Limit>,
    /// Each `[[oidc]]` table.
    pub oidc: Vec<OidcTable>,
    pub log: Option<String>,
    pub log_format: Option<LogFormat>,
}

impl FileConfig {
    /// # Errors
    /// The file cannot be read, is not TOML, or has a key or value that no setting takes.
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = read_file("--config", path)?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::invalid("--config", format!("{}: {error}", path.display()).trim_end()))
    }
}

/// A string in the file, understood as the command line understands it.
fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    understand: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    understand(&text).map(Some).map_err(D::Error::custom)
}

fn public_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    text(deserializer, parse::public_url).map(Option::flatten)
}

fn agent_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    text(deserializer, parse::agent_path)
}

fn port_range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RangeInclusive<u16>>, D::Error> {
    text(deserializer, parse::port_range)
}

/// A number in the file, within the bounds that the command line has.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let number = u64::deserialize(deserializer)?;
    parse::seconds(&number.to_string()).map(Some).map_err(D::Error::custom)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    text(deserializer, parse::duration)
}

fn subnets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ipv4Net>, D::Error> {
    text(deserializer, parse::subnets)
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<IpNet>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parsed: Result<Vec<_>, _> = texts.iter().map(|text| parse::network(text)).collect();
    parsed.map(Some).map_err(D::Error::custom)
}

/// The most of something in the file: a number, or `"none"`.
#[derive(Debug, Clone, Copy)]
pub struct Limit(pub Option<u32>);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(Some(number))),
            Written::Word(word) => parse::limit(&word).map(Self).map_err(D::Error::custom),
        }
    }
}
