//! Two hops of socat: the yardstick. A tunnel has two processes between client and remote, and so has this.

use super::connection::connect_echo;
use crate::common::Outcome;
use crate::common::connection::free_ports;
use crate::common::process::Running;
use crate::common::subject::Subject;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the two may take to listen.
const START_LIMIT: Duration = Duration::from_secs(5);

/// Whether socat can be started.
pub fn is_installed() -> bool {
    Command::new("socat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Starts both hops.
pub fn start(remote: SocketAddr) -> Outcome<Subject> {
    let ports = free_ports(2)?;
    let inner = start_hop(ports[0], remote.port())?;
    let outer = start_hop(ports[1], ports[0])?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[1]));
    let mut subject = Subject::of_processes("socat", address, vec![outer, inner]);
    subject.wait_until_ready(START_LIMIT, |address| Ok(connect_echo(address).map(drop)?))?;
    Ok(subject)
}

fn start_hop(port: u16, target_port: u16) -> Outcome<Running> {
    let mut command = Command::new("socat");
    command.arg("-b262144").arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay"));
    command.arg(format!("TCP:127.0.0.1:{target_port},nodelay"));
    Running::start("socat", &mut command, "listening")
}
