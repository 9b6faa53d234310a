//! Containers from the network to the removal, and what the engine tells of them.

use std::net::IpAddr;
use std::time::Duration;

use dockway::desktop::engine::{ContainerSpec, Engine, EngineError, Found, FoundNetwork, Happening};
use serde_json::{Value, json};

use super::bench::{Bench, DESKTOP, GREETING, IMAGE, SERVE, fetch, publish};
use crate::common::{SOON, wait_for};

/// A seccomp profile that allows everything.
const PROFILE: &str = r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#;

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_container_from_its_making_to_its_removal() {
    let bench = Bench::docker();
    let engine = &bench.engine;
    let (publish, home) = (publish(), bench.home());
    let spec = ContainerSpec {
        env: vec![("GREETING".into(), "a=b c".into())],
        publish: Some(publish),
        home: Some(home.clone()),
        shm_bytes: Some(32 << 20),
        cpus: Some(0.5),
        memory_bytes: Some(64 << 20),
        pids: Some(50),
        cap_add: vec!["NET_BIND_SERVICE".into()],
        seccomp: Some(PROFILE.into()),
        extra_hosts: vec!["far.example:192.0.2.1".into()],
        ..bench.spec("all", SERVE)
    };
    engine.create_network(&bench.network).await.unwrap();
    let made = engine.create(&spec).await.unwrap();
    assert!(made.limits_skipped.is_empty(), "{:?}", made.limits_skipped);
    let id = made.container_id.as_str();
    engine.start(id).await.unwrap();

    let seen = engine.inspect(id, &bench.network.name).await.unwrap().expect("it is there");
    assert!(seen.running && seen.container_id == id, "{seen:?}");
    let address = seen.address.expect("it has an address in its network");
    assert!(bench.network.subnet.contains(&address), "{address}");
    assert!(fetch(publish.address, publish.host_port).contains(GREETING));
    assert!(fetch(IpAddr::V4(address), 80).contains(GREETING), "at its own address, too");
    assert_eq!(engine.logs(id, 10).await.unwrap(), "serving\n");
    as_wanted(&bench, id, &spec);

    let stock = engine.inventory(&bench.installation).await.unwrap();
    let desktop_id = DESKTOP.to_owned();
    assert_eq!(stock.containers, [Found { container_id: id.into(), desktop_id: desktop_id.clone(), running: true }]);
    let name = bench.network.name.clone();
    assert_eq!(stock.networks, [FoundNetwork { name, desktop_id, subnet: Some(bench.network.subnet) }]);

    engine.stop(id, GRACE).await.unwrap();
    let seen = engine.inspect(id, &bench.network.name).await.unwrap().expect("it is still there");
    assert_eq!((seen.running, seen.exit_code, seen.out_of_memory), (false, 3, false), "{seen:?}");
    engine.stop(id, GRACE).await.expect("it has ended already");
    assert!(!engine.inventory(&bench.installation).await.unwrap().containers[0].running);
    engine.remove(&spec.name).await.expect("by its name, too");
    assert_eq!(engine.inspect(id, &bench.network.name).await, Ok(None));
    engine.remove_volume(&home.volume).await.unwrap();
    engine.remove_network(&bench.network.name).await.unwrap();
    assert_eq!(engine.inventory(&bench.installation).await.unwrap(), Default::default());
}

/// The engine has taken everything that was asked for.
fn as_wanted(bench: &Bench, id: &str, spec: &ContainerSpec) {
    let all: Value = serde_json::from_str(&bench.cli(&["inspect", id])).unwrap();
    let (host, config) = (&all[0]["HostConfig"], &all[0]["Config"]);
    let publish = spec.publish.unwrap();
    for (place, expected) in [
        ("NanoCpus", json!(500_000_000)),
        ("Memory", json!(64 << 20)),
        ("MemorySwap", json!(64 << 20)),
        ("PidsLimit", json!(50)),
        ("ShmSize", json!(32 << 20)),
        ("CapDrop", json!(["ALL"])),
        ("CapAdd", json!(["NET_BIND_SERVICE"])),
        ("SecurityOpt", json!(["no-new-privileges", format!("seccomp={PROFILE}")])),
        ("ExtraHosts", json!(["far.example:192.0.2.1"])),
        ("RestartPolicy", json!({ "Name": "no", "MaximumRetryCount": 0 })),
        ("Init", json!(true)),
        ("Privileged", json!(false)),
        ("LogConfig", json!({ "Type": "json-file", "Config": { "max-size": "10m", "max-file": "2" } })),
        ("PortBindings", json!({ "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": publish.host_port.to_string() }] })),
    ] {
        let got = if place == "CapAdd" {
            json!([host[place][0].as_str().unwrap().trim_start_matches("CAP_")])
        } else {
            host[place].clone()
        };
        assert_eq!(got, expected, "{place}");
    }
    assert_eq!((&config["Image"], &config["Hostname"]), (&json!(IMAGE), &json!("bench")));
    assert!(config["Env"].as_array().unwrap().contains(&json!("GREETING=a=b c")));
    let home = spec.home.as_ref().unwrap();
    let mount = &all[0]["Mounts"][0];
    assert_eq!((&mount["Name"], &mount["Destination"]), (&json!(home.volume), &json!(home.path)));
    let volume: Value = serde_json::from_str(&bench.cli(&["volume", "inspect", &home.volume])).unwrap();
    for (name, value) in bench.labels() {
        assert_eq!(config["Labels"][&name], json!(value));
        assert_eq!(volume[0]["Labels"][&name], json!(value));
    }
}

#[tokio::test]
async fn what_happens_is_told_in_order_since_the_call() {
    let bench = Bench::docker();
    let mut happenings = bench.happenings();
    bench.engine.create_network(&bench.network).await.unwrap();
    let spec = bench.spec("told", SERVE);
    let id = bench.run(&spec).await;
    // All of it lies before the first look at the stream.
    wait_for("it serves", SOON, || bench.cli(&["logs", &id]).contains("serving").then_some(()));
    bench.engine.stop(&id, GRACE).await.unwrap();
    let told = happenings.until(&id, |what| *what == Happening::Stopped).await;
    let killed = |signal: &str| Happening::Killed { signal: signal.into() };
    assert_eq!(told, [Happening::Started, killed("15"), Happening::Died { exit_code: 3 }, Happening::Stopped]);

    bench.engine.start(&id).await.unwrap();
    bench.cli(&["kill", &id]);
    let told = happenings.until(&id, |what| matches!(what, Happening::Died { .. })).await;
    assert_eq!(told, [Happening::Started, killed("9"), Happening::Died { exit_code: 137 }]);
    bench.engine.remove(&id).await.unwrap();
    assert_eq!(happenings.until(&id, |_| true).await, [Happening::Destroyed]);
}

#[tokio::test]
async fn a_container_out_of_memory_is_told_apart() {
    let bench = Bench::docker();
    let mut happenings = bench.happenings();
    bench.engine.create_network(&bench.network).await.unwrap();
    let spec = ContainerSpec { memory_bytes: Some(16 << 20), ..bench.spec("full", "tail /dev/zero; exit 9") };
    let id = bench.run(&spec).await;
    let told = happenings.until(&id, |what| matches!(what, Happening::Died { .. })).await;
    assert!(told.contains(&Happening::OutOfMemory), "{told:?}");
    let seen = bench.engine.inspect(&id, &bench.network.name).await.unwrap().expect("it is there");
    assert!(seen.out_of_memory && !seen.running, "{seen:?}");
}

#[tokio::test]
async fn a_home_outlives_its_container() {
    let bench = Bench::docker();
    bench.engine.create_network(&bench.network).await.unwrap();
    for script in ["echo kept > /home/me/file", "cat /home/me/file"] {
        let spec = ContainerSpec { home: Some(bench.home()), ..bench.spec("home", script) };
        let id = bench.run(&spec).await;
        bench.cli(&["wait", &id]);
        if script.starts_with("cat") {
            assert_eq!(bench.engine.logs(&id, 1).await.unwrap(), "kept\n");
        }
        bench.engine.remove(&id).await.unwrap();
    }
}

#[tokio::test]
async fn of_the_output_the_last_lines_of_both_streams_are_told() {
    let bench = Bench::docker();
    bench.engine.create_network(&bench.network).await.unwrap();
    let script =
        "for n in 1 2 3 4 5 6 7; do echo line $n; done; echo odd >&2; dd if=/dev/zero bs=1k count=300 2>/dev/null";
    let id = bench.run(&bench.spec("loud", script)).await;
    bench.cli(&["wait", &id]);
    let all = bench.engine.logs(&id, 10_000).await.unwrap();
    assert!(all.len() <= 64 * 1024 && !all.contains("line"), "{} bytes", all.len());
    let id =
        bench.run(&bench.spec("quiet", "for n in 1 2 3 4 5; do echo line $n; done; sleep 0.1; echo odd >&2")).await;
    bench.cli(&["wait", &id]);
    assert_eq!(bench.engine.logs(&id, 2).await.unwrap(), "line 5\nodd\n");
}

#[tokio::test]
async fn a_network_goes_with_whatever_is_attached() {
    let bench = Bench::docker();
    bench.engine.create_network(&bench.network).await.unwrap();
    let spec = bench.spec("guest", "sleep 100");
    let id = bench.run(&spec).await;
    bench.engine.remove_network(&bench.network.name).await.unwrap();
    let seen = bench.engine.inspect(&id, &bench.network.name).await.unwrap().expect("it is there");
    assert!(seen.running && seen.address.is_none(), "{seen:?}");
}

#[tokio::test]
async fn what_is_gone_already_is_fine() {
    let bench = Bench::docker();
    let (engine, none) = (&bench.engine, "dockway-it-none");
    engine.stop(none, GRACE).await.unwrap();
    engine.remove(none).await.unwrap();
    engine.remove_network(none).await.unwrap();
    engine.remove_volume(none).await.unwrap();
    assert_eq!(engine.inspect(none, none).await, Ok(None));
    assert!(matches!(engine.start(none).await, Err(EngineError::NotFound(_))));
    assert!(matches!(engine.logs(none, 1).await, Err(EngineError::NotFound(_))));
    engine.join_network(none).await.expect("this test runs in no container, so there is nothing to attach");
}
