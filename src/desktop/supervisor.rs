//! DesktopSupervisor: every desktop, and the catalogue of types.
//!
//! Started by [Server](crate::server), which builds another from the database if it panics. It starts a
//! [KasmContainer](super::kasm_container) for each row, restarts those that end unasked, publishes their routes to the
//! gateway and their changes to whoever watches, and passes on what [EngineWatch](super::engine_watch) tells of the
//! engine. It ends with the server; desktops run on, and the next one adopts them. Its parts: [`life`] of its children,
//! [`engine`], [`creation`] and [`commands`] of the API, the [`catalogue`], [`accesses`], and [`news`].

mod accesses;
mod catalogue;
mod commands;
mod creation;
mod engine;
mod entry;
mod life;
mod news;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::catalogue::TypeEntry;
use self::engine::EngineState;
use self::entry::Desktop;
use super::commands::Ping;
use super::engine::Engine;
use super::engine_watch::EngineWatch;
use super::kasm_container::ContainerMeans;
use super::routes::Routes;
use crate::config::DesktopConfig;
use crate::events::Publisher;
use crate::identity::Snapshot;
use crate::identity::snapshot::accounts_changed;
use crate::store::models::{ContainerRow, DesktopTypeRow};
use crate::store::{Connection, Store, StoreError, containers, desktop_types, users};
use crate::supervision::{Backoff, ChildGuard};
use crate::upstream::{Client, Connector};
use crate::vault::Vault;

/// A database that cannot be read is tried again.
const LOAD_RETRY: Duration = Duration::from_secs(2);
/// When desktops were last used is stored this often, and at the end.
const ACCESS_INTERVAL: Duration = Duration::from_secs(10);
/// Every desktop may speak at the same moment.
const MAILBOX: usize = 4096;

/// What a supervisor works with.
#[derive(Clone)]
pub struct Means {
    pub config: DesktopConfig,
    pub store: Store,
    pub vault: Vault,
    pub engine: Arc<dyn Engine>,
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    pub events: Publisher,
    /// Where it publishes what the gateway needs to know.
    pub routes: watch::Sender<Arc<Routes>>,
}

/// See the module's documentation.
pub struct DesktopSupervisor {
    means: Means,
    container_means: ContainerMeans,
    /// By id.
    desktops: BTreeMap<String, Desktop>,
    /// By name.
    types: BTreeMap<String, TypeEntry>,
    /// Whether every desktop has said how it is, and the routes are published.
    ready: watch::Sender<bool>,
    engine: watch::Sender<EngineState>,
    engine_watch: Option<Addr<EngineWatch>>,
    watch_pauses: Backoff,
    /// Desktops whose leftovers are being removed.
    sweeping: HashSet<String>,
    /// Desktops and types are added and types changed one at a time, so that nothing is there twice.
    turn: Arc<Semaphore>,
    /// When desktops were last used, as far as that is not stored.
    accesses: HashMap<String, i64>,
    /// Cancelled when this is dropped.
    end: CancellationToken,
    _end: DropGuard,
    /// Last: the server hears of the end when everything else is gone.
    _guard: ChildGuard<&'static str>,
}

/// All that is read at the start.
struct Rows {
    types: Vec<DesktopTypeRow>,
    containers: Vec<ContainerRow>,
    /// By the accounts' ids.
    usernames: HashMap<String, String>,
}

fn read_rows(c: &mut Connection) -> Result<Rows, StoreError> {
    let usernames = users::list(c)?.into_iter().map(|user| (user.id, user.username)).collect();
    Ok(Rows { types: desktop_types::list(c)?, containers: containers::list(c)?, usernames })
}

impl DesktopSupervisor {
    pub fn new(means: Means, guard: ChildGuard<&'static str>) -> Self {
        // ring offers the versions of TLS that are asked for, and nothing else can be wrong with the settings.
        let connector = Connector::new().expect("ring speaks TLS 1.2 and 1.3");
        let container_means = ContainerMeans {
            config: means.config.clone(),
            store: means.store.clone(),
            vault: means.vault.clone(),
            engine: means.engine.clone(),
            installation: means.store.installation_id().into(),
            client: Client::new(connector),
        };
        let end = CancellationToken::new();
        Self {
            means,
            container_means,
            desktops: BTreeMap::new(),
            types: BTreeMap::new(),
            ready: watch::Sender::new(false),
            engine: watch::Sender::new(EngineState::Unknown),
            engine_watch: None,
            watch_pauses: engine::watch_pauses(),
            sweeping: HashSet::new(),
            turn: Arc::new(Semaphore::new(1)),
            accesses: HashMap::new(),
            _end: end.clone().drop_guard(),
            end,
            _guard: guard,
        }
    }

    /// Read the rows; every other message waits until that is done.
    fn load(&mut self, ctx: &mut Context<Self>) {
        let store = self.means.store.clone();
        let read = async move { store.run(read_rows).await };
        ctx.wait(read.into_actor(self).map(|rows, supervisor, ctx| supervisor.load_rows(rows, ctx)));
    }

    /// The engine is looked at only with the rows known: what belongs to none of them is removed there.
    fn load_rows(&mut self, rows: Result<Rows, StoreError>, ctx: &mut Context<Self>) {
        match rows {
            Ok(rows) => {
                self.types = rows.types.into_iter().map(TypeEntry::of_row).collect();
                self.take_in(rows.containers, &rows.usernames, ctx);
                self.check_ready();
                self.watch_engine(ctx);
            }
            Err(error) => {
                tracing::error!(%error, "the desktops cannot be read, another attempt follows");
                ctx.run_later(LOAD_RETRY, |supervisor, ctx| supervisor.load(ctx));
            }
        }
    }

    /// Start a KasmContainer for each row that has none.
    fn take_in(&mut self, rows: Vec<ContainerRow>, usernames: &HashMap<String, String>, ctx: &mut Context<Self>) {
        for row in rows.into_iter().filter(|row| !self.desktops.contains_key(&row.id)).collect::<Vec<_>>() {
            let username = usernames.get(&row.owner_id).cloned().unwrap_or_default();
            self.add(Desktop::new(row, username), ctx);
        }
    }
}

impl Actor for DesktopSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.load(ctx);
        ctx.run_interval(ACCESS_INTERVAL, |supervisor, ctx| {
            let stored = supervisor.store_accesses();
            ctx.spawn(stored);
        });
        ctx.add_stream(accounts_changed(self.means.snapshot.clone()));
    }
}

impl Handler<Ping> for DesktopSupervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Self::Result {
        let mut ready = self.ready.subscribe();
        // Of a supervisor that ends before that, its successor is asked next time.
        Box::pin(async move { drop(ready.wait_for(|ready| *ready).await) })
    }
}
