//! The median time that one byte takes there and back, over several connections.
//!
//! Each connection is a new chance for the system to place the processes on the processors: two that share one wake
//! each other several times faster than two that do not, and on one connection the placement stays as it fell.

use super::Outcome;
use super::connection::{connect_echo, ping};
use super::results::median;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The connections of one measurement, one after the other.
const CONNECTIONS: usize = 20;

/// Runs about `count` ping-pongs; on each connection a tenth as many go before that do not count.
pub fn measure(address: SocketAddr, count: usize) -> Outcome<Duration> {
    let each = count.div_ceil(CONNECTIONS);
    let mut seconds = Vec::with_capacity(each * CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut stream = connect_echo(address)?;
        for _ in 0..each.div_ceil(10) {
            ping(&mut stream)?;
        }
        for _ in 0..each {
            let begin = Instant::now();
            ping(&mut stream)?;
            seconds.push(begin.elapsed().as_secs_f64());
        }
    }
    Ok(Duration::from_secs_f64(median(seconds).ok_or("no ping-pong was asked for")?))
}
