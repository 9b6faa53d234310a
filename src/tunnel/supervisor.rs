//! TunnelSupervisor: every tunnel and every live agent session.
//!
//! Started by [Server](crate::server), which builds another from the database if it panics. It keeps each tunnel's
//! bound listener and lends it to a [ProxyConnection](super::proxy_connection), restarts those that end unasked, and
//! tells them which session serves them. It ends with the server. Its parts: [`lifecycle`] of tunnels, [`sessions`] of
//! agents, [`commands`] of the API, and [`news`] for whoever watches.

mod commands;
mod drain;
mod lifecycle;
mod news;
mod patch;
#[cfg(test)]
pub(crate) mod probe;
mod sessions;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{Semaphore, watch};

use self::sessions::SessionEntry;
pub use self::sessions::{SessionDraining, SessionKey, SessionUp};
use super::agent_session::SessionParent;
use super::entry::Tunnel;
use super::estate::Estate;
use crate::clock::now_ms;
use crate::config::TunnelConfig;
use crate::events::Publisher;
use crate::identity::Snapshot;
use crate::identity::snapshot::accounts_changed;
use crate::store::models::ProxyRow;
use crate::store::{Store, StoreError, proxies};
use crate::supervision::{ChildDown, ChildGuard};
use crate::wire::codes::OpenFailure;

/// Counters are stored this often, and at the end.
const TOTALS_INTERVAL: Duration = Duration::from_secs(10);
/// A database that cannot be read after a restart is tried again.
const LOAD_RETRY: Duration = Duration::from_secs(2);
/// Microseconds in a millisecond.
const MICROS: u64 = 1000;

/// ProxyConnection to supervisor: an agent could not connect to the target.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DialFailed {
    pub proxy_id: String,
    pub failure: OpenFailure,
}

/// See the module's documentation.
pub struct TunnelSupervisor {
    config: TunnelConfig,
    store: Store,
    tunnels: HashMap<String, Tunnel>,
    sessions: HashMap<String, SessionEntry>,
    /// The next number for a `user_id`: begins beyond those of every earlier process and supervisor.
    numbers: Arc<AtomicU64>,
    /// Changes to tunnels happen one at a time, so that a port is not taken twice nor a row changed under another.
    turn: Arc<Semaphore>,
    /// Which agents there are and what their tokens are.
    snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Whom it tells what has changed.
    events: Publisher,
    stopping: bool,
    /// Last: the server hears of the end when everything else is gone.
    _guard: ChildGuard<&'static str>,
}

impl TunnelSupervisor {
    pub fn new(
        config: TunnelConfig,
        store: Store,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        events: Publisher,
        guard: ChildGuard<&'static str>,
    ) -> Self {
        let first_number = u64::try_from(now_ms()).unwrap_or(0) * MICROS;
        Self {
            config,
            store,
            tunnels: HashMap::new(),
            sessions: HashMap::new(),
            numbers: Arc::new(AtomicU64::new(first_number)),
            turn: Arc::new(Semaphore::new(1)),
            snapshot,
            events,
            stopping: false,
            _guard: guard,
        }
    }

    /// Whom an agent session tells of its life.
    pub fn session_parent(address: &Addr<Self>) -> SessionParent {
        SessionParent {
            up: address.clone().recipient(),
            draining: address.clone().recipient(),
            down: address.clone().recipient(),
        }
    }

    /// Read the tunnels and listen; every other message waits until that is done.
    fn load(&mut self, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let read = async move { store.run(proxies::list).await };
        ctx.wait(read.into_actor(self).map(|rows, supervisor, ctx| supervisor.load_rows(rows, ctx)));
    }

    fn load_rows(&mut self, rows: Result<Vec<ProxyRow>, StoreError>, ctx: &mut Context<Self>) {
        match rows {
            Ok(rows) => {
                self.tell_no_agents();
                for row in rows {
                    let proxy_id = row.proxy_id.clone();
                    self.add(Tunnel::new(row, None), ctx);
                    self.tell_changed(&proxy_id);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the tunnels cannot be read, another attempt follows");
                ctx.run_later(LOAD_RETRY, |supervisor, ctx| supervisor.load(ctx));
            }
        }
    }

    fn store_totals(&mut self, ctx: &mut Context<Self>) {
        let totals: Vec<_> = self.tunnels.values_mut().filter_map(Tunnel::totals_to_store).collect();
        if totals.is_empty() {
            return;
        }
        let store = self.store.clone();
        let write = async move { store.run(move |c| proxies::store_totals(c, &totals)).await };
        ctx.spawn(write.into_actor(self).map(|result, supervisor, _| {
            if let Err(error) = result {
                tracing::warn!(%error, "counters are not stored, another attempt follows");
                supervisor.tunnels.values_mut().for_each(Tunnel::totals_not_stored);
            }
        }));
    }
}

impl Actor for TunnelSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.load(ctx);
        ctx.run_interval(TOTALS_INTERVAL, Self::store_totals);
        ctx.add_stream(accounts_changed(self.snapshot.clone()));
    }
}

impl Handler<DialFailed> for TunnelSupervisor {
    type Result = ();

    fn handle(&mut self, message: DialFailed, _: &mut Self::Context) {
        if let Some(tunnel) = self.tunnels.get_mut(&message.proxy_id) {
            tunnel.dial_failed(&message.failure);
        }
    }
}

impl Handler<ChildDown<String, Estate>> for TunnelSupervisor {
    type Result = ();

    fn handle(&mut self, down: ChildDown<String, Estate>, ctx: &mut Self::Context) {
        self.proxy_down(down, ctx);
    }
}
