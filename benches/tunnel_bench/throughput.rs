//! Bytes per second through one subject, counted where they arrive, and the CPU time that its processes spend on them.

use super::Outcome;
use super::connection::{BLOCK_BYTES, POLL, connect, is_timeout};
use super::measure::Direction;
use super::process_tree::ProcessTree;
use super::remote::{Remote, SINK, SOURCE};
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const BITS_PER_GIGABIT: f64 = 1e9;
const BYTES_PER_GIBIBYTE: f64 = (1024 * 1024 * 1024) as f64;

/// A transfer to be timed.
pub struct Transfer<'a> {
    pub address: SocketAddr,
    pub streams: usize,
    pub direction: Direction,
    /// Time that does not count.
    pub warm_up: Duration,
    /// Time that counts, after the warm-up.
    pub window: Duration,
    pub processes: Option<&'a ProcessTree>,
}

/// What the window showed.
pub struct Throughput {
    pub gigabits_per_second: f64,
    pub cpu_seconds_per_gibibyte: Option<f64>,
}

/// One look at the counters.
struct Sample {
    at: Instant,
    bytes: u64,
    cpu_seconds: Option<f64>,
}

impl Transfer<'_> {
    /// Runs the transfer, and lets all its connections end.
    pub fn run(&self, remote: &Remote) -> Outcome<Throughput> {
        let outcome = self.connect_all().map_err(Into::into).and_then(|streams| self.time(streams, remote));
        remote.settle();
        outcome
    }

    fn connect_all(&self) -> std::io::Result<Vec<TcpStream>> {
        let mode = match self.direction {
            Direction::Up => SINK,
            Direction::Down => SOURCE,
        };
        let connect_one = |_| {
            let stream = connect(self.address, mode)?;
            stream.set_read_timeout(Some(POLL))?;
            stream.set_write_timeout(Some(POLL))?;
            Ok(stream)
        };
        (0..self.streams).map(connect_one).collect()
    }

    fn time(&self, streams: Vec<TcpStream>, remote: &Remote) -> Outcome<Throughput> {
        let is_over = AtomicBool::new(false);
        let arrived_here = AtomicU64::new(0);
        let arrived = || match self.direction {
            Direction::Up => remote.received(),
            Direction::Down => arrived_here.load(Relaxed),
        };
        thread::scope(|scope| {
            let start = |stream| match self.direction {
                Direction::Up => scope.spawn(|| send(stream, &is_over)),
                Direction::Down => scope.spawn(|| receive(stream, &is_over, &arrived_here)),
            };
            let workers: Vec<_> = streams.into_iter().map(start).collect();
            thread::sleep(self.warm_up);
            let begin = self.sample(&arrived);
            thread::sleep(self.window);
            let end = self.sample(&arrived);
            is_over.store(true, Relaxed);
            for worker in workers {
                worker.join().map_err(|_| "a stream's thread panicked")??;
            }
            compare(&begin, &end)
        })
    }

    fn sample(&self, arrived: &impl Fn() -> u64) -> Sample {
        let cpu_seconds = self.processes.map(ProcessTree::cpu_seconds);
        Sample { at: Instant::now(), bytes: arrived(), cpu_seconds }
    }
}

fn compare(begin: &Sample, end: &Sample) -> Outcome<Throughput> {
    let bytes = (end.bytes - begin.bytes) as f64;
    if bytes == 0.0 {
        return Err("no byte arrived".into());
    }
    let seconds = (end.at - begin.at).as_secs_f64();
    let cpu_seconds = end.cpu_seconds.zip(begin.cpu_seconds).map(|(end, begin)| end - begin);
    Ok(Throughput {
        gigabits_per_second: bytes * 8.0 / BITS_PER_GIGABIT / seconds,
        cpu_seconds_per_gibibyte: cpu_seconds.map(|spent| spent / (bytes / BYTES_PER_GIBIBYTE)),
    })
}

fn send(mut stream: TcpStream, is_over: &AtomicBool) -> std::io::Result<()> {
    let block = vec![b'u'; BLOCK_BYTES];
    while !is_over.load(Relaxed) {
        match stream.write(&block) {
            Err(error) if !is_timeout(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn receive(mut stream: TcpStream, is_over: &AtomicBool, arrived: &AtomicU64) -> std::io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    while !is_over.load(Relaxed) {
        match stream.read(&mut block) {
            Ok(0) => return Err(Error::new(ErrorKind::UnexpectedEof, "a stream ended in the middle")),
            Ok(length) => {
                arrived.fetch_add(length as u64, Relaxed);
            }
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
