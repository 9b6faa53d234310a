//! A ProxyConnection that panics again and again.

use std::io::ErrorKind;

use super::super::view::TunnelState;
use super::Panic;
use super::rig::{Rig, assert_reset, target, user_of};

#[actix::test]
async fn the_sixth_panic_within_a_minute_takes_the_tunnel_down_for_a_while() {
    let rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    let calm = rig.tunnel("pc1", &target).await;
    let _agent = rig.agent("pc1");
    rig.until_listening(&tunnel).await;
    let mut pair = rig.connect(&tunnel, &target).await;
    let mut calm_pair = rig.connect(&calm, &target).await;
    for _ in 0..5 {
        rig.replace_proxy(&tunnel).await;
    }
    pair.works().await;
    assert_eq!(rig.view(&tunnel).await.state, TunnelState::Listening);

    let last = rig.parts(&tunnel).await.proxy;
    assert!(last.send(Panic).await.is_err(), "it panicked");

    let down = rig.until_view(&tunnel, "the tunnel is down", |view| view.state == TunnelState::Down).await;
    assert_eq!((down.reason.as_deref(), down.connections), (Some("crashed"), 0));
    assert_eq!(user_of(&tunnel).await.map_err(|error| error.kind()).unwrap_err(), ErrorKind::ConnectionRefused);
    assert_reset(&mut pair.user).await;
    assert_reset(&mut pair.remote).await;
    calm_pair.works().await;

    rig.until_listening(&tunnel).await;
    assert_eq!(rig.view(&tunnel).await.connections, 0);
    rig.connect(&tunnel, &target).await;
}

#[actix::test]
async fn a_crashed_tunnel_whose_port_was_taken_meanwhile_comes_back_when_it_is_free() {
    let rig = Rig::start(&["pc1"]).await;
    let tunnel = rig.tunnel("pc1", &target().await).await;
    for _ in 0..5 {
        rig.replace_proxy(&tunnel).await;
    }
    let last = rig.parts(&tunnel).await.proxy;
    assert!(last.send(Panic).await.is_err(), "it panicked");
    rig.until_view(&tunnel, "the tunnel is down", |view| view.state == TunnelState::Down).await;
    let taken = std::net::TcpListener::bind(("127.0.0.1", tunnel.local_port)).expect("the port is free");
    let in_use = |reason: &String| reason.contains("in use");
    rig.until_view(&tunnel, "it was tried again", |view| view.reason.as_ref().is_some_and(in_use)).await;

    drop(taken);

    rig.until_view(&tunnel, "the port is bound", |view| view.state == TunnelState::WaitingForAgent).await;
    user_of(&tunnel).await.unwrap();
}
