//! The remote: one TCP server in this process, where every connection of every subject ends.
//!
//! The first byte of a connection tells its mode, so that a single port serves all measures. Threads accept and serve
//! in turn and are kept for the next connection, so that a connect does not pay for a new thread.

use crate::common::Outcome;
use crate::common::connection::{BLOCK_BYTES, FarEnd, POLL, read_some, write_some};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// First byte: the remote takes all bytes and counts them.
pub const SINK: u8 = b'k';
/// First byte: the remote sends as much as it can.
pub const SOURCE: u8 = b's';
/// First byte: the remote sends back what comes.
pub const ECHO: u8 = b'e';

/// Threads that wait in accept, at least and at most.
const SPARE_THREADS: std::ops::Range<usize> = 4..64;

/// Handle of the running remote.
pub struct Remote {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    listener: TcpListener,
    spare: AtomicUsize,
    far_end: FarEnd,
}

impl Remote {
    /// Listens on 127.0.0.1; port 0 takes a free one.
    pub fn start(port: u16) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| format!("the remote cannot listen on port {port}: {error}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { listener, spare: AtomicUsize::new(0), far_end: FarEnd::default() });
        for _ in 0..SPARE_THREADS.start {
            spawn_worker(&shared);
        }
        Ok(Self { address, shared })
    }

    /// Where the remote listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that sinks have taken since the start.
    pub fn received(&self) -> u64 {
        self.shared.far_end.received.load(Relaxed)
    }

    /// Ends all connections and waits until none is left, so that the next measure has the machine for itself.
    pub fn settle(&self) {
        self.shared.far_end.settle();
    }
}

fn spawn_worker(shared: &Arc<Shared>) {
    shared.spare.fetch_add(1, Relaxed);
    let shared = Arc::clone(shared);
    thread::spawn(move || work(&shared));
}

fn work(shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = shared.listener.accept() else {
            // Out of descriptors, most likely: another connection's end gives one back.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        shared.far_end.live.fetch_add(1, Relaxed);
        if shared.spare.fetch_sub(1, Relaxed) <= SPARE_THREADS.start {
            spawn_worker(shared);
        }
        // A connection that fails is the client's finding: it sees the same end.
        let _ = serve(shared, stream);
        shared.far_end.live.fetch_sub(1, Relaxed);
        if shared.spare.fetch_add(1, Relaxed) >= SPARE_THREADS.end {
            shared.spare.fetch_sub(1, Relaxed);
            return;
        }
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    let is_over = shared.far_end.end_of_measure();
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(POLL))?;
    let mut mode = [0];
    if read_some(&mut stream, &mut mode, &is_over)? == 0 {
        return Ok(());
    }
    match mode[0] {
        SINK => shared.far_end.sink(stream, &is_over),
        SOURCE => source(stream, &is_over),
        ECHO => echo(stream, &is_over),
        _ => Ok(()),
    }
}

fn source(mut stream: TcpStream, is_over: &impl Fn() -> bool) -> std::io::Result<()> {
    stream.set_write_timeout(Some(POLL))?;
    let block = vec![b'd'; BLOCK_BYTES];
    while !is_over() {
        write_some(&mut stream, &block)?;
    }
    Ok(())
}

fn echo(mut stream: TcpStream, is_over: &impl Fn() -> bool) -> std::io::Result<()> {
    let mut block = [0; 4096];
    loop {
        let length = read_some(&mut stream, &mut block, is_over)?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&block[..length])?;
    }
}
