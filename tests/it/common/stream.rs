//! Bytes that look random, can be made again from a seed, and are compared while they arrive.

use std::io::{Read, Write};

const PIECE: usize = 64 * 1024;

/// A xorshift generator: fast enough not to be what a transfer waits for, even unoptimised.
pub struct Stream(u64);

impl Stream {
    /// Bytes of two seeds differ from the first eight on.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn fill(&mut self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            piece.copy_from_slice(&self.0.to_le_bytes()[..piece.len()]);
        }
    }
}

/// The first `length` bytes of a seed.
pub fn bytes_of(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Stream::new(seed).fill(&mut bytes);
    bytes
}

/// Write `length` bytes (a multiple of eight).
pub fn send(to: &mut impl Write, seed: u64, length: usize) {
    let mut stream = Stream::new(seed);
    let mut buffer = vec![0; PIECE];
    let mut left = length;
    while left > 0 {
        let piece = left.min(PIECE);
        stream.fill(&mut buffer[..piece]);
        to.write_all(&buffer[..piece]).expect("the stream is taken");
        left -= piece;
    }
}

/// Read `length` bytes (a multiple of eight) and compare each.
pub fn receive(from: &mut impl Read, seed: u64, length: usize) {
    let mut stream = Stream::new(seed);
    let (mut expected, mut got) = (vec![0; PIECE], vec![0; PIECE]);
    let mut left = length;
    while left > 0 {
        let piece = left.min(PIECE);
        stream.fill(&mut expected[..piece]);
        from.read_exact(&mut got[..piece]).unwrap_or_else(|e| panic!("{left} of {length} bytes are missing: {e}"));
        assert!(expected[..piece] == got[..piece], "bytes differ after {} of {length}", length - left);
        left -= piece;
    }
}
