//! What a desktop has for itself while it lives: a port of the engine's host, a network, a password. The database's
//! unique constraints decide between two that want the same.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use super::{ports, subnets};
use crate::config::{DesktopConfig, DesktopReach};
use crate::store::models::ContainerRow;
use crate::store::values::random_bytes;
use crate::store::{Connection, StoreError, containers};

/// Letters and digits of a password: 142 bits of randomness.
const PASSWORD_LENGTH: usize = 24;
const PASSWORD_CHARACTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What the engine has refused for one desktop, since somebody else on its host has it.
#[derive(Debug, Clone, Default)]
pub struct Tried {
    pub ports: HashSet<u16>,
    pub subnets: HashSet<Ipv4Net>,
}

/// Why there is nothing to reserve.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    #[error("no port left in {}-{}", .0.start(), .0.end())]
    NoPort(RangeInclusive<u16>),
    #[error("no network left in {0}")]
    NoSubnet(Ipv4Net),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Give a row a port, where desktops are reached by one, and a network, and store it with all that it says. What it has
/// already it keeps, unless the engine has refused that.
///
/// # Errors
/// Everything is taken, or the database refuses.
pub fn reserve(
    c: &mut Connection,
    mut row: ContainerRow,
    config: &DesktopConfig,
    tried: &Tried,
) -> Result<ContainerRow, ReserveError> {
    drop_refused(&mut row, config, tried);
    let starts = random_bytes::<8>();
    let [a, b, c1, d, e, f, g, h] = starts;
    let (first_port, first_subnet) = (u32::from_le_bytes([a, b, c1, d]), u32::from_le_bytes([e, f, g, h]));
    // Each round that ends in a duplicate lost against another desktop, so another round sees that one's row.
    loop {
        let mut wanted = row.clone();
        let others = containers::list(c)?;
        let others = || others.iter().filter(|other| other.id != row.id);
        if wanted.host_port.is_none() && config.reach == DesktopReach::Port {
            let taken = others().filter_map(|other| u16::try_from(other.host_port?).ok()).collect();
            let port = ports::next(&config.ports, &taken, &tried.ports, first_port);
            wanted.host_port = Some(port.ok_or_else(|| ReserveError::NoPort(config.ports.clone()))?.into());
        }
        if wanted.subnet.is_none() {
            let taken = others().filter_map(|other| other.subnet.as_deref()?.parse().ok()).collect();
            let subnet = subnets::next(config.subnets, &taken, &tried.subnets, first_subnet);
            wanted.subnet = Some(subnet.ok_or(ReserveError::NoSubnet(config.subnets))?.to_string());
        }
        match containers::update(c, &wanted) {
            Ok(()) => return Ok(wanted),
            Err(StoreError::Duplicate(_)) => (row.host_port, row.subnet) = (None, None),
            Err(error) => return Err(error.into()),
        }
    }
}

fn drop_refused(row: &mut ContainerRow, config: &DesktopConfig, tried: &Tried) {
    let port = row.host_port.and_then(|port| u16::try_from(port).ok());
    let keeps =
        |port| config.reach == DesktopReach::Port && config.ports.contains(&port) && !tried.ports.contains(&port);
    if !port.is_some_and(keeps) {
        row.host_port = None;
    }
    let subnet = row.subnet.as_deref().and_then(|subnet| subnet.parse().ok());
    if !subnet.is_some_and(|subnet| config.subnets.contains(&subnet) && !tried.subnets.contains(&subnet)) {
        row.subnet = None;
    }
}

/// A fresh `VNC_PW`.
pub fn new_password() -> String {
    let mut password = String::with_capacity(PASSWORD_LENGTH);
    while password.len() < PASSWORD_LENGTH {
        // Six bits that number no character are thrown away, so that each character is as likely as any other.
        let picked = random_bytes::<PASSWORD_LENGTH>().map(|byte| PASSWORD_CHARACTERS.get(usize::from(byte & 63)));
        password.extend(picked.into_iter().flatten().map(|byte| char::from(*byte)));
    }
    password.truncate(PASSWORD_LENGTH);
    password
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desktop::tests::{database_with, row_of};
    use crate::store::testing::TestDatabase;

    fn config(ports: RangeInclusive<u16>, subnets: &str) -> DesktopConfig {
        DesktopConfig { ports, subnets: subnets.parse().unwrap(), ..DesktopConfig::for_tests() }
    }

    fn take(database: &TestDatabase, id: &str, config: &DesktopConfig, tried: &Tried) -> Result<ContainerRow, String> {
        let run = |c: &mut Connection| {
            let row = containers::list(c)?.into_iter().find(|row| row.id == id).unwrap();
            Ok(reserve(c, row, config, tried).map_err(|error| error.to_string()))
        };
        database.store.run_now(run).unwrap()
    }

    #[test]
    fn each_gets_its_own_until_nothing_is_left() {
        let database = database_with(["a", "b", "c"].map(|id| row_of(id, "requested")).into());
        let config = config(7000..=7001, "10.0.0.0/26");
        let one = take(&database, "a", &config, &Tried::default()).unwrap();
        let two = take(&database, "b", &config, &Tried::default()).unwrap();
        assert_ne!(one.host_port, two.host_port);
        assert_ne!(one.subnet, two.subnet);
        let error = take(&database, "c", &config, &Tried::default()).unwrap_err();
        assert_eq!(error, "no port left in 7000-7001");
        assert_eq!(take(&database, "a", &config, &Tried::default()).unwrap(), one, "what it has it keeps");
        let few = DesktopConfig { ports: 7000..=7005, subnets: "10.0.0.0/27".parse().unwrap(), ..config };
        assert!(take(&database, "a", &few, &Tried::default()).is_ok());
        assert!(take(&database, "b", &few, &Tried::default()).is_ok());
        let error = take(&database, "c", &few, &Tried::default()).unwrap_err();
        assert_eq!(error, "no network left in 10.0.0.0/27");
    }

    #[test]
    fn what_the_engine_refused_is_given_up() {
        let database = database_with(vec![row_of("a", "creating")]);
        let config = config(7000..=7001, "10.0.0.0/27");
        let first = take(&database, "a", &config, &Tried::default()).unwrap();
        let port = u16::try_from(first.host_port.unwrap()).unwrap();
        let subnet = first.subnet.clone().unwrap().parse().unwrap();
        let tried = Tried { ports: [port].into(), subnets: [subnet].into() };
        let second = take(&database, "a", &config, &tried).unwrap();
        assert_ne!(second.host_port, first.host_port);
        assert_ne!(second.subnet, first.subnet);
        let all = Tried { ports: [7000, 7001].into(), ..tried };
        assert_eq!(take(&database, "a", &config, &all).unwrap_err(), "no port left in 7000-7001");
    }

    #[test]
    fn no_port_where_none_is_needed() {
        let database = database_with(vec![row_of("a", "requested")]);
        let config = DesktopConfig { reach: DesktopReach::Network, ..config(7000..=7001, "10.0.0.0/27") };
        let row = take(&database, "a", &config, &Tried::default()).unwrap();
        assert!(row.host_port.is_none() && row.subnet.is_some());
    }

    #[test]
    fn many_at_once_never_get_the_same() {
        let ids: Vec<_> = (0..16).map(|n| format!("d{n}")).collect();
        let database = database_with(ids.iter().map(|id| row_of(id, "requested")).collect());
        let config = config(7000..=7015, "10.0.0.0/24");
        let rows: Vec<_> = std::thread::scope(|scope| {
            let take = |id| take(&database, id, &config, &Tried::default()).unwrap();
            let threads: Vec<_> = ids.iter().map(|id| scope.spawn(move || take(id))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let ports: HashSet<_> = rows.iter().map(|row| row.host_port.unwrap()).collect();
        let subnets: HashSet<_> = rows.iter().map(|row| row.subnet.clone().unwrap()).collect();
        assert_eq!((ports.len(), subnets.len()), (16, 16));
    }

    #[test]
    fn passwords_are_long_and_plain_and_differ() {
        let made: HashSet<_> = (0..100).map(|_| new_password()).collect();
        assert_eq!(made.len(), 100);
        assert!(made.iter().all(|one| one.len() == 24 && one.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    }
}
