//! Ports that cannot be had: the answer, and that nothing is left of the attempt.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::common::process::output_of;
use crate::common::server::{admin, said};
use crate::common::sockets::{is_free, local, wait_end};
use crate::common::{Process, Remote, Rig, SOON, Server, is_refused, ping, wait_for};

fn create(server: &Server, port: u16) -> (u16, Value) {
    let body = json!({ "client_id": "pc1", "remote_host": "127.0.0.1", "remote_port": 22, "local_port": port });
    server.api().post("/api/proxy/create", &body)
}

fn assert_refused(answer: &(u16, Value), status: u16, code: &str) {
    assert_eq!((answer.0, answer.1["code"].as_str()), (status, Some(code)), "{}", answer.1);
    assert_eq!(answer.1["status"], status);
}

#[test]
fn taken_by_another_tunnel() {
    let server = Server::start();
    server.enrol("pc1");
    let port = server.own_port(5);
    let (status, first) = create(&server, port);
    assert_eq!(status, 201, "{first}");
    let second = create(&server, port);
    assert_refused(&second, 409, "port_in_use");
    let id = first["proxy_id"].as_str().expect("an id");
    assert!(second.1["detail"].as_str().is_some_and(|detail| detail.contains(id)), "{}", second.1);
    assert_eq!(server.api().items("/api/proxy").len(), 1);
}

/// The id of a tunnel begins with the name of its agent.
#[test]
fn taken_by_a_tunnel_that_the_asker_may_not_see() {
    let server = Server::start();
    server.enrol("secret-lab");
    let port = server.own_port(5);
    let body = |agent: &str, port: u16| json!({ "client_id": agent, "remote_host": "127.0.0.1", "remote_port": 22, "local_port": port });
    assert_eq!(server.api().post("/api/proxy/create", &body("secret-lab", port)).0, 201);
    let alice = server.user("alice", "user", &["tunnels:read", "tunnels:write"]);
    assert_eq!(alice.post("/api/agents", &json!({ "client_id": "pc1" })).0, 201);
    let refused = alice.post("/api/proxy/create", &body("pc1", port));
    assert_refused(&refused, 409, "port_in_use");
    assert!(!refused.1.to_string().contains("secret-lab"), "{}", refused.1);

    let (status, own) = alice.post("/api/proxy/create", &body("pc1", server.own_port(6)));
    assert_eq!(status, 201, "{own}");
    let id = own["proxy_id"].as_str().expect("an id");
    let path = format!("/api/proxy/{id}");
    let refused = alice.send("PATCH", &path, Some(("application/json", &json!({ "local_port": port }).to_string())));
    assert_eq!((refused.status, refused.text.contains("secret-lab")), (409, false), "{}", refused.text);
    // Her own is named to her, and every one to an administrator.
    let again = alice.post("/api/proxy/create", &body("pc1", server.own_port(6)));
    assert!(again.1["detail"].as_str().is_some_and(|detail| detail.contains(id)), "{}", again.1);
    let again = server.api().post("/api/proxy/create", &body("secret-lab", server.own_port(6)));
    assert!(again.1["detail"].as_str().is_some_and(|detail| detail.contains(id)), "{}", again.1);
}

#[test]
fn taken_by_another_process() {
    let server = Server::start();
    server.enrol("pc1");
    let port = server.own_port(5);
    let squatter = TcpListener::bind(local(port)).expect("a free port");
    let refused = create(&server, port);
    assert_refused(&refused, 409, "port_unavailable");
    assert!(refused.1["detail"].as_str().is_some_and(|detail| detail.contains("in use")), "{}", refused.1);
    assert!(server.api().items("/api/proxy").is_empty());
    drop(squatter);
    assert!(is_refused(port) && is_free(port));
    assert_eq!(create(&server, port).0, 201);
}

#[test]
fn outside_the_range() {
    let server = Server::setup().tunnel_ports("32100-32109").start();
    server.enrol("pc1");
    for port in [1, 32_099, 32_110, 65_535] {
        let refused = create(&server, port);
        assert_refused(&refused, 422, "port_out_of_range");
        assert!(refused.1["detail"].as_str().is_some_and(|detail| detail.contains("32100-32109")), "{}", refused.1);
        assert_eq!(refused.1["errors"][0]["field"], "local_port");
    }
    assert!(server.api().items("/api/proxy").is_empty());
}

#[test]
fn chosen_from_the_range_until_none_is_left() {
    let server = Server::start();
    let (first, last) = (server.own_port(0), server.own_port(62));
    server.enrol("pc1");
    let mut ports: Vec<_> = (first..=last).map(|_| server.create_tunnel("pc1", 22).port).collect();
    ports.sort_unstable();
    assert_eq!(ports, (first..=last).collect::<Vec<_>>());
    let body = json!({ "client_id": "pc1", "remote_host": "127.0.0.1", "remote_port": 22 });
    assert_refused(&server.api().post("/api/proxy/create", &body), 409, "no_port_free");
}

/// A port of the range that another program holds is passed over.
#[test]
fn choice_passes_over_what_is_taken() {
    let server = Server::setup().tunnel_ports("32120-32122").start();
    server.enrol("pc1");
    let _squatters = [32_120, 32_122].map(|port| TcpListener::bind(local(port)).expect("a free port"));
    assert_eq!(server.create_tunnel("pc1", 22).port, 32_121);
}

#[test]
fn two_creates_at_the_same_instant() {
    let server = Server::start();
    server.enrol("pc1");
    for nth in 0..20 {
        let (port, start) = (server.own_port(nth), Barrier::new(2));
        let attempt = || {
            start.wait();
            create(&server, port)
        };
        let answers = std::thread::scope(|scope| {
            let [first, second] = [scope.spawn(attempt), scope.spawn(attempt)];
            [first.join().expect("an answer"), second.join().expect("an answer")]
        });
        let mut statuses = answers.each_ref().map(|answer| answer.0);
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{answers:?}");
        let refused = answers.iter().find(|answer| answer.0 == 409).expect("one of them");
        assert_refused(refused, 409, "port_in_use");
    }
    assert_eq!(server.api().items("/api/proxy").len(), 20);
}

#[test]
fn deletion_frees_the_port() {
    let echo = Remote::echo();
    let rig = Rig::start("binary");
    let (kept, deleted) = (rig.tunnel_to(echo.port), rig.tunnel_to(echo.port));
    let (mut kept_user, mut cut_user) = (kept.connect(), deleted.connect());
    ping(&mut kept_user);
    ping(&mut cut_user);
    deleted.delete();
    assert!(is_refused(deleted.port), "the port is free when the deletion answers");
    drop(TcpListener::bind(local(deleted.port)).expect("another program may take it"));
    wait_end(&mut cut_user);
    ping(&mut kept_user);
    assert_eq!(rig.server.api().get(&deleted.path()).0, 404);
    let again = json!({ "local_port": deleted.port });
    ping(&mut rig.server.create_tunnel_with("pc1", echo.port, again).connect());
}

/// Root may bind every port, so this server is nobody, in a network of its own where ports below 1024 are privileged.
#[test]
fn forbidden_by_the_system() {
    let home = Nobody::new();
    said(&admin(&home.data(), ["user", "add", "admin", "--role", "admin"]));
    let token = said(&admin(&home.data(), ["token", "create", "--user", "admin", "--name", "test"]));
    home.own_everything();
    let server = home.serve();
    let enrolled = home.call(&server, &token, "POST", "/api/agents", &json!({ "client_id": "pc1" }));
    assert_eq!(enrolled.0, 201, "{}", enrolled.1);
    let body = json!({ "client_id": "pc1", "remote_host": "127.0.0.1", "remote_port": 22, "local_port": 81 });
    let refused = home.call(&server, &token, "POST", "/api/proxy/create", &body);
    assert_refused(&refused, 409, "port_unavailable");
    let detail = refused.1["detail"].as_str().unwrap_or_default().to_lowercase();
    assert!(detail.contains("permission denied"), "{detail}");
    let list = home.call(&server, &token, "GET", "/api/proxy", &json!(null));
    assert_eq!(list.1["items"], json!([]));
}

/// A directory that belongs to nobody, with a copy of the program, since nobody may not look everywhere.
struct Nobody(tempfile::TempDir);

impl Nobody {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::copy(env!("CARGO_BIN_EXE_dockway"), directory.path().join("dockway")).expect("a copy");
        Self(directory)
    }

    fn data(&self) -> std::path::PathBuf {
        self.0.path().join("data")
    }

    fn own_everything(&self) {
        output_of(Command::new("chown").args(["-R", "65534:65534"]).arg(self.0.path()));
    }

    fn serve(&self) -> Process {
        let script = "ip link set lo up && exec setpriv --reuid=65534 --regid=65534 --clear-groups \
                      --bounding-set=-all \"$1\" serve --listen 127.0.0.1:8080 --tunnel-ports 1-65535 --data-dir \"$2\"";
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", script, "sh"]).arg(self.0.path().join("dockway")).arg(self.data());
        let process = Process::spawn("server of nobody", command.current_dir(self.0.path()));
        wait_for("the server's ready line", SOON, || process.line_with("listening on http://"));
        process
    }

    /// A call from inside that network.
    fn call(&self, server: &Process, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", server.pid())).args(["curl", "-sS", "--noproxy", "*"]);
        command.args(["-X", method, "-w", "\n%{http_code}", "-H", &format!("Authorization: Bearer {token}")]);
        if !body.is_null() {
            command.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
        }
        let said = output_of(command.arg(format!("http://127.0.0.1:8080{path}")));
        let said = String::from_utf8(said).expect("text");
        let (text, status) = said.rsplit_once('\n').expect("a status line");
        (status.parse().expect("a status"), serde_json::from_str(text).unwrap_or_default())
    }
}
