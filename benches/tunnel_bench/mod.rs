//! The map of the benchmark.
//!
//! `subject` says who is measured (`dockway`, `socat`, `other` start or find them); `remote` is where every
//! connection ends; `throughput`, `round_trip`, `connects`, `idle` and `long_path` measure; `rounds` interleaves;
//! `results`, `goals`, `table` and `json` judge and print.

mod connection;
mod connects;
mod delay;
mod dockway;
mod dockway_api;
mod goals;
mod idle;
mod json;
mod long_path;
mod measure;
pub mod options;
mod other;
mod process;
mod process_tree;
mod remote;
mod results;
mod round_trip;
mod rounds;
mod socat;
mod subject;
mod table;
mod throughput;

use options::{Options, Pace, Part};
use remote::Remote;
use results::Results;
use subject::Subjects;

/// What a step gives; an error is told to the person who runs the benchmark.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

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

    let goals = goals::judge(&results);
    print!("{}", table::render(&subjects.names(), &results, &goals));
    if let Some(file) = &options.json {
        std::fs::write(file, json::render(&subjects.names(), &pace, &results, &goals)?)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    Ok(!options.check || goals.iter().all(goals::Judged::is_reached))
}
