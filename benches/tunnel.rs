//! Benchmark of the tunnels: everything in one run, judged by ratios. `benches/README.md` says how to read it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what is forbidden around the program's connections is fine in a benchmark"
)]

mod tunnel_bench;

use clap::Parser;
use std::process::ExitCode;
use tunnel_bench::options::Options;

fn main() -> ExitCode {
    if std::env::args_os().len() == 1 {
        // `cargo bench` passes at least `--bench`; `cargo test --all-targets` passes nothing and wants no benchmark.
        eprintln!("to measure: cargo bench --bench tunnel");
        return ExitCode::SUCCESS;
    }
    match tunnel_bench::run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("tunnel bench: {error}");
            ExitCode::from(2)
        }
    }
}
