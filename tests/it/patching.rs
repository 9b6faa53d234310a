//! PATCH of a tunnel in use.

use std::net::TcpListener;

use serde_json::json;

use crate::common::sockets::{is_free, local, wait_end};
use crate::common::{Remote, Rig, SOON, Server, both_protocols, is_refused, ping};

both_protocols!(new_port, switched_off_and_on, new_remote);

fn new_port(protocol: &str) {
    let echo = Remote::echo();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    let new = rig.server.spare_port();
    let view = tunnel.patch(&json!({ "local_port": new }));
    assert_eq!(view["local_port"], new);
    assert!(is_refused(tunnel.port), "the old port is left");
    ping(&mut crate::common::connect(new));
}

/// The old port stays when the new one cannot be had.
#[test]
fn new_port_that_is_taken() {
    let echo = Remote::echo();
    let rig = Rig::start("binary");
    let (tunnel, other) = (rig.tunnel_to(echo.port), rig.tunnel_to(echo.port));
    let squatted = rig.server.spare_port();
    let _squatter = TcpListener::bind(local(squatted)).expect("a free port");
    for (port, code) in [(other.port, "port_in_use"), (squatted, "port_unavailable")] {
        let (status, answer) = rig.server.api().patch(&tunnel.path(), &json!({ "local_port": port }));
        assert_eq!((status, answer["code"].as_str()), (409, Some(code)), "{answer}");
        assert_eq!(tunnel.view()["local_port"], tunnel.port);
        ping(&mut tunnel.connect());
    }
}

fn switched_off_and_on(protocol: &str) {
    let echo = Remote::echo();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    let mut user = tunnel.connect();
    ping(&mut user);
    let view = tunnel.patch(&json!({ "enabled": false }));
    assert_eq!((&view["enabled"], &view["state"]), (&json!(false), &json!("paused")), "{view}");
    assert!(is_refused(tunnel.port));
    wait_end(&mut user);
    tunnel.wait_idle(SOON);
    tunnel.patch(&json!({ "enabled": true }));
    assert_eq!(tunnel.view()["state"], "listening");
    ping(&mut tunnel.connect());
}

fn new_remote(protocol: &str) {
    let (old, new) = (Remote::echo(), Remote::echo());
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(old.port);
    let mut user = tunnel.connect();
    ping(&mut user);
    let view = tunnel.patch(&json!({ "remote_port": new.port, "remote_host": "localhost", "name": "moved" }));
    assert_eq!(view["remote_port"], new.port);
    assert_eq!(view["name"], "moved");
    ping(&mut tunnel.connect());
    assert_eq!((old.accepted(), new.accepted()), (1, 1));
}

#[test]
fn changes_that_cannot_be() {
    let server = Server::start();
    server.enrol("pc1");
    let tunnel = server.create_tunnel("pc1", 80);
    let before = tunnel.view();
    let changes = [
        ("remote_port", json!({ "remote_port": 0 })),
        ("local_port", json!({ "local_port": 70_000 })),
        ("remote_host", json!({ "remote_host": "" })),
        ("enabled", json!({ "enabled": "yes" })),
        ("allow", json!({ "allow": ["300.0.0.0/8"] })),
        ("client_id", json!({ "client_id": "other" })),
        ("colour", json!({ "colour": "blue" })),
    ];
    for (field, change) in changes {
        let (status, answer) = server.api().patch(&tunnel.path(), &change);
        assert_eq!(status, 422, "{change}: {answer}");
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
    }
    assert_eq!(tunnel.view(), before);
    assert_eq!(server.api().patch("/api/proxy/unknown", &json!({ "name": "x" })).1["code"], "tunnel_unknown");
    assert!(!is_free(tunnel.port));
}
