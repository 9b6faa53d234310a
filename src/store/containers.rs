//! Desktops in the database.

use diesel::prelude::*;

use super::models::ContainerRow;
use super::schema::containers;
use super::{Connection, StoreError};

/// All desktops, the oldest first.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection) -> Result<Vec<ContainerRow>, StoreError> {
    let oldest_first = containers::table.order((containers::created_at, containers::id));
    Ok(oldest_first.select(ContainerRow::as_select()).load(c)?)
}

/// The desktop with this id.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Connection, id: &str) -> Result<Option<ContainerRow>, StoreError> {
    Ok(containers::table.find(id).select(ContainerRow::as_select()).first(c).optional()?)
}

/// Whether any secret stands in the database that only the installation's key can read.
///
/// # Errors
/// Those of the database.
pub fn sealed(c: &mut Connection) -> Result<Vec<(String, String)>, StoreError> {
    let rows = containers::table.filter(containers::password.is_not_null());
    let rows: Vec<(String, Option<String>)> = rows.select((containers::id, containers::password)).load(c)?;
    Ok(rows.into_iter().filter_map(|(id, sealed)| Some((id, sealed?))).collect())
}

/// Add a desktop.
///
/// # Errors
/// `Missing` without its owner or type; `Duplicate` if the path is taken or the person has one of this type.
pub fn insert(c: &mut Connection, row: &ContainerRow) -> Result<(), StoreError> {
    diesel::insert_into(containers::table).values(row).execute(c)?;
    Ok(())
}

/// Store what changes in a desktop's life, all but `last_accessed`.
///
/// # Errors
/// `Missing` without it; `Duplicate` naming `containers.host_port` or `containers.subnet` if another has it.
pub fn update(c: &mut Connection, row: &ContainerRow) -> Result<(), StoreError> {
    let changed = diesel::update(containers::table.find(&row.id))
        .set((
            containers::status.eq(&row.status),
            containers::reason.eq(&row.reason),
            containers::container_id.eq(&row.container_id),
            containers::host_port.eq(row.host_port),
            containers::subnet.eq(&row.subnet),
            containers::address.eq(&row.address),
            containers::password.eq(&row.password),
            containers::started_at.eq(row.started_at),
            containers::stopped_at.eq(row.stopped_at),
        ))
        .execute(c)?;
    super::one_row(changed)
}

/// Store when desktops were last used, all at once. One that was removed meanwhile is passed over.
///
/// # Errors
/// Those of the database.
pub fn store_accesses(c: &mut Connection, accesses: &[(String, i64)]) -> Result<(), StoreError> {
    if accesses.is_empty() {
        return Ok(());
    }
    super::write_transaction(c, |c| {
        for (id, at) in accesses {
            diesel::update(containers::table.find(id)).set(containers::last_accessed.eq(at)).execute(c)?;
        }
        Ok(())
    })
}

/// Remove a desktop.
///
/// # Errors
/// `Missing` without it.
pub fn delete(c: &mut Connection, id: &str) -> Result<(), StoreError> {
    super::one_row(diesel::delete(containers::table.find(id)).execute(c)?)
}
