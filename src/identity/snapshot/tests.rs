//! What is found in a snapshot, and that a published one never changes.

use super::*;
use crate::identity::Scope;
use crate::store::testing::{agent, user};

const IDLE: i64 = 1000;

fn session(hash: &str, name: &str, last_used: i64, expires_at: i64) -> SessionRow {
    SessionRow {
        id_hash: hash.into(),
        user_id: user(name).id,
        created_at: 0,
        last_used,
        expires_at,
        method: "password".into(),
    }
}

fn token(hash: &str, name: &str, expires_at: Option<i64>) -> TokenRow {
    TokenRow {
        id: format!("id-of-{hash}"),
        user_id: user(name).id,
        name: "ci".into(),
        token_hash: hash.into(),
        scopes: "tunnels:read conquer:world".into(),
        created_at: 0,
        expires_at,
        last_used: None,
    }
}

fn identity(provider: &str, subject: &str, name: &str) -> IdentityRow {
    IdentityRow { provider: provider.into(), subject: subject.into(), user_id: user(name).id, created_at: 0 }
}

fn snapshot() -> Snapshot {
    let rows = Rows {
        users: vec![
            UserRow { role: "admin".into(), ..user("root") },
            UserRow { role: "user".into(), ..user("alice") },
            UserRow { role: "admin".into(), active: false, ..user("gone") },
        ],
        identities: vec![identity("corp", "1", "alice"), identity("other", "1", "root")],
        sessions: vec![
            session("alice-s", "alice", 100, 5000),
            session("gone-s", "gone", 100, 5000),
            session("orphan-s", "nobody", 100, 5000),
        ],
        tokens: vec![
            token("alice-t", "alice", Some(2000)),
            token("root-t", "root", None),
            token("gone-t", "gone", None),
        ],
        agents: vec![agent("pc2"), agent("pc1")],
    };
    Snapshot::new(rows, IDLE)
}

fn name(snapshot: &Snapshot, credential: Credential, now: i64) -> Option<String> {
    snapshot.caller(&credential, now).map(|caller| caller.username)
}

#[test]
fn whom_a_credential_proves() {
    let (session, token) = (|hash: &str| Credential::Session(hash.into()), |hash: &str| Credential::Token(hash.into()));
    let table = [
        (session("alice-s"), 100, Some("alice")),
        (session("alice-s"), i64::MIN, Some("alice")),
        (session("alice-s"), 1099, Some("alice")),
        (session("alice-s"), 1100, None),
        (session("gone-s"), 100, None),
        (session("orphan-s"), 100, None),
        (session("alice-t"), 100, None),
        (session(""), 100, None),
        (token("alice-t"), 1999, Some("alice")),
        (token("alice-t"), 2000, None),
        (token("root-t"), i64::MAX, Some("root")),
        (token("gone-t"), 100, None),
        (token("alice-s"), 100, None),
    ];
    for (credential, now, expected) in table {
        assert_eq!(name(&snapshot(), credential.clone(), now).as_deref(), expected, "{credential:?} {now}");
    }
    let caller = snapshot().caller(&token("alice-t"), 0).unwrap();
    assert_eq!(caller.by, Means::Token([Scope::TunnelsRead].into_iter().collect()), "an unknown scope gives nothing");
    assert_eq!((caller.role, caller.ends_at), (Role::User, Some(2000)));
    assert_eq!(snapshot().caller(&session("alice-s"), 0).unwrap().ends_at, Some(1100));
    assert_eq!(name(&Snapshot::default(), token("root-t"), 0), None);
}

#[test]
fn what_is_found_by_what() {
    let snapshot = snapshot();
    assert_eq!(snapshot.active_admins(), 1);
    assert_eq!(snapshot.username(&user("alice").id), "alice");
    assert_eq!(snapshot.username("nobody"), "");
    assert!(snapshot.user_named("Alice").is_none());
    assert_eq!(snapshot.user_of_identity("corp", "1").unwrap().username, "alice");
    assert_eq!(snapshot.user_of_identity("other", "1").unwrap().username, "root");
    assert!(snapshot.user_of_identity("corp", "2").is_none());
    assert_eq!(snapshot.token_by_id("id-of-root-t").unwrap().token_hash, "root-t");
    assert_eq!(snapshot.tokens_of(&user("alice").id).count(), 1);
    assert_eq!(snapshot.agents().map(|row| row.client_id.as_str()).collect::<Vec<_>>(), ["pc1", "pc2"]);
}

#[test]
fn a_copy_that_changes_leaves_the_published_one_as_it_was() {
    let published = snapshot();
    let mut copy = published.clone();
    copy.remove_user(&user("alice").id);
    copy.put_user(UserRow { username: "renamed".into(), ..user("root") });
    copy.remove_agent("pc1");
    assert!(copy.user_named("alice").is_none() && copy.user_named("root").is_none());
    assert!(copy.user_named("renamed").is_some());
    assert!(copy.session("alice-s").is_none() && copy.token("alice-t").is_none() && copy.token("root-t").is_some());
    assert_eq!((copy.identities.len(), copy.agents().count()), (1, 1));
    assert!(published.user_named("alice").is_some() && published.user_named("root").is_some());
    assert_eq!((published.identities.len(), published.agents().count()), (2, 2));
    assert!(published.session("alice-s").is_some());
}

#[test]
fn a_later_use_wins() {
    let mut snapshot = snapshot();
    for (at, expected) in [(50, 100), (101, 101), (99, 101)] {
        snapshot.note_used(&Credential::Session("alice-s".into()), at);
        assert_eq!(snapshot.session("alice-s").unwrap().last_used, expected);
    }
    for (at, expected) in [(5, 5), (4, 5), (6, 6)] {
        snapshot.note_used(&Credential::Token("alice-t".into()), at);
        assert_eq!(snapshot.token("alice-t").unwrap().last_used, Some(expected));
    }
    snapshot.note_used(&Credential::Session("unknown".into()), 5);
    assert!(snapshot.session("unknown").is_none());
}

#[test]
fn the_sessions_used_longest_ago_are_beyond_those_to_keep() {
    let mut snapshot = Snapshot::new(Rows::default(), IDLE);
    for (hash, last_used) in [("a", 3), ("b", 1), ("c", 2)] {
        snapshot.put_session(session(hash, "alice", last_used, 5000));
    }
    snapshot.put_session(session("d", "bob", 0, 5000));
    let oldest = |keep| snapshot.oldest_sessions(&user("alice").id, keep);
    assert_eq!(oldest(3), [""; 0]);
    assert_eq!(oldest(1), ["c", "b"]);
    assert_eq!(oldest(0), ["a", "c", "b"]);
}
