//! What the supervisor asks of a desktop: start, stop, delete, its log.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::saving::answered;
use super::{Deletion, KasmContainer};
use crate::desktop::log_text::{clean, quoted};
use crate::desktop::messages::{Delete, ReadLogs, Start, Stop};
use crate::desktop::state::{Event, State};
use crate::desktop::{DesktopType, Status};
use crate::error::Error;

/// Lines of the log that are read.
const LOG_LINES: u32 = 500;

fn at_once<T: 'static>(answer: Result<T, Error>) -> ResponseFuture<Result<T, Error>> {
    Box::pin(std::future::ready(answer))
}

impl KasmContainer {
    /// One that is being deleted is as good as gone.
    fn deleted(&self) -> Error {
        Error::DesktopUnknown(self.row.id.clone())
    }

    fn need_engine(&self) -> Result<(), Error> {
        match self.engine_up {
            true => Ok(()),
            false => Err(Error::EngineUnavailable("it does not answer".into())),
        }
    }

    fn start(&mut self, desktop_type: Arc<DesktopType>, ctx: &mut Context<Self>) -> Result<(), Error> {
        if self.is_deleting() {
            return Err(self.deleted());
        }
        if self.status().is_up() {
            return Ok(());
        }
        self.need_engine()?;
        self.desktop_type = Some(desktop_type);
        self.happen(Event::Start, ctx);
        Ok(())
    }

    pub(super) fn stop(&mut self, reason: Option<String>, ctx: &mut Context<Self>) -> Result<(), Error> {
        if self.is_deleting() {
            return Err(self.deleted());
        }
        if self.status().may_start() {
            return Ok(());
        }
        if self.holds {
            self.need_engine()?;
        }
        if self.state == State::at(Status::Stopping) {
            self.hurry(ctx);
            return Ok(());
        }
        if self.status().is_up() {
            self.row.reason = reason;
        }
        self.happen(Event::Stop, ctx);
        Ok(())
    }

    fn delete(&mut self, home: bool, ctx: &mut Context<Self>) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        if self.is_deleting() {
            return Err(self.deleted());
        }
        if self.holds || home {
            self.need_engine()?;
        }
        let (answer, deleted) = oneshot::channel();
        self.deletion = Some(Deletion { home, answer: Some(answer) });
        if self.status().is_up() {
            self.row.reason = None;
        }
        self.happen(Event::Delete, ctx);
        if self.status() == Status::Stopping {
            self.hurry(ctx);
        }
        Ok(deleted)
    }
}

impl Handler<Start> for KasmContainer {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, Start(desktop_type): Start, ctx: &mut Self::Context) -> Self::Result {
        match self.start(desktop_type, ctx) {
            Ok(()) => self.when_stored(ctx),
            Err(error) => at_once(Err(error)),
        }
    }
}

impl Handler<Stop> for KasmContainer {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, Stop { reason }: Stop, ctx: &mut Self::Context) -> Self::Result {
        match self.stop(reason, ctx) {
            Ok(()) => self.when_stored(ctx),
            Err(error) => at_once(Err(error)),
        }
    }
}

impl Handler<Delete> for KasmContainer {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, Delete { home }: Delete, ctx: &mut Self::Context) -> Self::Result {
        match self.delete(home, ctx) {
            Ok(deleted) => answered(deleted),
            Err(error) => at_once(Err(error)),
        }
    }
}

impl Handler<ReadLogs> for KasmContainer {
    type Result = ResponseFuture<Result<String, Error>>;

    fn handle(&mut self, _: ReadLogs, _: &mut Self::Context) -> Self::Result {
        if self.is_deleting() {
            return at_once(Err(self.deleted()));
        }
        let Some(container_id) = self.row.container_id.clone() else {
            return at_once(Ok(quoted(self.row.reason.as_deref().unwrap_or_default()).to_owned()));
        };
        let (engine, password) = (self.means.engine.clone(), self.password.clone());
        Box::pin(async move {
            let log = engine.logs(&container_id, LOG_LINES).await;
            let log = log.map_err(|error| Error::EngineUnavailable(error.to_string()))?;
            Ok(clean(&log, password.as_deref()))
        })
    }
}
