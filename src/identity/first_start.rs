//! The first account, so that somebody can sign in.

use super::directory::NewUser;
use super::role::Role;
use super::{passwords, secrets};
use crate::config::Secret;
use crate::store::{Store, StoreError, users, write_transaction};

/// The name of the account that the first start makes: reserved, but for it and `dockway admin`.
pub const FIRST_ADMIN: &str = "admin";

/// Why there is no first account.
#[derive(Debug, thiserror::Error)]
pub enum FirstStartError {
    #[error("the password for the account `{FIRST_ADMIN}` is not taken: {0}")]
    Password(#[from] passwords::PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Make the account `admin` if there is no account yet, with the given password or one that is returned here, to be
/// shown once. With an account the given password changes nothing. Blocks.
///
/// # Errors
/// A given password that is not taken; those of the database.
pub fn ensure_admin(store: &Store, given: Option<&Secret>) -> Result<Option<String>, FirstStartError> {
    if store.run_now(users::count)? > 0 {
        return Ok(None);
    }
    let generated = if given.is_none() { Some(secrets::generate_password()) } else { None };
    let password = given.map(|secret| secret.0.as_str()).or(generated.as_deref()).unwrap_or_default();
    let password_hash = Some(passwords::hash(password)?);
    let row = NewUser { password_hash, ..NewUser::named(FIRST_ADMIN.to_owned(), Role::Admin) }.into_row();
    let made = store.run_now(|c| {
        write_transaction(c, |c| {
            // Another process may have been faster while this one hashed.
            if users::count(c)? > 0 {
                return Ok(false);
            }
            users::insert(c, &row).map(|()| true)
        })
    })?;
    Ok(generated.filter(|_| made))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{self, user};

    fn admin_hash(store: &Store) -> String {
        let row = store.run_now(|c| users::find_by_name(c, FIRST_ADMIN)).unwrap().unwrap();
        assert_eq!((row.role.as_str(), row.active), ("admin", true));
        row.password_hash.unwrap()
    }

    #[test]
    fn a_generated_password_is_told_once() {
        let database = testing::database();
        let password = ensure_admin(&database.store, None).unwrap().unwrap();
        assert!(passwords::verify(&password, &admin_hash(&database.store)));
        assert_eq!(ensure_admin(&database.store, None).unwrap(), None);
        let given = Secret("another password".into());
        assert_eq!(ensure_admin(&database.store, Some(&given)).unwrap(), None);
        assert!(passwords::verify(&password, &admin_hash(&database.store)), "it stays");
    }

    #[test]
    fn a_given_password_is_used_and_not_repeated() {
        let database = testing::database();
        let given = Secret("correct horse".into());
        assert_eq!(ensure_admin(&database.store, Some(&given)).unwrap(), None);
        assert!(passwords::verify("correct horse", &admin_hash(&database.store)));
    }

    #[test]
    fn a_weak_password_is_refused_and_makes_nothing() {
        let database = testing::database();
        let refused = ensure_admin(&database.store, Some(&Secret("short".into())));
        assert!(matches!(refused, Err(FirstStartError::Password(_))));
        assert_eq!(database.store.run_now(users::count).unwrap(), 0);
    }

    #[test]
    fn any_account_will_do() {
        let database = testing::database();
        database.store.run_now(|c| users::insert(c, &user("alice"))).unwrap();
        assert_eq!(ensure_admin(&database.store, None).unwrap(), None);
        assert_eq!(database.store.run_now(users::count).unwrap(), 1);
    }
}
