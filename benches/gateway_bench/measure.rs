//! What is measured: the rows of the table.

use crate::common::results::Row;

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Measure {
    Requests,
    TlsRequests,
    Download,
    Upload,
    StreamUp,
    StreamDown,
    RoundTrip,
    CpuRequests,
    CpuTlsRequests,
    CpuDownload,
    CpuUpload,
    CpuStreamUp,
    CpuStreamDown,
    Memory,
    MemoryEach,
}

impl Measure {
    /// All rows, in the order of the table.
    pub const ALL: [Self; 15] = [
        Self::Requests,
        Self::TlsRequests,
        Self::Download,
        Self::Upload,
        Self::StreamUp,
        Self::StreamDown,
        Self::RoundTrip,
        Self::CpuRequests,
        Self::CpuTlsRequests,
        Self::CpuDownload,
        Self::CpuUpload,
        Self::CpuStreamUp,
        Self::CpuStreamDown,
        Self::Memory,
        Self::MemoryEach,
    ];
}

impl Row for Measure {
    fn label(self) -> &'static str {
        match self {
            Self::Requests => "small requests",
            Self::TlsRequests => "small requests, TLS upstream",
            Self::Download => "large download",
            Self::Upload => "large upload",
            Self::StreamUp => "WebSocket stream up",
            Self::StreamDown => "WebSocket stream down",
            Self::RoundTrip => "WebSocket round trip, median",
            Self::CpuRequests => "CPU, small requests",
            Self::CpuTlsRequests => "CPU, small requests, TLS upstream",
            Self::CpuDownload => "CPU, download",
            Self::CpuUpload => "CPU, upload",
            Self::CpuStreamUp => "CPU, WebSocket stream up",
            Self::CpuStreamDown => "CPU, WebSocket stream down",
            Self::Memory => "memory with all WebSockets open",
            Self::MemoryEach => "memory per open WebSocket",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Requests | Self::TlsRequests => "1/s",
            Self::Download | Self::Upload | Self::StreamUp | Self::StreamDown => "Gbit/s",
            Self::RoundTrip | Self::CpuRequests | Self::CpuTlsRequests => "µs",
            Self::CpuDownload | Self::CpuUpload | Self::CpuStreamUp | Self::CpuStreamDown => "s/GiB",
            Self::Memory => "MiB",
            Self::MemoryEach => "KiB",
        }
    }
}
