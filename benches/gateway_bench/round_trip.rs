//! The time that one WebSocket message of one byte takes there and back.

use super::http::Client;
use super::websocket::{self, ECHO, ping};
use crate::common::Outcome;
use std::time::Instant;

/// Runs `count` ping-pongs on one WebSocket, after a tenth as many that do not count. Returns their seconds.
pub fn ping_pongs(client: &Client, count: usize) -> Outcome<Vec<f64>> {
    let mut stream = websocket::open(client, ECHO)?;
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
