//! A relay on loopback that makes the way long: every byte arrives a fixed time later than it was sent, and no more
//! bytes a second than the path carries.
//!
//! ```text
//! socket → reader: stamp each chunk with the time when it is due → queue → writer: wait until then, write → socket
//! ```
//! The queue is large, so that the delay and not the buffer sets the pace; when it is full the reader stops, and TCP
//! slows the sender down. An end of stream waits its turn like a chunk and is passed on as a half-close.

use crate::common::Outcome;
use crate::common::connection::BLOCK_BYTES;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What may be under way in one direction, in bytes: 25 ms at 20 Gbit/s.
const UNDER_WAY_BYTES: usize = 64 * 1024 * 1024;
/// Chunks up to this size are copied into a buffer of their own size; a larger one keeps the block it was read into.
const COPIED_BYTES: usize = 64 * 1024;
/// Blocks kept for the next large reads: as many as can be under way.
const SPARE_BLOCKS: usize = UNDER_WAY_BYTES / BLOCK_BYTES;

/// A path's length and width.
#[derive(Clone, Copy)]
pub struct Path {
    /// What is added to each way.
    pub delay: Duration,
    /// Bits per second in each direction; None for as many as the machine moves.
    pub bits_per_second: Option<f64>,
}

impl Path {
    /// How long the path is busy with so many bytes.
    fn time_for(&self, bytes: usize) -> Duration {
        self.bits_per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 * 8.0 / rate))
    }
}

/// Starts a relay to `target` over `path`; it serves until the benchmark ends.
pub fn start(target: SocketAddr, path: Path) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A target that refuses closes the connection that came in, which is all its peer could learn.
            let _ = relay(stream, target, path);
        }
    });
    Ok(address)
}

fn relay(near: TcpStream, target: SocketAddr, path: Path) -> std::io::Result<()> {
    let far = TcpStream::connect(target)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    start_direction(near.try_clone()?, far.try_clone()?, path);
    start_direction(far, near, path);
    Ok(())
}

fn start_direction(from: TcpStream, to: TcpStream, path: Path) {
    let queue = Arc::new(Queue::default());
    let filled = Arc::clone(&queue);
    thread::spawn(move || fill(from, &filled, path));
    thread::spawn(move || drain(to, &queue));
}

fn fill(mut from: TcpStream, queue: &Queue, path: Path) {
    let mut block = queue.spare_block();
    let mut busy_until = Instant::now();
    loop {
        let length = match from.read(&mut block) {
            Ok(length) => Ok(length),
            Err(_) => Err(Content::Broken),
        };
        busy_until = busy_until.max(Instant::now());
        let length = match length {
            Ok(0) => return queue.push(Chunk { due: busy_until + path.delay, content: Content::End }),
            Ok(length) => length,
            Err(broken) => return queue.push(Chunk { due: busy_until + path.delay, content: broken }),
        };
        busy_until += path.time_for(length);
        let due = busy_until + path.delay;
        let content = if length <= COPIED_BYTES {
            Content::Copied(block[..length].to_vec())
        } else {
            Content::Block(std::mem::replace(&mut block, queue.spare_block()), length)
        };
        queue.push(Chunk { due, content });
        if !queue.wait_for_room() {
            let _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn drain(mut to: TcpStream, queue: &Queue) {
    loop {
        let chunk = queue.pop();
        thread::sleep(chunk.due.saturating_duration_since(Instant::now()));
        let written = match &chunk.content {
            Content::Copied(bytes) => to.write_all(bytes),
            Content::Block(block, length) => to.write_all(&block[..*length]),
            // The peer may be gone already: there is nobody left to tell.
            Content::End => return to.shutdown(Shutdown::Write).unwrap_or_default(),
            Content::Broken => return to.shutdown(Shutdown::Both).unwrap_or_default(),
        };
        queue.release(chunk);
        if written.is_err() {
            let _ = to.shutdown(Shutdown::Both);
            return queue.close();
        }
    }
}

struct Chunk {
    due: Instant,
    content: Content,
}

enum Content {
    Copied(Vec<u8>),
    Block(Vec<u8>, usize),
    End,
    Broken,
}

impl Content {
    fn length(&self) -> usize {
        match self {
            Self::Copied(bytes) => bytes.len(),
            Self::Block(_, length) => *length,
            Self::End | Self::Broken => 0,
        }
    }
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    spare: Vec<Vec<u8>>,
    under_way: usize,
    is_closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, chunk: Chunk) {
        let mut state = self.lock();
        state.under_way += chunk.content.length();
        state.chunks.push_back(chunk);
        self.changed.notify_all();
    }

    fn pop(&self) -> Chunk {
        let mut state = self.lock();
        loop {
            match state.chunks.pop_front() {
                Some(chunk) => return chunk,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Gives back the room of a chunk that has been written.
    fn release(&self, chunk: Chunk) {
        let mut state = self.lock();
        state.under_way -= chunk.content.length();
        if let Content::Block(block, _) = chunk.content
            && state.spare.len() < SPARE_BLOCKS
        {
            state.spare.push(block);
        }
        self.changed.notify_all();
    }

    /// Waits until a further block may be read; false when the other side takes nothing any more.
    fn wait_for_room(&self) -> bool {
        let state = self.lock();
        let is_full = |state: &mut State| state.under_way > UNDER_WAY_BYTES - BLOCK_BYTES && !state.is_closed;
        let state = self.changed.wait_while(state, is_full).unwrap_or_else(PoisonError::into_inner);
        !state.is_closed
    }

    fn spare_block(&self) -> Vec<u8> {
        self.lock().spare.pop().unwrap_or_else(|| vec![0; BLOCK_BYTES])
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }
}
