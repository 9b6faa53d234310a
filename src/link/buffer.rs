//! Read buffers: small ones for a little, recycled large ones for a lot, and none at all for an idle socket.
//!
//! Payloads are slices of the buffer that they were read into; its memory comes back to the thread's pool when the
//! last slice is gone.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A socket's first read, and those of a quiet one.
pub const SMALL: usize = 16 * 1024;
/// Reads of a busy socket. Larger ones were no faster, and leave the processor's cache.
const LARGE: usize = 512 * 1024;
/// Buffers that a thread keeps for their memory to come back.
const POOLED: usize = 16;
/// How many of them are tried before a new one is made.
const TRIES: usize = 4;

thread_local! {
    /// Buffers whose slices may still be under way, the oldest first.
    static POOL: RefCell<VecDeque<BytesMut>> = const { RefCell::new(VecDeque::new()) };
}

/// An empty large buffer.
fn take_large() -> BytesMut {
    let recycled = POOL.with_borrow_mut(|pool| {
        for _ in 0..TRIES.min(pool.len()) {
            let mut buffer = pool.pop_front()?;
            if buffer.try_reclaim(LARGE) {
                return Some(buffer);
            }
            pool.push_back(buffer);
        }
        None
    });
    recycled.unwrap_or_else(|| BytesMut::with_capacity(LARGE))
}

/// Give an empty large buffer back, while slices of it may still be under way.
fn give_large(buffer: BytesMut) {
    POOL.with_borrow_mut(|pool| {
        if pool.len() < POOLED {
            pool.push_back(buffer);
        }
    });
}

/// Where a socket's bytes are read to. What was read and not yet split off stays at its beginning.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    bytes: BytesMut,
    /// The next buffer is a large one.
    large: bool,
    /// The present one is.
    pooled: bool,
}

impl ReadBuffer {
    /// The buffer with room for a worthwhile read.
    pub fn room(&mut self) -> &mut BytesMut {
        let wanted = if self.large { LARGE / 4 } else { SMALL / 2 };
        if self.bytes.capacity() - self.bytes.len() < wanted {
            let left = self.bytes.len();
            let mut fresh = if self.large { take_large() } else { BytesMut::with_capacity(left + SMALL) };
            fresh.extend_from_slice(&self.bytes);
            self.bytes.clear();
            self.retire(fresh);
            self.pooled = self.large;
        }
        &mut self.bytes
    }

    /// Learn from a read of `read` bytes into `room`: one that filled it asks for large buffers, a small one for none.
    pub fn learn(&mut self, read: usize, room: usize) {
        if read >= room {
            self.large = true;
        } else if read < SMALL / 8 && self.large && self.bytes.len() == read {
            self.large = false;
        }
    }

    /// What was read and not yet taken.
    pub fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Take all that was read. A little is copied out, so that it does not pin the buffer.
    pub fn take(&mut self) -> Bytes {
        if self.bytes.len() < SMALL / 4 {
            let data = Bytes::copy_from_slice(&self.bytes);
            self.bytes.clear();
            return data;
        }
        self.bytes.split().freeze()
    }

    /// The socket has nothing more: an empty buffer goes back.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > 0 {
            self.retire(BytesMut::new());
        }
    }

    /// Like [`rest`](Self::rest), for a socket of which there are few: a small buffer is kept for the next read.
    pub fn rest_from_large(&mut self) {
        if self.pooled {
            self.rest();
        }
    }

    fn retire(&mut self, next: BytesMut) {
        let old = std::mem::replace(&mut self.bytes, next);
        if std::mem::take(&mut self.pooled) {
            give_large(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffer: &mut ReadBuffer) -> Bytes {
        let room = buffer.room();
        let size = room.capacity() - room.len();
        room.resize(room.len() + size, 1);
        buffer.learn(size, size);
        buffer.take()
    }

    #[test]
    fn a_full_read_leads_to_large_buffers_and_a_small_one_back() {
        let mut buffer = ReadBuffer::default();
        assert_eq!(fill(&mut buffer).len(), SMALL);
        assert!(buffer.room().capacity() >= LARGE);
        buffer.room().extend_from_slice(b"hello");
        buffer.learn(5, LARGE);
        assert_eq!(buffer.take(), "hello");
        buffer.rest();
        assert_eq!(buffer.room().capacity(), SMALL);
    }

    #[test]
    fn what_is_not_taken_moves_to_the_next_buffer() {
        let mut buffer = ReadBuffer::default();
        fill(&mut buffer);
        let room = buffer.room();
        room.resize(room.capacity(), 7);
        let tail = buffer.bytes().split_off(LARGE - 100);
        drop(buffer.bytes().split());
        *buffer.bytes() = tail;
        assert!(buffer.room().capacity() >= LARGE / 4);
        assert_eq!(buffer.bytes()[..], [7; 100]);
    }

    #[test]
    fn memory_comes_back_when_its_slices_are_gone() {
        let mut buffer = ReadBuffer::default();
        fill(&mut buffer);
        let address = buffer.room().as_ptr();
        let slice = fill(&mut buffer);
        assert_ne!(buffer.room().as_ptr(), address, "still under way");
        drop(slice);
        buffer.rest();
        let seen: Vec<_> = (0..POOLED).map(|_| take_large()).map(|b| b.as_ptr()).collect();
        assert!(seen.contains(&address));
    }
}
