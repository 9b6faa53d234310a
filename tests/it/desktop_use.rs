//! Desktops in use, on a real engine: what counts as use, what is shown of them, and what becomes of open connections.

use std::process::Command;
use std::time::{Duration, Instant};

use dockway::desktop::DesktopType;
use dockway::store::{Store, desktop_types};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::api::assert_problem;
use crate::common::docker::{Desktops, TYPE, connections, container_of, docker, exec, id_of, until, until_within};
use crate::common::event_stream::{EventStream, Way};
use crate::common::rfb::Rfb;
use crate::common::server::{admin, said};
use crate::common::{Api, Browser, SOON, Server, wait_until};

const PASSWORD: &str = "correct horse battery";
/// Seconds; less than the API would take.
const IDLE_LIMIT: u64 = 4;
/// Less than a person types here.
const SIGN_IN_LIMIT: Duration = Duration::from_secs(6);
const TYPING_TIME: Duration = Duration::from_secs(9);
/// Return.
const KEY: u32 = 0xff0d;
/// What is cut is cut before the container has had its time to end.
const AT_ONCE: Duration = Duration::from_secs(2);
/// What is gathered is stored within this, and a busy machine's hesitation.
const STORED_WITHIN: Duration = Duration::from_secs(15);

fn place(desktop: &Value) -> String {
    format!("/api/desktops/{}", id_of(desktop))
}

fn order(api: &Api, desktop: &Value, what: &str) {
    let (status, answer) = api.post(&format!("{}/{what}", place(desktop)), &json!({}));
    assert_eq!(status, 202, "{answer}");
}

/// A data directory with a type `brief`, like the usual one but for its limit on idleness.
fn with_a_brief_type() -> TempDir {
    let files = tempfile::tempdir().expect("a temporary directory");
    said(&admin(files.path(), ["user", "add", "carol"]));
    let store = Store::open(&format!("sqlite://{}/dockway.db", files.path().display())).expect("the database");
    let inserted = store.run_now(|c| {
        let usual = desktop_types::list(c)?.into_iter().find(|row| row.name == TYPE).expect("the usual type");
        let usual = DesktopType::from_row(usual).expect("a good row");
        let (id, name) = ("brief".to_owned(), "brief".to_owned());
        desktop_types::insert(c, &DesktopType { id, name, idle_limit_s: Some(IDLE_LIMIT), ..usual }.into_row())
    });
    inserted.expect("the row");
    files
}

#[test]
fn keys_are_use_and_pictures_are_none() {
    let files = with_a_brief_type();
    let limit = format!("{}s", SIGN_IN_LIMIT.as_secs());
    let server = Desktops::from_setup(Server::setup().data_dir(files.path()).args(["--session-idle", &limit]));
    let body = json!({ "username": "alice", "password": PASSWORD });
    assert_eq!(server.api().post("/api/users", &body).0, 201);
    let alice = server.api().with_token(Some(&server.user_token("alice", &[])));
    let mut events = EventStream::open(&server, alice.token(), Way::WebSocket);
    let desktop = server.launch(&alice, "brief");
    let browser = Browser::sign_in(&server, "alice", PASSWORD);
    let cookie = browser.cookie.clone().expect("signed in");
    let own = format!("Cookie: {cookie}\r\nOrigin: http://127.0.0.1:{}\r\n", server.port);
    let mut client = Rfb::open(server.port, "alice-brief", &own);

    // Nothing but keys keeps up the desktop and the sign-in.
    let begun = Instant::now();
    while begun.elapsed() < TYPING_TIME {
        assert!(client.press(KEY), "cut while somebody types");
        std::thread::sleep(Duration::from_millis(200));
    }
    let shown = alice.get(&place(&desktop)).1;
    assert_eq!((&shown["status"], &shown["connections"]), (&json!("ready"), &json!(1)), "{shown}");

    // A client that only looks.
    let last_key = Instant::now();
    while last_key.elapsed() < Duration::from_secs(IDLE_LIMIT - 1) {
        assert!(client.ask(false));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(events.wait("desktop.idle", id_of(&desktop))["stop_at"].is_string());
    client.wait_end();
    let stopped = until_within(&alice, id_of(&desktop), "stopped", SOON);
    assert_eq!(stopped["reason"], "stopped after 4 s without use");
    std::thread::sleep((SIGN_IN_LIMIT + Duration::from_secs(1)).saturating_sub(last_key.elapsed()));
    assert_eq!(browser.get("/api/me").0, 401, "and the sign-in ends as well");
}

/// Width and height of a JPEG, as another program reads it.
fn size_of(picture: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), picture).expect("the picture");
    let output = Command::new("identify").args(["-format", "%m %wx%h"]).arg(file.path()).output().expect("identify");
    String::from_utf8(output.stdout).expect("text")
}

fn picture(api: &Api, desktop: &Value) -> (u16, String, String, Vec<u8>) {
    let url = format!("http://127.0.0.1:{}{}/thumbnail", api.port(), place(desktop));
    let request = crate::common::api::http().get(url).header("authorization", format!("Bearer {}", api.token()));
    let mut answer = request.call().expect("an answer");
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    let (kind, taken) = (header("content-type").unwrap_or_default(), header("last-modified").unwrap_or_default());
    let bytes = answer.body_mut().read_to_vec().expect("the body");
    (answer.status().as_u16(), kind, taken, bytes)
}

#[test]
fn a_picture_is_taken_now_and_then_and_for_the_owner_alone() {
    let mut server = Desktops::start();
    let (alice, bob) = (server.user("alice", "user", &[]), server.user("bob", "user", &[]));
    let desktop = server.launch(&alice, TYPE);
    let (status, kind, taken, bytes) = picture(&alice, &desktop);
    assert_eq!((status, kind.as_str(), size_of(&bytes).as_str()), (200, "image/jpeg", "JPEG 400x225"));
    // What has changed meanwhile is not seen before its time.
    docker(["exec", "-d", "-e", "DISPLAY=:1", &container_of(&desktop), "xterm", "-geometry", "80x20+60+40"]);
    wait_until("a terminal", SOON, || exec(&container_of(&desktop), "pgrep xterm").0);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(picture(&alice, &desktop) == (200, kind, taken, bytes), "it was taken again");

    let thumbnail = format!("{}/thumbnail", place(&desktop));
    assert_problem(server.api().get(&thumbnail), 403, "owner_only");
    assert_problem(bob.get(&thumbnail), 404, "desktop_unknown");
    server.add_light_type("light", json!({}));
    let light = server.launch(&alice, "light");
    assert_problem(alice.get(&format!("{}/thumbnail", place(&light))), 404, "no_thumbnail");

    // When they were last used is stored, with the end of the desktop and with that of the server.
    let path = |desktop: &Value| format!("/desktop/{}/", desktop["proxy_path"].as_str().expect("a path"));
    for used in [&desktop, &light] {
        assert_eq!(server.row(id_of(used)).last_accessed, None);
        assert_eq!(alice.send("GET", &path(used), None).status, 200);
    }
    order(&alice, &desktop, "stop");
    let stopped = until(&alice, id_of(&desktop), "stopped");
    assert!(stopped["last_accessed"].is_string(), "{stopped}");
    assert_problem(alice.get(&thumbnail), 503, "desktop_not_ready");
    wait_until("its last use is stored", STORED_WITHIN, || server.row(id_of(&desktop)).last_accessed.is_some());
    assert_eq!(alice.send("GET", &path(&light), None).status, 200);
    let before = server.row(id_of(&light)).last_accessed;
    assert!(server.terminate(SOON * 2).success());
    let after = server.row(id_of(&light)).last_accessed;
    assert!(after > before && after.is_some(), "{before:?} {after:?}");
}

#[test]
fn connections_end_with_the_desktop() {
    let mut server = Desktops::start();
    let alice = server.user("alice", "user", &[]);
    let desktop = server.launch(&alice, TYPE);
    let descriptors = server.process().descriptors();

    // By a stop and by a deletion while the container still has its time, and by a kill.
    type Cut = fn(&Api, &Value);
    let cuts: [(&str, Cut); 3] = [
        ("killed", |_, desktop| drop(docker(["kill", &container_of(desktop)]))),
        ("stopped", |alice, desktop| order(alice, desktop, "stop")),
        ("deleted", |alice, desktop| assert_eq!(alice.delete(&place(desktop)).0, 204)),
    ];
    for (how, cut) in cuts {
        order(&alice, &desktop, "start");
        until(&alice, id_of(&desktop), "ready");
        let (mut deaf, mut client) = (Rfb::of(&server, &alice, &desktop), Rfb::of(&server, &alice, &desktop));
        deaf.stop_reading();
        assert_eq!(connections(&alice, &desktop), 2);
        let begun = Instant::now();
        let took = std::thread::scope(|scope| {
            scope.spawn(|| cut(&alice, &desktop));
            let code = client.wait_end();
            let took = begun.elapsed();
            assert!(code == Some(1001) || how == "killed", "{how}: {code:?}");
            deaf.wait_end();
            took
        });
        assert!(took < AT_ONCE, "{how}: only after {took:?}");
        if how != "deleted" {
            until(&alice, id_of(&desktop), "stopped");
            wait_until("no connection is counted", AT_ONCE, || connections(&alice, &desktop) == 0);
            server.assert_nothing_left(id_of(&desktop));
        }
    }
    wait_until("nothing is left open", SOON, || server.process().descriptors() <= descriptors);
}
