//! Docker, and what speaks its API: Podman's compatible socket.

use super::EngineError;

/// An engine reached as `DOCKER_HOST` says.
pub struct DockerEngine {
    host: Option<String>,
}

impl DockerEngine {
    /// `host` as in `DOCKER_HOST`: `unix://`, `tcp://`, `http://` or `https://`; None: the local socket.
    ///
    /// # Errors
    /// An address that cannot be understood. Whether anything answers there shows later.
    pub fn new(host: Option<&str>) -> Result<Self, EngineError> {
        Ok(Self { host: host.map(str::to_owned) })
    }
}

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream::{BoxStream, once};

use super::{
    Answer, ContainerSpec, Created, Engine, EngineEvent, EngineInfo, Inspected, Inventory, LayerNews, NetworkSpec,
};

impl DockerEngine {
    fn away<T: Send + 'static>(&self) -> Answer<'_, T> {
        Box::pin(ready(Err(EngineError::Unavailable(format!("{:?}", self.host)))))
    }
}

impl Engine for DockerEngine {
    fn hello(&self) -> Answer<'_, EngineInfo> {
        self.away()
    }

    fn has_image<'a>(&'a self, _: &'a str) -> Answer<'a, bool> {
        self.away()
    }

    fn pull<'a>(&'a self, _: &'a str) -> BoxStream<'a, Result<LayerNews, EngineError>> {
        once(self.away()).boxed()
    }

    fn create_network<'a>(&'a self, _: &'a NetworkSpec) -> Answer<'a, ()> {
        self.away()
    }

    fn remove_network<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        self.away()
    }

    fn join_network<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        self.away()
    }

    fn create<'a>(&'a self, _: &'a ContainerSpec) -> Answer<'a, Created> {
        self.away()
    }

    fn start<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        self.away()
    }

    fn inspect<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, Option<Inspected>> {
        self.away()
    }

    fn stop<'a>(&'a self, _: &'a str, _: Duration) -> Answer<'a, ()> {
        self.away()
    }

    fn remove<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        self.away()
    }

    fn remove_volume<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        self.away()
    }

    fn logs<'a>(&'a self, _: &'a str, _: u32) -> Answer<'a, String> {
        self.away()
    }

    fn inventory<'a>(&'a self, _: &'a str) -> Answer<'a, Inventory> {
        self.away()
    }

    fn events<'a>(&'a self, _: &'a str) -> BoxStream<'a, Result<EngineEvent, EngineError>> {
        once(self.away()).boxed()
    }
}
