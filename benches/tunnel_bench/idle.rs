//! Memory per idle connection: resident memory of a subject's processes before, and with many connections open.
//!
//! Measured first and once: a process that has already moved gigabytes keeps memory that idle connections would use.

use super::Results;
use super::connection::connect_echo;
use super::measure::Measure;
use super::options::Pace;
use super::remote::Remote;
use crate::common::Outcome;
use crate::common::process_tree::ProcessTree;
use crate::common::subject::Subject;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

/// Connections opened and closed beforehand, so that what is made once is not counted.
const WARM_UP_CONNECTIONS: usize = 20;
/// Time for the processes to come to rest before memory is read.
const REST: Duration = Duration::from_millis(500);

const BYTES_PER_KIBIBYTE: f64 = 1024.0;

/// Measures every subject whose processes are known.
pub fn measure_all(subjects: &mut [Subject], remote: &Remote, pace: &Pace, results: &mut Results) {
    for subject in subjects {
        let Some(processes) = subject.processes.clone() else { continue };
        eprintln!("{}: memory with {} idle connections", subject.name, pace.idle_connections);
        let outcome = measure(subject.address, &processes, remote, pace.idle_connections);
        let kibibytes = results.value_or_note(subject, Measure::IdleMemory, outcome);
        results.record(Measure::IdleMemory, &subject.name, kibibytes);
    }
}

/// Kibibytes per connection.
fn measure(address: SocketAddr, processes: &ProcessTree, remote: &Remote, connections: usize) -> Outcome<f64> {
    let open = |count: usize| (0..count).map(|_| connect_echo(address)).collect::<std::io::Result<Vec<_>>>();
    drop(open(WARM_UP_CONNECTIONS)?);
    remote.settle();
    thread::sleep(REST);
    let before = processes.resident_bytes();
    let opened = open(connections);
    thread::sleep(REST);
    let after = processes.resident_bytes();
    let outcome = opened.map(|_held| (after as f64 - before as f64) / BYTES_PER_KIBIBYTE / connections as f64);
    remote.settle();
    Ok(outcome?)
}
