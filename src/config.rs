//! One `Config` for `serve`, with a part for each subtree. Flag beats environment variable beats TOML file.
//!
//! `cli` holds what the command line takes, `file` what the TOML file takes, `oidc` its tables of providers, `parse`
//! what both accept as a value.

pub mod cli;
mod file;
mod oidc;
pub(crate) mod parse;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

/// Where agents open their WebSocket unless the settings say otherwise.
pub const DEFAULT_AGENT_PATH: &str = "/api/agent/ws";

/// Everything `dockway serve` can be told.
#[derive(Debug, Clone)]
pub struct Config {
    pub http: HttpConfig,
    pub data: DataConfig,
    pub tunnel: TunnelConfig,
    pub desktop: DesktopConfig,
    pub identity: IdentityConfig,
}

#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    /// With its scheme and without a slash at its end.
    pub public_url: Option<String>,
    /// Where agents open their WebSocket: [`DEFAULT_AGENT_PATH`] unless a CDN or proxy wants another path.
    pub agent_path: String,
    /// Proxies whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Accounts and how people sign in.
#[derive(Debug, Clone)]
pub struct IdentityConfig {
    pub sessions: SessionConfig,
    pub limits: RoleLimits,
    pub oidc: Vec<OidcProvider>,
}

/// How long a browser stays signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// Without any use, 12 hours.
    pub idle: Duration,
    /// In all, 7 days.
    pub lifetime: Duration,
}

impl SessionConfig {
    pub fn idle_ms(self) -> i64 {
        i64::try_from(self.idle.as_millis()).unwrap_or(i64::MAX)
    }

    pub fn lifetime_ms(self) -> i64 {
        i64::try_from(self.lifetime.as_millis()).unwrap_or(i64::MAX)
    }
}

/// How many things one person may have; None: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub tunnels: Option<u32>,
    pub desktops: Option<u32>,
    pub agents: Option<u32>,
    pub tokens: Option<u32>,
}

/// The limits of each role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleLimits {
    pub user: Limits,
    pub admin: Limits,
}

/// Somebody else who knows people and lets them sign in here, by OpenID Connect.
#[derive(Debug, Clone)]
pub struct OidcProvider {
    /// Part of URLs: `/api/oidc/{name}/start`.
    pub name: String,
    /// What the button for it says.
    pub label: String,
    /// Where `/.well-known/openid-configuration` stands.
    pub issuer: String,
    pub client_id: String,
    /// None: a public client, with PKCE alone.
    pub client_secret: Option<Secret>,
    /// Beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that an account's name is made from, `preferred_username`.
    pub username_claim: String,
    /// The claim that lists a person's groups.
    pub groups_claim: Option<String>,
    /// The group whose members are administrators.
    pub admin_group: Option<String>,
    /// Whether somebody without an account gets one.
    pub sign_up: bool,
    /// Certificates to trust beside the system's, PEM.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct DataConfig {
    pub data_dir: PathBuf,
    pub database_url: String,
    pub secret_key_file: PathBuf,
    pub admin_password: Option<Secret>,
}

#[derive(Debug, Clone)]
pub struct TunnelConfig {
    /// The address that tunnels listen on unless they name their own.
    pub bind: IpAddr,
    pub ports: RangeInclusive<u16>,
    /// How long a user waits for an agent that is away, 10 s.
    pub hold: Duration,
    /// How long a graceful stop lets channels finish, 10 s.
    pub drain: Duration,
    /// Where desktops' networks are: no desktop uses a tunnel.
    pub desktop_subnets: Ipv4Net,
}

/// How containers run and are reached.
#[derive(Debug, Clone)]
pub struct DesktopConfig {
    /// Ports of the engine's host that desktops are published on.
    pub ports: RangeInclusive<u16>,
    pub reach: DesktopReach,
    /// Each desktop has a /28 of it for a network of its own.
    pub subnets: Ipv4Net,
    /// The address that the engine publishes ports on; with a remote engine, its own.
    pub publish: IpAddr,
    /// How long pulling an image may take, 30 min.
    pub pull_limit: Duration,
    /// How long a container may take from its start to its first good answer, 2 min.
    pub ready_limit: Duration,
    /// `DOCKER_HOST`; None: the local socket.
    pub engine: Option<String>,
}

/// How the server reaches a desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesktopReach {
    /// Through a port of the engine's host.
    Port,
    /// At the container's own address, without any port of the host.
    Network,
}

/// Everything `dockway agent` can be told.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// `http`, `https`, `ws` or `wss`, without a slash at its end.
    pub server: String,
    pub client_id: String,
    pub token: Secret,
    /// The targets that it may connect to, as they were written; empty means all.
    pub allow: Vec<String>,
    pub protocol: AgentProtocol,
    pub agent_path: String,
    /// Certificates to trust beside the system's, PEM.
    pub ca_file: Option<PathBuf>,
}

/// Which version of the protocol an agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AgentProtocol {
    /// Version 1: text frames.
    Json,
    /// Version 2: binary frames with flow control.
    Binary,
}

/// What is logged, and how it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// Directives of tracing's `EnvFilter`.
    pub directives: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for each event, coloured on a terminal.
    Auto,
    /// Several lines for each event, coloured on a terminal.
    Pretty,
    /// A JSON object for each event.
    Json,
}

/// A value that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A setting that cannot be taken as it is.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{setting}: cannot read {}: {source}", path.display())]
    Unreadable { setting: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{setting}: {reason}")]
    Invalid { setting: &'static str, reason: String },
}

impl ConfigError {
    fn invalid(setting: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { setting, reason: reason.into() }
    }
}

/// The text of a file that a setting names.
fn read_file(setting: &'static str, path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { setting, path: path.to_owned(), source })
}

/// A secret without the white space around it, which an editor or `echo` adds.
fn secret(setting: &'static str, text: &str) -> Result<Secret, ConfigError> {
    match text.trim() {
        "" => Err(ConfigError::invalid(setting, "the secret is empty")),
        trimmed => Ok(Secret(trimmed.to_owned())),
    }
}

/// The environment. Tests pass their own.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A secret from the file that a flag names, else from the environment variable that holds the secret itself. Secrets
/// have no flag of their own, since the system shows command lines to everybody.
fn secret_from(
    flag: &'static str,
    path: Option<&Path>,
    variable: &'static str,
    environment: Environment<'_>,
) -> Result<Option<Secret>, ConfigError> {
    if let Some(path) = path {
        return secret(flag, &read_file(flag, path)?).map(Some);
    }
    environment(variable).map(|text| secret(variable, &text)).transpose()
}

fn process_environment(variable: &str) -> Option<String> {
    // What is not UTF-8 stays a wrong secret instead of none.
    std::env::var_os(variable).map(|value| value.to_string_lossy().into_owned())
}

#[cfg(test)]
impl TunnelConfig {
    /// On the loopback, with these ports, and nobody waits long.
    pub fn for_tests(ports: RangeInclusive<u16>) -> Self {
        let (hold, drain) = (Duration::from_secs(60), Duration::from_secs(10));
        let desktop_subnets = DesktopConfig::for_tests().subnets;
        Self { bind: [127, 0, 0, 1].into(), ports, hold, drain, desktop_subnets }
    }
}

#[cfg(test)]
impl DesktopConfig {
    /// With an engine that is not there.
    pub fn for_tests() -> Self {
        Self {
            ports: 7000..=8000,
            reach: DesktopReach::Port,
            subnets: Ipv4Net::new_assert([10, 213, 0, 0].into(), 16),
            publish: [127, 0, 0, 1].into(),
            pull_limit: Duration::from_secs(60),
            ready_limit: Duration::from_secs(60),
            engine: Some("unix:///nonexistent/engine.sock".into()),
        }
    }
}

#[cfg(test)]
mod tests;
