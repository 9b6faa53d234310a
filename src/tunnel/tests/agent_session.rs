//! What happens when an AgentSession panics.

use super::super::view::TunnelState;
use super::Panic;
use super::rig::{PATIENCE, Pair, Rig, assert_reset, target, user_of};

#[actix::test]
async fn after_a_panic_in_a_session_the_agent_connects_again() {
    let rig = Rig::start(&["pc1", "pc2"]).await;
    let (target, other_target) = (target().await, target().await);
    let tunnel = rig.tunnel("pc1", &target).await;
    let other_tunnel = rig.tunnel("pc2", &other_target).await;
    let (_agent, _other_agent) = (rig.agent("pc1"), rig.agent("pc2"));
    rig.until_listening(&tunnel).await;
    rig.until_listening(&other_tunnel).await;
    let mut first = rig.connect(&tunnel, &target).await;
    let mut second = rig.connect(&tunnel, &target).await;
    let mut other = rig.connect(&other_tunnel, &other_target).await;
    let (session, proxy) = (rig.parts(&tunnel).await.session.unwrap(), rig.parts(&tunnel).await.proxy);
    let other_session = rig.parts(&other_tunnel).await.session.unwrap().id;

    assert!(session.panic.send(Panic).await.is_err(), "it panicked");

    let away = |state| state == TunnelState::WaitingForAgent;
    let view = rig.until_view(&tunnel, "the agent is noted as gone", |view| away(view.state)).await;
    assert_eq!(view.reason.as_deref(), Some("agent `pc1` is not connected"));
    for pair in [&mut first, &mut second] {
        assert_reset(&mut pair.user).await;
        assert_reset(&mut pair.remote).await;
    }
    rig.until_connections(&tunnel, 0).await;
    other.works().await;

    // A user who comes in between is held until the agent is back, which it is by itself.
    let user = user_of(&tunnel).await.unwrap();
    let (remote, _) = tokio::time::timeout(PATIENCE, target.accept()).await.expect("the agent is back").unwrap();
    Pair { user, remote }.works().await;
    rig.until_listening(&tunnel).await;
    let parts = rig.parts(&tunnel).await;
    assert!(parts.session.unwrap().id > session.id);
    assert!(parts.proxy == proxy, "the acceptor is the same");
    other.works().await;
    assert_eq!(rig.parts(&other_tunnel).await.session.unwrap().id, other_session);
}
