//! haproxy in front of the upstream, with `haproxy.cfg`.

use super::http::{Client, PLAIN_PREFIX};
use super::upstream::Upstream;
use crate::common::Outcome;
use crate::common::connection::free_ports;
use crate::common::process::Running;
use crate::common::subject::Subject;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long it may take to answer.
const START_LIMIT: Duration = Duration::from_secs(10);

const CONFIGURATION: &str = include_str!("haproxy.cfg");

/// Starts it in a directory of its own.
pub fn start(upstream: &Upstream) -> Outcome<(Subject, TempDir)> {
    let directory = tempfile::Builder::new().prefix("dockway-bench-haproxy-").tempdir()?;
    let port = free_ports(1)?[0];
    let text = CONFIGURATION
        .replace("{port}", &port.to_string())
        .replace("{plain}", &upstream.plain.to_string())
        .replace("{tls}", &upstream.tls.to_string());
    let file = directory.path().join("haproxy.cfg");
    std::fs::write(&file, text)?;

    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(&file);
    let running = Running::start("haproxy", &mut command, "started")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut subject = Subject::of_processes("haproxy", address, vec![running]);
    let attempt = |address| Client { address, token: String::new() }.try_small(PLAIN_PREFIX);
    subject.wait_until_ready(START_LIMIT, attempt)?;
    Ok((subject, directory))
}
