//! What is open to a desktop is cut with the right to it, while the browser does not read too.

use serde_json::json;

use crate::common::desk::{DESK, Desk, wait_closed};
use crate::common::raw_ws::{Got, RawWs};
use crate::common::strict_upstream::StrictUpstream;
use crate::common::{SOON, wait_until};

/// A WebSocket that is flooded and not read, and one that is idle; both are over after `cut`.
fn are_cut(upstream: &StrictUpstream, open: impl Fn(&str) -> RawWs, cut: impl FnOnce()) {
    let (_flooded, mut idle) = (open("/flood"), open("/websockify"));
    wait_until("both are open", SOON, || upstream.websockets() == 2);
    cut();
    assert_eq!(idle.read(), Got::Close(1001));
    assert_eq!(idle.read(), Got::End);
    wait_closed(upstream);
}

#[test]
fn signing_out_cuts() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    are_cut(&upstream, |path| desk.open(path), || assert_eq!(desk.browser.delete("/api/session").0, 204));
    assert_eq!(desk.try_open("/websockify", "").err(), Some(401));
}

#[test]
fn revoking_the_token_cuts() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    let token = desk.server.user_token("alice", &["desktops:write"]);
    let open = |path: &str| {
        let shown = format!("Authorization: Bearer {token}\r\n");
        RawWs::open(desk.server.port, &format!("{DESK}{path}"), &shown).unwrap_or_else(|status| panic!("{status}")).0
    };
    let id = desk.browser.get("/api/tokens").1["items"][0]["id"].as_str().expect("an id").to_owned();
    are_cut(&upstream, open, || assert_eq!(desk.browser.delete(&format!("/api/tokens/{id}")).0, 204));
}

#[test]
fn deactivating_the_account_cuts() {
    let upstream = StrictUpstream::start();
    let desk = Desk::kasm(&upstream);
    let deactivate = || {
        let (status, answer) = desk.server.api().patch(&desk.server.user_path("alice"), &json!({ "active": false }));
        assert_eq!(status, 200, "{answer}");
    };
    are_cut(&upstream, |path| desk.open(path), deactivate);
}

#[test]
fn the_servers_stop_cuts() {
    let upstream = StrictUpstream::start();
    let mut desk = Desk::kasm(&upstream);
    let (_flooded, mut idle) = (desk.open("/flood"), desk.open("/websockify"));
    wait_until("both are open", SOON, || upstream.websockets() == 2);
    assert!(desk.server.terminate(SOON).success());
    assert_eq!(idle.read(), Got::Close(1001));
    wait_closed(&upstream);
}
