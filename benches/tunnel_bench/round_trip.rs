//! The median time that one byte takes there and back.

use super::connection::{connect_echo, ping};
use crate::common::Outcome;
use crate::common::results::median;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Runs `count` ping-pongs on one connection, after a tenth as many that do not count. Returns their seconds.
pub fn ping_pongs(address: SocketAddr, count: usize) -> Outcome<Vec<f64>> {
    let mut stream = connect_echo(address)?;
    for _ in 0..count.div_ceil(10) {
        ping(&mut stream)?;
    }
    let mut seconds = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        ping(&mut stream)?;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

/// The median of `count` ping-pongs on one connection.
pub fn measure(address: SocketAddr, count: usize) -> Outcome<Duration> {
    let median = median(ping_pongs(address, count)?).ok_or("no ping-pong was asked for")?;
    Ok(Duration::from_secs_f64(median))
}
