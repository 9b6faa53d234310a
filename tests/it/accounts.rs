//! Accounts over HTTP: made, changed, refused, deactivated, deleted.

use std::io::Write;

use serde_json::{Value, json};

use crate::common::api::assert_problem;
use crate::common::server::admin;
use crate::common::{Agent, Api, SOON, Server, connect, read_end, wait_until};

/// What names and texts are tried with that a careless program would run.
const SQL: &str = "'; DROP TABLE users;--";
const HTML: &str = "<script>alert(1)</script>";

fn add(server: &Server, body: &Value) -> Value {
    let (status, user) = server.api().post("/api/users", body);
    assert_eq!(status, 201, "{user}");
    user
}

fn path_of(user: &Value) -> String {
    format!("/api/users/{}", user["id"].as_str().expect("an id"))
}

#[test]
fn an_account_from_its_making_to_its_end() {
    let server = Server::start();
    let body = json!({ "username": "alice.b-c", "display_name": "Alice", "email": "alice@example.org",
                       "password": "correct horse", "max_tunnels": 3 });
    let answer = server.api().send("POST", "/api/users", Some(("application/json", &body.to_string())));
    let alice = answer.json();
    let path = path_of(&alice);
    assert_eq!((answer.status, answer.header("location")), (201, Some(path.as_str())));
    let expected = json!({
        "username": "alice.b-c", "display_name": "Alice", "email": "alice@example.org", "role": "user", "active": true,
        "last_sign_in": null, "max_tunnels": 3, "max_desktops": null, "max_agents": null, "max_tokens": null,
    });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(alice.get(field), Some(value), "{field} in {alice}");
    }
    assert_eq!(alice.as_object().expect("an object").len(), 12, "no password nor its hash: {alice}");
    assert_eq!(server.api().get(&path), (200, alice));

    let changes =
        json!({ "display_name": null, "email": "b@c", "role": "admin", "max_tunnels": null, "max_agents": 0 });
    let (status, changed) = server.api().patch(&path, &changes);
    assert_eq!(status, 200, "{changed}");
    for (field, value) in changes.as_object().expect("an object") {
        assert_eq!(&changed[field], value, "{field}");
    }
    add(&server, &json!({ "username": "aaron" }));
    let page = server.api().get("/api/users?limit=2").1;
    assert_eq!((&page["items"][0]["username"], &page["next"]), (&json!("aaron"), &json!("admin")), "{page}");
    assert_eq!(server.api().get("/api/users?limit=2&after=admin").1["items"], json!([changed]));

    assert_eq!(server.api().delete(&path).0, 204);
    for answer in [server.api().get(&path), server.api().patch(&path, &changes), server.api().delete(&path)] {
        assert_problem(answer, 404, "user_unknown");
    }
    assert_eq!(server.api().items("/api/users").len(), 2);
}

#[test]
fn accounts_that_cannot_be() {
    let server = Server::start();
    let rows = [
        ("username", json!(null), "type"),
        ("username", json!(7), "type"),
        ("username", json!(""), "empty"),
        ("username", json!("Alice"), "format"),
        ("username", json!("al_ice"), "format"),
        ("username", json!("al ice"), "format"),
        ("username", json!("älice"), "format"),
        ("username", json!("-alice"), "format"),
        ("username", json!("a/../b"), "format"),
        ("username", json!("alice\u{0}"), "format"),
        ("username", json!("a".repeat(33)), "format"),
        ("username", json!(SQL), "format"),
        ("username", json!(HTML), "format"),
        ("username", json!("admin"), "reserved"),
        ("username", json!("api"), "reserved"),
        ("username", json!("static"), "reserved"),
        ("username", json!("desktop"), "reserved"),
        ("display_name", json!("a\u{0}b"), "format"),
        ("display_name", json!("a\nb"), "format"),
        ("display_name", json!(" "), "empty"),
        ("display_name", json!("n".repeat(101)), "too_long"),
        ("email", json!("alice"), "format"),
        ("email", json!("a@b@c"), "format"),
        ("email", json!("@b"), "format"),
        ("email", json!("a b@c"), "format"),
        ("email", json!("a@b\u{0}"), "format"),
        ("email", json!(format!("{}@b", "a".repeat(253))), "too_long"),
        ("role", json!("root"), "format"),
        ("role", json!(SQL), "format"),
        ("password", json!("short"), "format"),
        ("password", json!("password123"), "format"),
        ("password", json!("ab".repeat(513)), "format"),
        ("password", json!(1234567890), "type"),
        ("active", json!("yes"), "type"),
        ("max_tunnels", json!(-1), "range"),
        ("max_tokens", json!(1.5), "type"),
        ("max_agents", json!(u64::MAX), "range"),
        ("id", json!("mine"), "unknown"),
        ("password_hash", json!("x"), "unknown"),
    ];
    for (field, value, code) in rows {
        let mut body = json!({ "username": "alice" });
        body[field] = value;
        let (status, answer) = server.api().post("/api/users", &body);
        assert_eq!((status, &answer["code"]), (422, &json!("invalid")), "{body}: {answer}");
        assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{answer}");
        assert_eq!(
            (&answer["errors"][0]["field"], &answer["errors"][0]["code"]),
            (&json!(field), &json!(code)),
            "{body}"
        );
    }
    assert_problem(server.api().post("/api/users", &json!({ "username": "alice", "a": 1, "b": 2 })), 422, "invalid");
    assert_eq!(server.api().items("/api/users").len(), 1, "nothing is stored");
}

#[test]
fn changes_that_cannot_be() {
    let server = Server::start();
    let alice = add(&server, &json!({ "username": "alice" }));
    for body in [
        json!({}),
        json!({ "username": "bob" }),
        json!({ "id": "x" }),
        json!({ "role": null }),
        json!({ "active": null }),
        json!({ "password": null }),
        json!({ "password": "short" }),
        json!({ "email": "x", "display_name": "fine" }),
    ] {
        assert_problem(server.api().patch(&path_of(&alice), &body), 422, "invalid");
    }
    assert_eq!(server.api().get(&path_of(&alice)).1, alice, "nothing is stored");
    assert_problem(server.api().post("/api/users", &json!({ "username": "alice" })), 409, "user_exists");
}

#[test]
fn sql_and_html_are_text() {
    let server = Server::start();
    for (n, text) in [SQL, HTML, "\" OR \"\"=\"", "%s%n{0}${x}", "\u{202e}olleh", "🦀"].into_iter().enumerate() {
        let body = json!({ "username": format!("user{n}"), "display_name": text, "email": format!("{}@x", text.replace(' ', "")) });
        let user = add(&server, &body);
        assert_eq!((&user["display_name"], &user["email"]), (&body["display_name"], &body["email"]));
        assert_eq!(server.api().get(&path_of(&user)).1, user);
        let (status, token) = server.api().post("/api/tokens", &json!({ "name": text }));
        assert_eq!((status, token["name"].as_str()), (201, Some(text)), "{token}");
    }
    for path in ["/api/users/'%20OR%201=1--", "/api/users/%00", "/api/users/%3Cb%3E", "/api/users/..%2Fadmin"] {
        assert_problem(server.api().get(path), 404, "user_unknown");
        assert_problem(server.api().delete(path), 404, "user_unknown");
    }
    assert_problem(server.api().get("/api/tokens?user='%20OR%201=1--"), 404, "user_unknown");
    assert_problem(server.api().delete("/api/tokens/'%20OR%201=1--"), 404, "token_unknown");
    assert_eq!(server.api().items("/api/users").len(), 7);
}

#[test]
fn bodies_of_odd_shape() {
    let server = Server::start();
    let deep = format!("{{\"username\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let rows = [("", 400), ("[]", 400), ("{\"username\":\"a\",\"username\":\"b\"}", 400), (&deep, 400)];
    for path in ["/api/users", "/api/tokens"] {
        for (body, status) in rows {
            let answer = server.api().send("POST", path, Some(("application/json", body)));
            assert_eq!((answer.status, &answer.json()["code"]), (status, &json!("bad_request")), "{path}");
        }
        let answer = large_post(&server, path);
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("too_large"), "{path}: {answer}");
    }
    assert_eq!(server.api().items("/api/users").len(), 1);
}

/// The answer to 10 MB of JSON: the server need not take them all before it answers.
fn large_post(server: &Server, path: &str) -> String {
    let name = "n".repeat(10_000_000);
    let mut stream = connect(server.port);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{{\"name\":\"",
        server.token,
        name.len() + 11
    );
    stream.write_all(head.as_bytes()).expect("taken");
    // The answer may come, and the connection end, before the last of it.
    let _ = stream.write_all(name.as_bytes()).and_then(|()| stream.write_all(b"\"}"));
    String::from_utf8(read_end(&mut stream).expect("an answer")).expect("text")
}

#[test]
fn accounts_are_for_administrators() {
    let server = Server::start();
    let alice = server.user("alice", "user", &[]);
    let narrow = server.user("carol", "admin", &["tunnels:read", "tunnels:write"]);
    let path = server.user_path("alice");
    for caller in [&alice, &narrow] {
        for answer in [
            caller.get("/api/users"),
            caller.post("/api/users", &json!({ "username": "eve" })),
            caller.get(&path),
            caller.patch(&path, &json!({ "role": "admin" })),
            caller.delete(&path),
            caller.get("/api/users/nobody"),
            caller.get("/api/audit"),
        ] {
            assert_problem(answer, 403, "forbidden");
        }
    }
    assert_eq!(server.account("alice")["role"], "user");
}

#[test]
fn deactivation_cuts_tokens_and_agents_at_once() {
    let server = Server::start();
    let alice = server.user("alice", "user", &[]);
    let path = server.user_path("alice");
    let (status, enrolled) = alice.post("/api/agents", &json!({ "client_id": "hers" }));
    assert_eq!(status, 201, "{enrolled}");
    let agent = Agent::launch(&server, "hers", enrolled["token"].as_str().expect("a token"), "binary", &[]);
    agent.wait_online();

    assert_problem(server.api().delete(&path), 409, "user_in_use");
    assert_eq!(server.api().patch(&path, &json!({ "active": false })).0, 200);
    assert_problem(alice.get("/api/tokens"), 401, "unauthenticated");
    agent.wait_offline(SOON);

    assert_eq!(server.api().patch(&path, &json!({ "active": true })).0, 200);
    assert_eq!(alice.get("/api/tokens").0, 200);
    agent.wait_online();
    drop(agent);
    assert_eq!(alice.delete("/api/agents/hers").0, 204);
    assert_eq!(server.api().delete(&path).0, 204);
    assert_problem(alice.get("/api/tokens"), 401, "unauthenticated");
}

#[test]
fn the_last_administrator_stays() {
    let server = Server::start();
    let me = server.user_path("admin");
    let last = [
        ("PATCH", json!({ "role": "user" }).to_string()),
        ("PATCH", json!({ "active": false }).to_string()),
        ("PATCH", json!({ "role": "user", "display_name": "Nobody" }).to_string()),
        ("DELETE", "{}".to_owned()),
    ];
    // One who may not sign in does not count.
    let other = add(&server, &json!({ "username": "other", "role": "admin", "active": false }));
    for (method, body) in &last {
        let answer = server.api().send(method, &me, Some(("application/json", body)));
        assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("last_admin")), "{method} {body}");
    }
    for command in [vec!["disable", "admin"], vec!["role", "admin", "user"], vec!["remove", "admin"]] {
        let output = admin(server.data_dir(), [vec!["user"], command.clone()].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("last active administrator"), "{command:?}: {said}");
    }
    assert_eq!(server.account("admin")["display_name"], Value::Null);
    assert_eq!(server.api().patch(&path_of(&other), &json!({ "active": true })).0, 200);
    assert_eq!(server.api().patch(&me, &json!({ "role": "user" })).0, 200);
    assert_problem(server.api().get("/api/users"), 403, "forbidden");
}

/// Two that demote each other at the same moment do not both succeed.
#[test]
fn one_of_two_administrators_stays() {
    let server = Server::start();
    let other = server.user("other", "admin", &[]);
    for _ in 0..5 {
        let pairs = [(server.api(), server.user_path("other")), (other.clone(), server.user_path("admin"))];
        let demoting =
            pairs.map(|(api, path)| std::thread::spawn(move || api.patch(&path, &json!({ "role": "user" })).0));
        let answers = demoting.map(|thread| thread.join().expect("it answers"));
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|status| matches!(status, 200 | 403 | 409)), "{answers:?}");
        server.admin(["user", "role", "admin", "admin"]);
        server.admin(["user", "role", "other", "admin"]);
        let both = |api: &Api| api.get("/api/users").0 == 200;
        wait_until("both are administrators again", SOON, || both(&server.api()) && both(&other));
    }
}
