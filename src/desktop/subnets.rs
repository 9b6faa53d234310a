//! Which network of its own a desktop gets: a /28 of the settings' network. Pure.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The size of a desktop's network: its gateway, the desktop, the server where that runs in a container.
const PREFIX: u8 = 28;

/// The `n`th network of `subnets`.
pub fn nth(subnets: Ipv4Net, n: u32) -> Option<Ipv4Net> {
    (n < count(subnets)).then_some(())?;
    let address = u32::from(subnets.network()).checked_add(n << (32 - PREFIX))?;
    Ipv4Net::new(Ipv4Addr::from(address), PREFIX).ok()
}

/// How many there are.
fn count(subnets: Ipv4Net) -> u32 {
    match PREFIX.checked_sub(subnets.prefix_len()) {
        Some(bits) => 1 << bits,
        None => 0,
    }
}

/// The next free one, from the one that `start` points at and around. `taken` are those of living desktops; `tried`
/// those that the engine has refused.
pub fn next(subnets: Ipv4Net, taken: &HashSet<Ipv4Net>, tried: &HashSet<Ipv4Net>, start: u32) -> Option<Ipv4Net> {
    let count = count(subnets);
    let first = start.checked_rem(count)?;
    let from = |n: u32| nth(subnets, (first + n) % count);
    (0..count).filter_map(from).find(|net| !taken.contains(net) && !tried.contains(net))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_numbered_within_the_settings_one() {
        for (subnets, n, wanted) in [
            ("10.213.0.0/16", 0, Some("10.213.0.0/28")),
            ("10.213.0.0/16", 1, Some("10.213.0.16/28")),
            ("10.213.0.0/16", 4095, Some("10.213.255.240/28")),
            ("10.213.0.0/16", 4096, None),
            ("10.213.0.77/28", 0, Some("10.213.0.64/28")),
            ("10.213.0.0/28", 1, None),
            ("10.213.0.0/29", 0, None),
            ("0.0.0.0/0", (1 << 28) - 1, Some("255.255.255.240/28")),
            ("0.0.0.0/0", 1 << 28, None),
        ] {
            assert_eq!(nth(net(subnets), n), wanted.map(net), "{subnets} {n}");
        }
    }

    #[test]
    fn the_next_free_one_is_looked_for_around_the_end() {
        let subnets = net("10.0.0.0/26");
        let all: Vec<_> = (0..4).map(|n| nth(subnets, n).unwrap()).collect();
        for (taken, tried, start, wanted) in [
            (vec![], vec![], 0, Some(0)),
            (vec![], vec![], 7, Some(3)),
            (vec![3], vec![], 3, Some(0)),
            (vec![3], vec![0, 1], 3, Some(2)),
            (vec![3, 2], vec![0, 1], 3, None),
        ] {
            let taken = taken.into_iter().map(|n: usize| all[n]).collect();
            let tried = tried.into_iter().map(|n: usize| all[n]).collect();
            assert_eq!(next(subnets, &taken, &tried, start), wanted.map(|n: usize| all[n]));
        }
        assert_eq!(next(net("10.0.0.0/30"), &HashSet::new(), &HashSet::new(), 5), None);
    }
}
