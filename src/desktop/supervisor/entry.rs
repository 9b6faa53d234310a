//! A desktop as the supervisor knows it.

use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, SpawnHandle};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clock::rfc3339;
use crate::desktop::kasm_container::KasmContainer;
use crate::desktop::messages::Changed;
use crate::desktop::paths::desktop_url;
use crate::desktop::routes::{Activity, Route};
use crate::desktop::view::DesktopView;
use crate::desktop::{DesktopType, Kind, Status};
use crate::store::models::ContainerRow;
use crate::supervision::Intensity;

/// A KasmContainer is restarted this often within [`RESTART_WINDOW`].
const RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// The reason of a desktop whose KasmContainer ends again and again.
const CRASHED: &str = "crashed";

/// One desktop.
pub(super) struct Desktop {
    /// As it was last stored.
    pub row: ContainerRow,
    pub username: String,
    /// None while it is restarted, or has crashed too often.
    pub child: Option<Addr<KasmContainer>>,
    /// How it is, as was last said; None until then.
    pub told: Option<Changed>,
    /// Made a moment ago and not started: nothing is told of it yet.
    pub is_new: bool,
    /// Its KasmContainer is about to remove it, and itself.
    pub deleting: bool,
    /// It is started, stopped, deleted and cleaned up one at a time.
    pub turn: Arc<Semaphore>,
    pub intensity: Intensity,
    /// The next attempt to bring up one that crashed too often.
    pub retry: Option<SpawnHandle>,
}

impl Desktop {
    pub fn new(row: ContainerRow, username: String) -> Self {
        Self {
            row,
            username,
            child: None,
            told: None,
            is_new: false,
            deleting: false,
            turn: Arc::new(Semaphore::new(1)),
            intensity: Intensity::new(RESTARTS, RESTART_WINDOW),
            retry: None,
        }
    }

    /// What people see of it.
    pub fn status(&self) -> Status {
        self.told.as_ref().map_or_else(|| Status::of_row(&self.row.status), |told| told.view.status)
    }

    /// Whether something in the engine may still be this desktop's by its row, of which the KasmContainer takes care.
    fn is_alive(&self) -> bool {
        let status = Status::of_row(&self.row.status);
        status.is_up() || status == Status::Stopping
    }

    /// Whether the engine has anything of it, as far as the row says.
    pub fn is_held(&self) -> bool {
        self.is_alive() || self.row.container_id.is_some() || self.row.subnet.is_some()
    }

    pub fn claims_container(&self, container_id: &str) -> bool {
        self.is_alive() || self.row.container_id.as_deref() == Some(container_id)
    }

    pub fn claims_network(&self) -> bool {
        self.is_alive() || self.row.subnet.is_some()
    }

    /// Take in how it is. Whether the gateway has to know.
    pub fn take(&mut self, changed: Changed) -> bool {
        let reroute = self.told.as_ref().is_none_or(|told| !is_same(&told.route, &changed.route));
        self.row = changed.row.clone();
        self.told = Some(changed);
        reroute
    }

    /// Its KasmContainer has ended: whoever is connected through its route would never be cut.
    pub fn cut(&self) {
        if let Some(told) = &self.told {
            told.route.cut.cancel();
        }
    }

    /// It has crashed too often. The row stays as it is, so that a later attempt finds what it left.
    pub fn crashed(&self, desktop_type: Option<&DesktopType>) -> Changed {
        let row = self.row.clone();
        let view = DesktopView {
            status: Status::Failed,
            reason: Some(CRASHED.into()),
            progress: None,
            ..self.told.as_ref().map_or_else(|| view_of_row(&row), |told| told.view.clone())
        };
        let route = Arc::new(Route {
            desktop_id: row.id.clone(),
            owner_id: row.owner_id.clone(),
            proxy_path: row.proxy_path.clone(),
            label: desktop_type.map(|known| known.label.clone()).unwrap_or_default(),
            kind: desktop_type.map_or(Kind::Kasm, |known| known.kind),
            status: Status::Failed,
            upstream: None,
            strip_prefix: desktop_type.is_some_and(|known| known.strip_prefix),
            entry_path: "/".into(),
            activity: Arc::new(Activity::default()),
            cut: CancellationToken::new(),
        });
        Changed { row, view, route, from: Some(self.status()) }
    }
}

/// One that is deleted, or whose supervisor panics, leaves nobody behind who is connected and cannot be cut.
impl Drop for Desktop {
    fn drop(&mut self) {
        self.cut();
    }
}

fn view_of_row(row: &ContainerRow) -> DesktopView {
    DesktopView {
        id: row.id.clone(),
        desktop_type: String::new(),
        owner: String::new(),
        owner_id: row.owner_id.clone(),
        proxy_path: row.proxy_path.clone(),
        url: desktop_url(&row.proxy_path),
        status: Status::of_row(&row.status),
        reason: row.reason.clone(),
        progress: None,
        limits_skipped: Vec::new(),
        connections: 0,
        created_at: rfc3339(row.created_at),
        started_at: row.started_at.map(rfc3339),
        last_accessed: row.last_accessed.map(rfc3339),
        idle_stop_at: None,
    }
}

/// Whether the gateway would do the same with both.
fn is_same(one: &Arc<Route>, other: &Arc<Route>) -> bool {
    Arc::ptr_eq(one, other)
        || (one.status == other.status
            && one.upstream == other.upstream
            && one.kind == other.kind
            && one.label == other.label
            && one.strip_prefix == other.strip_prefix
            && one.entry_path == other.entry_path
            && Arc::ptr_eq(&one.activity, &other.activity)
            && one.cut.is_cancelled() == other.cut.is_cancelled())
}
