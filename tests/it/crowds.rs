//! Very many connections: at once, and one after another.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Process, Remote, Rig, both_protocols, connect, heavy, ping, wait_until};

both_protocols!(two_thousand_at_once, twenty_thousand_leave_nothing_behind);

fn two_thousand_at_once(protocol: &str) {
    const USERS: usize = 2_000;
    let _turn = heavy();
    let echo = Remote::echo();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    let mut users: Vec<_> = (0..USERS).map(|_| tunnel.connect()).collect();
    for (number, user) in users.iter_mut().enumerate() {
        user.write_all(&number.to_be_bytes()).expect("taken");
    }
    for (number, user) in users.iter_mut().enumerate() {
        let mut answer = [0; size_of::<usize>()];
        user.read_exact(&mut answer).expect("an echo");
        assert_eq!(usize::from_be_bytes(answer), number);
    }
    assert_eq!(tunnel.number("connections"), USERS as u64);
    assert_eq!(echo.accepted(), USERS);
    drop(users);
    tunnel.wait_idle(Duration::from_secs(30));
}

fn twenty_thousand_leave_nothing_behind(protocol: &str) {
    let _turn = heavy();
    let echo = Remote::echo();
    let mut rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    let mut rest = |count: u64| {
        wait_until("all have gone", Duration::from_secs(60), || {
            tunnel.number("connections") == 0 && tunnel.number("connections_total") == count
        });
        [at_rest(rig.server.process()), at_rest(rig.agent.process())]
    };
    short_connections(tunnel.port, 2_000);
    let before = rest(2_000);
    short_connections(tunnel.port, 20_000);
    let after = rest(22_000);
    for (name, before, after) in [("server", before[0], after[0]), ("agent", before[1], after[1])] {
        assert_eq!(after.descriptors, before.descriptors, "the {name} leaks descriptors");
        let allowed = before.resident_kib + before.resident_kib / 10;
        assert!(after.resident_kib <= allowed, "the {name} grew from {before:?} to {after:?}");
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Holding {
    descriptors: usize,
    resident_kib: u64,
}

/// What a process holds once its number of descriptors has not changed for half a second.
fn at_rest(process: &Process) -> Holding {
    let mut last = process.descriptors();
    let mut steady = 0;
    wait_until("descriptors come to rest", Duration::from_secs(30), || {
        let now = process.descriptors();
        steady = if now == last { steady + 1 } else { 0 };
        last = now;
        steady >= 25
    });
    Holding { descriptors: last, resident_kib: process.resident_kib() }
}

/// Connect, one ping, close: by eight users at a time.
fn short_connections(port: u16, count: usize) {
    let left = AtomicUsize::new(count);
    let one_less = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while one_less() {
                    ping(&mut connect(port));
                }
            });
        }
    });
}
