//! What OpenID providers call people, in the database.

use diesel::prelude::*;

use super::models::IdentityRow;
use super::schema::identities;
use super::{Connection, StoreError};

/// All identities.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection) -> Result<Vec<IdentityRow>, StoreError> {
    Ok(identities::table.select(IdentityRow::as_select()).load(c)?)
}

/// Add an identity.
///
/// # Errors
/// `Duplicate` if it belongs to an account already, or the account has one of this provider; `Missing` without the
/// account.
pub fn insert(c: &mut Connection, row: &IdentityRow) -> Result<(), StoreError> {
    diesel::insert_into(identities::table).values(row).execute(c)?;
    Ok(())
}

/// Remove what links an account to a provider.
///
/// # Errors
/// `Missing` if they are not linked.
pub fn remove(c: &mut Connection, user_id: &str, provider: &str) -> Result<(), StoreError> {
    let linked = identities::table.filter(identities::user_id.eq(user_id)).filter(identities::provider.eq(provider));
    super::one_row(diesel::delete(linked).execute(c)?)
}
