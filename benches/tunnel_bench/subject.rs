//! The subjects of the tunnel benchmark.

use super::Results;
use super::connection::connect_echo;
use super::dockway::Dockway;
use super::options::{Options, Other};
use super::remote::Remote;
use super::{other, socat};
use crate::common::Outcome;
use crate::common::subject::Subject;
use std::net::{Ipv4Addr, SocketAddr};

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
        if options.common.wants("direct") {
            subjects.list.push(Subject::direct(remote.address()));
        }
        if options.common.wants("socat") {
            subjects.add_socat(remote, results)?;
        }
        if options.common.wants("dockway") {
            let mut dockway = Dockway::start(&options.common.binary)?;
            subjects.list.push(dockway.start_subject(remote.address())?);
            subjects.dockway = Some(dockway);
        }
        for wanted in options.other.iter().filter(|wanted| options.common.wants(&wanted.name)) {
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
