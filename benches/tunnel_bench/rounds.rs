//! What is measured in each round.

use super::connects::{self, Connects};
use super::measure::{LOADS, Load, Measure};
use super::options::Pace;
use super::remote::Remote;
use super::throughput::Transfer;
use super::{Results, round_trip};
use crate::common::results::median;
use crate::common::rounds::in_rounds;
use crate::common::subject::Subject;
use crate::common::window::{Counted, Window};

const MICROSECONDS_PER_SECOND: f64 = 1e6;
/// Connections of each subject in one round of round trips.
const CONNECTIONS: usize = 20;

/// Measures the round trip of all subjects, `pace.rounds` times. Each round takes several connections of each subject
/// in turn: with each the system places the processes on the processors anew, and two that share one wake each other
/// several times faster than two that do not.
pub fn measure_round_trips(subjects: &mut [Subject], remote: &Remote, pace: &Pace, results: &mut Results) {
    let each = pace.ping_pongs.div_ceil(CONNECTIONS);
    in_rounds("round trip", subjects, pace.rounds, |subjects| {
        let mut seconds = vec![Vec::new(); subjects.len()];
        for _ in 0..CONNECTIONS {
            for (subject, seconds) in subjects.iter_mut().zip(&mut seconds) {
                let outcome = round_trip::ping_pongs(subject.address, each);
                seconds.extend(results.value_or_note(subject, Measure::RoundTrip, outcome).unwrap_or_default());
            }
        }
        remote.settle();
        for (subject, seconds) in subjects.iter().zip(seconds) {
            let microseconds = median(seconds).map(|seconds| seconds * MICROSECONDS_PER_SECOND);
            results.record(Measure::RoundTrip, &subject.name, microseconds);
        }
    });
}

/// Takes all measures of all subjects under load, `pace.rounds` times.
pub fn measure_loads(subjects: &mut [Subject], remote: &Remote, pace: &Pace, results: &mut Results) {
    in_rounds("load", subjects, pace.rounds, |subjects| {
        for load in &LOADS {
            for subject in subjects.iter_mut() {
                measure_throughput(subject, load, remote, pace, results);
            }
        }
        for subject in subjects.iter_mut() {
            measure_connects(subject, remote, pace, results);
        }
    });
}

fn measure_throughput(subject: &mut Subject, load: &Load, remote: &Remote, pace: &Pace, results: &mut Results) {
    let transfer = Transfer {
        address: subject.address,
        streams: load.streams,
        direction: load.direction,
        window: Window { warm_up: pace.warm_up, window: pace.window, processes: subject.processes.as_ref() },
    };
    let outcome = transfer.run(remote);
    let throughput = results.value_or_note(subject, load.throughput, outcome);
    results.record(load.throughput, &subject.name, throughput.as_ref().map(Counted::gigabits_per_second));
    if subject.processes.is_some() {
        let cpu = throughput.and_then(|shown| shown.cpu_seconds_per_gibibyte());
        results.record(load.cpu, &subject.name, cpu);
    }
}

fn measure_connects(subject: &mut Subject, remote: &Remote, pace: &Pace, results: &mut Results) {
    let outcome = connects::measure(subject.address, pace.window);
    remote.settle();
    let shown = results.value_or_note(subject, Measure::Connects, outcome);
    if let Some(Connects { failures, first_failure: Some(first), .. }) = &shown {
        results.note(format!("{}: {failures} connects failed, the first with: {first}", subject.name));
    }
    results.record(Measure::Connects, &subject.name, shown.map(|shown| shown.per_second));
}
