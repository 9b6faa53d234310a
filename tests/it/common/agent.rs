//! `dockway agent` as a process.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::server::clean_environment;
use super::{Api, Process, Server, wait_until};

/// An agent's first connection, or one after a stop of the server, comes at the latest by then.
pub const ONLINE_WITHIN: Duration = Duration::from_secs(40);

pub struct Agent {
    process: Process,
    pub client_id: String,
    pub token: String,
    server_port: u16,
    protocol: String,
    extra: Vec<String>,
    directory: TempDir,
    api: Api,
}

impl Agent {
    /// Enrol and start one, and wait until the server sees it.
    pub fn start(server: &Server, client_id: &str, protocol: &str) -> Self {
        Self::start_with(server, client_id, protocol, &[])
    }

    /// As `start`, with further arguments.
    pub fn start_with(server: &Server, client_id: &str, protocol: &str, extra: &[&str]) -> Self {
        let token = server.enrol(client_id);
        let agent = Self::launch(server, client_id, &token, protocol, extra);
        agent.wait_online();
        agent
    }

    /// Start one with a token that may be right or wrong, and wait for nothing.
    pub fn launch(server: &Server, client_id: &str, token: &str, protocol: &str, extra: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("token"), format!("{token}\n")).expect("the token file");
        let extra: Vec<_> = extra.iter().map(|&arg| arg.to_owned()).collect();
        let token_file = directory.path().join("token");
        let process = spawn(server.port, client_id, token_file, protocol, &extra);
        Self {
            process,
            client_id: client_id.to_owned(),
            token: token.to_owned(),
            server_port: server.port,
            protocol: protocol.to_owned(),
            extra,
            directory,
            api: server.api(),
        }
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// A new process with the same token, after the old one was killed or has ended.
    pub fn start_again(&mut self) {
        let token_file = self.directory.path().join("token");
        self.process = spawn(self.server_port, &self.client_id, token_file, &self.protocol, &self.extra);
    }

    pub fn is_online(&self) -> bool {
        is_online(&self.api, &self.client_id)
    }

    pub fn wait_online(&self) {
        wait_until("the agent is online", ONLINE_WITHIN, || self.is_online());
    }

    pub fn wait_offline(&self, limit: Duration) {
        wait_until("the server sees the agent go", limit, || !self.is_online());
    }
}

/// What the API says of an agent; false also while the server is away.
pub fn is_online(api: &Api, client_id: &str) -> bool {
    api.try_send("GET", &format!("/api/agents/{client_id}"), None).is_ok_and(|answer| answer.json()["online"] == true)
}

fn spawn(server_port: u16, client_id: &str, token_file: PathBuf, protocol: &str, extra: &[String]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockway"));
    clean_environment(&mut command).args(["agent", "--server", &format!("http://127.0.0.1:{server_port}")]);
    command.args(["--client-id", client_id, "--protocol", protocol]).arg("--token-file").arg(token_file).args(extra);
    Process::spawn(&format!("agent {client_id}"), &mut command)
}
