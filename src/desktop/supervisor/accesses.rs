//! When desktops were last used: gathered, and stored in a batch.

use std::collections::HashMap;

use actix::fut::LocalBoxActorFuture;
use actix::prelude::*;

use super::DesktopSupervisor;
use crate::desktop::commands::Flush;
use crate::desktop::messages::Accessed;
use crate::store::containers;

impl DesktopSupervisor {
    fn note_access(&mut self, id: &str, at: i64) {
        if self.desktops.contains_key(id) {
            let noted = self.accesses.entry(id.to_owned()).or_insert(at);
            *noted = at.max(*noted);
        }
    }

    /// What cannot be stored is kept for the next time.
    pub(super) fn store_accesses(&mut self) -> LocalBoxActorFuture<Self, ()> {
        let accesses: Vec<_> = std::mem::take(&mut self.accesses).into_iter().collect();
        let (store, batch) = (self.means.store.clone(), accesses.clone());
        let write = async move {
            if batch.is_empty() {
                return Ok(());
            }
            store.run(move |c| containers::store_accesses(c, &batch)).await
        };
        Box::pin(write.into_actor(self).map(move |stored, supervisor, _| {
            if let Err(error) = stored {
                tracing::warn!(%error, "when desktops were used is not stored, another attempt follows");
                accesses.iter().for_each(|(id, at)| supervisor.note_access(id, *at));
            }
        }))
    }

    /// What the gateway has seen since the KasmContainers last looked.
    fn gather_accesses(&mut self) {
        let told = self.desktops.iter().filter_map(|(id, desktop)| Some((id, desktop.told.as_ref()?)));
        let seen = told.map(|(id, told)| (id.clone(), told.route.activity.accessed())).filter(|(_, at)| *at > 0);
        let seen: HashMap<String, i64> = seen.collect();
        seen.iter().for_each(|(id, at)| self.note_access(id, *at));
    }
}

impl Handler<Accessed> for DesktopSupervisor {
    type Result = ();

    fn handle(&mut self, Accessed { id, at }: Accessed, _: &mut Self::Context) {
        self.note_access(&id, at);
    }
}

impl Handler<Flush> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        self.gather_accesses();
        self.store_accesses()
    }
}
