//! Sessions of browsers in the database.

use diesel::prelude::*;

use super::models::SessionRow;
use super::schema::sessions;
use super::{Connection, StoreError};

/// All sessions, expired ones among them.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection) -> Result<Vec<SessionRow>, StoreError> {
    Ok(sessions::table.select(SessionRow::as_select()).load(c)?)
}

/// Add a session.
///
/// # Errors
/// `Missing` without its user.
pub fn insert(c: &mut Connection, row: &SessionRow) -> Result<(), StoreError> {
    diesel::insert_into(sessions::table).values(row).execute(c)?;
    Ok(())
}

/// Remove a session. One that is gone already is no error.
///
/// # Errors
/// Those of the database.
pub fn remove(c: &mut Connection, id_hash: &str) -> Result<(), StoreError> {
    diesel::delete(sessions::table.find(id_hash)).execute(c)?;
    Ok(())
}

/// Remove a person's sessions, but for the one with the hash `except`.
///
/// # Errors
/// Those of the database.
pub fn remove_of_user(c: &mut Connection, user_id: &str, except: Option<&str>) -> Result<(), StoreError> {
    let of_user = sessions::table.filter(sessions::user_id.eq(user_id));
    // No hash is empty.
    diesel::delete(of_user.filter(sessions::id_hash.ne(except.unwrap_or_default()))).execute(c)?;
    Ok(())
}

/// Remove what was last used before `used_before` or ended before `now` (milliseconds since 1970).
///
/// # Errors
/// Those of the database.
pub fn remove_expired(c: &mut Connection, used_before: i64, now: i64) -> Result<usize, StoreError> {
    let over = sessions::last_used.lt(used_before).or(sessions::expires_at.le(now));
    Ok(diesel::delete(sessions::table.filter(over)).execute(c)?)
}

/// Store when a session was last used. One that is gone is no error.
///
/// # Errors
/// Those of the database.
pub fn note_used(c: &mut Connection, id_hash: &str, at: i64) -> Result<(), StoreError> {
    diesel::update(sessions::table.find(id_hash)).set(sessions::last_used.eq(at)).execute(c)?;
    Ok(())
}
