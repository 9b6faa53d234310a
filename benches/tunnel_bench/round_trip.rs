//! The median time that one byte takes there and back, on one connection.

use super::Outcome;
use super::connection::{connect_echo, ping};
use super::results::median;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Runs `count` ping-pongs after a tenth as many that do not count.
pub fn measure(address: SocketAddr, count: usize) -> Outcome<Duration> {
    let mut stream = connect_echo(address)?;
    for _ in 0..count / 10 {
        ping(&mut stream)?;
    }
    let mut seconds = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        ping(&mut stream)?;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    Ok(Duration::from_secs_f64(median(seconds).ok_or("no ping-pong was asked for")?))
}
