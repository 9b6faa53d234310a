//! A KasmContainer's life: started from its row, restarted when it ends unasked, left alone for a while when that
//! happens again and again.

use std::time::{Duration, Instant};

use actix::fut::{LocalBoxActorFuture, ready};
use actix::prelude::*;

use super::DesktopSupervisor;
use super::engine::EngineState;
use super::entry::Desktop;
use crate::desktop::Status;
use crate::desktop::kasm_container::{KasmContainer, NewContainer, Parent};
use crate::desktop::messages::{Changed, Stop};
use crate::error::Error;
use crate::identity::snapshot::AccountsChanged;
use crate::store::containers;
use crate::supervision::{Cause, ChildDown, ChildGuard, Restart};

/// A desktop whose KasmContainer ended too often is tried again after this; in tests nobody waits that long.
const CRASHED_RETRY: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 60 });
/// Why the desktops of somebody who may not sign in are stopped.
const INACTIVE: &str = "the account is not active";

impl DesktopSupervisor {
    /// Take a desktop in and start its KasmContainer.
    pub(super) fn add(&mut self, desktop: Desktop, ctx: &mut Context<Self>) {
        let id = desktop.row.id.clone();
        self.desktops.insert(id.clone(), desktop);
        self.start_child(&id, ctx);
    }

    /// The factory of KasmContainers.
    fn start_child(&mut self, id: &str, ctx: &mut Context<Self>) {
        let means = self.container_means.clone();
        let engine_up = matches!(*self.engine.borrow(), EngineState::Up);
        let Some(desktop) = self.desktops.get_mut(id) else { return };
        if let Some(retry) = desktop.retry.take() {
            ctx.cancel_future(retry);
        }
        let desktop_type = self.types.values().find(|known| known.id == desktop.row.type_id);
        let child = KasmContainer::new(NewContainer {
            row: desktop.row.clone(),
            desktop_type: desktop_type.and_then(|known| known.parsed.clone()),
            username: desktop.username.clone(),
            means,
            engine_up,
            parent: Parent {
                changed: ctx.address().recipient(),
                idle: ctx.address().recipient(),
                accessed: ctx.address().recipient(),
            },
            guard: ChildGuard::new(id.to_owned(), ctx.address().recipient(), ()),
        });
        desktop.child = Some(child.start());
    }

    /// The KasmContainer of a desktop; one that has none gets another from its row.
    pub(super) fn child_of(&mut self, id: &str) -> LocalBoxActorFuture<Self, Result<Addr<KasmContainer>, Error>> {
        match self.desktops.get(id) {
            None => Box::pin(ready(Err(Error::DesktopUnknown(id.to_owned())))),
            Some(Desktop { child: Some(child), .. }) => Box::pin(ready(Ok(child.clone()))),
            Some(_) => self.bring_back(id.to_owned()),
        }
    }

    fn bring_back(&mut self, id: String) -> LocalBoxActorFuture<Self, Result<Addr<KasmContainer>, Error>> {
        let (store, key) = (self.means.store.clone(), id.clone());
        let read = async move { store.run(move |c| containers::find(c, &key)).await };
        Box::pin(read.into_actor(self).map(move |row, supervisor, ctx| {
            let unknown = || Error::DesktopUnknown(id.clone());
            let Some(row) = row? else {
                supervisor.forget(&id);
                return Err(unknown());
            };
            let desktop = supervisor.desktops.get_mut(&id).ok_or_else(unknown)?;
            // Somebody else may have been faster.
            if desktop.child.is_none() {
                desktop.row = row;
                supervisor.start_child(&id, ctx);
                // What the new one has in the engine stands in no inventory that it has seen.
                supervisor.look_again(ctx);
            }
            supervisor.desktops.get(&id).and_then(|desktop| desktop.child.clone()).ok_or_else(unknown)
        }))
    }

    pub(super) fn bring_back_now(&mut self, id: &str, ctx: &mut Context<Self>) {
        let key = id.to_owned();
        let back = self.bring_back(key.clone());
        ctx.spawn(back.map(move |child, supervisor, ctx| {
            // One whose row is gone is not brought back.
            if let Err(error @ (Error::Unavailable(_) | Error::Internal)) = child {
                tracing::warn!(desktop = key, %error, "the desktop's row cannot be read, another attempt follows");
                supervisor.has_crashed(&key, ctx);
            }
        }));
    }

    fn has_crashed(&mut self, id: &str, ctx: &mut Context<Self>) {
        let Some(desktop) = self.desktops.get(id) else { return };
        let desktop_type = self.types.values().find(|known| known.id == desktop.row.type_id);
        let crashed = desktop.crashed(desktop_type.and_then(|known| known.parsed.as_deref()));
        let key = id.to_owned();
        let retry = ctx.run_later(CRASHED_RETRY, move |supervisor, ctx| supervisor.bring_back_now(&key, ctx));
        if let Some(before) = self.desktops.get_mut(id).and_then(|desktop| desktop.retry.replace(retry)) {
            ctx.cancel_future(before);
        }
        self.take(crashed);
    }

    /// Take in how a desktop is, and tell whoever has to know.
    fn take(&mut self, changed: Changed) {
        let id = changed.row.id.clone();
        let Some(desktop) = self.desktops.get_mut(&id) else { return };
        if changed.view.status != Status::Stopped {
            desktop.is_new = false;
        }
        let reroute = desktop.take(changed);
        self.tell_changed(&id);
        if *self.ready.borrow() {
            if reroute {
                self.publish_routes();
            }
        } else {
            self.check_ready();
        }
    }

    /// Publish the routes when every desktop has said how it is.
    pub(super) fn check_ready(&mut self) {
        if !*self.ready.borrow() && self.desktops.values().all(|desktop| desktop.told.is_some()) {
            self.publish_routes();
            self.ready.send_replace(true);
        }
    }

    /// A desktop is not there any more.
    pub(super) fn forget(&mut self, id: &str) {
        let Some(desktop) = self.desktops.remove(id) else { return };
        self.accesses.remove(id);
        self.publish_routes();
        self.tell_deleted(&desktop.row);
        tracing::info!(desktop = id, proxy_path = desktop.row.proxy_path, "the desktop is deleted");
    }

    /// Stop what belongs to somebody whose account is not active, now that he cannot do it himself.
    pub(super) fn stop_of_inactive(&mut self, ctx: &mut Context<Self>) {
        let snapshot = self.means.snapshot.borrow().clone();
        let inactive = |desktop: &&Desktop| {
            desktop.status().is_up() && snapshot.user(&desktop.row.owner_id).is_some_and(|owner| !owner.active)
        };
        for desktop in self.desktops.values().filter(inactive) {
            let (id, Some(child)) = (desktop.row.id.clone(), desktop.child.clone()) else { continue };
            tracing::info!(desktop = id, "the owner's account is not active: the desktop is stopped");
            let stop = async move {
                match child.send(Stop { reason: Some(INACTIVE.into()) }).await {
                    // Its successor says how it is, and is told again.
                    Err(_) | Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(desktop = id, %error, "the desktop is not stopped"),
                }
            };
            ctx.spawn(stop.into_actor(self));
        }
    }
}

impl Handler<Changed> for DesktopSupervisor {
    type Result = ();

    fn handle(&mut self, changed: Changed, ctx: &mut Self::Context) {
        let before = self.desktops.get(&changed.row.id).and_then(|desktop| desktop.told.as_ref());
        let came_up = changed.view.status.is_up() && before.is_none_or(|told| !told.view.status.is_up());
        self.take(changed);
        if came_up {
            self.stop_of_inactive(ctx);
        }
    }
}

impl StreamHandler<AccountsChanged> for DesktopSupervisor {
    fn handle(&mut self, _: AccountsChanged, ctx: &mut Self::Context) {
        self.stop_of_inactive(ctx);
    }

    /// The Directory is never without a successor, which publishes through the same channel.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<ChildDown<String>> for DesktopSupervisor {
    type Result = ();

    fn handle(&mut self, down: ChildDown<String>, ctx: &mut Self::Context) {
        let Some(desktop) = self.desktops.get_mut(&down.key) else { return };
        if desktop.child.as_ref().is_none_or(Addr::connected) {
            return;
        }
        desktop.child = None;
        desktop.cut();
        // Whoever asked for its end goes on from here.
        if desktop.deleting {
            return;
        }
        // None ends by itself: whatever ended it, it is needed.
        let cause = if down.cause == Cause::Returned { Cause::Failed("it ended".into()) } else { down.cause };
        match desktop.intensity.decide(&cause, Instant::now()) {
            Restart::Now | Restart::No => {
                tracing::error!(desktop = down.key, ?cause, "a desktop's actor ended: another takes over");
                self.bring_back_now(&down.key, ctx);
            }
            Restart::GiveUp => {
                tracing::error!(desktop = down.key, ?cause, "a desktop's actor ends again and again");
                self.has_crashed(&down.key, ctx);
            }
        }
    }
}
