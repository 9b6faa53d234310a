//! What the benchmarks share: processes and what they cost, rounds, results, goals, and how they are printed.
//!
//! Each benchmark has its own `Measure`, the rows of its table, which is a [`results::Row`] here.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod connection;
pub mod dockway;
pub mod goals;
mod json;
pub mod options;
pub mod process;
pub mod process_tree;
pub mod report;
pub mod results;
pub mod rounds;
pub mod subject;
mod table;
pub mod window;

use std::process::ExitCode;

/// What a step gives; an error is told to the person who runs the benchmark.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs a benchmark and gives its exit code: 1 for a goal that was missed, 2 for a run that failed.
pub fn run(name: &str, benchmark: impl FnOnce() -> Outcome<bool>) -> ExitCode {
    if std::env::args_os().len() == 1 {
        // `cargo bench` passes at least `--bench`; `cargo test --all-targets` passes nothing and wants no benchmark.
        eprintln!("to measure: cargo bench --bench {name}");
        return ExitCode::SUCCESS;
    }
    match benchmark() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{name} bench: {error}");
            ExitCode::from(2)
        }
    }
}
