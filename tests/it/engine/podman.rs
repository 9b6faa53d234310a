//! The same with Podman's compatible socket.
//!
//! Each test runs a Podman of its own, as root and with its own storage. They take turns, since the names of the bridges
//! are the whole machine's, and two Podmans would choose the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use dockway::desktop::engine::{ContainerSpec, Engine, EngineError, Happening, NetworkSpec};
use serde_json::json;
use tempfile::TempDir;

use super::bench::{Bench, GREETING, IMAGE, SERVE, fetch, publish};
use super::images::{Registry, all};
use crate::common::docker::{id_of, next_block, until};
use crate::common::{Process, SOON, Server, wait_until};

/// What a machine may forbid even to root is asked for lower than Podman would.
const SETTINGS: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine.runtimes]
unequal = ["RUNTIME"]
"#;

/// A runtime that has fewer cgroups than the engine believes, as in containers and for people without rights.
const RUNTIME: &str = "exec unshare --mount sh -ec 'umount /sys/fs/cgroup/pids; exec runc \"$@\"' sh \"$@\"\n";

struct Podman {
    bench: Bench,
    /// For `DOCKER_HOST`.
    host: String,
    _process: Process,
    _directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Podman {
    /// `before`: run in the service's own view of the file system, ahead of it. `options`: Podman's.
    fn start(before: &str, options: &[&str], registry: Option<u16>) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        fs::write(path("containers.conf"), SETTINGS.replace("RUNTIME", &path("runtime"))).expect("the settings");
        let plain = registry.map(|port| format!("[[registry]]\nlocation = \"127.0.0.1:{port}\"\ninsecure = true\n"));
        fs::write(path("registries.conf"), plain.unwrap_or_default()).expect("the registries");
        let runtime = path("runtime");
        fs::write(&runtime, format!("#!/bin/sh -e\n{RUNTIME}")).expect("the runtime");
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755)).expect("it can be run");
        let socket = path("podman.sock");
        let script = format!("{before}\nexec podman \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "slave", "sh", "-ec", &script, "sh"]);
        command.args(["--root", &path("root"), "--runroot", &path("run"), "--tmpdir", &path("tmp")]);
        command.args(options).args(["system", "service", "--time=0", &format!("unix://{socket}")]);
        command.env("CONTAINERS_CONF", path("containers.conf"));
        command.env("CONTAINERS_REGISTRIES_CONF", path("registries.conf"));
        let process = Process::spawn("podman", &mut command);
        wait_until("podman listens", SOON, || UnixStream::connect(&socket).is_ok());
        let host = format!("unix://{socket}");
        let bench = Bench::on(Some(host.clone()));
        bench.import_image();
        Self { bench, host, _process: process, _directory: directory, _turn: turn }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.bench.clear();
        forget_addresses(&self.bench.network.name);
    }
}

/// What the network plugins remember of a network's addresses stays otherwise.
fn forget_addresses(network: &str) {
    let _ = fs::remove_dir_all(Path::new("/var/lib/cni/networks").join(network));
}

#[tokio::test]
async fn a_container_from_its_making_to_its_removal() {
    let podman = Podman::start("", &[], None);
    let (bench, engine) = (&podman.bench, &podman.bench.engine);
    let info = engine.hello().await.unwrap();
    assert_eq!(info.name, "Podman");
    assert_eq!(info.version, bench.cli(&["version", "-f", "{{.Server.Version}}"]));
    let mut happenings = bench.happenings();
    let (publish, home) = (publish(), bench.home());
    let spec = ContainerSpec {
        publish: Some(publish),
        home: Some(home.clone()),
        shm_bytes: Some(32 << 20),
        cpus: Some(0.5),
        memory_bytes: Some(64 << 20),
        pids: Some(50),
        cap_add: vec!["NET_BIND_SERVICE".into()],
        seccomp: Some("unconfined".into()),
        extra_hosts: vec!["far.example:192.0.2.1".into()],
        ..bench.spec("all", SERVE)
    };
    engine.create_network(&bench.network).await.unwrap();
    let made = engine.create(&spec).await.unwrap();
    assert!(made.limits_skipped.is_empty(), "{:?}", made.limits_skipped);
    let id = made.container_id.as_str();
    engine.start(id).await.unwrap();
    assert_eq!(happenings.next().await.what, Happening::Started);
    let seen = engine.inspect(id, &bench.network.name).await.unwrap().expect("it is there");
    assert!(seen.running && seen.address.is_some_and(|address| bench.network.subnet.contains(&address)), "{seen:?}");
    assert!(fetch(publish.address, publish.host_port).contains(GREETING));
    assert_eq!(engine.logs(id, 10).await.unwrap(), "serving\n");
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}";
    assert_eq!(bench.cli(&["inspect", "-f", limits, id]), "67108864 67108864 500000000 50");
    let stock = engine.inventory(&bench.installation).await.unwrap();
    assert!(stock.containers.len() == 1 && stock.containers[0].running, "{stock:?}");
    assert!(stock.networks.len() == 1 && stock.networks[0].subnet == Some(bench.network.subnet), "{stock:?}");

    engine.stop(id, Duration::from_secs(5)).await.unwrap();
    let told = happenings.until(id, |what| matches!(what, Happening::Died { .. })).await;
    let seen = engine.inspect(id, &bench.network.name).await.unwrap().expect("it is still there");
    assert_eq!((seen.running, told.last()), (false, Some(&Happening::Died { exit_code: seen.exit_code })));
    engine.stop(id, Duration::from_secs(5)).await.expect("it has ended already");
    engine.remove(id).await.unwrap();
    happenings.until(id, |what| *what == Happening::Destroyed).await;
    engine.remove(id).await.expect("it is gone already");
    assert_eq!(engine.inspect(id, &bench.network.name).await, Ok(None));
    for _ in 0..2 {
        engine.remove_volume(&home.volume).await.unwrap();
        engine.remove_network(&bench.network.name).await.unwrap();
    }
    assert_eq!(engine.inventory(&bench.installation).await.unwrap(), Default::default());
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let podman = Podman::start("", &[], None);
    let (bench, engine) = (&podman.bench, &podman.bench.engine);
    engine.create_network(&bench.network).await.unwrap();
    let other = NetworkSpec { name: format!("{}-other", bench.network.name), ..bench.network.clone() };
    assert_eq!(engine.create_network(&other).await, Err(EngineError::SubnetTaken(bench.network.subnet)));
    assert!(matches!(engine.create_network(&bench.network).await, Err(EngineError::NameTaken(_))));
    let publish = publish();
    let spec = ContainerSpec { publish: Some(publish), ..bench.spec("first", "sleep 100") };
    bench.run(&spec).await;
    assert!(matches!(engine.create(&spec).await, Err(EngineError::NameTaken(_))));
    let spec = ContainerSpec { publish: Some(publish), ..bench.spec("second", "sleep 100") };
    let id = engine.create(&spec).await.unwrap().container_id;
    assert_eq!(engine.start(&id).await, Err(EngineError::PortTaken(publish.host_port)));
    let spec = ContainerSpec { image: "127.0.0.1/none:9".into(), ..bench.spec("none", "true") };
    let answer = engine.create(&spec).await;
    assert!(matches!(answer, Err(EngineError::NoSuchImage(_))), "{answer:?}");
    engine.remove_network(&bench.network.name).await.expect("with the container in it");
    let seccomp = Some("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}".to_owned());
    engine.create_network(&bench.network).await.unwrap();
    let made = engine.create(&ContainerSpec { seccomp, ..bench.spec("third", "sleep 100") }).await.unwrap();
    assert_eq!(made.limits_skipped, ["seccomp"], "it takes a profile as the path of a file only");
    engine.start(&made.container_id).await.unwrap();
}

#[tokio::test]
async fn limits_that_it_cannot_apply_are_skipped_and_named() {
    let podman = Podman::start("umount /sys/fs/cgroup/pids", &[], None);
    let (bench, engine) = (&podman.bench, &podman.bench.engine);
    engine.create_network(&bench.network).await.unwrap();
    let spec = ContainerSpec { pids: Some(50), memory_bytes: Some(64 << 20), ..bench.spec("free", "sleep 100") };
    let made = engine.create(&spec).await.unwrap();
    assert_eq!(made.limits_skipped, ["pids"]);
    engine.start(&made.container_id).await.unwrap();
}

#[tokio::test]
async fn limits_that_are_refused_at_the_start_are_found_out_before() {
    let podman = Podman::start("", &["--runtime", "unequal"], None);
    let (bench, engine) = (&podman.bench, &podman.bench.engine);
    engine.create_network(&bench.network).await.unwrap();
    for suffix in ["tried", "known"] {
        let spec = ContainerSpec { pids: Some(50), memory_bytes: Some(64 << 20), ..bench.spec(suffix, "sleep 100") };
        let made = engine.create(&spec).await.unwrap();
        assert_eq!(made.limits_skipped, ["pids"]);
        engine.start(&made.container_id).await.unwrap();
    }
    assert_eq!(
        engine.inventory(&bench.installation).await.unwrap().containers.len(),
        2,
        "nothing is left of the trial"
    );
}

#[tokio::test]
async fn images_come_from_a_registry() {
    let docker = Bench::docker();
    let registry = Registry::start();
    let image = registry.fill(&docker);
    let podman = Podman::start("", &[], Some(registry.port));
    let (news, end) = all(podman.bench.engine.pull(&image)).await;
    assert_eq!(end, Ok(()), "{news:?}");
    assert_eq!(podman.bench.engine.has_image(&image).await, Ok(true));
    assert!(!news.is_empty());
    let (_, end) = all(podman.bench.engine.pull(&image.replace(":1", ":9"))).await;
    assert!(matches!(end, Err(EngineError::NoSuchImage(_))), "{end:?}");
}

#[test]
fn a_desktop_of_the_servers() {
    let podman = Podman::start("", &[], None);
    let (first, subnets) = next_block();
    let ports = format!("{first}-{}", first + 9);
    let server = Server::setup()
        .env("DOCKER_HOST", &podman.host)
        .args(["--desktop-ports", &ports, "--desktop-subnets", &subnets])
        .start();
    let api = server.api();
    let of_type = json!({
        "name": "greeting", "label": "A greeting", "kind": "web", "image": IMAGE, "port": 80, "scheme": "http",
        "entry_path": "/", "basic_user": null, "persistent_home": false, "command": ["sh", "-c", SERVE], "cap_add": ["NET_BIND_SERVICE"],
    });
    let (status, answer) = api.post("/api/desktop-types", &of_type);
    assert_eq!(status, 201, "{answer}");
    let (status, desktop) = api.post("/api/desktops", &json!({ "desktop_type": "greeting" }));
    assert_eq!(status, 202, "{desktop}");
    let desktop = until(&api, id_of(&desktop), "ready");
    assert_eq!(desktop["limits_skipped"], json!([]), "{desktop}");
    let page = api.send("GET", "/desktop/admin-greeting/index.html", None);
    assert!(page.status == 200 && page.text.contains(GREETING), "{page:?}");

    let networks = || podman.bench.cli(&["network", "ls", "--filter", "label=dockway.desktop", "-q", "--no-trunc"]);
    let network = podman.bench.cli(&["network", "ls", "--filter", "label=dockway.desktop", "--format", "{{.Name}}"]);
    assert!(network.ends_with("-admin-greeting"), "{network}");
    assert_eq!(api.delete(&format!("/api/desktops/{}", id_of(&desktop))).0, 204);
    assert_eq!((podman.bench.cli(&["ps", "-aq"]), networks()), (String::new(), String::new()), "nothing is left");
    forget_addresses(&network);
}
