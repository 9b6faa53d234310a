//! What an engine may be unable to do for a container, and does without.
//!
//! Three things tell: what it says of itself, its refusal to make the container, and its refusal to start one. The last
//! comes too late for a container that has been made, so a trial is started once with each engine, and removed at once:
//! the same container without network and home. It must be the same program, as runtimes look for that first.

use std::sync::atomic::Ordering;

use bollard::models::{ContainerCreateBody, SystemInfo};

use super::create::body;
use super::errors::About;
use super::{ContainerSpec, DockerEngine, EngineError, LONG};
use crate::desktop::engine::LABEL_INSTALLATION;

/// What a container can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Extra {
    Cpus = 1 << 0,
    Memory = 1 << 1,
    Pids = 1 << 2,
    Seccomp = 1 << 3,
    /// A first process that reaps others; no limit, so nobody is told of it.
    Init = 1 << 4,
}

const ALL: [Extra; 5] = [Extra::Cpus, Extra::Memory, Extra::Pids, Extra::Seccomp, Extra::Init];

/// A set of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extras(u8);

impl Extras {
    pub(super) fn has(self, extra: Extra) -> bool {
        self.0 & extra as u8 != 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The fields of [`ContainerSpec`].
    pub(super) fn names(self) -> Vec<String> {
        let name = |extra: &Extra| match extra {
            Extra::Cpus => Some("cpus"),
            Extra::Memory => Some("memory_bytes"),
            Extra::Pids => Some("pids"),
            Extra::Seccomp => Some("seccomp"),
            Extra::Init => None,
        };
        ALL.iter().filter(|extra| self.has(**extra)).filter_map(name).map(str::to_owned).collect()
    }
}

impl FromIterator<Extra> for Extras {
    fn from_iter<I: IntoIterator<Item = Extra>>(extras: I) -> Self {
        Self(extras.into_iter().fold(0, |set, extra| set | extra as u8))
    }
}

/// What a container asks for.
pub(super) fn wanted(spec: &ContainerSpec) -> Extras {
    let asked = [
        spec.cpus.map(|_| Extra::Cpus),
        spec.memory_bytes.map(|_| Extra::Memory),
        spec.pids.map(|_| Extra::Pids),
        spec.seccomp.as_ref().map(|_| Extra::Seccomp),
        Some(Extra::Init),
    ];
    asked.into_iter().flatten().collect()
}

/// What the engine says that it cannot do.
pub(super) fn lacking(info: &SystemInfo) -> Extras {
    let lacks = [(info.cpu_cfs_quota, Extra::Cpus), (info.memory_limit, Extra::Memory), (info.pids_limit, Extra::Pids)];
    lacks.into_iter().filter(|(can, _)| *can == Some(false)).map(|(_, extra)| extra).collect()
}

/// What an engine has left out, by the warnings at the making of a container.
pub(super) fn left_out(warnings: &[String]) -> Extras {
    let discarded = warnings.iter().filter(|warning| warning.contains("discarded"));
    discarded.map(|warning| cgroups_named(warning)).fold(Extras::default(), Extras::and)
}

/// What a refusal is about; nothing when it is about something else.
pub(super) fn refused(message: &str) -> Extras {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    // A program that ran out of its memory was limited all right.
    if has(&["OOM", "out of memory"]) {
        return Extras::default();
    }
    if has(&["docker-init", "container-init", "catatonit", "init binary"]) {
        return Extras::from_iter([Extra::Init]);
    }
    if has(&["seccomp"]) {
        return Extras::from_iter([Extra::Seccomp]);
    }
    if has(&["Range of CPUs", "CPU CFS"]) {
        return Extras::from_iter([Extra::Cpus]);
    }
    if has(&["Minimum memory limit", "memory limit capabilities"]) {
        return Extras::from_iter([Extra::Memory]);
    }
    if has(&["cgroup", "controller"]) { cgroups_named(message) } else { Extras::default() }
}

/// The limits by the names of their cgroup controllers; all three when none is named.
fn cgroups_named(message: &str) -> Extras {
    let message = message.to_ascii_lowercase();
    let named: Extras = [("cpu", Extra::Cpus), ("memory", Extra::Memory), ("pids", Extra::Pids)]
        .into_iter()
        .filter(|(name, _)| message.contains(name))
        .map(|(_, extra)| extra)
        .collect();
    if named.is_empty() { [Extra::Cpus, Extra::Memory, Extra::Pids].into_iter().collect() } else { named }
}

/// What more to do without after this refusal, or the refusal when that would not help.
pub(super) fn give_way(error: EngineError, wanted: Extras, without: Extras) -> Result<Extras, EngineError> {
    let EngineError::Other(message) = &error else { return Err(error) };
    let more = refused(message).both(wanted).without(without);
    if more.is_empty() { Err(error) } else { Ok(without.and(more)) }
}

/// What the trials have shown of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Learned {
    tried: Extras,
    refused: Extras,
}

impl DockerEngine {
    pub(super) fn forget_limits(&self) {
        self.learn(Learned::default());
    }

    fn learned(&self) -> Learned {
        let [tried, refused] = self.learned.load(Ordering::Relaxed).to_be_bytes();
        Learned { tried: Extras(tried), refused: Extras(refused) }
    }

    fn learn(&self, learned: Learned) {
        let both = u16::from_be_bytes([learned.tried.0, learned.refused.0]);
        self.learned.store(both, Ordering::Relaxed);
    }

    /// What this engine refuses at a start, besides `without`; tried out when it was not asked for before.
    pub(super) async fn refused_at_start(&self, spec: &ContainerSpec, without: Extras) -> Result<Extras, EngineError> {
        let known = self.learned();
        let mut found = without.and(known.refused);
        if wanted(spec).without(found).without(known.tried).is_empty() {
            return Ok(found);
        }
        let mut refused = known.refused;
        loop {
            let (error, at_start) = match self.try_out(&trial(spec, found)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => (error, true),
                Err(error) => (error, false),
            };
            match give_way(error, wanted(spec), found) {
                Ok(more) if at_start => {
                    refused = refused.and(more.without(found));
                    found = more;
                }
                // At the making it is the amount that is refused, which is this container's matter.
                Ok(more) => found = more,
                Err(EngineError::Unavailable(reason)) => return Err(EngineError::Unavailable(reason)),
                Err(_) if at_start => break,
                // The container itself meets the same.
                Err(_) => return Ok(found),
            }
        }
        self.learn(Learned { tried: known.tried.and(wanted(spec)), refused });
        Ok(found)
    }

    /// Whether a container like this can be made, and whether it would start.
    async fn try_out(&self, body: &ContainerCreateBody) -> Result<Result<(), EngineError>, EngineError> {
        let made = self
            .ask(LONG, About::Thing, |docker| async move { docker.create_container(None, body.clone()).await })
            .await?;
        let id = made.id.as_str();
        let started =
            self.ask(LONG, About::Thing, |docker| async move { docker.start_container(id, None).await }).await;
        self.remove_container(id).await?;
        Ok(started)
    }
}

/// The container without all that has an effect outside of it. It has no desktop; its label lets the server clear it
/// away should this end in the middle.
fn trial(spec: &ContainerSpec, without: Extras) -> ContainerCreateBody {
    let mut trial = body(spec, without, false);
    trial.exposed_ports = None;
    trial.networking_config = None;
    trial.labels = trial.labels.map(|mut labels| {
        labels.retain(|name, _| name == LABEL_INSTALLATION);
        labels
    });
    if let Some(host) = &mut trial.host_config {
        host.port_bindings = None;
        host.mounts = None;
        host.network_mode = Some("none".to_owned());
        host.extra_hosts = None;
    }
    trial
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(extras: &[Extra]) -> Extras {
        extras.iter().copied().collect()
    }

    #[test]
    fn engines_say_what_they_cannot_do() {
        let info = SystemInfo { memory_limit: Some(false), pids_limit: Some(true), ..Default::default() };
        assert_eq!(lacking(&info), set(&[Extra::Memory]));
        assert_eq!(lacking(&SystemInfo::default()), Extras::default());
        let all = SystemInfo {
            memory_limit: Some(false),
            pids_limit: Some(false),
            cpu_cfs_quota: Some(false),
            ..Default::default()
        };
        assert_eq!(lacking(&all).names(), ["cpus", "memory_bytes", "pids"]);
    }

    #[test]
    fn refusals_name_what_they_are_about() {
        for (message, about) in [
            ("Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available", &[Extra::Cpus][..]),
            ("Minimum memory limit allowed is 6MB", &[Extra::Memory]),
            (
                "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
                &[Extra::Cpus],
            ),
            (
                "container create: container-init binary not found on the host: stat /usr/libexec/podman/catatonit: no such file or directory",
                &[Extra::Init],
            ),
            ("OCI runtime create failed: exec: \"docker-init\": executable file not found in $PATH", &[Extra::Init]),
            ("crun: the requested cgroup controller `pids` is not available: OCI runtime error", &[Extra::Pids]),
            ("crun: opening file `memory.max` for writing: No such file or directory: cgroup", &[Extra::Memory]),
            (
                "runc: runc create failed: unable to start container process: unable to apply cgroup configuration: permission denied",
                &[Extra::Cpus, Extra::Memory, Extra::Pids],
            ),
            ("opening seccomp profile failed: open {\"defaultAction\":: no such file or directory", &[Extra::Seccomp]),
            ("container init was OOM-killed (memory limit too low?)", &[]),
            (
                "runc create failed: unable to start container process: error during container init: error setting cgroup config for procHooks process: cannot set pids limit: container could not join or create cgroup",
                &[Extra::Pids],
            ),
            ("exec: \"nothing\": executable file not found in $PATH", &[]),
            ("network n not found", &[]),
        ] {
            assert_eq!(refused(message), set(about), "{message}");
        }
    }

    #[test]
    fn warnings_of_what_was_left_out() {
        let warnings = [
            "Your kernel does not support pids limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
        ];
        assert_eq!(left_out(&warnings.map(str::to_owned)), set(&[Extra::Pids]));
        assert_eq!(left_out(&[]), Extras::default());
    }

    #[test]
    fn an_engine_is_not_asked_twice_for_the_same() {
        let error = EngineError::Other("Range of CPUs is from 0.01 to 2.00".into());
        let wanted = set(&[Extra::Cpus, Extra::Init]);
        let once = give_way(error.clone(), wanted, Extras::default()).unwrap();
        assert_eq!(once, set(&[Extra::Cpus]));
        assert_eq!(give_way(error.clone(), wanted, once), Err(error.clone()));
        assert_eq!(give_way(error.clone(), set(&[Extra::Init]), Extras::default()), Err(error));
        let away = EngineError::Unavailable("cgroup".into());
        assert_eq!(give_way(away.clone(), wanted, Extras::default()), Err(away));
    }
}
