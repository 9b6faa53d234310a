//! API tokens over HTTP, and how much of everything one person may have.

use serde_json::{Value, json};

use crate::common::api::assert_problem;
use crate::common::server::{NOTICED_WITHIN, admin};
use crate::common::{Api, SOON, Server, wait_until};

fn assert_void(api: &Api) {
    assert_problem(api.get("/api/tokens"), 401, "unauthenticated");
}

#[test]
fn a_token_from_its_making_to_its_end() {
    let server = Server::start();
    let alice = server.user("alice", "user", &[]);
    let body = json!({ "name": "ci", "scopes": ["tunnels:read"], "expires_at": "2035-01-31T12:00:00Z" });
    let (status, made) = alice.post("/api/tokens", &body);
    assert_eq!(status, 201, "{made}");
    let expected = json!({ "name": "ci", "scopes": ["tunnels:read"], "expires_at": "2035-01-31T12:00:00.000Z",
                           "last_used": null });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&made[field], value, "{field} in {made}");
    }
    let token = made["token"].as_str().expect("the token is shown once");
    assert!(token.starts_with("dwt_") && token.len() >= 47, "256 bits");
    let script = server.api().with_token(Some(token));
    assert_eq!(script.get("/api/proxy").0, 200);
    assert_problem(script.post("/api/proxy/create", &json!({})), 403, "forbidden");
    let id = made["id"].as_str().expect("an id");
    let listed = alice.items("/api/tokens").into_iter().find(|token| token["id"] == id).expect("it is listed");
    assert!(listed.get("token").is_none() && listed["last_used"].is_string(), "{listed}");

    let path = format!("/api/tokens/{id}");
    assert_eq!(alice.delete(&path).0, 204);
    assert_void(&script);
    assert_problem(alice.delete(&path), 404, "token_unknown");
}

#[test]
fn tokens_that_are_not_right() {
    let server = Server::start();
    let other = Server::start();
    let agent = server.enrol("pc1");
    let truncated = &server.token[..server.token.len() - 1];
    let (longer, upper) = (format!("{}x", server.token), server.token.to_uppercase());
    for token in [truncated, &longer, &upper, &other.token, &agent, "dwt_", "'; DROP TABLE api_tokens;--", "\u{7f}x"] {
        let answer = server.api().with_token(Some(token)).try_send("GET", "/api/tokens", None);
        // A header cannot hold everything.
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 401), "{token}");
    }
    let soon = server.admin(["token", "create", "--user", "admin", "--name", "soon", "--expires", "3s"]);
    let short = server.api().with_token(Some(&soon));
    wait_until("it works", NOTICED_WITHIN, || short.get("/api/tokens").0 == 200);
    wait_until("it has expired", SOON, || short.get("/api/tokens").0 == 401);
    assert_void(&short);
    for bad in ["0s", "1y", "soon", "-1d"] {
        let args = ["token", "create", "--user", "admin", "--name", "x", &format!("--expires={bad}")];
        assert!(!admin(server.data_dir(), args).status.success(), "{bad}");
    }
}

#[test]
fn a_token_makes_none_that_is_wider_or_lasts_longer() {
    let server = Server::start();
    let reader = server.user("alice", "user", &["tunnels:read", "desktops:read"]);
    let make = |api: &Api, scopes: Value| api.post("/api/tokens", &json!({ "name": "x", "scopes": scopes }));
    for wider in [json!(["tunnels:write"]), json!(["tunnels:read", "tunnels:write"]), json!(["admin"])] {
        assert_problem(make(&reader, wider), 403, "forbidden");
    }
    assert_eq!(make(&reader, json!(["tunnels:read"])).0, 201);
    let (status, same) = make(&reader, json!(null));
    assert_eq!((status, &same["scopes"]), (201, &json!(["tunnels:read", "desktops:read"])));
    for wrong in [json!([]), json!(["everything"]), json!("tunnels:read"), json!(["'; DROP TABLE api_tokens;--"])] {
        assert_problem(make(&reader, wrong), 422, "invalid");
    }

    let end = "2035-01-31T12:00:00Z";
    let (_, ending) = server.api().post("/api/tokens", &json!({ "name": "ending", "expires_at": end }));
    let ending = server.api().with_token(ending["token"].as_str());
    for (expires_at, status) in [
        (json!(null), 403),
        (json!("2035-01-31T12:00:01Z"), 403),
        (json!(end), 201),
        (json!("2030-01-31T12:00:00Z"), 201),
        (json!("2001-01-31T12:00:00Z"), 422),
        (json!("2999-01-31T12:00:00Z"), 422),
        (json!("tomorrow"), 422),
    ] {
        let (answered, answer) = ending.post("/api/tokens", &json!({ "name": "x", "expires_at": expires_at }));
        assert_eq!(answered, status, "{expires_at}: {answer}");
    }
}

#[test]
fn whose_tokens_one_sees() {
    let server = Server::start();
    let alice = server.user("alice", "user", &[]);
    let reader = server.api().with_token(Some(&server.user_token("alice", &["tunnels:read"])));
    let bob = server.user("bob", "user", &[]);
    let id = |api: &Api| api.items("/api/tokens")[0]["id"].as_str().expect("an id").to_owned();

    assert_eq!((alice.items("/api/tokens").len(), reader.items("/api/tokens").len()), (2, 1));
    let hers = id(&reader);
    assert_problem(bob.delete(&format!("/api/tokens/{hers}")), 404, "token_unknown");
    assert_problem(reader.delete(&format!("/api/tokens/{}", wider_than(&alice, &hers))), 404, "token_unknown");
    for name in ["alice", "nobody"] {
        assert_problem(bob.get(&format!("/api/tokens?user={name}")), 404, "user_unknown");
    }
    assert_eq!(bob.items("/api/tokens?user=bob").len(), 1);
    assert_eq!(server.api().items("/api/tokens?user=alice").len(), 2);
    assert_eq!(server.api().items("/api/tokens?user=alice&limit=1").len(), 1);
    assert_problem(server.api().get("/api/tokens?user=nobody"), 404, "user_unknown");
    assert_eq!(server.api().delete(&format!("/api/tokens/{hers}")).0, 204);
    assert_void(&reader);
}

/// The id of a caller's token that is not `narrow`.
fn wider_than(api: &Api, narrow: &str) -> String {
    let ids = api.items("/api/tokens").into_iter().filter_map(|token| token["id"].as_str().map(str::to_owned));
    ids.into_iter().find(|id| id != narrow).expect("another one")
}

#[test]
fn nobody_has_more_than_the_limit() {
    let args = ["--user-tunnels", "2", "--user-agents", "1", "--user-tokens", "2"];
    let server = Server::setup().args(args).start();
    let alice = server.user("alice", "user", &[]);
    let path = server.user_path("alice");
    let agent = |api: &Api, name: &str| api.post("/api/agents", &json!({ "client_id": name }));
    let token = || alice.post("/api/tokens", &json!({ "name": "x" }));
    let tunnel = |api: &Api| {
        api.post("/api/proxy/create", &json!({ "client_id": "hers", "remote_host": "127.0.0.1", "remote_port": 22 }))
    };

    assert_eq!(agent(&alice, "hers").0, 201);
    assert_limit(agent(&alice, "second"), "1 agents");
    assert_eq!(token().0, 201, "the second one");
    assert_limit(token(), "2 tokens");
    assert_eq!((tunnel(&alice).0, tunnel(&alice).0), (201, 201));
    assert_limit(tunnel(&alice), "2 tunnels");

    let more = json!({ "max_tunnels": 3, "max_agents": 2, "max_tokens": 3 });
    assert_eq!(server.api().patch(&path, &more).0, 200);
    assert_eq!((agent(&alice, "second").0, token().0, tunnel(&alice).0), (201, 201, 201));
    assert_limit(tunnel(&alice), "3 tunnels");
    let none = json!({ "max_tunnels": 0, "max_agents": 0, "max_tokens": 0 });
    assert_eq!(server.api().patch(&path, &none).0, 200);
    assert_limit(agent(&alice, "third"), "0 agents");

    for _ in 0..25 {
        let (status, answer) = tunnel(&server.api());
        assert_eq!(status, 201, "an administrator has no limit: {answer}");
    }
    let me = server.user_path("admin");
    assert_eq!(server.api().patch(&me, &json!({ "max_tunnels": 25 })).0, 200);
    assert_limit(tunnel(&server.api()), "25 tunnels");
}

fn assert_limit((status, answer): (u16, Value), limit: &str) {
    assert_eq!((status, &answer["code"]), (409, &json!("limit_reached")), "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains(limit)), "{answer}");
}
