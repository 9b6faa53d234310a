//! What happens when parts of the agent panic: the agent program against the real server, in one process.

use std::cell::RefCell;

use actix::WeakAddr;
use actix::prelude::*;

use super::channel::Channel;
use super::session::Session;
use crate::tunnel::tests::Panic;
use crate::tunnel::tests::rig::{PATIENCE, Pair, Rig, assert_reset, target, user_of};

thread_local! {
    /// Those that were started on this thread, in their order: each test has a thread of its own.
    static SESSIONS: RefCell<Vec<WeakAddr<Session>>> = const { RefCell::new(Vec::new()) };
    static CHANNELS: RefCell<Vec<WeakAddr<Channel>>> = const { RefCell::new(Vec::new()) };
}

/// A session was started.
pub(super) fn note_session(session: &Addr<Session>) {
    SESSIONS.with_borrow_mut(|sessions| sessions.push(session.downgrade()));
}

/// A channel was started.
pub(super) fn note_channel(channel: &Addr<Channel>) {
    CHANNELS.with_borrow_mut(|channels| channels.push(channel.downgrade()));
}

fn sessions() -> Vec<WeakAddr<Session>> {
    SESSIONS.with_borrow(Clone::clone)
}

fn channels() -> Vec<WeakAddr<Channel>> {
    CHANNELS.with_borrow(Clone::clone)
}

impl Handler<Panic> for Session {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test asked the agent's session to");
    }
}

impl Handler<Panic> for Channel {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test asked the agent's channel to");
    }
}

#[actix::test]
async fn a_panic_in_a_channel_ends_that_connection_alone() {
    let rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    let _agent = rig.agent("pc1");
    rig.until_listening(&tunnel).await;
    let mut first = rig.connect(&tunnel, &target).await;
    let mut victim = rig.connect(&tunnel, &target).await;
    let mut last = rig.connect(&tunnel, &target).await;
    rig.until_connections(&tunnel, 3).await;
    let channel = channels()[1].upgrade().expect("it lives");

    assert!(channel.send(Panic).await.is_err(), "it panicked");

    assert_reset(&mut victim.user).await;
    assert_reset(&mut victim.remote).await;
    rig.until_connections(&tunnel, 2).await;
    first.works().await;
    last.works().await;
    rig.connect(&tunnel, &target).await;
    assert_eq!(sessions().len(), 1, "the session is the same");
}

#[actix::test]
async fn after_a_panic_in_its_session_the_agent_connects_again() {
    let rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    let _agent = rig.agent("pc1");
    rig.until_listening(&tunnel).await;
    let mut pair = rig.connect(&tunnel, &target).await;
    let server_session = rig.parts(&tunnel).await.session.unwrap();
    let session = sessions()[0].upgrade().expect("it lives");

    assert!(session.send(Panic).await.is_err(), "it panicked");

    assert_reset(&mut pair.user).await;
    assert_reset(&mut pair.remote).await;
    rig.until_connections(&tunnel, 0).await;
    let user = user_of(&tunnel).await.unwrap();
    let (remote, _) = tokio::time::timeout(PATIENCE, target.accept()).await.expect("the agent is back").unwrap();
    Pair { user, remote }.works().await;
    assert_eq!(sessions().len(), 2);
    assert!(rig.parts(&tunnel).await.session.unwrap().id > server_session.id);
    assert!(channels()[0].upgrade().is_none_or(|channel| !channel.connected()), "its channels went with it");
}
