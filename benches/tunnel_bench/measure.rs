//! What is measured: the rows of the table.

use crate::common::results::Row;

/// Which way the bytes of a throughput measure go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the remote.
    Up,
    /// From the remote to the client.
    Down,
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Measure {
    OneUp,
    OneDown,
    EightUp,
    EightDown,
    RoundTrip,
    Connects,
    CpuOneUp,
    CpuOneDown,
    CpuEightUp,
    CpuEightDown,
    IdleMemory,
    LongUp,
    LongDown,
    LongRoundTrip,
}

/// A throughput measure, and the rows that it fills.
pub struct Load {
    pub streams: usize,
    pub direction: Direction,
    pub throughput: Measure,
    pub cpu: Measure,
}

/// The throughput measures of a round.
pub const LOADS: [Load; 4] = [
    Load { streams: 1, direction: Direction::Up, throughput: Measure::OneUp, cpu: Measure::CpuOneUp },
    Load { streams: 1, direction: Direction::Down, throughput: Measure::OneDown, cpu: Measure::CpuOneDown },
    Load { streams: 8, direction: Direction::Up, throughput: Measure::EightUp, cpu: Measure::CpuEightUp },
    Load { streams: 8, direction: Direction::Down, throughput: Measure::EightDown, cpu: Measure::CpuEightDown },
];

impl Measure {
    /// All rows, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::OneUp,
        Self::OneDown,
        Self::EightUp,
        Self::EightDown,
        Self::RoundTrip,
        Self::Connects,
        Self::CpuOneUp,
        Self::CpuOneDown,
        Self::CpuEightUp,
        Self::CpuEightDown,
        Self::IdleMemory,
        Self::LongUp,
        Self::LongDown,
        Self::LongRoundTrip,
    ];
}

impl Row for Measure {
    fn label(self) -> &'static str {
        match self {
            Self::OneUp => "1 stream up",
            Self::OneDown => "1 stream down",
            Self::EightUp => "8 streams up",
            Self::EightDown => "8 streams down",
            Self::RoundTrip => "round trip, median",
            Self::Connects => "connects",
            Self::CpuOneUp => "CPU, 1 stream up",
            Self::CpuOneDown => "CPU, 1 stream down",
            Self::CpuEightUp => "CPU, 8 streams up",
            Self::CpuEightDown => "CPU, 8 streams down",
            Self::IdleMemory => "memory per idle connection",
            Self::LongUp => "long path, 1 stream up",
            Self::LongDown => "long path, 1 stream down",
            Self::LongRoundTrip => "long path, round trip",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::OneUp | Self::OneDown | Self::EightUp | Self::EightDown | Self::LongUp | Self::LongDown => "Gbit/s",
            Self::RoundTrip => "µs",
            Self::Connects => "1/s",
            Self::CpuOneUp | Self::CpuOneDown | Self::CpuEightUp | Self::CpuEightDown => "s/GiB",
            Self::IdleMemory => "KiB",
            Self::LongRoundTrip => "ms",
        }
    }
}
