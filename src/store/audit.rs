//! The audit log in the database: entries are appended and read, never changed.

use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};

use super::connection::write_transaction;
use super::models::AuditRow;
use super::schema::audit_log;
use super::{Connection, StoreError};

diesel::define_sql_function! {
    /// Characters of a text from the `first` one on, which is 1.
    fn substr(text: Text, first: Integer, length: Integer) -> Text;
}

/// Which entries are asked for. All that is given has to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    pub actor: Option<String>,
    /// The whole word, or everything before its first dot.
    pub action: Option<String>,
    pub object: Option<String>,
    pub outcome: Option<String>,
    /// Not before this, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Before this, in milliseconds since 1970.
    pub until: Option<i64>,
    /// Only entries with lower ids.
    pub before_id: Option<i64>,
    /// The most entries.
    pub limit: i64,
}

/// Append entries; the id that each row has is replaced by one beyond all others.
///
/// # Errors
/// Those of the database, with nothing appended.
pub fn append(c: &mut Connection, mut rows: Vec<AuditRow>) -> Result<(), StoreError> {
    write_transaction(c, |c| {
        let highest: Option<i64> = audit_log::table.select(max(audit_log::id)).first(c)?;
        let mut id = highest.unwrap_or(0);
        for row in &mut rows {
            id += 1;
            row.id = id;
            diesel::insert_into(audit_log::table).values(&*row).execute(c)?;
        }
        Ok(())
    })
}

/// Entries that fit, the newest first.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
    let mut found = audit_log::table.select(AuditRow::as_select()).order(audit_log::id.desc()).into_boxed();
    if let Some(actor) = &query.actor {
        found = found.filter(audit_log::actor.eq(actor.clone()));
    }
    if let Some(action) = &query.action {
        let kind = format!("{action}.");
        // Not LIKE: what is asked for may hold its wildcards, and case counts.
        let length = i32::try_from(kind.chars().count()).unwrap_or(i32::MAX);
        let of_kind = substr(audit_log::action, 1, length).eq(kind);
        found = found.filter(audit_log::action.eq(action.clone()).or(of_kind));
    }
    if let Some(object) = &query.object {
        found = found.filter(audit_log::object.eq(object.clone()));
    }
    if let Some(outcome) = &query.outcome {
        found = found.filter(audit_log::outcome.eq(outcome.clone()));
    }
    if let Some(since) = query.since {
        found = found.filter(audit_log::at.ge(since));
    }
    if let Some(until) = query.until {
        found = found.filter(audit_log::at.lt(until));
    }
    if let Some(before) = query.before_id {
        found = found.filter(audit_log::id.lt(before));
    }
    Ok(found.limit(query.limit).load(c)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::testing::{self, TestDatabase};

    fn entry(actor: &str, action: &str, at: i64) -> AuditRow {
        AuditRow {
            id: 0,
            at,
            actor: actor.into(),
            action: action.into(),
            object: None,
            address: None,
            outcome: "ok".into(),
            detail: None,
        }
    }

    /// Five entries, the first of them with the id 1.
    fn filled() -> TestDatabase {
        let database = testing::database();
        let object = |row, object: &str| AuditRow { object: Some(object.into()), ..row };
        let rows = vec![
            object(entry("alice", "tunnel.create", 10), "p1"),
            object(entry("bob", "tunnel.delete", 20), "p1"),
            AuditRow { outcome: "denied".into(), ..entry("alice", "tunnels.create", 30) },
            entry("alice", "user.create", 40),
            entry("-", "tunnel_create", 50),
        ];
        database.store.run_now(|c| append(c, rows)).unwrap();
        database
    }

    fn ids(database: &TestDatabase, query: AuditQuery) -> Vec<i64> {
        let limit = if query.limit == 0 { 100 } else { query.limit };
        let found = database.store.run_now(|c| find(c, &AuditQuery { limit, ..query })).unwrap();
        found.into_iter().map(|row| row.id).collect()
    }

    #[test]
    fn entries_come_back_as_they_were_the_newest_first_in_pages() {
        let database = filled();
        let newest = database.store.run_now(|c| find(c, &AuditQuery { limit: 1, ..AuditQuery::default() })).unwrap();
        assert_eq!(newest, [AuditRow { id: 5, ..entry("-", "tunnel_create", 50) }]);
        let page = |before_id, limit| ids(&database, AuditQuery { before_id, limit, ..AuditQuery::default() });
        assert_eq!(page(None, 100), [5, 4, 3, 2, 1]);
        assert_eq!(page(None, 2), [5, 4]);
        assert_eq!(page(Some(4), 2), [3, 2]);
        assert_eq!(page(Some(2), 2), [1]);
        assert!(page(Some(1), 2).is_empty());
    }

    #[test]
    fn all_filters_have_to_fit() {
        let database = filled();
        let some = |text: &str| Some(text.to_owned());
        let all = AuditQuery::default;
        let table = [
            (AuditQuery { actor: some("alice"), ..all() }, vec![4, 3, 1]),
            (AuditQuery { actor: some("Alice"), ..all() }, vec![]),
            (AuditQuery { action: some("tunnel.create"), ..all() }, vec![1]),
            (AuditQuery { action: some("tunnel"), ..all() }, vec![2, 1]),
            (AuditQuery { action: some("TUNNEL"), ..all() }, vec![]),
            (AuditQuery { action: some("tunnel."), ..all() }, vec![]),
            (AuditQuery { action: some("%"), ..all() }, vec![]),
            (AuditQuery { action: some("tunne_"), ..all() }, vec![]),
            (AuditQuery { action: some("tunnel_create"), ..all() }, vec![5]),
            (AuditQuery { action: some(""), ..all() }, vec![]),
            (AuditQuery { object: some("p1"), ..all() }, vec![2, 1]),
            (AuditQuery { object: some("p1' OR 1=1 --"), ..all() }, vec![]),
            (AuditQuery { outcome: some("denied"), ..all() }, vec![3]),
            (AuditQuery { since: Some(20), until: Some(40), ..all() }, vec![3, 2]),
            (AuditQuery { actor: some("alice"), object: some("p1"), ..all() }, vec![1]),
            (AuditQuery { actor: some("bob"), action: some("user"), ..all() }, vec![]),
        ];
        for (query, expected) in table {
            assert_eq!(ids(&database, query.clone()), expected, "{query:?}");
        }
    }

    #[test]
    fn two_programs_that_append_at_once_get_ids_of_their_own() {
        const EACH: i64 = 50;
        let database = testing::database();
        let url = database.url();
        let writers = ["one", "other"].map(|actor| {
            let store = Store::open(&url).unwrap();
            std::thread::spawn(move || {
                for at in 0..EACH {
                    store.run_now(|c| append(c, vec![entry(actor, "x.y", at), entry(actor, "x.z", at)])).unwrap();
                }
            })
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let whole = AuditQuery { limit: 1000, ..AuditQuery::default() };
        let mut rows = database.store.run_now(|c| find(c, &whole)).unwrap();
        rows.reverse();
        let expected: Vec<i64> = (1..=4 * EACH).collect();
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), expected);
        for actor in ["one", "other"] {
            let own: Vec<i64> = rows.iter().filter(|row| row.actor == actor).map(|row| row.at).collect();
            assert!(own.is_sorted() && own.len() == 100, "each in its own order");
        }
    }

    #[test]
    fn what_is_appended_within_a_change_goes_with_it() {
        let database = testing::database();
        let failed: Result<(), StoreError> = database.store.run_now(|c| {
            write_transaction(c, |c| {
                append(c, vec![entry("alice", "user.create", 1)])?;
                Err(StoreError::Missing)
            })
        });
        assert!(failed.is_err());
        assert_eq!(ids(&database, AuditQuery::default()), Vec::<i64>::new());
    }
}
