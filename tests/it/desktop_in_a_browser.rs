//! A person with a real browser: signs in, opens the desktop's address, sees it and types.

use serde_json::{Value, json};

use crate::common::chromium::Chromium;
use crate::common::docker::{Desktops, TYPE, container_of, docker, exec, id_of, until};
use crate::common::{Browser, SOON, wait_until};

const PASSWORD: &str = "correct horse battery";

/// Different colours on the largest canvas of the page; false while there are few.
const COLOURS: &str = "
    const canvases = [...document.querySelectorAll('canvas')].sort((a, b) => b.width * b.height - a.width * a.height);
    if (!canvases.length || canvases[0].width < 200) return false;
    const { width, height } = canvases[0];
    const pixels = canvases[0].getContext('2d').getImageData(0, 0, width, height).data;
    const seen = new Set();
    for (let at = 0; at < pixels.length; at += 4) seen.add(pixels[at] << 16 | pixels[at + 1] << 8 | pixels[at + 2]);
    return seen.size > 20 && seen.size;
";

fn account(server: &Desktops, username: &str) -> Browser {
    let body = json!({ "username": username, "password": PASSWORD });
    let (status, answer) = server.api().post("/api/users", &body);
    assert_eq!(status, 201, "{answer}");
    Browser::sign_in(server, username, PASSWORD)
}

#[test]
fn from_the_sign_in_to_a_file_written_by_the_keyboard() {
    let server = Desktops::start();
    let alice = account(&server, "alice");
    let base = format!("http://127.0.0.1:{}", server.port);
    let (status, desktop) = alice.post("/api/desktops", &json!({ "desktop_type": TYPE }));
    assert_eq!(status, 202, "{desktop}");
    assert_eq!(desktop["url"], format!("{base}/desktop/alice-debian-desktop"));

    // A stranger is asked to sign in first, and then goes on to where they wanted to be.
    let chromium = Chromium::start(&server, 1200, 800);
    chromium.goto(&format!("{base}/desktop/alice-debian-desktop"));
    assert_eq!(chromium.url(), format!("{base}/?next=/desktop/alice-debian-desktop"));
    chromium.sign_in_by_hand("alice", PASSWORD);
    // At once: the start page stands there until the desktop is ready, and turns into it.
    chromium.until("the desktop's address", "return location.pathname.startsWith('/desktop/alice-debian-desktop')");
    chromium.screenshot("desktop-starting");
    let colours = chromium.until("the desktop's pixels", COLOURS);
    assert!(
        chromium.url().starts_with(&format!("{base}/desktop/alice-debian-desktop/vnc.html?")),
        "{}",
        chromium.url()
    );
    chromium.screenshot("desktop");
    assert!(colours.as_u64().unwrap() > 20, "{colours}");

    let container = container_of(&desktop);
    docker(["exec", "-d", "-e", "DISPLAY=:1", &container, "xterm", "-geometry", "80x20+60+40"]);
    wait_until("a terminal", SOON, || exec(&container, "pgrep xterm").0);
    let before = chromium.until("more colours", COLOURS);
    chromium.until("the terminal's window", &COLOURS.replace("seen.size > 20", &format!("seen.size != {before}")));
    chromium.click(300, 200);
    chromium.type_text("echo typed by $USER$LOGNAME at $(id -u) > ~/typed\n");
    wait_until("the file that was typed", SOON, || exec(&container, "cat ~/typed").0);
    assert_eq!(exec(&container, "cat ~/typed").1.split(" at ").nth(1), Some("1000"));
    chromium.screenshot("desktop-typed");
    let used = alice.get(&format!("/api/desktops/{}", id_of(&desktop))).1;
    assert!(used["idle_stop_at"].is_string() && used["connections"].as_u64() >= Some(1), "{used}");

    // Stopped: the page says so and offers to start it; the button brings the desktop back.
    let (status, answer) = alice.post(&format!("/api/desktops/{}/stop", id_of(&desktop)), &json!({}));
    assert_eq!(status, 202, "{answer}");
    wait_until("it is stopped", SOON, || {
        alice.get(&format!("/api/desktops/{}", id_of(&desktop))).1["status"] == "stopped"
    });
    chromium.goto(&format!("{base}/desktop/alice-debian-desktop"));
    let button = "return [...document.querySelectorAll('button')].find(one => one.offsetParent)";
    chromium.until("a button", &format!("{button} !== undefined"));
    chromium.screenshot("desktop-stopped");
    chromium.run(&format!("({}).click()", button.strip_prefix("return ").unwrap()));
    chromium.until("the desktop again", COLOURS);
}

#[test]
fn a_desktop_that_fails_says_why_and_starts_again() {
    let server = Desktops::start();
    let alice = account(&server, "alice");
    // Without its password the image ends at once and says so.
    let body = json!({
        "name": "broken", "label": "Broken", "image": "dockway/debian-desktop:1", "env": { "VNC_PW": "short" },
    });
    let (status, made) = server.api().post("/api/desktop-types", &body);
    assert_eq!(status, 201, "{made}");
    let (_, desktop) = alice.post("/api/desktops", &json!({ "desktop_type": "broken" }));
    let api = server.api();
    wait_until("it failed", SOON * 4, || {
        api.get(&format!("/api/desktops/{}", id_of(&desktop))).1["status"] == "failed"
    });
    let chromium = Chromium::start(&server, 800, 700);
    let base = format!("http://127.0.0.1:{}", server.port);
    chromium.sign_in(&base, "alice", PASSWORD);
    chromium.goto(&format!("{base}/desktop/alice-broken"));
    chromium.until("the reason", "return document.body.innerText.includes('VNC_PW is too short')");
    chromium.screenshot("desktop-failed");

    let repaired = json!({ "name": "broken", "label": "Repaired", "image": "dockway/debian-desktop:1" });
    let answer = api.send("PUT", "/api/desktop-types/broken", Some(("application/json", &repaired.to_string())));
    assert_eq!(answer.status, 200, "{}", answer.text);
    chromium.run("[...document.querySelectorAll('button')].find(one => one.offsetParent).click()");
    chromium.until("the desktop", COLOURS);
    until(&api, id_of(&desktop), "ready");
    assert_ne!(chromium.url(), Value::Null);
}
