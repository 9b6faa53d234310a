//! Windows: how much of a channel may be under way, and how that grows towards bandwidth × round trip.
//!
//! The receiver owns a window. At any time `allowance + held + owed == size`: what the peer may still send, what was
//! received and not yet taken out of the queue, and what was taken out and not yet granted again.

use std::time::{Duration, Instant};

/// What a channel starts with.
pub const INITIAL_WINDOW: u32 = 256 * 1024;
/// What a channel starts with once [`CROWDED`] channels are open.
const CROWDED_WINDOW: u32 = 64 * 1024;
/// From this many open channels on, new ones start small.
pub const CROWDED: usize = 256;
/// What the server may send before OPENED.
pub const EARLY_WINDOW: u32 = 64 * 1024;
/// No window grows beyond this.
const MAX_WINDOW: u64 = 64 * 1024 * 1024;
/// What all windows of a session may grow together, in each direction.
const GROWTH_BUDGET: u64 = 64 * 1024 * 1024;
/// Credit is granted at the latest when this much is owed: a large window is kept open nearly whole.
const MAX_OWED: u64 = 1024 * 1024;
/// Round trips are not taken as shorter than this: between two processes of one machine the time in which a window is
/// used up is scheduling, not distance, and larger batches still help there.
const MIN_ROUND_TRIP: Duration = Duration::from_millis(2);

/// The window for a channel that is opened beside `open` others.
pub fn initial_window(open: usize) -> u32 {
    if open >= CROWDED { CROWDED_WINDOW } else { INITIAL_WINDOW }
}

/// The peer sent more than it was allowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overrun;

/// What the session's windows may still grow.
#[derive(Debug)]
pub struct GrowthBudget(u64);

impl Default for GrowthBudget {
    fn default() -> Self {
        Self(GROWTH_BUDGET)
    }
}

/// One direction of a channel, on the side that receives.
#[derive(Debug)]
pub struct ReceiveWindow {
    size: u64,
    grown: u64,
    allowance: u64,
    owed: u64,
    /// When the current measurement began, and what has come since.
    epoch: Option<(Instant, u64)>,
}

impl ReceiveWindow {
    pub fn new(size: u32) -> Self {
        Self { size: u64::from(size), grown: 0, allowance: u64::from(size), owed: 0, epoch: None }
    }

    /// Make the window at least `size`: what OPENED says beyond the early window.
    pub fn raise_to(&mut self, size: u32) {
        let more = u64::from(size).saturating_sub(self.size);
        self.size += more;
        self.allowance += more;
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Note `bytes` received.
    pub fn receive(&mut self, bytes: usize, now: Instant) -> Result<(), Overrun> {
        let bytes = bytes as u64;
        self.allowance = self.allowance.checked_sub(bytes).ok_or(Overrun)?;
        let (_, seen) = self.epoch.get_or_insert((now, 0));
        *seen += bytes;
        Ok(())
    }

    /// Note `bytes` taken out of the queue. Returns the credit to send, once it is worth a frame.
    pub fn consume(&mut self, bytes: usize, now: Instant, rtt: Duration, budget: &mut GrowthBudget) -> Option<u32> {
        self.owed += bytes as u64;
        self.grow(now, rtt, budget);
        if self.owed < (self.size / 4).min(MAX_OWED) {
            return None;
        }
        let credit = u32::try_from(self.owed).unwrap_or(u32::MAX);
        self.owed -= u64::from(credit);
        self.allowance += u64::from(credit);
        Some(credit)
    }

    /// Give what the window had grown back to the session.
    pub fn release(&mut self, budget: &mut GrowthBudget) {
        budget.0 += std::mem::take(&mut self.grown);
    }

    /// Double a window that was used up within two round trips.
    fn grow(&mut self, now: Instant, rtt: Duration, budget: &mut GrowthBudget) {
        let Some((since, seen)) = self.epoch else { return };
        let in_time = now.saturating_duration_since(since) <= 2 * rtt.max(MIN_ROUND_TRIP);
        if in_time && seen < self.size {
            return;
        }
        self.epoch = None;
        if in_time && budget.0 >= self.size && self.size * 2 <= MAX_WINDOW {
            budget.0 -= self.size;
            self.grown += self.size;
            self.owed += self.size;
            self.size *= 2;
        }
    }
}

/// One direction of a channel, on the side that sends.
#[derive(Debug)]
pub struct SendWindow {
    available: u64,
    sent: u64,
}

impl SendWindow {
    pub fn new(available: u32) -> Self {
        Self { available: u64::from(available), sent: 0 }
    }

    /// No window at all: version 1 without `credit`.
    pub fn unlimited() -> Self {
        Self { available: u64::MAX, sent: 0 }
    }

    pub fn available(&self) -> usize {
        usize::try_from(self.available).unwrap_or(usize::MAX)
    }

    /// `bytes` go out; at most [`available`](Self::available) of them.
    pub fn take(&mut self, bytes: usize) {
        self.available = self.available.saturating_sub(bytes as u64);
        self.sent += bytes as u64;
    }

    /// The peer grants further bytes.
    pub fn add(&mut self, bytes: u32) {
        self.available = self.available.saturating_add(u64::from(bytes));
    }

    /// The peer says what may be sent in all.
    pub fn set_total(&mut self, total: u32) {
        self.available = u64::from(total).saturating_sub(self.sent);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    #[test]
    fn credit_comes_in_worthwhile_pieces() {
        let (mut window, mut budget, now) = (ReceiveWindow::new(1000), GrowthBudget::default(), Instant::now());
        window.receive(300, now).unwrap();
        assert_eq!(window.consume(249, now, RTT, &mut budget), None);
        assert_eq!(window.consume(51, now, RTT, &mut budget), Some(300));
    }

    #[test]
    fn more_than_the_window_is_an_overrun() {
        let mut window = ReceiveWindow::new(1000);
        window.receive(1000, Instant::now()).unwrap();
        assert_eq!(window.receive(1, Instant::now()), Err(Overrun));
    }

    #[test]
    fn a_window_used_up_within_two_round_trips_doubles() {
        let (mut window, mut budget, start) = (ReceiveWindow::new(1000), GrowthBudget::default(), Instant::now());
        window.receive(1000, start).unwrap();
        let credit = window.consume(1000, start + 2 * RTT, RTT, &mut budget);
        assert_eq!((window.size(), credit), (2000, Some(2000)));
    }

    #[test]
    fn a_slow_channel_stays_small() {
        let (mut window, mut budget, start) = (ReceiveWindow::new(1000), GrowthBudget::default(), Instant::now());
        window.receive(1000, start).unwrap();
        window.consume(1000, start + 3 * RTT, RTT, &mut budget);
        assert_eq!(window.size(), 1000);
    }

    #[test]
    fn growth_stops_at_the_budget_and_comes_back() {
        let (mut budget, now) = (GrowthBudget(1500), Instant::now());
        let mut window = ReceiveWindow::new(1000);
        for _ in 0..3 {
            window.receive(window.size() as usize, now).unwrap();
            window.consume(window.size() as usize, now, RTT, &mut budget);
        }
        assert_eq!((window.size(), budget.0), (2000, 500));
        window.release(&mut budget);
        assert_eq!(budget.0, 1500);
    }

    #[test]
    fn the_largest_window_is_not_passed() {
        let (mut budget, now) = (GrowthBudget(u64::MAX), Instant::now());
        let mut window = ReceiveWindow::new(INITIAL_WINDOW);
        for _ in 0..20 {
            window.receive(window.size() as usize, now).unwrap();
            window.consume(window.size() as usize, now, RTT, &mut budget);
        }
        assert_eq!(window.size(), MAX_WINDOW);
    }

    #[test]
    fn opened_counts_what_was_sent_early() {
        let mut window = SendWindow::new(EARLY_WINDOW);
        window.take(60_000);
        window.set_total(INITIAL_WINDOW);
        assert_eq!(window.available(), INITIAL_WINDOW as usize - 60_000);
    }

    proptest! {
        /// Both ends together: the sender never exceeds what the receiver allows, and nothing gets lost or stuck.
        #[test]
        fn sender_and_receiver_agree(steps in proptest::collection::vec((0usize..5000, 0usize..5000, 0u64..100), 1..200)) {
            let (mut budget, mut now) = (GrowthBudget(100_000), Instant::now());
            let (mut receiver, mut sender, mut held) = (ReceiveWindow::new(4096), SendWindow::new(4096), 0usize);
            for (send, take, pause) in steps {
                now += Duration::from_millis(pause);
                let sent = send.min(sender.available());
                sender.take(sent);
                prop_assert_eq!(receiver.receive(sent, now), Ok(()));
                held += sent;
                let taken = take.min(held);
                held -= taken;
                if let Some(credit) = receiver.consume(taken, now, RTT, &mut budget) {
                    sender.add(credit);
                }
                prop_assert_eq!(sender.available() as u64, receiver.allowance);
                prop_assert_eq!(receiver.allowance + receiver.owed + held as u64, receiver.size);
            }
            let credit = receiver.consume(held, now, RTT, &mut budget).unwrap_or(0);
            sender.add(credit);
            prop_assert!(sender.available() as u64 * 4 > receiver.size() * 2, "an emptied queue lets the sender go on");
        }
    }
}
