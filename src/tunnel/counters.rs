//! Live counters of a tunnel and of its connections: written where the bytes pass, read by whoever asks.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::link::leg::Progress;

/// Bytes and their rates. `in` is what users sent.
#[derive(Debug, Default)]
pub struct Traffic {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    rate_in: AtomicU64,
    rate_out: AtomicU64,
    sampled_in: AtomicU64,
    sampled_out: AtomicU64,
}

impl Traffic {
    pub fn starting_at(bytes_in: u64, bytes_out: u64) -> Self {
        let traffic = Self::default();
        for (counter, value) in [
            (&traffic.bytes_in, bytes_in),
            (&traffic.bytes_out, bytes_out),
            (&traffic.sampled_in, bytes_in),
            (&traffic.sampled_out, bytes_out),
        ] {
            counter.store(value, Ordering::Relaxed);
        }
        traffic
    }

    pub fn add(&self, progress: Progress) {
        self.bytes_in.fetch_add(progress.read, Ordering::Relaxed);
        self.bytes_out.fetch_add(progress.written, Ordering::Relaxed);
    }

    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed))
    }

    /// Bytes per second, in and out, at the last sample.
    pub fn rates(&self) -> (u64, u64) {
        (self.rate_in.load(Ordering::Relaxed), self.rate_out.load(Ordering::Relaxed))
    }

    /// Compute the rates anew; `elapsed` has passed since the last time.
    pub fn sample(&self, elapsed: Duration) {
        let rate = |bytes: &AtomicU64, sampled: &AtomicU64| {
            let now = bytes.load(Ordering::Relaxed);
            let before = sampled.swap(now, Ordering::Relaxed);
            (now.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(0.001)) as u64
        };
        self.rate_in.store(rate(&self.bytes_in, &self.sampled_in), Ordering::Relaxed);
        self.rate_out.store(rate(&self.bytes_out, &self.sampled_out), Ordering::Relaxed);
    }
}

/// What a tunnel counts; it outlives the actors that count.
#[derive(Debug, Default)]
pub struct TunnelCounters {
    pub traffic: Traffic,
    pub connections: AtomicU64,
    pub connections_total: AtomicU64,
    pub dial_errors: AtomicU64,
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectionState {
    /// For the agent.
    Waiting,
    /// The agent connects to the target.
    Connecting,
    Open,
    HalfClosed,
}

impl ConnectionState {
    /// The word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::HalfClosed => "half_closed",
        }
    }
}

/// What one connection counts.
#[derive(Debug, Default)]
pub struct ChannelCounters {
    pub traffic: Traffic,
    state: AtomicU8,
}

impl ChannelCounters {
    pub fn set_state(&self, state: ConnectionState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    pub fn state(&self) -> ConnectionState {
        match self.state.load(Ordering::Relaxed) {
            0 => ConnectionState::Waiting,
            1 => ConnectionState::Connecting,
            2 => ConnectionState::Open,
            _ => ConnectionState::HalfClosed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_what_came_since_the_last_sample() {
        let traffic = Traffic::starting_at(1_000_000, 5);
        traffic.add(Progress { read: 300, written: 1000 });
        traffic.sample(Duration::from_secs(2));
        assert_eq!((traffic.bytes(), traffic.rates()), ((1_000_300, 1005), (150, 500)));
        traffic.sample(Duration::from_secs(1));
        assert_eq!(traffic.rates(), (0, 0));
    }
}
