//! What watchers are told: tunnels that came, changed or went, and agents that came or went.
//!
//! A tunnel's change is compared with what was told last, so that whatever may have changed it can ask here.

use serde_json::Value;

use super::TunnelSupervisor;
use crate::identity::news::{Event, Subject};
use crate::store::models::ProxyRow;

impl TunnelSupervisor {
    pub(super) fn tell_created(&mut self, proxy_id: &str) {
        self.tell_news(proxy_id, "tunnel.created");
    }

    /// Nothing is told when nothing has changed, nor when everything changes since the server stops.
    pub(super) fn tell_changed(&mut self, proxy_id: &str) {
        if !self.stopping {
            self.tell_news(proxy_id, "tunnel.changed");
        }
    }

    fn tell_news(&mut self, proxy_id: &str, name: &'static str) {
        let Some(tunnel) = self.tunnels.get(proxy_id) else { return };
        let online = self.agent_online(&tunnel.row.client_id);
        let Some(news) = tunnel.news(online) else { return };
        let view = serde_json::to_value(tunnel.view(online, self.config.bind));
        let event = Event::new(name, proxy_id, subject_of(&tunnel.row));
        // Plain data always serializes; null beats a panic if that ever changes.
        self.events.publish(event.with("tunnel", view.unwrap_or(Value::Null)));
        if let Some(tunnel) = self.tunnels.get_mut(proxy_id) {
            tunnel.told = Some(news);
        }
    }

    pub(super) fn tell_deleted(&self, row: &ProxyRow) {
        self.events.publish(Event::new("tunnel.deleted", &row.proxy_id, subject_of(row)));
    }

    /// An agent's session has begun, ended or changed: tell what its tunnels have become.
    pub(super) fn tell_changed_of(&mut self, client_id: &str) {
        let own = self.tunnels.values().filter(|tunnel| tunnel.row.client_id == client_id);
        let ids: Vec<String> = own.map(|tunnel| tunnel.row.proxy_id.clone()).collect();
        ids.iter().for_each(|proxy_id| self.tell_changed(proxy_id));
    }

    /// An agent has connected or is gone. Of one that was removed, the Directory has told already.
    pub(super) fn tell_agent(&self, client_id: &str, online: bool) {
        if self.stopping {
            return;
        }
        if let Some(row) = self.snapshot.borrow().agent(client_id) {
            let name = if online { "agent.online" } else { "agent.offline" };
            self.events.publish(Event::new(name, client_id, Subject::of_agent(row)));
        }
    }

    /// A supervisor begins without sessions; those of one that panicked are gone.
    pub(super) fn tell_no_agents(&self) {
        let clients: Vec<String> = self.snapshot.borrow().agents().map(|row| row.client_id.clone()).collect();
        clients.iter().for_each(|client_id| self.tell_agent(client_id, false));
    }
}

fn subject_of(row: &ProxyRow) -> Subject {
    Subject::Tunnel { owner_id: row.owner_id.clone() }
}
