//! The part of the command line that all benchmarks have.

use super::Outcome;
use clap::Args;
use std::path::PathBuf;

/// Options of every benchmark.
#[derive(Args)]
pub struct CommonOptions {
    /// Measure these subjects only
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub only: Vec<String>,
    /// Short windows and few rounds: does it run at all?
    #[arg(long)]
    pub quick: bool,
    /// How often everything is measured
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub rounds: Option<u32>,
    /// Write every value of every round to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exit with 1 unless every goal was measured and reached
    #[arg(long)]
    pub check: bool,
    /// Measure this dockway binary instead of the one that was just built
    #[arg(long, default_value = env!("CARGO_BIN_EXE_dockway"), value_name = "FILE")]
    pub binary: PathBuf,
    /// Passed by cargo to every benchmark; means nothing here
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl CommonOptions {
    /// Refuses an `--only` that names none of these subjects.
    pub fn verify(&self, names: &[&str]) -> Outcome<()> {
        match self.only.iter().find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(format!("--only: no subject is called '{name}' ({})", names.join(", ")).into()),
            None => Ok(()),
        }
    }

    /// Whether the subject of this name is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}
