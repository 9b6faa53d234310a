//! Memory with many WebSockets open: of a subject's processes before, and with each having echoed one message.
//!
//! Measured first and once: a process that has already moved gigabytes keeps memory that idle connections would use.

use super::Results;
use super::http::Client;
use super::measure::Measure;
use super::options::Pace;
use super::subject::Subjects;
use super::upstream::Upstream;
use super::websocket::{self, ECHO, ping};
use crate::common::Outcome;
use crate::common::connection::FarEnd;
use crate::common::process_tree::ProcessTree;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// WebSockets opened and closed beforehand, so that what is made once is not counted.
const WARM_UP_WEBSOCKETS: usize = 20;
/// Time for the processes to come to rest before memory is read.
const REST: Duration = Duration::from_millis(500);

const BYTES_PER_KIBIBYTE: f64 = 1024.0;
const BYTES_PER_MEBIBYTE: f64 = 1024.0 * 1024.0;

/// What was read, in bytes.
struct Memory {
    before: f64,
    after: f64,
}

/// Measures every subject that has processes.
pub fn measure_all(subjects: &mut Subjects, upstream: &Upstream, pace: &Pace, results: &mut Results) {
    let count = pace.idle_websockets;
    for (subject, client) in subjects.each() {
        let Some(processes) = subject.processes.clone() else { continue };
        eprintln!("{}: memory with {count} open WebSockets", subject.name);
        let outcome = measure(&client, &processes, &upstream.far_end, count);
        let memory = results.value_or_note(subject, Measure::Memory, outcome);
        let each = memory.as_ref().map(|memory| (memory.after - memory.before) / BYTES_PER_KIBIBYTE / count as f64);
        results.record(Measure::Memory, &subject.name, memory.map(|memory| memory.after / BYTES_PER_MEBIBYTE));
        results.record(Measure::MemoryEach, &subject.name, each);
    }
}

fn measure(client: &Client, processes: &ProcessTree, far_end: &FarEnd, count: usize) -> Outcome<Memory> {
    drop(open(client, WARM_UP_WEBSOCKETS)?);
    far_end.settle();
    thread::sleep(REST);
    let before = processes.proportional_bytes() as f64;
    let opened = open(client, count);
    thread::sleep(REST);
    let after = processes.proportional_bytes() as f64;
    let outcome = opened.map(|_held| Memory { before, after });
    far_end.settle();
    outcome
}

fn open(client: &Client, count: usize) -> Outcome<Vec<TcpStream>> {
    let open_one = |_| {
        let mut stream = websocket::open(client, ECHO)?;
        ping(&mut stream)?;
        Ok(stream)
    };
    (0..count).map(open_one).collect()
}
