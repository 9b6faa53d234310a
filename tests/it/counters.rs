//! What the API shows while data flows.

use std::io::{Read, Write};
use std::time::Duration;

use crate::common::sockets::wait_end;
use crate::common::{Remote, Rig, SOON, both_protocols, ping, wait_until};

both_protocols!(counters_grow_while_data_flows, connections_are_listed_and_cut);

fn counters_grow_while_data_flows(protocol: &str) {
    let trickle = Remote::trickles(100, 10_000, Duration::from_millis(50));
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(trickle.port);
    let mut user = tunnel.connect();
    user.write_all(&[1; 500]).expect("taken");
    let reader = std::thread::spawn(move || user.read_to_end(&mut Vec::new()));
    wait_until("the user's bytes are counted", SOON, || tunnel.number("bytes_in") == 500);
    let mut seen = Vec::new();
    wait_until("the count grows five times", Duration::from_secs(5), || {
        let now = tunnel.number("bytes_out");
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        seen.len() > 5
    });
    wait_until("there is a rate", Duration::from_secs(4), || tunnel.number("rate_out") > 0);
    let [connection] = tunnel.connections().try_into().expect("one connection");
    assert!(connection["bytes_out"].as_u64().is_some_and(|bytes| bytes > 0), "{connection}");
    assert_eq!(connection["bytes_in"], 500);
    assert_eq!(connection["state"], "open");
    assert!(!reader.is_finished(), "all this was while data flows");
    tunnel.delete();
    // The deletion cut it, by whatever end.
    let _ = reader.join().expect("the reader ends");
}

fn connections_are_listed_and_cut(protocol: &str) {
    let echo = Remote::echo();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    let (mut kept, mut cut) = (tunnel.connect(), tunnel.connect());
    ping(&mut kept);
    ping(&mut cut);
    let peer = cut.local_addr().expect("an address").to_string();
    let connections = tunnel.connections();
    assert_eq!(connections.len(), 2);
    let found = connections.iter().find(|connection| connection["peer"] == peer.as_str());
    let user_id = found.and_then(|connection| connection["user_id"].as_str()).expect("the connection is listed");
    assert!(user_id.starts_with(&format!("user-{}-", tunnel.port)), "{user_id}");

    let path = format!("{}/connections/{user_id}", tunnel.path());
    assert_eq!(rig.server.api().delete(&path).0 / 100, 2);
    wait_end(&mut cut);
    wait_until("one is left", SOON, || tunnel.number("connections") == 1);
    ping(&mut kept);
    let (status, answer) = rig.server.api().delete(&path);
    assert_eq!((status, answer["code"].as_str()), (404, Some("connection_unknown")), "{answer}");
    assert_eq!(tunnel.number("connections_total"), 2);
}
