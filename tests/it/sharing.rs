//! Whose agents people make tunnels through: their own, and those that an administrator shared.

use serde_json::{Value, json};

use crate::common::api::assert_problem;
use crate::common::{Api, Server};

fn tunnel(api: &Api, client_id: &str) -> (u16, Value) {
    api.post("/api/proxy/create", &json!({ "client_id": client_id, "remote_host": "127.0.0.1", "remote_port": 22 }))
}

fn share(server: &Server, client_id: &str, changes: &Value) {
    let (status, answer) = server.api().patch(&format!("/api/agents/{client_id}"), changes);
    assert_eq!(status, 200, "{answer}");
}

fn path_of(tunnel: &Value) -> String {
    format!("/api/proxy/{}", tunnel["proxy_id"].as_str().expect("an id"))
}

fn client_ids(api: &Api) -> Vec<Value> {
    api.items("/api/agents").iter().map(|agent| agent["client_id"].clone()).collect()
}

#[test]
fn own_agents_and_shared_ones_will_do() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice", "user", &[]), server.user("bob", "user", &[]));
    server.enrol("pc1");
    assert_eq!(alice.post("/api/agents", &json!({ "client_id": "hers" })).0, 201);
    let own = tunnel(&alice, "hers");
    assert_eq!((own.0, &own.1["owner"]), (201, &json!("alice")), "{}", own.1);
    for (api, other) in [(&alice, "pc1"), (&bob, "pc1"), (&bob, "hers"), (&bob, "none")] {
        assert_problem(tunnel(api, other), 404, "agent_unknown");
        assert_problem(api.get(&format!("/api/agents/{other}")), 404, "agent_unknown");
    }
    assert_eq!(client_ids(&alice), ["hers"]);

    share(&server, "pc1", &json!({ "shared": true }));
    assert_eq!(client_ids(&alice), ["hers", "pc1"]);
    let through_shared = tunnel(&alice, "pc1");
    assert_eq!((through_shared.0, &through_shared.1["owner"]), (201, &json!("alice")), "{}", through_shared.1);
    assert_problem(bob.get(&path_of(&through_shared.1)), 404, "tunnel_unknown");
    assert!(bob.items("/api/proxy").is_empty());
    // To use it is all that they may.
    for (method, path) in [("DELETE", "/api/agents/pc1"), ("POST", "/api/agents/pc1/token")] {
        assert_eq!(alice.send(method, path, None).status, 403, "{method} {path}");
    }
    assert_problem(alice.patch("/api/agents/hers", &json!({ "shared": true })), 403, "forbidden");
    let beyond = json!({ "client_id": "pc1", "remote_host": "127.0.0.1", "remote_port": 22, "local_port": server.own_port(0) - 1 });
    assert_problem(alice.post("/api/proxy/create", &beyond), 422, "port_out_of_range");
}

#[test]
fn what_was_made_through_it_stays_when_an_agent_is_not_shared_any_more() {
    let server = Server::start();
    let alice = server.user("alice", "user", &[]);
    server.enrol("pc1");
    share(&server, "pc1", &json!({ "shared": true }));
    let made = path_of(&tunnel(&alice, "pc1").1);
    share(&server, "pc1", &json!({ "shared": false }));
    assert_eq!(alice.get(&made).0, 200);
    assert_problem(tunnel(&alice, "pc1"), 404, "agent_unknown");
    assert_problem(alice.patch(&made, &json!({ "remote_port": 23 })), 404, "agent_unknown");
    assert_eq!(alice.patch(&made, &json!({ "enabled": false })).0, 200);
    assert_problem(alice.patch(&made, &json!({ "enabled": true })), 404, "agent_unknown");
    assert_eq!(alice.delete(&made).0, 204);
}

#[test]
fn what_somebody_made_stays_when_the_account_is_not_active_any_more() {
    let server = Server::start();
    let alice = server.user("alice", "user", &[]);
    server.enrol("pc1");
    share(&server, "pc1", &json!({ "shared": true }));
    let made = path_of(&tunnel(&alice, "pc1").1);
    assert_eq!(server.api().patch(&server.user_path("alice"), &json!({ "active": false })).0, 200);
    assert_eq!(alice.get(&made).0, 401);
    let (status, seen) = server.api().get(&made);
    assert_eq!((status, &seen["owner"], &seen["enabled"]), (200, &json!("alice"), &json!(true)), "{seen}");
    assert_problem(server.api().delete(&server.user_path("alice")), 409, "user_in_use");
    assert_eq!(server.api().delete(&made).0, 204);
    assert_eq!(server.api().delete(&server.user_path("alice")).0, 204);
}

#[test]
fn an_agent_is_handed_over() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice", "user", &[]), server.user("bob", "user", &[]));
    assert_eq!(alice.post("/api/agents", &json!({ "client_id": "pc1" })).0, 201);
    assert_problem(alice.patch("/api/agents/pc1", &json!({ "owner": "bob" })), 403, "forbidden");
    share(&server, "pc1", &json!({ "owner": "bob" }));
    assert_problem(alice.get("/api/agents/pc1"), 404, "agent_unknown");
    assert_eq!(bob.get("/api/agents/pc1").1["owner"], "bob");
    let (status, rotated) = bob.post("/api/agents/pc1/token", &json!({}));
    assert_eq!(status, 200, "{rotated}");
    assert!(rotated["token"].is_string());
}
