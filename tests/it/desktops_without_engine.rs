//! A server whose container engine is not there: desktops say so, and everything else works.

use serde_json::json;

use crate::common::api::assert_problem;
use crate::common::{Browser, Remote, Rig, Server, ping, rows};

/// Where nothing listens, whatever this machine has.
pub const NO_ENGINE: [&str; 2] = ["env", "DOCKER_HOST=unix:///nonexistent/engine.sock"];

#[test]
fn a_desktop_is_refused_in_words_and_nothing_is_left_behind() {
    let server = Server::setup().under(NO_ENGINE).start();
    let alice = server.user("alice", "user", &["desktops:read", "desktops:write"]);
    for _ in 0..2 {
        let body = json!({ "desktop_type": "ubuntu-vscode" }).to_string();
        let answer = alice.send("POST", "/api/desktops", Some(("application/json", &body)));
        answer.assert_problem(503, "engine_unavailable");
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
    assert!(alice.items("/api/desktops").is_empty());
    let unknown = alice.post("/api/desktops", &json!({ "desktop_type": "none" }));
    assert_problem(unknown, 404, "desktop_type_unknown");
    assert_eq!(alice.items("/api/desktop-types").len(), 4);
}

#[test]
fn desktops_that_there_were_are_shown() {
    let mut server = Server::setup().under(NO_ENGINE).will_restart().start();
    let alice = server.user("alice", "user", &["desktops:read", "desktops:write"]);
    let bob = server.user("bob", "user", &["desktops:read", "desktops:write"]);
    let id = rows::give_stopped_desktop(&mut server, "alice");
    let (status, shown) = alice.get(&format!("/api/desktops/{id}"));
    assert_eq!((status, &shown["status"], &shown["owner"]), (200, &json!("stopped"), &json!("alice")));
    let url = format!("http://127.0.0.1:{}/desktop/alice-debian-desktop", server.port);
    assert_eq!((&shown["url"], &shown["connections"]), (&json!(url), &json!(0)));
    assert_problem(alice.post(&format!("/api/desktops/{id}/start"), &json!({})), 503, "engine_unavailable");
    assert_problem(alice.get(&format!("/api/desktops/{id}/thumbnail")), 503, "desktop_not_ready");
    assert_problem(bob.post(&format!("/api/desktops/{id}/start"), &json!({})), 404, "desktop_unknown");
    assert_problem(server.api().get(&format!("/api/desktops/{id}/thumbnail")), 403, "owner_only");
    assert!(bob.items("/api/desktops").is_empty());
    assert_eq!(alice.get(&format!("/api/desktops/{id}")), (200, shown));
}

#[test]
fn everything_else_works() {
    let echo = Remote::echo();
    let rig = Rig::on(Server::setup().under(NO_ENGINE).start(), "binary");
    let tunnel = rig.tunnel_to(echo.port);
    ping(&mut tunnel.connect());
    for path in ["/healthz", "/readyz", "/api/me", "/api/agents", "/api/desktops", "/api/desktop-types"] {
        assert_eq!(rig.server.api().get(path).0, 200, "{path}");
    }
    let browser = Browser::sign_in(&rig.server, "admin", &rig.server.password);
    assert_problem(
        browser.post("/api/desktops", &json!({ "desktop_type": "debian-desktop" })),
        503,
        "engine_unavailable",
    );
}
