//! What runs containers, behind a trait. Docker and what speaks its API is [`docker`].

pub mod docker;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use ipnet::Ipv4Net;

use super::progress::LayerNews;

/// The labels that tell what belongs to whom. The first holds the installation's id: nothing without it is touched.
pub const LABEL_INSTALLATION: &str = "dockway.installation";
pub const LABEL_DESKTOP: &str = "dockway.desktop";
pub const LABEL_OWNER: &str = "dockway.owner";
pub const LABEL_TYPE: &str = "dockway.type";

/// What an engine puts into each of its containers: Docker, Podman.
const MARKS_OF_A_CONTAINER: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// Whether this server runs in a container itself, and has to join a desktop's network to reach it.
pub fn runs_in_container() -> bool {
    MARKS_OF_A_CONTAINER.iter().any(|mark| Path::new(mark).exists())
}

/// The answer of an engine.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, EngineError>>;

/// What went wrong, told apart as far as a caller can act on it. The text is the engine's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// It does not answer, or not like an engine.
    #[error("the container engine does not answer: {0}")]
    Unavailable(String),
    #[error("{0}")]
    NoSuchImage(String),
    /// Somebody else has the port of the host.
    #[error("port {0} is taken on the engine's host")]
    PortTaken(u16),
    /// Another network overlaps.
    #[error("the network {0} overlaps with another one")]
    SubnetTaken(Ipv4Net),
    /// A container or network of this name exists.
    #[error("{0}")]
    NameTaken(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Other(String),
}

/// Which engine answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// `Docker` or `Podman`, as far as it says.
    pub name: String,
    pub version: String,
    /// Negotiated, like `1.41`.
    pub api_version: String,
}

/// A network of one desktop's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    pub name: String,
    pub subnet: Ipv4Net,
    pub labels: Vec<(String, String)>,
}

/// A named volume and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub volume: String,
    pub path: String,
    pub labels: Vec<(String, String)>,
}

/// A port of the host that leads to the container's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    pub address: IpAddr,
    pub host_port: u16,
    pub container_port: u16,
}

/// What shall run. Whatever stands here is applied, or named in [`Created::limits_skipped`].
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    /// None: the image's own.
    pub command: Option<Vec<String>>,
    pub env: Vec<(String, String)>,
    pub labels: Vec<(String, String)>,
    pub hostname: String,
    /// Name of the network.
    pub network: String,
    /// None: reached at its own address.
    pub publish: Option<Publish>,
    pub home: Option<Home>,
    pub shm_bytes: Option<u64>,
    pub cpus: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<u64>,
    /// All others are dropped.
    pub cap_add: Vec<String>,
    pub no_new_privileges: bool,
    pub seccomp: Option<String>,
    pub extra_hosts: Vec<String>,
}

/// A container that was made, not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    pub container_id: String,
    /// Names of the limits that this engine cannot apply.
    pub limits_skipped: Vec<String>,
}

/// A container as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    pub container_id: String,
    pub running: bool,
    /// Somebody is removing it.
    pub removing: bool,
    pub exit_code: i64,
    pub out_of_memory: bool,
    /// The engine's own words on a failed start.
    pub error: String,
    /// In the desktop's own network.
    pub address: Option<Ipv4Addr>,
}

/// A container of this installation, whether a row knows it or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub container_id: String,
    pub desktop_id: String,
    pub running: bool,
}

/// A network of this installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundNetwork {
    pub name: String,
    pub desktop_id: String,
    pub subnet: Option<Ipv4Net>,
}

/// All that carries this installation's label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    pub containers: Vec<Found>,
    pub networks: Vec<FoundNetwork>,
}

/// Something happened to a container of this installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    pub container_id: String,
    pub desktop_id: String,
    pub what: Happening,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    Started,
    /// It ended with this exit code.
    Died {
        exit_code: i64,
    },
    OutOfMemory,
    /// Somebody sent it a signal through the engine, as `docker stop` and `docker kill` do.
    Killed {
        signal: String,
    },
    /// `docker stop` has done its work.
    Stopped,
    /// It was removed.
    Destroyed,
    Healthy(bool),
}

/// Runs containers. All calls may be made at once, from any thread; each answers within the engine's own limits.
pub trait Engine: Send + Sync + 'static {
    /// Whether it answers, and which it is.
    fn hello(&self) -> Answer<'_, EngineInfo>;

    fn has_image<'a>(&'a self, image: &'a str) -> Answer<'a, bool>;

    /// Fetch an image. The stream ends when it is there, or with an error. Dropping it gives up.
    fn pull<'a>(&'a self, image: &'a str) -> BoxStream<'a, Result<LayerNews, EngineError>>;

    fn create_network<'a>(&'a self, network: &'a NetworkSpec) -> Answer<'a, ()>;

    /// One that is gone already is fine.
    fn remove_network<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Attach the container that this server runs in, if it runs in one, so that it reaches those in the network.
    fn join_network<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Make a container, and its home's volume where that is missing.
    fn create<'a>(&'a self, container: &'a ContainerSpec) -> Answer<'a, Created>;

    fn start<'a>(&'a self, container_id: &'a str) -> Answer<'a, ()>;

    /// None: there is no such container. `network`: whose address is wanted.
    fn inspect<'a>(&'a self, container_id: &'a str, network: &'a str) -> Answer<'a, Option<Inspected>>;

    /// Ask it to end, and kill it after `grace`. One that has ended or is gone is fine.
    fn stop<'a>(&'a self, container_id: &'a str, grace: Duration) -> Answer<'a, ()>;

    /// Kill and remove it, with its anonymous volumes; by id or name. One that is gone already is fine.
    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()>;

    /// One that is gone already is fine.
    fn remove_volume<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// The last lines that it wrote, both streams.
    fn logs<'a>(&'a self, container_id: &'a str, lines: u32) -> Answer<'a, String>;

    /// What carries this installation's label.
    fn inventory<'a>(&'a self, installation: &'a str) -> Answer<'a, Inventory>;

    /// What happens to containers of this installation from this call on, however late the stream is first looked at.
    /// Ends with an error when the connection does.
    fn events<'a>(&'a self, installation: &'a str) -> BoxStream<'a, Result<EngineEvent, EngineError>>;
}
