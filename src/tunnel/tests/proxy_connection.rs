//! What a user notices when a ProxyConnection panics: nothing.

use std::io::{Read, Write};
use std::net::TcpStream as StdTcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::net::TcpListener;

use super::super::supervisor::probe::PanicWhileStopping;
use super::Panic;
use super::raw_agent::RawAgent;
use super::rig::{PATIENCE, Rig, assert_reset, target, until, user_of};
use crate::wire::codes::{OpenError, OpenFailure};
use crate::wire::frame::Frame;

#[actix::test]
async fn open_connections_outlive_their_acceptor() {
    let rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    let _agent = rig.agent("pc1");
    rig.until_listening(&tunnel).await;
    let listener = rig.parts(&tunnel).await.listener;
    let mut pairs = vec![rig.connect(&tunnel, &target).await];
    for connections in 2..=4 {
        let parts = rig.replace_proxy(&tunnel).await;
        assert!(Arc::ptr_eq(&parts.listener, &listener));
        assert_eq!(parts.listener.as_raw_fd(), listener.as_raw_fd());
        for pair in &mut pairs {
            pair.works().await;
        }
        pairs.push(rig.connect(&tunnel, &target).await);
        rig.until_connections(&tunnel, connections).await;
    }
    let view = rig.view(&tunnel).await;
    assert_eq!((view.connections_total, view.dial_errors), (4, 0));
    drop(pairs);
    rig.until_connections(&tunnel, 0).await;
}

#[actix::test]
async fn a_channel_reports_its_end_to_the_successor() {
    let rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    let mut agent = RawAgent::log_in(&rig, "pc1").await;
    agent.greet().await;
    rig.until_listening(&tunnel).await;
    let mut user = user_of(&tunnel).await.unwrap();
    let (channel, _) = agent.open().await;

    rig.replace_proxy(&tunnel).await;

    rig.until_connections(&tunnel, 1).await;
    assert_eq!(rig.view(&tunnel).await.last_dial_error, None);
    agent.send(&Frame::OpenFailed(channel, OpenFailure::new(OpenError::Refused, "nobody is there"))).await;
    assert_reset(&mut user).await;
    let view = rig.until_view(&tunnel, "the report of its end", |view| view.last_dial_error.is_some()).await;
    assert_eq!((view.connections, view.dial_errors), (0, 1));
    assert_eq!(view.last_dial_error.unwrap(), "refused: nobody is there");
}

/// Gives every connection back what it sends.
fn echo(target: TcpListener) {
    actix_rt::spawn(async move {
        while let Ok((mut socket, _)) = target.accept().await {
            actix_rt::spawn(async move {
                let (mut reader, mut writer) = socket.split();
                // Ends with the user's connection, however that ends.
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
}

/// One byte there and back over a connection of its own.
fn one_byte(port: u16) -> std::io::Result<()> {
    let mut user = StdTcpStream::connect(("127.0.0.1", port))?;
    user.set_read_timeout(Some(PATIENCE))?;
    user.write_all(b"x")?;
    user.read_exact(&mut [0])
}

#[actix::test]
async fn nobody_is_refused_while_acceptors_are_replaced() {
    let rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    echo(target);
    let _agent = rig.agent("pc1");
    rig.until_listening(&tunnel).await;
    let (port, served, stop) = (tunnel.local_port, Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let users = actix_rt::task::spawn_blocking({
        let (served, stop) = (served.clone(), stop.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                one_byte(port)?;
                served.fetch_add(1, Ordering::Relaxed);
            }
            std::io::Result::Ok(())
        }
    });
    let five_more = async || {
        let before = served.load(Ordering::Relaxed);
        until("users are served", async || (served.load(Ordering::Relaxed) >= before + 5).then_some(())).await;
    };
    for _ in 0..3 {
        five_more().await;
        let old = rig.parts(&tunnel).await.proxy;
        old.try_send(Panic).unwrap();
        // Nothing else runs on this thread in between: this user comes after the panic was sent and before the end.
        let mut early = StdTcpStream::connect(("127.0.0.1", port)).unwrap();
        early.write_all(b"x").unwrap();
        until("another ProxyConnection", async || (rig.parts(&tunnel).await.proxy != old).then_some(())).await;
        early.set_nonblocking(true).unwrap();
        until("the early user is served", async || early.read_exact(&mut [0]).ok()).await;
    }
    five_more().await;
    stop.store(true, Ordering::Relaxed);
    users.await.unwrap().expect("every user was served");
    rig.until_connections(&tunnel, 0).await;
}

#[actix::test]
async fn a_panic_while_the_tunnel_is_taken_down_leaves_no_channel_behind() {
    let rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    let _agent = rig.agent("pc1");
    rig.until_listening(&tunnel).await;
    let mut pair = rig.connect(&tunnel, &target).await;

    rig.supervisor().send(PanicWhileStopping(tunnel.proxy_id.clone())).await.unwrap();

    assert_reset(&mut pair.user).await;
    assert_reset(&mut pair.remote).await;
    rig.until_connections(&tunnel, 0).await;
}
