//! How fast passwords may be tried for one account from one network. Pure.
//!
//! An attempt reserves the moment when it runs, and counts as a failure from then on until it turns out to be right:
//! guesses that are sent all at once run one after the other. Nobody is locked out: who guesses at an account from one
//! network delays nobody elsewhere, and a first attempt never waits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long the attempt after the first failure waits; it doubles with every further one.
const FIRST_DELAY: Duration = Duration::from_millis(250);
/// The longest time between two attempts.
const LONGEST_DELAY: Duration = Duration::from_secs(8);
/// Who would have to wait longer than this is told to come back.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How many attempts wait at one time, of all accounts and networks together.
pub const MOST_WAITING: usize = 64;
/// Failures are forgotten this long after the last one.
const MEMORY: Duration = Duration::from_secs(600);
/// How many pairs of account and network are remembered; beyond that the one that was tried longest ago is forgotten.
const MOST_PAIRS: usize = 4096;

/// See the module's documentation. Networks are those of [`attempts`](super::attempts).
#[derive(Debug, Default)]
pub struct Pace {
    failures: HashMap<Pair, Failures>,
    /// When those run that wait, or did lately: at most `MOST_WAITING`.
    waiting: Vec<Instant>,
}

/// The name of an account, whether it exists or not, and the network that tries it.
type Pair = (String, IpAddr);

#[derive(Debug, Clone, Copy)]
struct Failures {
    /// Attempts that failed or have not ended yet, at least one.
    count: u32,
    /// When the last of them runs or ran.
    last: Instant,
}

impl Pace {
    /// Reserve an attempt. It may run after the answered time.
    ///
    /// # Errors
    /// The seconds to wait before another one; nothing is reserved.
    pub fn reserve(&mut self, account: &str, network: IpAddr, now: Instant) -> Result<Duration, u64> {
        self.waiting.retain(|at| *at > now);
        let pair = (account.to_owned(), network);
        let before = self.failures.get(&pair).copied().filter(|failures| failures.count_at(now));
        let at = before.map_or(now, |failures| failures.next().max(now));
        let wait = at.saturating_duration_since(now);
        if wait > LONGEST_WAIT || !wait.is_zero() && self.waiting.len() >= MOST_WAITING {
            return Err(whole_seconds(wait));
        }
        if !wait.is_zero() {
            self.waiting.push(at);
        }
        if !self.failures.contains_key(&pair) {
            self.make_room(now);
        }
        let count = before.map_or(0, |failures| failures.count).saturating_add(1);
        self.failures.insert(pair, Failures { count, last: at });
        Ok(wait)
    }

    /// An attempt was right: what failed before is forgotten.
    pub fn succeeded(&mut self, account: &str, network: IpAddr) {
        self.failures.remove(&(account.to_owned(), network));
    }

    /// An attempt ended without having been verified: it is no failure.
    pub fn take_back(&mut self, account: &str, network: IpAddr) {
        let pair = (account.to_owned(), network);
        let Some(failures) = self.failures.get_mut(&pair) else { return };
        failures.count -= 1;
        if failures.count == 0 {
            self.failures.remove(&pair);
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.failures.len() < MOST_PAIRS {
            return;
        }
        self.failures.retain(|_, failures| failures.count_at(now));
        if self.failures.len() < MOST_PAIRS {
            return;
        }
        let oldest = self.failures.iter().min_by_key(|(_, failures)| failures.last).map(|(pair, _)| pair.clone());
        if let Some(pair) = oldest {
            self.failures.remove(&pair);
        }
    }
}

impl Failures {
    /// Whether they still count.
    fn count_at(self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < MEMORY
    }

    /// When the next attempt may run.
    fn next(self) -> Instant {
        let doublings = self.count.saturating_sub(1);
        let delay = 2_u32.checked_pow(doublings).and_then(|factor| FIRST_DELAY.checked_mul(factor));
        self.last + delay.map_or(LONGEST_DELAY, |delay| delay.min(LONGEST_DELAY))
    }
}

/// Rounded up, so that who comes back when told need not wait again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn attempts_that_come_at_once_run_one_after_the_other() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let answers: Vec<_> = (0..8).map(|_| pace.reserve("alice", HERE, start)).collect();
        let waits = [0, 250, 750, 1750, 3750, 7750].map(|wait| Ok(ms(wait)));
        assert_eq!(answers[..6], waits);
        assert_eq!(answers[6..], [Err(16), Err(16)], "a refused attempt reserves nothing");
    }

    #[test]
    fn each_waits_for_the_one_before() {
        // When attempts come (ms), and how long each waits (ms).
        let cases: &[&[(u64, u64)]] = &[
            &[(0, 0), (250, 0), (750, 0), (1750, 0)],
            &[(0, 0), (100, 150), (100, 650), (9000, 0)],
            &[(0, 0), (1000, 0), (1100, 400), (2600, 0), (2700, 1900)],
            // Never more than 8 s, however many.
            &[(0, 0), (10_000, 0), (20_000, 0), (30_000, 0), (40_000, 0), (50_000, 0), (60_000, 0), (60_001, 7999)],
            // Ten minutes later all is forgotten.
            &[(0, 0), (0, 250), (0, 750), (600_750, 0), (600_750, 250)],
        ];
        for case in cases {
            let (mut pace, start) = (Pace::default(), Instant::now());
            for (at, wait) in *case {
                let answer = pace.reserve("alice", HERE, start + ms(*at));
                assert_eq!(answer, Ok(ms(*wait)), "{case:?} at {at}");
            }
        }
    }

    #[test]
    fn nobody_else_waits() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        while pace.reserve("alice", HERE, start).is_ok() {}
        assert_eq!(pace.reserve("alice", ELSEWHERE, start), Ok(Duration::ZERO));
        assert_eq!(pace.reserve("bob", HERE, start), Ok(Duration::ZERO));
    }

    #[test]
    fn who_comes_back_when_told_does_not_wait() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let seconds = loop {
            if let Err(seconds) = pace.reserve("alice", HERE, start) {
                break seconds;
            }
        };
        assert_eq!(pace.reserve("alice", HERE, start + Duration::from_secs(seconds)), Ok(Duration::ZERO));
    }

    #[test]
    fn a_success_forgets_and_what_was_not_verified_does_not_count() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for _ in 0..4 {
            pace.reserve("alice", HERE, start).unwrap();
        }
        pace.succeeded("alice", HERE);
        assert_eq!(pace.reserve("alice", HERE, start), Ok(Duration::ZERO));
        assert_eq!(pace.reserve("alice", HERE, start), Ok(ms(250)));
        pace.take_back("alice", HERE);
        assert_eq!(pace.reserve("alice", HERE, start + ms(250)), Ok(ms(250)), "after one failure, not after two");
        pace.take_back("alice", HERE);
        pace.take_back("alice", HERE);
        pace.take_back("alice", HERE);
        assert_eq!(pace.reserve("alice", HERE, start), Ok(Duration::ZERO));
    }

    #[test]
    fn not_too_many_wait_but_whoever_need_not_wait_may_try() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for n in 0..MOST_WAITING {
            let name = format!("user-{n}");
            assert_eq!(pace.reserve(&name, HERE, start), Ok(Duration::ZERO));
            assert_eq!(pace.reserve(&name, HERE, start), Ok(ms(250)));
        }
        assert_eq!(pace.reserve("alice", HERE, start), Ok(Duration::ZERO));
        assert_eq!(pace.reserve("alice", HERE, start), Err(1));
        assert_eq!(pace.reserve("alice", HERE, start + ms(100)), Err(1));
        assert_eq!(pace.reserve("user-0", HERE, start + ms(250)), Ok(ms(500)), "they wait no longer");
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for n in 0..MOST_PAIRS as u64 {
            pace.reserve(&format!("user-{n}"), HERE, start + ms(n)).unwrap();
        }
        let late = start + ms(5000);
        pace.reserve("alice", HERE, late).unwrap();
        assert_eq!(pace.failures.len(), MOST_PAIRS);
        let pair = |name: &str| (name.to_owned(), HERE);
        assert!(!pace.failures.contains_key(&pair("user-0")) && pace.failures.contains_key(&pair("user-1")));
        pace.reserve("bob", HERE, late + MEMORY).unwrap();
        assert_eq!(pace.failures.len(), 1, "what no longer counts goes first");
    }
}
