//! Bytes in bulk: both ways at once, and a reader that stands still beside one that does not.

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::common::sockets::with_limits;
use crate::common::stream::{receive, send};
use crate::common::{Remote, Rig, SOON, both_protocols, heavy, median, ping, wait_until};

const HUNDRED_MB: usize = 100_000_000;
const UP: u64 = 11;
const DOWN: u64 = 22;

both_protocols!(hundred_megabytes_both_ways_at_once, stopped_reader_slows_nobody, stopped_reader_goes_on_later);

fn hundred_megabytes_both_ways_at_once(protocol: &str) {
    let _turn = heavy();
    let (remote, done) = Remote::reporting(|stream, report| {
        exchange(stream, DOWN, UP);
        let _ = report.send(());
    });
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(remote.port);
    exchange(tunnel.connect(), UP, DOWN);
    done.recv_timeout(SOON).expect("the remote has compared every byte");
    tunnel.wait_idle(SOON);
    assert_eq!(tunnel.number("bytes_in"), HUNDRED_MB as u64);
    assert_eq!(tunnel.number("bytes_out"), HUNDRED_MB as u64);
}

/// Send one stream and compare the other at the same time, then check for the end.
fn exchange(mut stream: TcpStream, sent: u64, expected: u64) {
    let mut sending = with_limits(stream.try_clone().expect("a second handle"));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            send(&mut sending, sent, HUNDRED_MB);
            sending.shutdown(Shutdown::Write).expect("a FIN");
        });
        receive(&mut stream, expected, HUNDRED_MB);
        assert_eq!(stream.read(&mut [0]).expect("a FIN, not a reset"), 0);
    });
}

/// The medians come from the same run, with and without a stopped reader in turns.
fn stopped_reader_slows_nobody(protocol: &str) {
    let _turn = heavy();
    let (echo, endless) = (Remote::echo(), Remote::endless());
    let rig = Rig::start(protocol);
    let (pinged, stuck) = (rig.tunnel_to(echo.port), rig.tunnel_to(endless.port));
    let mut user = pinged.connect();
    let mut pings = |count: usize| (0..count).map(|_| ping(&mut user)).collect::<Vec<_>>();
    pings(100);

    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        alone.extend(pings(50));
        let stopped = stuck.connect();
        wait_until("bytes stand still", SOON, || is_still(|| stuck.number("bytes_out")));
        beside.extend(pings(50));
        drop(stopped);
        stuck.wait_idle(SOON);
    }
    let (alone, beside) = (median(alone), median(beside));
    assert!(beside <= 2 * alone, "median {beside:?} beside a stopped reader, {alone:?} without");
}

/// Some bytes have come, and for a fifth of a second no more did.
fn is_still(count: impl Fn() -> u64) -> bool {
    let before = count();
    (0..10).all(|_| {
        std::thread::sleep(Duration::from_millis(20));
        before > 0 && count() == before
    })
}

fn stopped_reader_goes_on_later(protocol: &str) {
    const LENGTH: usize = 40_000_000;
    let _turn = heavy();
    let remote = Remote::start(|mut stream| send(&mut stream, DOWN, LENGTH));
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(remote.port);
    let mut user = tunnel.connect();
    wait_until("bytes stand still", SOON, || is_still(|| tunnel.number("bytes_out")));
    assert!(tunnel.number("bytes_out") < LENGTH as u64, "nobody has read the rest yet");
    receive(&mut user, DOWN, LENGTH);
    assert_eq!(user.read(&mut [0]).expect("a FIN"), 0);
}
