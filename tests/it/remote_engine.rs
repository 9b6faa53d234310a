//! An engine that is reached over the network, and publishes desktops on an address of its own.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use serde_json::json;

use crate::common::docker::{Desktops, TYPE, container_of, inspect};
use crate::common::{Process, SOON, Server, wait_for};

/// Another address of this machine, which stands for the engine's.
const ENGINE: [u8; 4] = [127, 0, 0, 2];

/// A port of 127.0.0.1 that leads to the engine's socket.
fn engine_over_tcp() -> (Process, u16) {
    let mut socat = Command::new("socat");
    socat.args(["-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,reuseaddr,fork", "UNIX-CONNECT:/var/run/docker.sock"]);
    let process = Process::spawn("socat", &mut socat);
    let port = wait_for("socat listens", SOON, || {
        let line = process.line_with("listening on AF=2 127.0.0.1:")?;
        line.rsplit(':').next()?.trim().parse().ok()
    });
    (process, port)
}

#[test]
fn a_desktop_of_a_remote_engine_is_reached_where_it_publishes() {
    let (_socat, port) = engine_over_tcp();
    let setup =
        Server::setup().env("DOCKER_HOST", &format!("tcp://127.0.0.1:{port}")).args(["--desktop-publish", "127.0.0.2"]);
    let server = Desktops::from_setup(setup);
    let alice = server.user("alice", "user", &[]);
    let desktop = server.launch(&alice, TYPE);
    let bindings = inspect(&container_of(&desktop)).unwrap()["HostConfig"]["PortBindings"]["6901/tcp"].clone();
    assert_eq!((bindings.as_array().unwrap().len(), &bindings[0]["HostIp"]), (1, &json!("127.0.0.2")), "{bindings}");
    let port: u16 = bindings[0]["HostPort"].as_str().unwrap().parse().unwrap();
    let is_open = |address: [u8; 4]| TcpStream::connect(SocketAddr::from((address, port))).is_ok();
    assert!(is_open(ENGINE) && !is_open([127, 0, 0, 1]), "there and nowhere else");
    assert_eq!(alice.send("GET", "/desktop/alice-debian-desktop/vnc.html", None).status, 200);
}
