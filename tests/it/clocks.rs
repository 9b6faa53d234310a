//! A server whose clock is an hour off: what has an end ends by that clock, and nothing else is lost.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::common::{Agent, Browser, Server};

fn in_minutes(minutes: i64) -> String {
    (OffsetDateTime::now_utc() + Duration::minutes(minutes)).format(&Rfc3339).expect("a time")
}

/// Timers go on as they are: only what the clock on the wall says is another time. (The program `faketime` itself would
/// stand between the test and the server.)
fn shifted(by: &str) -> [String; 4] {
    let libraries = std::fs::read_dir("/usr/lib").expect("/usr/lib").flatten();
    let mut libraries = libraries.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let library = libraries.find(|path| path.is_file()).expect("libfaketime: scripts/test installs it");
    let preload = format!("LD_PRELOAD={}", library.display());
    ["env".into(), preload, format!("FAKETIME={by}"), "FAKETIME_DONT_FAKE_MONOTONIC=1".into()]
}

fn token_until(server: &Server, expires_at: &str) -> (u16, Value) {
    server.api().post("/api/tokens", &json!({ "name": "short", "scopes": ["tunnels:read"], "expires_at": expires_at }))
}

#[test]
fn an_hour_fast_and_an_hour_slow() {
    let mut server = Server::setup().will_restart().args(["--session-idle", "30m"]).start();
    let agent = Agent::start(&server, "pc1", "binary");
    let early = Browser::sign_in(&server, "admin", &server.password);
    let (status, made) = token_until(&server, &in_minutes(30));
    assert_eq!(status, 201, "{made}");
    let short = server.api().with_token(made["token"].as_str());
    assert_eq!((early.get("/api/me").0, short.get("/api/proxy").0), (200, 200));

    server.restart_under(shifted("+1h"));
    assert_eq!((early.get("/api/me").0, short.get("/api/proxy").0), (401, 401), "both are over by that clock");
    assert_eq!(token_until(&server, &in_minutes(30)).0, 422, "that has passed already");
    assert_eq!(server.api().get("/api/proxy").0, 200, "what has no end goes on");
    let fast = Browser::sign_in(&server, "admin", &server.password);
    assert_eq!(fast.get("/api/me").0, 200);
    agent.wait_online();

    server.restart_under(shifted("-1h"));
    assert_eq!(
        (fast.get("/api/me").0, short.get("/api/proxy").0),
        (200, 200),
        "a session of the future is none the worse"
    );
    assert_eq!(token_until(&server, &in_minutes(-30)).0, 201, "that is yet to come");
    let slow = Browser::sign_in(&server, "admin", &server.password);
    assert_eq!(slow.get("/api/me").0, 200);
    agent.wait_online();
    let newest: Vec<_> = server.api().items("/api/audit?action=session.create&limit=2");
    assert!(newest[0]["at"].as_str() < newest[1]["at"].as_str(), "the log keeps the order in which things happened");
    assert_eq!(server.process().line_with("panicked"), None);
}
