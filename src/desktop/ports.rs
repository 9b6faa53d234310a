//! Which port of the engine's host a desktop gets. Pure.

use std::collections::HashSet;
use std::ops::RangeInclusive;

/// The next free port of `range`, from the one that `start` points at and around. `taken` are those of living desktops;
/// `tried` those that the engine has refused. The start is spread, so that installations on one engine do not meet at
/// the same port, and one that was let go is not given out again at once.
pub fn next(range: &RangeInclusive<u16>, taken: &HashSet<u16>, tried: &HashSet<u16>, start: u32) -> Option<u16> {
    let size = u32::from(range.end().checked_sub(*range.start())?) + 1;
    let port = |n: u32| u16::try_from(u32::from(*range.start()) + (start % size + n) % size).ok();
    (0..size).filter_map(port).find(|port| !taken.contains(port) && !tried.contains(port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ports_are_given_around_the_range() {
        let (none, range) = (HashSet::new(), 7000..=7002);
        for (taken, tried, start, wanted) in [
            (vec![], vec![], 0, Some(7000)),
            (vec![], vec![], 2, Some(7002)),
            (vec![], vec![], 3, Some(7000)),
            (vec![7002], vec![], 2, Some(7000)),
            (vec![7002], vec![7000], 2, Some(7001)),
            (vec![7002, 7001], vec![7000], 0, None),
            (vec![], vec![], u32::MAX, Some(7000)),
        ] {
            let (taken, tried) = (HashSet::from_iter(taken), HashSet::from_iter(tried));
            assert_eq!(next(&range, &taken, &tried, start), wanted, "{taken:?} {tried:?} {start}");
        }
        assert_eq!(next(&(65_535..=65_535), &none, &none, 7), Some(65_535));
        assert_eq!(next(&(0..=65_535), &none, &none, u32::MAX), Some(65_535));
        assert_eq!(next(&RangeInclusive::new(2, 1), &none, &none, 0), None);
    }

    proptest! {
        #[test]
        fn every_free_port_is_found(start: u32, taken: HashSet<u8>) {
            let taken: HashSet<u16> = taken.into_iter().map(u16::from).collect();
            let (mut all, mut tried) = (taken.clone(), HashSet::new());
            while let Some(port) = next(&(0..=255), &taken, &tried, start) {
                prop_assert!(all.insert(port), "{} is given twice", port);
                tried.insert(port);
            }
            prop_assert_eq!(all.len(), 256);
        }
    }
}
