//! The audit log in the database: entries are appended and read, never changed.

use diesel::dsl::max;
use diesel::prelude::*;

use super::connection::write_transaction;
use super::models::AuditRow;
use super::schema::audit_log;
use super::{Connection, StoreError};

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
        found = found.filter(audit_log::action.eq(action.clone()).or(audit_log::action.like(format!("{action}.%"))));
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
