//! API tokens in the database.

use diesel::prelude::*;

use super::models::{TokenRow, UserRow};
use super::schema::{api_tokens, users};
use super::{Connection, StoreError};

/// How exact `last_used` is, in milliseconds, so that reading through the API does not write each time.
pub const LAST_USED_STEP_MS: i64 = 60_000;

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

/// Whether a use now is worth storing: the stored one is older than `LAST_USED_STEP_MS`.
pub fn use_is_news(row: &TokenRow, now: i64) -> bool {
    row.last_used.is_none_or(|last| now.saturating_sub(last) >= LAST_USED_STEP_MS)
}

/// Store that a token was used now. Writes only what is news, also when another connection was faster.
///
/// # Errors
/// Those of the database; a token that is gone is none.
pub fn note_used(c: &mut Connection, id: &str, now: i64) -> Result<(), StoreError> {
    let limit = now.saturating_sub(LAST_USED_STEP_MS);
    let stale = api_tokens::last_used.is_null().or(api_tokens::last_used.le(limit));
    let filtered = api_tokens::table.filter(api_tokens::id.eq(id)).filter(stale);
    diesel::update(filtered).set(api_tokens::last_used.eq(now)).execute(c)?;
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
    fn a_use_is_stored_once_a_minute() {
        let database = testing::database();
        let alice = user("alice");
        database.store.run_now(|c| accounts::insert(c, &alice).and(insert(c, &token("t1", &alice, "h1")))).unwrap();
        let used_at = |now: i64| {
            database.store.run_now(|c| note_used(c, "t1", now)).unwrap();
            database.store.run_now(|c| find_by_hash(c, "h1")).unwrap().unwrap().0
        };
        assert_eq!(used_at(100_000).last_used, Some(100_000));
        assert_eq!(used_at(159_999).last_used, Some(100_000));
        let row = used_at(160_000);
        assert_eq!(row.last_used, Some(160_000));
        assert!(!use_is_news(&row, 219_999));
        assert!(use_is_news(&row, 220_000));
        assert!(use_is_news(&token("t2", &alice, "h2"), 0));
    }
}
