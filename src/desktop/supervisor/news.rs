//! What others are told of desktops: the gateway by routes, watchers by events.

use std::sync::Arc;

use actix::prelude::*;
use serde_json::Value;

use super::DesktopSupervisor;
use super::entry::Desktop;
use crate::clock::rfc3339;
use crate::desktop::Routes;
use crate::desktop::messages::IdleWarning;
use crate::desktop::paths::desktop_url;
use crate::desktop::view::DesktopView;
use crate::error::Error;
use crate::identity::news::{Event, Subject};
use crate::store::models::ContainerRow;

impl DesktopSupervisor {
    /// Not before every desktop has said how it is: until then the gateway goes by what an earlier supervisor published.
    pub(super) fn publish_routes(&self) {
        let told = self.desktops.values().filter_map(|desktop| desktop.told.as_ref());
        let routes: Routes = told.map(|told| told.route.clone()).collect();
        self.means.routes.send_replace(Arc::new(routes));
    }

    /// Whose name the owner's is, and where the server is, are filled in by those who know.
    pub(super) fn view_of(&self, desktop: &Desktop) -> Option<DesktopView> {
        let told = desktop.told.as_ref()?;
        let name = self.types.iter().find(|(_, known)| known.id == desktop.row.type_id).map(|(name, _)| name.clone());
        let desktop_type = name.unwrap_or_else(|| told.view.desktop_type.clone());
        // The gateway counts on while the container has nothing to tell.
        let activity = &told.route.activity;
        let last_accessed = desktop.row.last_accessed.max(Some(activity.accessed()).filter(|at| *at > 0));
        Some(DesktopView {
            desktop_type,
            url: desktop_url(&desktop.row.proxy_path),
            connections: activity.open(),
            last_accessed: last_accessed.map(rfc3339),
            ..told.view.clone()
        })
    }

    pub(super) fn view(&self, id: &str) -> Result<DesktopView, Error> {
        let desktop = self.desktops.get(id).ok_or_else(|| Error::DesktopUnknown(id.to_owned()))?;
        self.view_of(desktop).ok_or_else(|| Error::Unavailable("the desktop is being looked at; try again".into()))
    }

    pub(super) fn tell_changed(&self, id: &str) {
        let Some(desktop) = self.desktops.get(id).filter(|desktop| !desktop.is_new) else { return };
        let Some(view) = self.view_of(desktop) else { return };
        // Plain data always serializes; null beats a panic if that ever changes.
        let view = serde_json::to_value(view).unwrap_or(Value::Null);
        self.means.events.publish(Event::new("desktop.changed", id, subject_of(&desktop.row)).with("desktop", view));
    }

    pub(super) fn tell_deleted(&self, row: &ContainerRow) {
        self.means.events.publish(Event::new("desktop.deleted", &row.id, subject_of(row)));
    }

    /// A type was added, changed, or (`desktop_type.deleted`) removed.
    pub(super) fn tell_type(&self, event: &'static str, name: &str) {
        self.means.events.publish(Event::new(event, name, Subject::DesktopTypes));
    }
}

fn subject_of(row: &ContainerRow) -> Subject {
    Subject::Desktop { owner_id: row.owner_id.clone() }
}

impl Handler<IdleWarning> for DesktopSupervisor {
    type Result = ();

    fn handle(&mut self, warning: IdleWarning, _: &mut Self::Context) {
        let Some(desktop) = self.desktops.get(&warning.id) else { return };
        let event = Event::new("desktop.idle", &warning.id, subject_of(&desktop.row));
        self.means.events.publish(event.with("stop_at", rfc3339(warning.stop_at)));
    }
}
