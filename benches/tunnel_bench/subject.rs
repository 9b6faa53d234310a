//! The subjects: whatever leads from a port on 127.0.0.1 to the remote.

use super::connection::connect_echo;
use super::dockway::Dockway;
use super::options::{Options, Other};
use super::process::Running;
use super::process_tree::ProcessTree;
use super::remote::Remote;
use super::results::Results;
use super::{Outcome, other, socat};
use std::net::{Ipv4Addr, SocketAddr};

/// One subject.
pub struct Subject {
    pub name: String,
    /// Where clients connect.
    pub address: SocketAddr,
    /// The processes between client and remote, when there are any and they are known.
    pub processes: Option<ProcessTree>,
    /// The processes that the benchmark started for it.
    pub running: Vec<Running>,
}

impl Subject {
    /// What is known of a process that has ended although it is still needed.
    pub fn obituary(&mut self) -> Option<String> {
        self.running.iter_mut().find_map(Running::obituary)
    }
}

/// All subjects of this run.
pub struct Subjects {
    // Stands first: the server must have ended before Dockway's directory goes.
    pub list: Vec<Subject>,
    /// Dockway's server, which the long path needs for a second agent.
    pub dockway: Option<Dockway>,
}

impl Subjects {
    /// Starts what is to be started and tries every subject once.
    pub fn start(options: &Options, remote: &Remote, results: &mut Results) -> Outcome<Self> {
        let mut subjects = Self { list: Vec::new(), dockway: None };
        if options.wants("direct") {
            let (name, address) = ("direct".to_owned(), remote.address());
            subjects.list.push(Subject { name, address, processes: None, running: Vec::new() });
        }
        if options.wants("socat") {
            subjects.add_socat(remote, results)?;
        }
        if options.wants("dockway") {
            let mut dockway = Dockway::start(&options.binary)?;
            subjects.list.push(dockway.start_subject(remote.address())?);
            subjects.dockway = Some(dockway);
        }
        for wanted in options.other.iter().filter(|wanted| options.wants(&wanted.name)) {
            subjects.add_other(wanted, remote, results);
        }
        if subjects.list.is_empty() {
            return Err("nothing is left to measure".into());
        }
        for subject in &subjects.list {
            connect_echo(subject.address)
                .map_err(|error| format!("{} does not lead to the remote: {error}", subject.name))?;
        }
        remote.settle();
        Ok(subjects)
    }

    /// The names, in the order of the columns.
    pub fn names(&self) -> Vec<&str> {
        self.list.iter().map(|subject| subject.name.as_str()).collect()
    }

    fn add_socat(&mut self, remote: &Remote, results: &mut Results) -> Outcome<()> {
        if socat::is_installed() {
            self.list.push(socat::start(remote.address())?);
        } else {
            results.note("socat is not installed (Debian, Ubuntu, Fedora: package 'socat'); left out".to_owned());
        }
        Ok(())
    }

    fn add_other(&mut self, wanted: &Other, remote: &Remote, results: &mut Results) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, wanted.port));
        let probe = match connect_echo(address) {
            Ok(probe) => probe,
            Err(error) => {
                let Other { name, port } = wanted;
                results.note(format!("{name} (port {port}) does not lead to the remote: {error}; left out"));
                return;
            }
        };
        let processes = other::find_processes(wanted.port, remote.address().port());
        if processes.is_none() {
            results.note(format!("the processes of {} are not visible: no CPU, no memory", wanted.name));
        }
        drop(probe);
        remote.settle();
        self.list.push(Subject { name: wanted.name.clone(), address, processes, running: Vec::new() });
    }
}
