//! AttemptLimiter: how often an address may show an agent's wrong token, and how often and how fast people may try
//! passwords.
//!
//! Started by [Server](crate::server), which builds another if it panics (what was counted is forgotten then); ends
//! with the server. Addresses nobody. The decisions are the pure [`Attempts`], one for tokens, one for passwords and one
//! for the audit log, and [`Pace`]; the actor lends them the clock.

mod sign_ins;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use actix::prelude::*;

pub use self::sign_ins::{BeginSignIn, EndSignIn, SignInEnd};
use super::pace::Pace;
use crate::supervision::ChildGuard;

/// This many failures within the window, and an address waits.
pub const MOST_FAILURES: usize = 10;

/// How long a failure counts.
pub const WINDOW: Duration = Duration::from_secs(60);

/// How many addresses are remembered; beyond that the one whose last failure is the oldest is forgotten.
const MOST_ADDRESSES: usize = 4096;

/// The bits of an IPv6 address that tell one network from another; behind them one host has as many as it likes.
const IPV6_NETWORK: u128 = !0 << 64;

/// Counts failures by address.
#[derive(Debug, Default)]
pub struct Attempts {
    /// When each address failed, the oldest first: at most `MOST_FAILURES` each.
    failures: HashMap<IpAddr, VecDeque<Instant>>,
}

impl Attempts {
    /// # Errors
    /// The seconds to wait.
    pub fn may_try(&mut self, address: IpAddr, now: Instant) -> Result<(), u64> {
        let key = network(address);
        let Some(times) = self.failures.get_mut(&key) else { return Ok(()) };
        forget_old(times, now);
        match times.front() {
            None => {
                self.failures.remove(&key);
                Ok(())
            }
            Some(oldest) if times.len() >= MOST_FAILURES => {
                let rest = WINDOW.saturating_sub(now.saturating_duration_since(*oldest));
                // Rounded up: who comes back when told is let in.
                Err(rest.as_secs() + u64::from(rest.subsec_nanos() > 0))
            }
            Some(_) => Ok(()),
        }
    }

    pub fn failed(&mut self, address: IpAddr, now: Instant) {
        let key = network(address);
        if !self.failures.contains_key(&key) && self.failures.len() >= MOST_ADDRESSES {
            self.make_room(now);
        }
        let times = self.failures.entry(key).or_default();
        forget_old(times, now);
        if times.len() >= MOST_FAILURES {
            times.pop_front();
        }
        times.push_back(now);
    }

    pub fn succeeded(&mut self, address: IpAddr) {
        self.failures.remove(&network(address));
    }

    /// The last failure was none.
    fn take_back(&mut self, address: IpAddr) {
        let key = network(address);
        let Some(times) = self.failures.get_mut(&key) else { return };
        times.pop_back();
        if times.is_empty() {
            self.failures.remove(&key);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.failures.retain(|_, times| times.back().is_some_and(|last| is_recent(*last, now)));
        if self.failures.len() < MOST_ADDRESSES {
            return;
        }
        let oldest = self.failures.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.failures.remove(&key);
        }
    }
}

fn is_recent(failure: Instant, now: Instant) -> bool {
    now.saturating_duration_since(failure) < WINDOW
}

fn forget_old(times: &mut VecDeque<Instant>, now: Instant) {
    while times.front().is_some_and(|oldest| !is_recent(*oldest, now)) {
        times.pop_front();
    }
}

/// What counts as one address: an IPv4 address, mapped into IPv6 or not, or an IPv6 /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & IPV6_NETWORK)),
        v4 => v4,
    }
}

/// May this address show a token? The error is the number of seconds to wait.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), u64>")]
pub struct MayTry(pub IpAddr);

/// This address showed a wrong token.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Failed(pub IpAddr);

/// This address showed a right one: its earlier failures are forgotten.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Succeeded(pub IpAddr);

/// May a failure of this address be written to the audit log? If so, it has been counted.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct MayNote(pub IpAddr);

/// Keeps the count of failures for the whole server.
pub struct AttemptLimiter {
    /// With agents' tokens.
    attempts: Attempts,
    /// With passwords.
    sign_ins: Attempts,
    pace: Pace,
    /// That came back from a provider and were written down.
    notes: Attempts,
    _guard: ChildGuard<&'static str>,
}

impl AttemptLimiter {
    pub fn new(guard: ChildGuard<&'static str>) -> Self {
        let (attempts, sign_ins, notes) = (Attempts::default(), Attempts::default(), Attempts::default());
        Self { attempts, sign_ins, pace: Pace::default(), notes, _guard: guard }
    }
}

impl Actor for AttemptLimiter {
    type Context = Context<Self>;
}

impl Handler<MayTry> for AttemptLimiter {
    type Result = Result<(), u64>;

    fn handle(&mut self, MayTry(address): MayTry, _: &mut Self::Context) -> Self::Result {
        self.attempts.may_try(address, Instant::now())
    }
}

impl Handler<Failed> for AttemptLimiter {
    type Result = ();

    fn handle(&mut self, Failed(address): Failed, _: &mut Self::Context) {
        self.attempts.failed(address, Instant::now());
    }
}

impl Handler<Succeeded> for AttemptLimiter {
    type Result = ();

    fn handle(&mut self, Succeeded(address): Succeeded, _: &mut Self::Context) {
        self.attempts.succeeded(address);
    }
}

impl Handler<MayNote> for AttemptLimiter {
    type Result = bool;

    fn handle(&mut self, MayNote(address): MayNote, _: &mut Self::Context) -> bool {
        let now = Instant::now();
        let may = self.notes.may_try(address, now).is_ok();
        if may {
            self.notes.failed(address, now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Fails so many times, one second apart from `start`.
    fn fail(attempts: &mut Attempts, from: &str, times: u64, start: Instant) {
        for second in 0..times {
            attempts.failed(address(from), start + Duration::from_secs(second));
        }
    }

    #[test]
    fn who_waits_and_how_long() {
        // Failures one second apart from 0 on; asked at this time (ms); the answer.
        let cases: &[(u64, u64, Result<(), u64>)] = &[
            (0, 0, Ok(())),
            (9, 9_000, Ok(())),
            (10, 9_000, Err(51)),
            (10, 9_001, Err(51)),
            (10, 59_999, Err(1)),
            (10, 60_000, Ok(())),
            (30, 30_000, Err(50)),
            (10, 1_000_000, Ok(())),
        ];
        for (failures, at, expected) in cases {
            let (mut attempts, start) = (Attempts::default(), Instant::now());
            fail(&mut attempts, "192.0.2.1", *failures, start);
            let answer = attempts.may_try(address("192.0.2.1"), start + Duration::from_millis(*at));
            assert_eq!(answer, *expected, "{failures} failures, asked at {at} ms");
        }
    }

    #[test]
    fn which_addresses_are_one() {
        let cases = [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ];
        for (failing, asking, same) in cases {
            let (mut attempts, start) = (Attempts::default(), Instant::now());
            fail(&mut attempts, failing, 10, start);
            let answer = attempts.may_try(address(asking), start + Duration::from_secs(9));
            assert_eq!(answer.is_err(), same, "{failing} {asking}");
        }
    }

    #[test]
    fn a_success_forgets_and_so_does_time() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        fail(&mut attempts, "192.0.2.1", 10, start);
        attempts.succeeded(address("192.0.2.1"));
        assert_eq!(attempts.may_try(address("192.0.2.1"), start), Ok(()));
        fail(&mut attempts, "192.0.2.1", 3, start);
        assert_eq!(attempts.may_try(address("192.0.2.1"), start + WINDOW * 2), Ok(()));
        assert!(attempts.failures.is_empty());
    }

    #[test]
    fn the_count_is_bounded_and_the_oldest_goes() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let number = |n: u32| IpAddr::from(n.to_be_bytes());
        let most = u32::try_from(MOST_ADDRESSES).unwrap();
        for n in 0..most {
            attempts.failed(number(n), start + Duration::from_millis(n.into()));
        }
        attempts.failed(number(most), start + Duration::from_secs(10));
        assert_eq!(attempts.failures.len(), MOST_ADDRESSES);
        assert!(!attempts.failures.contains_key(&number(0)), "the oldest went");
        assert!(attempts.failures.contains_key(&number(1)));
        fail(&mut attempts, "192.0.2.1", 1000, start);
        assert!(attempts.failures.values().all(|times| times.len() <= MOST_FAILURES));
        attempts.failed(number(most + 1), start + Duration::from_secs(5000));
        assert_eq!(attempts.failures.len(), 1, "what no longer counts goes first");
    }

    #[actix::test]
    async fn the_actor_answers() {
        let limiter = AttemptLimiter::new(ChildGuard::detached()).start();
        let from = address("192.0.2.1");
        for _ in 0..MOST_FAILURES {
            assert_eq!(limiter.send(MayTry(from)).await.unwrap(), Ok(()));
            limiter.send(Failed(from)).await.unwrap();
        }
        let wait = limiter.send(MayTry(from)).await.unwrap().unwrap_err();
        assert!((1..=60).contains(&wait), "{wait}");
        limiter.send(Succeeded(from)).await.unwrap();
        assert_eq!(limiter.send(MayTry(from)).await.unwrap(), Ok(()));
    }
}
