//! Peers that are silent without having closed: frozen by SIGSTOP, their sockets stay open.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::sockets::wait_end;
use crate::common::{Remote, Rig, Server, ping, wait_until};

/// 45 s of silence, and what a busy machine adds.
const DEAD_WITHIN: Duration = Duration::from_secs(52);
/// Backoff goes up to 30 s.
const BACK_WITHIN: Duration = Duration::from_secs(45);

/// What it is about, and the check for one version of the protocol.
type Check = (&'static str, fn(&str));

/// Each of these waits for most of a minute, so they wait together.
#[test]
fn frozen_peers_are_found() {
    let server: Check = ("a server and a frozen agent", server_finds_a_frozen_agent);
    let agent: Check = ("an agent and a frozen server", agent_finds_a_frozen_server);
    std::thread::scope(|scope| {
        for (what, check) in [server, agent] {
            for protocol in ["binary", "json"] {
                let thread = std::thread::Builder::new().name(format!("{what}, {protocol}"));
                thread.spawn_scoped(scope, move || check(protocol)).expect("a thread");
            }
        }
    });
}

fn server_finds_a_frozen_agent(protocol: &str) {
    let echo = Remote::echo();
    let rig = Rig::start(protocol);
    let tunnel = rig.tunnel_to(echo.port);
    let mut user = tunnel.connect();
    ping(&mut user);
    rig.agent.signal(Signal::STOP);
    let frozen = Instant::now();
    rig.agent.wait_offline(DEAD_WITHIN);
    assert!(frozen.elapsed() > Duration::from_secs(20), "given up after only {:?}", frozen.elapsed());
    assert_eq!(tunnel.view()["state"], "waiting_for_agent");
    wait_end(&mut user);
    rig.agent.signal(Signal::CONT);
    tunnel.wait_state("listening", BACK_WITHIN);
    ping(&mut tunnel.connect());
}

fn agent_finds_a_frozen_server(protocol: &str) {
    let echo = Remote::echo();
    let mut rig = Rig::on(Server::setup().will_restart().start(), protocol);
    let tunnel = rig.tunnel_to(echo.port);
    ping(&mut tunnel.connect());
    let (agent, server_port) = (rig.agent.process().pid(), rig.server.port);
    let before = connections_of(agent, server_port);
    assert_eq!(before.len(), 1);
    rig.server.process().signal(Signal::STOP);
    wait_until("the agent leaves the dead connection", DEAD_WITHIN, || {
        connections_of(agent, server_port).is_disjoint(&before)
    });
    rig.server.process().signal(Signal::CONT);
    wait_until("the agent is back on a new connection", BACK_WITHIN, || {
        rig.agent.is_online() && !connections_of(agent, server_port).is_empty()
    });
    tunnel.wait_state("listening", BACK_WITHIN);
    ping(&mut tunnel.connect());
}

/// Inodes of a process's sockets that are connected to a port.
fn connections_of(pid: u32, remote_port: u16) -> HashSet<u64> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("the socket table");
    let remote = format!(":{remote_port:04X}");
    // local address, remote address, state, …; the inode is the tenth column.
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let to_port = rows.filter(|row| row[2].ends_with(&remote)).filter_map(|row| row[9].parse().ok());
    let held: HashSet<u64> = held_by(pid).collect();
    to_port.filter(|inode| held.contains(inode)).collect()
}

fn held_by(pid: u32) -> impl Iterator<Item = u64> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there");
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    targets.filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
}
