//! Dockway's processes, started from the release binary on a directory of their own.

use super::Outcome;
use super::process::Running;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the server and an agent may take to be ready.
pub const START_LIMIT: Duration = Duration::from_secs(30);
/// What stands before the address in the server's ready line.
const READY: &str = "listening on http://";
/// Settings of the person who runs the benchmark are not to reach the subject.
const FOREIGN_SETTINGS: [&str; 3] = ["DOCKWAY_", "DATABASE_URL", "DOCKER_"];
/// No benchmark has anything to do with the containers of the machine that it runs on.
const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";

/// The binary, without the settings of whoever runs the benchmark.
pub fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        let begins_with = |prefix: &&str| name.to_str().is_some_and(|name| name.starts_with(prefix));
        if FOREIGN_SETTINGS.iter().any(begins_with) {
            command.env_remove(&name);
        }
    }
    command.env("DOCKER_HOST", NO_ENGINE);
    command
}

/// Makes an admin of this name in the database under `data`, and a token of theirs.
pub fn make_admin(binary: &Path, data: &Path, name: &str) -> Outcome<String> {
    admin(binary, &["user", "add", name, "--role", "admin"], data)?;
    admin(binary, &["token", "create", "--user", name, "--name", "bench"], data)
}

/// Starts the server on the database under `data`, and waits for its address.
pub fn serve(binary: &Path, data: &Path) -> Outcome<(Running, SocketAddr)> {
    let mut command = command(binary);
    command.args(["serve", "--listen", "127.0.0.1:0", "--tunnel-bind", "127.0.0.1", "--data-dir"]).arg(data);
    let mut server = Running::start("dockway serve", &mut command, READY)?;
    let line = server.wait_for_announcement(START_LIMIT)?;
    let address = announced_address(&line).ok_or_else(|| format!("no address in the line '{line}'"))?;
    Ok((server, address))
}

/// Runs `dockway admin …` and gives the secret that it prints.
fn admin(binary: &Path, arguments: &[&str], data: &Path) -> Outcome<String> {
    let mut command = command(binary);
    command.arg("admin").args(arguments).arg("--data-dir").arg(data).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
    let secret = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || secret.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("'dockway admin {}' gave no secret: {} {said}", arguments.join(" "), output.status).into());
    }
    Ok(secret)
}

fn announced_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(READY)?;
    let is_part = |letter: char| letter.is_ascii_digit() || letter == '.' || letter == ':';
    let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':']).parse().ok()
}
