//! An engine that is not there yet, goes away and comes back.

use std::time::Duration;

use serde_json::json;

use crate::common::docker::{TYPE, id_of, next_block, until};
use crate::common::own_engine::OwnEngine;
use crate::common::{SOON, Server, wait_until};

/// An engine's start with a container that has to come up again.
const RECOVERED_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn an_engine_that_comes_goes_and_comes_back() {
    let mut engine = OwnEngine::new();
    let (first, subnets) = next_block();
    let ports = format!("{first}-{}", first + 9);
    let server = Server::setup()
        .env("DOCKER_HOST", &engine.host())
        .args(["--desktop-ports", &ports, "--desktop-subnets", &subnets])
        .start();
    let api = server.api();
    let create = || api.post("/api/desktops", &json!({ "desktop_type": TYPE }));

    // Without an engine everything else works.
    let (status, problem) = create();
    assert_eq!((status, &problem["code"]), (503, &json!("engine_unavailable")), "{problem}");
    assert_eq!(api.items("/api/desktops").len(), 0, "nothing was begun");
    server.enrol("pc1");
    assert_eq!(api.get("/api/agents/pc1").0, 200);

    // It appears, and is picked up.
    engine.start();
    engine.take_image("dockway/debian-desktop:1");
    let mut made = None;
    wait_until("the engine is picked up", SOON, || {
        let (status, desktop) = create();
        made = Some(desktop);
        status == 202
    });
    let desktop = made.expect("a desktop");
    let id = id_of(&desktop);
    until(&api, id, "ready");
    let page = || api.send("GET", "/desktop/admin-debian-desktop/vnc.html", None).status;
    assert_eq!(page(), 200);
    let container = engine.running();
    assert_eq!(container.len(), 1);

    // It stops, and its containers with it; when it is back the desktop comes back by itself.
    engine.stop();
    wait_until("the page says that it is away", SOON, || page() != 200);
    let (status, problem) = api.post(&format!("/api/desktops/{id}/stop"), &json!({}));
    assert_eq!((status, &problem["code"]), (503, &json!("engine_unavailable")), "{problem}");
    engine.start();
    wait_until("the desktop is back", RECOVERED_WITHIN, || {
        api.get(&format!("/api/desktops/{id}")).1["status"] == "ready" && page() == 200
    });
    assert_eq!(engine.running(), container, "in the same container");

    // And again in the middle of a stop: what was begun is finished.
    let (status, answer) = api.post(&format!("/api/desktops/{id}/stop"), &json!({}));
    assert_eq!(status, 202, "{answer}");
    engine.stop();
    engine.start();
    until(&api, id, "stopped");
    wait_until("nothing is left", SOON, || engine.running().is_empty());
    assert_eq!(api.delete(&format!("/api/desktops/{id}?home=true")).0, 204);
}
