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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{self, user};
    use crate::store::users;

    fn identity(provider: &str, subject: &str, name: &str) -> IdentityRow {
        IdentityRow { provider: provider.into(), subject: subject.into(), user_id: user(name).id, created_at: 1 }
    }

    #[test]
    fn an_identity_is_one_persons_and_a_person_has_one_of_each_provider() {
        let database = testing::database();
        let run = |row: IdentityRow| database.store.run_now(|c| insert(c, &row));
        database.store.run_now(|c| users::insert(c, &user("alice")).and(users::insert(c, &user("bob")))).unwrap();
        run(identity("corp", "1", "alice")).unwrap();
        run(identity("other", "1", "bob")).unwrap();
        assert!(matches!(run(identity("corp", "1", "bob")), Err(StoreError::Duplicate(_))), "it is somebody's");
        assert!(matches!(run(identity("corp", "2", "alice")), Err(StoreError::Duplicate(_))), "a second of a provider");
        assert!(matches!(run(identity("corp", "3", "carol")), Err(StoreError::Missing)));
        run(identity("corp", "2", "bob")).unwrap();
        assert_eq!(database.store.run_now(list).unwrap().len(), 3);

        let unlink = |name: &str, provider: &str| database.store.run_now(|c| remove(c, &user(name).id, provider));
        unlink("bob", "corp").unwrap();
        assert!(matches!(unlink("bob", "corp"), Err(StoreError::Missing)));
        assert!(matches!(unlink("alice", "other"), Err(StoreError::Missing)));
        database.store.run_now(|c| users::remove(c, &user("alice").id)).unwrap();
        assert_eq!(database.store.run_now(list).unwrap(), [identity("other", "1", "bob")]);
    }
}
