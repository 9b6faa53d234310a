//! Store first, then publish: no more than one write at a time, and nothing follows from what is not stored.

use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::KasmContainer;
use crate::desktop::Status;
use crate::desktop::state::State;
use crate::error::Error;
use crate::store::models::ContainerRow;
use crate::store::{StoreError, containers};
use crate::supervision::Backoff;

/// Pauses between attempts to store what the database refused.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the database has.
pub(super) struct Saving {
    stored: ContainerRow,
    writing: bool,
    /// The next attempt.
    retry: Option<SpawnHandle>,
    pauses: Backoff,
    /// Who waits until all is stored.
    waiting: Vec<oneshot::Sender<Result<(), Error>>>,
}

impl Saving {
    pub fn new(stored: ContainerRow) -> Self {
        let pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        Self { stored, writing: false, retry: None, pauses, waiting: Vec::new() }
    }

    pub fn stored(&self) -> &ContainerRow {
        &self.stored
    }

    /// Another way has stored this.
    pub fn has_stored(&mut self, row: &ContainerRow) {
        self.stored = row.clone();
    }

    /// The supervisor stores that.
    pub fn note_access(&mut self, at: i64) {
        self.stored.last_accessed = Some(at);
    }

    fn answer(&mut self, answer: &Result<(), Error>) {
        for waiting in self.waiting.drain(..) {
            // Whoever asked may have gone.
            let _ = waiting.send(answer.clone());
        }
    }
}

impl KasmContainer {
    /// An answer once all that has changed is stored.
    pub(super) fn when_stored(&mut self, ctx: &mut Context<Self>) -> ResponseFuture<Result<(), Error>> {
        let (answer, stored) = oneshot::channel();
        self.saving.waiting.push(answer);
        self.advance(ctx);
        answered(stored)
    }

    /// Go on with whatever is next: a write, then the step that waits for it.
    pub(super) fn advance(&mut self, ctx: &mut Context<Self>) {
        if !self.guard.has_parent() {
            return ctx.stop();
        }
        if self.saving.writing || self.saving.retry.is_some() || self.work.is_reserving() {
            return;
        }
        if self.row != self.saving.stored {
            return self.write(ctx);
        }
        self.saving.answer(&Ok(()));
        self.perform_next(ctx);
    }

    fn write(&mut self, ctx: &mut Context<Self>) {
        self.saving.writing = true;
        let (store, row) = (self.means.store.clone(), self.row.clone());
        let write = async move {
            let written = row.clone();
            (store.run(move |c| containers::update(c, &row)).await, written)
        };
        ctx.spawn(write.into_actor(self).map(|(result, row), container, ctx| {
            container.saving.writing = false;
            match result {
                Ok(()) => container.has_written(&row, ctx),
                Err(error) => container.not_written(error, ctx),
            }
        }));
    }

    fn has_written(&mut self, row: &ContainerRow, ctx: &mut Context<Self>) {
        self.saving.pauses.reset();
        self.saving.has_stored(row);
        self.publish(row);
        self.advance(ctx);
    }

    fn not_written(&mut self, error: StoreError, ctx: &mut Context<Self>) {
        tracing::warn!(desktop = self.row.id, %error, "the desktop's status is not stored, another attempt follows");
        self.saving.answer(&Err(error.into()));
        let was = Status::of_row(&self.saving.stored.status);
        if self.status() == Status::Requested && was.may_start() {
            // Nothing of this start has been seen or done.
            self.state = State::at(was);
            self.row = self.saving.stored.clone();
            self.work.forget();
            return;
        }
        let pause = self.saving.pauses.next_pause();
        self.saving.retry = Some(ctx.run_later(pause, |container, ctx| {
            container.saving.retry = None;
            container.advance(ctx);
        }));
    }
}

/// The answer that comes through a channel; an actor that ends meanwhile gives none.
pub(super) fn answered<T: 'static>(answer: oneshot::Receiver<Result<T, Error>>) -> ResponseFuture<Result<T, Error>> {
    Box::pin(async move {
        let lost = || Error::Unavailable("the desktop's part of the server restarts; try again".into());
        answer.await.unwrap_or_else(|_| Err(lost()))
    })
}
