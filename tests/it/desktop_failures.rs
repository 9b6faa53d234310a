//! Desktops that cannot be brought up, on a real engine: each says why, and nothing is left of it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::docker::{Desktops, Kind, LIGHT, container_of, exec, id_of, inspect, until, until_within};
use crate::common::event_stream::{EventStream, Way};
use crate::common::slow_way::SlowWay;
use crate::common::{Api, SOON, Server, wait_for, wait_until};
use crate::engine::bench::Bench;
use crate::engine::images::Registry;

/// What ends at once may take so long on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);
/// An engine that loses its registry comes again after 5 s.
const PULL_FAILS_WITHIN: Duration = Duration::from_secs(20);

/// An image that the engine has not, with two layers to fetch, at the end of a slow way.
struct Faraway {
    image: String,
    way: SlowWay,
    _registry: Registry,
    _bench: Bench,
}

impl Faraway {
    fn push() -> Self {
        let (bench, registry) = (Bench::docker(), Registry::start());
        registry.fill(&bench);
        let way = SlowWay::to(registry.port);
        Self { image: registry.image(way.port), way, _registry: registry, _bench: bench }
    }
}

impl Drop for Faraway {
    fn drop(&mut self) {
        let mut remove = Command::new("docker");
        let _ = remove.args(["rmi", "-f", &self.image]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn launch(api: &Api, desktop_type: &str) -> Value {
    let (status, desktop) = api.post("/api/desktops", &json!({ "desktop_type": desktop_type }));
    assert_eq!(status, 202, "{desktop}");
    desktop
}

fn place(desktop: &Value) -> String {
    format!("/api/desktops/{}", id_of(desktop))
}

fn order(api: &Api, desktop: &Value, what: &str) {
    let (status, answer) = api.post(&format!("{}/{what}", place(desktop)), &json!({}));
    assert_eq!(status, 202, "{answer}");
}

/// Some of it has come, and not all.
fn is_under_way(progress: &Value) -> bool {
    progress["done"].as_u64() > Some(0) && progress["done"].as_u64() < progress["total"].as_u64()
}

/// Wait until a pull is under way.
fn until_under_way(api: &Api, desktop: &Value) -> Value {
    wait_for("bytes of the image come", SOON, || {
        let (_, shown) = api.get(&place(desktop));
        assert_ne!(shown["status"], "failed", "{shown}");
        is_under_way(&shown["progress"]).then_some(shown)
    })
}

fn reason(desktop: &Value) -> &str {
    desktop["reason"].as_str().unwrap_or_else(|| panic!("no reason in {desktop}"))
}

#[test]
fn a_pull_is_told_layer_by_layer_and_ends_when_it_is_told() {
    let faraway = Faraway::push();
    let server = Desktops::start();
    let alice = server.user("alice", "user", &[]);
    server.add_light_type("far", json!({ "image": faraway.image }));
    let mut events = EventStream::open(&server, alice.token(), Way::WebSocket);
    let desktop = launch(&alice, "far");
    let told = std::iter::from_fn(|| events.next()).map(|event| event["desktop"]["progress"].clone());
    let told: Vec<_> = told.filter(is_under_way).take(3).collect();
    assert!(told.windows(2).all(|pair| pair[0]["done"].as_u64() <= pair[1]["done"].as_u64()), "{told:?}");
    assert_ne!(told[0], told[2], "it moves");
    let shown = until_under_way(&alice, &desktop);
    assert_eq!(shown["status"], "pulling");
    let layers = shown["progress"]["layers"].as_array().expect("layers");
    let states: Vec<_> = layers.iter().map(|layer| layer["state"].as_str().expect("a state")).collect();
    assert_eq!((layers.len(), states[0]), (3, "done"), "the first is there already: {layers:?}");

    // Whoever stops or deletes it does not wait for the pull.
    order(&alice, &desktop, "stop");
    let stopped = until_within(&alice, id_of(&desktop), "stopped", AT_ONCE);
    assert_eq!(stopped["progress"], Value::Null);
    server.assert_nothing_left(id_of(&desktop));
    order(&alice, &desktop, "start");
    until_under_way(&alice, &desktop);
    let begun = Instant::now();
    assert_eq!(alice.delete(&place(&desktop)).0, 204);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    events.wait("desktop.deleted", id_of(&desktop));

    faraway.way.go_fast();
    let again = launch(&alice, "far");
    assert_ne!(again["id"], desktop["id"]);
    let ready = until(&alice, id_of(&again), "ready");
    assert_eq!((&ready["progress"], &ready["proxy_path"]), (&Value::Null, &desktop["proxy_path"]));
}

#[test]
fn a_pull_that_is_cut_off_fails() {
    let faraway = Faraway::push();
    let server = Desktops::start();
    let alice = server.user("alice", "user", &[]);
    server.add_light_type("far", json!({ "image": faraway.image }));
    let desktop = launch(&alice, "far");
    until_under_way(&alice, &desktop);
    faraway.way.cut();
    let failed = until_within(&alice, id_of(&desktop), "failed", PULL_FAILS_WITHIN);
    let told = [faraway.image.as_str(), "closed for today"];
    assert!(told.iter().all(|words| reason(&failed).contains(words)), "{failed}");
    assert_eq!(failed["progress"], Value::Null);
    server.assert_nothing_left(id_of(&desktop));
}

#[test]
fn what_starts_badly_fails_with_its_last_words() {
    let server = Desktops::from_setup(Server::setup().args(["--desktop-ready-limit", "3s"]));
    let alice = server.user("alice", "user", &[]);
    let script = |script: &str| json!({ "command": ["sh", "-c", script] });
    server.add_light_type("deaf", script("echo I am deaf; exec sleep 600"));
    server.add_light_type("brief", script("echo these were; echo the last words; exit 7"));
    let hungry = json!({ "command": ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M"], "memory_bytes": 16 << 20 });
    server.add_light_type("hungry", hungry);
    let table = [
        ("deaf", "did not answer well within 3 s", "I am deaf"),
        ("brief", "the container ended with exit code 7", "these were\nthe last words"),
        ("hungry", "the container ended with exit code 137: it ran out of memory", ""),
    ];
    for (desktop, (name, why, words)) in table.map(|row| (launch(&alice, row.0), row)) {
        let failed = until(&alice, id_of(&desktop), "failed");
        assert!(reason(&failed).contains(why) && reason(&failed).contains(words), "{name}: {failed}");
        let log = alice.send("GET", &format!("{}/logs", place(&desktop)), None);
        assert_eq!((log.status, log.text.trim_end()), (200, words), "{name}");
        let path = format!("/desktop/{}/", desktop["proxy_path"].as_str().expect("a path"));
        assert_eq!(alice.send("GET", &path, None).status, 503, "{name}");
        let row = server.row(id_of(&desktop));
        assert_eq!((row.container_id, row.host_port, row.subnet, row.password), (None, None, None, None), "{name}");
    }
    assert_eq!((server.all(Kind::Container).len(), server.all(Kind::Network).len()), (0, 0));
}

#[test]
fn one_that_runs_out_of_memory_is_started_again() {
    let server = Desktops::start();
    let alice = server.user("alice", "user", &[]);
    // It eats when it is told, once.
    let script = LIGHT.replace(
        "& wait",
        "& until busybox rm /tmp/eat 2>/dev/null; do sleep 0.1; done; exec dd if=/dev/zero of=/dev/null bs=64M",
    );
    server.add_light_type("small", json!({ "command": ["sh", "-c", script], "memory_bytes": 16 << 20 }));
    let desktop = server.launch(&alice, "small");
    let container = container_of(&desktop);
    let began = inspect(&container).expect("a container")["State"]["StartedAt"].clone();
    let mut events = EventStream::open(&server, alice.token(), Way::WebSocket);
    assert!(exec(&container, "touch /tmp/eat").0);
    let told = events.wait("desktop.changed", id_of(&desktop));
    assert_eq!(told["desktop"]["status"], "starting");
    let expected = "the container ended with exit code 137: it ran out of memory; it is started again";
    assert_eq!(told["desktop"]["reason"], expected);
    wait_until("it runs again", SOON, || {
        let runs = inspect(&container).is_some_and(|c| c["State"]["StartedAt"] != began);
        runs && alice.get(&place(&desktop)).1["status"] == "ready"
    });
    let shown = alice.get(&place(&desktop)).1;
    assert_eq!((&shown["reason"], &shown["id"]), (&Value::Null, &desktop["id"]));
}
