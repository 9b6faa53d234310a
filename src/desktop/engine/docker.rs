//! Docker, and what speaks its API: Podman's compatible socket.
//!
//! ```text
//! docker        the calls of the trait
//! ├─ address    DOCKER_HOST
//! ├─ errors     what the engine's words mean
//! ├─ reference  image names
//! ├─ pull       an image, layer by layer
//! ├─ create     what a container is made of
//! ├─ limits     what an engine cannot do, and does without
//! ├─ containers start, look, stop, remove, logs, what is there
//! ├─ networks   and this server's own container
//! └─ events     what happens
//! ```
//!
//! Nothing is connected before a call, and each call has a connection of its own: an engine that goes and comes back,
//! or comes back as another version, needs no care. The paths of the requests name no version, which every engine
//! takes as its own, so that none is ever too new or too old for it.

mod address;
mod containers;
mod create;
mod errors;
mod events;
mod limits;
mod networks;
mod pull;
mod reference;

use std::path::Path;
use std::sync::atomic::AtomicU16;
use std::time::Duration;

use bollard::models::SystemVersion;
use bollard::{API_DEFAULT_VERSION, Docker, errors::Error};
use futures_util::stream::BoxStream;
use tokio::time::timeout;

use self::address::Address;
use self::errors::{About, told};
use super::{
    Answer, ContainerSpec, Created, Engine, EngineError, EngineEvent, EngineInfo, Inspected, Inventory, LayerNews,
    NetworkSpec,
};

/// How long an ordinary call may take.
const ORDINARY: Duration = Duration::from_secs(30);

/// How long it may take to make, start or remove a container, which moves files and waits for processes.
const LONG: Duration = Duration::from_secs(120);

/// An engine reached as `DOCKER_HOST` says.
pub struct DockerEngine {
    address: Address,
    /// What `limits` has learned of it.
    learned: AtomicU16,
}

impl DockerEngine {
    /// `host` as in `DOCKER_HOST`: `unix://`, `tcp://`, `http://` or `https://`; None: the local socket. TLS as
    /// `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` say.
    ///
    /// # Errors
    /// An address that cannot be understood, or certificates that cannot be read. Whether anything answers there shows
    /// later.
    pub fn new(host: Option<&str>) -> Result<Self, EngineError> {
        Self::at(host, address::certificates(host).as_deref())
    }

    /// As [`new`](Self::new), with the directory of `ca.pem`, `cert.pem` and `key.pem` given; None: no TLS.
    ///
    /// # Errors
    /// As there.
    pub fn at(host: Option<&str>, certificates: Option<&Path>) -> Result<Self, EngineError> {
        Ok(Self { address: Address::new(host, certificates)?, learned: AtomicU16::new(0) })
    }

    /// Ask the engine something, for at most `limit`.
    async fn ask<T, F>(&self, limit: Duration, about: About, call: impl FnOnce(Docker) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let docker = self.docker()?;
        let answer = timeout(limit, call(docker)).await.unwrap_or(Err(Error::RequestTimeoutError));
        answer.map_err(|error| self.failed(&error, about))
    }

    fn docker(&self) -> Result<Docker, EngineError> {
        self.address.connect().map_err(|error| self.failed(&error, About::Engine))
    }

    /// What an error means; one of the connection names the address.
    fn failed(&self, error: &Error, about: About) -> EngineError {
        match told(error, about) {
            EngineError::Unavailable(reason) => EngineError::Unavailable(format!("{}: {reason}", self.address)),
            other => other,
        }
    }

    async fn ask_hello(&self) -> Result<EngineInfo, EngineError> {
        let answer = self.ask(ORDINARY, About::Engine, |docker| async move { docker.version().await }).await;
        match answer {
            Ok(version) => Ok(introduce(version)),
            Err(error) => {
                // What comes back may be another engine.
                self.forget_limits();
                Err(error)
            }
        }
    }
}

fn introduce(version: SystemVersion) -> EngineInfo {
    let components = version.components.unwrap_or_default();
    let podman = components.iter().any(|component| component.name.contains("Podman"));
    EngineInfo {
        name: if podman { "Podman" } else { "Docker" }.to_owned(),
        version: version.version.unwrap_or_default(),
        api_version: negotiated(version.api_version.unwrap_or_default()),
    }
}

/// The lower of the engine's version and the newest that is understood here.
fn negotiated(theirs: String) -> String {
    let ours = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
    let parts = theirs.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    match parts {
        Some(parts) if parts > ours => API_DEFAULT_VERSION.to_string(),
        _ => theirs,
    }
}

/// For what is as good when it was not there.
fn gone_is_fine(error: EngineError) -> Result<(), EngineError> {
    match error {
        EngineError::NotFound(_) => Ok(()),
        other => Err(other),
    }
}

impl Engine for DockerEngine {
    fn hello(&self) -> Answer<'_, EngineInfo> {
        Box::pin(self.ask_hello())
    }

    fn has_image<'a>(&'a self, image: &'a str) -> Answer<'a, bool> {
        Box::pin(self.image_is_here(image))
    }

    fn pull<'a>(&'a self, image: &'a str) -> BoxStream<'a, Result<LayerNews, EngineError>> {
        self.pull_layers(image)
    }

    fn create_network<'a>(&'a self, network: &'a NetworkSpec) -> Answer<'a, ()> {
        Box::pin(self.make_network(network))
    }

    fn remove_network<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(self.unmake_network(name))
    }

    fn join_network<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(self.join(name))
    }

    fn create<'a>(&'a self, container: &'a ContainerSpec) -> Answer<'a, Created> {
        Box::pin(self.make_container(container))
    }

    fn start<'a>(&'a self, container_id: &'a str) -> Answer<'a, ()> {
        Box::pin(self.start_container(container_id))
    }

    fn inspect<'a>(&'a self, container_id: &'a str, network: &'a str) -> Answer<'a, Option<Inspected>> {
        Box::pin(self.look(container_id, network))
    }

    fn stop<'a>(&'a self, container_id: &'a str, grace: Duration) -> Answer<'a, ()> {
        Box::pin(self.stop_container(container_id, grace))
    }

    fn remove<'a>(&'a self, container: &'a str) -> Answer<'a, ()> {
        Box::pin(self.remove_container(container))
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(self.unmake_volume(name))
    }

    fn logs<'a>(&'a self, container_id: &'a str, lines: u32) -> Answer<'a, String> {
        Box::pin(self.last_lines(container_id, lines))
    }

    fn inventory<'a>(&'a self, installation: &'a str) -> Answer<'a, Inventory> {
        Box::pin(self.take_stock(installation))
    }

    fn events<'a>(&'a self, installation: &'a str) -> BoxStream<'a, Result<EngineEvent, EngineError>> {
        self.follow(installation)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[test]
    fn the_lower_version_counts() {
        for (theirs, agreed) in [("1.41", "1.41"), ("1.9", "1.9"), ("", ""), ("odd", "odd")] {
            assert_eq!(negotiated(theirs.into()), agreed);
        }
        assert_eq!(negotiated("1.999".into()), API_DEFAULT_VERSION.to_string());
        assert_eq!(negotiated("2.0".into()), API_DEFAULT_VERSION.to_string());
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_never_answers_is_not_waited_for() {
        let engine = DockerEngine::at(Some("tcp://127.0.0.1:1"), None).unwrap();
        let answer = engine.ask(ORDINARY, About::Thing, |_| pending::<Result<(), Error>>()).await;
        assert_eq!(answer, Err(EngineError::Unavailable("tcp://127.0.0.1:1: no answer in time".into())));
    }

    #[tokio::test]
    async fn without_an_engine_it_says_where_none_is() {
        let engine = DockerEngine::new(Some("unix:///nonexistent/engine.sock")).unwrap();
        let Err(EngineError::Unavailable(reason)) = engine.hello().await else { panic!("nobody is there") };
        assert!(reason.starts_with("unix:///nonexistent/engine.sock: "), "{reason}");
    }
}
