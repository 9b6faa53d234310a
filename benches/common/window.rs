//! A stretch of time in which something is counted, and the CPU time that the processes between spend meanwhile.

use super::Outcome;
use super::process_tree::ProcessTree;
use std::thread;
use std::time::{Duration, Instant};

const BITS_PER_GIGABIT: f64 = 1e9;
const BYTES_PER_GIBIBYTE: f64 = (1024 * 1024 * 1024) as f64;
const MICROSECONDS_PER_SECOND: f64 = 1e6;

/// When to count.
pub struct Window<'a> {
    /// Time that does not count.
    pub warm_up: Duration,
    /// Time that counts, after the warm-up.
    pub window: Duration,
    pub processes: Option<&'a ProcessTree>,
}

/// What was counted.
pub struct Counted {
    amount: u64,
    seconds: f64,
    cpu_seconds: Option<f64>,
}

/// One look at the counters.
pub struct Sample {
    at: Instant,
    amount: u64,
    cpu_seconds: Option<f64>,
}

impl Window<'_> {
    /// Sleeps through the window and tells how much was added to the counter in it.
    pub fn watch(&self, counter: &impl Fn() -> u64) -> Outcome<Counted> {
        thread::sleep(self.warm_up);
        let begin = Sample::take(counter(), self.processes);
        thread::sleep(self.window);
        begin.until(&Sample::take(counter(), self.processes))
    }
}

impl Sample {
    /// Looks at the clocks; `amount` is what a counter shows now.
    pub fn take(amount: u64, processes: Option<&ProcessTree>) -> Self {
        let cpu_seconds = processes.map(ProcessTree::cpu_seconds);
        Self { at: Instant::now(), amount, cpu_seconds }
    }

    /// What was counted between this and a later look.
    pub fn until(&self, end: &Self) -> Outcome<Counted> {
        let amount = end.amount - self.amount;
        if amount == 0 {
            return Err("nothing arrived".into());
        }
        let cpu_seconds = end.cpu_seconds.zip(self.cpu_seconds).map(|(end, begin)| end - begin);
        Ok(Counted { amount, seconds: (end.at - self.at).as_secs_f64(), cpu_seconds })
    }
}

impl Counted {
    /// For a count of bytes.
    pub fn gigabits_per_second(&self) -> f64 {
        self.per_second() * 8.0 / BITS_PER_GIGABIT
    }

    /// For a count of bytes.
    pub fn cpu_seconds_per_gibibyte(&self) -> Option<f64> {
        self.cpu_seconds.map(|spent| spent / (self.amount as f64 / BYTES_PER_GIBIBYTE))
    }

    pub fn per_second(&self) -> f64 {
        self.amount as f64 / self.seconds
    }

    pub fn cpu_microseconds_each(&self) -> Option<f64> {
        self.cpu_seconds.map(|spent| spent * MICROSECONDS_PER_SECOND / self.amount as f64)
    }
}
