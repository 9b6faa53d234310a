//! Sessions and uses: how many, how long, and what is kept of them.

use super::super::{CloseSession, CloseSessions, CreateToken, NoteUse, OpenSession};
use super::Now;
use super::rig::{Rig, code, id};
use crate::clock::now_ms;
use crate::identity::{Credential, ScopeSet};
use crate::store::models::SessionRow;
use crate::store::{sessions, tokens};

/// The lifetimes of `plan` in milliseconds.
const IDLE: i64 = 3_600_000;
const LIFETIME: i64 = 86_400_000;
const MINUTE: i64 = 60_000;

async fn open(rig: &Rig, name: &str) -> (String, Credential) {
    let opened = rig.tell(OpenSession::for_tests(&id(name))).await.unwrap();
    assert_eq!(opened.lifetime_s, LIFETIME / 1000);
    let credential = Credential::of_cookie(&opened.id);
    (opened.id, credential)
}

fn hash_of(credential: &Credential) -> String {
    let (Credential::Session(hash) | Credential::Token(hash)) = credential;
    hash.clone()
}

/// A session as the database could have it.
fn row(hash: &str, name: &str, last_used: i64, expires_at: i64) -> SessionRow {
    SessionRow {
        id_hash: hash.into(),
        user_id: id(name),
        created_at: last_used,
        last_used,
        expires_at,
        method: "password".into(),
    }
}

#[actix::test]
async fn a_session_is_known_by_its_hash_alone() {
    let rig = Rig::start(&["root"]).await;
    let (id_in_cookie, credential) = open(&rig, "root").await;
    assert!(id_in_cookie.len() >= 43, "256 bits");
    assert_eq!(rig.name_at(&credential, 0).as_deref(), Some("root"));
    assert_eq!(rig.name_at(&Credential::Session(id_in_cookie.clone()), 0), None, "the id is stored nowhere");
    assert_eq!(rig.name_at(&Credential::of_cookie(&hash_of(&credential)), 0), None, "a hash is no id");
    assert_eq!(rig.name_at(&Credential::of_bearer(&id_in_cookie), 0), None, "a session is no token");
    assert_eq!(rig.stored_sessions()[0].id_hash, hash_of(&credential));
    assert!(rig.snapshot().user_named("root").unwrap().last_sign_in.is_some());
    assert_eq!(rig.snapshot().users().map(|row| (**row).clone()).collect::<Vec<_>>(), rig.stored_users());
}

#[actix::test]
async fn the_fifty_first_session_takes_the_place_of_the_one_used_longest_ago() {
    let rig = Rig::start(&["root", "alice"]).await;
    let now = now_ms();
    let rows: Vec<_> = (0..50).map(|n| row(&format!("s{n}"), "alice", now - n * MINUTE, now + LIFETIME)).collect();
    rig.database.store.run_now(|c| rows.iter().try_for_each(|row| sessions::insert(c, row))).unwrap();
    rig.until("fifty sessions", |snapshot| snapshot.session("s49").is_some()).await;
    let (_, other) = open(&rig, "root").await;
    for gone in ["s49", "s48"] {
        assert!(rig.snapshot().session(gone).is_some());
        open(&rig, "alice").await;
        assert!(rig.snapshot().session(gone).is_none());
    }
    assert!(rig.snapshot().session("s47").is_some());
    assert_eq!(rig.stored_sessions().iter().filter(|row| row.user_id == id("alice")).count(), 50);
    assert_eq!(rig.name_at(&other, 0).as_deref(), Some("root"));
}

#[actix::test]
async fn a_session_ends_by_idleness_and_by_age() {
    let rig = Rig::start(&["root"]).await;
    let now = now_ms();
    let rows = [row("idle", "root", now, now + LIFETIME), row("old", "root", now, now + 10 * MINUTE)];
    rig.database.store.run_now(|c| rows.iter().try_for_each(|row| sessions::insert(c, row))).unwrap();
    rig.until("both", |snapshot| snapshot.session("old").is_some()).await;
    let (idle, old) = (Credential::Session("idle".into()), Credential::Session("old".into()));
    let lives = |credential: &Credential, at: i64| rig.snapshot().caller(credential, at).is_some();
    for (later, idle_lives, old_lives) in [
        // A clock that is an hour off either way.
        (-60 * MINUTE, true, true),
        (0, true, true),
        (10 * MINUTE - 1, true, true),
        (10 * MINUTE, true, false),
        (IDLE - 1, true, false),
        (IDLE, false, false),
        (LIFETIME, false, false),
        (i64::MAX / 2, false, false),
    ] {
        assert_eq!((lives(&idle, now + later), lives(&old, now + later)), (idle_lives, old_lives), "{later}");
    }
    let ends = |credential: &Credential| rig.snapshot().caller(credential, now).unwrap().ends_at;
    assert_eq!((ends(&idle), ends(&old)), (Some(now + IDLE), Some(now + 10 * MINUTE)));
}

#[actix::test]
async fn signing_out_ends_one_session_or_all_but_one() {
    let rig = Rig::start(&["root", "alice"]).await;
    let (_, first) = open(&rig, "alice").await;
    let (_, second) = open(&rig, "alice").await;
    let (_, third) = open(&rig, "alice").await;
    let (_, root) = open(&rig, "root").await;
    rig.tell(CloseSession(hash_of(&first))).await.unwrap();
    rig.tell(CloseSession(hash_of(&first))).await.unwrap();
    assert_eq!((rig.name_at(&first, 0), rig.name_at(&second, 0)), (None, Some("alice".into())));
    rig.tell(CloseSessions { user_id: id("alice"), except: Some(hash_of(&third)) }).await.unwrap();
    assert_eq!((rig.name_at(&second, 0), rig.name_at(&third, 0)), (None, Some("alice".into())));
    rig.tell(CloseSessions { user_id: id("alice"), except: Some(hash_of(&root)) }).await.unwrap();
    assert_eq!((rig.name_at(&third, 0), rig.name_at(&root, 0)), (None, Some("root".into())));
    assert_eq!(rig.stored_sessions().iter().map(|row| row.id_hash.clone()).collect::<Vec<_>>(), [hash_of(&root)]);
}

#[actix::test]
async fn sessions_that_are_over_are_swept_and_one_in_use_is_not() {
    let rig = Rig::start(&["root"]).await;
    let now = now_ms();
    let rows = [
        row("live", "root", now - IDLE + MINUTE, now + LIFETIME),
        row("idle", "root", now - IDLE - 1, now + LIFETIME),
        row("over", "root", now, now - 1),
        row("used", "root", now - IDLE - 1, now + LIFETIME),
    ];
    rig.database.store.run_now(|c| rows.iter().try_for_each(|row| sessions::insert(c, row))).unwrap();
    rig.until("all", |snapshot| snapshot.session("used").is_some()).await;
    // The database does not know of this use yet.
    rig.tell(NoteUse(Credential::Session("used".into()))).await;
    rig.tell(Now::Sweep).await;
    rig.until("the sweep", |snapshot| snapshot.session("idle").is_none()).await;
    let hashes: Vec<_> = rig.stored_sessions().into_iter().map(|row| row.id_hash).collect();
    assert_eq!(hashes, ["live", "used"]);
    assert!(["live", "used"].iter().all(|hash| rig.snapshot().session(hash).is_some()));
    assert!(["idle", "over"].iter().all(|hash| rig.snapshot().session(hash).is_none()));
}

#[actix::test]
async fn uses_are_published_at_once_stored_later_and_survive_a_reading() {
    let rig = Rig::start(&["root"]).await;
    let now = now_ms();
    let session = row("s", "root", now - 10 * MINUTE, now + LIFETIME);
    rig.database.store.run_now(|c| sessions::insert(c, &session)).unwrap();
    let token = CreateToken { owner_id: id("root"), name: "ci".into(), scopes: ScopeSet::default(), expires_at: None };
    let token = Credential::of_bearer(&rig.tell(token).await.unwrap().token);
    rig.until("the session", |snapshot| snapshot.session("s").is_some()).await;
    let session = Credential::Session("s".into());
    rig.tell(NoteUse(session.clone())).await;
    rig.tell(NoteUse(token.clone())).await;
    rig.tell(NoteUse(Credential::Token("unknown".into()))).await;
    let used = |snapshot: &crate::identity::Snapshot| {
        let session_used = snapshot.session("s").map_or(0, |row| row.last_used);
        session_used >= now && snapshot.token(&hash_of(&token)).is_some_and(|row| row.last_used >= Some(now))
    };
    assert!(used(&rig.snapshot()));

    // Another program changes something, so that all is read again before the uses are stored.
    let another = row("another", "root", now, now + LIFETIME);
    rig.database.store.run_now(|c| sessions::insert(c, &another)).unwrap();
    rig.until("the other session", |snapshot| snapshot.session("another").is_some()).await;
    assert!(used(&rig.snapshot()));
    assert!(rig.stored_sessions().iter().any(|row| row.id_hash == "s" && row.last_used < now));

    rig.tell(Now::StoreUses).await;
    rig.until_stored("the uses", |c| {
        let session = sessions::list(c).ok()?.into_iter().find(|row| row.id_hash == "s")?;
        let token = tokens::find_by_hash(c, &hash_of(&token)).ok()??.0;
        (session.last_used >= now && token.last_used >= Some(now)).then_some(())
    })
    .await;
    rig.tell(super::super::Ping).await;
    assert!(used(&rig.snapshot()));
    assert_eq!(code(rig.tell(CloseSession("s".into())).await), "ok");
}

#[actix::test]
async fn news_of_a_use_is_a_minute_old() {
    use super::super::use_is_news;
    for (last, now, news) in [
        (None, 0, true),
        (Some(1000), 1000, false),
        (Some(1000), 60_999, false),
        (Some(1000), 61_000, true),
        // The clock was set back.
        (Some(3_600_000), 0, false),
        (Some(i64::MIN), i64::MAX, true),
    ] {
        assert_eq!(use_is_news(last, now), news, "{last:?} {now}");
    }
}
