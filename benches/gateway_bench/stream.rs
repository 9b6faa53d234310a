//! Bytes per second through one WebSocket, counted where they arrive.

use super::http::Client;
use super::websocket::{self, SINK, SOURCE, frames};
use crate::common::Outcome;
use crate::common::connection::{BLOCK_BYTES, FarEnd, POLL, receive};
use crate::common::window::{Counted, Window};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

/// From the client to the upstream.
pub fn up(client: &Client, far_end: &FarEnd, window: &Window) -> Outcome<Counted> {
    let outcome = open(client, SINK).and_then(|stream| {
        let is_over = AtomicBool::new(false);
        let block = frames(BLOCK_BYTES, true);
        thread::scope(|scope| {
            let sender = scope.spawn(|| websocket::send(stream, &block, || is_over.load(Relaxed)));
            let counted = window.watch(&|| far_end.received.load(Relaxed));
            is_over.store(true, Relaxed);
            sender.join().map_err(|_| "the stream's thread panicked")??;
            counted
        })
    });
    far_end.settle();
    outcome
}

/// From the upstream to the client.
pub fn down(client: &Client, far_end: &FarEnd, window: &Window) -> Outcome<Counted> {
    let outcome = open(client, SOURCE).and_then(|stream| {
        let (is_over, arrived) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(stream, || is_over.load(Relaxed), &arrived));
            let counted = window.watch(&|| arrived.load(Relaxed));
            is_over.store(true, Relaxed);
            receiver.join().map_err(|_| "the stream's thread panicked")??;
            counted
        })
    });
    far_end.settle();
    outcome
}

fn open(client: &Client, mode: &str) -> Outcome<TcpStream> {
    let stream = websocket::open(client, mode)?;
    stream.set_read_timeout(Some(POLL))?;
    stream.set_write_timeout(Some(POLL))?;
    Ok(stream)
}
