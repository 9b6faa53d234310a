//! Containers that are made: start, look, stop, remove, what they wrote, and which there are.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum, Network,
};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, StopContainerOptionsBuilder,
};
use futures_util::StreamExt;
use tokio::time::sleep;

use super::errors::{About, says_port_taken};
use super::{DockerEngine, EngineError, Inspected, Inventory, LONG, ORDINARY, gone_is_fine};
use crate::desktop::engine::{Found, FoundNetwork, LABEL_DESKTOP, LABEL_INSTALLATION};

/// Bytes of a container's output that are handed on.
const LOG_LENGTH: usize = 64 * 1024;

/// How often to look whether a container is gone that somebody else is removing.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl DockerEngine {
    pub(super) async fn start_container(&self, id: &str) -> Result<(), EngineError> {
        let started =
            self.ask(LONG, About::Thing, |docker| async move { docker.start_container(id, None).await }).await;
        match started {
            Err(EngineError::Other(message)) if says_port_taken(&message) => Err(self.port_taken(id, message).await),
            // The container is there: what is missing is its network.
            Err(EngineError::NotFound(message)) if message.contains("network") => Err(EngineError::Other(message)),
            other => other,
        }
    }

    /// A container publishes one port at most, so that is the one.
    async fn port_taken(&self, id: &str, message: String) -> EngineError {
        let port = self.inspected(id).await.ok().flatten().and_then(|container| published(&container));
        port.map_or(EngineError::Other(message), EngineError::PortTaken)
    }

    async fn inspected(&self, id: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        let found =
            self.ask(ORDINARY, About::Thing, |docker| async move { docker.inspect_container(id, None).await }).await;
        match found {
            Ok(container) => Ok(Some(container)),
            Err(EngineError::NotFound(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    pub(super) async fn look(&self, id: &str, network: &str) -> Result<Option<Inspected>, EngineError> {
        Ok(self.inspected(id).await?.map(|container| as_inspected(id, network, container)))
    }

    pub(super) async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let limit = grace.saturating_add(ORDINARY);
        self.ask(limit, About::Thing, |docker| async move { docker.stop_container(id, Some(options)).await })
            .await
            .or_else(gone_is_fine)
    }

    pub(super) async fn remove_container(&self, container: &str) -> Result<(), EngineError> {
        self.ask(LONG, About::Thing, |docker| async move { remove(&docker, container).await })
            .await
            .or_else(gone_is_fine)
    }

    pub(super) async fn unmake_volume(&self, name: &str) -> Result<(), EngineError> {
        self.ask(
            LONG,
            About::Thing,
            |docker| async move { docker.remove_volume(name, None::<RemoveVolumeOptions>).await },
        )
        .await
        .or_else(gone_is_fine)
    }

    pub(super) async fn last_lines(&self, id: &str, lines: u32) -> Result<String, EngineError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&lines.to_string()).build();
        self.ask(ORDINARY, About::Thing, |docker| async move {
            let mut output = docker.logs(id, Some(options));
            let mut end = VecDeque::new();
            while let Some(piece) = output.next().await {
                keep_end(&mut end, &piece?.into_bytes());
            }
            Ok(as_text(end))
        })
        .await
    }

    pub(super) async fn take_stock(&self, installation: &str) -> Result<Inventory, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{LABEL_INSTALLATION}={installation}")])]);
        let of_containers = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let of_networks = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let containers = self
            .ask(ORDINARY, About::Thing, |docker| async move { docker.list_containers(Some(of_containers)).await })
            .await?;
        let networks = self
            .ask(ORDINARY, About::Thing, |docker| async move { docker.list_networks(Some(of_networks)).await })
            .await?;
        Ok(Inventory {
            containers: containers.into_iter().filter_map(as_found).collect(),
            networks: networks.into_iter().filter_map(as_found_network).collect(),
        })
    }
}

/// Remove a container, and wait when another removal is under way.
async fn remove(docker: &Docker, container: &str) -> Result<(), Error> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    loop {
        match docker.remove_container(container, Some(options.clone())).await {
            Err(Error::DockerResponseServerError { message, .. }) if message.contains("already in progress") => {
                sleep(LOOK_AGAIN).await;
            }
            other => return other,
        }
    }
}

fn published(container: &ContainerInspectResponse) -> Option<u16> {
    let bindings = container.host_config.as_ref()?.port_bindings.as_ref()?;
    bindings.values().flatten().flatten().find_map(|binding| binding.host_port.as_ref()?.parse().ok())
}

fn as_inspected(id: &str, network: &str, container: ContainerInspectResponse) -> Inspected {
    let state = container.state.unwrap_or_default();
    let networks = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let address = networks.get(network).and_then(|endpoint| endpoint.ip_address.as_ref()?.parse().ok());
    Inspected {
        container_id: container.id.unwrap_or_else(|| id.to_owned()),
        running: state.running.unwrap_or_default(),
        removing: matches!(state.status, Some(ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD)),
        exit_code: state.exit_code.unwrap_or_default(),
        out_of_memory: state.oom_killed.unwrap_or_default(),
        error: state.error.unwrap_or_default(),
        address,
    }
}

fn as_found(container: ContainerSummary) -> Option<Found> {
    Some(Found {
        container_id: container.id?,
        desktop_id: desktop(container.labels),
        running: container.state == Some(ContainerSummaryStateEnum::RUNNING),
    })
}

fn as_found_network(network: Network) -> Option<FoundNetwork> {
    let ranges = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let subnet = ranges.into_iter().find_map(|range| range.subnet?.parse().ok());
    Some(FoundNetwork { name: network.name?, desktop_id: desktop(network.labels), subnet })
}

fn desktop(labels: Option<HashMap<String, String>>) -> String {
    labels.and_then(|mut labels| labels.remove(LABEL_DESKTOP)).unwrap_or_default()
}

fn keep_end(end: &mut VecDeque<u8>, piece: &[u8]) {
    end.extend(piece);
    end.drain(..end.len().saturating_sub(LOG_LENGTH));
}

/// Broken characters take more room when replaced: what is too much goes, again from the front.
fn as_text(end: VecDeque<u8>) -> String {
    let text = String::from_utf8_lossy(&Vec::from(end)).into_owned();
    let mut start = text.len().saturating_sub(LOG_LENGTH);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_output_the_end_is_kept() {
        let mut end = VecDeque::new();
        for _ in 0..100 {
            keep_end(&mut end, &[b'x'; 5000]);
        }
        keep_end(&mut end, "schluß".as_bytes());
        let text = as_text(end);
        assert_eq!(text.len(), LOG_LENGTH);
        assert!(text.ends_with("xschluß"));
        assert!(as_text(vec![0xff; LOG_LENGTH].into()).len() <= LOG_LENGTH);
    }
}
