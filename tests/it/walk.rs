//! Every operation of the API's own description, called by those who may not: nobody, somebody else, and a token that
//! lacks the scope. An operation that this does not know how to call fails the test.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::api::Answer;
use crate::common::process::output_of;
use crate::common::{Agent, Api, PYTHON, Remote, SOON, Server, Tunnel, rows, wait_for};
use crate::desktops_without_engine::NO_ENGINE;

/// Operations that anybody may call. One more is written down here by hand.
const PUBLIC: &[&str] =
    &["healthz", "openapi", "readyz", "sign_in", "list_providers", "start_provider_sign_in", "finish_provider_sign_in"];

/// Operations that cannot be called like the others, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("connect_agent", "a WebSocket for agents, which have tokens of their own"),
    ("watch_events", "a stream without end"),
];

/// The scope that an operation needs of a token; `admin` also needs the role.
const SCOPES: &[(&str, &str)] = &[
    ("create_tunnel", "tunnels:write"),
    ("list_tunnels", "tunnels:read"),
    ("read_tunnel", "tunnels:read"),
    ("change_tunnel", "tunnels:write"),
    ("delete_tunnel", "tunnels:write"),
    ("list_connections", "tunnels:read"),
    ("cut_connection", "tunnels:write"),
    ("list_agents", "tunnels:read"),
    ("enrol_agent", "tunnels:write"),
    ("read_agent", "tunnels:read"),
    ("change_agent", "tunnels:write"),
    ("remove_agent", "tunnels:write"),
    ("rotate_agent_token", "tunnels:write"),
    ("list_desktops", "desktops:read"),
    ("create_desktop", "desktops:write"),
    ("read_desktop", "desktops:read"),
    ("delete_desktop", "desktops:write"),
    ("start_desktop", "desktops:write"),
    ("stop_desktop", "desktops:write"),
    ("read_desktop_logs", "desktops:read"),
    ("read_desktop_thumbnail", "desktops:write"),
    ("list_desktop_types", "desktops:read"),
    ("read_desktop_type", "desktops:read"),
    ("create_desktop_type", "admin"),
    ("replace_desktop_type", "admin"),
    ("delete_desktop_type", "admin"),
    ("list_users", "admin"),
    ("create_user", "admin"),
    ("read_user", "admin"),
    ("change_user", "admin"),
    ("delete_user", "admin"),
    ("read_audit", "admin"),
];

/// Operations that need a browser's session: a token is answered with 403 whatever its scopes.
const BROWSERS: &[&str] =
    &["change_password", "sign_out", "sign_out_everywhere", "start_provider_linking", "unlink_provider"];

/// Operations that need nothing but somebody.
const ANYBODY: &[&str] = &["read_me", "list_tokens", "create_token", "revoke_token"];

/// Bodies of operations that take one. `{client_id}` stands for an agent.
fn body(id: &str) -> Option<Value> {
    Some(match id {
        "create_tunnel" => json!({ "client_id": "{client_id}", "remote_host": "127.0.0.1", "remote_port": 22 }),
        "change_tunnel" => json!({ "name": "stolen", "enabled": false }),
        "enrol_agent" => json!({ "client_id": "walked" }),
        "change_agent" => json!({ "owner": "bob", "shared": true }),
        "create_desktop" => json!({ "desktop_type": "debian-desktop" }),
        "create_desktop_type" => json!({ "name": "walked", "label": "Walked", "image": "walked:1" }),
        "replace_desktop_type" => json!({ "name": "walked", "label": "Stolen", "image": "stolen:1" }),
        "create_user" => json!({ "username": "walked", "password": "correct horse battery" }),
        "change_user" => json!({ "active": false }),
        "create_token" => json!({ "name": "walked", "scopes": ["tunnels:read"] }),
        "change_password" => json!({ "current_password": "wrong", "new_password": "correct horse battery" }),
        "sign_in" => json!({ "username": "alice", "password": "wrong" }),
        _ => return None,
    })
}

/// The type that only administrators see: it is switched off.
const HIDDEN_TYPE: &str = "hidden";

/// Operations that ask the container engine, which is not there.
const NEEDS_ENGINE: &[&str] = &["read_desktop_logs"];

/// Operations without a parameter in their path whose body names somebody's object: they answer 404 for it, too.
const REACH_BY_BODY: &[&str] = &["create_tunnel"];

/// What parameters stand for, with the part of the path before them where a name has several meanings: something of
/// alice's, and something that there is not.
struct Objects(Vec<(&'static str, String, &'static str)>);

impl Objects {
    fn fill(&self, template: &str, existing: bool) -> String {
        self.0.iter().fold(template.to_owned(), |text, (parameter, real, none)| {
            let (before, _) = parameter.split_once('{').expect("a parameter");
            text.replace(parameter, &format!("{before}{}", if existing { real.as_str() } else { none }))
        })
    }
}

/// One operation of the description.
#[derive(Debug)]
struct Operation {
    id: String,
    method: String,
    path: String,
    takes_body: bool,
    is_open: bool,
}

impl Operation {
    fn is_about_an_object(&self) -> bool {
        self.path.contains('{') || REACH_BY_BODY.contains(&self.id.as_str())
    }

    fn only_reads(&self) -> bool {
        self.method == "GET"
    }

    fn scope(&self) -> Option<&'static str> {
        SCOPES.iter().find(|(id, _)| *id == self.id).map(|(_, scope)| *scope)
    }

    fn call(&self, api: &Api, objects: &Objects, existing: bool) -> Answer {
        let path = objects.fill(&self.path, existing);
        assert!(!path.contains('{'), "the walk knows no value for a parameter of {path}");
        let text = self.takes_body.then(|| {
            let body = body(&self.id).unwrap_or_else(|| panic!("the walk knows no body for {}", self.id));
            objects.fill(&body.to_string(), existing)
        });
        api.send(&self.method, &path, text.as_deref().map(|text| ("application/json", text)))
    }

    /// With a body of any text, if it takes one.
    fn call_with(&self, api: &Api, objects: &Objects, text: &str) -> Option<Answer> {
        let path = objects.fill(&self.path, true);
        self.takes_body.then(|| api.send(&self.method, &path, Some(("application/json", text))))
    }
}

/// A server on which alice has one thing of each kind, and bob nothing.
struct House {
    server: Server,
    objects: Objects,
    /// As a token with all scopes that its owner may have.
    bob: Api,
    operations: Vec<Operation>,
    _agent: Agent,
    _user: std::net::TcpStream,
    _target: Remote,
}

impl House {
    fn build() -> Self {
        let mut server = Server::setup().under(NO_ENGINE).will_restart().start();
        let alice = server.user("alice", "user", &[]);
        let bob = server.user("bob", "user", &[]);
        let desktop = rows::give_stopped_desktop(&mut server, "alice");
        let hidden = json!({ "name": HIDDEN_TYPE, "label": "Hidden", "image": "hidden:1", "enabled": false });
        assert_eq!(server.api().post("/api/desktop-types", &hidden).0, 201);
        let (status, answer) = alice.post("/api/agents", &json!({ "client_id": "alices" }));
        assert_eq!(status, 201, "{answer}");
        let token = answer["token"].as_str().expect("the token is shown once");
        let agent = Agent::launch(&server, "alices", token, "binary", &[]);
        agent.wait_online();
        let target = Remote::echo();
        let body = json!({ "client_id": "alices", "remote_host": "127.0.0.1", "remote_port": target.port });
        let (status, answer) = alice.post("/api/proxy/create", &body);
        assert_eq!(status, 201, "{answer}");
        let tunnel = Tunnel::new(&answer, alice.clone());
        let user = tunnel.connect();
        let connection = wait_for("alice's connection", SOON, || tunnel.connections().pop());
        let connection = connection["user_id"].as_str().expect("a name").to_owned();
        let (user_id, token_id) = (server.user_id("alice"), alice.only_token_id());
        let objects = Objects(vec![
            ("proxy/{id}", tunnel.id.clone(), "none"),
            ("desktops/{id}", desktop, "none"),
            ("{name}", HIDDEN_TYPE.to_owned(), "none"),
            ("users/{id}", user_id, "none"),
            ("tokens/{id}", token_id, "none"),
            ("{client_id}", "alices".to_owned(), "none"),
            ("{user_id}", connection, "none"),
            ("{provider}", "some".to_owned(), "none"),
        ]);
        let operations = operations(&server);
        Self { server, objects, bob, operations, _agent: agent, _user: user, _target: target }
    }

    /// Those that are not for everybody.
    fn guarded(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(|operation| !PUBLIC.contains(&operation.id.as_str()))
    }

    fn dump(&self) -> String {
        dump(&self.server)
    }
}

fn operations(server: &Server) -> Vec<Operation> {
    let (status, document) = server.api().with_token(None).get("/api/openapi.json");
    assert_eq!(status, 200);
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            if ELSEWHERE.iter().any(|(other, _)| *other == id) {
                continue;
            }
            found.push(Operation {
                id,
                method: method.to_uppercase(),
                path: path.clone(),
                takes_body: operation.get("requestBody").is_some(),
                is_open: operation["security"] == json!([{}]),
            });
        }
    }
    found
}

/// All that the database holds, but for when something was last used or seen, and how much flowed.
fn dump(server: &Server) -> String {
    const SCRIPT: &str = "
import sqlite3, sys
database = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)
passing = {'last_used', 'last_seen', 'address', 'version', 'bytes_in', 'bytes_out', 'connections_total'}
for (table,) in database.execute(\"SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name\").fetchall():
    if table == 'audit_log':
        continue
    columns = [row[1] for row in database.execute(f'PRAGMA table_info({table})') if row[1] not in passing]
    for row in database.execute(f'SELECT {\", \".join(columns)} FROM {table} ORDER BY 1').fetchall():
        print(table, row)
";
    let mut command = Command::new(PYTHON);
    command.args(["-c", SCRIPT]).arg(server.data_dir().join("dockway.db"));
    String::from_utf8(output_of(&mut command)).expect("text")
}

/// Code and detail, with the name of what was asked for taken out.
fn told(answer: &Answer, objects: &Objects) -> (u16, String, String) {
    let problem = answer.json();
    let names: BTreeSet<&str> = objects.0.iter().flat_map(|(_, real, none)| [real.as_str(), *none]).collect();
    let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
    let detail = names.into_iter().fold(detail, |text, name| text.replace(&format!("`{name}`"), "`…`"));
    (answer.status, problem["code"].as_str().unwrap_or_default().to_owned(), detail)
}

#[test]
fn nobody_is_asked_to_sign_in() {
    let house = House::build();
    for operation in &house.operations {
        let known = PUBLIC.contains(&operation.id.as_str());
        assert_eq!(operation.is_open, known, "{operation:?}: what the description says is open to everybody");
    }
    let before = house.dump();
    for wrong in [None, Some(""), Some("dwt_wrong"), Some("Bearer")] {
        let nobody = house.server.api().with_token(wrong);
        for operation in house.guarded() {
            for existing in [true, false] {
                let answer = operation.call(&nobody, &house.objects, existing);
                assert_eq!(told(&answer, &house.objects).0, 401, "{operation:?}: {}", answer.text);
                assert_eq!(answer.json()["code"], "unauthenticated", "{operation:?}");
            }
        }
    }
    assert_eq!(house.dump(), before);
    for operation in house.operations.iter().filter(|operation| operation.is_open) {
        let answer = operation.call(&house.server.api().with_token(None), &house.objects, true);
        // A sign-in with a wrong password is a 401 of its own.
        assert!(!answer.text.contains("\"unauthenticated\""), "{operation:?}: {}", answer.text);
    }
}

#[test]
fn the_things_of_others_are_not_there() {
    let house = House::build();
    let before = house.dump();
    let mut asked = 0;
    for operation in house.guarded().filter(|operation| operation.is_about_an_object()) {
        let real = told(&operation.call(&house.bob, &house.objects, true), &house.objects);
        let none = told(&operation.call(&house.bob, &house.objects, false), &house.objects);
        assert_eq!(real, none, "{operation:?}: the two can be told apart");
        let expected =
            if operation.scope() == Some("admin") || BROWSERS.contains(&operation.id.as_str()) { 403 } else { 404 };
        assert_eq!(real.0, expected, "{operation:?}: {real:?}");
        asked += 1;
    }
    assert!(asked >= 10, "the walk found {asked} operations about an object");
    assert_eq!(house.dump(), before);
    // Nor do lists show them.
    for operation in house.guarded().filter(|operation| operation.only_reads() && !operation.is_about_an_object()) {
        let text = operation.call(&house.bob, &house.objects, true).text;
        assert!(!text.contains("alice"), "{operation:?}: {text}");
    }
}

#[test]
fn a_token_without_the_scope_is_refused_before_anything_else() {
    let house = House::build();
    let before = house.dump();
    let all = ["tunnels:read", "tunnels:write", "desktops:read", "desktops:write", "admin"];
    for operation in house.guarded() {
        let id = operation.id.as_str();
        assert!(
            operation.scope().is_some() || BROWSERS.contains(&id) || ANYBODY.contains(&id),
            "the walk does not know what {id} needs"
        );
    }
    for missing in all.into_iter().filter(|scope| SCOPES.iter().any(|(_, needed)| needed == scope)) {
        // `admin` includes all others.
        let scopes: Vec<&str> = all.into_iter().filter(|scope| *scope != missing && *scope != "admin").collect();
        let owner = house.server.user_token(if missing == "admin" { "admin" } else { "alice" }, &scopes);
        let owner = house.server.api().with_token(Some(&owner));
        for operation in house.guarded().filter(|operation| operation.scope() == Some(missing)) {
            for existing in [true, false] {
                let answer = operation.call(&owner, &house.objects, existing);
                assert_eq!(answer.status, 403, "{operation:?}: {}", answer.text);
                let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
                assert!(detail.contains(&format!("`{missing}`")), "{operation:?}: {detail}");
                let broken = operation.call_with(&owner, &house.objects, "{\"a\": ");
                assert_eq!(broken.map_or(403, |answer| answer.status), 403, "{operation:?}: its body is read first");
            }
        }
    }
    for operation in house.guarded().filter(|operation| BROWSERS.contains(&operation.id.as_str())) {
        let answer = operation.call(&house.server.api(), &house.objects, true);
        assert_eq!(answer.status, 403, "{operation:?}: {}", answer.text);
    }
    // Those that were made here are the only news.
    let others = |dump: String| {
        dump.lines().filter(|line| !line.starts_with("api_tokens")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(others(house.dump()), others(before));
}

#[test]
fn reading_changes_nothing() {
    let house = House::build();
    let admin = house.server.api();
    let before = house.dump();
    for operation in house.operations.iter().filter(|operation| operation.only_reads()) {
        for existing in [true, false] {
            let answer = operation.call(&admin, &house.objects, existing);
            let away = NEEDS_ENGINE.contains(&operation.id.as_str()) && answer.json()["code"] == "engine_unavailable";
            assert!(answer.status < 500 || away, "{operation:?}: {}", answer.text);
            let path = house.objects.fill(&operation.path, existing);
            let head = admin.send("HEAD", &path, None);
            assert_eq!((head.status, head.text.as_str()), (answer.status, ""), "HEAD {path}");
        }
    }
    assert_eq!(house.dump(), before);
}
