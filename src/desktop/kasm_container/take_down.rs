//! The steps back: stop and remove the container, remove its network, and for good the row and the home.

use std::time::Duration;

use actix::prelude::*;
use tokio::time::sleep;

use super::engine_news::ended;
use super::work::{Failure, Outcome, Task, at_once};
use super::{Deletion, KasmContainer};
use crate::desktop::engine::{Engine, EngineError};
use crate::desktop::log_text::{REASON_LINES, clean, reason};
use crate::desktop::state::{Effect, Event};
use crate::error::Error;
use crate::store::{StoreError, containers};
use crate::supervision::Backoff;

/// How long a container may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// Pauses between attempts to remove what the engine would not.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a failed start has made is tried to be removed this often; after that it is left to the next inventory.
const CLEAN_UP_ATTEMPTS: usize = 3;
const CLEAN_UP_PAUSE: Duration = Duration::from_millis(500);

/// What a clean-up has come to.
pub(super) struct CleanedUp {
    /// Why the start failed, for people.
    pub reason: String,
    /// Nothing is left.
    pub all: bool,
}

/// Attempts to remove a container.
pub(super) struct Removal {
    pauses: Backoff,
    /// The row's reason tells of the last attempt.
    told: bool,
}

impl Default for Removal {
    fn default() -> Self {
        Self { pauses: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE), told: false }
    }
}

impl KasmContainer {
    /// What the engine knows the container by.
    fn target(&self) -> String {
        self.row.container_id.clone().unwrap_or_else(|| self.identity().name())
    }

    pub(super) fn take_down(&self) -> Task {
        if !self.holds {
            return at_once(Outcome::TakenDown(Ok(())));
        }
        let (engine, target, network) = (self.means.engine.clone(), self.target(), self.identity().network());
        Box::pin(async move {
            if let Err(error) = engine.stop(&target, GRACE).await {
                // The removal kills it.
                tracing::warn!(container = target, %error, "the container is not stopped in order");
            }
            Outcome::TakenDown(remove(&*engine, &target, &network).await)
        })
    }

    pub(super) fn taken_down(&mut self, result: Result<(), EngineError>, ctx: &mut Context<Self>) {
        let Err(error) = result else {
            if std::mem::take(&mut self.work.removal).told {
                self.row.reason = None;
            }
            return self.happen(Event::TakenDown, ctx);
        };
        tracing::warn!(desktop = self.row.id, %error, "the container is not removed, another attempt follows");
        if self.row.reason.is_none() {
            self.row.reason = Some(format!("the container cannot be removed: {error}; another attempt follows"));
            self.work.removal.told = true;
        }
        self.not_deleted(Error::EngineUnavailable(error.to_string()));
        self.happen(Event::TakeDownFailed, ctx);
    }

    pub(super) fn pause_take_down(&mut self) -> Task {
        let pause = self.work.removal.pauses.next_pause();
        Box::pin(async move {
            sleep(pause).await;
            Outcome::PauseOver
        })
    }

    /// Take it down now, if that waits for something.
    pub(super) fn hurry(&mut self, ctx: &mut Context<Self>) {
        if self.work.is_idle() || self.work.is_about(&[Effect::TakeDownLater]) {
            self.ask(Effect::TakeDown, ctx);
        }
        self.advance(ctx);
    }

    /// The container's end means nothing from here on: what is left of it is its last words.
    pub(super) fn clean_up(&mut self) -> Task {
        let failure = self.work.failure.take().unwrap_or_else(|| Failure::Said("it cannot be started".into()));
        let (name, container_id) = (self.identity().name(), self.row.container_id.take());
        if !self.holds {
            return at_once(Outcome::CleanedUp(CleanedUp { reason: reason(&sentence(&failure), ""), all: true }));
        }
        let (engine, network, password) = (self.means.engine.clone(), self.identity().network(), self.password.clone());
        Box::pin(async move {
            let (failure, log) = match &container_id {
                Some(container_id) => last_words(&*engine, container_id, &network, failure).await,
                None => (failure, String::new()),
            };
            let all = remove_patiently(&*engine, container_id.as_ref().unwrap_or(&name), &network).await;
            let log = clean(&log, password.as_deref());
            Outcome::CleanedUp(CleanedUp { reason: reason(&sentence(&failure), &log), all })
        })
    }

    pub(super) fn remove_leftovers(&self) -> Task {
        let (engine, name) = (self.means.engine.clone(), self.identity().name());
        let network = self.identity().network();
        Box::pin(async move {
            let removed = remove(&*engine, &name, &network).await;
            if let Err(error) = &removed {
                tracing::warn!(name, %error, "what is left of a desktop is not removed, another attempt follows");
            }
            Outcome::LeftoversRemoved(removed)
        })
    }

    pub(super) fn erase(&self) -> Task {
        let home = self.deletion.as_ref().is_some_and(|deletion| deletion.home);
        let volume = home.then(|| self.identity().volume());
        let (engine, store, id) = (self.means.engine.clone(), self.means.store.clone(), self.row.id.clone());
        let (holds, target, network) = (self.holds, self.target(), self.identity().network());
        let erase = async move {
            let refused = |error: EngineError| Error::EngineUnavailable(error.to_string());
            if holds {
                remove(&*engine, &target, &network).await.map_err(refused)?;
            }
            if let Some(volume) = volume {
                engine.remove_volume(&volume).await.map_err(refused)?;
            }
            match store.run(move |c| containers::delete(c, &id)).await {
                Ok(()) | Err(StoreError::Missing) => Ok(()),
                Err(error) => Err(error.into()),
            }
        };
        Box::pin(async move { Outcome::Erased(erase.await) })
    }

    pub(super) fn erased(&mut self, result: Result<(), Error>, ctx: &mut Context<Self>) {
        if let Err(error) = result {
            tracing::warn!(desktop = self.row.id, %error, "the desktop is not deleted");
            self.not_deleted(error);
            return self.happen(Event::EraseFailed, ctx);
        }
        if let Some(Deletion { answer: Some(answer), .. }) = self.deletion.take() {
            // Whoever asked may have gone.
            let _ = answer.send(Ok(()));
        }
        ctx.stop();
    }

    /// Whoever wanted it deleted is told why it is still there.
    fn not_deleted(&mut self, error: Error) {
        if let Some(Deletion { answer: Some(answer), .. }) = self.deletion.take() {
            let _ = answer.send(Err(error));
        }
    }
}

/// The container first: a network in which something runs stays.
async fn remove(engine: &dyn Engine, container: &str, network: &str) -> Result<(), EngineError> {
    engine.remove(container).await?;
    engine.remove_network(network).await
}

/// Whether all is removed. An engine that does not answer is not asked again: its return is told.
async fn remove_patiently(engine: &dyn Engine, container: &str, network: &str) -> bool {
    for _ in 0..CLEAN_UP_ATTEMPTS {
        let Err(error) = remove(engine, container, network).await else { return true };
        tracing::warn!(container, network, %error, "what a failed start has made is not removed");
        if matches!(error, EngineError::Unavailable(_)) {
            return false;
        }
        sleep(CLEAN_UP_PAUSE).await;
    }
    false
}

/// What the container wrote last, and why it ended as far as the engine knows.
async fn last_words(engine: &dyn Engine, container_id: &str, network: &str, failure: Failure) -> (Failure, String) {
    let log = engine.logs(container_id, REASON_LINES).await.unwrap_or_default();
    let Failure::Ended { exit_code, out_of_memory, deaths } = failure else { return (failure, log) };
    let inspected = engine.inspect(container_id, network).await.ok().flatten();
    let out_of_memory = out_of_memory || inspected.is_some_and(|inspected| inspected.out_of_memory);
    (Failure::Ended { exit_code, out_of_memory, deaths }, log)
}

fn sentence(failure: &Failure) -> String {
    match failure {
        Failure::Said(said) => said.clone(),
        Failure::Ended { exit_code, out_of_memory, deaths } => {
            let how = ended(*exit_code, *out_of_memory);
            deaths.map_or_else(|| how.clone(), |deaths| format!("{how}, the last of {deaths} times within 10 minutes"))
        }
    }
}
