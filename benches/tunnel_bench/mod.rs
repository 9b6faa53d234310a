//! The map of the benchmark.
//!
//! `subject` says who is measured (`dockway`, `socat`, `other` start or find them); `remote` is where every
//! connection ends; `throughput`, `round_trip`, `connects`, `idle` and `long_path` measure; `rounds` interleaves;
//! `goals` is what is wanted. What judges and prints is in `common`.

mod connection;
mod connects;
mod delay;
mod dockway;
mod dockway_api;
mod goals;
mod idle;
mod long_path;
mod measure;
pub mod options;
mod other;
mod remote;
mod round_trip;
mod rounds;
mod socat;
mod subject;
mod throughput;

use crate::common::Outcome;
use crate::common::goals::judge;
use crate::common::report::Report;
use goals::GOALS;
use measure::Measure;
use options::{Options, Pace, Part};
use remote::Remote;
use subject::Subjects;

type Results = crate::common::results::Results<Measure>;

/// The subjects that others are compared with.
const BASES: [&str; 2] = ["direct", "socat"];

/// Runs the whole benchmark; false when `--check` was given and a goal was not shown to be reached.
pub fn run(options: &Options) -> Outcome<bool> {
    options.verify()?;
    let pace = Pace::of(options);
    let remote = Remote::start(options.remote_port)?;
    let mut results = Results::default();
    let mut subjects = Subjects::start(options, &remote, &mut results)?;

    if options.includes(Part::Memory) {
        idle::measure_all(&mut subjects.list, &remote, &pace, &mut results);
    }
    if options.includes(Part::RoundTrip) {
        rounds::measure_round_trips(&mut subjects.list, &remote, &pace, &mut results);
    }
    if options.includes(Part::Load) {
        rounds::measure_loads(&mut subjects.list, &remote, &pace, &mut results);
    }
    if options.includes(Part::Long) {
        long_path::measure_all(&subjects, &remote, options.path_gbit, &pace, &mut results);
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
