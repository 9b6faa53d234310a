//! The page at `/` in a real browser: signing in by keyboard, what it says when that fails, and where it leads.

use serde_json::{Value, json};

use crate::common::chromium::Chromium;
use crate::common::desk::{DESK, Desk};
use crate::common::raw_upstream::{RawUpstream, Script};
use crate::common::{SOON, Server};

/// The first attempts after a mistake are free; this many in a minute are the most.
const MOST_FAILURES: usize = 10;

fn says(chromium: &Chromium, text: &str) {
    let seen = format!("return document.getElementById('problem').innerText.includes({})", Value::from(text));
    chromium.until(text, &seen);
}

#[test]
fn mistakes_are_told_in_words() {
    let files = tempfile::tempdir().expect("a temporary directory");
    let config = files.path().join("dockway.toml");
    let provider =
        "[[oidc]]\nname = 'corp'\nlabel = 'Example <Corp>'\nissuer = 'http://127.0.0.1:1'\nclient_id = 'x'\n";
    std::fs::write(&config, provider).expect("the settings");
    let mut server = Server::setup().args(["--config", config.to_str().expect("text")]).start();
    let base = format!("http://127.0.0.1:{}", server.port);
    // As narrow as a small telephone's.
    let chromium = Chromium::start(&server, 500, 760);
    chromium.goto(&format!("{base}/?next=/desktop/alice-desk%3Fa=b%26c"));
    chromium.until("the provider", "return document.querySelector('#providers a')?.offsetParent != null");
    let provider =
        "const link = document.querySelector('#providers a'); return [link.innerText, link.getAttribute('href')]";
    let expected =
        json!(["Sign in with Example <Corp>", "/api/oidc/corp/start?next=%2Fdesktop%2Falice-desk%3Fa%3Db%26c"]);
    assert_eq!(chromium.run(provider), expected);
    chromium.screenshot("sign-in");

    chromium.sign_in_by_hand("", "");
    says(&chromium, "Give your name.");
    assert_eq!(chromium.run("return document.activeElement.id"), "username");
    chromium.type_text("nobody\twrong\n");
    says(&chromium, "Name or password is wrong.");
    let field =
        "const one = document.activeElement; return [one.id, one.ariaInvalid, one.getAttribute('aria-describedby')]";
    assert_eq!(chromium.run(field), json!(["password", "true", "problem"]));
    chromium.screenshot("sign-in-wrong");

    // What a person would do until the address has to wait, but faster.
    let attempt = "return (await fetch('/api/session', { method: 'POST', headers: { 'Content-Type': 'application/json' }, \
                   body: JSON.stringify({ username: 'other' + Math.random(), password: 'wrong' }) })).status";
    let statuses: Vec<Value> = (0..=MOST_FAILURES).map(|_| chromium.run_async(attempt)).collect();
    assert_eq!(statuses.last(), Some(&json!(429)), "{statuses:?}");
    chromium.type_text("wrong\n");
    says(&chromium, "Too many attempts. You can try again in ");
    assert_eq!(chromium.run("return document.getElementById('submit').disabled"), true);
    chromium.screenshot("sign-in-too-many");

    chromium.goto(&base);
    chromium.until("the page again", "return document.activeElement?.id === 'username'");
    server.terminate(SOON);
    chromium.sign_in_by_hand("alice", "whatever");
    says(&chromium, "The server does not answer.");
}

#[test]
fn whoever_signs_in_sees_their_desktops_and_goes_only_where_this_server_is() {
    let upstream = RawUpstream::start(Script::says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndesk"));
    let desk = Desk::web(&upstream);
    let base = format!("http://127.0.0.1:{}", desk.server.port);
    let chromium = Chromium::start(&desk.server, 500, 700);
    chromium.goto(&format!("{base}/?next=//evil.test/"));
    chromium.sign_in_by_hand("alice", &desk.password);
    let row =
        "const row = document.querySelector('#desktops a'); return row && [row.innerText, row.getAttribute('href')]";
    let shown = chromium.until("the desktop", row);
    assert!(shown[0].as_str().is_some_and(|text| text.contains("desk") && text.contains("ready")), "{shown}");
    assert_eq!(shown[1], DESK);
    assert_eq!(chromium.run("return document.getElementById('who').innerText"), "alice");
    chromium.screenshot("signed-in");

    let table = json!({
        "/desktop/x?a=b#c": "/desktop/x?a=b#c", "/api/docs": "/api/docs", "/a//b": "/a//b", "": null, "/": null,
        "/?next=/": null, "//evil.test": null, "/\\evil.test": null, "/..//evil.test": null, "/\t/evil.test": null,
        "https://evil.test": null, "javascript:alert(1)": null, "desktop/x": null, "/a\\b": null,
    });
    let script = format!("return Object.fromEntries(Object.keys({table}).map(next => [next, pathOnThisServer(next)]))");
    assert_eq!(chromium.run(&script), table);

    // Signed in already: the page leads on by itself.
    chromium.goto(&format!("{base}/?next={DESK}/"));
    chromium.until("the desktop itself", "return document.body.innerText === 'desk'");
    assert_eq!(chromium.url(), format!("{base}{DESK}/"));

    chromium.goto(&base);
    chromium.until("the way out", "return document.getElementById('sign-out').offsetParent != null");
    chromium.run("document.getElementById('sign-out').click()");
    chromium.until("the form", "return document.activeElement?.id === 'username'");
    chromium.goto(&format!("{base}{DESK}/"));
    assert_eq!(chromium.url(), format!("{base}/?next={DESK}/"));
}
