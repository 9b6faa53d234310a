//! Requests that cannot be taken as they are: every row of the table, and that nothing comes of them.

use std::io::Write;

use serde_json::{Value, json};

use crate::common::{Server, connect, read_end};

const CREATE: &str = "/api/proxy/create";

/// A good request with one field changed, or removed by null.
fn with(field: &str, value: Value) -> Value {
    let mut body = json!({ "client_id": "pc1", "remote_host": "127.0.0.1", "remote_port": 22 });
    let fields = body.as_object_mut().expect("an object");
    if value.is_null() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), value);
    }
    body
}

fn server() -> Server {
    let server = Server::start();
    server.enrol("pc1");
    server
}

fn assert_nothing_stored(server: &Server) {
    assert_eq!(server.api().items("/api/proxy"), Vec::<Value>::new());
}

#[test]
fn fields_are_named() {
    let server = server();
    let rows = [
        ("client_id", json!(null), "missing"),
        ("remote_host", json!(null), "missing"),
        ("remote_port", json!(null), "missing"),
        ("client_id", json!(7), "type"),
        ("remote_host", json!(["a"]), "type"),
        ("remote_port", json!("ssh"), "type"),
        ("remote_port", json!(22.5), "type"),
        ("local_port", json!("13389"), "type"),
        ("name", json!(1), "type"),
        ("allow", json!("10.0.0.0/8"), "type"),
        ("max_connections", json!("many"), "type"),
        ("remote_port", json!(0), "range"),
        ("remote_port", json!(70_000), "range"),
        ("remote_port", json!(-1), "range"),
        ("local_port", json!(0), "range"),
        ("local_port", json!(70_000), "range"),
        ("max_connections", json!(0), "range"),
        ("remote_host", json!(""), "empty"),
        ("remote_host", json!("two words"), "format"),
        ("remote_host", json!("a".repeat(5_000)), "too_long"),
        ("name", json!("n".repeat(5_000)), "too_long"),
        ("allow", json!(["10.0.0.0/8", "300.1.1.1/8"]), "format"),
        ("bind", json!("everywhere"), "format"),
        ("protocol", json!("udp"), "format"),
        ("colour", json!("blue"), "unknown"),
        ("proxy_id", json!("mine"), "unknown"),
    ];
    for (field, value, code) in rows {
        let body = with(field, value);
        let (status, answer) = server.api().post(CREATE, &body);
        assert_eq!((status, &answer["code"]), (422, &json!("invalid")), "{body}: {answer}");
        let named = answer["errors"].as_array().and_then(|errors| errors.first()).cloned().unwrap_or_default();
        let place = named["field"].as_str().unwrap_or_default();
        assert!(place == field || place.starts_with(&format!("{field}[")), "{body}: {answer}");
        assert_eq!(named["code"], code, "{body}: {answer}");
        assert!(named["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
    }
    assert_nothing_stored(&server);
}

#[test]
fn several_fields_are_named_at_once() {
    let server = server();
    let (status, answer) = server.api().post(CREATE, &json!({ "client_id": "pc1", "remote_port": 0, "colour": 1 }));
    assert_eq!(status, 422);
    let named = answer["errors"].as_array().expect("errors").iter().filter_map(|error| error["field"].as_str());
    let mut named: Vec<_> = named.collect();
    named.sort_unstable();
    assert_eq!(named, ["colour", "remote_host", "remote_port"], "{answer}");
}

#[test]
fn bodies_that_are_no_json_object() {
    let server = server();
    for (body, expected) in [("", 400), ("{", 400), ("not json", 400), ("[1]", 400), ("\"x\"", 400), ("null", 400)] {
        let answer = server.api().send("POST", CREATE, Some(("application/json", body)));
        assert_eq!(answer.status, expected, "{body:?}: {}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    assert_nothing_stored(&server);
}

#[test]
fn media_types() {
    let server = server();
    let body = with("name", json!("a")).to_string();
    for kind in ["text/plain", "application/xml", "multipart/form-data; boundary=x"] {
        let answer = server.api().send("POST", CREATE, Some((kind, &body)));
        assert_eq!((answer.status, &answer.json()["code"]), (415, &json!("unsupported_media_type")), "{kind}");
    }
    assert_nothing_stored(&server);
    for kind in ["application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded"] {
        let answer = server.api().send("POST", CREATE, Some((kind, &body)));
        assert_eq!(answer.status, 201, "{kind}: {}", answer.text);
    }
}

#[test]
fn body_over_64_kib() {
    let server = server();
    let fits = with("name", json!("a")).to_string();
    let padded = format!("{fits}{}", " ".repeat(64 * 1024 - fits.len()));
    assert_eq!(server.api().send("POST", CREATE, Some(("application/json", &padded))).status, 201);
    let larger = format!("{padded} ");
    let answer = server.api().send("POST", CREATE, Some(("application/json", &larger)));
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("too_large")));
    assert_eq!(server.api().items("/api/proxy").len(), 1);
}

/// A length that is only claimed is refused before its bytes come.
#[test]
fn claimed_length_over_64_kib() {
    let server = server();
    let mut stream = connect(server.port);
    let request = format!(
        "POST {CREATE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: 9000000000\r\n\r\n",
        server.token
    );
    stream.write_all(request.as_bytes()).expect("taken");
    let answer = String::from_utf8(read_end(&mut stream).expect("an answer")).expect("text");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn unknown_agent() {
    let server = server();
    let (status, answer) = server.api().post(CREATE, &with("client_id", json!("pc2")));
    assert_eq!((status, &answer["code"]), (404, &json!("agent_unknown")), "{answer}");
    assert_nothing_stored(&server);
}

#[test]
fn names_of_agents() {
    let server = server();
    for name in ["", "two words", "slash/ed", "ümlaut", &"x".repeat(65)] {
        let (status, answer) = server.api().post("/api/agents", &json!({ "client_id": name }));
        assert_eq!(status, 422, "{name:?}: {answer}");
        assert_eq!(answer["errors"][0]["field"], "client_id", "{answer}");
    }
    for name in ["a", "A.b_c-9", &"x".repeat(64)] {
        let (status, answer) = server.api().post("/api/agents", &json!({ "client_id": name }));
        assert_eq!(status, 201, "{name:?}: {answer}");
    }
    let (status, answer) = server.api().post("/api/agents", &json!({ "client_id": "pc1" }));
    assert_eq!((status, &answer["code"]), (409, &json!("agent_exists")), "{answer}");
}

#[test]
fn things_that_do_not_exist() {
    let server = server();
    let rows = [
        ("GET", "/api/proxy/none", 404, "tunnel_unknown"),
        ("DELETE", "/api/proxy/none", 404, "tunnel_unknown"),
        ("GET", "/api/proxy/none/connections", 404, "tunnel_unknown"),
        ("DELETE", "/api/proxy/none/connections/user-1-1", 404, "tunnel_unknown"),
        ("GET", "/api/agents/none", 404, "agent_unknown"),
        ("DELETE", "/api/agents/none", 404, "agent_unknown"),
        ("GET", "/api/nothing", 404, "not_found"),
        ("PUT", "/api/proxy", 405, "method_not_allowed"),
    ];
    for (method, path, status, code) in rows {
        let answer = server.api().send(method, path, None);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{method} {path}");
    }
}

#[test]
fn nul_bytes_in_any_field() {
    let server = server();
    let user = json!({ "username": "alice", "password": "a long passphrase" });
    let token = json!({ "name": "x", "scopes": ["admin"], "expires_at": "2035-01-31T12:00:00Z" });
    let rows = [
        (CREATE, with("none", json!(null)), vec!["client_id", "remote_host", "name", "bind", "protocol"]),
        ("/api/agents", json!({ "client_id": "pc2" }), vec!["client_id", "owner"]),
        ("/api/users", user, vec!["username", "display_name", "email", "role"]),
        ("/api/tokens", token, vec!["name", "expires_at"]),
    ];
    let before = (server.api().items("/api/agents"), server.api().items("/api/users"));
    for (path, good, fields) in rows {
        for field in fields {
            let mut body = good.clone();
            body[field] = json!("a\0b");
            let (status, answer) = server.api().post(path, &body);
            assert_eq!((status, &answer["code"]), (422, &json!("invalid")), "{path} {body}: {answer}");
            assert_eq!(answer["errors"][0]["field"], field, "{path} {body}: {answer}");
        }
    }
    let scopes = json!({ "name": "x", "scopes": ["admin\0"] });
    assert_eq!(server.api().post("/api/tokens", &scopes).0, 422);
    assert_eq!((server.api().items("/api/agents"), server.api().items("/api/users")), before);
    assert_eq!(server.api().items("/api/tokens").len(), 1);
    assert_nothing_stored(&server);
}
