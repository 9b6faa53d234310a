//! What the engine is asked for: a network and a container, made of the type, the row and the settings. Pure.

use std::sync::Arc;

use super::DesktopType;
use super::desktop_type::Names;
use super::engine::{
    ContainerSpec, Home, LABEL_DESKTOP, LABEL_INSTALLATION, LABEL_OWNER, LABEL_TYPE, NetworkSpec, Publish,
};
use crate::config::{DesktopConfig, DesktopReach};
use crate::store::models::ContainerRow;

/// Characters of the installation's id in the names that it gives.
const INSTALLATION_CHARACTERS: usize = 8;
/// Sorts what begins with it behind other names.
const LAST_BY_NAME: &str = "zz-";
/// The longest `proxy_path` that becomes part of a container's name.
const LONGEST_NAME: usize = 128;
/// The longest label of a host name (RFC 1035).
const LONGEST_HOSTNAME: usize = 63;

/// What a desktop's names and labels are made of.
#[derive(Debug, Clone)]
pub struct Identity {
    pub installation: Arc<str>,
    pub desktop_id: String,
    pub owner_id: String,
    pub type_id: String,
    pub proxy_path: String,
}

impl Identity {
    pub fn new(installation: &Arc<str>, row: &ContainerRow) -> Self {
        Self {
            installation: installation.clone(),
            desktop_id: row.id.clone(),
            owner_id: row.owner_id.clone(),
            type_id: row.type_id.clone(),
            proxy_path: row.proxy_path.clone(),
        }
    }

    fn prefix(&self) -> &str {
        self.installation.get(..INSTALLATION_CHARACTERS).unwrap_or(&self.installation)
    }

    /// Of the container.
    pub fn name(&self) -> String {
        let path = &self.proxy_path;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = !path.is_empty() && path.len() <= LONGEST_NAME && path.bytes().all(plain);
        format!("dockway-{}-{}", self.prefix(), if fits { path } else { &self.desktop_id })
    }

    /// Of its network. A server in a container joins it, and the engine makes the first network by name the way out of
    /// that container and into its published ports: it must come after the server's own.
    pub fn network(&self) -> String {
        format!("{LAST_BY_NAME}{}", self.name())
    }

    /// Of the home's volume. By ids, so that a later account or type of the same name inherits nothing.
    pub fn volume(&self) -> String {
        format!("dockway-{}-home-{}-{}", self.prefix(), self.owner_id, self.type_id)
    }

    fn labels(&self) -> Vec<(String, String)> {
        let mut labels = self.home_labels();
        labels.push((LABEL_DESKTOP.into(), self.desktop_id.clone()));
        labels
    }

    fn home_labels(&self) -> Vec<(String, String)> {
        vec![
            (LABEL_INSTALLATION.into(), self.installation.to_string()),
            (LABEL_OWNER.into(), self.owner_id.clone()),
            (LABEL_TYPE.into(), self.type_id.clone()),
        ]
    }

    /// What the container calls itself.
    fn hostname(&self) -> String {
        let plain =
            |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' };
        let name: String = self.proxy_path.chars().take(LONGEST_HOSTNAME).map(plain).collect();
        match name.trim_matches('-') {
            "" => "desktop".to_owned(),
            name => name.to_owned(),
        }
    }
}

/// Both, once a port and a network are reserved. None: the row holds none, or not one that can be read.
pub fn specs(
    identity: &Identity,
    desktop_type: &DesktopType,
    row: &ContainerRow,
    config: &DesktopConfig,
    names: &Names<'_>,
) -> Option<(NetworkSpec, ContainerSpec)> {
    let subnet = row.subnet.as_deref()?.parse().ok()?;
    let publish = match config.reach {
        DesktopReach::Network => None,
        DesktopReach::Port => Some(Publish {
            address: config.publish,
            host_port: u16::try_from(row.host_port?).ok()?,
            container_port: desktop_type.port,
        }),
    };
    let network = NetworkSpec { name: identity.network(), subnet, labels: identity.labels() };
    let home = desktop_type.persistent_home.then(|| Home {
        volume: identity.volume(),
        path: desktop_type.home_path.clone(),
        labels: identity.home_labels(),
    });
    let filled = |words: &Vec<String>| words.iter().map(|word| names.fill(word)).collect();
    let container = ContainerSpec {
        name: identity.name(),
        image: desktop_type.image.clone(),
        command: desktop_type.command.as_ref().map(filled),
        env: desktop_type.env.iter().map(|(name, value)| (name.clone(), names.fill(value))).collect(),
        labels: identity.labels(),
        hostname: identity.hostname(),
        network: network.name.clone(),
        publish,
        home,
        shm_bytes: desktop_type.shm_bytes,
        cpus: desktop_type.cpus,
        memory_bytes: desktop_type.memory_bytes,
        pids: desktop_type.pids,
        cap_add: desktop_type.cap_add.clone(),
        no_new_privileges: desktop_type.no_new_privileges,
        seccomp: desktop_type.seccomp.clone(),
        extra_hosts: desktop_type.extra_hosts.clone(),
    };
    Some((network, container))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desktop::tests::{desktop_type, row};

    const NAMES: Names<'_> = Names { proxy_path: "alice-web", username: "alice", password: "secret" };

    fn identity(proxy_path: &str) -> Identity {
        let row = ContainerRow { proxy_path: proxy_path.into(), ..row("creating") };
        Identity::new(&Arc::from("0123456789abcdef"), &row)
    }

    #[test]
    fn names_that_an_engine_takes() {
        for (path, name, hostname) in [
            ("alice-ubuntu-vscode", "dockway-01234567-alice-ubuntu-vscode", "alice-ubuntu-vscode"),
            ("Al.ice_1-web", "dockway-01234567-Al.ice_1-web", "al-ice-1-web"),
            ("élise-web", "dockway-01234567-the-desktop", "lise-web"),
            ("a/b", "dockway-01234567-the-desktop", "a-b"),
            ("--", "dockway-01234567---", "desktop"),
            ("", "dockway-01234567-the-desktop", "desktop"),
        ] {
            assert_eq!((identity(path).name().as_str(), identity(path).hostname().as_str()), (name, hostname));
        }
        let long = "a".repeat(200);
        assert_eq!(identity(&long).name(), "dockway-01234567-the-desktop");
        assert_eq!(identity(&long).hostname().len(), 63);
    }

    #[test]
    fn a_home_belongs_to_a_person_and_a_type_by_their_ids() {
        assert_eq!(identity("alice-web").volume(), "dockway-01234567-home-id-of-alice-the-type");
        assert_eq!(identity("alice-web").volume(), identity("bob-web").volume(), "no name is part of it");
    }

    #[test]
    fn all_of_the_type_reaches_the_engine() {
        let mut row = row("creating");
        (row.host_port, row.subnet) = (Some(7003), Some("10.213.0.16/28".into()));
        let mut kind = desktop_type();
        kind.env = [("VNC_PW", "{password}"), ("WHO", "{username} at {proxy_path}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        kind.command = Some(vec!["run".into(), "--prefix=/desktop/{proxy_path}".into()]);
        (kind.memory_bytes, kind.pids, kind.cap_add) = (Some(5), Some(6), vec!["CHOWN".into()]);
        let config = DesktopConfig::for_tests();
        let (network, container) = specs(&identity("alice-web"), &kind, &row, &config, &NAMES).unwrap();
        assert_eq!(
            (network.name.as_str(), network.subnet.to_string()),
            ("zz-dockway-01234567-alice-web", "10.213.0.16/28".into())
        );
        assert_eq!(network.labels, container.labels);
        let label = |name: &str| container.labels.iter().find(|(label, _)| label == name).unwrap().1.as_str();
        assert_eq!(label(LABEL_INSTALLATION), "0123456789abcdef");
        assert_eq!(
            (label(LABEL_DESKTOP), label(LABEL_OWNER), label(LABEL_TYPE)),
            ("the-desktop", "id-of-alice", "the-type")
        );
        assert_eq!(
            container.env,
            [("VNC_PW".into(), "secret".into()), ("WHO".into(), "alice at alice-web".to_owned())]
        );
        assert_eq!(container.command.unwrap(), ["run", "--prefix=/desktop/alice-web"]);
        let published = Publish { address: [127, 0, 0, 1].into(), host_port: 7003, container_port: kind.port };
        assert_eq!(container.publish, Some(published));
        assert_eq!(
            (container.memory_bytes, container.pids, container.cap_add),
            (Some(5), Some(6), kind.cap_add.clone())
        );
        let home = container.home.unwrap();
        assert_eq!((home.volume, home.path), (identity("alice-web").volume(), kind.home_path.clone()));
        assert!(home.labels.iter().all(|(label, _)| label != LABEL_DESKTOP), "a home outlives its desktop");
        kind.persistent_home = false;
        let network_only = DesktopConfig { reach: DesktopReach::Network, ..config };
        row.host_port = None;
        let (_, container) = specs(&identity("alice-web"), &kind, &row, &network_only, &NAMES).unwrap();
        assert!(container.publish.is_none() && container.home.is_none());
        assert!(specs(&identity("alice-web"), &kind, &row, &DesktopConfig::for_tests(), &NAMES).is_none(), "no port");
    }
}
