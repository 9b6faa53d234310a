//! The audit log: who did what to which object, from where and with what outcome, and no secret in it.

use serde_json::{Value, json};

use crate::common::{Api, Server};

/// Everything that was written down, the oldest first.
fn whole(server: &Server) -> Vec<Value> {
    let mut entries = server.api().items("/api/audit?limit=1000");
    entries.reverse();
    entries
}

/// `actor action object outcome` of each entry, with `-` for what it lacks.
fn lines(entries: &[Value]) -> Vec<String> {
    let words = |entry: &Value| {
        ["actor", "action", "object", "outcome"].map(|field| entry[field].as_str().unwrap_or("-").to_owned()).join(" ")
    };
    entries.iter().map(words).collect()
}

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}"))
}

/// Call, and write down what the log should have about it.
fn call(api: &Api, method: &str, path: &str, body: Option<Value>, status: u16) -> Value {
    let body = body.map(|body| body.to_string());
    let answer = api.send(method, path, body.as_deref().map(|body| ("application/json", body)));
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    answer.json()
}

#[test]
fn every_change_is_written_down_and_no_secret() {
    let server = Server::start();
    let alice = server.user("alice", "user", &["tunnels:read", "tunnels:write"]);
    let begun = whole(&server).len();
    let admin = server.api();
    let (mut expected, mut secrets) = (Vec::new(), vec![server.token.clone()]);
    let mut expect = |line: String| expected.push(line);

    let password = "a password that nobody guesses";
    let bob = call(&admin, "POST", "/api/users", Some(json!({ "username": "bob", "password": password })), 201);
    expect("admin user.create bob ok".into());
    let path = format!("/api/users/{}", text(&bob, "id"));
    call(&admin, "POST", "/api/users", Some(json!({ "username": "bob", "password": password })), 409);
    expect("admin user.create bob failed".into());
    call(&admin, "POST", "/api/users", Some(json!({ "username": password })), 422);
    expect("admin user.create - failed".into());
    call(&admin, "PATCH", &path, Some(json!({ "password": "another password" })), 200);
    expect("admin user.change bob ok".into());
    call(&alice, "PATCH", &path, Some(json!({ "role": "admin" })), 403);
    expect("alice user.change - denied".into());
    call(&admin, "DELETE", &path, None, 204);
    expect("admin user.delete bob ok".into());

    let token = call(&alice, "POST", "/api/tokens", Some(json!({ "name": "ci" })), 201);
    let id = text(&token, "id");
    expect(format!("alice token.create {id} ok"));
    call(&alice, "POST", "/api/tokens", Some(json!({ "name": "ci", "scopes": ["admin"] })), 403);
    expect("alice token.create - denied".into());
    // Where an id belongs, somebody sends the token itself.
    call(&alice, "DELETE", &format!("/api/tokens/{}", text(&token, "token")), None, 404);
    expect("alice token.revoke dwt_… failed".into());
    call(&admin, "DELETE", &format!("/api/tokens/{id}"), None, 204);
    expect(format!("admin token.revoke {id} ok"));

    let agent = call(&alice, "POST", "/api/agents", Some(json!({ "client_id": "pc1" })), 201);
    expect("alice agent.enrol pc1 ok".into());
    let rotated = call(&alice, "POST", "/api/agents/pc1/token", None, 200);
    expect("alice agent.rotate pc1 ok".into());
    call(&alice, "PATCH", "/api/agents/pc1", Some(json!({ "shared": true })), 403);
    expect("alice agent.share pc1 denied".into());
    call(&admin, "PATCH", "/api/agents/pc1", Some(json!({ "shared": true })), 200);
    expect("admin agent.share pc1 ok".into());
    call(&admin, "POST", "/api/agents", Some(json!({ "client_id": "pc2", "shared": true })), 201);
    expect("admin agent.enrol pc2 ok".into());
    call(&alice, "DELETE", "/api/agents/pc2", None, 403);
    expect("alice agent.remove pc2 denied".into());
    call(&admin, "DELETE", "/api/agents/pc2", None, 204);
    expect("admin agent.remove pc2 ok".into());

    let body = json!({ "client_id": "pc1", "remote_host": "127.0.0.1", "remote_port": 22 });
    let tunnel = call(&alice, "POST", "/api/proxy/create", Some(body), 201);
    let proxy_id = text(&tunnel, "proxy_id");
    expect(format!("alice tunnel.create {proxy_id} ok"));
    let body = json!({ "client_id": "pc9", "remote_host": "127.0.0.1", "remote_port": 22 });
    call(&alice, "POST", "/api/proxy/create", Some(body), 404);
    expect("alice tunnel.create pc9 failed".into());
    let path = format!("/api/proxy/{proxy_id}");
    call(&alice, "PATCH", &path, Some(json!({ "enabled": false })), 200);
    expect(format!("alice tunnel.change {proxy_id} ok"));
    call(&alice, "DELETE", &path, None, 204);
    expect(format!("alice tunnel.delete {proxy_id} ok"));

    let entries = whole(&server);
    assert_eq!(lines(&entries[begun..]), expected);
    for entry in &entries[begun..] {
        assert_eq!(entry["address"], "127.0.0.1", "{entry}");
        assert_eq!(entry.as_object().expect("an object").len(), 7, "{entry}");
    }
    assert_eq!(entries[begun + 1]["detail"], "user_exists");

    let shown = [&token, &agent, &rotated].map(|answer| text(answer, "token").to_owned());
    secrets.extend(shown);
    secrets.extend([password.to_owned(), "another password".to_owned(), server.user_token("alice", &[])]);
    let (all, log) = (json!(whole(&server)).to_string(), server.log());
    for secret in secrets {
        assert!(!all.contains(&secret), "{secret} is in the audit log");
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
    assert!(!all.contains("argon2"));
}

#[test]
fn nobody_changes_it_and_readers_leave_nothing() {
    let server = Server::start();
    let before = whole(&server);
    for path in ["/api/users", "/api/tokens", "/api/agents", "/api/proxy", "/api/audit", "/api/users/nobody"] {
        server.api().get(path);
    }
    assert_eq!(whole(&server), before);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer = server.api().send(method, "/api/audit", None);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[test]
fn pages_and_filters() {
    let server = Server::start();
    let alice = server.user("alice", "user", &["tunnels:read", "tunnels:write"]);
    for n in 0..7 {
        call(&alice, "POST", "/api/agents", Some(json!({ "client_id": format!("pc{n}") })), 201);
    }
    call(&alice, "POST", "/api/users", Some(json!({ "username": "eve" })), 403);

    let (mut seen, mut path) = (Vec::new(), "/api/audit?limit=3&actor=alice".to_owned());
    loop {
        let (status, page) = server.api().get(&path);
        assert_eq!(status, 200, "{page}");
        seen.extend(lines(page["items"].as_array().expect("items")));
        // What is written meanwhile is not on later pages.
        call(&alice, "DELETE", "/api/agents/none", None, 404);
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/audit?limit=3&actor=alice&after={next}");
    }
    let agents = (0..7).rev().map(|n| format!("alice agent.enrol pc{n} ok"));
    assert_eq!(seen, std::iter::once("alice user.create - denied".to_owned()).chain(agents).collect::<Vec<_>>());

    let count = |filter: &str| server.api().items(&format!("/api/audit?{filter}")).len();
    assert_eq!(count("actor=alice&action=agent.enrol"), 7);
    assert_eq!(count("actor=alice&action=agent&outcome=ok"), 7);
    assert_eq!(count("action=user&outcome=denied"), 1);
    assert_eq!(count("object=pc3"), 1);
    for none in ["action=%25", "action=agent_enrol", "action=age%25", "actor=a_ice", "actor=Alice", "object=pc3'--"] {
        assert_eq!(count(none), 0, "{none}");
    }
    let middle = &server.api().items("/api/audit?object=pc3")[0];
    let at = text(middle, "at");
    assert_eq!(count(&format!("object=pc3&since={at}")), 1);
    assert_eq!(count(&format!("object=pc3&until={at}")), 0);
    assert!(count(&format!("actor=alice&since={at}")) + count(&format!("actor=alice&until={at}")) >= 8);
    for (query, field) in
        [("limit=0", "limit"), ("after=x", "after"), ("outcome=fine", "outcome"), ("since=now", "since")]
    {
        let (status, answer) = server.api().get(&format!("/api/audit?{query}"));
        assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!(field)), "{answer}");
    }
}

#[test]
fn the_command_line_is_written_down() {
    let server = Server::start();
    let begun = whole(&server).len();
    let id = {
        server.admin(["user", "add", "alice"]);
        server.admin(["user", "disable", "alice"]);
        server.admin(["user", "enable", "alice"]);
        server.admin(["user", "role", "alice", "admin"]);
        server.admin(["token", "create", "--user", "alice", "--name", "ci", "--expires", "30d"]);
        let listed = server.admin(["token", "list"]);
        let line = listed.lines().find(|line| line.contains(" alice ")).expect("her token").to_owned();
        line.split_whitespace().next().expect("an id").to_owned()
    };
    server.admin(["token", "remove", &id]);
    let token = server.admin(["agent", "add", "pc1"]);
    server.admin(["agent", "share", "pc1"]);
    server.admin(["agent", "unshare", "pc1"]);
    server.admin(["agent", "owner", "pc1", "alice"]);
    server.admin(["agent", "rotate", "pc1"]);
    server.admin(["agent", "remove", "pc1"]);
    server.admin(["user", "remove", "alice"]);
    let expected = [
        "user.create alice",
        "user.change alice",
        "user.change alice",
        "user.change alice",
        &format!("token.create {id}"),
        &format!("token.revoke {id}"),
        "agent.enrol pc1",
        "agent.share pc1",
        "agent.share pc1",
        "agent.share pc1",
        "agent.rotate pc1",
        "agent.remove pc1",
        "user.delete alice",
    ];
    let entries = whole(&server);
    assert_eq!(lines(&entries[begun..]), expected.map(|line| format!("command line {line} ok")));
    assert_eq!(entries[begun + 3]["detail"], "role admin");
    assert!(!json!(entries).to_string().contains(&token));
}
