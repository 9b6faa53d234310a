//! Sessions of browsers, and when credentials were used.

use actix::prelude::*;

use super::super::caller::Credential;
use super::super::secrets::{NO_PREFIX, hash_token, new_token};
use super::{Directory, when_missing};
use crate::clock::now_ms;
use crate::error::Error;
use crate::store::models::{SessionRow, UserRow};
use crate::store::{Connection, StoreError, sessions, tokens, users, write_transaction};

/// One person has at most so many sessions; the one that was used longest ago gives way.
const MOST_SESSIONS: usize = 50;
const NOT_ACTIVE: &str = "this account is gone or not active";
/// A use is news when the last one that is known is older than this, in milliseconds.
const USE_STEP_MS: i64 = 60_000;

/// Somebody has proved who they are: begin a session. Refused if the proof is void or the account not active by now.
#[derive(Message)]
#[rtype(result = "Result<OpenedSession, Error>")]
pub struct OpenSession {
    pub user_id: String,
    pub proof: Proof,
    /// The hash of the session's id that the browser had until now; it ends.
    pub replaces: Option<String>,
}

/// What somebody has proved.
pub enum Proof {
    /// A password. While it was verified another program may have changed it: then it is void.
    Password {
        /// The hash that it was compared with.
        verified_hash: String,
    },
    /// To be whom the OpenID provider of this name knows.
    Provider(String),
}

/// A session that has begun.
#[derive(Debug)]
pub struct OpenedSession {
    /// For the browser's cookie: 256 random bits that are stored nowhere.
    pub id: String,
    /// How long the cookie may live, in seconds.
    pub lifetime_s: i64,
}

/// Sign out: the session with this hash. One that is over already is no error.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct CloseSession(pub String);

/// Sign a person out everywhere, but for one session.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct CloseSessions {
    pub user_id: String,
    pub except: Option<String>,
}

/// A credential was used. Send it only when [`use_is_news`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct NoteUse(pub Credential);

/// Whether a use at `now` is worth telling the Directory, when the last one that is known was at `last`.
pub fn use_is_news(last: Option<i64>, now: i64) -> bool {
    last.is_none_or(|last| now.saturating_sub(last) >= USE_STEP_MS)
}

impl Proof {
    /// How a session began, as it is stored.
    fn method(&self) -> String {
        match self {
            Self::Password { .. } => "password".to_owned(),
            Self::Provider(name) => name.clone(),
        }
    }

    fn holds_for(&self, user: &UserRow) -> bool {
        match self {
            Self::Password { verified_hash } => user.password_hash.as_ref() == Some(verified_hash),
            Self::Provider(_) => true,
        }
    }

    fn refused(&self) -> Error {
        match self {
            Self::Password { .. } => Error::WrongPassword,
            Self::Provider(_) => Error::Unauthenticated(NOT_ACTIVE),
        }
    }
}

#[cfg(test)]
impl OpenSession {
    /// Of somebody whom a provider knows.
    pub fn for_tests(user_id: &str) -> Self {
        Self { user_id: user_id.to_owned(), proof: Proof::Provider("corp".into()), replaces: None }
    }
}

impl Handler<OpenSession> for Directory {
    type Result = ResponseActFuture<Self, Result<OpenedSession, Error>>;

    fn handle(&mut self, OpenSession { user_id, proof, replaces }: OpenSession, _: &mut Self::Context) -> Self::Result {
        let (id, now, lifetime_ms) = (new_token(NO_PREFIX), now_ms(), self.settings.sessions.lifetime_ms());
        let row = SessionRow {
            id_hash: hash_token(&id),
            user_id,
            created_at: now,
            last_used: now,
            expires_at: now.saturating_add(lifetime_ms),
            method: proof.method(),
        };
        let (stored, refusal) = (row.clone(), proof.refused());
        let prepare = move |directory: &Self| {
            let mut ended = directory.snapshot.oldest_sessions(&stored.user_id, MOST_SESSIONS - 1);
            ended.extend(replaces);
            Ok(move |c: &mut Connection| write_transaction(c, |c| begin(c, &stored, &proof, &ended).map(|()| ended)))
        };
        self.change(prepare, when_missing(refusal), move |directory, ended: Vec<String>| {
            ended.iter().for_each(|hash| directory.snapshot.remove_session(hash));
            directory.snapshot.note_sign_in(&row.user_id, now);
            directory.snapshot.put_session(row);
            OpenedSession { id, lifetime_s: lifetime_ms / 1000 }
        })
    }
}

/// Store a session in place of others. `Missing` if the account is not active or the proof void.
fn begin(c: &mut Connection, session: &SessionRow, proof: &Proof, ended: &[String]) -> Result<(), StoreError> {
    let user = users::get(c, &session.user_id)?;
    if !user.active || !proof.holds_for(&user) {
        return Err(StoreError::Missing);
    }
    ended.iter().try_for_each(|hash| sessions::remove(c, hash))?;
    sessions::insert(c, session)?;
    users::note_sign_in(c, &session.user_id, session.created_at)
}

impl Handler<CloseSession> for Directory {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, CloseSession(hash): CloseSession, _: &mut Self::Context) -> Self::Result {
        let stored = hash.clone();
        let prepare = move |_: &Self| Ok(move |c: &mut Connection| sessions::remove(c, &stored));
        self.change(prepare, Error::from, move |directory, ()| directory.snapshot.remove_session(&hash))
    }
}

impl Handler<CloseSessions> for Directory {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, CloseSessions { user_id, except }: CloseSessions, _: &mut Self::Context) -> Self::Result {
        let (user, kept) = (user_id.clone(), except.clone());
        let prepare = move |_: &Self| Ok(move |c: &mut Connection| sessions::remove_of_user(c, &user, kept.as_deref()));
        self.change(prepare, Error::from, move |directory, ()| {
            directory.snapshot.remove_sessions_of(&user_id, except.as_deref());
        })
    }
}

impl Handler<NoteUse> for Directory {
    type Result = ();

    fn handle(&mut self, NoteUse(credential): NoteUse, _: &mut Self::Context) {
        let now = now_ms();
        self.snapshot.note_used(&credential, now);
        self.uses.insert(credential, now);
        self.publish();
    }
}

impl Directory {
    /// Store when credentials were used. What cannot be stored is tried again.
    pub(super) fn store_uses(&mut self, ctx: &mut Context<Self>) {
        if self.uses.is_empty() {
            return;
        }
        let uses: Vec<(Credential, i64)> = self.uses.iter().map(|(used, at)| (used.clone(), *at)).collect();
        let (store, written) = (self.store.clone(), uses.clone());
        let write = async move { store.run(move |c| write_transaction(c, |c| write_uses(c, &written))).await };
        ctx.spawn(write.into_actor(self).map(move |stored, directory, _| match stored {
            Ok(()) => directory.uses.retain(|used, at| !uses.iter().any(|(stored, then)| stored == used && then == at)),
            Err(error) => tracing::warn!(%error, "when sessions and tokens were used is not stored, again later"),
        }));
    }

    /// Remove sessions that are over.
    pub(super) fn sweep(&mut self, ctx: &mut Context<Self>) {
        let now = now_ms();
        let used_before = now.saturating_sub(self.settings.sessions.idle_ms());
        let prepare = move |directory: &Self| {
            let uses: Vec<(Credential, i64)> = directory.uses.iter().map(|(used, at)| (used.clone(), *at)).collect();
            Ok(move |c: &mut Connection| {
                write_transaction(c, |c| {
                    // First, or a session would be removed whose use only this program knows of.
                    write_uses(c, &uses)?;
                    sessions::remove_expired(c, used_before, now)
                })
            })
        };
        let swept = self.change(prepare, Error::from, move |directory, _: usize| {
            directory.snapshot.remove_expired_sessions(used_before, now);
        });
        ctx.spawn(swept.map(|swept, _, _| {
            if let Err(error) = swept {
                tracing::warn!(%error, "sessions that are over are not removed, again later");
            }
        }));
    }
}

fn write_uses(c: &mut Connection, uses: &[(Credential, i64)]) -> Result<(), StoreError> {
    uses.iter().try_for_each(|(used, at)| match used {
        Credential::Session(hash) => sessions::note_used(c, hash, *at),
        Credential::Token(hash) => tokens::note_used(c, hash, *at),
    })
}
