//! KasmContainer: one desktop, its life, readiness and idleness.
//!
//! Started by the [DesktopSupervisor](super::supervisor) from the desktop's row; it addresses nobody but that one, the
//! engine and the database. It ends when the desktop is deleted, or with the supervisor.
//!
//! What leads from one status to another is drawn in [`state`](super::state). Each transition is stored, then
//! published as [`Changed`], and only then is done what follows from it, one step at a time: [`saving`], [`work`].
//! A step that the desktop has no use for any more is broken off if nothing arises of it later (a pull, a wait), and
//! waited for otherwise; what it then made is removed by whatever took its place. The steps are in [`bring_up`],
//! [`readiness`] and [`take_down`]; [`asked`] answers the supervisor, [`engine_news`] hears of the engine, [`idle`]
//! and [`thumbnails`] are apart from all that.

mod asked;
mod bring_up;
mod engine_news;
mod idle;
mod readiness;
mod saving;
mod take_down;
mod thumbnails;
mod view;
mod work;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::engine_news::Deaths;
use self::idle::IdleWatch;
use self::saving::Saving;
use self::thumbnails::Pictures;
use self::work::Work;
use super::engine::{Engine, runs_in_container};
use super::messages::{Accessed, Changed, IdleWarning};
use super::progress::Progress;
use super::reserve::Tried;
use super::routes::Activity;
use super::state::{self, Event, State};
use super::{DesktopType, Status};
use crate::clock::now_ms;
use crate::config::{DesktopConfig, DesktopReach};
use crate::error::Error;
use crate::store::Store;
use crate::store::models::ContainerRow;
use crate::supervision::ChildGuard;
use crate::upstream::Client;
use crate::vault::Vault;

/// One that has lost its supervisor ends so soon: another takes over.
const PARENT_CHECK: Duration = Duration::from_millis(500);

/// What a container works with.
#[derive(Clone)]
pub struct ContainerMeans {
    pub config: DesktopConfig,
    pub store: Store,
    pub vault: Vault,
    pub engine: Arc<dyn Engine>,
    /// The installation's id, which labels all that is made.
    pub installation: Arc<str>,
    pub client: Client,
}

/// Whom a container tells of its life.
#[derive(Clone)]
pub struct Parent {
    pub changed: Recipient<Changed>,
    pub idle: Recipient<IdleWarning>,
    pub accessed: Recipient<Accessed>,
}

/// What a container is made of.
pub struct NewContainer {
    /// As it stands in the database.
    pub row: ContainerRow,
    /// None: the type's row cannot be read. Then the desktop can be stopped and deleted.
    pub desktop_type: Option<Arc<DesktopType>>,
    /// For `{username}`.
    pub username: String,
    pub means: ContainerMeans,
    pub engine_up: bool,
    pub parent: Parent,
    pub guard: ChildGuard<String, ()>,
}

/// See the module's documentation.
pub struct KasmContainer {
    means: ContainerMeans,
    parent: Parent,
    username: String,
    desktop_type: Option<Arc<DesktopType>>,
    /// As it should be stored.
    row: ContainerRow,
    state: State,
    password: Option<String>,
    progress: Option<Progress>,
    limits_skipped: Vec<String>,
    engine_up: bool,
    /// The engine was asked for the container since it last began to answer.
    looked: bool,
    /// This server is in the desktop's network, or was there anyway. Before that a connection would wait in vain.
    joined: bool,
    /// Something of it may stand in the engine.
    holds: bool,
    run: Run,
    work: Work,
    saving: Saving,
    tried: Tried,
    deaths: Deaths,
    deletion: Option<Deletion>,
    idle: IdleWatch,
    pictures: Pictures,
    /// The status that was last published.
    published: Option<Status>,
    /// Last: the supervisor hears of the end when everything else is gone.
    guard: ChildGuard<String, ()>,
}

/// From one readiness to its end.
struct Run {
    activity: Arc<Activity>,
    cut: CancellationToken,
    /// In milliseconds since 1970.
    since: i64,
    /// When it was used, as the supervisor was last told.
    told: i64,
    /// Nobody could cut connections of an actor that is gone.
    _end: DropGuard,
}

impl Run {
    fn new() -> Self {
        let cut = CancellationToken::new();
        Self { activity: Arc::default(), since: now_ms(), told: 0, _end: cut.clone().drop_guard(), cut }
    }
}

/// Somebody wants it removed.
struct Deletion {
    home: bool,
    answer: Option<oneshot::Sender<Result<(), Error>>>,
}

impl KasmContainer {
    pub fn new(new: NewContainer) -> Self {
        let NewContainer { row, desktop_type, username, means, engine_up, parent, guard } = new;
        let status = Status::of_row(&row.status);
        let joined = means.config.reach != DesktopReach::Network || !runs_in_container();
        let password = row.password.as_deref().and_then(|sealed| means.vault.read(&row.id, sealed).ok());
        Self {
            means,
            parent,
            username,
            desktop_type,
            state: State::at(status),
            password,
            progress: None,
            limits_skipped: Vec::new(),
            engine_up,
            looked: false,
            joined,
            holds: matches!(status, Status::Creating | Status::Starting | Status::Ready | Status::Stopping)
                || row.container_id.is_some(),
            run: Run::new(),
            work: Work::default(),
            saving: Saving::new(row.clone()),
            row,
            tried: Tried::default(),
            deaths: Deaths::default(),
            deletion: None,
            idle: IdleWatch::default(),
            pictures: Pictures::default(),
            published: None,
            guard,
        }
    }

    fn status(&self) -> Status {
        self.state.status
    }

    /// Take a step of the machine, if the event leads anywhere.
    fn happen(&mut self, event: Event, ctx: &mut Context<Self>) {
        let Some(step) = state::next(self.state, event) else {
            tracing::debug!(desktop = self.row.id, ?event, state = ?self.state, "an event that means nothing now");
            return;
        };
        let from = self.state.status;
        self.state = step.state;
        if from != step.state.status {
            self.turned(from, ctx);
        }
        if let Some(effect) = step.effect {
            self.ask(effect, ctx);
        }
        self.advance(ctx);
    }

    /// It is in another status than before.
    fn turned(&mut self, from: Status, ctx: &mut Context<Self>) {
        let to = self.status();
        tracing::info!(desktop = self.row.id, proxy_path = self.row.proxy_path, from = from.as_str(), to = to.as_str());
        state::record(&mut self.row, to, now_ms());
        self.progress = None;
        if from == Status::Ready {
            self.cut(ctx);
        }
        match to {
            Status::Ready => {
                self.run = Run::new();
                self.watch_idleness(ctx);
            }
            Status::Requested => self.begin(),
            Status::Stopped | Status::Failed | Status::Gone => self.password = None,
            _ => {}
        }
    }

    /// What an earlier start has learned does not count for this one.
    fn begin(&mut self) {
        self.tried = Tried::default();
        self.deaths = Deaths::default();
        self.limits_skipped.clear();
    }

    /// Close whatever is open to it, before anything else is done.
    fn cut(&mut self, ctx: &mut Context<Self>) {
        self.run.cut.cancel();
        self.tell_accessed();
        self.end_idleness(ctx);
        self.forget_pictures(ctx);
    }

    /// Whether all that remains is its removal.
    fn is_deleting(&self) -> bool {
        self.deletion.is_some()
    }
}

impl Actor for KasmContainer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // A desktop that was ready stays so for those who have it open, whether or not the engine answers.
        self.publish(&self.row.clone());
        if self.status() == Status::Ready {
            self.watch_idleness(ctx);
        }
        if self.engine_up && (self.status().is_up() || self.status() == Status::Stopping) {
            self.look(ctx);
        }
        ctx.run_interval(PARENT_CHECK, |container, ctx| {
            if !container.guard.has_parent() {
                ctx.stop();
            }
        });
        self.gather_accesses(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.tell_accessed();
    }
}
