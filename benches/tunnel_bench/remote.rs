//! The remote: one TCP server in this process, where every connection of every subject ends.
//!
//! The first byte of a connection tells its mode, so that a single port serves all measures. Threads accept and serve
//! in turn and are kept for the next connection, so that a connect does not pay for a new thread.

use super::Outcome;
use super::connection::{BLOCK_BYTES, POLL, is_timeout};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// First byte: the remote takes all bytes and counts them.
pub const SINK: u8 = b'k';
/// First byte: the remote sends as much as it can.
pub const SOURCE: u8 = b's';
/// First byte: the remote sends back what comes.
pub const ECHO: u8 = b'e';

/// Threads that wait in accept, at least and at most.
const SPARE_THREADS: std::ops::Range<usize> = 4..64;
/// How long a tunnel may take to let go of the connections of a measure that is over.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// Time after that for the processes between to clear away their own ends.
const REST: Duration = Duration::from_millis(100);

/// Handle of the running remote.
pub struct Remote {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    listener: TcpListener,
    received: AtomicU64,
    live: AtomicUsize,
    spare: AtomicUsize,
    /// Raised when a measure is over; connections of an earlier one end.
    epoch: AtomicU64,
}

impl Remote {
    /// Listens on 127.0.0.1; port 0 takes a free one.
    pub fn start(port: u16) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| format!("the remote cannot listen on port {port}: {error}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            listener,
            received: AtomicU64::new(0),
            live: AtomicUsize::new(0),
            spare: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
        });
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
        self.shared.received.load(Relaxed)
    }

    /// Ends all connections and waits until none is left, so that the next measure has the machine for itself.
    pub fn settle(&self) {
        self.shared.epoch.fetch_add(1, Relaxed);
        let limit = Instant::now() + SETTLE_LIMIT;
        while self.shared.live.load(Relaxed) > 0 && Instant::now() < limit {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(REST);
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
        shared.live.fetch_add(1, Relaxed);
        if shared.spare.fetch_sub(1, Relaxed) <= SPARE_THREADS.start {
            spawn_worker(shared);
        }
        // A connection that fails is the client's finding: it sees the same end.
        let _ = serve(shared, stream);
        shared.live.fetch_sub(1, Relaxed);
        if shared.spare.fetch_add(1, Relaxed) >= SPARE_THREADS.end {
            shared.spare.fetch_sub(1, Relaxed);
            return;
        }
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    let epoch = shared.epoch.load(Relaxed);
    let is_over = || shared.epoch.load(Relaxed) != epoch;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(POLL))?;
    let mut mode = [0];
    if read_some(&mut stream, &mut mode, &is_over)? == 0 {
        return Ok(());
    }
    match mode[0] {
        SINK => sink(shared, stream, &is_over),
        SOURCE => source(stream, &is_over),
        ECHO => echo(stream, &is_over),
        _ => Ok(()),
    }
}

fn sink(shared: &Shared, mut stream: TcpStream, is_over: &impl Fn() -> bool) -> std::io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match read_some(&mut stream, &mut block, is_over)? {
            0 => return Ok(()),
            length => shared.received.fetch_add(length as u64, Relaxed),
        };
    }
}

fn source(mut stream: TcpStream, is_over: &impl Fn() -> bool) -> std::io::Result<()> {
    stream.set_write_timeout(Some(POLL))?;
    let block = vec![b'd'; BLOCK_BYTES];
    while !is_over() {
        match stream.write(&block) {
            Err(error) if !is_timeout(&error) => return Err(error),
            _ => {}
        }
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

/// Reads what there is; 0 at the stream's end or when the measure is over.
fn read_some(stream: &mut TcpStream, block: &mut [u8], is_over: &impl Fn() -> bool) -> std::io::Result<usize> {
    while !is_over() {
        match stream.read(block) {
            Err(error) if is_timeout(&error) => {}
            other => return other,
        }
    }
    Ok(0)
}
