//! Version 1 without `credit`: nothing tells the agent to pause, so what is queued towards users is counted, and beyond
//! a limit the whole session is not read until half has drained.

use std::collections::HashMap;

/// What may be queued towards one user.
const PER_CHANNEL: usize = 1024 * 1024;
/// What may be queued towards all users of a session.
const PER_SESSION: usize = 8 * 1024 * 1024;

/// Bytes queued towards users, by channel. A channel that has ended counts until its user has taken everything.
#[derive(Default)]
pub(super) struct Uncredited {
    held: HashMap<u32, usize>,
    total: usize,
    blocked: bool,
}

impl Uncredited {
    pub fn blocked(&self) -> bool {
        self.blocked
    }

    /// The channels whose users have not taken everything.
    pub fn holding(&self) -> impl Iterator<Item = u32> + '_ {
        self.held.keys().copied()
    }

    pub fn hold(&mut self, id: u32, bytes: usize) {
        let held = self.held.entry(id).or_default();
        *held += bytes;
        self.total += bytes;
        if *held > PER_CHANNEL || self.total > PER_SESSION {
            self.blocked = true;
        }
    }

    pub fn consume(&mut self, id: u32, bytes: usize) {
        let Some(held) = self.held.get_mut(&id) else { return };
        let bytes = bytes.min(*held);
        *held -= bytes;
        if *held == 0 {
            self.held.remove(&id);
        }
        self.total -= bytes;
        self.unblock();
    }

    pub fn forget(&mut self, id: u32) {
        if let Some(held) = self.held.remove(&id) {
            self.total -= held;
            self.unblock();
        }
    }

    /// Reading goes on when half has drained.
    fn unblock(&mut self) {
        let drained = |held: &usize| *held <= PER_CHANNEL / 2;
        if self.blocked && self.total <= PER_SESSION / 2 && self.held.values().all(drained) {
            self.blocked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_channel_beyond_its_limit_blocks_until_half_has_drained() {
        let mut uncredited = Uncredited::default();
        uncredited.hold(1, PER_CHANNEL);
        assert!(!uncredited.blocked());
        uncredited.hold(1, 1);
        assert!(uncredited.blocked());
        uncredited.consume(1, PER_CHANNEL / 2);
        assert!(uncredited.blocked());
        uncredited.consume(1, 1);
        assert!(!uncredited.blocked());
    }

    #[test]
    fn the_session_beyond_its_limit_blocks_and_a_gone_channel_counts_no_more() {
        let mut uncredited = Uncredited::default();
        (1..=9).for_each(|id| uncredited.hold(id, PER_CHANNEL));
        assert!(uncredited.blocked());
        (1..=5).for_each(|id| uncredited.forget(id));
        assert!(uncredited.blocked(), "the others still hold more than half of a channel's limit");
        (6..=9).for_each(|id| uncredited.consume(id, PER_CHANNEL / 2));
        assert!(!uncredited.blocked());
        assert_eq!(uncredited.holding().count(), 4);
    }
}
