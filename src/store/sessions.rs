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

/// Store when a session was last used, unless a later use is stored. One that is gone is no error.
///
/// # Errors
/// Those of the database.
pub fn note_used(c: &mut Connection, id_hash: &str, at: i64) -> Result<(), StoreError> {
    let earlier = sessions::table.find(id_hash).filter(sessions::last_used.lt(at));
    diesel::update(earlier).set(sessions::last_used.eq(at)).execute(c)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{self, TestDatabase, user};
    use crate::store::users;

    fn session(hash: &str, name: &str, last_used: i64, expires_at: i64) -> SessionRow {
        SessionRow {
            id_hash: hash.into(),
            user_id: user(name).id,
            created_at: 0,
            last_used,
            expires_at,
            method: "password".into(),
        }
    }

    /// With three sessions of alice and one of bob.
    fn database() -> TestDatabase {
        let database = testing::database();
        let rows = [("a1", "alice", 10), ("a2", "alice", 20), ("a3", "alice", 30), ("b1", "bob", 10)];
        database
            .store
            .run_now(|c| {
                users::insert(c, &user("alice")).and(users::insert(c, &user("bob")))?;
                rows.iter().try_for_each(|(hash, name, used)| insert(c, &session(hash, name, *used, 100)))
            })
            .unwrap();
        database
    }

    fn hashes(database: &TestDatabase) -> String {
        let mut hashes: Vec<_> = database.store.run_now(list).unwrap().into_iter().map(|row| row.id_hash).collect();
        hashes.sort_unstable();
        hashes.join(" ")
    }

    #[test]
    fn a_session_needs_its_user_and_goes_with_it() {
        let database = database();
        let orphan = database.store.run_now(|c| insert(c, &session("c1", "carol", 0, 100)));
        assert!(matches!(orphan, Err(StoreError::Missing)));
        let twin = database.store.run_now(|c| insert(c, &session("a1", "bob", 0, 100)));
        assert!(matches!(twin, Err(StoreError::Duplicate(column)) if column == "sessions.id_hash"));
        database.store.run_now(|c| users::remove(c, &user("alice").id)).unwrap();
        assert_eq!(hashes(&database), "b1");
    }

    #[test]
    fn one_or_all_or_all_but_one_are_removed() {
        let database = database();
        database.store.run_now(|c| remove(c, "a1").and(remove(c, "a1"))).unwrap();
        assert_eq!(hashes(&database), "a2 a3 b1");
        database.store.run_now(|c| remove_of_user(c, &user("alice").id, Some("a3"))).unwrap();
        assert_eq!(hashes(&database), "a3 b1");
        database.store.run_now(|c| remove_of_user(c, &user("alice").id, Some("b1"))).unwrap();
        assert_eq!(hashes(&database), "b1", "another person's session keeps none");
        database.store.run_now(|c| remove_of_user(c, &user("bob").id, None)).unwrap();
        assert_eq!(hashes(&database), "");
    }

    #[test]
    fn what_is_over_is_removed() {
        for (used_before, now, left, count) in
            [(10, 99, "a1 a2 a3 b1", 0), (20, 99, "a2 a3", 2), (0, 100, "", 4), (31, 0, "", 4)]
        {
            let database = database();
            let removed = database.store.run_now(|c| remove_expired(c, used_before, now)).unwrap();
            assert_eq!((hashes(&database).as_str(), removed), (left, count), "{used_before} {now}");
        }
    }

    #[test]
    fn a_later_use_stays() {
        let database = database();
        for (at, expected) in [(5, 10), (11, 11), (10, 11)] {
            database.store.run_now(|c| note_used(c, "a1", at).and(note_used(c, "unknown", at))).unwrap();
            let row = database.store.run_now(list).unwrap().into_iter().find(|row| row.id_hash == "a1").unwrap();
            assert_eq!(row.last_used, expected);
        }
    }
}
