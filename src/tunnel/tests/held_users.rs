//! Users who are held while the agent is away, across the panic of the ProxyConnection that holds them.

use super::super::supervisor::probe::PanicWhileStopping;
use super::super::view::TunnelState;
use super::rig::{PATIENCE, Pair, Rig, assert_reset, target, user_of};

#[actix::test]
async fn held_users_are_served_by_the_successor_when_the_agent_comes() {
    let rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    assert_eq!(tunnel.state, TunnelState::WaitingForAgent);
    let mut users = Vec::new();
    for connections in 1..=3 {
        users.push(user_of(&tunnel).await.unwrap());
        rig.until_connections(&tunnel, connections).await;
        rig.replace_proxy(&tunnel).await;
        rig.until_connections(&tunnel, connections).await;
    }

    let _agent = rig.agent("pc1");

    for user in users {
        let remote = tokio::time::timeout(PATIENCE, target.accept()).await.expect("the target is reached").unwrap().0;
        // They are served in the order in which they came.
        Pair { user, remote }.works().await;
    }
}

#[actix::test]
async fn held_users_are_reset_when_the_acceptor_panics_while_it_is_stopped() {
    let rig = Rig::start(&["pc1"]).await;
    let tunnel = rig.tunnel("pc1", &target().await).await;
    let mut user = user_of(&tunnel).await.unwrap();
    rig.until_connections(&tunnel, 1).await;

    rig.supervisor().send(PanicWhileStopping(tunnel.proxy_id.clone())).await.unwrap();

    assert_reset(&mut user).await;
}
