//! For how long what was begun may go on.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::now_ms;
use crate::desktop::Route;
use crate::events::wait_until;
use crate::http::AppState;
use crate::http::client_socket::ClientSocket;
use crate::http::upgrade::Stopping;
use crate::identity::policy::{Action, Object};
use crate::identity::{Caller, Credential, Snapshot};

/// After this it is looked whether the client is still there: most answers are given sooner.
const LEFT_AFTER: Duration = Duration::from_secs(1);

/// Of snapshots that follow each other faster, not each is looked at: a thousand WebSockets look at once.
const PACE: Duration = Duration::from_millis(200);

/// What one caller was allowed, of one desktop. Ends with the desktop's run, with the caller's credential or right, when
/// the server stops, and, for plain requests, when the client leaves.
pub struct Permit {
    route: Arc<Route>,
    credential: Credential,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    stopping: Stopping,
    socket: Option<ClientSocket>,
}

/// Why a permit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The desktop's run is over.
    Cut,
    /// The credential proves nobody any more, or somebody who may not.
    Void,
    Stopping,
    /// The client closed its connection.
    Left,
}

impl Ended {
    /// In words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Cut => "the desktop was stopped",
            Self::Void => "the sign-in has ended",
            Self::Stopping => "the server is stopping; try again in a moment",
            Self::Left => "the client left",
        }
    }
}

impl Permit {
    pub fn of(request: &HttpRequest, state: &AppState, caller: &Caller, route: Arc<Route>) -> Self {
        Self {
            route,
            credential: caller.credential.clone(),
            snapshot: state.snapshot.clone(),
            stopping: Stopping::of(request),
            socket: ClientSocket::of(request),
        }
    }

    /// For whoever takes the client's socket over: a second hold on it would keep it open.
    pub fn without_socket(self) -> Self {
        Self { socket: None, ..self }
    }

    /// The client's socket. None for WebSockets, and in tests without one.
    pub const fn socket(&self) -> Option<&ClientSocket> {
        self.socket.as_ref()
    }

    /// Resolves when the permit ends or the client leaves, which whoever has its socket learns otherwise.
    pub async fn ended_or_left(&mut self) -> Ended {
        let socket = self.socket.clone();
        let left = async {
            sleep(LEFT_AFTER).await;
            match socket {
                Some(socket) => socket.closed().await,
                None => pending().await,
            }
        };
        tokio::select! {
            ended = self.ended() => ended,
            () = left => Ended::Left,
        }
    }

    /// Resolves when the permit ends.
    pub async fn ended(&mut self) -> Ended {
        let (cut, stopping) = (self.route.cut.clone(), self.stopping.clone());
        tokio::select! {
            biased;
            () = cut.cancelled() => Ended::Cut,
            () = stopping.begun() => Ended::Stopping,
            () = withdrawn(&mut self.snapshot, &self.credential, &self.route.owner_id) => Ended::Void,
        }
    }
}

/// Resolves when the credential does not open this owner's desktop any more: signed out, revoked, no longer active.
async fn withdrawn(snapshots: &mut watch::Receiver<Arc<Snapshot>>, credential: &Credential, owner_id: &str) {
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        let Some(ends_at) = standing(&snapshot, credential, owner_id, now_ms()) else { return };
        drop(snapshot);
        sleep(PACE).await;
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            () = sleep(wait_until(ends_at, now_ms())) => {}
        }
    }
}

/// None without the right to it; else when that ends by itself, in milliseconds since 1970, if ever.
fn standing(snapshot: &Snapshot, credential: &Credential, owner_id: &str, now: i64) -> Option<Option<i64>> {
    let caller = snapshot.caller(credential, now)?;
    caller.can(Action::OpenDesktop, Object::Owned { owner_id }).then_some(caller.ends_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::snapshot::Rows;
    use crate::store::models::{SessionRow, TokenRow, UserRow};
    use crate::store::testing::user;

    fn snapshot(active: bool, scopes: &str) -> Snapshot {
        let ann = UserRow { active, role: "user".into(), ..user("ann") };
        let session = SessionRow { user_id: ann.id.clone(), ..session() };
        let token = TokenRow {
            id: "t".into(),
            user_id: ann.id.clone(),
            name: "t".into(),
            token_hash: "token".into(),
            scopes: scopes.into(),
            created_at: 0,
            expires_at: Some(5000),
            last_used: None,
        };
        Snapshot::new(Rows { users: vec![ann], sessions: vec![session], tokens: vec![token], ..Rows::default() }, 1000)
    }

    fn session() -> SessionRow {
        SessionRow {
            id_hash: "session".into(),
            user_id: String::new(),
            created_at: 0,
            last_used: 100,
            expires_at: 9000,
            method: "password".into(),
        }
    }

    #[test]
    fn who_may_keep_it_open() {
        let (session, token) = (Credential::Session("session".into()), Credential::Token("token".into()));
        let full = snapshot(true, "desktops:write");
        // Snapshot, credential, owner, now, and when it ends.
        let table = [
            (&full, &session, "id-of-ann", 500, Some(Some(1100))),
            (&full, &session, "id-of-ann", 1100, None),
            (&full, &session, "id-of-bob", 500, None),
            (&full, &token, "id-of-ann", 500, Some(Some(5000))),
            (&full, &token, "id-of-ann", 5000, None),
            (&snapshot(true, "desktops:read"), &token, "id-of-ann", 500, None),
            (&snapshot(false, "desktops:write"), &token, "id-of-ann", 500, None),
            (&snapshot(false, "desktops:write"), &session, "id-of-ann", 500, None),
            (&Snapshot::default(), &session, "id-of-ann", 500, None),
        ];
        for (row, (snapshot, credential, owner, now, expected)) in table.into_iter().enumerate() {
            assert_eq!(standing(snapshot, credential, owner, now), expected, "row {row}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_seen_and_so_is_the_end_by_itself() {
        let (sender, mut receiver) = watch::channel(Arc::new(snapshot(true, "desktops:write")));
        // The token of the snapshot has ended long ago by this machine's clock.
        withdrawn(&mut receiver, &Credential::Token("token".into()), "id-of-ann").await;
        let credential = Credential::Session("forever".into());
        let ann = UserRow { role: "user".into(), ..user("ann") };
        let forever =
            SessionRow { id_hash: "forever".into(), user_id: ann.id.clone(), last_used: now_ms(), ..session() };
        let forever = SessionRow { expires_at: i64::MAX, ..forever };
        let rows = Rows { users: vec![ann], sessions: vec![forever], ..Rows::default() };
        sender.send_replace(Arc::new(Snapshot::new(rows, i64::MAX / 2)));
        let mut gone = std::pin::pin!(withdrawn(&mut receiver, &credential, "id-of-ann"));
        let long = Duration::from_secs(3600);
        assert!(tokio::time::timeout(long, &mut gone).await.is_err(), "it may stay");
        sender.send_replace(Arc::new(Snapshot::default()));
        tokio::time::timeout(PACE * 2, gone).await.expect("it is cut");
    }
}
