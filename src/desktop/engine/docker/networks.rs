//! Networks, one for each desktop, and the container that this server runs in.

use std::fs;

use bollard::models::{
    EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
};

use super::create::map;
use super::errors::{About, says_subnet_taken};
use super::{DockerEngine, EngineError, NetworkSpec, ORDINARY, gone_is_fine};
use crate::desktop::engine::runs_in_container;

/// Files that an engine mounts into each container from a directory of the container's own.
const FILES_FROM_OUTSIDE: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// Hexadecimal digits of a container's id.
const ID_LENGTH: usize = 64;

/// Of the networks that may become a container's way out; those that say nothing have 0.
const LOWEST_PRIORITY: i64 = -1000;

impl DockerEngine {
    pub(super) async fn make_network(&self, network: &NetworkSpec) -> Result<(), EngineError> {
        let name = network.name.as_str();
        // Older engines take a name twice, and say "overlaps" of our own network.
        if self.network(name).await?.is_some() {
            return Err(taken(name));
        }
        let range = IpamConfig { subnet: Some(network.subnet.to_string()), ..Default::default() };
        let request = NetworkCreateRequest {
            name: network.name.clone(),
            driver: Some("bridge".to_owned()),
            ipam: Some(Ipam { config: Some(vec![range]), ..Default::default() }),
            labels: Some(map(&network.labels)),
            ..Default::default()
        };
        let made = self.ask(ORDINARY, About::Thing, |docker| async move { docker.create_network(request).await }).await;
        match made {
            Ok(made) if made.warning.contains("already exists") => {
                self.remove_by_id(&made.id).await?;
                Err(taken(name))
            }
            Ok(_) => Ok(()),
            Err(EngineError::Other(message)) if says_subnet_taken(&message) => {
                Err(EngineError::SubnetTaken(network.subnet))
            }
            Err(other) => Err(other),
        }
    }

    /// Its containers, by id; None: there is no such network.
    async fn network(&self, name: &str) -> Result<Option<Vec<String>>, EngineError> {
        let found =
            self.ask(ORDINARY, About::Thing, |docker| async move { docker.inspect_network(name, None).await }).await;
        match found {
            // An engine finds a network by the beginning of its id, too.
            Ok(network) if network.name.as_deref() != Some(name) => Ok(None),
            Ok(network) => Ok(Some(network.containers.unwrap_or_default().into_keys().collect())),
            Err(EngineError::NotFound(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    async fn remove_by_id(&self, network: &str) -> Result<(), EngineError> {
        self.ask(ORDINARY, About::Thing, |docker| async move { docker.remove_network(network).await })
            .await
            .or_else(gone_is_fine)
    }

    pub(super) async fn unmake_network(&self, name: &str) -> Result<(), EngineError> {
        let Some(containers) = self.network(name).await? else { return Ok(()) };
        for container in containers {
            let request = NetworkDisconnectRequest { container, force: Some(true) };
            // Whatever went by itself meanwhile, or could not be cut off, shows at the removal.
            let _ = self
                .ask(ORDINARY, About::Thing, |docker| async move { docker.disconnect_network(name, request).await })
                .await;
        }
        self.remove_by_id(name).await
    }

    pub(super) async fn join(&self, network: &str) -> Result<(), EngineError> {
        if !runs_in_container() {
            return Ok(());
        }
        let Some(container) = self.own_container().await? else { return Ok(()) };
        // Newer engines: never the way out of the container, whatever the networks are called.
        let endpoint = EndpointSettings { gw_priority: Some(LOWEST_PRIORITY), ..Default::default() };
        let request = NetworkConnectRequest { container, endpoint_config: Some(endpoint) };
        let joined = self
            .ask(ORDINARY, About::Thing, |docker| async move { docker.connect_network(network, request).await })
            .await;
        match joined {
            Err(EngineError::Other(message)) if says_connected(&message) => Ok(()),
            other => other,
        }
    }

    /// The id of the container that this process runs in, or of the one whose network it shares. None: it is not one of
    /// this engine's, or it shares the host's network and reaches everything.
    async fn own_container(&self) -> Result<Option<String>, EngineError> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let hostname = read("/etc/hostname").trim().to_owned();
        for candidate in candidates(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"), &hostname) {
            let name = candidate.as_str();
            let found = self
                .ask(ORDINARY, About::Thing, |docker| async move { docker.inspect_container(name, None).await })
                .await;
            let container = match found {
                Ok(container) => container,
                Err(EngineError::NotFound(_)) => continue,
                Err(other) => return Err(other),
            };
            let id = container.id.unwrap_or_default();
            let same_name = container.config.and_then(|config| config.hostname).as_deref() == Some(name);
            if !id.starts_with(name) && !same_name {
                continue;
            }
            let mode = container.host_config.and_then(|host| host.network_mode).unwrap_or_default();
            return Ok(owner_of_network(&mode, id));
        }
        Ok(None)
    }
}

/// Whose network a container of this mode and id is in; None: the host's.
fn owner_of_network(mode: &str, id: String) -> Option<String> {
    match mode.strip_prefix("container:") {
        Some(other) => Some(other.to_owned()),
        None => (mode != "host").then_some(id),
    }
}

fn taken(name: &str) -> EngineError {
    EngineError::NameTaken(format!("network with name {name} already exists"))
}

fn says_connected(message: &str) -> bool {
    message.contains("already exists in network") || message.contains("already connected")
}

/// Ids and names that may be the own container's, the surest first.
fn candidates(mountinfo: &str, cgroup: &str, hostname: &str) -> Vec<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, target) = (fields.next()?, fields.next()?);
        FILES_FROM_OUTSIDE.contains(&target).then(|| id_in(root)).flatten()
    });
    let groups = cgroup.lines().filter_map(id_in);
    let mut all: Vec<String> = Vec::new();
    for candidate in mounts.chain(groups).chain([hostname]) {
        if is_plain(candidate) && !all.iter().any(|other| other == candidate) {
            all.push(candidate.to_owned());
        }
    }
    all
}

/// An id among the parts of a path.
fn id_in(path: &str) -> Option<&str> {
    path.split(|c: char| !c.is_ascii_alphanumeric())
        .find(|part| part.len() == ID_LENGTH && part.chars().all(|c| c.is_ascii_hexdigit()))
}

/// What may stand in the path of a request.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_container_leaves_its_id_in_proc() {
        let (ours, other) = ("a1".repeat(32), "b2".repeat(32));
        let mountinfo = format!(
            "1 2 8:1 /var/lib/docker/containers/{other}/x /data rw - ext4 /dev/sda1 rw\n\
             3 2 8:1 /var/lib/docker/containers/{ours}/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"
        );
        assert_eq!(candidates(&mountinfo, "0::/\n", "front"), [ours.clone(), "front".to_owned()]);
        let podman =
            format!("3 2 0:1 /containers/overlay-containers/{ours}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n");
        assert_eq!(candidates(&podman, "", ""), [ours.as_str()]);
        let scope = format!("0::/system.slice/docker-{ours}.scope\n");
        assert_eq!(candidates("", &scope, "a1a1a1a1a1a1"), [ours, "a1a1a1a1a1a1".to_owned()]);
        assert!(candidates("garbage\n\n1 2", "x", "../../etc").is_empty());
    }

    #[test]
    fn a_container_without_a_network_of_its_own_joins_by_another_or_not_at_all() {
        let owner = |mode| owner_of_network(mode, "own".into());
        for mode in ["", "default", "bridge", "dockway"] {
            assert_eq!(owner(mode).as_deref(), Some("own"), "{mode}");
        }
        assert_eq!(owner("container:b2b2").as_deref(), Some("b2b2"));
        assert_eq!(owner("host"), None);
    }
}
