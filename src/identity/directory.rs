//! Directory: accounts, sessions, tokens, identities and agents; the only one that changes them while the server runs.
//!
//! Started by [Server](crate::server), which builds another from the database if it panics; ends with the server. A
//! change goes to the database first, then into the [`Snapshot`] that everybody else reads, which is published anew
//! when the change answers. What another program (`dockway admin`) changes in the database is noticed within 2 s.

mod agents;
mod identities;
mod passwords;
mod sessions;
mod tokens;
mod users;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub use self::agents::{ChangeAgent, EnrolAgent, RemoveAgent, RotateAgent};
pub use self::identities::{LinkIdentity, ProvenIdentity, SignInByProvider, UnlinkIdentity};
pub use self::passwords::ReplacePassword;
pub use self::sessions::{CloseSession, CloseSessions, NoteUse, OpenSession, OpenedSession, Proof, use_is_news};
pub use self::tokens::{CreateToken, MadeToken, RevokeToken};
pub use self::users::{ChangeUser, CreateUser, DeleteUser, NewUser, UserChanges};
use super::caller::Credential;
use super::news::Event;
use super::snapshot::{Rows, Snapshot};
use crate::config::{RoleLimits, SessionConfig};
use crate::error::Error;
use crate::store::{self, Connection, Store, StoreError};
use crate::supervision::ChildGuard;

/// What another program changed in the database is noticed this soon.
const REVISION_INTERVAL: Duration = Duration::from_millis(500);
/// When sessions and tokens were used is stored this often.
const USES_INTERVAL: Duration = Duration::from_secs(10);
/// Sessions that are over are removed this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// How the Directory is set up.
#[derive(Debug, Clone)]
pub struct DirectorySettings {
    pub sessions: SessionConfig,
    pub limits: RoleLimits,
}

/// Takes the news of what has changed.
pub type Announce = Box<dyn Fn(Event)>;

/// See the module's documentation.
pub struct Directory {
    store: Store,
    settings: DirectorySettings,
    snapshot: Snapshot,
    published: watch::Sender<Arc<Snapshot>>,
    /// Tells whoever watches what has changed.
    announce: Announce,
    /// Changes and readings happen one at a time, so that none is made of what another is about to change.
    turn: Arc<Semaphore>,
    /// What the database does not know yet of when credentials were used.
    uses: HashMap<Credential, i64>,
    revision: Option<i64>,
    /// Whether a look at the database's revision is under way: a database that is away makes no queue of them.
    looking: bool,
    /// Whether the last look failed.
    blind: bool,
    _guard: ChildGuard<&'static str>,
}

/// Does the Directory answer?
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ping;

/// Somebody showed what the snapshot does not know. Answers when the snapshot has what another program has stored by
/// now: what `dockway admin` made works at once, and only a wrong credential costs a look at the database.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LookAgain;

impl Directory {
    pub fn new(
        store: Store,
        settings: DirectorySettings,
        published: watch::Sender<Arc<Snapshot>>,
        announce: Announce,
        guard: ChildGuard<&'static str>,
    ) -> Self {
        // What is published stays true until the database was read.
        let snapshot = Snapshot::clone(&published.borrow());
        Self {
            store,
            settings,
            snapshot,
            published,
            announce,
            turn: Arc::new(Semaphore::new(1)),
            uses: HashMap::new(),
            revision: None,
            looking: false,
            blind: false,
            _guard: guard,
        }
    }

    /// Change something: in its turn, what other programs have stored is taken in; `prepare` checks against what is
    /// known and makes the work for the database; `apply` brings what is known up to date. What `prepare` refuses
    /// changes nothing.
    fn change<W, T, R>(
        &self,
        prepare: impl FnOnce(&Self) -> Result<W, Error> + 'static,
        failed: impl FnOnce(StoreError) -> Error + 'static,
        apply: impl FnOnce(&mut Self, T) -> R + 'static,
    ) -> ResponseActFuture<Self, Result<R, Error>>
    where
        W: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
        R: 'static,
    {
        let changed = self.read().then(|read, directory, _| {
            // A database that cannot be read takes no change either, and says why.
            let permit = directory.take_in(read);
            let (prepared, store) = (prepare(directory), directory.store.clone());
            let work = async move {
                let permit = permit?;
                let done = store.run(prepared?).await.map_err(failed)?;
                Ok::<_, Error>((done, permit))
            };
            work.into_actor(directory)
        });
        Box::pin(changed.map(|done: Result<_, Error>, directory: &mut Self, _| {
            let (value, _permit) = done?;
            let result = apply(directory, value);
            directory.publish();
            Ok(result)
        }))
    }

    fn publish(&self) {
        self.published.send_replace(Arc::new(self.snapshot.clone()));
    }

    /// Read everything if the database has changed since it was last read.
    fn refresh(&self) -> ResponseActFuture<Self, ()> {
        Box::pin(self.read().map(|read, directory, _| {
            let taken = directory.take_in(read);
            let was_blind = std::mem::replace(&mut directory.blind, taken.is_err());
            match taken {
                Err(error) if !was_blind => tracing::warn!(%error, "changes in the database are not noticed now"),
                Ok(_) if was_blind => tracing::info!("changes in the database are noticed again"),
                _ => {}
            }
        }))
    }

    /// Look now and then whether another program has changed the database; one look at a time.
    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.looking {
            return;
        }
        self.looking = true;
        ctx.spawn(self.refresh().map(|(), directory, _| directory.looking = false));
    }

    /// Read everything before any other message is handled. If that fails, `refresh` tries again: a second wait could
    /// wait for the turn of a change that does not go on meanwhile.
    fn load(&mut self, ctx: &mut Context<Self>) {
        ctx.wait(self.read().map(|read, directory, _| {
            if let Err(error) = directory.take_in(read) {
                tracing::error!(%error, "the accounts cannot be read, another attempt follows");
                directory.blind = true;
            }
        }));
    }

    /// In its turn, read everything if the database has changed since it was last read.
    fn read(&self) -> ResponseActFuture<Self, Result<Read, StoreError>> {
        let turn = self.turn.clone();
        // The semaphore is never closed; without a permit nothing would be lost but the order.
        let read = async move { turn.acquire_owned().await.ok() }.into_actor(self).then(|permit, directory, _| {
            let (store, known) = (directory.store.clone(), directory.revision);
            let read = async move {
                let revision = store.revision().await?;
                let rows = if known == Some(revision) { None } else { Some(store.run(read_rows).await?) };
                Ok(Read { revision, rows, permit })
            };
            read.into_actor(directory)
        });
        Box::pin(read)
    }

    /// The turn goes on until the permit is dropped.
    fn take_in(&mut self, read: Result<Read, StoreError>) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
        let Read { revision, rows, permit } = read?;
        if let Some(rows) = rows {
            self.revision = Some(revision);
            self.snapshot = Snapshot::new(rows, self.settings.sessions.idle_ms());
            for (credential, at) in &self.uses {
                self.snapshot.note_used(credential, *at);
            }
            self.publish();
        }
        Ok(permit)
    }
}

/// What a look at the database found.
struct Read {
    revision: i64,
    /// None: nothing has changed.
    rows: Option<Rows>,
    permit: Option<OwnedSemaphorePermit>,
}

fn read_rows(c: &mut Connection) -> Result<Rows, StoreError> {
    Ok(Rows {
        users: store::users::list(c)?,
        identities: store::identities::list(c)?,
        sessions: store::sessions::list(c)?,
        tokens: store::tokens::list(c)?.into_iter().map(|(token, _)| token).collect(),
        agents: store::agents::list(c)?,
    })
}

/// How a change is refused whose row is gone.
fn when_missing(refusal: Error) -> impl FnOnce(StoreError) -> Error {
    |error| match error {
        StoreError::Missing => refusal,
        other => other.into(),
    }
}

impl Actor for Directory {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.load(ctx);
        ctx.run_interval(REVISION_INTERVAL, Self::look);
        ctx.run_interval(USES_INTERVAL, Self::store_uses);
        ctx.run_interval(SWEEP_INTERVAL, Self::sweep);
    }
}

impl Handler<Ping> for Directory {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

impl Handler<LookAgain> for Directory {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: LookAgain, _: &mut Self::Context) -> Self::Result {
        self.refresh()
    }
}

#[cfg(test)]
mod tests;
