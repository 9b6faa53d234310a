//! The map of the benchmark.
//!
//! `subject` says who is measured (`nginx`, `haproxy`, `dockway` start them); `upstream` and its parts `streams` and
//! `tls` are where every request ends; `requests`, `transfer`, `stream`, `round_trip` and `idle` measure; `rounds`
//! interleaves; `http` and `websocket` are the client's words; `goals` is what is wanted. What judges and prints is in
//! `common`.

mod dockway;
mod goals;
mod haproxy;
mod http;
mod idle;
mod measure;
mod nginx;
pub mod options;
mod requests;
mod round_trip;
mod rounds;
mod stream;
mod streams;
mod subject;
mod tls;
mod transfer;
mod upstream;
mod websocket;

use crate::common::Outcome;
use crate::common::goals::judge;
use crate::common::report::Report;
use ::dockway::limits::raise_descriptors;
use goals::GOALS;
use measure::Measure;
use options::{Options, Pace, Part};
use rounds::{PLAIN_REQUESTS, TLS_REQUESTS};
use subject::Subjects;
use upstream::Upstream;

type Results = crate::common::results::Results<Measure>;

/// The subjects that others are compared with.
const BASES: [&str; 3] = ["direct", "nginx", "haproxy"];

/// Runs the whole benchmark; false when `--check` was given and a goal was not shown to be reached.
pub fn run(options: &Options) -> Outcome<bool> {
    options.verify()?;
    raise_descriptors();
    let pace = Pace::of(options);
    let upstream = Upstream::start()?;
    let mut results = Results::default();
    let mut subjects = Subjects::start(options, &upstream, &mut results)?;

    if options.includes(Part::Memory) {
        idle::measure_all(&mut subjects, &upstream, &pace, &mut results);
    }
    if options.includes(Part::RoundTrip) {
        rounds::measure_round_trips(&mut subjects, &upstream, &pace, &mut results);
    }
    if options.includes(Part::Requests) {
        rounds::measure_requests(&PLAIN_REQUESTS, &mut subjects, &upstream, &pace, &mut results);
    }
    if options.includes(Part::Tls) {
        rounds::measure_requests(&TLS_REQUESTS, &mut subjects, &upstream, &pace, &mut results);
    }
    if options.includes(Part::Load) {
        rounds::measure_loads(&mut subjects, &upstream, &pace, &mut results);
    }

    let report = Report {
        subjects: subjects.names(),
        rows: &Measure::ALL,
        bases: &BASES,
        rounds: pace.rounds,
        window: pace.window,
        results: &results,
        goals: judge(&GOALS, &results),
    };
    report.publish(&options.common)
}
