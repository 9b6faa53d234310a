//! Desktops between two states, and after their owners: nothing is there twice, and nobody inherits anything.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::api::assert_problem;
use crate::common::docker::{Desktops, Kind, container_of, exec, id_of, inspect, until, until_within};
use crate::common::server::clean_environment;
use crate::common::{Api, SOON};

/// How long a stop takes at most: until the container is killed, and what a busy machine adds.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

fn create(api: &Api, desktop_type: &str) -> (u16, Value) {
    api.post("/api/desktops", &json!({ "desktop_type": desktop_type }))
}

fn order(api: &Api, id: &str, what: &str) -> Value {
    let (status, answer) = api.post(&format!("/api/desktops/{id}/{what}"), &json!({}));
    assert_eq!(status, 202, "{answer}");
    answer
}

#[test]
fn orders_at_odd_moments() {
    let server = Desktops::start();
    let alice = server.user("alice", "user", &[]);
    let late = ["sh", "-c", "sleep 600"];
    server.add_light_type("late", json!({ "command": late }));
    server.add_light_type("light", json!({}));

    // Deleted on its way up.
    let (_, desktop) = create(&alice, "late");
    until(&alice, id_of(&desktop), "starting");
    assert_eq!(alice.delete(&format!("/api/desktops/{}", id_of(&desktop))).0, 204);
    assert_eq!((server.all(Kind::Container).len(), server.all(Kind::Network).len()), (0, 0));

    // Made again at once, more than once: each is another one at the same address.
    let mut before = Value::Null;
    for _ in 0..3 {
        let (status, desktop) = create(&alice, "light");
        assert_eq!((status, &desktop["proxy_path"]), (202, &json!("alice-light")), "{desktop}");
        assert_ne!(desktop["id"], before["id"]);
        assert_eq!(alice.delete(&format!("/api/desktops/{}", id_of(&desktop))).0, 204);
        assert_eq!((server.all(Kind::Container).len(), server.all(Kind::Network).len()), (0, 0));
        before = desktop;
    }

    // Started twice is started once, stopped twice is stopped once.
    let desktop = server.launch(&alice, "light");
    let (id, container) = (id_of(&desktop), container_of(&desktop));
    let engine_id = inspect(&container).expect("it runs")["Id"].clone();
    assert_eq!(order(&alice, id, "start")["status"], "ready");
    assert_eq!(inspect(&container).expect("it runs")["Id"], engine_id);
    order(&alice, id, "stop");
    order(&alice, id, "stop");
    until_within(&alice, id, "stopped", STOPPED_WITHIN);
    assert_eq!(order(&alice, id, "stop")["status"], "stopped");
    server.assert_nothing_left(id);
    order(&alice, id, "start");
    order(&alice, id, "start");
    until(&alice, id, "ready");
    assert_eq!(server.all(Kind::Container).len(), 1);

    // Stopped and started again before it is down: it comes back by itself.
    order(&alice, id, "stop");
    order(&alice, id, "start");
    until(&alice, id, "ready");
    assert_ne!(inspect(&container).expect("it runs")["Id"], engine_id);
}

#[test]
fn a_later_person_of_the_same_name_inherits_nothing() {
    let server = Desktops::start();
    server.add_light_type("light", json!({}));
    let alice = server.user("alice", "user", &[]);
    let desktop = server.launch(&alice, "light");
    assert!(exec(&container_of(&desktop), "echo secret > /home/me/kept").0);
    let account = server.user_path("alice");
    assert_problem(server.api().delete(&account), 409, "user_in_use");
    assert_eq!(alice.delete(&format!("/api/desktops/{}", id_of(&desktop))).0, 204);
    assert_eq!(server.api().delete(&account).0, 204);

    let later = server.user("alice", "user", &[]);
    assert_eq!(later.items("/api/desktops").len(), 0);
    let own = server.launch(&later, "light");
    assert_eq!(own["proxy_path"], desktop["proxy_path"]);
    assert_eq!(exec(&container_of(&own), "busybox ls -A /home/me").1.lines().count(), 0);
    assert_eq!(server.all(Kind::Volume).len(), 2, "the first one's home is its own");
}

#[test]
fn who_may_have_a_desktop_and_of_what() {
    let server = Desktops::from_setup(crate::common::Server::setup().args(["--user-desktops", "1"]));
    let alice = server.user("alice", "user", &[]);
    server.add_light_type("light", json!({}));
    server.add_light_type("other", json!({}));
    server.add_light_type("off", json!({ "enabled": false }));
    assert_problem(create(&alice, "off"), 422, "desktop_type_disabled");
    assert_problem(create(&alice, "none"), 404, "desktop_type_unknown");
    let desktop = server.launch(&alice, "light");
    assert_problem(create(&alice, "other"), 409, "limit_reached");
    assert_eq!(create(&alice, "light").1["id"], desktop["id"], "the one that she has");
    assert_eq!(server.all(Kind::Container).len(), 1);

    let (status, answer) = server.api().patch(&server.user_path("alice"), &json!({ "active": false }));
    assert_eq!(status, 200, "{answer}");
    let stopped = until_within(&server.api(), id_of(&desktop), "stopped", STOPPED_WITHIN);
    assert!(stopped["reason"].is_string(), "{stopped}");
    server.assert_nothing_left(id_of(&desktop));
}

#[test]
fn without_its_key_a_server_with_desktops_does_not_start() {
    let mut server = Desktops::start();
    let alice = server.user("alice", "user", &[]);
    server.add_light_type("light", json!({}));
    let desktop = server.launch(&alice, "light");
    assert!(server.terminate(SOON * 2).success());
    let path = server.data_dir().join("secret.key");
    let key = std::fs::read(&path).expect("the key");

    std::fs::remove_file(&path).expect("it was there");
    assert!(refusal(server.data_dir()).contains("is missing, but the database holds secrets"));
    assert!(!path.exists(), "no other key is made");
    std::fs::write(&path, STANDARD.encode([7; 32])).expect("another key");
    assert!(refusal(server.data_dir()).contains("holds another key than the one that encrypted"));

    std::fs::write(&path, key).expect("the key again");
    server.restart();
    assert_eq!(alice.send("GET", "/desktop/alice-light/", None).text.trim(), "light");
    assert_eq!(until(&alice, id_of(&desktop), "ready")["id"], desktop["id"]);
}

/// What a server says that must not come up.
fn refusal(data_dir: &Path) -> String {
    let mut command = Command::new("timeout");
    clean_environment(&mut command).args(["--signal=KILL", "30", env!("CARGO_BIN_EXE_dockway"), "serve"]);
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).stdin(Stdio::null());
    let output = command.output().expect("timeout starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("secret.key"), "{said}");
    said
}
