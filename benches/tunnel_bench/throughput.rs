//! Bytes per second through one subject, counted where they arrive, and the CPU time that its processes spend on them.

use super::connection::connect;
use super::measure::Direction;
use super::remote::{Remote, SINK, SOURCE};
use crate::common::Outcome;
use crate::common::connection::{BLOCK_BYTES, POLL, receive, write_some};
use crate::common::window::{Counted, Window};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

/// A transfer to be timed.
pub struct Transfer<'a> {
    pub address: SocketAddr,
    pub streams: usize,
    pub direction: Direction,
    pub window: Window<'a>,
}

impl Transfer<'_> {
    /// Runs the transfer, and lets all its connections end.
    pub fn run(&self, remote: &Remote) -> Outcome<Counted> {
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

    fn time(&self, streams: Vec<TcpStream>, remote: &Remote) -> Outcome<Counted> {
        let is_over = AtomicBool::new(false);
        let arrived_here = AtomicU64::new(0);
        let arrived = || match self.direction {
            Direction::Up => remote.received(),
            Direction::Down => arrived_here.load(Relaxed),
        };
        thread::scope(|scope| {
            let start = |stream| match self.direction {
                Direction::Up => scope.spawn(|| send(stream, &is_over)),
                Direction::Down => scope.spawn(|| receive(stream, || is_over.load(Relaxed), &arrived_here)),
            };
            let workers: Vec<_> = streams.into_iter().map(start).collect();
            let counted = self.window.watch(&arrived);
            is_over.store(true, Relaxed);
            for worker in workers {
                worker.join().map_err(|_| "a stream's thread panicked")??;
            }
            counted
        })
    }
}

fn send(mut stream: TcpStream, is_over: &AtomicBool) -> std::io::Result<()> {
    let block = vec![b'u'; BLOCK_BYTES];
    while !is_over.load(Relaxed) {
        write_some(&mut stream, &block)?;
    }
    Ok(())
}
