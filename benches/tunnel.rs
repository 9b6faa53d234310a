//! Benchmark of the tunnels: everything in one run, judged by ratios. `benches/README.md` says how to read it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what is forbidden around the program's connections is fine in a benchmark"
)]

mod common;
mod tunnel_bench;

use clap::Parser;
use std::process::ExitCode;
use tunnel_bench::options::Options;

fn main() -> ExitCode {
    common::run("tunnel", || tunnel_bench::run(&Options::parse()))
}
