//! Connects per second: connect, one byte echoed, close.

use super::remote::ECHO;
use crate::common::Outcome;
use crate::common::connection::PATIENCE;
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Threads that connect at the same time.
const THREADS: usize = 8;
/// Failures after which a thread gives up.
const FAILURE_LIMIT: usize = 20;

/// What the window showed.
pub struct Connects {
    pub per_second: f64,
    pub failures: usize,
    pub first_failure: Option<String>,
}

/// What one thread did.
#[derive(Default)]
struct Tally {
    successes: usize,
    failures: usize,
    first_failure: Option<std::io::Error>,
}

/// Connects from several threads for the length of the window.
pub fn measure(address: SocketAddr, window: Duration) -> Outcome<Connects> {
    let begin = Instant::now();
    let deadline = begin + window;
    let tallies = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| connect_until(address, deadline))).collect();
        workers.into_iter().map(thread::ScopedJoinHandle::join).collect::<Result<Vec<Tally>, _>>()
    });
    let tallies = tallies.map_err(|_| "a connecting thread panicked")?;
    let seconds = begin.elapsed().as_secs_f64();
    let successes: usize = tallies.iter().map(|tally| tally.successes).sum();
    let failures = tallies.iter().map(|tally| tally.failures).sum();
    let first_failure = tallies.into_iter().find_map(|tally| tally.first_failure).map(|error| error.to_string());
    if successes == 0 {
        return Err(first_failure.unwrap_or_else(|| "no connection was made in time".to_owned()).into());
    }
    Ok(Connects { per_second: successes as f64 / seconds, failures, first_failure })
}

fn connect_until(address: SocketAddr, deadline: Instant) -> Tally {
    let mut tally = Tally::default();
    while Instant::now() < deadline && tally.failures < FAILURE_LIMIT {
        match connect_once(address) {
            Ok(()) => tally.successes += 1,
            Err(error) => {
                tally.failures += 1;
                tally.first_failure.get_or_insert(error);
            }
        }
    }
    tally
}

fn connect_once(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // The close becomes a reset: otherwise each connection would hold a local port for a minute, and they would run out.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.write_all(&[ECHO, b'c'])?;
    stream.read_exact(&mut [0])
}
