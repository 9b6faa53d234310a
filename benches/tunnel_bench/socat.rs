//! Two hops of socat: the yardstick. A tunnel has two processes between client and remote, and so has this.

use super::Outcome;
use super::connection::connect_echo;
use super::process::Running;
use super::process_tree::ProcessTree;
use super::subject::Subject;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the two may take to listen.
const START_LIMIT: Duration = Duration::from_secs(5);

/// Whether socat can be started.
pub fn is_installed() -> bool {
    Command::new("socat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Starts both hops.
pub fn start(remote: SocketAddr) -> Outcome<Subject> {
    let (inner_port, outer_port) = two_free_ports()?;
    let inner = start_hop(inner_port, remote.port())?;
    let outer = start_hop(outer_port, inner_port)?;
    let roots = vec![outer.id(), inner.id()];
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, outer_port));
    let mut subject = Subject {
        name: "socat".to_owned(),
        address,
        processes: Some(ProcessTree::new(roots)),
        running: vec![outer, inner],
    };
    wait_until_ready(&mut subject)?;
    Ok(subject)
}

fn start_hop(port: u16, target_port: u16) -> Outcome<Running> {
    let mut command = Command::new("socat");
    command.arg("-b262144").arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay"));
    command.arg(format!("TCP:127.0.0.1:{target_port},nodelay"));
    Running::start("socat", &mut command, "listening")
}

/// socat takes no port 0, so that two are looked up and let go; the start fails if another program takes one meanwhile.
fn two_free_ports() -> Outcome<(u16, u16)> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

fn wait_until_ready(subject: &mut Subject) -> Outcome<()> {
    let limit = Instant::now() + START_LIMIT;
    loop {
        let Err(error) = connect_echo(subject.address) else { return Ok(()) };
        if let Some(obituary) = subject.obituary() {
            return Err(obituary.into());
        }
        if Instant::now() > limit {
            return Err(format!("socat does not answer: {error}").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
}
