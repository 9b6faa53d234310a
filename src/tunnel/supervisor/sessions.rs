//! Live agent sessions: the newest login of an agent serves its tunnels; removal and rotation cut it.

use std::sync::Arc;

use actix::prelude::*;

use super::super::agent_session::AgentLogin;
use super::super::commands::{ListSessions, RevokeAgent};
use super::super::messages::{SessionHandle, SessionStatus};
use super::super::view::SessionView;
use super::TunnelSupervisor;
use crate::clock::now_ms;
use crate::identity::agents::may_connect;
use crate::identity::policy::Decision;
use crate::identity::snapshot::AccountsChanged;
use crate::store::{Connection, agents};
use crate::supervision::{Cause, ChildDown};
use crate::wire::codes::SessionClose;

/// Session to supervisor: it is ready for channels.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionUp {
    pub login: AgentLogin,
    pub handle: SessionHandle,
}

/// Session to supervisor: the agent takes no new channels.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionDraining {
    pub client_id: String,
    pub id: u64,
}

/// Names a session in its death notice.
#[derive(Debug, Clone)]
pub struct SessionKey {
    pub client_id: String,
    pub id: u64,
}

/// The session that serves an agent's tunnels. Dropping this closes it, so that a supervisor that panics leaves none
/// behind that nobody knows.
pub(super) struct SessionEntry {
    login: AgentLogin,
    handle: SessionHandle,
    since: i64,
    draining: bool,
    close: SessionClose,
}

impl Drop for SessionEntry {
    fn drop(&mut self) {
        self.handle.close(self.close.clone());
    }
}

impl SessionEntry {
    fn close_with(mut self, code: u16, reason: &str) {
        self.close = SessionClose::new(code, reason);
    }
}

impl TunnelSupervisor {
    /// The session that takes a tunnel's channels.
    pub(super) fn session_for(&self, proxy_id: &str) -> Option<SessionHandle> {
        let entry = self.sessions.get(&self.tunnels.get(proxy_id)?.row.client_id)?;
        (!entry.draining).then(|| entry.handle.clone())
    }

    pub(super) fn agent_online(&self, client_id: &str) -> bool {
        self.sessions.get(client_id).is_some_and(|entry| !entry.draining)
    }

    /// Tell the agent's tunnels which session serves them.
    fn announce(&self, client_id: &str, session: Option<&SessionHandle>) {
        let tunnels = self.tunnels.values().filter(|tunnel| tunnel.row.client_id == client_id);
        tunnels.filter_map(|tunnel| tunnel.child.as_ref()).for_each(|child| child.use_session(session.cloned()));
    }

    fn end_session(&mut self, client_id: &str, code: u16, reason: &str) {
        if let Some(entry) = self.sessions.remove(client_id) {
            self.announce(client_id, None);
            entry.close_with(code, reason);
            self.tell_agent(client_id, false);
            self.tell_changed_of(client_id);
        }
    }

    /// Close every session; the server stops.
    pub(super) fn end_sessions(&mut self) {
        let clients: Vec<String> = self.sessions.keys().cloned().collect();
        clients.iter().for_each(|client| self.end_session(client, SessionClose::GOING_AWAY, "the server stops"));
    }

    pub(super) fn session_statuses(&self) -> Vec<Arc<SessionStatus>> {
        self.sessions.values().map(|entry| entry.handle.status.clone()).collect()
    }

    pub(super) fn drain_sessions(&self) {
        self.sessions.values().for_each(|entry| entry.handle.drain());
    }

    fn note_seen(&self, login: &AgentLogin, ctx: &mut Context<Self>) {
        let (store, login) = (self.store.clone(), login.clone());
        let write = async move {
            let note = move |c: &mut Connection| {
                agents::note_seen(c, &login.client_id, now_ms(), login.address.as_deref(), login.version.as_deref())
            };
            if let Err(error) = store.run(note).await {
                tracing::warn!(%error, "when the agent was seen is not stored");
            }
        };
        ctx.spawn(write.into_actor(self));
    }

    /// Whether the agent of a login may still be connected.
    fn is_valid(&self, login: &AgentLogin) -> bool {
        let snapshot = self.snapshot.borrow();
        let row = snapshot.agent(&login.client_id).filter(|row| row.token_hash == login.token_hash);
        row.is_some_and(|row| may_connect(&snapshot, row) == Decision::Allow)
    }
}

impl StreamHandler<AccountsChanged> for TunnelSupervisor {
    /// Cut sessions whose agent was removed or has another token, or whose owner's account is not active any more.
    fn handle(&mut self, _: AccountsChanged, _: &mut Self::Context) {
        let revoked =
            |(client, entry): (&String, &SessionEntry)| (!self.is_valid(&entry.login)).then(|| client.clone());
        let clients: Vec<String> = self.sessions.iter().filter_map(revoked).collect();
        for client in clients {
            tracing::info!(client_id = client, "the agent may not be connected any more: its session is cut");
            self.end_session(&client, SessionClose::REVOKED, "revoked");
        }
    }

    /// The Directory is never without a successor, which publishes through the same channel.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<SessionUp> for TunnelSupervisor {
    type Result = ();

    fn handle(&mut self, SessionUp { login, handle }: SessionUp, ctx: &mut Self::Context) {
        let client_id = login.client_id.clone();
        if self.stopping {
            return handle.close(SessionClose::new(SessionClose::GOING_AWAY, "the server stops"));
        }
        // It may have been revoked since it showed its token.
        if !self.is_valid(&login) {
            return handle.close(SessionClose::new(SessionClose::REVOKED, "revoked"));
        }
        if self.sessions.get(&client_id).is_some_and(|entry| entry.handle.id > handle.id) {
            return handle.close(SessionClose::new(SessionClose::REPLACED, "replaced by a newer login"));
        }
        let peer = login.address.as_deref();
        tracing::info!(client_id, peer, session = handle.id, version = login.version, "the agent is connected");
        self.note_seen(&login, ctx);
        self.announce(&client_id, Some(&handle));
        let close = SessionClose::new(SessionClose::RESTART, "the server's tunnels restart");
        let entry = SessionEntry { login, handle, since: now_ms(), draining: false, close };
        match self.sessions.insert(client_id.clone(), entry) {
            Some(old) => old.close_with(SessionClose::REPLACED, "replaced by a newer login"),
            None => self.tell_agent(&client_id, true),
        }
        self.tell_changed_of(&client_id);
    }
}

impl Handler<SessionDraining> for TunnelSupervisor {
    type Result = ();

    fn handle(&mut self, message: SessionDraining, _: &mut Self::Context) {
        let Some(entry) = self.sessions.get_mut(&message.client_id).filter(|entry| entry.handle.id == message.id)
        else {
            return;
        };
        entry.draining = true;
        self.announce(&message.client_id, None);
        self.tell_changed_of(&message.client_id);
    }
}

impl Handler<ChildDown<SessionKey>> for TunnelSupervisor {
    type Result = ();

    fn handle(&mut self, down: ChildDown<SessionKey>, ctx: &mut Self::Context) {
        let SessionKey { client_id, id } = down.key;
        if down.cause == Cause::Panicked {
            tracing::error!(client_id, session = id, "an agent's session panicked: the agent will connect again");
        }
        // The notice of a session that was replaced changes nothing.
        if self.sessions.get(&client_id).is_none_or(|entry| entry.handle.id != id) {
            return;
        }
        if let Some(entry) = self.sessions.remove(&client_id) {
            tracing::info!(client_id, session = id, "the agent is gone");
            self.note_seen(&entry.login, ctx);
            self.announce(&client_id, None);
            self.tell_agent(&client_id, false);
            self.tell_changed_of(&client_id);
        }
    }
}

impl Handler<ListSessions> for TunnelSupervisor {
    type Result = MessageResult<ListSessions>;

    fn handle(&mut self, _: ListSessions, _: &mut Self::Context) -> Self::Result {
        let views = self.sessions.values().map(|entry| SessionView {
            client_id: entry.login.client_id.clone(),
            since_ms: entry.since,
            address: entry.login.address.clone(),
            version: entry.login.version.clone(),
            protocol: if entry.login.binary { "binary" } else { "json" },
            rtt_ms: entry.handle.status.rtt_ms(),
            channels: entry.handle.status.channels(),
        });
        MessageResult(views.collect())
    }
}

impl Handler<RevokeAgent> for TunnelSupervisor {
    type Result = ();

    fn handle(&mut self, RevokeAgent(client_id): RevokeAgent, _: &mut Self::Context) {
        self.end_session(&client_id, SessionClose::REVOKED, "revoked");
    }
}
