//! What EngineWatch tells: passed on to the desktops, and what belongs to none of them is removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::DesktopSupervisor;
use super::commands::turn;
use crate::desktop::engine::{Engine, EngineError, EngineInfo, Inventory};
use crate::desktop::engine_watch::{EngineWatch, LookAgain, NewWatch};
use crate::desktop::kasm_container::KasmContainer;
use crate::desktop::messages::{EngineAway, EngineDown, EngineSaid, EngineUp, Reconcile, Told};
use crate::error::Error;
use crate::supervision::{Backoff, ChildDown, ChildGuard};

/// The name of the watch in its death notice.
const WATCH: &str = "engine watch";
/// How long a command waits for the first word on whether the engine is there.
const VERDICT_LIMIT: Duration = Duration::from_secs(10);

/// Pauses before a watch that panicked is started again.
pub(super) fn watch_pauses() -> Backoff {
    Backoff::new(Duration::from_millis(200), Duration::from_secs(2))
}

/// Whether the engine answers.
#[derive(Debug, Clone)]
pub(super) enum EngineState {
    /// It has not been asked yet.
    Unknown,
    Up,
    Down(String),
}

/// Wait until it is known whether the engine answers.
///
/// # Errors
/// `EngineUnavailable` if it does not.
pub(super) async fn need_engine(mut engine: watch::Receiver<EngineState>) -> Result<(), Error> {
    let known = timeout(VERDICT_LIMIT, engine.wait_for(|state| !matches!(state, EngineState::Unknown))).await;
    match known {
        Ok(Ok(state)) => match &*state {
            EngineState::Up => Ok(()),
            EngineState::Down(reason) => Err(Error::EngineUnavailable(reason.clone())),
            EngineState::Unknown => Err(Error::EngineUnavailable("it has not answered yet".into())),
        },
        Ok(Err(_)) => Err(Error::Unavailable("a part of the server restarts; try again".into())),
        Err(_) => Err(Error::EngineUnavailable("it has not answered yet".into())),
    }
}

/// What the engine has of one desktop.
#[derive(Debug, Default, Clone)]
struct Leftovers {
    containers: Vec<String>,
    networks: Vec<String>,
}

impl DesktopSupervisor {
    pub(super) fn watch_engine(&mut self, ctx: &mut Context<Self>) {
        let watch = EngineWatch::new(NewWatch {
            engine: self.means.engine.clone(),
            installation: self.container_means.installation.clone(),
            up: ctx.address().recipient(),
            down: ctx.address().recipient(),
            said: ctx.address().recipient(),
            end: self.end.clone(),
            guard: ChildGuard::new(WATCH, ctx.address().recipient(), ()),
        });
        self.engine_watch = Some(watch.start());
    }

    pub(super) fn look_again(&self, ctx: &mut Context<Self>) {
        if let Some(watch) = self.engine_watch.clone() {
            // One that has ended is followed by another, which looks by itself.
            let look = async move { watch.send(LookAgain).await };
            ctx.spawn(look.into_actor(self).map(|_, _, _| ()));
        }
    }

    fn children(&self) -> Vec<Addr<KasmContainer>> {
        self.desktops.values().filter_map(|desktop| desktop.child.clone()).collect()
    }

    /// Tell a desktop something that it must not miss.
    fn tell_child<M>(&self, child: &Addr<KasmContainer>, message: M, ctx: &mut Context<Self>)
    where
        M: Message<Result = ()> + Send + 'static,
        KasmContainer: Handler<M>,
        Context<KasmContainer>: ToEnvelope<KasmContainer, M>,
    {
        // It is put into the mailbox here, so that messages keep their order.
        let sent = child.send(message);
        ctx.spawn(sent.into_actor(self).map(|_, _, _| ()));
    }

    /// What of this no desktop has a claim to, as the rows are now.
    fn unclaimed(&self, desktop_id: &str, found: Leftovers) -> Leftovers {
        let Some(desktop) = self.desktops.get(desktop_id) else { return found };
        let Leftovers { mut containers, mut networks } = found;
        containers.retain(|container_id| !desktop.claims_container(container_id));
        networks.retain(|_| !desktop.claims_network());
        Leftovers { containers, networks }
    }

    /// Remove containers and networks that no desktop has a claim to. Never volumes: they are people's homes.
    fn sweep(&mut self, inventory: &Inventory, ctx: &mut Context<Self>) {
        let mut found: BTreeMap<&str, Leftovers> = BTreeMap::new();
        for container in &inventory.containers {
            let of_desktop = found.entry(&container.desktop_id).or_default();
            of_desktop.containers.push(container.container_id.clone());
        }
        for network in &inventory.networks {
            found.entry(&network.desktop_id).or_default().networks.push(network.name.clone());
        }
        for (desktop_id, leftovers) in found {
            let leftovers = self.unclaimed(desktop_id, leftovers);
            let is_clean = leftovers.containers.is_empty() && leftovers.networks.is_empty();
            if !is_clean && self.sweeping.insert(desktop_id.to_owned()) {
                self.remove_leftovers(desktop_id.to_owned(), leftovers, ctx);
            }
        }
    }

    /// In the desktop's turn, so that it is not started meanwhile.
    fn remove_leftovers(&self, desktop_id: String, leftovers: Leftovers, ctx: &mut Context<Self>) {
        let semaphore = self.desktops.get(&desktop_id).map(|desktop| desktop.turn.clone());
        let its_turn = turn(semaphore.unwrap_or_else(|| Arc::new(Semaphore::new(1)))).into_actor(self);
        let id = desktop_id.clone();
        let remove = its_turn.then(move |permit, supervisor, _| {
            let leftovers = supervisor.unclaimed(&id, leftovers);
            let engine = supervisor.means.engine.clone();
            async move {
                if let Err(error) = remove(&*engine, &id, &leftovers).await {
                    tracing::warn!(desktop = id, %error, "what the desktop left behind is not removed, another attempt follows");
                }
                drop(permit);
            }
            .into_actor(supervisor)
        });
        ctx.spawn(remove.map(move |(), supervisor, _| {
            supervisor.sweeping.remove(&desktop_id);
        }));
    }
}

async fn remove(engine: &dyn Engine, desktop_id: &str, leftovers: &Leftovers) -> Result<(), EngineError> {
    for container in &leftovers.containers {
        engine.remove(container).await?;
        tracing::info!(desktop = desktop_id, container, "removed a container that no desktop has a claim to");
    }
    for network in &leftovers.networks {
        engine.remove_network(network).await?;
        tracing::info!(desktop = desktop_id, network, "removed a network that no desktop has a claim to");
    }
    Ok(())
}

impl Handler<EngineUp> for DesktopSupervisor {
    type Result = ();

    fn handle(&mut self, EngineUp { info, inventory }: EngineUp, ctx: &mut Self::Context) {
        if !matches!(*self.engine.borrow(), EngineState::Up) {
            let EngineInfo { name, version, api_version } = &info;
            tracing::info!(name, version, api_version, "the container engine answers");
        }
        self.watch_pauses.reset();
        self.engine.send_replace(EngineState::Up);
        for child in self.children() {
            self.tell_child(&child, Reconcile(inventory.clone()), ctx);
        }
        self.sweep(&inventory, ctx);
        // One that could not be stopped while the engine was away.
        self.stop_of_inactive(ctx);
    }
}

impl Handler<EngineDown> for DesktopSupervisor {
    type Result = ();

    fn handle(&mut self, EngineDown(reason): EngineDown, ctx: &mut Self::Context) {
        let was_down = matches!(&*self.engine.borrow(), EngineState::Down(_));
        self.engine.send_replace(EngineState::Down(reason.clone()));
        if was_down {
            return;
        }
        tracing::warn!(reason, "the container engine does not answer: desktops wait for it");
        for child in self.children() {
            self.tell_child(&child, EngineAway(reason.clone()), ctx);
        }
    }
}

impl Handler<EngineSaid> for DesktopSupervisor {
    type Result = ();

    fn handle(&mut self, EngineSaid(event): EngineSaid, _: &mut Self::Context) {
        let Some(child) = self.desktops.get(&event.desktop_id).and_then(|desktop| desktop.child.as_ref()) else {
            return;
        };
        if let Err(error) = child.try_send(Told(event)) {
            // The next inventory tells what became of it.
            tracing::warn!(%error, "a desktop does not take what the engine says of it");
        }
    }
}

impl Handler<ChildDown<&'static str>> for DesktopSupervisor {
    type Result = ();

    fn handle(&mut self, down: ChildDown<&'static str>, ctx: &mut Self::Context) {
        tracing::error!(cause = ?down.cause, "the engine's watch ended: another takes over");
        self.engine_watch = None;
        let pause = self.watch_pauses.next_pause();
        ctx.run_later(pause, Self::watch_engine);
    }
}
