//! Another password, chosen by whoever has proved the one before.
//!
//! While a password is verified another program may change it. So the change looks once more, in its transaction,
//! whether the account still has the hash that was verified: a password that is void changes nothing.

use actix::prelude::*;

use super::{Directory, when_missing};
use crate::error::Error;
use crate::store::models::UserRow;
use crate::store::{Connection, StoreError, sessions, users, write_transaction};

/// Give an account another password and end its sessions, but for one. `WrongPassword` if it has meanwhile another
/// than the one that was proved.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct ReplacePassword {
    pub user_id: String,
    /// None: the account had no password.
    pub verified_hash: Option<String>,
    pub password_hash: String,
    pub keep_session: Option<String>,
}

impl Handler<ReplacePassword> for Directory {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, new: ReplacePassword, _: &mut Self::Context) -> Self::Result {
        let ReplacePassword { user_id, verified_hash, password_hash, keep_session } = new;
        let (id, kept) = (user_id.clone(), keep_session.clone());
        let prepare = move |_: &Self| {
            Ok(move |c: &mut Connection| {
                write_transaction(c, |c| {
                    let before = unchanged(c, &id, verified_hash.as_deref())?;
                    users::set_password_hash(c, &id, &password_hash)?;
                    sessions::remove_of_user(c, &id, kept.as_deref())?;
                    Ok(UserRow { password_hash: Some(password_hash), ..before })
                })
            })
        };
        self.change(prepare, when_missing(Error::WrongPassword), move |directory, row: UserRow| {
            directory.snapshot.put_user(row);
            directory.snapshot.remove_sessions_of(&user_id, keep_session.as_deref());
        })
    }
}

/// The account, if it is active and has still this hash.
fn unchanged(c: &mut Connection, user_id: &str, verified_hash: Option<&str>) -> Result<UserRow, StoreError> {
    let user = users::get(c, user_id)?;
    if user.active && user.password_hash.as_deref() == verified_hash { Ok(user) } else { Err(StoreError::Missing) }
}

#[cfg(test)]
mod tests {
    use crate::config::TunnelConfig;
    use crate::http::AppState;
    use crate::identity::directory::{OpenSession, Ping, Proof};
    use crate::server::tests::{plan, start_tree};
    use crate::store::testing::{TestDatabase, database, user};

    use super::*;

    /// A server's state with the account `alice`, whose hash is `old`.
    async fn state() -> (AppState, TestDatabase) {
        let database = database();
        let alice = UserRow { password_hash: Some("old".into()), ..user("alice") };
        database.store.run_now(|c| users::insert(c, &alice)).unwrap();
        let (state, _) = start_tree(plan(database.store.clone(), TunnelConfig::for_tests(20_000..=20_010)));
        state.tell(Ping).await.unwrap();
        (state, database)
    }

    fn open(verified_hash: &str) -> OpenSession {
        let proof = Proof::Password { verified_hash: verified_hash.into() };
        OpenSession { user_id: user("alice").id, proof, replaces: None }
    }

    fn replace(verified_hash: &str) -> ReplacePassword {
        ReplacePassword {
            user_id: user("alice").id,
            verified_hash: Some(verified_hash.into()),
            password_hash: "mine".into(),
            keep_session: None,
        }
    }

    #[actix::test]
    async fn a_password_that_another_program_changed_is_void_at_once() {
        let (state, database) = state().await;
        let id = user("alice").id;
        database.store.run_now(|c| users::set_password_hash(c, &id, "new")).unwrap();
        assert!(matches!(state.tell(open("old")).await.unwrap(), Err(Error::WrongPassword)));
        assert!(matches!(state.tell(replace("old")).await.unwrap(), Err(Error::WrongPassword)));
        assert_eq!(database.store.run_now(sessions::list).unwrap(), []);
        let row = database.store.run_now(|c| users::get(c, &id)).unwrap();
        assert_eq!((row.password_hash.as_deref(), row.last_sign_in), (Some("new"), None));
        state.tell(open("new")).await.unwrap().unwrap();
        assert_eq!(database.store.run_now(sessions::list).unwrap().len(), 1);
    }

    #[actix::test]
    async fn an_account_that_is_not_active_any_more_begins_no_session() {
        let (state, database) = state().await;
        let off = UserRow { active: false, password_hash: Some("old".into()), ..user("alice") };
        database.store.run_now(|c| users::update(c, &off)).unwrap();
        assert!(matches!(state.tell(open("old")).await.unwrap(), Err(Error::WrongPassword)));
        assert_eq!(database.store.run_now(sessions::list).unwrap(), []);
    }
}
