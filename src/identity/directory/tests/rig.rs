//! A tree over a database of its own, and what tests look at.

use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Context, Handler, Message};
use tokio::time::{sleep, timeout};

use super::super::{Directory, Ping};
use super::Panic;
use crate::clock::now_ms;
use crate::config::TunnelConfig;
use crate::error::Error;
use crate::http::AppState;
use crate::identity::{Credential, Role, Snapshot};
use crate::server::tests::{plan, start_tree};
use crate::store::models::{SessionRow, UserRow};
use crate::store::testing::{TestDatabase, database, user};
use crate::store::{self, users};

/// What has not come after this does not come.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// A database announces nothing, so it is looked at this often.
const LOOK: Duration = Duration::from_millis(10);

pub struct Rig {
    pub state: AppState,
    pub database: TestDatabase,
}

impl Rig {
    /// With these accounts: `root` is an administrator, and whoever else is called `root…`.
    pub async fn start(names: &[&str]) -> Self {
        let database = database();
        for name in names {
            database.store.run_now(|c| users::insert(c, &account(name))).unwrap();
        }
        let (state, _) = start_tree(plan(database.store.clone(), TunnelConfig::for_tests(20_020..=20_021)));
        state.tell(Ping).await.unwrap();
        Self { state, database }
    }

    pub async fn tell<M>(&self, message: M) -> M::Result
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Directory: Handler<M>,
        Context<Directory>: ToEnvelope<Directory, M>,
    {
        self.state.tell(message).await.unwrap()
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.state.snapshot()
    }

    /// Make the Directory panic, and wait until the next has read the database.
    pub async fn replace(&mut self) {
        let old = self.state.directory.borrow_and_update().clone();
        assert!(old.send(Panic).await.is_err(), "it panicked");
        timeout(PATIENCE, self.state.directory.changed()).await.expect("there is another").unwrap();
        self.tell(Ping).await;
    }

    /// Wait until what is published is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Snapshot) -> bool) {
        let mut snapshot = self.state.snapshot.clone();
        let waited = timeout(PATIENCE, snapshot.wait_for(|snapshot| is_so(snapshot))).await;
        waited.unwrap_or_else(|_| panic!("not published: {what}")).unwrap();
    }

    /// Wait until the database has what is looked for.
    pub async fn until_stored<T>(&self, what: &str, look: impl Fn(&mut store::Connection) -> Option<T>) -> T {
        let looked = timeout(PATIENCE, async {
            loop {
                if let Some(found) = self.database.store.run_now(|c| Ok(look(c))).unwrap() {
                    return found;
                }
                sleep(LOOK).await;
            }
        });
        looked.await.unwrap_or_else(|_| panic!("not stored: {what}"))
    }

    pub fn stored_users(&self) -> Vec<UserRow> {
        self.database.store.run_now(users::list).unwrap()
    }

    pub fn stored_sessions(&self) -> Vec<SessionRow> {
        let mut rows = self.database.store.run_now(store::sessions::list).unwrap();
        rows.sort_by(|a, b| a.id_hash.cmp(&b.id_hash));
        rows
    }

    /// Whom a credential proves so many milliseconds from now.
    pub fn name_at(&self, credential: &Credential, later_ms: i64) -> Option<String> {
        self.snapshot().caller(credential, now_ms() + later_ms).map(|caller| caller.username)
    }
}

pub fn account(name: &str) -> UserRow {
    let role = if name.starts_with("root") { Role::Admin } else { Role::User };
    UserRow { role: role.as_str().into(), ..user(name) }
}

pub fn id(name: &str) -> String {
    account(name).id
}

/// The stable word of a refusal.
pub fn code<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}
