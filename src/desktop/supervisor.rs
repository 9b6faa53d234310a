//! DesktopSupervisor: every desktop, and the catalogue of types.
//!
//! Started by [Server](crate::server), which builds another from the database if it panics. It ends with the server.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::watch;

use super::commands::Ping;
use super::engine::Engine;
use super::routes::Routes;
use crate::config::DesktopConfig;
use crate::events::Publisher;
use crate::identity::Snapshot;
use crate::store::Store;
use crate::supervision::ChildGuard;
use crate::vault::Vault;

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
    /// Last: the server hears of the end when everything else is gone.
    _guard: ChildGuard<&'static str>,
}

impl DesktopSupervisor {
    pub fn new(means: Means, guard: ChildGuard<&'static str>) -> Self {
        Self { means, _guard: guard }
    }
}

impl Actor for DesktopSupervisor {
    type Context = Context<Self>;
}

impl Handler<Ping> for DesktopSupervisor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {
        let _ = &self.means;
    }
}
