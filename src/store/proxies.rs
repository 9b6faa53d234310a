//! Tunnels in the database.

use diesel::prelude::*;

use super::connection::write_transaction;
use super::models::ProxyRow;
use super::schema::{agents, proxies};
use super::{Connection, StoreError};

/// A tunnel's counters, as they shall stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    pub proxy_id: String,
    pub bytes_in: i64,
    pub bytes_out: i64,
    pub connections_total: i64,
    pub dial_errors: i64,
    pub last_dial_error: Option<String>,
}

/// All tunnels, the oldest first.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection) -> Result<Vec<ProxyRow>, StoreError> {
    let oldest_first = proxies::table.order((proxies::created_at, proxies::proxy_id));
    Ok(oldest_first.select(ProxyRow::as_select()).load(c)?)
}

/// Add a tunnel.
///
/// # Errors
/// `Missing` without its agent; `Duplicate` if the port or the id is taken.
pub fn insert(c: &mut Connection, row: &ProxyRow) -> Result<(), StoreError> {
    write_transaction(c, |c| {
        let agent = agents::table.find(&row.client_id).select(agents::client_id).first::<String>(c);
        agent.optional()?.ok_or(StoreError::Missing)?;
        diesel::insert_into(proxies::table).values(row).execute(c)?;
        Ok(())
    })
}

/// Store all of a tunnel but its totals and when it was made.
///
/// # Errors
/// `Missing` without the tunnel or its agent; `Duplicate` if the port is taken.
pub fn update(c: &mut Connection, row: &ProxyRow) -> Result<(), StoreError> {
    let changed = diesel::update(proxies::table.find(&row.proxy_id))
        .set((
            proxies::client_id.eq(&row.client_id),
            proxies::owner_id.eq(&row.owner_id),
            proxies::name.eq(&row.name),
            proxies::protocol.eq(&row.protocol),
            proxies::remote_host.eq(&row.remote_host),
            proxies::remote_port.eq(row.remote_port),
            proxies::local_port.eq(row.local_port),
            proxies::bind.eq(&row.bind),
            proxies::enabled.eq(row.enabled),
            proxies::allow.eq(&row.allow),
            proxies::max_connections.eq(row.max_connections),
        ))
        .execute(c)?;
    super::one_row(changed)
}

/// Remove a tunnel.
///
/// # Errors
/// `Missing` without it.
pub fn delete(c: &mut Connection, proxy_id: &str) -> Result<(), StoreError> {
    super::one_row(diesel::delete(proxies::table.find(proxy_id)).execute(c)?)
}

/// Store the counters of many tunnels at once, all or none. A tunnel that was removed meanwhile is passed over.
///
/// # Errors
/// Those of the database.
pub fn store_totals(c: &mut Connection, totals: &[Totals]) -> Result<(), StoreError> {
    if totals.is_empty() {
        return Ok(());
    }
    write_transaction(c, |c| totals.iter().try_for_each(|one| store_one(c, one)))
}

fn store_one(c: &mut Connection, totals: &Totals) -> Result<(), StoreError> {
    diesel::update(proxies::table.find(&totals.proxy_id))
        .set((
            proxies::bytes_in.eq(totals.bytes_in),
            proxies::bytes_out.eq(totals.bytes_out),
            proxies::connections_total.eq(totals.connections_total),
            proxies::dial_errors.eq(totals.dial_errors),
            proxies::last_dial_error.eq(&totals.last_dial_error),
        ))
        .execute(c)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{self, agent, proxy};

    #[test]
    fn a_tunnel_is_kept_changed_and_removed() {
        let database = testing::database_with_agent("pc1");
        let mut row = proxy("p1", "pc1", 13389);
        row.allow = "10.0.0.0/8,192.168.0.0/16".into();
        row.max_connections = Some(7);
        database.store.run_now(|c| insert(c, &row)).unwrap();
        assert_eq!(database.store.run_now(list).unwrap(), vec![row.clone()]);

        let changed = ProxyRow { local_port: 13390, name: Some("desk".into()), max_connections: None, ..row.clone() };
        database.store.run_now(|c| update(c, &ProxyRow { bytes_in: 99, ..changed.clone() })).unwrap();
        assert_eq!(database.store.run_now(list).unwrap(), vec![changed], "totals stay, None clears a field");

        database.store.run_now(|c| delete(c, "p1")).unwrap();
        assert_eq!(database.store.run_now(list).unwrap(), vec![]);
        assert!(matches!(database.store.run_now(|c| delete(c, "p1")), Err(StoreError::Missing)));
        assert!(matches!(database.store.run_now(|c| update(c, &row)), Err(StoreError::Missing)));
    }

    #[test]
    fn a_port_belongs_to_one_tunnel() {
        let database = testing::database_with_agent("pc1");
        database.store.run_now(|c| insert(c, &proxy("p1", "pc1", 13389))).unwrap();
        database.store.run_now(|c| insert(c, &proxy("p2", "pc1", 13390))).unwrap();
        let taken = database.store.run_now(|c| insert(c, &proxy("p3", "pc1", 13389)));
        assert!(matches!(taken, Err(StoreError::Duplicate(column)) if column == "proxies.local_port"));
        let moved = database.store.run_now(|c| update(c, &proxy("p2", "pc1", 13389)));
        assert!(matches!(moved, Err(StoreError::Duplicate(_))));
        assert_eq!(database.store.run_now(list).unwrap().len(), 2);
    }

    #[test]
    fn a_tunnel_needs_its_agent() {
        let database = testing::database_with_agent("pc1");
        let orphan = database.store.run_now(|c| insert(c, &proxy("p1", "pc2", 13389)));
        assert!(matches!(orphan, Err(StoreError::Missing)));
        database.store.run_now(|c| insert(c, &proxy("p1", "pc1", 13389))).unwrap();
        let moved = database.store.run_now(|c| update(c, &proxy("p1", "pc2", 13389)));
        assert!(matches!(moved, Err(StoreError::Missing)), "the reference is enforced");
        database.store.run_now(|c| crate::store::agents::insert(c, &agent("pc2"))).unwrap();
        database.store.run_now(|c| update(c, &proxy("p1", "pc2", 13389))).unwrap();
    }

    #[test]
    fn totals_are_stored_together() {
        let database = testing::database_with_agent("pc1");
        database.store.run_now(|c| insert(c, &proxy("p1", "pc1", 13389))).unwrap();
        let counted = |proxy_id: &str| Totals {
            proxy_id: proxy_id.into(),
            bytes_in: 1 << 40,
            bytes_out: 2,
            connections_total: 3,
            dial_errors: 4,
            last_dial_error: Some("refused".into()),
        };
        database.store.run_now(|c| store_totals(c, &[counted("gone"), counted("p1")])).unwrap();
        let row = database.store.run_now(list).unwrap().remove(0);
        assert_eq!((row.bytes_in, row.bytes_out, row.connections_total, row.dial_errors), (1 << 40, 2, 3, 4));
        assert_eq!(row.last_dial_error.as_deref(), Some("refused"));
        database.store.run_now(|c| store_totals(c, &[])).unwrap();
    }
}
