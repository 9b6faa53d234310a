//! What somebody may do who has proved a password: sign in, and choose another one.
//!
//! While a password is verified another program may change it. So each change looks once more, in its transaction,
//! whether the account still has the hash that was verified: a password that is void opens and changes nothing.

use actix::prelude::*;

use super::super::secrets::{hash_token, new_token};
use super::Directory;
use super::sessions::{MOST_SESSIONS, NO_PREFIX, OpenedSession};
use crate::clock::now_ms;
use crate::error::Error;
use crate::store::models::{SessionRow, UserRow};
use crate::store::{Connection, StoreError, sessions, users, write_transaction};

/// How a session began, as it is stored.
const METHOD: &str = "password";

/// Somebody has proved a password: begin a session. `WrongPassword` if it is void or the account not active any more.
#[derive(Message)]
#[rtype(result = "Result<OpenedSession, Error>")]
pub struct OpenSessionByPassword {
    pub user_id: String,
    /// The hash that the password was compared with.
    pub verified_hash: String,
    /// The hash of the session's id that the browser had until now; it ends.
    pub replaces: Option<String>,
}

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

impl Handler<OpenSessionByPassword> for Directory {
    type Result = ResponseActFuture<Self, Result<OpenedSession, Error>>;

    fn handle(&mut self, open: OpenSessionByPassword, _: &mut Self::Context) -> Self::Result {
        let OpenSessionByPassword { user_id, verified_hash, replaces } = open;
        let (id, now, lifetime_ms) = (new_token(NO_PREFIX), now_ms(), self.settings.sessions.lifetime_ms());
        let row = SessionRow {
            id_hash: hash_token(&id),
            user_id,
            created_at: now,
            last_used: now,
            expires_at: now.saturating_add(lifetime_ms),
            method: METHOD.to_owned(),
        };
        let stored = row.clone();
        let prepare = move |directory: &Self| {
            let mut ended = directory.snapshot.oldest_sessions(&stored.user_id, MOST_SESSIONS - 1);
            ended.extend(replaces);
            Ok(move |c: &mut Connection| {
                write_transaction(c, |c| {
                    users::note_sign_in(c, &stored.user_id, now)?;
                    unchanged(c, &stored.user_id, Some(&verified_hash))?;
                    ended.iter().try_for_each(|hash| sessions::remove(c, hash))?;
                    sessions::insert(c, &stored)?;
                    Ok(ended)
                })
            })
        };
        self.change(prepare, refused, move |directory, ended: Vec<String>| {
            ended.iter().for_each(|hash| directory.snapshot.remove_session(hash));
            directory.snapshot.note_sign_in(&row.user_id, now);
            directory.snapshot.put_session(row);
            OpenedSession { id, lifetime_s: lifetime_ms / 1000 }
        })
    }
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
        self.change(prepare, refused, move |directory, row: UserRow| {
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

fn refused(error: StoreError) -> Error {
    match error {
        StoreError::Missing => Error::WrongPassword,
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::TunnelConfig;
    use crate::http::AppState;
    use crate::identity::directory::Ping;
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

    fn open(verified_hash: &str) -> OpenSessionByPassword {
        OpenSessionByPassword {
            user_id: user("alice").id,
            verified_hash: verified_hash.into(),
            replaces: Some("earlier".into()),
        }
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
