//! The command line, and the durations that follow from it.

use crate::common::Outcome;
use crate::common::options::CommonOptions;
use clap::Parser;
use std::time::Duration;

/// The subjects that the benchmark knows.
const SUBJECTS: [&str; 4] = ["direct", "nginx", "haproxy", "dockway"];

/// Measures Dockway's gateway beside a direct connection, nginx and haproxy.
#[derive(Parser)]
#[command(name = "gateway")]
pub struct Options {
    /// Measure these parts only: memory, round-trip, requests (small ones), tls (small ones to the upstream with TLS), load (download, upload,
    /// WebSocket stream)
    #[arg(long, value_delimiter = ',', value_name = "PART,…")]
    pub part: Vec<Part>,
    #[command(flatten)]
    pub common: CommonOptions,
}

impl Options {
    /// Refuses what could only end in a misleading table.
    pub fn verify(&self) -> Outcome<()> {
        self.common.verify(&SUBJECTS)
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
    Requests,
    Tls,
    Load,
}

/// How long and how often things are measured.
pub struct Pace {
    pub rounds: u32,
    /// Time before a window: connections are made, buffers grow.
    pub warm_up: Duration,
    /// The timed window of requests and of WebSocket streams.
    pub window: Duration,
    /// Timed ping-pongs of one WebSocket message.
    pub ping_pongs: usize,
    /// WebSockets held open for the measure of memory.
    pub idle_websockets: usize,
    /// Bytes of the large download and upload.
    pub large_bytes: u64,
}

impl Pace {
    /// The pace that the options ask for.
    pub fn of(options: &Options) -> Self {
        let pace = if options.common.quick { Self::quick() } else { Self::full() };
        Self { rounds: options.common.rounds.unwrap_or(pace.rounds), ..pace }
    }

    fn full() -> Self {
        Self {
            rounds: 5,
            warm_up: Duration::from_millis(300),
            window: Duration::from_secs(2),
            ping_pongs: 4_000,
            idle_websockets: 1_000,
            large_bytes: 1 << 30,
        }
    }

    fn quick() -> Self {
        Self {
            rounds: 3,
            warm_up: Duration::from_millis(150),
            window: Duration::from_millis(500),
            ping_pongs: 1_000,
            idle_websockets: 200,
            large_bytes: 1 << 28,
        }
    }
}
