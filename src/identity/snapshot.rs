//! Everybody and everything that may be asked for, as the [Directory](super::directory) last published it.
//!
//! An immutable picture that HTTP workers and live sessions read without asking anybody: no query per request, and it
//! works while the database is away.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::Stream;
use tokio::sync::watch;

use super::caller::{Caller, Credential};
use super::policy::Means;
use super::role::Role;
use super::scopes::ScopeSet;
use crate::store::models::{AgentRow, IdentityRow, SessionRow, TokenRow, UserRow};

/// A session's use is news after this part of its idle lifetime.
const IDLE_STEPS: i64 = 10;

/// See the module's documentation. A clone shares every table that is not changed afterwards.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By id.
    users: Arc<BTreeMap<String, Arc<UserRow>>>,
    /// Ids by name.
    names: Arc<HashMap<String, String>>,
    identities: Arc<Vec<IdentityRow>>,
    /// By the hash of their id.
    sessions: Arc<HashMap<String, Arc<SessionRow>>>,
    /// By the hash of what is shown.
    tokens: Arc<HashMap<String, Arc<TokenRow>>>,
    /// By name.
    agents: Arc<BTreeMap<String, Arc<AgentRow>>>,
    /// How long a session lives without use, in milliseconds.
    session_idle_ms: i64,
}

/// All rows as the database has them.
#[derive(Debug, Default)]
pub struct Rows {
    pub users: Vec<UserRow>,
    pub identities: Vec<IdentityRow>,
    pub sessions: Vec<SessionRow>,
    pub tokens: Vec<TokenRow>,
    pub agents: Vec<AgentRow>,
}

/// Another snapshot was published.
pub struct AccountsChanged;

/// Yields whenever another snapshot was published, and ends with its publisher.
pub fn accounts_changed(snapshot: watch::Receiver<Arc<Snapshot>>) -> impl Stream<Item = AccountsChanged> {
    futures_util::stream::unfold(snapshot, |mut snapshot| async move {
        snapshot.changed().await.ok().map(|()| (AccountsChanged, snapshot))
    })
}

impl Snapshot {
    pub fn new(rows: Rows, session_idle_ms: i64) -> Self {
        Self {
            names: Arc::new(rows.users.iter().map(|row| (row.username.clone(), row.id.clone())).collect()),
            users: Arc::new(rows.users.into_iter().map(|row| (row.id.clone(), Arc::new(row))).collect()),
            identities: Arc::new(rows.identities),
            sessions: Arc::new(rows.sessions.into_iter().map(|row| (row.id_hash.clone(), Arc::new(row))).collect()),
            tokens: Arc::new(rows.tokens.into_iter().map(|row| (row.token_hash.clone(), Arc::new(row))).collect()),
            agents: Arc::new(rows.agents.into_iter().map(|row| (row.client_id.clone(), Arc::new(row))).collect()),
            session_idle_ms,
        }
    }

    /// Whom a credential proves at `now` (milliseconds since 1970): nobody if it is unknown or over, or if the account
    /// is not active.
    pub fn caller(&self, credential: &Credential, now: i64) -> Option<Caller> {
        let (user_id, by, ends_at) = match credential {
            Credential::Session(hash) => {
                let session = self.sessions.get(hash)?;
                // By its end and not by its age: a clock that is set back then ends no session.
                let idle_end = session.last_used.saturating_add(self.session_idle_ms);
                (&session.user_id, Means::Session, Some(idle_end.min(session.expires_at)))
            }
            Credential::Token(hash) => {
                let token = self.tokens.get(hash)?;
                (&token.user_id, Means::Token(ScopeSet::of_row(&token.scopes)), token.expires_at)
            }
        };
        if ends_at.is_some_and(|end| now >= end) {
            return None;
        }
        let user = self.users.get(user_id).filter(|user| user.active)?;
        Some(Caller {
            user_id: user.id.clone(),
            username: user.username.clone(),
            role: Role::of_row(&user.role),
            by,
            ends_at,
            credential: credential.clone(),
        })
    }

    /// The time after which another use of a session is news, in milliseconds: one that lives a minute without use must
    /// not end while it is used.
    pub fn session_use_step_ms(&self) -> i64 {
        self.session_idle_ms / IDLE_STEPS
    }

    pub fn user(&self, id: &str) -> Option<&Arc<UserRow>> {
        self.users.get(id)
    }

    pub fn user_named(&self, username: &str) -> Option<&Arc<UserRow>> {
        self.users.get(self.names.get(username)?)
    }

    /// The name of an account; empty if it is gone.
    pub fn username(&self, id: &str) -> String {
        self.users.get(id).map(|user| user.username.clone()).unwrap_or_default()
    }

    pub fn users(&self) -> impl Iterator<Item = &Arc<UserRow>> {
        self.users.values()
    }

    /// Accounts that are active and administrators.
    pub fn active_admins(&self) -> usize {
        self.users.values().filter(|user| user.active && Role::of_row(&user.role) == Role::Admin).count()
    }

    /// Whose account a provider's `sub` is.
    pub fn user_of_identity(&self, provider: &str, subject: &str) -> Option<&Arc<UserRow>> {
        let found = self.identities.iter().find(|row| row.provider == provider && row.subject == subject)?;
        self.users.get(&found.user_id)
    }

    /// The providers that an account is linked to.
    pub fn providers_of(&self, user_id: &str) -> Vec<String> {
        self.identities.iter().filter(|row| row.user_id == user_id).map(|row| row.provider.clone()).collect()
    }

    pub fn session(&self, id_hash: &str) -> Option<&Arc<SessionRow>> {
        self.sessions.get(id_hash)
    }

    pub fn token(&self, token_hash: &str) -> Option<&Arc<TokenRow>> {
        self.tokens.get(token_hash)
    }

    pub fn token_by_id(&self, id: &str) -> Option<&Arc<TokenRow>> {
        self.tokens.values().find(|token| token.id == id)
    }

    pub fn tokens_of<'a>(&'a self, user_id: &'a str) -> impl Iterator<Item = &'a Arc<TokenRow>> {
        self.tokens.values().filter(move |token| token.user_id == user_id)
    }

    pub fn agent(&self, client_id: &str) -> Option<&Arc<AgentRow>> {
        self.agents.get(client_id)
    }

    /// By name.
    pub fn agents(&self) -> impl Iterator<Item = &Arc<AgentRow>> {
        self.agents.values()
    }

    pub(super) fn put_user(&mut self, row: UserRow) {
        if let Some(before) = self.users.get(&row.id).filter(|before| before.username != row.username) {
            Arc::make_mut(&mut self.names).remove(&before.username);
        }
        Arc::make_mut(&mut self.names).insert(row.username.clone(), row.id.clone());
        Arc::make_mut(&mut self.users).insert(row.id.clone(), Arc::new(row));
    }

    /// With the sessions, tokens and identities that go with it.
    pub(super) fn remove_user(&mut self, id: &str) {
        if let Some(row) = Arc::make_mut(&mut self.users).remove(id) {
            Arc::make_mut(&mut self.names).remove(&row.username);
        }
        Arc::make_mut(&mut self.identities).retain(|row| row.user_id != id);
        Arc::make_mut(&mut self.sessions).retain(|_, row| row.user_id != id);
        Arc::make_mut(&mut self.tokens).retain(|_, row| row.user_id != id);
    }

    pub(super) fn put_identity(&mut self, row: IdentityRow) {
        Arc::make_mut(&mut self.identities).push(row);
    }

    pub(super) fn remove_identity(&mut self, user_id: &str, provider: &str) {
        Arc::make_mut(&mut self.identities).retain(|row| row.user_id != user_id || row.provider != provider);
    }

    pub(super) fn put_session(&mut self, row: SessionRow) {
        Arc::make_mut(&mut self.sessions).insert(row.id_hash.clone(), Arc::new(row));
    }

    pub(super) fn remove_session(&mut self, id_hash: &str) {
        Arc::make_mut(&mut self.sessions).remove(id_hash);
    }

    /// The sessions of a person that were used longest ago, beyond the `keep` that were used last.
    pub(super) fn oldest_sessions(&self, user_id: &str, keep: usize) -> Vec<String> {
        let mut own: Vec<_> = self.sessions.values().filter(|row| row.user_id == user_id).collect();
        own.sort_unstable_by_key(|row| std::cmp::Reverse((row.last_used, row.created_at)));
        own.into_iter().skip(keep).map(|row| row.id_hash.clone()).collect()
    }

    pub(super) fn remove_expired_sessions(&mut self, used_before: i64, now: i64) {
        Arc::make_mut(&mut self.sessions).retain(|_, row| row.last_used >= used_before && row.expires_at > now);
    }

    pub(super) fn note_sign_in(&mut self, user_id: &str, at: i64) {
        if let Some(row) = self.users.get(user_id) {
            let row = UserRow { last_sign_in: Some(at), ..(**row).clone() };
            self.put_user(row);
        }
    }

    pub(super) fn remove_sessions_of(&mut self, user_id: &str, except: Option<&str>) {
        let keep = |hash: &String, row: &SessionRow| row.user_id != user_id || Some(hash.as_str()) == except;
        Arc::make_mut(&mut self.sessions).retain(|hash, row| keep(hash, row));
    }

    pub(super) fn put_token(&mut self, row: TokenRow) {
        Arc::make_mut(&mut self.tokens).insert(row.token_hash.clone(), Arc::new(row));
    }

    pub(super) fn remove_token(&mut self, token_hash: &str) {
        Arc::make_mut(&mut self.tokens).remove(token_hash);
    }

    pub(super) fn put_agent(&mut self, row: AgentRow) {
        Arc::make_mut(&mut self.agents).insert(row.client_id.clone(), Arc::new(row));
    }

    pub(super) fn remove_agent(&mut self, client_id: &str) {
        Arc::make_mut(&mut self.agents).remove(client_id);
    }

    /// A credential was used at `at`; later uses that are known already win.
    pub(super) fn note_used(&mut self, credential: &Credential, at: i64) {
        match credential {
            Credential::Session(hash) => {
                if let Some(row) = self.sessions.get(hash).filter(|row| row.last_used < at) {
                    let row = SessionRow { last_used: at, ..(**row).clone() };
                    self.put_session(row);
                }
            }
            Credential::Token(hash) => {
                if let Some(row) = self.tokens.get(hash).filter(|row| row.last_used < Some(at)) {
                    let row = TokenRow { last_used: Some(at), ..(**row).clone() };
                    self.put_token(row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
