//! A server that runs in a container: its desktops have addresses of their own, and no port of the host.

use serde_json::{Value, json};

use crate::common::contained::{Contained, PORT, addresses};
use crate::common::docker::{Kind, TYPE, container_of, docker, exec, id_of, inspect, until};
use crate::common::raw_ws::{Got, RawWs};
use crate::common::{Api, SOON, wait_until};

fn launch(api: &Api) -> Value {
    let (status, desktop) = api.post("/api/desktops", &json!({ "desktop_type": TYPE }));
    assert_eq!(status, 202, "{desktop}");
    desktop
}

fn turn(api: &Api, desktop: &Value, verb: &str, status: &str) {
    let (code, answer) = api.post(&format!("/api/desktops/{}/{verb}", id_of(desktop)), &json!({}));
    assert_eq!(code, 202, "{answer}");
    until(api, id_of(desktop), status);
}

fn path(desktop: &Value, rest: &str) -> String {
    format!("/desktop/{}/{rest}", desktop["proxy_path"].as_str().expect("a path"))
}

/// Its page comes, and its WebSocket brings what the VNC server says first.
fn is_open(server: &Contained, api: &Api, desktop: &Value) {
    assert_eq!(api.send("GET", &path(desktop, "vnc.html"), None).status, 200);
    let headers = format!("Authorization: Bearer {}\r\nSec-WebSocket-Protocol: binary\r\n", api.token());
    let (mut socket, _) = RawWs::open(server.port, &path(desktop, "websockify"), &headers).expect("it opens");
    assert_eq!(socket.read(), Got::Binary(b"RFB 003.008\n".into()));
}

/// The address works from the server's first moment, or says that it does not yet: nobody waits in vain.
fn opens_again(server: &Contained, api: &Api, desktop: &Value) {
    wait_until("its address works again", SOON, || {
        let answer = api.try_send("GET", &path(desktop, "vnc.html"), None);
        let status = answer.map_or(0, |answer| answer.status);
        assert!([0, 200, 503].contains(&status), "{status}");
        status == 200
    });
    is_open(server, api, desktop);
}

/// What of these addresses gives a program in the container anything but silence or a refusal.
fn open_to(container: &str, urls: &[String]) -> Vec<String> {
    let curl = "curl -sk --noproxy '*' -m 3 -o /dev/null -w '%{http_code} %{url}\\n'";
    let calls: String = urls.iter().map(|url| format!("{curl} {url} & ")).collect();
    let said = exec(container, &format!("{calls} wait")).1;
    assert_eq!(said.lines().count(), urls.len(), "{said}");
    let served = said.lines().filter(|line| !line.starts_with("000 ") && !line.starts_with("403 "));
    served.map(str::to_owned).collect()
}

/// A tunnel's port inside.
fn tunnel(server: &Contained) -> u64 {
    let (status, answer) = server.api().post("/api/agents", &json!({ "client_id": "pc1" }));
    assert_eq!(status, 201, "{answer}");
    let body = json!({ "client_id": "pc1", "remote_host": "127.0.0.1", "remote_port": 9 });
    let (status, answer) = server.api().post("/api/proxy/create", &body);
    assert_eq!(status, 201, "{answer}");
    answer["local_port"].as_u64().expect("a port")
}

fn is_cut_off(server: &Contained, container: &str, neighbour: &str) {
    let tunnel = tunnel(server);
    let own = addresses(container).into_iter().next().expect("one network");
    let other = addresses(neighbour).into_iter().next().expect("one network");
    let of_server = addresses(&server.name);
    let beside = &of_server[&own.0];
    let served = format!("http://{beside}:{PORT}/healthz");
    let curl = format!("curl -s --noproxy '*' -m 5 -o /dev/null -w '%{{http_code}}' {served}");
    assert_eq!(exec(container, &curl).1, "403", "it is in the same network, and refuses");
    let mut urls: Vec<_> = of_server.values().map(|address| format!("http://{address}:{PORT}/healthz")).collect();
    urls.extend([format!("http://{beside}:{tunnel}/"), format!("https://{}:6901/", other.1)]);
    let itself = format!("https://{}:6901/", own.1);
    urls.push(itself.clone());
    // While any network on the engine is made or removed, Docker keeps none apart for a moment.
    wait_until("nothing but itself is open to it", SOON, || open_to(container, &urls) == [format!("401 {itself}")]);
    wait_until("the tunnel turned it away", SOON, || server.log().contains("desktops may not use tunnels"));
}

#[test]
fn desktops_of_a_server_that_runs_in_a_container() {
    let server = Contained::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let (mine, other) = (launch(&alice), launch(&bob));
    until(&alice, id_of(&mine), "ready");
    until(&bob, id_of(&other), "ready");
    is_open(&server, &alice, &mine);
    let container = container_of(&mine);
    assert_eq!(docker(["port", &container]), "", "no port of the host is opened for it");
    is_cut_off(&server, &container, &container_of(&other));

    turn(&alice, &mine, "stop", "stopped");
    assert_eq!(server.estate().all(Kind::Network).len(), 1, "its network went, although the server was in it");
    assert_eq!(addresses(&server.name).len(), 2);
    is_open(&server, &bob, &other);
    turn(&alice, &mine, "start", "ready");
    is_open(&server, &alice, &mine);

    let before = inspect(&container_of(&mine)).unwrap()["Id"].clone();
    docker(["restart", &server.name]);
    opens_again(&server, &alice, &mine);
    // Another container, which is in none of their networks yet.
    docker(["kill", "-s", "KILL", &server.name]);
    docker(["rm", &server.name]);
    server.run();
    opens_again(&server, &alice, &mine);
    opens_again(&server, &bob, &other);
    assert_eq!(inspect(&container_of(&mine)).unwrap()["Id"], before, "it is the same container");
    assert_eq!(addresses(&server.name).len(), 3);

    for (api, desktop) in [(&alice, &mine), (&bob, &other)] {
        assert_eq!(api.delete(&format!("/api/desktops/{}?home=true", id_of(desktop))).0, 204);
    }
    for kind in [Kind::Container, Kind::Network, Kind::Volume] {
        assert!(server.estate().all(kind).is_empty(), "nothing is left");
    }
    assert_eq!(addresses(&server.name).len(), 1);
}
