//! How a connection begins and ends: FIN and RST are kept apart, each direction by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::common::remote::BlackHole;
use crate::common::sockets::reset;
use crate::common::stream::bytes_of;
use crate::common::{Remote, Rig, SOON, both_protocols, read_end, wait_until};

both_protocols!(
    user_finishes_first,
    remote_finishes_first,
    early_data_arrives,
    data_before_the_remote_answers_arrives,
    remote_speaks_first,
    remote_reset_is_a_reset,
    user_reset_is_a_reset,
    empty_connection,
);

const MEGABYTE: usize = 1 << 20;

fn user_finishes_first(protocol: &str) {
    let remote = Remote::answers_after_the_end(10, Duration::from_millis(50));
    let rig = Rig::start(protocol);
    let mut user = rig.tunnel_to(remote.port).connect();
    let sent = bytes_of(3, MEGABYTE);
    user.write_all(&sent).expect("taken");
    user.shutdown(Shutdown::Write).expect("a FIN");
    let got = read_end(&mut user).expect("a FIN after the answer");
    assert!(got == sent, "{} of {MEGABYTE} bytes came back", got.len());
}

fn remote_finishes_first(protocol: &str) {
    let (remote, reports) = Remote::reporting(|mut stream, report| {
        stream.write_all(b"bye").expect("taken");
        stream.shutdown(Shutdown::Write).expect("a FIN");
        let _ = report.send(read_end(&mut stream));
    });
    let rig = Rig::start(protocol);
    let mut user = rig.tunnel_to(remote.port).connect();
    assert_eq!(read_end(&mut user).expect("a FIN"), b"bye");
    let sent = bytes_of(4, MEGABYTE);
    for piece in sent.chunks(MEGABYTE / 10) {
        user.write_all(piece).expect("our direction is still open");
        std::thread::sleep(Duration::from_millis(50));
    }
    user.shutdown(Shutdown::Write).expect("a FIN");
    let got = reports.recv_timeout(SOON).expect("the remote's report").expect("a FIN, not a reset");
    assert!(got == sent, "{} of {MEGABYTE} bytes arrived", got.len());
}

fn early_data_arrives(protocol: &str) {
    let (remote, reports) = Remote::sink();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(remote.port);
    let sent = bytes_of(5, 200_000);
    let mut user = tunnel.connect();
    user.write_all(&sent).expect("taken");
    drop(user);
    let got = reports.recv_timeout(SOON).expect("the remote's report").expect("a FIN");
    assert!(got == sent, "{} of {} bytes arrived", got.len(), sent.len());
}

/// The remote's SYN is answered only after the user's data is under way.
fn data_before_the_remote_answers_arrives(protocol: &str) {
    let hole = BlackHole::start();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(hole.port);
    let mut user = tunnel.connect();
    let sent = bytes_of(6, 50_000);
    user.write_all(&sent).expect("taken");
    wait_until("the agent connects", SOON, || tunnel.connections().iter().any(|c| c["state"] == "connecting"));
    user.shutdown(Shutdown::Write).expect("a FIN");
    let mut remote = hole.open();
    let got = read_end(&mut remote).expect("a FIN");
    assert!(got == sent, "{} of {} bytes arrived", got.len(), sent.len());
    remote.write_all(b"late").expect("taken");
    drop(remote);
    assert_eq!(read_end(&mut user).expect("a FIN"), b"late");
}

fn remote_speaks_first(protocol: &str) {
    let remote = Remote::speaks_first(b"220 ready\r\n");
    let rig = Rig::start(protocol);
    let mut user = rig.tunnel_to(remote.port).connect();
    let mut greeting = [0; 11];
    user.read_exact(&mut greeting).expect("a greeting");
    assert_eq!(&greeting, b"220 ready\r\n");
    user.shutdown(Shutdown::Write).expect("a FIN");
    assert_eq!(read_end(&mut user).expect("a FIN"), b"");
}

fn remote_reset_is_a_reset(protocol: &str) {
    let remote = Remote::resets();
    let rig = Rig::start(protocol);
    let mut user = rig.tunnel_to(remote.port).connect();
    user.write_all(b"x").expect("taken");
    assert_eq!(read_end(&mut user), Err(ErrorKind::ConnectionReset));
}

fn user_reset_is_a_reset(protocol: &str) {
    let (remote, reports) = Remote::reporting(|mut stream, report| {
        stream.write_all(b"!").expect("taken");
        let _ = report.send(read_end(&mut stream));
    });
    let rig = Rig::start(protocol);
    let mut user = rig.tunnel_to(remote.port).connect();
    user.read_exact(&mut [0]).expect("the remote is there");
    reset(user);
    assert_eq!(reports.recv_timeout(SOON).expect("the remote's report"), Err(ErrorKind::ConnectionReset));
}

fn empty_connection(protocol: &str) {
    let (remote, reports) = Remote::sink();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(remote.port);
    let user: TcpStream = tunnel.connect();
    drop(user);
    assert_eq!(reports.recv_timeout(SOON).expect("the remote saw it"), Ok(Vec::new()));
    tunnel.wait_idle(SOON);
    assert_eq!((tunnel.number("bytes_in"), tunnel.number("bytes_out")), (0, 0));
}
