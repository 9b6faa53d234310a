//! What another program changes, and what is left after a panic.

use std::time::{Duration, Instant};

use super::super::{ChangeUser, CreateUser, NoteUse, OpenSession, RotateAgent, SignInByProvider, UserChanges};
use super::rig::{Rig, account, code, id};
use crate::identity::directory::{LinkIdentity, NewUser, ProvenIdentity};
use crate::identity::{Credential, Role};
use crate::store::{Store, agents, users};

/// How soon a change of another program is to be known.
const NOTICED: Duration = Duration::from_secs(2);

#[actix::test]
async fn another_programs_changes_are_published_within_two_seconds() {
    let rig = Rig::start(&["root"]).await;
    let other = Store::open(&rig.database.url()).unwrap();
    let begun = Instant::now();
    other.run_now(|c| users::insert(c, &account("alice"))).unwrap();
    rig.until("alice", |snapshot| snapshot.user_named("alice").is_some()).await;
    assert!(begun.elapsed() < NOTICED, "{:?}", begun.elapsed());
    let begun = Instant::now();
    other.run_now(|c| users::remove(c, &id("alice"))).unwrap();
    rig.until("nobody", |snapshot| snapshot.user_named("alice").is_none()).await;
    assert!(begun.elapsed() < NOTICED, "{:?}", begun.elapsed());
}

#[actix::test]
async fn a_change_keeps_what_another_program_changed_a_moment_ago() {
    let rig = Rig::start(&["root", "alice"]).await;
    let link = LinkIdentity { user_id: id("alice"), provider: "corp".into(), subject: "1".into() };
    rig.tell(link).await.unwrap();
    let password = |hash: &'static str| {
        let other = Store::open(&rig.database.url()).unwrap();
        other.run_now(|c| users::set_password_hash(c, &id("alice"), hash)).unwrap();
    };
    let hash = || rig.snapshot().user_named("alice").unwrap().password_hash.clone();

    password("first");
    let renamed = UserChanges { display_name: Some(Some("Alice".into())), ..UserChanges::default() };
    rig.tell(ChangeUser { user_id: id("alice"), changes: renamed }).await.unwrap();
    assert_eq!(hash().as_deref(), Some("first"));

    password("second");
    let identity = ProvenIdentity {
        provider: "corp".into(),
        subject: "1".into(),
        wanted_name: String::new(),
        display_name: None,
        email: None,
        admin: Some(true),
    };
    rig.tell(SignInByProvider { identity, sign_up: false }).await.unwrap();
    assert_eq!((hash().as_deref(), rig.snapshot().active_admins()), (Some("second"), 2));
    assert_eq!(rig.stored_users()[0].password_hash.as_deref(), Some("second"));
}

#[actix::test]
async fn a_name_that_another_program_took_is_taken() {
    let rig = Rig::start(&["root"]).await;
    rig.database.store.run_now(|c| users::insert(c, &account("alice"))).unwrap();
    assert_eq!(code(rig.tell(CreateUser(NewUser::named("alice".into(), Role::User))).await), "user_exists");
    rig.until("the other alice", |snapshot| snapshot.user_named("alice").is_some()).await;
    // What is gone in the database is unknown, whatever is still published.
    rig.database.store.run_now(|c| users::remove(c, &id("alice"))).unwrap();
    let changes = UserChanges { active: Some(false), ..UserChanges::default() };
    assert_eq!(code(rig.tell(ChangeUser { user_id: id("alice"), changes }).await), "user_unknown");
    assert_eq!(code(rig.tell(OpenSession::for_tests(&id("alice"))).await), "unauthenticated");
}

#[actix::test]
async fn changes_and_readings_in_any_order_leave_both_agreed() {
    let rig = Rig::start(&["root", "alice"]).await;
    for number in 0..200 {
        // Each of these is a reason to read everything again.
        let changes = UserChanges { display_name: Some(Some(format!("Alice {number}"))), ..UserChanges::default() };
        let row = rig.tell(ChangeUser { user_id: id("alice"), changes }).await.unwrap();
        assert_eq!(**rig.snapshot().user_named("alice").unwrap(), row, "it is published when it answers");
        if number % 20 == 0 {
            let mut published = rig.state.snapshot.clone();
            published.mark_unchanged();
            published.changed().await.unwrap();
            assert_eq!(**rig.snapshot().user_named("alice").unwrap(), row, "and after it was read again");
        }
    }
}

#[actix::test]
async fn after_a_panic_the_same_is_published_and_changed() {
    let mut rig = Rig::start(&["root", "alice"]).await;
    let agent = super::super::EnrolAgent { client_id: "pc1".into(), owner_id: id("alice"), shared: true };
    rig.tell(agent).await.unwrap();
    let opened = rig.tell(OpenSession::for_tests(&id("alice"))).await.unwrap();
    let session = Credential::of_cookie(&opened.id);
    rig.tell(NoteUse(session.clone())).await;
    let seen = |rig: &Rig| {
        let snapshot = rig.snapshot();
        let users: Vec<_> = snapshot.users().map(|row| (**row).clone()).collect();
        let agents: Vec<_> = snapshot.agents().map(|row| (**row).clone()).collect();
        (users, agents, snapshot.caller(&session, crate::clock::now_ms()).map(|caller| caller.username))
    };
    let before = seen(&rig);
    rig.replace().await;
    assert_eq!(seen(&rig), before);
    let (row, _) = rig.tell(RotateAgent("pc1".into())).await.unwrap();
    assert_eq!(rig.database.store.run_now(agents::list).unwrap(), std::slice::from_ref(&row));
    assert_eq!(**rig.snapshot().agent("pc1").unwrap(), row);
}
