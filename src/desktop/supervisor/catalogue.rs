//! The catalogue of types. A change applies to a desktop at its next start.

use std::sync::Arc;

use actix::fut::LocalBoxActorFuture;
use actix::prelude::*;

use super::DesktopSupervisor;
use crate::clock::now_ms;
use crate::desktop::DesktopType;
use crate::desktop::commands::{CreateType, DeleteType, ListTypes, ReplaceType};
use crate::error::Error;
use crate::store::models::DesktopTypeRow;
use crate::store::values::new_id;
use crate::store::{Connection, StoreError, desktop_types};

/// A type, whether its row makes sense or not: one that makes none can be replaced or deleted.
pub(super) struct TypeEntry {
    pub id: String,
    created_at: i64,
    pub parsed: Option<Arc<DesktopType>>,
}

impl TypeEntry {
    /// With its name.
    pub fn of_row(row: DesktopTypeRow) -> (String, Self) {
        let (id, name, created_at) = (row.id.clone(), row.name.clone(), row.created_at);
        let parsed = DesktopType::from_row(row);
        if let Err(error) = &parsed {
            tracing::error!(%error, "desktops of this type cannot be started");
        }
        (name, Self { id, created_at, parsed: parsed.ok().map(Arc::new) })
    }

    fn of(desktop_type: DesktopType) -> (String, Self) {
        let (id, name, created_at) = (desktop_type.id.clone(), desktop_type.name.clone(), desktop_type.created_at);
        (name, Self { id, created_at, parsed: Some(Arc::new(desktop_type)) })
    }
}

impl DesktopSupervisor {
    /// Change the catalogue in its turn: `prepare` what is to be stored, and then `apply` what was.
    fn change_types<P, W, T, A, R>(&self, prepare: P, apply: A) -> LocalBoxActorFuture<Self, Result<R, Error>>
    where
        P: FnOnce(&Self) -> Result<(W, T), Error> + 'static,
        W: FnOnce(&mut Connection) -> Result<(), StoreError> + Send + 'static,
        A: FnOnce(&mut Self, Result<T, StoreError>) -> Result<R, Error> + 'static,
        T: 'static,
        R: 'static,
    {
        let stored = self.in_turn().and_then(move |permit, supervisor, _| {
            let prepared = prepare(supervisor);
            let store = supervisor.means.store.clone();
            let write = async move {
                let (work, what) = prepared?;
                Ok((permit, store.run(work).await.map(|()| what)))
            };
            write.into_actor(supervisor)
        });
        Box::pin(stored.map(|stored: Result<_, Error>, supervisor, _| {
            let (_permit, outcome) = stored?;
            apply(supervisor, outcome)
        }))
    }

    fn put_type(&mut self, desktop_type: DesktopType) -> DesktopType {
        let (name, entry) = TypeEntry::of(desktop_type.clone());
        self.types.insert(name, entry);
        desktop_type
    }

    fn known_type(&self, name: &str) -> Result<&TypeEntry, Error> {
        self.types.get(name).ok_or_else(|| Error::DesktopTypeUnknown(name.to_owned()))
    }
}

impl Handler<ListTypes> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Vec<DesktopType>>;

    fn handle(&mut self, _: ListTypes, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.once_ready().into_actor(self).map(|_, supervisor, _| {
            supervisor.types.values().filter_map(|known| known.parsed.as_deref().cloned()).collect()
        }))
    }
}

impl Handler<CreateType> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Result<DesktopType, Error>>;

    fn handle(&mut self, CreateType(wanted): CreateType, _: &mut Self::Context) -> Self::Result {
        let made = DesktopType { id: new_id(), created_at: now_ms(), ..wanted };
        let name = made.name.clone();
        let prepare = move |_: &Self| {
            let row = made.clone().into_row();
            Ok((move |c: &mut Connection| desktop_types::insert(c, &row), made))
        };
        self.change_types(prepare, move |supervisor, stored| match stored {
            Ok(made) => {
                supervisor.tell_type("desktop_type.changed", &name);
                Ok(supervisor.put_type(made))
            }
            Err(StoreError::Duplicate(_)) => Err(Error::DesktopTypeExists(name)),
            Err(error) => Err(error.into()),
        })
    }
}

impl Handler<ReplaceType> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Result<DesktopType, Error>>;

    fn handle(&mut self, ReplaceType { name, desktop_type }: ReplaceType, _: &mut Self::Context) -> Self::Result {
        let (before, after) = (name.clone(), desktop_type.name.clone());
        let prepare = move |supervisor: &Self| {
            let TypeEntry { id, created_at, .. } = supervisor.known_type(&name)?;
            let changed = DesktopType { id: id.clone(), created_at: *created_at, ..desktop_type };
            let row = changed.clone().into_row();
            Ok((move |c: &mut Connection| desktop_types::update(c, &row), changed))
        };
        self.change_types(prepare, move |supervisor, stored| match stored {
            Ok(changed) => {
                supervisor.types.remove(&before);
                let changed = supervisor.put_type(changed);
                if before != after {
                    supervisor.tell_type("desktop_type.deleted", &before);
                }
                supervisor.tell_type("desktop_type.changed", &after);
                Ok(changed)
            }
            Err(StoreError::Duplicate(_)) => Err(Error::DesktopTypeExists(after)),
            Err(StoreError::Missing) => Err(Error::DesktopTypeUnknown(before)),
            Err(error) => Err(error.into()),
        })
    }
}

impl Handler<DeleteType> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, DeleteType(name): DeleteType, _: &mut Self::Context) -> Self::Result {
        let gone = name.clone();
        let prepare = move |supervisor: &Self| {
            let id = supervisor.known_type(&name)?.id.clone();
            Ok((move |c: &mut Connection| desktop_types::delete(c, &id), ()))
        };
        self.change_types(prepare, move |supervisor, stored| match stored {
            // One that somebody else removed is as good as removed here.
            Ok(()) | Err(StoreError::Missing) => {
                supervisor.types.remove(&gone);
                supervisor.tell_type("desktop_type.deleted", &gone);
                Ok(())
            }
            Err(StoreError::TypeInUse { desktops }) => Err(Error::DesktopTypeInUse { name: gone, desktops }),
            Err(error) => Err(error.into()),
        })
    }
}
