//! What happens when a UserChannel panics, or its session is gone before it has opened.

use std::sync::mpsc;

use super::super::view::TunnelState;
use super::Panic;
use super::raw_agent::{RawAgent, data};
use super::rig::{Rig, assert_reset, target, user_of};
use crate::wire::codes::ResetCode;
use crate::wire::frame::Frame;

#[actix::test]
async fn a_panic_in_a_channel_ends_that_connection_alone() {
    let rig = Rig::start(&["pc1"]).await;
    let (target, other_target) = (target().await, target().await);
    let tunnel = rig.tunnel("pc1", &target).await;
    let other_tunnel = rig.tunnel("pc1", &other_target).await;
    let _agent = rig.agent("pc1");
    rig.until_listening(&tunnel).await;
    let mut victim = rig.connect(&tunnel, &target).await;
    let mut second = rig.connect(&tunnel, &target).await;
    let mut third = rig.connect(&other_tunnel, &other_target).await;
    rig.until_connections(&tunnel, 2).await;
    let before = rig.parts(&tunnel).await;

    rig.panic_channel(&tunnel, &victim.user).await;

    assert_reset(&mut victim.user).await;
    assert_reset(&mut victim.remote).await;
    rig.until_connections(&tunnel, 1).await;
    assert_eq!(rig.view(&other_tunnel).await.connections, 1);
    second.works().await;
    third.works().await;
    rig.connect(&tunnel, &target).await;
    let after = rig.parts(&tunnel).await;
    assert!(after.proxy == before.proxy, "the acceptor is the same");
    assert_eq!(after.session.unwrap().id, before.session.unwrap().id);
}

#[actix::test]
async fn the_agent_is_told_of_a_channel_that_panicked_by_one_reset() {
    let rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    let mut agent = RawAgent::log_in(&rig, "pc1").await;
    agent.greet().await;
    rig.until_listening(&tunnel).await;
    let mut user = user_of(&tunnel).await.unwrap();
    let (channel, _) = agent.open().await;
    agent.send(&Frame::Opened(channel, 65_536)).await;

    rig.panic_channel(&tunnel, &user).await;

    assert_eq!(agent.frame().await, Frame::Reset(channel, ResetCode::ABORTED));
    assert_reset(&mut user).await;
    // What the agent still had under way for it is ignored.
    agent.send(&data(channel, b"late")).await;
    let _second = user_of(&tunnel).await.unwrap();
    assert_eq!(agent.open().await.0, channel + 1);
}

#[actix::test]
async fn a_session_that_dies_between_accept_and_open_leaves_nobody_hanging() {
    let rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    let mut agent = RawAgent::log_in(&rig, "pc1").await;
    agent.greet().await;
    rig.until_listening(&tunnel).await;
    let session = rig.parts(&tunnel).await.session.unwrap();

    // The session's thread stands still while the user is accepted, so that the panic comes before the OpenChannel.
    let (go_on, stopped) = mpsc::channel::<()>();
    session.arbiter.spawn_fn(move || stopped.recv().unwrap_or_default());
    session.panic.try_send(Panic).unwrap();
    let mut user = user_of(&tunnel).await.unwrap();
    rig.until_view(&tunnel, "the user is accepted", |view| view.connections_total == 1).await;
    assert_eq!(rig.view(&tunnel).await.state, TunnelState::Listening, "nobody knows of the session's end");
    drop(go_on);

    assert_reset(&mut user).await;
    assert_eq!(agent.rest().await, (Vec::new(), None), "the agent has heard nothing of the user");
    rig.until_connections(&tunnel, 0).await;
}
