//! Desktops on a real engine: their life from the first launch to the end, and what the engine is told.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::docker::{
    Desktops, Kind, READY_WITHIN, TYPE, container_of, docker, exec, id_of, inspect, until, until_within,
};
use crate::common::{Api, SOON, Server, wait_until};

/// A container that was removed by hand shows as gone within this, and a busy machine's hesitation.
const GONE_WITHIN: Duration = Duration::from_secs(4);

fn page(server: &Server, api: &Api, desktop: &Value) -> u16 {
    let path = desktop["proxy_path"].as_str().expect("a path");
    let _ = server;
    api.send("GET", &format!("/desktop/{path}/vnc.html"), None).status
}

fn host_port(container: &str) -> u16 {
    let inspected = inspect(container).expect("a container");
    let bindings = inspected["HostConfig"]["PortBindings"]["6901/tcp"].as_array().expect("a port").clone();
    assert_eq!(bindings.len(), 1, "{bindings:?}");
    assert_eq!(bindings[0]["HostIp"], "127.0.0.1", "published on the loopback alone");
    bindings[0]["HostPort"].as_str().expect("a port").parse().expect("a number")
}

fn is_free(port: u16) -> bool {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err()
}

fn stop(api: &Api, id: &str) {
    let (status, answer) = api.post(&format!("/api/desktops/{id}/stop"), &json!({}));
    assert_eq!(status, 202, "{answer}");
    until(api, id, "stopped");
}

fn start(api: &Api, id: &str) -> Value {
    let (status, answer) = api.post(&format!("/api/desktops/{id}/start"), &json!({}));
    assert_eq!(status, 202, "{answer}");
    until(api, id, "ready")
}

#[test]
fn a_desktop_from_its_launch_to_its_end() {
    let server = Desktops::start();
    let alice = server.user("alice", "user", &[]);
    let desktop = server.launch(&alice, TYPE);
    let id = id_of(&desktop).to_owned();
    assert_eq!((&desktop["proxy_path"], &desktop["owner"]), (&json!("alice-debian-desktop"), &json!("alice")));
    let url = desktop["url"].as_str().unwrap();
    assert!(url.ends_with("/desktop/alice-debian-desktop") && url.starts_with("http://127.0.0.1:"), "{url}");
    assert_eq!(page(&server, &alice, &desktop), 200);

    let container = container_of(&desktop);
    let inspected = inspect(&container).unwrap();
    let labels = &inspected["Config"]["Labels"];
    assert_eq!(labels["dockway.installation"], server.installation());
    assert_eq!((&labels["dockway.desktop"], &labels["dockway.type"]), (&json!(id), &json!("debian-desktop")));
    assert_eq!(labels["dockway.owner"], server.user_id("alice"));
    let host = &inspected["HostConfig"];
    assert_eq!((&host["CapDrop"], &host["CapAdd"]), (&json!(["ALL"]), &Value::Null));
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
    assert_eq!((&host["ShmSize"], &host["NanoCpus"]), (&json!(268_435_456), &json!(2_000_000_000)));
    assert_eq!((&host["Memory"], &host["PidsLimit"]), (&json!(2_147_483_648_i64), &json!(1024)));
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    let port = host_port(&container);
    assert!(!is_free(port));
    assert_eq!(server.all(Kind::Network).len(), 1);

    // What the user leaves at home is there after a stop and a start, at the same address.
    assert!(exec(&container, "echo mine > ~/kept && echo gone > /tmp/lost").0);
    stop(&alice, &id);
    assert_eq!((server.all(Kind::Container).len(), server.all(Kind::Network).len()), (0, 0));
    assert!(is_free(port));
    assert_eq!(page(&server, &alice, &desktop), 503);
    let again = start(&alice, &id);
    assert_eq!((&again["url"], &again["id"]), (&desktop["url"], &desktop["id"]));
    let container = container_of(&again);
    assert_eq!(exec(&container, "cat ~/kept").1, "mine");
    assert!(!exec(&container, "cat /tmp/lost").0, "the container itself is a new one");

    // Without ?home=true the home stays, and is found again by a new desktop of the same type.
    assert_eq!(alice.delete(&format!("/api/desktops/{id}")).0, 204);
    assert_eq!((server.all(Kind::Container).len(), server.all(Kind::Network).len()), (0, 0), "gone when it answers");
    assert_eq!(alice.get(&format!("/api/desktops/{id}")).0, 404);
    assert_eq!(page(&server, &alice, &desktop), 404);
    assert_eq!(server.all(Kind::Volume).len(), 1);
    let third = server.launch(&alice, TYPE);
    assert_eq!(exec(&container_of(&third), "cat ~/kept").1, "mine");
    assert_eq!(alice.delete(&format!("/api/desktops/{}?home=true", id_of(&third))).0, 204);
    assert_eq!(server.all(Kind::Volume).len(), 0, "the home is gone too");
}

#[test]
fn the_same_type_twice_at_the_same_instant_is_one_desktop() {
    let server = Desktops::start();
    let alice = server.user("alice", "user", &[]);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..8).map(|_| scope.spawn(|| alice.post("/api/desktops", &json!({ "desktop_type": TYPE })))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let first = &answers[0].1;
    for (status, desktop) in &answers {
        assert_eq!((*status, &desktop["id"]), (202, &first["id"]), "{desktop}");
    }
    until(&alice, id_of(first), "ready");
    assert_eq!(server.all(Kind::Container).len(), 1);
    let again = server.launch(&alice, TYPE);
    assert_eq!(again["id"], first["id"]);
}

#[test]
fn what_is_done_by_hand_is_noticed() {
    let server = Desktops::start();
    let alice = server.user("alice", "user", &[]);
    let desktop = server.launch(&alice, TYPE);
    let id = id_of(&desktop);

    docker(["rm", "-f", &container_of(&desktop)]);
    let gone = until_within(&alice, id, "gone", GONE_WITHIN);
    assert!(gone["reason"].is_string(), "{gone}");
    wait_until("its network goes too", SOON, || server.all(Kind::Network).is_empty());

    let desktop = start(&alice, id);
    docker(["stop", "-t", "5", &container_of(&desktop)]);
    until_within(&alice, id, "stopped", SOON);
    wait_until("its container goes too", SOON, || server.all(Kind::Container).is_empty());

    let desktop = start(&alice, id);
    let container = container_of(&desktop);
    let began = inspect(&container).unwrap()["State"]["StartedAt"].clone();
    // The desktop's own end is a crash: nobody asked for it.
    assert!(exec(&container, "kill -9 $(pgrep -o Xtigervnc)").0);
    wait_until("it runs again", READY_WITHIN, || {
        let now =
            inspect(&container).is_some_and(|c| c["State"]["StartedAt"] != began && c["State"]["Running"] == true);
        now && alice.get(&format!("/api/desktops/{id}")).1["status"] == "ready"
    });
    assert_eq!(page(&server, &alice, &desktop), 200);
}

#[test]
fn a_server_that_was_killed_finds_its_desktops_again() {
    let mut server = Desktops::start();
    let alice = server.user("alice", "user", &[]);
    let (kept, lost) = (server.launch(&alice, TYPE), {
        let bob = server.user("bob", "user", &[]);
        server.launch(&bob, TYPE)
    });
    let container = container_of(&kept);
    let before = inspect(&container).unwrap()["Id"].clone();
    server.kill9();
    server.process().wait_exit(SOON);
    docker(["rm", "-f", &container_of(&lost)]);
    server.restart();
    assert_eq!(page(&server, &alice, &kept), 200, "its address works at once");
    until_within(&server.api(), id_of(&lost), "gone", SOON);
    assert_eq!(until(&alice, id_of(&kept), "ready")["id"], kept["id"]);
    assert_eq!(inspect(&container).unwrap()["Id"], before, "it is the same container");
    wait_until("the other's network goes", SOON, || server.all(Kind::Network).len() == 1);
}

#[test]
fn two_installations_leave_each_other_alone() {
    let mut one = Desktops::start();
    let two = Desktops::start();
    let (ann, bob) = (one.user("ann", "user", &[]), two.user("bob", "user", &[]));
    let (first, second) = (one.launch(&ann, TYPE), two.launch(&bob, TYPE));

    // A container and a network that carry the first one's label and that no row knows.
    let label = format!("dockway.installation={}", one.installation());
    let orphan = format!("orphan-{}", &one.installation()[..8]);
    docker(["network", "create", "--label", &label, "--label", "dockway.desktop=nobody", &orphan]);
    let made = ["run", "-d", "--name", &orphan, "--label", &label, "--label", "dockway.desktop=nobody"];
    docker(made.iter().copied().chain([
        "--network",
        &orphan,
        "--entrypoint",
        "sleep",
        "dockway/debian-desktop:1",
        "600",
    ]));
    let home = format!("orphan-home-{}", &one.installation()[..8]);
    docker(["volume", "create", "--label", &label, &home]);
    assert!(one.terminate(SOON).success());
    one.restart();
    wait_until("the orphans are removed", SOON, || inspect(&orphan).is_none());
    wait_until("their network too", SOON, || !one.all(Kind::Network).contains(&orphan));
    assert!(one.all(Kind::Volume).contains(&home), "volumes are never removed");
    assert_eq!((page(&one, &ann, &first), page(&two, &bob, &second)), (200, 200));
    assert_eq!((one.all(Kind::Container).len(), two.all(Kind::Container).len()), (1, 1));
}

#[test]
fn a_port_is_used_again() {
    let (port, subnets) = crate::common::docker::next_block();
    let server = Desktops::on_ports(Server::setup(), &format!("{port}-{port}"), &subnets);
    let (alice, bob) = (server.user("alice", "user", &[]), server.user("bob", "user", &[]));
    let first = server.launch(&alice, TYPE);
    assert_eq!(host_port(&container_of(&first)), port);
    let (_, second) = bob.post("/api/desktops", &json!({ "desktop_type": TYPE }));
    let failed = until(&bob, id_of(&second), "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("{port}-{port}")), "{reason}");
    assert_eq!((server.all(Kind::Container).len(), server.all(Kind::Network).len()), (1, 1), "nothing is left of it");
    assert_eq!(alice.delete(&format!("/api/desktops/{}", id_of(&first))).0, 204);
    let second = start(&bob, id_of(&second));
    assert_eq!(host_port(&container_of(&second)), port);
}

#[test]
fn a_port_that_a_stranger_has_is_passed_over() {
    let (port, subnets) = crate::common::docker::next_block();
    let _stranger = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let server = Desktops::on_ports(Server::setup(), &format!("{port}-{}", port + 1), &subnets);
    let desktop = server.launch(&server.api(), TYPE);
    assert_eq!(host_port(&container_of(&desktop)), port + 1);
}

#[test]
fn ten_people_at_once() {
    let server = Desktops::start();
    let people: Vec<_> = (0..10).map(|n| server.user(&format!("user{n}"), "user", &[])).collect();
    let begun = Instant::now();
    let desktops: Vec<Value> = std::thread::scope(|scope| {
        let launches: Vec<_> = people.iter().map(|api| scope.spawn(|| server.launch(api, TYPE))).collect();
        launches.into_iter().map(|launch| launch.join().unwrap()).collect()
    });
    eprintln!("ten desktops were ready after {:?}", begun.elapsed());
    for (api, desktop) in people.iter().zip(&desktops) {
        assert_eq!(page(&server, api, desktop), 200);
        for other in desktops.iter().filter(|other| other["id"] != desktop["id"]) {
            assert_eq!(page(&server, api, other), 404);
        }
    }
}

#[test]
fn an_image_that_there_is_not_fails_in_the_engines_words() {
    let server = Desktops::start();
    let body = json!({ "name": "nothing", "label": "Nothing", "image": "127.0.0.1:9/dockway/nothing:1" });
    let (status, answer) = server.api().post("/api/desktop-types", &body);
    assert_eq!(status, 201, "{answer}");
    let (status, desktop) = server.api().post("/api/desktops", &json!({ "desktop_type": "nothing" }));
    assert_eq!(status, 202, "{desktop}");
    let failed = until(&server.api(), id_of(&desktop), "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("127.0.0.1:9"), "{reason}");
    for kind in [Kind::Container, Kind::Network] {
        assert!(server.all(kind).is_empty(), "nothing is left behind");
    }
}

#[test]
fn a_desktop_reaches_neither_the_server_nor_a_tunnel_nor_another_desktop() {
    let mut server = Desktops::start();
    let (alice, bob) = (server.user("alice", "user", &[]), server.user("bob", "user", &[]));
    let (mine, other) = (server.launch(&alice, TYPE), server.launch(&bob, TYPE));
    let (container, neighbour) = (container_of(&mine), container_of(&other));
    let address_of = |container: &str, field: &str| {
        let networks = inspect(container).unwrap()["NetworkSettings"]["Networks"].clone();
        let network = networks.as_object().unwrap().values().next().unwrap().clone();
        network[field].as_str().unwrap().to_owned()
    };
    let gateway = address_of(&container, "Gateway");
    // The host's own address in the desktop's network: what listens there is what a desktop might reach.
    server.enrol("pc1");
    let fields = json!({ "bind": gateway });
    let tunnel = server.create_tunnel_with("pc1", 9, fields);
    let port = server.port;
    server.restart_on(&gateway);

    let curl =
        |url: &str| exec(&container, &format!("curl -sk --noproxy '*' -m 5 -o /dev/null -w '%{{http_code}}' {url}"));
    assert!(curl("https://127.0.0.1:6901/").1.starts_with("401"), "curl works in there");
    assert_eq!(curl(&format!("http://{gateway}:{port}/healthz")).1, "403");
    assert_eq!(curl(&format!("http://{gateway}:{}/", tunnel.port)).1, "000");
    wait_until("the tunnel turned it away", SOON, || server.log().contains("desktops may not use tunnels"));
    let neighbour = address_of(&neighbour, "IPAddress");
    assert_eq!(curl(&format!("https://{neighbour}:6901/")).1, "000", "no way to another desktop");
}
