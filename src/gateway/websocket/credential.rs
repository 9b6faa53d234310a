//! Whether a caller may still have a desktop's WebSocket open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::now_ms;
use crate::identity::policy::{Action, Object};
use crate::identity::{Caller, Credential, Snapshot};

/// Of snapshots that follow each other faster, not each is looked at: a thousand WebSockets look at once.
const PACE: Duration = Duration::from_millis(200);
/// The end of a credential is looked at this often, whatever was said of it: clocks are set.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Resolves when the caller may not open this owner's desktop any more: signed out, revoked, no longer active.
pub async fn withdrawn(mut snapshots: watch::Receiver<Arc<Snapshot>>, caller: &Caller, owner_id: &str) {
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        let Some(ends_at) = standing(&snapshot, &caller.credential, owner_id, now_ms()) else { return };
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

fn wait_until(ends_at: Option<i64>, now: i64) -> Duration {
    let left = ends_at.map_or(i64::MAX, |end| end.saturating_sub(now));
    Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(LONGEST_WAIT)
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
        let (sender, receiver) = watch::channel(Arc::new(snapshot(true, "desktops:write")));
        let credential = Credential::Token("token".into());
        let mut caller = sender.borrow().caller(&credential, 0).unwrap();
        // The token of the snapshot has ended long ago by this machine's clock.
        withdrawn(receiver.clone(), &caller, "id-of-ann").await;
        caller.credential = Credential::Session("forever".into());
        let ann = UserRow { role: "user".into(), ..user("ann") };
        let forever =
            SessionRow { id_hash: "forever".into(), user_id: ann.id.clone(), last_used: now_ms(), ..session() };
        let forever = SessionRow { expires_at: i64::MAX, ..forever };
        let rows = Rows { users: vec![ann], sessions: vec![forever], ..Rows::default() };
        sender.send_replace(Arc::new(Snapshot::new(rows, i64::MAX / 2)));
        let mut gone = std::pin::pin!(withdrawn(receiver, &caller, "id-of-ann"));
        let long = Duration::from_secs(3600);
        assert!(tokio::time::timeout(long, &mut gone).await.is_err(), "it may stay");
        sender.send_replace(Arc::new(Snapshot::default()));
        tokio::time::timeout(PACE * 2, gone).await.expect("it is cut");
    }
}
