//! API tokens in the database.

use diesel::prelude::*;

use super::models::{TokenRow, UserRow};
use super::schema::{api_tokens, users};
use super::{Connection, StoreError};

/// Add a token.
///
/// # Errors
/// `Missing` without its user.
pub fn insert(c: &mut Connection, row: &TokenRow) -> Result<(), StoreError> {
    diesel::insert_into(api_tokens::table).values(row).execute(c)?;
    Ok(())
}

/// The token with this hash, and whose it is.
///
/// # Errors
/// Those of the database.
pub fn find_by_hash(c: &mut Connection, token_hash: &str) -> Result<Option<(TokenRow, UserRow)>, StoreError> {
    let found = api_tokens::table.inner_join(users::table).filter(api_tokens::token_hash.eq(token_hash));
    Ok(found.select((TokenRow::as_select(), UserRow::as_select())).first(c).optional()?)
}

/// All tokens and whose they are, the oldest first.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection) -> Result<Vec<(TokenRow, UserRow)>, StoreError> {
    let all = api_tokens::table.inner_join(users::table).order((api_tokens::created_at, api_tokens::id));
    Ok(all.select((TokenRow::as_select(), UserRow::as_select())).load(c)?)
}

/// Remove the token with this id.
///
/// # Errors
/// `Missing` without it.
pub fn remove(c: &mut Connection, id: &str) -> Result<(), StoreError> {
    super::one_row(diesel::delete(api_tokens::table.find(id)).execute(c)?)
}

/// Store when the token with this hash was last used, unless a later use is stored. One that is gone is no error.
///
/// # Errors
/// Those of the database.
pub fn note_used(c: &mut Connection, token_hash: &str, at: i64) -> Result<(), StoreError> {
    let earlier = api_tokens::last_used.is_null().or(api_tokens::last_used.lt(at));
    let used = api_tokens::table.filter(api_tokens::token_hash.eq(token_hash)).filter(earlier);
    diesel::update(used).set(api_tokens::last_used.eq(at)).execute(c)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{self, user};
    use crate::store::users as accounts;

    fn token(id: &str, user: &UserRow, hash: &str) -> TokenRow {
        TokenRow {
            id: id.into(),
            user_id: user.id.clone(),
            name: "ci".into(),
            token_hash: hash.into(),
            scopes: "tunnels:read".into(),
            created_at: 1,
            expires_at: None,
            last_used: None,
        }
    }

    #[test]
    fn a_token_is_found_with_its_user_and_removed() {
        let database = testing::database();
        let (alice, bob) = (user("alice"), user("bob"));
        database.store.run_now(|c| accounts::insert(c, &alice).and(accounts::insert(c, &bob))).unwrap();
        let (first, second) = (token("t1", &alice, "h1"), token("t2", &bob, "h2"));
        database.store.run_now(|c| insert(c, &first).and(insert(c, &second))).unwrap();
        let found = database.store.run_now(|c| find_by_hash(c, "h2")).unwrap();
        assert_eq!(found, Some((second.clone(), bob.clone())));
        assert_eq!(database.store.run_now(|c| find_by_hash(c, "h3")).unwrap(), None);
        assert_eq!(database.store.run_now(list).unwrap(), vec![(first, alice.clone()), (second, bob)]);
        database.store.run_now(|c| remove(c, "t2")).unwrap();
        assert_eq!(database.store.run_now(|c| find_by_hash(c, "h2")).unwrap(), None);
        assert!(matches!(database.store.run_now(|c| remove(c, "t2")), Err(StoreError::Missing)));
        let stranger = UserRow { id: "none".into(), ..alice };
        let orphan = database.store.run_now(|c| insert(c, &token("t3", &stranger, "h3")));
        assert!(matches!(orphan, Err(StoreError::Missing)));
    }

    #[test]
    fn the_last_use_of_a_token_is_stored_by_what_was_shown() {
        let database = testing::database();
        let alice = user("alice");
        database.store.run_now(|c| accounts::insert(c, &alice).and(insert(c, &token("t1", &alice, "h1")))).unwrap();
        let used_at = |hash: &'static str, at: i64| {
            database.store.run_now(|c| note_used(c, hash, at)).unwrap();
            database.store.run_now(|c| find_by_hash(c, "h1")).unwrap().unwrap().0.last_used
        };
        assert_eq!(used_at("t1", 100), None, "an id is no hash");
        assert_eq!(used_at("h1", 100), Some(100));
        assert_eq!(used_at("h1", 99), Some(100), "a later use is known");
        assert_eq!(used_at("h1", 101), Some(101));
    }
}
