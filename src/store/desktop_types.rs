//! Kinds of desktops in the database.

use diesel::prelude::*;

use super::connection::write_transaction;
use super::models::DesktopTypeRow;
use super::schema::{containers, desktop_types};
use super::{Connection, StoreError};

/// All of them, by name.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection) -> Result<Vec<DesktopTypeRow>, StoreError> {
    Ok(desktop_types::table.order(desktop_types::name).select(DesktopTypeRow::as_select()).load(c)?)
}

/// Add one.
///
/// # Errors
/// `Duplicate` if the name is taken.
pub fn insert(c: &mut Connection, row: &DesktopTypeRow) -> Result<(), StoreError> {
    diesel::insert_into(desktop_types::table).values(row).execute(c)?;
    Ok(())
}

/// Store all of it under its id.
///
/// # Errors
/// `Missing` without it; `Duplicate` if the new name is taken.
pub fn update(c: &mut Connection, row: &DesktopTypeRow) -> Result<(), StoreError> {
    super::one_row(diesel::update(desktop_types::table.find(&row.id)).set(row).execute(c)?)
}

/// Remove one.
///
/// # Errors
/// `Missing` without it; `TypeInUse` while somebody has a desktop of it.
pub fn delete(c: &mut Connection, id: &str) -> Result<(), StoreError> {
    write_transaction(c, |c| {
        let desktops: i64 = containers::table.filter(containers::type_id.eq(id)).count().get_result(c)?;
        if desktops > 0 {
            return Err(StoreError::TypeInUse { desktops: usize::try_from(desktops).unwrap_or(usize::MAX) });
        }
        super::one_row(diesel::delete(desktop_types::table.find(id)).execute(c)?)
    })
}
