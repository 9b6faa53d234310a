//! The subjects of the gateway benchmark.

use super::http::{Client, PLAIN_PREFIX, TLS_PREFIX};
use super::options::Options;
use super::upstream::Upstream;
use super::websocket::{self, ECHO, ping};
use super::{Results, dockway, haproxy, nginx};
use crate::common::Outcome;
use crate::common::subject::Subject;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What stands for the token when no server of Dockway made one: as long as a real one.
const STAND_IN_TOKEN_BYTES: usize = 48;

/// All subjects of this run.
pub struct Subjects {
    // Stands first: the processes must have ended before their directories go.
    pub list: Vec<Subject>,
    /// Sent with every request to every subject.
    pub token: String,
    directories: Vec<TempDir>,
}

impl Subjects {
    /// Starts what is to be started and tries every subject once.
    pub fn start(options: &Options, upstream: &Upstream, results: &mut Results) -> Outcome<Self> {
        let mut subjects = Self { list: Vec::new(), token: "t".repeat(STAND_IN_TOKEN_BYTES), directories: Vec::new() };
        let wants = |name| options.common.wants(name);
        if wants("direct") {
            subjects.list.push(Subject::direct(upstream.plain));
        }
        if wants("nginx") && is_installed("nginx", "-v", results) {
            subjects.keep(nginx::start(upstream)?);
        }
        if wants("haproxy") && is_installed("haproxy", "-v", results) {
            subjects.keep(haproxy::start(upstream)?);
        }
        if wants("dockway") {
            let (subject, directory, token) = dockway::start(&options.common.binary, upstream)?;
            subjects.keep((subject, directory));
            subjects.token = token;
        }
        if subjects.list.is_empty() {
            return Err("nothing is left to measure".into());
        }
        for (subject, client) in subjects.each() {
            try_once(&client, subject.processes.is_some()).map_err(|error| format!("{}: {error}", subject.name))?;
        }
        upstream.far_end.settle();
        Ok(subjects)
    }

    /// The names, in the order of the columns.
    pub fn names(&self) -> Vec<&str> {
        self.list.iter().map(|subject| subject.name.as_str()).collect()
    }

    /// Every subject with a client of it.
    pub fn each(&mut self) -> impl Iterator<Item = (&mut Subject, Client)> {
        let token = self.token.clone();
        self.list.iter_mut().map(move |subject| {
            let client = Client { address: subject.address, token: token.clone() };
            (subject, client)
        })
    }

    fn keep(&mut self, (subject, directory): (Subject, TempDir)) {
        self.list.push(subject);
        self.directories.push(directory);
    }
}

/// A small request to each upstream, and an echo.
fn try_once(client: &Client, speaks_tls: bool) -> Outcome<()> {
    client.try_small(PLAIN_PREFIX).map_err(|error| format!("small request: {error}"))?;
    if speaks_tls {
        client.try_small(TLS_PREFIX).map_err(|error| format!("small request, TLS upstream: {error}"))?;
    }
    let echo = websocket::open(client, ECHO).and_then(|mut stream| ping(&mut stream));
    Ok(echo.map_err(|error| format!("WebSocket: {error}"))?)
}

fn is_installed(program: &str, version: &str, results: &mut Results) -> bool {
    let mut command = Command::new(program);
    let is_installed = command.arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !is_installed {
        results.note(format!("{program} is not installed (Debian, Ubuntu, Fedora: package '{program}'); left out"));
    }
    is_installed
}
