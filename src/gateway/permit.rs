//! For how long what was begun may go on.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use tokio::sync::watch;

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

    /// The client's socket. None in tests without one.
    pub const fn socket(&self) -> Option<&ClientSocket> {
        self.socket.as_ref()
    }

    /// Resolves when the permit ends or the client leaves, which whoever has its socket learns otherwise.
    pub async fn ended_or_left(&mut self) -> Ended {
        let socket = self.socket.clone();
        let left = async {
            tokio::time::sleep(LEFT_AFTER).await;
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
            () = self.void() => Ended::Void,
        }
    }

    async fn void(&mut self) {
        loop {
            let snapshot = self.snapshot.borrow_and_update().clone();
            let owned = Object::Owned { owner_id: &self.route.owner_id };
            let caller = snapshot.caller(&self.credential, now_ms());
            let Some(caller) = caller.filter(|caller| caller.can(Action::OpenDesktop, owned)) else { return };
            tokio::select! {
                changed = self.snapshot.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait_until(caller.ends_at, now_ms())) => {}
            }
        }
    }
}
