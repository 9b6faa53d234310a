//! Slices that wait for a socket, written many at a time.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Slices in one vectored write.
const MAX_SLICES: usize = 64;
/// Slices below this are copied when they have to wait, since each would pin a whole read buffer.
const SMALL_SLICE: usize = 4096;

/// Bytes in the order in which they go out.
#[derive(Debug, Default)]
pub struct Outbox {
    slices: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub fn push(&mut self, data: Bytes) {
        self.bytes += data.len();
        self.slices.push_back(data);
    }

    /// Like [`push`](Self::push), for bytes that will wait.
    pub fn push_waiting(&mut self, data: Bytes) {
        self.push(if data.len() < SMALL_SLICE { Bytes::copy_from_slice(&data) } else { data });
    }

    /// Let `fill` add slices; it returns how many bytes it added.
    pub fn fill(&mut self, fill: impl FnOnce(&mut VecDeque<Bytes>) -> usize) {
        self.bytes += fill(&mut self.slices);
    }

    /// Call `write` with the first slices; what it says it has written is taken off.
    pub fn write<T>(&mut self, write: impl FnOnce(&[IoSlice<'_>]) -> T, written: impl FnOnce(&T) -> usize) -> T {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slot, data) in slices.iter_mut().zip(&self.slices) {
            *slot = IoSlice::new(data);
            count += 1;
        }
        let result = write(&slices[..count]);
        let bytes = written(&result);
        self.advance(bytes);
        result
    }

    /// Copy what waits into memory of its own: nobody takes it, and it should cost no more than it is.
    pub fn compact(&mut self) {
        for data in &mut self.slices {
            *data = Bytes::copy_from_slice(data);
        }
    }

    fn advance(&mut self, mut bytes: usize) {
        self.bytes -= bytes;
        while let Some(first) = self.slices.front_mut() {
            if first.len() > bytes {
                first.advance(bytes);
                return;
            }
            bytes -= first.len();
            self.slices.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_go_on_where_they_stopped() {
        let mut outbox = Outbox::default();
        for part in ["abc", "", "defg", "h"] {
            outbox.push(Bytes::from_static(part.as_bytes()));
        }
        let mut seen = Vec::new();
        while !outbox.is_empty() {
            let take = |slices: &[IoSlice<'_>]| {
                let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                all[..all.len().min(3)].to_vec()
            };
            seen.extend(outbox.write(take, Vec::len));
            outbox.compact();
        }
        assert_eq!(seen, b"abcdefgh");
    }

    #[test]
    fn more_slices_than_one_write_takes_are_left_for_the_next() {
        let mut outbox = Outbox::default();
        (0..MAX_SLICES + 5).for_each(|_| outbox.push_waiting(Bytes::from_static(b"x")));
        let count = outbox.write(|slices| slices.len(), |count| *count);
        assert_eq!((count, outbox.len()), (MAX_SLICES, 5));
    }
}
