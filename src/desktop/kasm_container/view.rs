//! What others see of a desktop: the API's view, the gateway's route.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::KasmContainer;
use crate::clock::rfc3339;
use crate::desktop::desktop_type::Names;
use crate::desktop::messages::Changed;
use crate::desktop::routes::Route;
use crate::desktop::view::DesktopView;
use crate::desktop::{DesktopType, Kind, Status};
use crate::store::models::ContainerRow;
use crate::upstream::Upstream;

impl KasmContainer {
    /// Tell the supervisor how the desktop is, by what is stored of it.
    #[expect(clippy::disallowed_methods, reason = "one for each change, and five a second while an image is pulled")]
    pub(super) fn publish(&mut self, row: &ContainerRow) {
        let status = Status::of_row(&row.status);
        let from = self.published.replace(status).filter(|before| *before != status);
        let view = self.view(row, status);
        let route = Arc::new(self.route(row, status));
        self.parent.changed.do_send(Changed { row: row.clone(), view, route, from });
    }

    /// Something changed that is not stored.
    pub(super) fn publish_again(&mut self) {
        let row = self.saving.stored().clone();
        self.publish(&row);
    }

    fn view(&mut self, row: &ContainerRow, status: Status) -> DesktopView {
        let name = self.desktop_type.as_ref().map_or(&row.type_id, |known| &known.name).clone();
        let idle_stop_at = (status == Status::Ready).then(|| self.idle_stop_at()).flatten();
        self.idle.published(idle_stop_at);
        DesktopView {
            id: row.id.clone(),
            desktop_type: name,
            // Only the supervisor and HTTP know names and addresses.
            owner: String::new(),
            owner_id: row.owner_id.clone(),
            proxy_path: row.proxy_path.clone(),
            url: String::new(),
            status,
            reason: row.reason.clone(),
            progress: self.progress.clone().filter(|_| status == Status::Pulling),
            limits_skipped: self.limits_skipped.clone(),
            connections: self.run.activity.open(),
            created_at: rfc3339(row.created_at),
            started_at: row.started_at.map(rfc3339),
            last_accessed: row.last_accessed.map(rfc3339),
            idle_stop_at: idle_stop_at.map(rfc3339),
        }
    }

    fn route(&self, row: &ContainerRow, status: Status) -> Route {
        let known = self.desktop_type.as_deref();
        Route {
            desktop_id: row.id.clone(),
            owner_id: row.owner_id.clone(),
            proxy_path: row.proxy_path.clone(),
            label: known.map_or(&row.type_id, |known| &known.label).clone(),
            // The stricter one, if nobody knows.
            kind: known.map_or(Kind::Kasm, |known| known.kind),
            status,
            upstream: if status == Status::Ready && self.joined { self.upstream(row) } else { None },
            strip_prefix: known.is_none_or(|known| known.strip_prefix),
            entry_path: self.entry_path(),
            activity: self.run.activity.clone(),
            cut: self.run.cut.clone(),
        }
    }

    pub(super) fn names(&self) -> Names<'_> {
        let password = self.password.as_deref().unwrap_or_default();
        Names { proxy_path: &self.row.proxy_path, username: &self.username, password }
    }

    fn entry_path(&self) -> String {
        self.desktop_type.as_ref().map_or_else(|| "/".to_owned(), |known| self.names().fill(&known.entry_path))
    }

    /// What the entry is asked for by, at the upstream.
    pub(super) fn entry_target(&self) -> String {
        let entry = self.entry_path();
        let path = entry.split('#').next().unwrap_or_default();
        match self.desktop_type.as_ref().is_none_or(|known| known.strip_prefix) {
            true => path.to_owned(),
            false => format!("/desktop/{}{path}", self.row.proxy_path),
        }
    }

    /// Where requests go while it runs.
    pub(super) fn upstream(&self, row: &ContainerRow) -> Option<Upstream> {
        let known = self.desktop_type.as_ref()?;
        let address = match (row.host_port, row.address.as_deref()) {
            // By what was reserved: the settings may be others than when it was started.
            (Some(port), _) => SocketAddr::new(published_on(self.means.config.publish), u16::try_from(port).ok()?),
            (None, address) => SocketAddr::new(address?.parse().ok()?, known.port),
        };
        Some(Upstream { scheme: known.scheme, address, authorization: self.authorization(known) })
    }

    pub(super) fn authorization(&self, known: &DesktopType) -> Option<String> {
        let password = self.password.as_deref().unwrap_or_default();
        known.basic_user.as_ref().map(|user| Upstream::basic(user, password))
    }
}

/// What is published on every address is reached at this one.
fn published_on(address: IpAddr) -> IpAddr {
    if address.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address }
}
