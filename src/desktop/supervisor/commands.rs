//! What the API asks of desktops that are there.

use std::sync::Arc;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::fut::LocalBoxActorFuture;
use actix::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::DesktopSupervisor;
use super::engine::need_engine;
use crate::desktop::commands::{
    DeleteDesktop, GetDesktop, GetLogs, GetThumbnail, ListDesktops, StartDesktop, StopDesktop, Thumbnail,
};
use crate::desktop::kasm_container::KasmContainer;
use crate::desktop::messages::{Delete, ReadLogs, Start, Stop, TakeThumbnail};
use crate::desktop::view::DesktopView;
use crate::desktop::{DesktopType, Status};
use crate::error::Error;

/// How long a command waits for the rows to be read after a restart.
const READY_LIMIT: Duration = Duration::from_secs(5);

/// What a command works with: its turn at the desktop, and the desktop's actor.
type Held = (Option<OwnedSemaphorePermit>, Addr<KasmContainer>);

/// Its turn to change something. The semaphore is never closed; without a permit nothing would be lost but the order.
pub(super) async fn turn(semaphore: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    semaphore.acquire_owned().await.ok()
}

/// Ask a desktop's actor.
async fn ask<M, T>(child: &Addr<KasmContainer>, message: M) -> Result<T, Error>
where
    M: Message<Result = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
    KasmContainer: Handler<M>,
    Context<KasmContainer>: ToEnvelope<KasmContainer, M>,
{
    let answer = child.send(message).await;
    answer.unwrap_or_else(|_| Err(Error::Unavailable("the desktop's part of the server restarts; try again".into())))
}

impl DesktopSupervisor {
    /// Wait until every desktop has said how it is.
    pub(super) fn once_ready(&self) -> impl Future<Output = Result<(), Error>> + use<> {
        let mut ready = self.ready.subscribe();
        async move {
            match timeout(READY_LIMIT, ready.wait_for(|ready| *ready)).await {
                Ok(Ok(_)) => Ok(()),
                _ => Err(Error::Unavailable("the desktops are being read from the database; try again".into())),
            }
        }
    }

    /// Wait for the turn to add a desktop or to change the catalogue.
    pub(super) fn in_turn(&self) -> LocalBoxActorFuture<Self, Result<Option<OwnedSemaphorePermit>, Error>> {
        let (semaphore, ready) = (self.turn.clone(), self.once_ready());
        let wait = async move {
            ready.await?;
            Ok(turn(semaphore).await)
        };
        Box::pin(wait.into_actor(self))
    }

    /// Wait for the turn at a desktop. It may be gone by then.
    fn hold(&self, id: &str) -> LocalBoxActorFuture<Self, Result<Held, Error>> {
        let (first, second) = (id.to_owned(), id.to_owned());
        let ready = self.once_ready().into_actor(self).then(move |ready, supervisor, _| {
            let semaphore = supervisor.desktops.get(&first).map(|desktop| desktop.turn.clone());
            let its_turn = async move {
                ready?;
                Ok(turn(semaphore.ok_or(Error::DesktopUnknown(first))?).await)
            };
            its_turn.into_actor(supervisor)
        });
        Box::pin(ready.then(move |permit: Result<_, Error>, supervisor, _| {
            supervisor.child_of(&second).map(|child, _, _| Ok((permit?, child?)))
        }))
    }

    /// The desktop's actor, without a turn: nothing is changed.
    fn reach(&self, id: String) -> LocalBoxActorFuture<Self, Result<Addr<KasmContainer>, Error>> {
        let ready = self.once_ready().into_actor(self);
        Box::pin(ready.then(move |ready, supervisor, _| supervisor.child_of(&id).map(|child, _, _| ready.and(child))))
    }

    /// What a desktop has to be started with; None: it is up, or on its way.
    fn to_start(&self, id: &str) -> Result<Option<Arc<DesktopType>>, Error> {
        let desktop = self.desktops.get(id).ok_or_else(|| Error::DesktopUnknown(id.to_owned()))?;
        if desktop.status().is_up() {
            return Ok(None);
        }
        let known = self.types.iter().find(|(_, known)| known.id == desktop.row.type_id);
        let (name, known) = known.ok_or_else(|| Error::DesktopTypeUnknown(desktop.row.type_id.clone()))?;
        let parsed = known.parsed.clone().ok_or_else(|| Error::DesktopTypeUnknown(name.clone()))?;
        if parsed.enabled { Ok(Some(parsed)) } else { Err(Error::DesktopTypeDisabled(name.clone())) }
    }

    pub(super) fn start_desktop(&self, id: String) -> LocalBoxActorFuture<Self, Result<DesktopView, Error>> {
        let key = id.clone();
        let start = self.hold(&id).then(move |held, supervisor, _| {
            let to_start = held.and_then(|held| Ok((held, supervisor.to_start(&key)?)));
            let engine = supervisor.engine.subscribe();
            let start = async move {
                let ((permit, child), desktop_type) = to_start?;
                if let Some(desktop_type) = desktop_type {
                    need_engine(engine).await?;
                    ask(&child, Start(desktop_type)).await?;
                }
                Ok(permit)
            };
            start.into_actor(supervisor)
        });
        Box::pin(start.map(move |started: Result<_, Error>, supervisor, _| {
            let _permit = started?;
            supervisor.view(&id)
        }))
    }

    fn stop_desktop(&self, id: String) -> LocalBoxActorFuture<Self, Result<DesktopView, Error>> {
        let key = id.clone();
        let stop = self.hold(&id).then(move |held, supervisor, _| {
            let status = supervisor.desktops.get(&key).map(|desktop| desktop.status());
            let engine = supervisor.engine.subscribe();
            let stop = async move {
                let (permit, child) = held?;
                if status != Some(Status::Stopped) {
                    need_engine(engine).await?;
                    ask(&child, Stop { reason: None }).await?;
                }
                Ok(permit)
            };
            stop.into_actor(supervisor)
        });
        Box::pin(stop.map(move |stopped: Result<_, Error>, supervisor, _| {
            let _permit = stopped?;
            supervisor.view(&id)
        }))
    }

    fn delete_desktop(&self, id: String, home: bool) -> LocalBoxActorFuture<Self, Result<(), Error>> {
        let key = id.clone();
        let delete = self.hold(&id).then(move |held, supervisor, _| {
            let mut needs_engine = home;
            if let Some(desktop) = supervisor.desktops.get_mut(&key).filter(|_| held.is_ok()) {
                desktop.deleting = true;
                needs_engine |= desktop.is_held();
            }
            let engine = supervisor.engine.subscribe();
            let delete = async move {
                let (permit, child) = held?;
                if needs_engine {
                    need_engine(engine).await?;
                }
                ask(&child, Delete { home }).await?;
                Ok(permit)
            };
            delete.into_actor(supervisor)
        });
        Box::pin(delete.map(move |deleted: Result<_, Error>, supervisor, ctx| match deleted {
            Ok(_permit) => {
                supervisor.forget(&id);
                Ok(())
            }
            Err(error) => {
                supervisor.is_kept(&id, ctx);
                Err(error)
            }
        }))
    }

    /// A deletion did not succeed.
    fn is_kept(&mut self, id: &str, ctx: &mut Context<Self>) {
        let Some(desktop) = self.desktops.get_mut(id).filter(|desktop| desktop.deleting) else { return };
        desktop.deleting = false;
        let has_ended = desktop.child.as_ref().is_none_or(|child| !child.connected());
        if has_ended {
            desktop.child = None;
            self.bring_back_now(id, ctx);
        }
    }
}

impl Handler<ListDesktops> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Vec<DesktopView>>;

    fn handle(&mut self, _: ListDesktops, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.once_ready().into_actor(self).map(|_, supervisor, _| {
            supervisor.desktops.values().filter_map(|desktop| supervisor.view_of(desktop)).collect()
        }))
    }
}

impl Handler<GetDesktop> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Result<DesktopView, Error>>;

    fn handle(&mut self, GetDesktop(id): GetDesktop, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.once_ready().into_actor(self).map(move |ready, supervisor, _| ready.and(supervisor.view(&id))))
    }
}

impl Handler<StartDesktop> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Result<DesktopView, Error>>;

    fn handle(&mut self, StartDesktop(id): StartDesktop, _: &mut Self::Context) -> Self::Result {
        self.start_desktop(id)
    }
}

impl Handler<StopDesktop> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Result<DesktopView, Error>>;

    fn handle(&mut self, StopDesktop(id): StopDesktop, _: &mut Self::Context) -> Self::Result {
        self.stop_desktop(id)
    }
}

impl Handler<DeleteDesktop> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, DeleteDesktop { id, home }: DeleteDesktop, _: &mut Self::Context) -> Self::Result {
        self.delete_desktop(id, home)
    }
}

impl Handler<GetLogs> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Result<String, Error>>;

    fn handle(&mut self, GetLogs(id): GetLogs, _: &mut Self::Context) -> Self::Result {
        Box::pin(
            self.reach(id)
                .then(|child, supervisor, _| async move { ask(&child?, ReadLogs).await }.into_actor(supervisor)),
        )
    }
}

impl Handler<GetThumbnail> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Result<Thumbnail, Error>>;

    fn handle(&mut self, GetThumbnail(id): GetThumbnail, _: &mut Self::Context) -> Self::Result {
        Box::pin(
            self.reach(id)
                .then(|child, supervisor, _| async move { ask(&child?, TakeThumbnail).await }.into_actor(supervisor)),
        )
    }
}
