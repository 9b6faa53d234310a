//! When a desktop that nobody uses is stopped. Pure.

/// The warning comes this long before, or at half of the limit if that is shorter. In milliseconds.
const WARNING: i64 = 5 * 60 * 1000;

/// The type's limit, and since when it counts. Times in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idleness {
    limit: i64,
    since: i64,
}

/// What to do about a desktop now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing for so many milliseconds.
    Look(u64),
    /// Warn that it will be stopped then, and look again.
    Warn {
        stop_at: i64,
        look: u64,
    },
    Stop,
}

impl Idleness {
    /// `ready_since`: input before that does not count. `input`: the last one, 0 for none.
    pub fn new(limit_s: u64, ready_since: i64, input: i64) -> Self {
        let limit = i64::try_from(limit_s.saturating_mul(1000)).unwrap_or(i64::MAX);
        Self { limit, since: ready_since.max(input) }
    }

    /// When it is stopped unless somebody uses it.
    pub fn stop_at(self) -> i64 {
        self.since.saturating_add(self.limit)
    }

    /// `warned`: the last warning was for this time.
    pub fn look(self, warned: Option<i64>, now: i64) -> Verdict {
        let stop_at = self.stop_at();
        let left = stop_at.saturating_sub(now);
        if left <= 0 {
            return Verdict::Stop;
        }
        let before = WARNING.min(self.limit / 2);
        if left > before {
            return Verdict::Look((left - before).unsigned_abs());
        }
        match warned == Some(stop_at) {
            true => Verdict::Look(left.unsigned_abs()),
            false => Verdict::Warn { stop_at, look: left.unsigned_abs() },
        }
    }
}

/// The reason that people read: `stopped after 8 h without use`.
pub fn reason(limit_s: u64) -> String {
    let time = match limit_s {
        0 => "0 s".to_owned(),
        limit if limit % 3600 == 0 => format!("{} h", limit / 3600),
        limit if limit % 60 == 0 => format!("{} min", limit / 60),
        limit => format!("{limit} s"),
    };
    format!("stopped after {time} without use")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn looks_warns_and_stops() {
        for (ready, input, warned, now, wanted) in [
            (0, 0, None, 0, Verdict::Look(3_300_000)),
            (1000, 0, None, 1000, Verdict::Look(3_300_000)),
            (0, 0, None, 3_300_000, Verdict::Warn { stop_at: HOUR_MS, look: 300_000 }),
            (0, 0, Some(HOUR_MS), 3_300_000, Verdict::Look(300_000)),
            (0, 0, Some(HOUR_MS), 3_599_999, Verdict::Look(1)),
            (0, 0, Some(HOUR_MS), 3_600_000, Verdict::Stop),
            (0, 0, None, 9_000_000, Verdict::Stop),
            // Input after the warning puts everything off, and a later warning is another one.
            (0, 3_400_000, Some(HOUR_MS), 3_600_000, Verdict::Look(3_100_000)),
            (0, 3_400_000, Some(HOUR_MS), 6_900_000, Verdict::Warn { stop_at: 7_000_000, look: 100_000 }),
            // A clock that was set back.
            (5_000_000, 0, None, 0, Verdict::Look(8_300_000)),
        ] {
            assert_eq!(Idleness::new(HOUR, ready, input).look(warned, now), wanted, "{ready} {input} {warned:?} {now}");
        }
    }

    #[test]
    fn a_short_limit_warns_at_its_half() {
        let idle = Idleness::new(60, 0, 0);
        assert_eq!(idle.look(None, 29_999), Verdict::Look(1));
        assert_eq!(idle.look(None, 30_000), Verdict::Warn { stop_at: 60_000, look: 30_000 });
        assert_eq!(Idleness::new(0, 5, 0).look(None, 5), Verdict::Stop);
        assert!(matches!(Idleness::new(u64::MAX, 5, 0).look(None, 5), Verdict::Look(_)));
    }

    #[test]
    fn the_reason_in_words() {
        for (limit, words) in [
            (28_800, "stopped after 8 h without use"),
            (5400, "stopped after 90 min without use"),
            (61, "stopped after 61 s without use"),
            (0, "stopped after 0 s without use"),
        ] {
            assert_eq!(reason(limit), words);
        }
    }
}
