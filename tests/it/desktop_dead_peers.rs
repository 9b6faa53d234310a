//! Peers of a desktop's WebSocket that vanish without a FIN: the browser, and the container.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::docker::{Desktops, TYPE, connections, id_of};
use crate::common::rfb::Rfb;
use crate::common::{SOON, wait_until};

/// A peer that vanished is given up after 60 s, or at the probe after that.
const DEAD_WITHIN: Duration = Duration::from_secs(75);

/// Nothing passes between these ports of this machine any more, in either direction, without anybody being told.
struct Gap(Vec<Vec<String>>);

impl Gap {
    fn between(one: u16, other: Option<u16>) -> Self {
        let other = |flag: &str| other.map(|port| vec![flag.to_owned(), port.to_string()]).unwrap_or_default();
        let rule = |from: Vec<String>, to: Vec<String>| {
            let start = ["INPUT", "-i", "lo", "-p", "tcp"].map(str::to_owned);
            [&start[..], &from, &to, &["-j".to_owned(), "DROP".to_owned()]].concat()
        };
        let own = |flag: &str| vec![flag.to_owned(), one.to_string()];
        let gap = Self(vec![rule(own("--sport"), other("--dport")), rule(other("--sport"), own("--dport"))]);
        gap.0.iter().for_each(|rule| assert!(filter("-I", rule), "iptables {rule:?}"));
        gap
    }
}

impl Drop for Gap {
    fn drop(&mut self) {
        self.0.iter().for_each(|rule| assert!(filter("-D", rule) || std::thread::panicking()));
    }
}

fn filter(what: &str, rule: &[String]) -> bool {
    let mut command = Command::new("iptables");
    command.args(["-w", "10", what]).args(rule).stdin(Stdio::null());
    command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn peers_that_vanish_without_a_word_are_given_up() {
    let mut server = Desktops::start();
    let (alice, bob) = (server.user("alice", "user", &[]), server.user("bob", "user", &[]));
    let (hers, his) = (server.launch(&alice, TYPE), server.launch(&bob, TYPE));
    let descriptors = server.process().descriptors();
    // Alice's browsers vanish, one of them in the middle of a stream; for Bob the container does.
    let (idle, mut busy) = (Rfb::of(&server, &alice, &hers), Rfb::of(&server, &alice, &hers));
    busy.stop_reading();
    let mut waiting = Rfb::of(&server, &bob, &his);
    waiting.set_read_limit(DEAD_WITHIN);
    let ports = [idle.local().port(), busy.local().port()];
    let _gaps = ports.map(|port| Gap::between(port, Some(server.port)));
    let host_port = server.row(id_of(&his)).host_port.expect("a port");
    let _gap = Gap::between(u16::try_from(host_port).expect("a port"), None);
    let vanished = Instant::now();
    drop((idle, busy));
    assert_eq!((connections(&alice, &hers), connections(&bob, &his)), (2, 1), "nobody is told");
    waiting.wait_end();
    assert!(vanished.elapsed() < DEAD_WITHIN, "the container is still believed in after {:?}", vanished.elapsed());
    let left = DEAD_WITHIN.saturating_sub(vanished.elapsed());
    wait_until("all of it is given up", left, || connections(&alice, &hers) + connections(&bob, &his) == 0);
    assert!(vanished.elapsed() > Duration::from_secs(20), "given up after only {:?}", vanished.elapsed());
    drop(waiting);
    wait_until("nothing is left open", SOON, || server.process().descriptors() <= descriptors);
}
