//! Values that the installation keeps for itself.

use diesel::prelude::*;

use super::schema::settings;
use super::values::new_id;
use super::{Connection, StoreError};

const INSTALLATION_ID: &str = "installation_id";

/// The id of this installation, made once. It labels what belongs to this database outside of it.
/// Call it in a write transaction.
///
/// # Errors
/// Those of the database.
pub(super) fn installation_id(c: &mut Connection) -> Result<String, StoreError> {
    let stored = settings::table.find(INSTALLATION_ID).select(settings::value).first::<String>(c).optional()?;
    if let Some(id) = stored {
        return Ok(id);
    }
    let id = new_id();
    diesel::insert_into(settings::table)
        .values((settings::key.eq(INSTALLATION_ID), settings::value.eq(&id)))
        .execute(c)?;
    Ok(id)
}

/// Change a row to what it is: shows at start whether the database takes writes.
///
/// # Errors
/// `Unavailable` if it does not.
pub(super) fn prove_writable(c: &mut Connection) -> Result<(), StoreError> {
    diesel::update(settings::table.find(INSTALLATION_ID)).set(settings::key.eq(INSTALLATION_ID)).execute(c)?;
    Ok(())
}
