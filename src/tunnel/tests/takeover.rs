//! Two logins of one agent: the later one serves, whatever comes in what order.

use super::super::commands::{ListSessions, Ping};
use super::super::view::{TunnelState, TunnelView};
use super::raw_agent::{RawAgent, data};
use super::rig::{Rig, assert_reset, target, until, user_of};
use crate::wire::codes::SessionClose;
use crate::wire::frame::Frame;

async fn session_id(rig: &Rig, tunnel: &TunnelView) -> Option<u64> {
    rig.parts(tunnel).await.session.map(|session| session.id)
}

#[actix::test]
async fn a_second_login_takes_over_and_the_end_of_the_first_changes_nothing() {
    let rig = Rig::start(&["pc1"]).await;
    let tunnel = rig.tunnel("pc1", &target().await).await;
    let mut first = RawAgent::log_in(&rig, "pc1").await;
    first.greet().await;
    rig.until_listening(&tunnel).await;
    let mut early_user = user_of(&tunnel).await.unwrap();
    let (channel, _) = first.open().await;
    first.send(&Frame::Opened(channel, 65_536)).await;
    let old = rig.parts(&tunnel).await.session.unwrap();

    let mut second = RawAgent::log_in(&rig, "pc1").await;
    second.greet().await;

    assert_eq!(first.close_code().await, Some(SessionClose::REPLACED));
    let new = session_id(&rig, &tunnel).await.unwrap();
    assert!(new > old.id);
    let mut user = user_of(&tunnel).await.unwrap();
    let (channel, _) = second.open().await;
    second.send(&Frame::Opened(channel, 65_536)).await;

    drop(first);
    assert_reset(&mut early_user).await;
    until("the first session's actor is gone", async || (!old.open.connected()).then_some(())).await;
    // Its death notice was sent before that; what is sent now comes after it.
    rig.supervisor().send(Ping).await.unwrap();

    assert_eq!(rig.view(&tunnel).await.state, TunnelState::Listening);
    assert_eq!(session_id(&rig, &tunnel).await, Some(new));
    assert_eq!(rig.supervisor().send(ListSessions).await.unwrap().len(), 1);
    second.send(&data(channel, b"still there")).await;
    let mut got = [0; 11];
    tokio::io::AsyncReadExt::read_exact(&mut user, &mut got).await.unwrap();
    assert_eq!(&got, b"still there");
    let _next = user_of(&tunnel).await.unwrap();
    second.open().await;
}

#[actix::test]
async fn a_login_that_is_older_but_comes_up_later_is_closed() {
    let rig = Rig::start(&["pc1"]).await;
    let tunnel = rig.tunnel("pc1", &target().await).await;
    let mut older = RawAgent::log_in(&rig, "pc1").await;
    let mut newer = RawAgent::log_in(&rig, "pc1").await;
    newer.greet().await;
    rig.until_listening(&tunnel).await;
    let serving = session_id(&rig, &tunnel).await;

    older.greet().await;

    assert_eq!(older.close_code().await, Some(SessionClose::REPLACED));
    assert_eq!(session_id(&rig, &tunnel).await, serving);
    let _user = user_of(&tunnel).await.unwrap();
    newer.open().await;
}
