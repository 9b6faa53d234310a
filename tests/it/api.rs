//! The REST API: who may, what it answers with, and how it describes itself.

use serde_json::{Value, json};

use crate::common::{Agent, Remote, Rig, Server, ping};

#[test]
fn without_a_right_token() {
    let server = Server::start();
    let calls = [
        ("GET", "/api/proxy"),
        ("POST", "/api/proxy/create"),
        ("GET", "/api/proxy/some"),
        ("PATCH", "/api/proxy/some"),
        ("DELETE", "/api/proxy/some"),
        ("GET", "/api/proxy/some/connections"),
        ("GET", "/api/agents"),
        ("POST", "/api/agents"),
        ("DELETE", "/api/agents/pc1"),
        ("POST", "/api/agents/pc1/token"),
    ];
    for (method, path) in calls {
        let body = matches!(method, "POST" | "PATCH").then_some(("application/json", "{}"));
        let answer = server.api().with_token(None).send(method, path, body);
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("unauthenticated")), "{method} {path}");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let wrong: String = server.token.chars().rev().collect();
    for token in ["", "wrong", &wrong, &server.token[1..]] {
        let answer = server.api().with_token(Some(token)).send("GET", "/api/proxy", None);
        assert_eq!(answer.status, 401, "{token:?}");
    }
}

#[test]
fn a_right_token_without_the_right() {
    let server = Server::start();
    server.enrol("pc1");
    let bob = server.user("bob", "user", &["tunnels:read"]);
    let body = json!({ "client_id": "pc1", "remote_host": "127.0.0.1", "remote_port": 22 });
    let (status, answer) = bob.post("/api/proxy/create", &body);
    assert_eq!((status, &answer["code"]), (403, &json!("forbidden")), "{answer}");
    // With the scope, but the agent is somebody else's.
    let bob = bob.with_token(Some(&server.user_token("bob", &["tunnels:write"])));
    let (status, answer) = bob.post("/api/proxy/create", &body);
    assert_eq!((status, &answer["code"]), (404, &json!("agent_unknown")), "{answer}");
    assert!(server.api().items("/api/proxy").is_empty());
    // An agent's token is no API token, and the other way round.
    let agent_token = server.enrol("pc2");
    assert_eq!(server.api().with_token(Some(&agent_token)).get("/api/proxy").0, 401);
}

#[test]
fn a_tunnel_has_every_field() {
    let rig = Rig::start("binary");
    let fields = json!({ "name": "desk", "protocol": "tcp", "bind": "127.0.0.1", "allow": ["127.0.0.0/8"],
                         "max_connections": 5, "local_port": rig.server.own_port(7) });
    let tunnel = rig.server.create_tunnel_with("pc1", 3389, fields);
    let expected = json!({
        "proxy_id": tunnel.id, "client_id": "pc1", "owner": "admin", "name": "desk", "protocol": "tcp", "remote_host": "127.0.0.1",
        "remote_port": 3389, "local_port": rig.server.own_port(7), "bind": "127.0.0.1", "enabled": true,
        "state": "listening", "reason": null, "allow": ["127.0.0.0/8"], "max_connections": 5, "bytes_in": 0,
        "bytes_out": 0, "rate_in": 0, "rate_out": 0, "connections": 0, "connections_total": 0, "dial_errors": 0,
        "last_dial_error": null,
    });
    let view = tunnel.view();
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(view.get(field), Some(value), "{field} in {view}");
    }
    assert!(view["created_at"].as_str().is_some_and(is_utc), "{view}");
    assert_eq!(rig.server.api().items("/api/proxy"), [view]);
}

#[test]
fn an_agent_has_every_field() {
    let server = Server::start();
    let (status, enrolled) = server.api().post("/api/agents", &json!({ "client_id": "pc1" }));
    assert_eq!(status, 201);
    assert!(enrolled["token"].as_str().is_some_and(|token| token.len() >= 43), "256 bits, shown once");
    let away = server.api().get("/api/agents/pc1").1;
    assert_eq!((&away["client_id"], &away["online"]), (&json!("pc1"), &json!(false)), "{away}");
    assert!(away.get("token").is_none(), "the token is shown once");

    for protocol in ["binary", "json"] {
        let agent = Agent::start(&server, &format!("pc-{protocol}"), protocol);
        let view = server.api().get(&format!("/api/agents/{}", agent.client_id)).1;
        assert_eq!(view["protocol"], protocol, "{view}");
        assert!(view["since"].as_str().is_some_and(is_utc), "{view}");
        assert!(view["address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1")), "{view}");
        for field in ["owner", "shared", "last_seen", "version", "rtt_ms", "channels"] {
            assert!(view.get(field).is_some(), "no {field} in {view}");
        }
    }
    assert_eq!(server.api().items("/api/agents").len(), 3);
}

fn is_utc(time: &str) -> bool {
    time.contains('T') && (time.ends_with('Z') || time.ends_with("+00:00"))
}

#[test]
fn lists_go_on_after_a_cursor() {
    let server = Server::start();
    server.enrol("pc1");
    let mut made: Vec<_> = (0..7).map(|_| server.create_tunnel("pc1", 22).id).collect();
    let (mut listed, mut path) = (Vec::new(), "/api/proxy?limit=3".to_owned());
    loop {
        let (status, page) = server.api().get(&path);
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 3);
        listed.extend(items.iter().filter_map(|tunnel| tunnel["proxy_id"].as_str().map(str::to_owned)));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/proxy?limit=3&after={next}");
    }
    made.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, made);
}

/// The command that people have in their notes, word for word but for the address.
#[test]
fn plain_curl_creates_a_tunnel() {
    let echo = Remote::echo();
    let rig = Rig::start("binary");
    let port = rig.server.own_port(9);
    let body = json!({ "client_id": "pc1", "remote_host": "127.0.0.1", "remote_port": echo.port, "local_port": port });
    let mut curl = std::process::Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", "-X", "POST", "-H", &format!("Authorization: Bearer {}", rig.server.token)]);
    curl.args(["-d", &body.to_string(), &format!("http://127.0.0.1:{}/api/proxy/create", rig.server.port)]);
    let answer: Value = serde_json::from_slice(&crate::common::process::output_of(&mut curl)).expect("JSON");
    assert_eq!(answer["local_port"], port, "{answer}");
    ping(&mut crate::common::connect(port));
}

#[test]
fn it_describes_itself() {
    let server = Server::start();
    let anybody = server.api().with_token(None);
    let (status, described) = anybody.get("/api/openapi.json");
    assert_eq!(status, 200);
    assert!(described["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    let paths = described["paths"].as_object().expect("paths");
    let shapes: Vec<_> = paths.iter().map(|(path, calls)| (without_names(path), calls)).collect();
    let calls = [
        ("post", "/api/proxy/create"),
        ("get", "/api/proxy"),
        ("get", "/api/proxy/{}"),
        ("patch", "/api/proxy/{}"),
        ("delete", "/api/proxy/{}"),
        ("get", "/api/proxy/{}/connections"),
        ("delete", "/api/proxy/{}/connections/{}"),
        ("get", "/api/agents"),
        ("post", "/api/agents"),
        ("get", "/api/agents/{}"),
        ("patch", "/api/agents/{}"),
        ("delete", "/api/agents/{}"),
        ("post", "/api/agents/{}/token"),
    ];
    for (method, shape) in calls {
        let is_listed = shapes.iter().any(|(path, calls)| path == shape && calls.get(method).is_some());
        assert!(is_listed, "{method} {shape} is not described");
    }
}

/// `/a/{id}/b` → `/a/{}/b`
fn without_names(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn docs_name_no_outside_host() {
    let server = Server::start();
    let anybody = server.api().with_token(None);
    let page = anybody.send("GET", "/api/docs", None);
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    for outside in ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "url(http", "@import"] {
        assert!(!page.text.contains(outside), "the page loads something from outside: {outside}");
    }
    for after in page.text.split("://").skip(1) {
        assert!(after.starts_with("www.w3.org/"), "an outside host: {}", &after[..after.len().min(40)]);
    }
}

#[test]
fn health() {
    let server = Server::start();
    let anybody = server.api().with_token(None);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(anybody.send("GET", path, None).status, 200, "{path}");
    }
}
