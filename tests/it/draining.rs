//! A stop in good order loses nothing of what had been sent when it began.

use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use socket2::SockRef;

use crate::common::raw_ws::{Got, OPENED, RawWs};
use crate::common::sockets::read_end;
use crate::common::stream::{bytes_of, receive, send};
use crate::common::{Remote, Rig, SOON, Server, both_protocols};

const LIMIT: Duration = Duration::from_secs(20);
const DATA: u8 = 4;
const CREDIT: u8 = 5;
const FIN: u8 = 6;
const GOAWAY: u8 = 0x11;
/// The smallest window that an agent may have.
const WINDOW: u32 = 64 << 10;

both_protocols!(agent_that_drains);

/// User and target are both done, but the agent has not taken everything: the server waits for it.
#[test]
fn server_that_drains() {
    const LENGTH: usize = 300_000;
    let mut server = Server::start();
    let token = server.enrol("slow");
    let tunnel = server.create_tunnel("slow", 80);
    let mut session = RawWs::greeted(server.port, "slow", &token);
    let mut user = tunnel.connect();
    let (channel, _) = session.wait_open();
    session.send_frame(OPENED, channel, &WINDOW.to_be_bytes());
    session.send_frame(FIN, channel, &[]);
    send(&mut user, 5, LENGTH);
    user.shutdown(Shutdown::Write).expect("a FIN");
    assert_eq!(read_end(&mut user), Ok(Vec::new()), "the target's FIN");
    tunnel.wait_idle(SOON);

    let status = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| server.terminate(LIMIT));
        let (mut taken, mut told) = (Vec::new(), false);
        while !told || taken.len() < WINDOW as usize {
            let (kind, _, payload) = frame(&mut session);
            told |= kind == GOAWAY;
            if kind == DATA {
                taken.extend(payload);
            }
        }
        session.send_frame(CREDIT, channel, &(1_u32 << 20).to_be_bytes());
        loop {
            match frame(&mut session) {
                (DATA, _, payload) => taken.extend(payload),
                (FIN, id, _) if id == channel => break,
                _ => {}
            }
        }
        assert!(taken == bytes_of(5, LENGTH), "{} of {LENGTH} bytes came", taken.len());
        stopping.join().expect("the server stops")
    });
    assert_eq!(status.code(), Some(0));
    assert_eq!(session.wait_close(), 1001);
}

fn frame(session: &mut RawWs) -> (u8, u32, Vec<u8>) {
    match session.read() {
        Got::Binary(frame) => {
            let channel = u32::from_be_bytes(frame[1..5].try_into().expect("four bytes"));
            (frame[0], channel, frame[5..].to_vec())
        }
        other => panic!("the session ended too early: {other:?}"),
    }
}

/// More than the target's own buffers take, less than all on the way take.
const LENGTH: usize = 4_000_000;
/// What the target's socket takes before the target reads.
const SMALL_BUFFER: usize = 64 * 1024;

/// The user has sent everything and left; the target reads only after the agent was told to stop.
fn agent_that_drains(protocol: &str) {
    let (go, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let (remote, done) = Remote::reporting(move |mut stream: TcpStream, report| {
        SockRef::from(&stream).set_recv_buffer_size(SMALL_BUFFER).expect("a small buffer");
        stream.shutdown(Shutdown::Write).expect("a FIN");
        wait.lock().expect("the only reader").recv().expect("a word");
        receive(&mut stream, 3, LENGTH);
        assert_eq!(read_end(&mut stream), Ok(Vec::new()), "a FIN after the last byte");
        let _ = report.send(());
    });
    let mut rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(remote.port);
    let mut user = tunnel.connect();
    send(&mut user, 3, LENGTH);
    user.shutdown(Shutdown::Write).expect("a FIN");
    assert_eq!(read_end(&mut user), Ok(Vec::new()));
    rig.agent.signal(Signal::TERM);
    if protocol == "binary" {
        tunnel.wait_state("waiting_for_agent", SOON);
    }
    go.send(()).expect("the target waits");
    done.recv_timeout(LIMIT).expect("the target has every byte");
    assert_eq!(rig.agent.process().wait_exit(LIMIT).code(), Some(0));
}
