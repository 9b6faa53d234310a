//! What is measured in each round.

use super::http::{Client, PLAIN_PREFIX, TLS_PREFIX};
use super::measure::Measure;
use super::options::Pace;
use super::subject::Subjects;
use super::upstream::Upstream;
use super::{Results, requests, round_trip, stream, transfer};
use crate::common::Outcome;
use crate::common::results::median;
use crate::common::rounds::in_rounds;
use crate::common::subject::Subject;
use crate::common::window::{Counted, Window};

const MICROSECONDS_PER_SECOND: f64 = 1e6;
/// WebSockets of each subject in one round of round trips.
const WEBSOCKETS: usize = 20;

/// Measures the round trip of all subjects. Each round takes several WebSockets of each subject in turn: with each the
/// system places the processes on the processors anew, and two that share one wake each other several times faster
/// than two that do not.
pub fn measure_round_trips(subjects: &mut Subjects, upstream: &Upstream, pace: &Pace, results: &mut Results) {
    let token = subjects.token.clone();
    let each = pace.ping_pongs.div_ceil(WEBSOCKETS);
    in_rounds("round trip", &mut subjects.list, pace.rounds, |subjects| {
        let mut seconds = vec![Vec::new(); subjects.len()];
        for _ in 0..WEBSOCKETS {
            for (subject, seconds) in subjects.iter_mut().zip(&mut seconds) {
                let client = Client { address: subject.address, token: token.clone() };
                let outcome = round_trip::ping_pongs(&client, each);
                seconds.extend(results.value_or_note(subject, Measure::RoundTrip, outcome).unwrap_or_default());
            }
        }
        upstream.far_end.settle();
        for (subject, seconds) in subjects.iter().zip(seconds) {
            let microseconds = median(seconds).map(|seconds| seconds * MICROSECONDS_PER_SECOND);
            results.record(Measure::RoundTrip, &subject.name, microseconds);
        }
    });
}

/// Small requests to one of the two servers of the upstream, and the rows that they fill.
pub struct Small {
    name: &'static str,
    prefix: &'static str,
    measure: Measure,
    cpu: Measure,
}

/// To the server without TLS.
pub const PLAIN_REQUESTS: Small =
    Small { name: "small requests", prefix: PLAIN_PREFIX, measure: Measure::Requests, cpu: Measure::CpuRequests };

/// To the one with TLS.
pub const TLS_REQUESTS: Small = Small {
    name: "small requests, TLS upstream",
    prefix: TLS_PREFIX,
    measure: Measure::TlsRequests,
    cpu: Measure::CpuTlsRequests,
};

/// Measures small requests of all subjects.
pub fn measure_requests(
    small: &Small,
    subjects: &mut Subjects,
    upstream: &Upstream,
    pace: &Pace,
    results: &mut Results,
) {
    let token = subjects.token.clone();
    in_rounds(small.name, &mut subjects.list, pace.rounds, |subjects| {
        // The client itself speaks no TLS.
        let through = |subject: &&mut Subject| small.prefix == PLAIN_PREFIX || subject.address != upstream.plain;
        for subject in subjects.iter_mut().filter(through) {
            let client = Client { address: subject.address, token: token.clone() };
            let processes = subject.processes.clone();
            let window = Window { warm_up: pace.warm_up, window: pace.window, processes: processes.as_ref() };
            let outcome = requests::measure(&client, small.prefix, &window);
            let counted = results.value_or_note(subject, small.measure, outcome);
            results.record(small.measure, &subject.name, counted.as_ref().map(Counted::per_second));
            record_cpu(subject, small.cpu, counted.and_then(|counted| counted.cpu_microseconds_each()), results);
        }
    });
}

/// Takes all measures of many bytes.
pub fn measure_loads(subjects: &mut Subjects, upstream: &Upstream, pace: &Pace, results: &mut Results) {
    let token = subjects.token.clone();
    in_rounds("load", &mut subjects.list, pace.rounds, |subjects| {
        for load in LOADS {
            for subject in subjects.iter_mut() {
                let client = Client { address: subject.address, token: token.clone() };
                let processes = subject.processes.clone();
                let window = Window { warm_up: pace.warm_up, window: pace.window, processes: processes.as_ref() };
                let outcome = (load.run)(&client, upstream, pace, &window);
                let counted = results.value_or_note(subject, load.measure, outcome);
                results.record(load.measure, &subject.name, counted.as_ref().map(Counted::gigabits_per_second));
                record_cpu(subject, load.cpu, counted.and_then(|counted| counted.cpu_seconds_per_gibibyte()), results);
            }
        }
    });
}

fn record_cpu(subject: &Subject, measure: Measure, value: Option<f64>, results: &mut Results) {
    if subject.processes.is_some() {
        results.record(measure, &subject.name, value);
    }
}

/// A measure of many bytes, and the rows that it fills.
struct Load {
    measure: Measure,
    cpu: Measure,
    run: fn(&Client, &Upstream, &Pace, &Window) -> Outcome<Counted>,
}

const LOADS: [Load; 4] = [
    Load {
        measure: Measure::Download,
        cpu: Measure::CpuDownload,
        run: |client, _, pace, window| transfer::download(client, pace.large_bytes, window.processes),
    },
    Load {
        measure: Measure::Upload,
        cpu: Measure::CpuUpload,
        run: |client, _, pace, window| transfer::upload(client, pace.large_bytes, window.processes),
    },
    Load {
        measure: Measure::StreamUp,
        cpu: Measure::CpuStreamUp,
        run: |client, upstream, _, window| stream::up(client, &upstream.far_end, window),
    },
    Load {
        measure: Measure::StreamDown,
        cpu: Measure::CpuStreamDown,
        run: |client, upstream, _, window| stream::down(client, &upstream.far_end, window),
    },
];
