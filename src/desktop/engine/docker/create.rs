//! What a container is made of.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, ContainerCreateResponse, EndpointSettings, HostConfig, HostConfigLogConfig, Mount, MountType,
    NetworkingConfig, PortBinding, PortMap, RestartPolicy, RestartPolicyNameEnum, SystemInfo, VolumeCreateRequest,
};
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::errors::About;
use super::limits::{Extra, Extras, give_way, lacking, left_out, wanted};
use super::{ContainerSpec, Created, DockerEngine, EngineError, LONG, ORDINARY};
use crate::desktop::engine::{Home, LABEL_INSTALLATION, Publish};

/// What Docker keeps of a container's output: files of this size, and how many.
const LOG_FILE: (&str, &str) = ("10m", "2");

/// Docker's own log, the only one that is limited in this way.
const LOG_DRIVER: &str = "json-file";

/// Billionths of a processor, as the engine counts them.
const NANO: f64 = 1e9;

impl DockerEngine {
    pub(super) async fn make_container(&self, spec: &ContainerSpec) -> Result<Created, EngineError> {
        let info = self.ask(ORDINARY, About::Thing, |docker| async move { docker.info().await }).await?;
        if let Some(home) = &spec.home {
            self.make_home(home).await?;
        }
        let mut without = self.refused_at_start(spec, lacking(&info)).await?;
        loop {
            match self.make(spec, body(spec, without, has_docker_log(&info))).await {
                Ok(made) => {
                    let skipped = without.and(left_out(&made.warnings));
                    return Ok(Created { container_id: made.id, limits_skipped: asked_for(spec, skipped) });
                }
                Err(error) => without = give_way(error, wanted(spec), without)?,
            }
        }
    }

    async fn make(
        &self,
        spec: &ContainerSpec,
        body: ContainerCreateBody,
    ) -> Result<ContainerCreateResponse, EngineError> {
        let options = CreateContainerOptionsBuilder::new().name(&spec.name).build();
        self.ask(LONG, About::Thing, |docker| async move { docker.create_container(Some(options), body).await }).await
    }

    /// One that is there and ours is as good; somebody else's is not touched.
    async fn make_home(&self, home: &Home) -> Result<(), EngineError> {
        let name = home.volume.as_str();
        let there = self.ask(ORDINARY, About::Thing, |docker| async move { docker.inspect_volume(name).await }).await;
        match there {
            Ok(volume) if is_ours(home, &volume.labels) => return Ok(()),
            Ok(_) => return Err(EngineError::NameTaken(format!("the volume {name} belongs to somebody else"))),
            Err(EngineError::NotFound(_)) => {}
            Err(other) => return Err(other),
        }
        let request = VolumeCreateRequest {
            name: Some(home.volume.clone()),
            labels: Some(map(&home.labels)),
            ..Default::default()
        };
        self.ask(LONG, About::Thing, |docker| async move { docker.create_volume(request).await }).await.map(drop)
    }
}

fn is_ours(home: &Home, labels: &HashMap<String, String>) -> bool {
    let ours = home.labels.iter().find(|(name, _)| name == LABEL_INSTALLATION);
    ours.is_none_or(|(name, value)| labels.get(name) == Some(value))
}

/// Podman says which logs it can write, and Docker's is not among them.
fn has_docker_log(info: &SystemInfo) -> bool {
    let logs = info.plugins.as_ref().and_then(|plugins| plugins.log.as_ref());
    logs.is_some_and(|logs| logs.iter().any(|log| log == LOG_DRIVER))
}

/// The names of those among `skipped` that the container asked for.
fn asked_for(spec: &ContainerSpec, skipped: Extras) -> Vec<String> {
    let wanted = wanted(spec).names();
    skipped.names().into_iter().filter(|name| wanted.contains(name)).collect()
}

/// The container in the engine's words. `docker_log`: whether it writes one that can be limited.
pub(super) fn body(spec: &ContainerSpec, without: Extras, docker_log: bool) -> ContainerCreateBody {
    ContainerCreateBody {
        hostname: Some(spec.hostname.clone()),
        image: Some(spec.image.clone()),
        cmd: spec.command.clone(),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(map(&spec.labels)),
        exposed_ports: spec.publish.map(|publish| vec![inner_port(publish)]),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(spec.network.clone(), EndpointSettings::default())])),
        }),
        host_config: Some(host_config(spec, without, docker_log)),
        ..Default::default()
    }
}

fn host_config(spec: &ContainerSpec, without: Extras, docker_log: bool) -> HostConfig {
    let memory = spec.memory_bytes.filter(|_| !without.has(Extra::Memory)).map(signed);
    let list = |entries: &Vec<String>| (!entries.is_empty()).then(|| entries.clone());
    HostConfig {
        network_mode: Some(spec.network.clone()),
        port_bindings: spec.publish.map(port_bindings),
        mounts: spec.home.as_ref().map(|home| vec![mount(home)]),
        shm_size: spec.shm_bytes.map(signed),
        nano_cpus: spec.cpus.filter(|_| !without.has(Extra::Cpus)).map(|cpus| (cpus * NANO).round() as i64),
        memory,
        // The same: nothing of it is swapped out.
        memory_swap: memory,
        // 0 is none: Podman has a limit of its own where nothing is said.
        pids_limit: spec.pids.map(|pids| if without.has(Extra::Pids) { 0 } else { signed(pids) }),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: list(&spec.cap_add),
        security_opt: Some(security(spec, without)),
        extra_hosts: list(&spec.extra_hosts),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        init: (!without.has(Extra::Init)).then_some(true),
        log_config: docker_log.then(log_config),
        ..Default::default()
    }
}

fn security(spec: &ContainerSpec, without: Extras) -> Vec<String> {
    let no_new_privileges = spec.no_new_privileges.then(|| "no-new-privileges".to_owned());
    let seccomp = spec.seccomp.as_ref().filter(|_| !without.has(Extra::Seccomp));
    no_new_privileges.into_iter().chain(seccomp.map(|profile| format!("seccomp={profile}"))).collect()
}

fn mount(home: &Home) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(home.volume.clone()),
        target: Some(home.path.clone()),
        ..Default::default()
    }
}

fn inner_port(publish: Publish) -> String {
    format!("{}/tcp", publish.container_port)
}

fn port_bindings(publish: Publish) -> PortMap {
    let binding =
        PortBinding { host_ip: Some(publish.address.to_string()), host_port: Some(publish.host_port.to_string()) };
    HashMap::from([(inner_port(publish), Some(vec![binding]))])
}

fn log_config() -> HostConfigLogConfig {
    let (size, files) = LOG_FILE;
    let limits = [("max-size", size), ("max-file", files)];
    HostConfigLogConfig {
        typ: Some(LOG_DRIVER.to_owned()),
        config: Some(limits.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
    }
}

pub(super) fn map(labels: &[(String, String)]) -> HashMap<String, String> {
    labels.iter().cloned().collect()
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ContainerSpec {
        ContainerSpec {
            name: "n".into(),
            image: "i:1".into(),
            command: None,
            env: vec![("A".into(), "b=c".into())],
            labels: vec![("l".into(), "v".into())],
            hostname: "h".into(),
            network: "net".into(),
            publish: None,
            home: None,
            shm_bytes: None,
            cpus: Some(1.5),
            memory_bytes: Some(1 << 30),
            pids: Some(100),
            cap_add: vec![],
            no_new_privileges: true,
            seccomp: Some("unconfined".into()),
            extra_hosts: vec![],
        }
    }

    #[test]
    fn limits_are_applied_or_left_out() {
        let host = body(&spec(), Extras::default(), true).host_config.unwrap();
        assert_eq!((host.nano_cpus, host.pids_limit, host.init), (Some(1_500_000_000), Some(100), Some(true)));
        assert_eq!((host.memory, host.memory_swap), (Some(1 << 30), Some(1 << 30)));
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges", "seccomp=unconfined"]);
        let none = body(&spec(), wanted(&spec()), false).host_config.unwrap();
        assert_eq!((none.nano_cpus, none.pids_limit, none.init), (None, Some(0), None));
        assert_eq!((none.memory, none.memory_swap, none.log_config), (None, None, None));
        assert_eq!(none.security_opt.unwrap(), ["no-new-privileges"], "that is no limit to go without");
        assert_eq!(none.cap_drop.unwrap(), ["ALL"]);
    }

    #[test]
    fn only_what_was_asked_for_is_named_as_skipped() {
        let all = wanted(&spec());
        assert_eq!(asked_for(&spec(), all), ["cpus", "memory_bytes", "pids", "seccomp"]);
        assert_eq!(asked_for(&ContainerSpec { cpus: None, seccomp: None, ..spec() }, all), ["memory_bytes", "pids"]);
    }

    #[test]
    fn a_volume_of_another_installation_is_not_ours() {
        let label = |value: &str| (LABEL_INSTALLATION.to_owned(), value.to_owned());
        let home = Home { volume: "v".into(), path: "/h".into(), labels: vec![label("us")] };
        assert!(is_ours(&home, &HashMap::from([label("us")])));
        assert!(!is_ours(&home, &HashMap::from([label("them")])));
        assert!(!is_ours(&home, &HashMap::new()));
    }
}
