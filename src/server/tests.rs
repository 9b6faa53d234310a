//! What happens when the TunnelSupervisor panics.

use std::io::ErrorKind;
use std::sync::Arc;

use tokio::sync::watch;

use super::*;
use crate::config::{
    DEFAULT_AGENT_PATH, DesktopConfig, IdentityConfig, Limits, RoleLimits, SessionConfig, TunnelConfig,
};
use crate::http::AppState;
use crate::tunnel::tests::Panic;
use crate::tunnel::tests::raw_agent::RawAgent;
use crate::tunnel::tests::rig::{PATIENCE, Rig, assert_reset, target, until, user_of};
use crate::tunnel::view::TunnelState;
use crate::wire::codes::SessionClose;

/// What a tree for tests is built from, with default settings.
pub(crate) fn plan(store: Store, tunnel: TunnelConfig) -> Plan {
    let limits = RoleLimits {
        user: Limits { tunnels: Some(20), desktops: Some(3), agents: Some(10), tokens: Some(20) },
        admin: Limits { tunnels: None, desktops: Some(10), agents: None, tokens: Some(100) },
    };
    let sessions = SessionConfig { idle: Duration::from_secs(3600), lifetime: Duration::from_secs(86_400) };
    let desktop = DesktopConfig::for_tests();
    let http = Settings {
        agent_path: DEFAULT_AGENT_PATH.into(),
        public_url: None,
        trusted_proxies: Vec::new(),
        limits,
        desktop_subnets: desktop.subnets,
    };
    let engine = Arc::new(DockerEngine::new(desktop.engine.as_deref()).unwrap());
    let identity = IdentityConfig { sessions, limits, oidc: Vec::new() };
    Plan { store, tunnel, desktop, vault: Vault::for_tests(), engine, identity, http }
}

/// The tree as [`serve`] starts it, for the tests of its parts.
pub(crate) fn start_tree(plan: Plan) -> (AppState, watch::Receiver<()>) {
    Root::start_tree(plan)
}

/// Make the supervisor panic, and wait for the next.
async fn replace_supervisor(rig: &mut Rig) {
    let old = rig.tunnels.borrow_and_update().clone();
    assert!(old.send(Panic).await.is_err(), "it panicked");
    timeout(PATIENCE, rig.tunnels.changed()).await.expect("there is another").unwrap();
    assert!(*rig.tunnels.borrow() != old && !old.connected());
}

#[actix::test]
async fn a_supervisor_that_panics_is_built_again_from_the_database() {
    let mut rig = Rig::start(&["pc1"]).await;
    let target = target().await;
    let tunnel = rig.tunnel("pc1", &target).await;
    let _agent = rig.agent("pc1");
    rig.until_listening(&tunnel).await;
    let mut pair = rig.connect(&tunnel, &target).await;
    let old = rig.parts(&tunnel).await;
    let (session, listener) = (old.session.unwrap(), Arc::downgrade(&old.listener));
    drop(old.listener);

    replace_supervisor(&mut rig).await;

    assert_reset(&mut pair.user).await;
    assert_reset(&mut pair.remote).await;
    rig.until_listening(&tunnel).await;
    assert!(!old.proxy.connected(), "the old acceptor is gone");
    assert!(listener.upgrade().is_none(), "nobody holds the old listener");
    assert!(!session.open.connected(), "the old session is gone");
    rig.connect(&tunnel, &target).await;
    let new = rig.parts(&tunnel).await;
    assert!(new.session.unwrap().id > session.id);
    let view = rig.view(&tunnel).await;
    assert_eq!((&view.proxy_id, view.local_port), (&tunnel.proxy_id, tunnel.local_port));
    let status = http_status(&rig, "/readyz").await;
    assert!(status.starts_with("HTTP/1.1 200 "), "HTTP asks the new supervisor: {status}");
}

async fn http_status(rig: &Rig, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[actix::test]
async fn sessions_of_a_supervisor_that_panicked_are_closed_whether_they_were_up_or_not() {
    let mut rig = Rig::start(&["pc1", "pc2"]).await;
    let tunnel = rig.tunnel("pc1", &target().await).await;
    let mut up = RawAgent::log_in(&rig, "pc1").await;
    up.greet().await;
    let mut silent = RawAgent::log_in(&rig, "pc2").await;
    rig.until_listening(&tunnel).await;

    replace_supervisor(&mut rig).await;

    assert_eq!(up.close_code().await, Some(SessionClose::RESTART));
    assert_eq!(silent.close_code().await, Some(SessionClose::RESTART));
    let waiting = |state| state == TunnelState::WaitingForAgent;
    rig.until_view(&tunnel, "the port is bound again", |view| waiting(view.state)).await;
    let mut again = RawAgent::log_in(&rig, "pc1").await;
    again.greet().await;
    rig.until_listening(&tunnel).await;
    let _user = user_of(&tunnel).await.unwrap();
    again.open().await;
}

#[actix::test]
async fn the_fourth_panic_within_a_minute_ends_the_program() {
    let mut rig = Rig::start(&["pc1"]).await;
    let tunnel = rig.tunnel("pc1", &target().await).await;
    let waiting = |state| state == TunnelState::WaitingForAgent;
    for _ in 0..3 {
        replace_supervisor(&mut rig).await;
        rig.until_view(&tunnel, "the port is bound again", |view| waiting(view.state)).await;
    }
    assert!(!rig.failed.has_changed().unwrap());

    assert!(rig.supervisor().send(Panic).await.is_err(), "it panicked");

    timeout(PATIENCE, rig.failed.changed()).await.expect("the root says so").unwrap();
    assert!(!rig.tunnels.has_changed().unwrap_or(false), "there is no other");
    let refused = async || user_of(&tunnel).await.err().filter(|error| error.kind() == ErrorKind::ConnectionRefused);
    until("the port is closed", refused).await;
}
