//! Dockway itself: a server with a fresh database, and agents, started from the release binary as processes.

use super::Outcome;
use super::dockway_api::Api;
use super::process::Running;
use super::process_tree::ProcessTree;
use super::subject::Subject;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the server and an agent may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// What stands before the address in the server's ready line.
const READY: &str = "listening on http://";
/// Settings of the person who runs the benchmark are not to reach the subject.
const FOREIGN_SETTINGS: [&str; 2] = ["DOCKWAY_", "DATABASE_URL"];

/// A running server.
pub struct Dockway {
    /// Until the subject has it, so that the server's end shows there. Stands first to be dropped before its directory.
    server: Option<Running>,
    server_address: SocketAddr,
    api: Api,
    binary: PathBuf,
    directory: TempDir,
}

impl Dockway {
    /// Makes a database with an admin and a token, and starts the server on it.
    pub fn start(binary: &Path) -> Outcome<Self> {
        let directory = tempfile::Builder::new().prefix("dockway-bench-").tempdir()?;
        let data = directory.path();
        admin(binary, &["user", "add", "admin", "--role", "admin"], data)?;
        let token = admin(binary, &["token", "create", "--user", "admin", "--name", "bench"], data)?;

        let mut command = dockway(binary);
        command.args(["serve", "--listen", "127.0.0.1:0", "--tunnel-bind", "127.0.0.1", "--data-dir"]).arg(data);
        let mut server = Running::start("dockway serve", &mut command, READY)?;
        let line = server.wait_for_announcement(START_LIMIT)?;
        let server_address = announced_address(&line).ok_or_else(|| format!("no address in the line '{line}'"))?;
        let api = Api::new(server_address, token);
        Ok(Self { server: Some(server), server_address, api, binary: binary.to_owned(), directory })
    }

    /// Where the server serves its API and its agents.
    pub fn server_address(&self) -> SocketAddr {
        self.server_address
    }

    /// The subject of the table: an agent beside the server; both processes count.
    pub fn start_subject(&mut self, remote: SocketAddr) -> Outcome<Subject> {
        let mut subject = self.start_tunnel("bench", self.server_address, remote)?;
        subject.running.extend(self.server.take());
        subject.processes = Some(ProcessTree::new(subject.running.iter().map(Running::id).collect()));
        Ok(subject)
    }

    /// Starts an agent that reaches the server at `server`, and opens a tunnel through it to `remote`.
    pub fn start_tunnel(&self, client_id: &str, server: SocketAddr, remote: SocketAddr) -> Outcome<Subject> {
        let token = self.api.enrol_agent(client_id)?;
        let mut agent = self.start_agent(client_id, server, &token)?;
        self.wait_until_online(client_id, &mut agent)?;
        let port = self.api.create_tunnel(client_id, remote)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Subject { name: "dockway".to_owned(), address, processes: None, running: vec![agent] })
    }

    fn start_agent(&self, client_id: &str, server: SocketAddr, token: &str) -> Outcome<Running> {
        let token_file = self.directory.path().join(format!("{client_id}.token"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&token_file)?;
        file.write_all(token.as_bytes())?;
        let mut command = dockway(&self.binary);
        command.arg("agent").args(["--server", &format!("http://{server}"), "--client-id", client_id]);
        command.args(["--protocol", "binary", "--token-file"]).arg(&token_file);
        Running::start("dockway agent", &mut command, "connected")
    }

    fn wait_until_online(&self, client_id: &str, agent: &mut Running) -> Outcome<()> {
        let limit = Instant::now() + START_LIMIT;
        while !self.api.is_agent_online(client_id)? {
            if let Some(obituary) = agent.obituary() {
                return Err(obituary.into());
            }
            if Instant::now() > limit {
                return Err(format!("the agent '{client_id}' did not come online").into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// The binary, without the settings of whoever runs the benchmark.
fn dockway(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        let begins_with = |prefix: &&str| name.to_str().is_some_and(|name| name.starts_with(prefix));
        if FOREIGN_SETTINGS.iter().any(begins_with) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs `dockway admin …` and gives the secret that it prints.
fn admin(binary: &Path, arguments: &[&str], data: &Path) -> Outcome<String> {
    let mut command = dockway(binary);
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
