//! Dockway itself: a server with a fresh database, and agents, started from the release binary as processes.

use super::dockway_api::Api;
use crate::common::Outcome;
use crate::common::dockway::{self, START_LIMIT};
use crate::common::process::Running;
use crate::common::process_tree::ProcessTree;
use crate::common::subject::Subject;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

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
        let token = dockway::make_admin(binary, directory.path(), "admin")?;
        let (server, server_address) = dockway::serve(binary, directory.path())?;
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
        let mut command = dockway::command(&self.binary);
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
