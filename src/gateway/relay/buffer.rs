//! The memory that bytes pass through: a relay has a buffer only while bytes wait in it.
//!
//! Buffers belong to the thread. A busy relay takes one, and gives it back as soon as it is empty; so a thousand idle
//! WebSockets hold nothing, and the same warm memory serves whoever is busy.

use std::cell::RefCell;

/// The first read of a relay.
pub const SMALLEST: usize = 64 * 1024;
/// Reads of one whose reads fill their buffers.
pub const LARGEST: usize = 1024 * 1024;
/// Buffers that a thread keeps for the next.
const KEPT: usize = 6;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of this size, with whatever stands in it.
pub fn take(size: usize) -> Box<[u8]> {
    let kept = POOL.with_borrow_mut(|pool| {
        let found = pool.iter().position(|buffer| buffer.len() == size)?;
        Some(pool.swap_remove(found))
    });
    kept.unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

/// Give a buffer back.
pub fn give(buffer: Box<[u8]>) {
    POOL.with_borrow_mut(|pool| {
        if pool.len() < KEPT && is_ours(buffer.len()) {
            pool.push(buffer);
        }
    });
}

/// Whether it is a size that is taken again.
fn is_ours(size: usize) -> bool {
    (SMALLEST..=LARGEST).contains(&size) && size.is_power_of_two()
}

/// The size of the next read after one that brought `read` bytes into `size`.
pub fn next_size(read: usize, size: usize) -> usize {
    if read >= size {
        (size * 2).min(LARGEST)
    } else if read < size / 4 {
        (size / 2).max(SMALLEST)
    } else {
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_reads_lead_to_large_ones_and_small_ones_back() {
        let mut size = SMALLEST;
        for _ in 0..10 {
            size = next_size(size, size);
        }
        assert_eq!(size, LARGEST);
        assert_eq!(next_size(LARGEST / 2, LARGEST), LARGEST);
        for _ in 0..10 {
            size = next_size(100, size);
        }
        assert_eq!(size, SMALLEST);
    }

    #[test]
    fn memory_is_used_again_and_little_of_it_is_kept() {
        let buffer = take(SMALLEST);
        let address = buffer.as_ptr();
        give(buffer);
        let again = take(SMALLEST);
        assert_eq!(again.as_ptr(), address);
        assert_eq!(take(LARGEST).len(), LARGEST);
        (0..100).map(|_| vec![0; SMALLEST].into_boxed_slice()).for_each(give);
        give(vec![0; 2 * LARGEST].into_boxed_slice());
        POOL.with_borrow(|pool| assert_eq!(pool.len(), KEPT));
    }
}
