//! nginx in front of the upstream, with `nginx.conf`.

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

const CONFIGURATION: &str = include_str!("nginx.conf");

/// Starts it in a directory of its own.
pub fn start(upstream: &Upstream) -> Outcome<(Subject, TempDir)> {
    let directory = tempfile::Builder::new().prefix("dockway-bench-nginx-").tempdir()?;
    let port = free_ports(1)?[0];
    // As root its workers would become another user, who may not enter the directory.
    let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
    let text = CONFIGURATION
        .replace("{user}", user)
        .replace("{directory}", &directory.path().to_string_lossy())
        .replace("{port}", &port.to_string())
        .replace("{plain}", &upstream.plain.to_string())
        .replace("{tls}", &upstream.tls.to_string());
    let file = directory.path().join("nginx.conf");
    std::fs::write(&file, text)?;

    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-p"]).arg(directory.path()).arg("-c").arg(&file);
    let running = Running::start("nginx", &mut command, "start worker process")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut subject = Subject::of_processes("nginx", address, vec![running]);
    let attempt = |address| Client { address, token: String::new() }.try_small(PLAIN_PREFIX);
    subject.wait_until_ready(START_LIMIT, attempt)?;
    Ok((subject, directory))
}
