//! Accounts in the database.

use diesel::prelude::*;

use super::connection::write_transaction;
use super::models::UserRow;
use super::schema::{agents, containers, proxies, users};
use super::{Connection, StoreError};

/// All accounts, by name.
///
/// # Errors
/// Those of the database.
pub fn list(c: &mut Connection) -> Result<Vec<UserRow>, StoreError> {
    Ok(users::table.order(users::username).select(UserRow::as_select()).load(c)?)
}

/// The account of this name.
///
/// # Errors
/// Those of the database.
pub fn find_by_name(c: &mut Connection, username: &str) -> Result<Option<UserRow>, StoreError> {
    let named = users::table.filter(users::username.eq(username));
    Ok(named.select(UserRow::as_select()).first(c).optional()?)
}

/// The account with this id.
///
/// # Errors
/// `Missing` without it.
pub fn get(c: &mut Connection, id: &str) -> Result<UserRow, StoreError> {
    Ok(users::table.find(id).select(UserRow::as_select()).first(c)?)
}

/// Add an account.
///
/// # Errors
/// `Duplicate` if the name is taken.
pub fn insert(c: &mut Connection, row: &UserRow) -> Result<(), StoreError> {
    diesel::insert_into(users::table).values(row).execute(c)?;
    Ok(())
}

/// Change the password of the account with this id.
///
/// # Errors
/// `Missing` without it.
pub fn set_password_hash(c: &mut Connection, id: &str, password_hash: &str) -> Result<(), StoreError> {
    let change = diesel::update(users::table.find(id)).set(users::password_hash.eq(Some(password_hash)));
    super::one_row(change.execute(c)?)
}

/// How many accounts there are.
///
/// # Errors
/// Those of the database.
pub fn count(c: &mut Connection) -> Result<i64, StoreError> {
    Ok(users::table.count().get_result(c)?)
}

/// Store an account's row as it is now, but for its name and when it last signed in.
///
/// # Errors
/// `Missing` without the account.
pub fn update(c: &mut Connection, row: &UserRow) -> Result<(), StoreError> {
    let values = (
        users::display_name.eq(&row.display_name),
        users::email.eq(&row.email),
        users::password_hash.eq(&row.password_hash),
        users::role.eq(&row.role),
        users::active.eq(row.active),
        row.limits,
    );
    super::one_row(diesel::update(users::table.find(&row.id)).set(values).execute(c)?)
}

/// Store when somebody signed in to an account, in milliseconds since 1970.
///
/// # Errors
/// `Missing` without the account.
pub fn note_sign_in(c: &mut Connection, id: &str, at: i64) -> Result<(), StoreError> {
    super::one_row(diesel::update(users::table.find(id)).set(users::last_sign_in.eq(at)).execute(c)?)
}

/// Remove an account, and with it its sessions, tokens and identities.
///
/// # Errors
/// `Owns` while it has agents, tunnels or desktops; `Missing` without it.
pub fn remove(c: &mut Connection, id: &str) -> Result<(), StoreError> {
    write_transaction(c, |c| {
        let agents: i64 = agents::table.filter(agents::owner_id.eq(id)).count().get_result(c)?;
        let tunnels: i64 = proxies::table.filter(proxies::owner_id.eq(id)).count().get_result(c)?;
        let desktops: i64 = containers::table.filter(containers::owner_id.eq(id)).count().get_result(c)?;
        if agents > 0 || tunnels > 0 || desktops > 0 {
            let number = |count: i64| usize::try_from(count).unwrap_or(usize::MAX);
            let (agents, tunnels, desktops) = (number(agents), number(tunnels), number(desktops));
            return Err(StoreError::Owns { agents, tunnels, desktops });
        }
        super::one_row(diesel::delete(users::table.find(id)).execute(c)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::models::OwnLimits;
    use crate::store::testing::{self, user};

    #[test]
    fn an_account_is_added_once_found_and_changed() {
        let database = testing::database();
        assert_eq!(database.store.run_now(count).unwrap(), 0);
        let mut alice = user("alice");
        database.store.run_now(|c| insert(c, &alice)).unwrap();
        database.store.run_now(|c| insert(c, &user("aaron"))).unwrap();
        assert_eq!(database.store.run_now(count).unwrap(), 2);
        let names: Vec<_> = database.store.run_now(list).unwrap().into_iter().map(|row| row.username).collect();
        assert_eq!(names, ["aaron", "alice"]);

        let twin = UserRow { id: "other".into(), ..alice.clone() };
        let taken = database.store.run_now(|c| insert(c, &twin));
        assert!(matches!(taken, Err(StoreError::Duplicate(column)) if column == "users.username"));

        database.store.run_now(|c| set_password_hash(c, &alice.id, "hash")).unwrap();
        alice.password_hash = Some("hash".into());
        assert_eq!(database.store.run_now(|c| find_by_name(c, "alice")).unwrap(), Some(alice));
        assert_eq!(database.store.run_now(|c| find_by_name(c, "carol")).unwrap(), None);
        assert!(matches!(database.store.run_now(|c| set_password_hash(c, "none", "x")), Err(StoreError::Missing)));
    }
    #[test]
    fn an_update_stores_all_but_the_name_and_the_last_sign_in() {
        let database = testing::database();
        let alice = user("alice");
        database.store.run_now(|c| insert(c, &alice)).unwrap();
        database.store.run_now(|c| note_sign_in(c, &alice.id, 5)).unwrap();
        let changed = UserRow {
            username: "eve".into(),
            display_name: Some("Alice".into()),
            email: Some("a@example.org".into()),
            password_hash: Some("hash".into()),
            role: "user".into(),
            active: false,
            last_sign_in: Some(9),
            limits: OwnLimits { max_tunnels: Some(1), max_desktops: Some(2), max_agents: Some(3), max_tokens: Some(4) },
            ..alice.clone()
        };
        database.store.run_now(|c| update(c, &changed)).unwrap();
        let stored = database.store.run_now(|c| get(c, &alice.id)).unwrap();
        assert_eq!(stored, UserRow { username: "alice".into(), last_sign_in: Some(5), ..changed.clone() });
        let limits = OwnLimits { max_tunnels: None, ..stored.limits };
        database.store.run_now(|c| update(c, &UserRow { limits, email: None, ..stored })).unwrap();
        let cleared = database.store.run_now(|c| get(c, &alice.id)).unwrap();
        assert_eq!((cleared.limits, cleared.email), (limits, None));
        let nobody = UserRow { id: "none".into(), ..changed };
        assert!(matches!(database.store.run_now(|c| update(c, &nobody)), Err(StoreError::Missing)));
        assert!(matches!(database.store.run_now(|c| note_sign_in(c, "none", 1)), Err(StoreError::Missing)));
        assert!(matches!(database.store.run_now(|c| get(c, "none")), Err(StoreError::Missing)));
    }

    #[test]
    fn an_account_with_agents_tunnels_or_desktops_stays() {
        use crate::store::testing::{container, database_with_agent, proxy};
        use crate::store::{agents as machines, containers as desktops, proxies as tunnels};

        let database = database_with_agent("pc1");
        let bob = user("bob");
        let row = crate::store::models::ProxyRow { owner_id: bob.id.clone(), ..proxy("p1", "pc1", 13389) };
        database.store.run_now(|c| insert(c, &bob).and(tunnels::insert(c, &row))).unwrap();
        let owns = |id: &str| match database.store.run_now(|c| remove(c, id)) {
            Err(StoreError::Owns { agents, tunnels, desktops }) => (agents, tunnels, desktops),
            other => panic!("{other:?}"),
        };
        assert_eq!((owns("id-of-owner"), owns(&bob.id)), ((1, 0, 0), (0, 1, 0)));
        database.store.run_now(|c| tunnels::delete(c, "p1").and(machines::remove(c, "pc1"))).unwrap();
        database.store.run_now(|c| desktops::insert(c, &container("d1", "bob", "ubuntu-vscode"))).unwrap();
        assert_eq!(owns(&bob.id), (0, 0, 1));
        database.store.run_now(|c| desktops::delete(c, "d1")).unwrap();
        database.store.run_now(|c| remove(c, "id-of-owner").and(remove(c, &bob.id))).unwrap();
        assert!(matches!(database.store.run_now(|c| remove(c, &bob.id)), Err(StoreError::Missing)));
        assert_eq!(database.store.run_now(count).unwrap(), 0);
    }
}
