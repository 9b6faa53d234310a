//! A remote that cannot be reached ends its user's connection, and an operator sees why.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::remote::{BlackHole, Refuses};
use crate::common::sockets::visit;
use crate::common::{Agent, Remote, Rig, SOON, Server, Tunnel, both_protocols, ping, wait_until};

both_protocols!(
    refused,
    refused_by_name,
    unresolved,
    dial_timeout,
    denied_by_the_agent,
    allowed_by_the_agent,
    allow_list_with_a_network_and_a_port_range,
);

/// `at once`, on a machine that runs other tests beside.
const AT_ONCE: Duration = Duration::from_secs(2);

fn refused(protocol: &str) {
    let remote = Refuses::start();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(remote.port);
    assert!(time_to_end(&tunnel) < AT_ONCE);
    assert_dial_error(&tunnel, 1, "refused");
}

fn refused_by_name(protocol: &str) {
    let remote = Refuses::start();
    let rig = Rig::start(protocol);
    let tunnel = rig.server.create_tunnel_with("pc1", remote.port, json!({ "remote_host": "localhost" }));
    assert!(time_to_end(&tunnel) < AT_ONCE);
    assert!(time_to_end(&tunnel) < AT_ONCE);
    assert_dial_error(&tunnel, 2, "refused");
}

fn unresolved(protocol: &str) {
    let rig = Rig::start(protocol);
    let tunnel = rig.server.create_tunnel_with("pc1", 80, json!({ "remote_host": "no-such-host.invalid" }));
    time_to_end(&tunnel);
    assert_dial_error(&tunnel, 1, "unresolved");
}

fn dial_timeout(protocol: &str) {
    let hole = BlackHole::start();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(hole.port);
    let took = time_to_end(&tunnel);
    assert!((Duration::from_secs(9)..Duration::from_secs(13)).contains(&took), "ended after {took:?}");
    assert_dial_error(&tunnel, 1, "timeout");
}

fn denied_by_the_agent(protocol: &str) {
    let (allowed, denied) = (Remote::echo(), Remote::echo());
    let server = Server::start();
    let list = format!("127.0.0.1:{}", allowed.port);
    let _agent = Agent::start_with(&server, "pc1", protocol, &["--allow", &list]);
    let tunnel = server.create_tunnel("pc1", denied.port);
    assert!(time_to_end(&tunnel) < AT_ONCE);
    assert_dial_error(&tunnel, 1, "denied");
    assert_eq!(denied.accepted(), 0, "the agent must not even try");
}

fn allowed_by_the_agent(protocol: &str) {
    let echo = Remote::echo();
    let server = Server::start();
    let list = format!("127.0.0.1:{}", echo.port);
    let _agent = Agent::start_with(&server, "pc1", protocol, &["--allow", "10.0.0.1:22", "--allow", &list]);
    ping(&mut server.create_tunnel("pc1", echo.port).connect());
}

fn allow_list_with_a_network_and_a_port_range(protocol: &str) {
    let (echo, refuses) = (Remote::echo(), Refuses::start());
    let server = Server::start();
    let _agent = Agent::start_with(&server, "pc1", protocol, &["--allow", "127.0.0.0/8:1024-65535"]);
    ping(&mut server.create_tunnel("pc1", echo.port).connect());
    let low = server.create_tunnel("pc1", 80);
    time_to_end(&low);
    assert_dial_error(&low, 1, "denied");
    let unused = server.create_tunnel("pc1", refuses.port);
    time_to_end(&unused);
    assert_dial_error(&unused, 1, "refused");
}

fn time_to_end(tunnel: &Tunnel) -> Duration {
    let start = Instant::now();
    visit(tunnel.port);
    start.elapsed()
}

fn assert_dial_error(tunnel: &Tunnel, count: u64, code: &str) {
    wait_until("the error is counted", SOON, || tunnel.number("dial_errors") == count);
    let view = tunnel.view();
    let last = view["last_dial_error"].as_str().unwrap_or_default();
    assert!(last.contains(code), "`{code}` is not in {view}");
    assert_eq!(view["state"], "listening");
    tunnel.wait_idle(SOON);
}
