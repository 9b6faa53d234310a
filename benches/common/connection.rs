//! What every connection of a benchmark does alike.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Size of one read or write of the throughput measures, in bytes.
pub const BLOCK_BYTES: usize = 256 * 1024;
/// How often a blocked read or write looks whether its measure is over.
pub const POLL: Duration = Duration::from_millis(200);
/// How long a connect or an echo may take before it counts as failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long what stands between may take to let go of the connections of a measure that is over.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// Time after that for the processes between to clear away their own ends.
const REST: Duration = Duration::from_millis(100);

/// Connects to a subject; reads and writes fail after [`PATIENCE`].
pub fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whether a read or write gave up only because its time was over.
pub fn is_timeout(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// The error of an echo that did not come in time.
pub fn no_answer() -> Error {
    Error::new(ErrorKind::TimedOut, "no answer came")
}

/// Free ports on 127.0.0.1, for programs that take no port 0. They are looked up and let go; the start fails if
/// another program takes one meanwhile.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = (0..count).map(listen).collect::<Result<Vec<_>>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Takes bytes and counts them as they arrive, until `is_over`.
pub fn receive(mut stream: TcpStream, is_over: impl Fn() -> bool, arrived: &AtomicU64) -> Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    while !is_over() {
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

/// What the far end of all connections keeps count of.
#[derive(Default)]
pub struct FarEnd {
    /// Bytes that sinks have taken since the start.
    pub received: AtomicU64,
    /// Connections that are being served.
    pub live: AtomicUsize,
    /// Raised when a measure is over; connections of an earlier one end.
    epoch: AtomicU64,
}

impl FarEnd {
    /// Tells whether the measure that runs now is over.
    pub fn end_of_measure(&self) -> impl Fn() -> bool {
        let epoch = self.epoch.load(Relaxed);
        move || self.epoch.load(Relaxed) != epoch
    }

    /// Ends all connections and waits until none is left, so that the next measure has the machine for itself.
    pub fn settle(&self) {
        self.epoch.fetch_add(1, Relaxed);
        let limit = Instant::now() + SETTLE_LIMIT;
        while self.live.load(Relaxed) > 0 && Instant::now() < limit {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(REST);
    }

    /// Takes bytes and counts them until the stream ends.
    pub fn sink(&self, mut stream: TcpStream, is_over: &impl Fn() -> bool) -> Result<()> {
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            match read_some(&mut stream, &mut block, is_over)? {
                0 => return Ok(()),
                length => self.received.fetch_add(length as u64, Relaxed),
            };
        }
    }
}

/// Reads what there is; 0 at the stream's end or when the measure is over.
pub fn read_some(stream: &mut TcpStream, block: &mut [u8], is_over: &impl Fn() -> bool) -> Result<usize> {
    while !is_over() {
        match stream.read(block) {
            Err(error) if is_timeout(&error) => {}
            other => return other,
        }
    }
    Ok(0)
}

/// Writes what fits; 0 when nothing did for the time that a write may take.
pub fn write_some(stream: &mut TcpStream, block: &[u8]) -> Result<usize> {
    match stream.write(block) {
        Err(error) if is_timeout(&error) => Ok(0),
        other => other,
    }
}
