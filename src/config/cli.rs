//! What the command lines of `serve`, `agent` and `admin` take, and how it becomes a configuration.
//!
//! A flag with a default in the file's reach stays `None` here until the file was asked, so the help names it in words.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipnet::{IpNet, Ipv4Net};

use super::file::{FileConfig, Limit};
use super::{
    AgentConfig, AgentProtocol, Config, ConfigError, DEFAULT_AGENT_PATH, DataConfig, DesktopConfig, DesktopReach,
    Environment, HttpConfig, IdentityConfig, Limits, LogConfig, LogFormat, OidcProvider, RoleLimits, SessionConfig,
    TunnelConfig, oidc, parse, process_environment, secret_from,
};

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_DATA_DIR: &str = "./data";
const DEFAULT_TUNNEL_BIND: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const DEFAULT_TUNNEL_PORTS: RangeInclusive<u16> = 10_000..=60_000;
const DEFAULT_TUNNEL_HOLD: Duration = Duration::from_secs(10);
const DEFAULT_SESSION_IDLE: Duration = Duration::from_secs(12 * 3600);
const DEFAULT_SESSION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
const DEFAULT_DRAIN: Duration = Duration::from_secs(10);
const DEFAULT_DESKTOP_PORTS: RangeInclusive<u16> = 7000..=8000;
const DEFAULT_DESKTOP_SUBNETS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 213, 0, 0), 16);
const DEFAULT_DESKTOP_PUBLISH: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const DEFAULT_PULL_LIMIT: Duration = Duration::from_secs(30 * 60);
const DEFAULT_READY_LIMIT: Duration = Duration::from_secs(2 * 60);
const DEFAULT_LOG: &str = "info";
const QUIET_LOG: &str = "warn";

/// A public URL, or nothing.
#[derive(Debug, Clone)]
struct PublicUrl(Option<String>);

impl PublicUrl {
    fn parse(text: &str) -> Result<Self, String> {
        parse::public_url(text).map(Self)
    }
}

/// A range of ports, both ends included.
#[derive(Debug, Clone)]
struct PortRange(RangeInclusive<u16>);

impl PortRange {
    fn parse(text: &str) -> Result<Self, String> {
        parse::port_range(text).map(Self)
    }
}

/// `dockway serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where the API and the agents' endpoint listen; port 0 takes any [default: 127.0.0.1:8080]
    #[arg(long, env = "DOCKWAY_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// The address under which people reach this server; a bare host name will do [default: from the request's host]
    #[arg(long, env = "DOCKER_HOST_URL", value_name = "URL", value_parser = PublicUrl::parse)]
    public_url: Option<PublicUrl>,

    /// The path of the agents' WebSocket [default: /api/agent/ws]
    #[arg(long, env = "DOCKWAY_AGENT_PATH", value_name = "PATH", value_parser = parse::agent_path)]
    agent_path: Option<String>,

    /// The address that tunnels listen on [default: 0.0.0.0]
    #[arg(long, env = "DOCKWAY_TUNNEL_BIND", value_name = "ADDRESS")]
    tunnel_bind: Option<IpAddr>,

    /// The ports that tunnels may have [default: 10000-60000]
    #[arg(long, env = "DOCKWAY_TUNNEL_PORTS", value_name = "FIRST-LAST", value_parser = PortRange::parse)]
    tunnel_ports: Option<PortRange>,

    /// How long a user of a tunnel waits for an agent that is away, in seconds [default: 10]
    #[arg(long, env = "DOCKWAY_TUNNEL_HOLD", value_name = "SECONDS", value_parser = parse::seconds)]
    tunnel_hold: Option<Duration>,

    /// How long a stop lets connections finish, in seconds [default: 10]
    #[arg(long, env = "DOCKWAY_DRAIN", value_name = "SECONDS", value_parser = parse::seconds)]
    drain: Option<Duration>,

    /// A reverse proxy whose X-Forwarded-For, -Proto and -Host are believed, as an address or a network; may be
    /// repeated, or separated by commas [default: none]
    #[arg(long, env = "DOCKWAY_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',')]
    #[arg(value_parser = parse::network)]
    trusted_proxies: Option<Vec<IpNet>>,

    /// The key that encrypts secrets in the database [default: DATA_DIR/secret.key]
    #[arg(long, env = "DOCKWAY_SECRET_KEY_FILE", value_name = "FILE")]
    secret_key_file: Option<PathBuf>,

    /// The password for the account `admin`, which the first start makes; the environment variable
    /// DOCKWAY_ADMIN_PASSWORD takes the password itself [default: made and printed once]
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,

    // What has a heading comes after all that has none: a heading holds for what follows.
    #[command(flatten)]
    desktops: DesktopArgs,

    #[command(flatten)]
    people: PeopleArgs,

    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    log: LogArgs,
}

/// How container desktops run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Desktops")]
pub struct DesktopArgs {
    /// The ports of the engine's host that desktops are published on [default: 7000-8000]
    #[arg(long, env = "DOCKWAY_DESKTOP_PORTS", value_name = "FIRST-LAST", value_parser = PortRange::parse)]
    desktop_ports: Option<PortRange>,

    /// How desktops are reached: through a port of the engine's host, or at the container's own address, for a server
    /// that runs in a container itself [default: port]
    #[arg(long, env = "DOCKWAY_DESKTOP_REACH", value_enum)]
    desktop_reach: Option<DesktopReach>,

    /// Where desktops get their networks from, a /28 each [default: 10.213.0.0/16]
    #[arg(long, env = "DOCKWAY_DESKTOP_SUBNETS", value_name = "NETWORK", value_parser = parse::subnets)]
    desktop_subnets: Option<Ipv4Net>,

    /// The address that desktops are published on; for a remote engine, its address [default: 127.0.0.1]
    #[arg(long, env = "DOCKWAY_DESKTOP_PUBLISH", value_name = "ADDRESS")]
    desktop_publish: Option<IpAddr>,

    /// How long pulling a desktop's image may take [default: 30m]
    #[arg(long, env = "DOCKWAY_DESKTOP_PULL_LIMIT", value_name = "TIME", value_parser = parse::duration)]
    desktop_pull_limit: Option<Duration>,

    /// How long a desktop may take from its start until it answers [default: 2m]
    #[arg(long, env = "DOCKWAY_DESKTOP_READY_LIMIT", value_name = "TIME", value_parser = parse::duration)]
    desktop_ready_limit: Option<Duration>,
}

impl DesktopArgs {
    fn merge(self, file: &FileConfig, environment: Environment<'_>) -> DesktopConfig {
        let ports = self.desktop_ports.map(|PortRange(range)| range).or(file.desktop_ports.clone());
        DesktopConfig {
            ports: ports.unwrap_or(DEFAULT_DESKTOP_PORTS),
            reach: self.desktop_reach.or(file.desktop_reach).unwrap_or(DesktopReach::Port),
            subnets: self.desktop_subnets.or(file.desktop_subnets).unwrap_or(DEFAULT_DESKTOP_SUBNETS),
            publish: self.desktop_publish.or(file.desktop_publish).unwrap_or(DEFAULT_DESKTOP_PUBLISH),
            pull_limit: self.desktop_pull_limit.or(file.desktop_pull_limit).unwrap_or(DEFAULT_PULL_LIMIT),
            ready_limit: self.desktop_ready_limit.or(file.desktop_ready_limit).unwrap_or(DEFAULT_READY_LIMIT),
            engine: environment("DOCKER_HOST").filter(|host| !host.is_empty()),
        }
    }
}

/// How long people stay signed in, and how much one person may have.
#[derive(Debug, Args)]
#[command(next_help_heading = "People")]
pub struct PeopleArgs {
    /// How long a browser stays signed in without any use, like 30m, 12h or 7d [default: 12h]
    #[arg(long, env = "DOCKWAY_SESSION_IDLE", value_name = "TIME", value_parser = parse::duration)]
    session_idle: Option<Duration>,

    /// How long a browser stays signed in at all [default: 7d]
    #[arg(long, env = "DOCKWAY_SESSION_LIFETIME", value_name = "TIME", value_parser = parse::duration)]
    session_lifetime: Option<Duration>,

    /// The most tunnels of one user; a number, or none for no limit [default: 20]
    #[arg(long, env = "DOCKWAY_USER_TUNNELS", value_name = "LIMIT", value_parser = limit)]
    user_tunnels: Option<Limit>,

    /// The most tunnels of one administrator [default: none]
    #[arg(long, env = "DOCKWAY_ADMIN_TUNNELS", value_name = "LIMIT", value_parser = limit)]
    admin_tunnels: Option<Limit>,

    /// The most desktops of one user [default: 3]
    #[arg(long, env = "DOCKWAY_USER_DESKTOPS", value_name = "LIMIT", value_parser = limit)]
    user_desktops: Option<Limit>,

    /// The most desktops of one administrator [default: 10]
    #[arg(long, env = "DOCKWAY_ADMIN_DESKTOPS", value_name = "LIMIT", value_parser = limit)]
    admin_desktops: Option<Limit>,

    /// The most agents of one user [default: 10]
    #[arg(long, env = "DOCKWAY_USER_AGENTS", value_name = "LIMIT", value_parser = limit)]
    user_agents: Option<Limit>,

    /// The most agents of one administrator [default: none]
    #[arg(long, env = "DOCKWAY_ADMIN_AGENTS", value_name = "LIMIT", value_parser = limit)]
    admin_agents: Option<Limit>,

    /// The most API tokens of one user [default: 20]
    #[arg(long, env = "DOCKWAY_USER_TOKENS", value_name = "LIMIT", value_parser = limit)]
    user_tokens: Option<Limit>,

    /// The most API tokens of one administrator [default: 100]
    #[arg(long, env = "DOCKWAY_ADMIN_TOKENS", value_name = "LIMIT", value_parser = limit)]
    admin_tokens: Option<Limit>,
}

fn limit(text: &str) -> Result<Limit, String> {
    parse::limit(text).map(Limit)
}

impl PeopleArgs {
    fn merge(self, file: &FileConfig, oidc: Vec<OidcProvider>) -> IdentityConfig {
        let limit = |flag: Option<Limit>, file: Option<Limit>, default| flag.or(file).map_or(default, |limit| limit.0);
        let sessions = SessionConfig {
            idle: self.session_idle.or(file.session_idle).unwrap_or(DEFAULT_SESSION_IDLE),
            lifetime: self.session_lifetime.or(file.session_lifetime).unwrap_or(DEFAULT_SESSION_LIFETIME),
        };
        let user = Limits {
            tunnels: limit(self.user_tunnels, file.user_tunnels, Some(20)),
            desktops: limit(self.user_desktops, file.user_desktops, Some(3)),
            agents: limit(self.user_agents, file.user_agents, Some(10)),
            tokens: limit(self.user_tokens, file.user_tokens, Some(20)),
        };
        let admin = Limits {
            tunnels: limit(self.admin_tunnels, file.admin_tunnels, None),
            desktops: limit(self.admin_desktops, file.admin_desktops, Some(10)),
            agents: limit(self.admin_agents, file.admin_agents, None),
            tokens: limit(self.admin_tokens, file.admin_tokens, Some(100)),
        };
        IdentityConfig { sessions, limits: RoleLimits { user, admin }, oidc }
    }
}

/// Where the data is: for `serve` and `admin` alike.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// The directory of the database and the key [default: ./data]
    #[arg(long, global = true, env = "DOCKWAY_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,

    /// The database [default: sqlite://DATA_DIR/dockway.db]
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,

    /// A TOML file with settings: the names of the flags of `serve` with _ for -, and sign-in providers
    #[arg(long, global = true, env = "DOCKWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What is logged, and how it looks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// How the log on standard error looks [default: auto]
    #[arg(long, global = true, env = "DOCKWAY_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,

    /// What is logged: a level, or directives like `info,dockway::tunnel=debug` [default: info; for admin: warn]
    #[arg(long, global = true, env = "DOCKWAY_LOG", value_name = "DIRECTIVES")]
    log: Option<String>,
}

/// `dockway agent`
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// The server's address, like https://dockway.example.org
    #[arg(long, env = "DOCKWAY_SERVER", value_name = "URL", value_parser = parse::server_url)]
    server: String,

    /// The name under which the agent was enrolled
    #[arg(long, env = "DOCKWAY_CLIENT_ID", value_name = "NAME", value_parser = parse::client_id)]
    client_id: String,

    /// A file with the agent's token; the environment variable DOCKWAY_TOKEN takes the token itself
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// A target that the server may ask for: HOST:PORT, where HOST is a name, `*.name`, an address or a CIDR (IPv6 in
    /// brackets) and PORT a number, a range or `*`; may be repeated, or separated by commas [default: all targets]
    #[arg(long, env = "DOCKWAY_ALLOW", value_name = "HOST:PORT", value_delimiter = ',')]
    #[arg(value_parser = parse::allow_entry)]
    allow: Vec<String>,

    /// The version of the protocol: json (1) or binary (2)
    #[arg(long, env = "DOCKWAY_PROTOCOL", value_enum, default_value = "binary")]
    protocol: AgentProtocol,

    /// The path of the server's WebSocket for agents
    #[arg(long, env = "DOCKWAY_AGENT_PATH", value_name = "PATH", value_parser = parse::agent_path)]
    #[arg(default_value = DEFAULT_AGENT_PATH)]
    agent_path: String,

    /// Certificates to trust beside the system's, PEM
    #[arg(long, env = "DOCKWAY_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,

    #[command(flatten)]
    log: LogArgs,
}

impl ServeArgs {
    /// Ask the file and the environment for what the flags left open.
    ///
    /// # Errors
    /// A file that cannot be read, or a value that no setting takes.
    pub fn resolve(self) -> Result<(Config, LogConfig), ConfigError> {
        self.resolve_in(&process_environment)
    }

    pub(super) fn resolve_in(self, environment: Environment<'_>) -> Result<(Config, LogConfig), ConfigError> {
        let file = FileConfig::read(self.data.config.as_deref())?;
        let log = self.log.merge(&file);
        let data = self.data.merge(&file)?;
        let providers = oidc::providers(file.oidc.clone(), environment)?;
        let identity = self.people.merge(&file, providers);
        let desktop = self.desktops.merge(&file, environment);
        let http = HttpConfig {
            listen: self.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            public_url: self.public_url.map_or(file.public_url, |PublicUrl(url)| url),
            agent_path: self.agent_path.or(file.agent_path).unwrap_or_else(|| DEFAULT_AGENT_PATH.into()),
            trusted_proxies: self.trusted_proxies.or(file.trusted_proxies).unwrap_or_default(),
        };
        let tunnel = TunnelConfig {
            bind: self.tunnel_bind.or(file.tunnel_bind).unwrap_or(DEFAULT_TUNNEL_BIND),
            ports: self
                .tunnel_ports
                .map(|PortRange(range)| range)
                .or(file.tunnel_ports)
                .unwrap_or(DEFAULT_TUNNEL_PORTS),
            hold: self.tunnel_hold.or(file.tunnel_hold).unwrap_or(DEFAULT_TUNNEL_HOLD),
            drain: self.drain.or(file.drain).unwrap_or(DEFAULT_DRAIN),
            desktop_subnets: desktop.subnets,
        };
        let given = secret_from(
            "--admin-password-file",
            self.admin_password_file.as_deref(),
            "DOCKWAY_ADMIN_PASSWORD",
            environment,
        )?;
        let admin_password = match (given, file.admin_password_file) {
            (None, Some(path)) => secret_from("admin_password_file", Some(&path), "", environment)?,
            (given, _) => given,
        };
        let default_key = data.data_dir.join("secret.key");
        let secret_key_file = self.secret_key_file.or(file.secret_key_file).unwrap_or(default_key);
        let DataLocation { data_dir, database_url } = data;
        let data = DataConfig { data_dir, database_url, secret_key_file, admin_password };
        Ok((Config { http, data, tunnel, desktop, identity }, log))
    }
}

/// Where the data is, once all were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataLocation {
    pub data_dir: PathBuf,
    pub database_url: String,
}

impl DataArgs {
    /// Ask the file for what the flags left open.
    ///
    /// # Errors
    /// A file that cannot be read, or a value that no setting takes.
    pub fn resolve(&self) -> Result<DataLocation, ConfigError> {
        self.merge(&FileConfig::read(self.config.as_deref())?)
    }

    fn merge(&self, file: &FileConfig) -> Result<DataLocation, ConfigError> {
        let data_dir = self.data_dir.clone().or_else(|| file.data_dir.clone());
        let data_dir = data_dir.unwrap_or_else(|| DEFAULT_DATA_DIR.into());
        let database_url = match self.database_url.as_deref().or(file.database_url.as_deref()) {
            // Only here, since clap and toml would repeat a wrong value, and it may hold a password.
            Some(url) => parse::database_url(url).map_err(|reason| ConfigError::invalid("--database-url", reason))?,
            None => {
                let path = data_dir.join("dockway.db");
                let text = path.to_str().ok_or_else(|| ConfigError::invalid("--data-dir", "the path is not UTF-8"))?;
                format!("sqlite://{text}")
            }
        };
        Ok(DataLocation { data_dir, database_url })
    }
}

impl LogArgs {
    fn merge(self, file: &FileConfig) -> LogConfig {
        LogConfig {
            format: self.log_format.or(file.log_format).unwrap_or(LogFormat::Auto),
            directives: self.log.or_else(|| file.log.clone()).unwrap_or_else(|| DEFAULT_LOG.into()),
        }
    }

    /// For a command that says itself what it did: warnings and worse, unless told otherwise.
    pub fn quiet(&self) -> LogConfig {
        LogConfig {
            format: self.log_format.unwrap_or(LogFormat::Auto),
            directives: self.log.clone().unwrap_or_else(|| QUIET_LOG.into()),
        }
    }
}

impl AgentArgs {
    /// Read the files that the flags name.
    ///
    /// # Errors
    /// A file that cannot be read; no token, or an empty one.
    pub fn resolve(self) -> Result<(AgentConfig, LogConfig), ConfigError> {
        self.resolve_in(&process_environment)
    }

    pub(super) fn resolve_in(self, environment: Environment<'_>) -> Result<(AgentConfig, LogConfig), ConfigError> {
        let token = secret_from("--token-file", self.token_file.as_deref(), "DOCKWAY_TOKEN", environment)?;
        let token = token.ok_or_else(|| ConfigError::invalid("--token-file", "give it, or set DOCKWAY_TOKEN"))?;
        if token.0.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(ConfigError::invalid("--token-file", "the token has characters that no token has"));
        }
        if let Some(path) = &self.ca_file {
            super::read_file("--ca-file", path)?;
        }
        let config = AgentConfig {
            server: self.server,
            client_id: self.client_id,
            token,
            allow: self.allow,
            protocol: self.protocol,
            agent_path: self.agent_path,
            ca_file: self.ca_file,
        };
        Ok((config, self.log.merge(&FileConfig::default())))
    }
}
