//! The command line, and the durations that follow from it.

use crate::common::Outcome;
use crate::common::options::CommonOptions;
use clap::Parser;
use std::str::FromStr;
use std::time::Duration;

/// The subjects that the benchmark knows by itself.
pub const OWN_SUBJECTS: [&str; 3] = ["direct", "socat", "dockway"];

/// Measures Dockway's tunnels beside a direct connection, two hops of socat, and other tunnels.
#[derive(Parser)]
#[command(name = "tunnel")]
pub struct Options {
    /// Measure these parts only: memory, round-trip, load (throughput, CPU, connects), long (the long path)
    #[arg(long, value_delimiter = ',', value_name = "PART,…")]
    pub part: Vec<Part>,
    /// A tunnel that is already running: its port on 127.0.0.1; needs --remote-port
    #[arg(long, value_name = "NAME=PORT")]
    pub other: Vec<Other>,
    /// The port on 127.0.0.1 where the benchmark's remote listens, to point other tunnels at; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub remote_port: u16,
    /// What the long path carries each way, in Gbit/s; 0 for as much as the machine moves
    #[arg(long, default_value_t = 5.0, value_name = "GBIT")]
    pub path_gbit: f64,
    #[command(flatten)]
    pub common: CommonOptions,
}

impl Options {
    /// Refuses combinations that could only end in a misleading table.
    pub fn verify(&self) -> Outcome<()> {
        if !self.other.is_empty() && self.remote_port == 0 {
            return Err("--other needs --remote-port, the port that the other tunnel leads to".into());
        }
        let mut names: Vec<&str> = OWN_SUBJECTS.to_vec();
        for other in &self.other {
            if names.contains(&other.name.as_str()) {
                return Err(format!("two subjects are called '{}'", other.name).into());
            }
            names.push(&other.name);
        }
        self.common.verify(&names)
    }

    /// Whether this part is to be measured.
    pub fn includes(&self, part: Part) -> bool {
        self.part.is_empty() || self.part.contains(&part)
    }
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    Memory,
    RoundTrip,
    Load,
    Long,
}

/// Another tunnel, as `NAME=PORT`.
#[derive(Clone)]
pub struct Other {
    pub name: String,
    pub port: u16,
}

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("'{text}' is not NAME=PORT");
        let (name, port) = text.split_once('=').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        if name.is_empty() { Err(wrong()) } else { Ok(Self { name: name.to_owned(), port }) }
    }
}

/// How long and how often things are measured.
pub struct Pace {
    pub rounds: u32,
    /// Time before a throughput window: buffers and windows grow.
    pub warm_up: Duration,
    /// The timed window of throughput and of connects.
    pub window: Duration,
    /// Timed ping-pongs of one byte.
    pub ping_pongs: usize,
    /// Connections held open for the measure of memory.
    pub idle_connections: usize,
    /// How long one transfer over the long path runs; its last half counts.
    pub long_transfer: Duration,
    pub long_rounds: u32,
}

impl Pace {
    /// The pace that the options ask for.
    pub fn of(options: &Options) -> Self {
        let pace = if options.common.quick { Self::quick() } else { Self::full() };
        let rounds = options.common.rounds.unwrap_or(pace.rounds);
        Self { rounds, long_rounds: pace.long_rounds.min(rounds), ..pace }
    }

    fn full() -> Self {
        Self {
            rounds: 5,
            warm_up: Duration::from_millis(300),
            window: Duration::from_secs(2),
            ping_pongs: 4_000,
            idle_connections: 1_000,
            long_transfer: Duration::from_secs(6),
            long_rounds: 3,
        }
    }

    fn quick() -> Self {
        Self {
            rounds: 3,
            warm_up: Duration::from_millis(150),
            window: Duration::from_millis(500),
            ping_pongs: 1_000,
            idle_connections: 200,
            long_transfer: Duration::from_secs(5),
            long_rounds: 1,
        }
    }
}
