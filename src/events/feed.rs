//! What one reader is told, whichever way it reaches it.
//!
//! ```text
//! hello ──> event … start_over … event ──> end
//! ```
//!
//! Every event is authorised for its reader as the accounts are when it is handed out, not as they were when the
//! stream began. The end comes when the credential proves nobody any more, or when the server stops.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::{LocalBoxFuture, Shared};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::bus::Subscription;
use super::{Ended, Item, Publisher};
use crate::clock::now_ms;
use crate::error::Error;
use crate::identity::news::{Event, Subject};
use crate::identity::policy::{Action, Object};
use crate::identity::role::Role;
use crate::identity::{Caller, Credential, Snapshot};

/// The end of a credential is looked at this often, whatever was said of it: clocks are set.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Resolves when the server stops.
pub type Stop = Shared<LocalBoxFuture<'static, ()>>;

/// See the module's documentation.
pub struct Feed {
    publisher: Publisher,
    subscription: Subscription,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    credential: Credential,
    user_id: String,
    role: Role,
    stop: Stop,
    greeted: bool,
    /// Taken from the ring, and not yet looked at.
    taken: Option<Arc<Event>>,
}

impl Feed {
    /// Watch from now on, on behalf of this caller.
    ///
    /// # Errors
    /// `LimitReached` for somebody who has many streams already, `Unavailable` when the server is about to end.
    pub async fn open(
        publisher: Publisher,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        caller: &Caller,
        stop: Stop,
    ) -> Result<Self, Error> {
        let subscription = publisher.subscribe(&caller.user_id).await?;
        Ok(Self {
            publisher,
            subscription,
            snapshot,
            credential: caller.credential.clone(),
            user_id: caller.user_id.clone(),
            role: caller.role,
            stop,
            greeted: false,
            taken: None,
        })
    }

    /// Resolves when the server stops.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// All items, the end among them.
    pub fn items(self) -> impl Stream<Item = Item> {
        futures_util::stream::unfold(Some(self), |feed| async move {
            let mut feed = feed?;
            let item = feed.next().await;
            let rest = (!matches!(item, Item::End(_))).then_some(feed);
            Some((item, rest))
        })
    }

    /// The next item. Nothing is lost when this is dropped before it is ready.
    pub async fn next(&mut self) -> Item {
        loop {
            let snapshot = self.snapshot.borrow_and_update().clone();
            let Some(reader) = snapshot.caller(&self.credential, now_ms()) else {
                return Item::End(Ended::SignedOut);
            };
            if !std::mem::replace(&mut self.greeted, true) {
                return Item::Hello;
            }
            if std::mem::replace(&mut self.role, reader.role) != reader.role {
                return self.start_over();
            }
            if let Some(event) = self.taken.take() {
                if is_for(&event, &reader, &snapshot) {
                    return Item::of(&event, &snapshot);
                }
                continue;
            }
            if let Some(item) = self.wait(reader.ends_at).await {
                return item;
            }
        }
    }

    /// Until there is something to look at.
    async fn wait(&mut self, ends_at: Option<i64>) -> Option<Item> {
        tokio::select! {
            biased;
            () = self.stop.clone() => Some(Item::End(Ended::GoingAway)),
            changed = self.snapshot.changed() => changed.is_err().then_some(Item::End(Ended::GoingAway)),
            () = tokio::time::sleep(wait_until(ends_at, now_ms())) => None,
            received = self.subscription.events.recv() => match received {
                Ok(event) => {
                    self.taken = Some(event);
                    None
                }
                Err(RecvError::Lagged(_)) => Some(self.start_over()),
                Err(RecvError::Closed) => Some(self.subscribe_again().await),
            },
        }
    }

    /// What is still in the ring is older than what the reader is about to read.
    fn start_over(&mut self) -> Item {
        self.subscription.events = self.subscription.events.resubscribe();
        self.taken = None;
        Item::StartOver
    }

    async fn subscribe_again(&mut self) -> Item {
        match self.publisher.subscribe(&self.user_id).await {
            Ok(subscription) => {
                self.subscription = subscription;
                Item::StartOver
            }
            Err(_) => Item::End(Ended::GoingAway),
        }
    }
}

/// How long nothing needs to be looked at, for a credential that ends at `ends_at` (milliseconds since 1970).
pub fn wait_until(ends_at: Option<i64>, now: i64) -> Duration {
    let left = ends_at.map_or(i64::MAX, |end| end.saturating_sub(now));
    Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(LONGEST_WAIT)
}

/// May this reader know of it? An agent that is there is asked about as it is now: it may not be shared any more.
fn is_for(event: &Event, reader: &Caller, snapshot: &Snapshot) -> bool {
    let (action, object) = event.subject.permission();
    let now = match &event.subject {
        Subject::Agent { client_id, .. } => snapshot.agent(client_id),
        _ => None,
    };
    reader.can(action, object) && now.is_none_or(|row| reader.can(Action::ReadAgent, Object::of_agent(row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::policy::Means;
    use crate::identity::snapshot::Rows;
    use crate::identity::{Scope, ScopeSet};
    use crate::store::models::AgentRow;
    use crate::store::testing;

    fn reader(user_id: &str, role: Role, by: Means) -> Caller {
        let credential = Credential::of_bearer("any");
        Caller { user_id: user_id.into(), username: user_id.into(), role, by, ends_at: None, credential }
    }

    fn agent(owner_id: &str, shared: bool) -> AgentRow {
        AgentRow { owner_id: owner_id.into(), shared, ..testing::agent("pc1") }
    }

    fn snapshot(agents: Vec<AgentRow>) -> Snapshot {
        Snapshot::new(Rows { agents, ..Rows::default() }, 1000)
    }

    #[test]
    fn events_are_for_those_who_may_read_their_object() {
        let only = |scope: Scope| Means::Token([scope].into_iter().collect::<ScopeSet>());
        let table = [
            ("ann", Role::User, Means::Session, true),
            ("ann", Role::User, only(Scope::TunnelsRead), true),
            ("ann", Role::User, only(Scope::DesktopsRead), false),
            ("bob", Role::User, Means::Session, false),
            ("bob", Role::Admin, Means::Session, true),
            ("bob", Role::Admin, only(Scope::TunnelsRead), false),
        ];
        let event = Event::new("tunnel.changed", "t1", Subject::Tunnel { owner_id: "ann".into() });
        for (user_id, role, by, expected) in table {
            let shown = is_for(&event, &reader(user_id, role, by), &snapshot(Vec::new()));
            assert_eq!(shown, expected, "{user_id} {role} {by:?}");
        }
    }

    #[test]
    fn an_agent_is_asked_about_as_it_was_and_as_it_is() {
        let bob = reader("bob", Role::User, Means::Session);
        // Shared at the event, shared now (None: it is gone), whether Bob is told.
        let table = [
            (true, Some(true), true),
            (true, Some(false), false),
            (false, Some(true), false),
            (true, None, true),
            (false, None, false),
        ];
        for (then, now, expected) in table {
            let event = Event::new("agent.online", "pc1", Subject::of_agent(&agent("ann", then)));
            let agents = now.map(|shared| agent("ann", shared)).into_iter().collect();
            assert_eq!(is_for(&event, &bob, &snapshot(agents)), expected, "{then} {now:?}");
        }
    }

    #[test]
    fn how_long_to_wait() {
        let table = [
            (None, LONGEST_WAIT),
            (Some(1500), Duration::from_millis(500)),
            (Some(1000), Duration::ZERO),
            (Some(i64::MIN), Duration::ZERO),
            (Some(i64::MAX), LONGEST_WAIT),
        ];
        for (ends_at, expected) in table {
            assert_eq!(wait_until(ends_at, 1000), expected, "{ends_at:?}");
        }
    }
}
