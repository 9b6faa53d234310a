//! Benchmark of the gateway: everything in one run, judged by ratios. `benches/README.md` says how to read it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what is forbidden around the program's connections is fine in a benchmark"
)]

mod common;
mod gateway_bench;

use clap::Parser;
use gateway_bench::options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    common::run("gateway", || gateway_bench::run(&Options::parse()))
}
