//! A subject: whatever leads from a port on 127.0.0.1 to the far end.

use super::process::Running;
use super::process_tree::ProcessTree;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;

/// How often a subject that starts is tried.
const RETRY: Duration = Duration::from_millis(20);

/// One subject.
pub struct Subject {
    pub name: String,
    /// Where clients connect.
    pub address: SocketAddr,
    /// The processes between client and far end, when there are any and they are known.
    pub processes: Option<ProcessTree>,
    /// The processes that the benchmark started for it.
    pub running: Vec<Running>,
}

impl Subject {
    /// A subject with no process between.
    pub fn direct(address: SocketAddr) -> Self {
        Self { name: "direct".to_owned(), address, processes: None, running: Vec::new() }
    }

    /// A subject whose processes the benchmark started.
    pub fn of_processes(name: &str, address: SocketAddr, running: Vec<Running>) -> Self {
        let processes = Some(ProcessTree::new(running.iter().map(Running::id).collect()));
        Self { name: name.to_owned(), address, processes, running }
    }

    /// What is known of a process that has ended although it is still needed.
    pub fn obituary(&mut self) -> Option<String> {
        self.running.iter_mut().find_map(Running::obituary)
    }

    /// Tries it until it answers; fails when a process has ended or time is over.
    pub fn wait_until_ready(&mut self, limit: Duration, attempt: impl Fn(SocketAddr) -> Outcome<()>) -> Outcome<()> {
        let deadline = Instant::now() + limit;
        loop {
            let Err(error) = attempt(self.address) else { return Ok(()) };
            if let Some(obituary) = self.obituary() {
                return Err(obituary.into());
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not lead to the far end: {error}", self.name).into());
            }
            thread::sleep(RETRY);
        }
    }
}
