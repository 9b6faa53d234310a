//! A new desktop: in the database first, so that it is there once; then its actor, which is told to start.

use actix::fut::{LocalBoxActorFuture, ready};
use actix::prelude::*;

use super::DesktopSupervisor;
use super::engine::need_engine;
use super::entry::Desktop;
use super::read_rows;
use crate::clock::now_ms;
use crate::desktop::Status;
use crate::desktop::commands::CreateDesktop;
use crate::desktop::paths::proxy_path;
use crate::desktop::view::DesktopView;
use crate::error::Error;
use crate::identity::limits::{self, Limited};
use crate::store::models::ContainerRow;
use crate::store::values::new_id;
use crate::store::{StoreError, containers};

/// What a wish for a desktop comes to.
enum Choice {
    /// The person has one of this type.
    Existing(String),
    New(Box<ContainerRow>),
}

/// What became of it.
enum Outcome {
    Existing(String),
    Added(Box<ContainerRow>),
    /// The database has a row that is not known here: it was added while this supervisor took the place of another.
    Stray,
}

impl DesktopSupervisor {
    fn choose(&self, create: &CreateDesktop) -> Result<Choice, Error> {
        let unknown = || Error::DesktopTypeUnknown(create.desktop_type.clone());
        let known = self.types.get(&create.desktop_type).ok_or_else(unknown)?;
        if let Some(id) = self.existing(&create.owner_id, &known.id) {
            return Ok(Choice::Existing(id));
        }
        let parsed = known.parsed.as_ref().ok_or_else(unknown)?;
        if !parsed.enabled {
            return Err(Error::DesktopTypeDisabled(parsed.name.clone()));
        }
        let present = self.desktops.values().filter(|desktop| desktop.row.owner_id == create.owner_id).count();
        limits::check(Limited::Desktops, create.limit, present)?;
        Ok(Choice::New(Box::new(self.new_row(create, &known.id))))
    }

    fn existing(&self, owner_id: &str, type_id: &str) -> Option<String> {
        let is_it = |desktop: &&Desktop| desktop.row.owner_id == owner_id && desktop.row.type_id == type_id;
        self.desktops.values().find(is_it).map(|desktop| desktop.row.id.clone())
    }

    /// Stopped until its actor has stored that it is to start: whatever happens between the two, it can be started.
    fn new_row(&self, create: &CreateDesktop, type_id: &str) -> ContainerRow {
        let is_taken = |path: &str| self.desktops.values().any(|desktop| desktop.row.proxy_path == path);
        ContainerRow {
            id: new_id(),
            owner_id: create.owner_id.clone(),
            type_id: type_id.to_owned(),
            proxy_path: proxy_path(&create.username, &create.desktop_type, is_taken),
            status: Status::Stopped.as_str().to_owned(),
            reason: None,
            container_id: None,
            host_port: None,
            subnet: None,
            address: None,
            password: None,
            created_at: now_ms(),
            started_at: None,
            stopped_at: None,
            last_accessed: None,
        }
    }

    /// Find what is there, or add a row.
    fn choose_or_insert(&self, create: &CreateDesktop) -> LocalBoxActorFuture<Self, Result<Outcome, Error>> {
        let (choice, username) = (self.choose(create), create.username.clone());
        let (engine, store) = (self.engine.subscribe(), self.means.store.clone());
        let settle = async move {
            let row = match choice? {
                Choice::Existing(id) => return Ok(Outcome::Existing(id)),
                Choice::New(row) => row,
            };
            need_engine(engine).await?;
            let stored = row.clone();
            match store.run(move |c| containers::insert(c, &stored)).await {
                Ok(()) => Ok(Outcome::Added(row)),
                Err(StoreError::Duplicate(_)) => Ok(Outcome::Stray),
                // Types are not deleted meanwhile.
                Err(StoreError::Missing) => Err(Error::UserUnknown(username)),
                Err(error) => Err(error.into()),
            }
        };
        Box::pin(settle.into_actor(self))
    }

    /// The id of the desktop that there is now.
    fn settle(
        &mut self,
        outcome: Outcome,
        create: CreateDesktop,
        ctx: &mut Context<Self>,
    ) -> LocalBoxActorFuture<Self, Result<String, Error>> {
        match outcome {
            Outcome::Existing(id) => Box::pin(ready(Ok(id))),
            Outcome::Added(row) => {
                let id = row.id.clone();
                tracing::info!(desktop = id, proxy_path = row.proxy_path, "a desktop is made");
                let mut desktop = Desktop::new(*row, create.username);
                desktop.is_new = true;
                self.add(desktop, ctx);
                Box::pin(ready(Ok(id)))
            }
            Outcome::Stray => self.find_stray(create),
        }
    }

    fn find_stray(&self, create: CreateDesktop) -> LocalBoxActorFuture<Self, Result<String, Error>> {
        let store = self.means.store.clone();
        let read = async move { store.run(read_rows).await };
        Box::pin(read.into_actor(self).map(move |rows, supervisor, ctx| {
            let rows = rows?;
            supervisor.take_in(rows.containers, &rows.usernames, ctx);
            let type_id = supervisor.types.get(&create.desktop_type).map(|known| known.id.clone()).unwrap_or_default();
            let found = supervisor.existing(&create.owner_id, &type_id);
            found.ok_or_else(|| Error::Unavailable("another desktop was made at this moment; try again".into()))
        }))
    }

    /// Start what is there. One of a type that is switched off is shown as it is.
    fn start_existing(&self, id: String) -> LocalBoxActorFuture<Self, Result<DesktopView, Error>> {
        Box::pin(self.start_desktop(id.clone()).map(move |started, supervisor, _| match started {
            Err(Error::DesktopTypeDisabled(_)) => supervisor.view(&id),
            other => other,
        }))
    }
}

impl Handler<CreateDesktop> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Result<DesktopView, Error>>;

    fn handle(&mut self, create: CreateDesktop, _: &mut Self::Context) -> Self::Result {
        let settled = self.in_turn().and_then(move |permit, supervisor, _| {
            let chosen = supervisor.choose_or_insert(&create);
            // The next one has its turn when this desktop is known.
            chosen.and_then(move |outcome, supervisor, ctx| supervisor.settle(outcome, create, ctx)).map(|id, _, _| {
                drop(permit);
                id
            })
        });
        Box::pin(settled.and_then(|id, supervisor, _| supervisor.start_existing(id)))
    }
}
