//! Agents in the database.

use diesel::prelude::*;

use super::connection::write_transaction;
use super::models::AgentRow;
use super::schema::{agents, proxies};
use super::{Connection, StoreError};

/// All agents, by name.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection) -> Result<Vec<AgentRow>, StoreError> {
    Ok(agents::table.order(agents::client_id).select(AgentRow::as_select()).load(c)?)
}

/// One agent.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, client_id: &str) -> Result<Option<AgentRow>, StoreError> {
    Ok(agents::table.find(client_id).select(AgentRow::as_select()).first(c).optional()?)
}

/// Add an agent.
///
/// # Errors
/// `Duplicate` if the name is taken; `Missing` without its owner.
pub fn insert(c: &mut Connection, row: &AgentRow) -> Result<(), StoreError> {
    diesel::insert_into(agents::table).values(row).execute(c)?;
    Ok(())
}

/// Remove an agent.
///
/// # Errors
/// `InUse` while tunnels need it; `Missing` without it.
pub fn remove(c: &mut Connection, client_id: &str) -> Result<(), StoreError> {
    write_transaction(c, |c| {
        let tunnels: i64 = proxies::table.filter(proxies::client_id.eq(client_id)).count().get_result(c)?;
        if tunnels > 0 {
            return Err(StoreError::InUse { tunnels: usize::try_from(tunnels).unwrap_or(usize::MAX) });
        }
        super::one_row(diesel::delete(agents::table.find(client_id)).execute(c)?)
    })
}

/// Give an agent another token.
///
/// # Errors
/// `Missing` without the agent.
pub fn set_token_hash(c: &mut Connection, client_id: &str, token_hash: &str) -> Result<(), StoreError> {
    let change = diesel::update(agents::table.find(client_id)).set(agents::token_hash.eq(token_hash));
    super::one_row(change.execute(c)?)
}

/// Hand an agent over, or share it with everybody who may have tunnels.
///
/// # Errors
/// `Missing` without the agent or the new owner.
pub fn set_owner_shared(c: &mut Connection, client_id: &str, owner_id: &str, shared: bool) -> Result<(), StoreError> {
    let values = (agents::owner_id.eq(owner_id), agents::shared.eq(shared));
    super::one_row(diesel::update(agents::table.find(client_id)).set(values).execute(c)?)
}

/// An agent is or was here: when (milliseconds since 1970), from where, and what it says it is.
///
/// # Errors
/// `Missing` without the agent.
pub fn note_seen(
    c: &mut Connection,
    client_id: &str,
    at: i64,
    address: Option<&str>,
    version: Option<&str>,
) -> Result<(), StoreError> {
    let values = (agents::last_seen.eq(at), agents::address.eq(address), agents::version.eq(version));
    super::one_row(diesel::update(agents::table.find(client_id)).set(values).execute(c)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{self, agent, proxy, user};
    use crate::store::{proxies as tunnels, users};

    #[test]
    fn an_agent_is_added_once_and_found() {
        let database = testing::database_with_agent("pc1");
        assert_eq!(database.store.run_now(|c| find(c, "pc1")).unwrap(), Some(agent("pc1")));
        assert_eq!(database.store.run_now(|c| find(c, "PC1")).unwrap(), None);
        let again = database.store.run_now(|c| insert(c, &agent("pc1")));
        assert!(matches!(again, Err(StoreError::Duplicate(column)) if column == "agents.client_id"));
        database.store.run_now(|c| insert(c, &agent("an-earlier-name"))).unwrap();
        let names: Vec<_> = database.store.run_now(list).unwrap().into_iter().map(|row| row.client_id).collect();
        assert_eq!(names, ["an-earlier-name", "pc1"]);
    }

    #[test]
    fn an_agent_with_tunnels_stays() {
        let database = testing::database_with_agent("pc1");
        database.store.run_now(|c| tunnels::insert(c, &proxy("p1", "pc1", 13389))).unwrap();
        let needed = database.store.run_now(|c| remove(c, "pc1"));
        assert!(matches!(needed, Err(StoreError::InUse { tunnels: 1 })));
        database.store.run_now(|c| tunnels::delete(c, "p1")).unwrap();
        database.store.run_now(|c| remove(c, "pc1")).unwrap();
        assert!(matches!(database.store.run_now(|c| remove(c, "pc1")), Err(StoreError::Missing)));
    }

    #[test]
    fn an_agents_fields_change_one_by_one() {
        let database = testing::database_with_agent("pc1");
        let bob = user("bob");
        database.store.run_now(|c| users::insert(c, &bob)).unwrap();
        database.store.run_now(|c| set_token_hash(c, "pc1", "other")).unwrap();
        database.store.run_now(|c| set_owner_shared(c, "pc1", &bob.id, true)).unwrap();
        database.store.run_now(|c| note_seen(c, "pc1", 5, Some("10.0.0.1:99"), Some("a/1"))).unwrap();
        let row = database.store.run_now(|c| find(c, "pc1")).unwrap().unwrap();
        assert_eq!((row.token_hash.as_str(), row.owner_id.as_str(), row.shared), ("other", bob.id.as_str(), true));
        assert_eq!(
            (row.last_seen, row.address.as_deref(), row.version.as_deref()),
            (Some(5), Some("10.0.0.1:99"), Some("a/1"))
        );
        let nobody = database.store.run_now(|c| set_owner_shared(c, "pc1", "nobody", true));
        assert!(matches!(nobody, Err(StoreError::Missing)));
        assert!(matches!(database.store.run_now(|c| set_token_hash(c, "pc2", "x")), Err(StoreError::Missing)));
        assert!(matches!(database.store.run_now(|c| note_seen(c, "pc2", 5, None, None)), Err(StoreError::Missing)));
    }
}
