//! The tree's root: starts the long-lived actors, and builds another in the place of one that ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::watch;

use crate::config::{DesktopConfig, IdentityConfig, TunnelConfig};
use crate::current::Current;
use crate::desktop::engine::Engine;
use crate::desktop::supervisor::Means;
use crate::desktop::{DesktopSupervisor, Routes};
use crate::events::{EventBus, Publisher};
use crate::http::{AppState, Settings};
use crate::identity::attempts::AttemptLimiter;
use crate::identity::audit::AuditLog;
use crate::identity::directory::{Directory, DirectorySettings};
use crate::identity::hasher::PasswordHasher;
use crate::identity::oidc::OidcFlows;
use crate::identity::snapshot::Snapshot;
use crate::store::Store;
use crate::supervision::{Cause, ChildDown, ChildGuard, Intensity, Restart};
use crate::tunnel::TunnelSupervisor;
use crate::upstream::Connector;
use crate::vault::Vault;

/// An actor of the root is built again this often within [`RESTART_WINDOW`].
const RESTARTS: usize = 3;
const RESTART_WINDOW: Duration = Duration::from_secs(60);

/// What the tree is built from.
pub struct Plan {
    pub store: Store,
    pub tunnel: TunnelConfig,
    pub desktop: DesktopConfig,
    pub vault: Vault,
    pub engine: Arc<dyn Engine>,
    pub identity: IdentityConfig,
    pub http: Settings,
}

/// The tree's root. Started by [`Root::start_tree`]; ends with the program.
pub struct Root {
    branches: HashMap<&'static str, Branch>,
    failed: watch::Sender<()>,
}

/// One of the root's actors.
struct Branch {
    /// Starts another and publishes its address.
    restart: Box<dyn Fn()>,
    intensity: Intensity,
}

impl Root {
    /// Start the tree. Returns what HTTP works with, and what changes when the tree cannot be mended.
    pub fn start_tree(plan: Plan) -> (AppState, watch::Receiver<()>) {
        let (failed, failure) = watch::channel(());
        let mut state = None;
        Self::create(|ctx| {
            let mut root = Self { branches: HashMap::new(), failed };
            state = Some(root.plant(plan, &ctx.address()));
            root
        });
        // `create` calls its closure before it returns.
        (state.expect("the root was created"), failure)
    }

    fn plant(&mut self, plan: Plan, address: &Addr<Self>) -> AppState {
        let Plan { store, tunnel, desktop, vault, engine, identity, http } = plan;
        let IdentityConfig { sessions, limits, oidc } = identity;
        let events = Publisher::new(self.branch("events", address, EventBus::new));
        let audit = {
            let store = store.clone();
            self.branch("audit", address, move |guard| AuditLog::new(store.clone(), guard))
        };
        let hasher = self.branch("passwords", address, PasswordHasher::new);
        let attempts = self.branch("attempts", address, AttemptLimiter::new);
        let (published, snapshot) = watch::channel(Arc::new(Snapshot::default()));
        let directory = {
            let (store, events, settings) = (store.clone(), events.clone(), DirectorySettings { sessions, limits });
            self.branch("directory", address, move |guard| {
                let events = events.clone();
                let announce = Box::new(move |event| events.publish(event));
                Directory::new(store.clone(), settings.clone(), published.clone(), announce, guard)
            })
        };
        let tunnels = {
            let (store, events, snapshot) = (store.clone(), events.clone(), snapshot.clone());
            self.branch("tunnels", address, move |guard| {
                TunnelSupervisor::new(tunnel.clone(), store.clone(), snapshot.clone(), events.clone(), guard)
            })
        };
        let (sender, routes) = watch::channel(Arc::new(Routes::default()));
        let desktops = {
            let (store, events, snapshot) = (store.clone(), events.clone(), snapshot.clone());
            let means = Means { config: desktop, store, vault, engine, snapshot, events, routes: sender };
            self.branch("desktops", address, move |guard| DesktopSupervisor::new(means.clone(), guard))
        };
        let oidc = self.branch("oidc", address, move |guard| OidcFlows::new(oidc.clone(), guard));
        let settings = Arc::new(http);
        // It fails only in a build whose cryptography knows no version of TLS.
        let connector = Connector::new().expect("the cryptography is built in");
        AppState {
            store,
            settings,
            tunnels,
            directory,
            snapshot,
            events,
            audit,
            hasher,
            attempts,
            oidc,
            desktops,
            routes,
            connector,
        }
    }

    /// Start an actor that is built again when it ends.
    fn branch<A: Actor<Context = Context<A>>>(
        &mut self,
        name: &'static str,
        address: &Addr<Self>,
        make: impl Fn(ChildGuard<&'static str>) -> A + 'static,
    ) -> Current<A> {
        let parent: Recipient<ChildDown<&'static str>> = address.clone().recipient();
        let start = move || make(ChildGuard::new(name, parent.clone(), ())).start();
        let (sender, receiver) = watch::channel(start());
        let restart = Box::new(move || drop(sender.send_replace(start())));
        self.branches.insert(name, Branch { restart, intensity: Intensity::new(RESTARTS, RESTART_WINDOW) });
        receiver
    }
}

impl Actor for Root {
    type Context = Context<Self>;
}

impl Handler<ChildDown<&'static str>> for Root {
    type Result = ();

    fn handle(&mut self, down: ChildDown<&'static str>, _: &mut Self::Context) {
        let Some(branch) = self.branches.get_mut(down.key) else { return };
        // None returns by itself: whatever ended it, it is needed.
        let cause = if down.cause == Cause::Returned { Cause::Failed("it ended".into()) } else { down.cause };
        match branch.intensity.decide(&cause, Instant::now()) {
            Restart::Now | Restart::No => {
                tracing::error!(part = down.key, ?cause, "a part of the server ended: another is built");
                (branch.restart)();
            }
            Restart::GiveUp => {
                tracing::error!(part = down.key, ?cause, "a part of the server ends again and again: giving up");
                self.failed.send_replace(());
            }
        }
    }
}
