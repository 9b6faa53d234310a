//! The catalogue of desktop types: what comes with the program, what an administrator makes of it, and who sees what.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::api::assert_problem;
use crate::common::{Server, rows};

const PLACE: &str = "/api/desktop-types";

fn names(types: &[Value]) -> Vec<&str> {
    types.iter().map(|one| one["name"].as_str().expect("a name")).collect()
}

fn with(one: &Value, changes: Value) -> Value {
    let mut one = one.as_object().expect("an object").clone();
    one.extend(changes.as_object().expect("an object").clone());
    Value::Object(one)
}

#[test]
fn the_types_that_come_with_the_program() {
    let server = Server::start();
    let alice = server.user("alice", "user", &["desktops:read"]);
    let expected = ["debian-desktop", "ubuntu-chromium", "ubuntu-desktop", "ubuntu-vscode"];
    assert_eq!(names(&server.api().items(PLACE)), expected);
    assert_eq!(names(&alice.items(PLACE)), expected);
    let (status, whole) = server.api().get(&format!("{PLACE}/ubuntu-vscode"));
    assert_eq!((status, &whole["env"]), (200, &json!({ "VNC_PW": "{password}" })));
    assert!(whole["image"].as_str().expect("an image").starts_with("kasmweb/vs-code:"));
    let (status, brief) = alice.get(&format!("{PLACE}/ubuntu-vscode"));
    assert_eq!((status, &brief["label"], brief.get("env")), (200, &json!("Visual Studio Code"), None));
}

#[test]
fn what_an_administrator_makes_outlives_a_restart() {
    let mut server = Server::setup().will_restart().start();
    let admin = server.api();
    let body = json!({ "name": "code", "label": "Code", "image": "codercom/code-server:4.96.4", "kind": "web", "port": 8080,
        "scheme": "http", "env": { "A": "{username}" }, "command": ["code-server", "--auth=none"], "cpus": 0.5,
        "cap_add": ["CAP_SYS_NICE"], "extra_hosts": ["db:10.0.0.7"], "seccomp": "unconfined", "idle_limit_s": null });
    let (status, made) = admin.post(PLACE, &body);
    assert_eq!(status, 201, "{made}");
    let place = format!("{PLACE}/code");
    let replaced = with(&made, json!({ "label": "Editor", "memory_bytes": 1 << 30, "enabled": false }));
    let answer = admin.send("PUT", &place, Some(("application/json", &replaced.to_string())));
    assert_eq!((answer.status, answer.json()), (200, replaced.clone()));
    assert_eq!(admin.delete(&format!("{PLACE}/ubuntu-chromium")).0, 204);

    assert!(server.terminate(Duration::from_secs(30)).success());
    server.restart();

    assert_eq!(admin.get(&place), (200, replaced.clone()));
    assert_eq!(replaced["cap_add"], json!(["SYS_NICE"]));
    assert_eq!(names(&admin.items(PLACE)), ["code", "debian-desktop", "ubuntu-desktop", "ubuntu-vscode"]);
    assert_problem(admin.get(&format!("{PLACE}/ubuntu-chromium")), 404, "desktop_type_unknown");
}

#[test]
fn a_type_that_somebody_uses_stays() {
    let mut server = Server::setup().will_restart().start();
    server.user("alice", "user", &["desktops:read"]);
    rows::give_stopped_desktop(&mut server, "alice");
    assert_problem(server.api().delete(&format!("{PLACE}/debian-desktop")), 409, "desktop_type_in_use");
    let (_, one) = server.api().get(&format!("{PLACE}/debian-desktop"));
    let renamed = with(&one, json!({ "name": "plain-desktop" })).to_string();
    let answer = server.api().send("PUT", &format!("{PLACE}/debian-desktop"), Some(("application/json", &renamed)));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let desktops = server.api().items("/api/desktops");
    assert_eq!(
        (&desktops[0]["desktop_type"], &desktops[0]["proxy_path"]),
        (&json!("plain-desktop"), &json!("alice-debian-desktop"))
    );
}

#[test]
fn what_cannot_be_a_type() {
    let server = Server::start();
    let good = json!({ "name": "a", "label": "A", "image": "a:1" });
    let table = [
        (json!({ "name": "" }), "name", "empty"),
        (json!({ "name": "../x" }), "name", "format"),
        (json!({ "label": "l".repeat(81) }), "label", "too_long"),
        (json!({ "image": "kasmweb/vs-code" }), "image", "format"),
        (json!({ "image": "Kasm:1" }), "image", "format"),
        (json!({ "image": "a:1;rm" }), "image", "format"),
        (json!({ "kind": "vm" }), "kind", "format"),
        (json!({ "port": 65_536 }), "port", "range"),
        (json!({ "scheme": "ws" }), "scheme", "format"),
        (json!({ "entry_path": "//evil/../x" }), "entry_path", "format"),
        (json!({ "entry_path": "/%2e%2e/x" }), "entry_path", "format"),
        (json!({ "entry_path": format!("/{}", "a".repeat(1024)) }), "entry_path", "too_long"),
        (json!({ "env": { "A-B": "x" } }), "env", "format"),
        (json!({ "env": ["A=B"] }), "env", "type"),
        (json!({ "command": "sh -c x" }), "command", "type"),
        (json!({ "cpus": 0 }), "cpus", "range"),
        (json!({ "cpus": 1025 }), "cpus", "range"),
        (json!({ "memory_bytes": -1 }), "memory_bytes", "range"),
        (json!({ "shm_bytes": 1e30 }), "shm_bytes", "type"),
        (json!({ "pids": 0 }), "pids", "range"),
        (json!({ "cap_add": ["ALL"] }), "cap_add", "format"),
        (json!({ "seccomp": "/etc/shadow" }), "seccomp", "format"),
        (json!({ "extra_hosts": ["db"] }), "extra_hosts", "format"),
        (json!({ "home_path": "home" }), "home_path", "format"),
        (json!({ "idle_limit_s": 59 }), "idle_limit_s", "range"),
        (json!({ "privileged": true }), "privileged", "unknown"),
    ];
    for (changes, field, code) in table {
        let (status, answer) = server.api().post(PLACE, &with(&good, changes.clone()));
        let told = (&answer["errors"][0]["field"], &answer["errors"][0]["code"], &answer["errors"][1]);
        assert_eq!((status, told), (422, (&json!(field), &json!(code), &Value::Null)), "{changes}: {answer}");
    }
    assert_eq!(server.api().items(PLACE).len(), 4);
    assert_eq!(server.api().post(PLACE, &good).0, 201);
    assert_problem(server.api().post(PLACE, &good), 409, "desktop_type_exists");
}
