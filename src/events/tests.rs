//! Readers of a real tree: what they are told, and what cuts them.

use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use tokio::time::timeout;

use super::bus::RING;
use super::{Ended, Feed, Item};
use crate::clock::now_ms;
use crate::config::TunnelConfig;
use crate::http::AppState;
use crate::identity::directory::{
    ChangeAgent, ChangeUser, CloseSession, CloseSessions, CreateToken, DeleteUser, EnrolAgent, OpenSession, Ping,
    RevokeToken, UserChanges,
};
use crate::identity::news::{Event, Subject};
use crate::identity::role::Role;
use crate::identity::{Credential, Scope};
use crate::server::tests::{plan, start_tree};
use crate::store::models::{ProxyRow, UserRow};
use crate::store::testing::{TestDatabase, agent, database, proxy, user};
use crate::store::{Connection, StoreError, agents, proxies, users};
use crate::tunnel::commands::{DeleteTunnel, NewTunnel, PatchTunnel, TunnelChanges};
use crate::tunnel::tests::Panic;

/// What has not come after this does not come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where these tests' tunnels may listen; only one test makes any.
const PORTS: std::ops::RangeInclusive<u16> = 20_200..=20_215;
const BOB: &str = "id-of-bob";

/// A tree whose accounts are the administrator `ann` and the user `bob`.
struct Stage {
    state: AppState,
    _database: TestDatabase,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|_| Ok(())).await
    }

    async fn with(prepare: impl FnOnce(&mut Connection) -> Result<(), StoreError>) -> Self {
        let database = database();
        let bob = UserRow { role: "user".into(), ..user("bob") };
        let rows = [user("ann"), bob];
        database
            .store
            .run_now(|c| rows.iter().try_for_each(|row| users::insert(c, row)).and_then(|()| prepare(c)))
            .unwrap();
        let (state, _) = start_tree(plan(database.store.clone(), TunnelConfig::for_tests(PORTS)));
        state.tell(Ping).await.unwrap();
        Self { state, _database: database }
    }

    /// The id of a new session; its cookie.
    async fn session(&self, user_id: &str) -> String {
        self.state.tell(OpenSession::for_tests(user_id)).await.unwrap().unwrap().id
    }

    /// A reader that has been greeted.
    async fn watch(&self, credential: Credential) -> Reader {
        let caller = self.state.snapshot().caller(&credential, now_ms()).expect("it is valid");
        let stop = std::future::pending().boxed_local().shared();
        let feed = Feed::open(self.state.events.clone(), self.state.snapshot.clone(), &caller, stop).await.unwrap();
        let mut reader = Reader(feed);
        assert_eq!(reader.next().await, Item::Hello);
        reader
    }

    async fn watch_as(&self, user_id: &str) -> Reader {
        self.watch(Credential::of_cookie(&self.session(user_id).await)).await
    }

    async fn change_bob(&self, changes: UserChanges) {
        self.state.tell(ChangeUser { user_id: BOB.into(), changes }).await.unwrap().unwrap();
    }

    async fn share(&self, client_id: &str, shared: bool) {
        let change = ChangeAgent { client_id: client_id.into(), owner_id: None, shared: Some(shared) };
        self.state.tell(change).await.unwrap().unwrap();
    }

    /// Something that everybody who may read Bob's things is told.
    fn mark(&self, id: &str) {
        self.state.events.publish(Event::new("mark", id, Subject::Tunnel { owner_id: BOB.into() }));
    }
}

struct Reader(Feed);

impl Reader {
    async fn next(&mut self) -> Item {
        timeout(PATIENCE, self.0.next()).await.expect("something comes")
    }

    /// Name and JSON of the next item, which is an event.
    async fn event(&mut self) -> (&'static str, Value) {
        let item = self.next().await;
        assert!(matches!(item, Item::Event { .. }), "{item:?}");
        (item.name(), serde_json::from_str(&item.into_text()).unwrap())
    }

    async fn mark(&mut self) -> String {
        let (name, event) = self.event().await;
        assert_eq!(name, "mark", "{event}");
        event["id"].as_str().unwrap().to_owned()
    }

    async fn assert_signed_out(&mut self) {
        assert_eq!(self.next().await, Item::End(Ended::SignedOut));
    }
}

#[actix::test]
async fn a_reader_is_told_of_what_it_may_read_now() {
    let stage = Stage::new().await;
    let (mut ann, mut bob) = (stage.watch_as("id-of-ann").await, stage.watch_as(BOB).await);
    let enrol = EnrolAgent { client_id: "pc1".into(), owner_id: "id-of-ann".into(), shared: false };
    stage.state.tell(enrol).await.unwrap().unwrap();
    stage.share("pc1", true).await;
    stage.share("pc1", false).await;
    stage.mark("after");
    for name in ["agent.created", "agent.changed", "agent.changed"] {
        assert_eq!(ann.event().await.0, name);
    }
    assert_eq!(ann.mark().await, "after");
    assert_eq!(bob.mark().await, "after", "it is not shared any more when he comes to look");
    stage.share("pc1", true).await;
    let (name, event) = bob.event().await;
    assert_eq!((name, event["id"].as_str()), ("agent.changed", Some("pc1")));
    assert!(event["at"].as_str().unwrap().ends_with('Z'), "{event}");
}

#[actix::test]
async fn another_role_starts_over_and_shows_other_things() {
    let stage = Stage::new().await;
    let mut bob = stage.watch_as(BOB).await;
    let of_ann =
        |id: &str| stage.state.events.publish(Event::new("mark", id, Subject::Tunnel { owner_id: "id-of-ann".into() }));
    of_ann("hidden");
    stage.mark("own");
    assert_eq!(bob.mark().await, "own");
    stage.change_bob(UserChanges { role: Some(Role::Admin), ..UserChanges::default() }).await;
    assert_eq!(bob.next().await, Item::StartOver);
    of_ann("seen");
    loop {
        let (name, event) = bob.event().await;
        if name == "mark" {
            assert_eq!(event["id"], "seen");
            break;
        }
    }
}

#[actix::test]
async fn a_session_that_is_closed_cuts_its_reader_alone() {
    let stage = Stage::new().await;
    let (first, second) = (stage.session(BOB).await, stage.session(BOB).await);
    let (first, second) = (Credential::of_cookie(&first), Credential::of_cookie(&second));
    let (mut one, mut two) = (stage.watch(first.clone()).await, stage.watch(second).await);
    let Credential::Session(hash) = first else { unreachable!() };
    stage.state.tell(CloseSession(hash)).await.unwrap().unwrap();
    one.assert_signed_out().await;
    stage.mark("still there");
    assert_eq!(two.mark().await, "still there");
    stage.state.tell(CloseSessions { user_id: BOB.into(), except: None }).await.unwrap().unwrap();
    two.assert_signed_out().await;
}

#[actix::test]
async fn an_account_that_is_switched_off_or_deleted_cuts_its_readers() {
    let stage = Stage::new().await;
    let mut readers = [stage.watch_as(BOB).await, stage.watch_as(BOB).await];
    stage.change_bob(UserChanges { active: Some(false), ..UserChanges::default() }).await;
    for reader in &mut readers {
        reader.assert_signed_out().await;
    }
    stage.change_bob(UserChanges { active: Some(true), ..UserChanges::default() }).await;
    let mut reader = stage.watch_as(BOB).await;
    stage.state.tell(DeleteUser(BOB.into())).await.unwrap().unwrap();
    reader.assert_signed_out().await;
}

#[actix::test]
async fn a_token_that_is_revoked_or_over_cuts_its_reader() {
    let stage = Stage::new().await;
    let scopes = [Scope::TunnelsRead].into_iter().collect();
    let create = |expires_at| CreateToken { owner_id: BOB.into(), name: "t".into(), scopes, expires_at };
    let lasting = stage.state.tell(create(None)).await.unwrap().unwrap();
    let short = stage.state.tell(create(Some(now_ms() + 300))).await.unwrap().unwrap();
    let mut lasting_reader = stage.watch(Credential::of_bearer(&lasting.token)).await;
    let mut short_reader = stage.watch(Credential::of_bearer(&short.token)).await;
    short_reader.assert_signed_out().await;
    stage.mark("still there");
    assert_eq!(lasting_reader.mark().await, "still there");
    stage.state.tell(RevokeToken(lasting.row.id)).await.unwrap().unwrap();
    lasting_reader.assert_signed_out().await;
}

#[actix::test]
async fn nothing_taken_before_the_sign_out_is_told_after_it() {
    let stage = Stage::new().await;
    let mut bob = stage.watch_as(BOB).await;
    stage.mark("too late");
    stage.state.tell(CloseSessions { user_id: BOB.into(), except: None }).await.unwrap().unwrap();
    bob.assert_signed_out().await;
}

#[actix::test]
async fn a_reader_that_is_too_slow_starts_over_with_what_is_new() {
    let stage = Stage::new().await;
    let mut bob = stage.watch_as(BOB).await;
    (0..RING * 2).for_each(|n| stage.mark(&n.to_string()));
    // A subscription is answered after what was published before.
    stage.watch_as(BOB).await;
    assert_eq!(bob.next().await, Item::StartOver);
    stage.mark("new");
    assert_eq!(bob.mark().await, "new");
}

#[actix::test]
async fn readers_outlive_a_bus_that_panics() {
    let stage = Stage::new().await;
    let mut bob = stage.watch_as(BOB).await;
    stage.state.events.panic().await;
    assert_eq!(bob.next().await, Item::StartOver);
    stage.mark("over the other bus");
    assert_eq!(bob.mark().await, "over the other bus");
}

/// A tunnel of Bob's whose port somebody else holds.
fn held_tunnel() -> (ProxyRow, std::net::TcpListener) {
    let holder = PORTS.rev().find_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
    let port = holder.local_addr().unwrap().port();
    (ProxyRow { owner_id: BOB.into(), ..proxy("held", "pc1", port.into()) }, holder)
}

#[actix::test]
async fn tunnels_tell_what_becomes_of_them() {
    let (row, holder) = held_tunnel();
    let pc1 = crate::store::models::AgentRow { owner_id: BOB.into(), ..agent("pc1") };
    let stage = Stage::with(|c| agents::insert(c, &pc1).and_then(|()| proxies::insert(c, &row))).await;
    stage.state.ask(crate::tunnel::commands::Ping).await.unwrap();
    let mut bob = stage.watch_as(BOB).await;

    drop(holder);
    let (name, event) = bob.event().await;
    assert_eq!((name, &event["tunnel"]["state"]), ("tunnel.changed", &"waiting_for_agent".into()), "{event}");
    assert_eq!((&event["id"], &event["tunnel"]["owner"]), (&"held".into(), &"bob".into()), "{event}");

    let patch = |changes| PatchTunnel { proxy_id: "held".into(), changes };
    let named = TunnelChanges { name: Some(Some("db".into())), ..TunnelChanges::default() };
    stage.state.ask(patch(named.clone())).await.unwrap().unwrap();
    assert_eq!(bob.event().await.1["tunnel"]["name"], "db");
    // The same again is no news.
    stage.state.ask(patch(named)).await.unwrap().unwrap();
    let paused = TunnelChanges { enabled: Some(false), ..TunnelChanges::default() };
    stage.state.ask(patch(paused)).await.unwrap().unwrap();
    assert_eq!(bob.event().await.1["tunnel"]["state"], "paused");

    assert!(stage.state.tunnels().send(Panic).await.is_err(), "it panicked");
    let mut told = [bob.event().await, bob.event().await];
    told.sort_by_key(|(name, _)| *name);
    assert_eq!((told[0].0, &told[0].1["id"]), ("agent.offline", &"pc1".into()), "its session is gone");
    assert_eq!((told[1].0, &told[1].1["tunnel"]["state"]), ("tunnel.changed", &"paused".into()));

    let tunnel = NewTunnel {
        client_id: "pc1".into(),
        remote_host: "h".into(),
        remote_port: 1,
        local_port: None,
        name: None,
        bind: None,
        allow: Vec::new(),
        max_connections: None,
    };
    let create = crate::tunnel::commands::CreateTunnel { tunnel, owner_id: BOB.into(), limit: None };
    let made = stage.state.ask(create).await.unwrap().unwrap();
    let (name, event) = bob.event().await;
    assert_eq!((name, event["id"].as_str()), ("tunnel.created", Some(made.proxy_id.as_str())));
    stage.state.ask(DeleteTunnel("held".into())).await.unwrap().unwrap();
    let (name, event) = bob.event().await;
    assert_eq!((name, &event["id"], event.get("tunnel")), ("tunnel.deleted", &"held".into(), None));
}
