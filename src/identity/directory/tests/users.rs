//! Accounts: made, changed, removed, and the administrator who must stay.

use futures_util::future::join;

use super::super::{
    ChangeUser, CreateToken, CreateUser, DeleteUser, EnrolAgent, LinkIdentity, NewUser, OpenSession, ProvenIdentity,
    ReplacePassword, SignInByProvider, UnlinkIdentity, UserChanges,
};
use super::rig::{Rig, account, code, id};
use crate::identity::{Credential, Role, ScopeSet};
use crate::store::identities;
use crate::store::models::OwnLimits;

fn new_user(name: &str, role: Role) -> NewUser {
    NewUser {
        display_name: Some("Somebody".into()),
        password_hash: Some("hash".into()),
        limits: OwnLimits { max_desktops: Some(7), ..OwnLimits::default() },
        ..NewUser::named(name.into(), role)
    }
}

fn change(name: &str, changes: UserChanges) -> ChangeUser {
    ChangeUser { user_id: id(name), changes }
}

fn demoted() -> UserChanges {
    UserChanges { role: Some(Role::User), ..UserChanges::default() }
}

fn inactive() -> UserChanges {
    UserChanges { active: Some(false), ..UserChanges::default() }
}

async fn signed_in(rig: &Rig, name: &str) -> Credential {
    let opened = rig.tell(OpenSession::for_tests(&id(name))).await.unwrap();
    Credential::of_cookie(&opened.id)
}

/// What is stored and what is published is the same.
fn assert_agreed(rig: &Rig) {
    let mut published: Vec<_> = rig.snapshot().users().map(|row| (**row).clone()).collect();
    published.sort_by(|a, b| a.username.cmp(&b.username));
    assert_eq!(published, rig.stored_users());
}

#[actix::test]
async fn an_account_is_made_once_and_published_when_it_answers() {
    let rig = Rig::start(&["root"]).await;
    let made = rig.tell(CreateUser(new_user("alice", Role::User))).await.unwrap();
    assert_eq!(**rig.snapshot().user_named("alice").unwrap(), made);
    assert_eq!((made.limits.max_desktops, made.role.as_str()), (Some(7), "user"));
    assert_eq!(code(rig.tell(CreateUser(new_user("alice", Role::Admin))).await), "user_exists");
    assert_eq!(code(rig.tell(CreateUser(new_user("root", Role::Admin))).await), "user_exists");
    assert_eq!(rig.stored_users().len(), 2);
    assert_agreed(&rig);
}

#[actix::test]
async fn a_change_touches_what_it_names() {
    let rig = Rig::start(&["root"]).await;
    let made = rig.tell(CreateUser(new_user("alice", Role::User))).await.unwrap();
    let changes = UserChanges {
        display_name: Some(None),
        email: Some(Some("alice@example.org".into())),
        max_tunnels: Some(Some(3)),
        ..UserChanges::default()
    };
    let changed = rig.tell(ChangeUser { user_id: made.id.clone(), changes }).await.unwrap();
    assert_eq!((changed.display_name, changed.email.as_deref()), (None, Some("alice@example.org")));
    assert_eq!((changed.limits.max_tunnels, changed.limits.max_desktops), (Some(3), Some(7)));
    assert_eq!((changed.password_hash, changed.active), (made.password_hash, true));
    assert_eq!(code(rig.tell(change("nobody", demoted())).await), "user_unknown");
    assert_agreed(&rig);
}

#[actix::test]
async fn the_last_administrator_stays_one() {
    let rig = Rig::start(&["root", "alice"]).await;
    assert_eq!(code(rig.tell(change("root", demoted())).await), "last_admin");
    assert_eq!(code(rig.tell(change("root", inactive())).await), "last_admin");
    assert_eq!(code(rig.tell(DeleteUser(id("root"))).await), "last_admin");
    let renamed = UserChanges { display_name: Some(Some("Root".into())), ..UserChanges::default() };
    rig.tell(change("root", renamed)).await.unwrap();

    let promoted = UserChanges { role: Some(Role::Admin), active: Some(false), ..UserChanges::default() };
    rig.tell(change("alice", promoted)).await.unwrap();
    assert_eq!(code(rig.tell(DeleteUser(id("root"))).await), "last_admin", "an inactive one does not count");
    rig.tell(change("alice", UserChanges { active: Some(true), ..UserChanges::default() })).await.unwrap();
    rig.tell(change("root", demoted())).await.unwrap();
    assert_eq!(code(rig.tell(change("alice", inactive())).await), "last_admin");
    rig.tell(DeleteUser(id("root"))).await.unwrap();
    assert_agreed(&rig);
}

#[actix::test]
async fn of_two_demoted_at_once_one_stays() {
    for round in 0..10 {
        let rig = Rig::start(&["root1", "root2"]).await;
        let (first, second) = match round % 3 {
            0 => join(rig.tell(change("root1", demoted())), rig.tell(change("root2", demoted()))).await,
            1 => join(rig.tell(change("root1", inactive())), rig.tell(change("root2", demoted()))).await,
            _ => {
                let deleted = async { rig.tell(DeleteUser(id("root1"))).await.map(|()| account("root1")) };
                join(deleted, rig.tell(change("root2", inactive()))).await
            }
        };
        assert_eq!([code(first), code(second)].iter().filter(|code| **code == "last_admin").count(), 1);
        assert_eq!(rig.snapshot().active_admins(), 1);
        assert_agreed(&rig);
    }
}

#[actix::test]
async fn who_may_not_sign_in_has_no_session_that_comes_back() {
    let rig = Rig::start(&["root", "alice", "bob"]).await;
    let (alice, bob) = (signed_in(&rig, "alice").await, signed_in(&rig, "bob").await);
    rig.tell(change("alice", inactive())).await.unwrap();
    assert_eq!((rig.name_at(&alice, 0), rig.name_at(&bob, 0)), (None, Some("bob".into())));
    let again = rig.tell(OpenSession::for_tests(&id("alice"))).await;
    assert_eq!(code(again), "unauthenticated");
    rig.tell(change("alice", UserChanges { active: Some(true), ..UserChanges::default() })).await.unwrap();
    assert_eq!(rig.name_at(&alice, 0), None);
    assert_eq!(rig.stored_sessions().len(), 1);
    assert_eq!(code(rig.tell(OpenSession::for_tests("none")).await), "unauthenticated");
}

#[actix::test]
async fn another_password_ends_sessions_but_one() {
    let rig = Rig::start(&["root", "alice"]).await;
    let (kept, other) = (signed_in(&rig, "alice").await, signed_in(&rig, "alice").await);
    let Credential::Session(hash) = &kept else { panic!("a session") };
    let replace = |verified_hash: Option<&str>, keep_session| ReplacePassword {
        user_id: id("alice"),
        verified_hash: verified_hash.map(str::to_owned),
        password_hash: "new".into(),
        keep_session,
    };
    assert_eq!(code(rig.tell(replace(Some("not hers"), None)).await), "wrong_password");
    rig.tell(replace(None, Some(hash.clone()))).await.unwrap();
    assert_eq!((rig.name_at(&kept, 0), rig.name_at(&other, 0)), (Some("alice".into()), None));
    assert_eq!(rig.snapshot().user_named("alice").unwrap().password_hash.as_deref(), Some("new"));
    rig.tell(replace(Some("new"), None)).await.unwrap();
    assert_eq!(rig.name_at(&kept, 0), None);

    let third = signed_in(&rig, "alice").await;
    let by_admin = UserChanges { password_hash: Some("newer".into()), ..UserChanges::default() };
    rig.tell(change("alice", by_admin)).await.unwrap();
    assert_eq!((rig.name_at(&third, 0), rig.stored_sessions().len()), (None, 0));
    assert_agreed(&rig);
}

#[actix::test]
async fn an_account_goes_with_what_is_its_alone_and_not_before_its_agents() {
    let rig = Rig::start(&["root", "alice"]).await;
    let session = signed_in(&rig, "alice").await;
    let agent = EnrolAgent { client_id: "pc1".into(), owner_id: id("alice"), shared: false };
    rig.tell(agent).await.unwrap();
    let token = CreateToken { owner_id: id("alice"), name: "ci".into(), scopes: ScopeSet::default(), expires_at: None };
    let token = Credential::of_bearer(&rig.tell(token).await.unwrap().token);
    let link = LinkIdentity { user_id: id("alice"), provider: "corp".into(), subject: "1".into() };
    rig.tell(link).await.unwrap();
    let in_use = rig.tell(DeleteUser(id("alice"))).await;
    assert_eq!(code(in_use), "user_in_use");
    assert_eq!(rig.name_at(&session, 0).as_deref(), Some("alice"));

    rig.tell(super::super::RemoveAgent("pc1".into())).await.unwrap();
    rig.tell(DeleteUser(id("alice"))).await.unwrap();
    assert_eq!((rig.name_at(&session, 0), rig.name_at(&token, 0)), (None, None));
    assert!(rig.snapshot().user_of_identity("corp", "1").is_none());
    assert_eq!(code(rig.tell(DeleteUser(id("alice"))).await), "user_unknown");
    assert_eq!(rig.stored_sessions().len(), 0);
    assert_agreed(&rig);
}

fn proven(subject: &str, wanted: &str, admin: Option<bool>) -> ProvenIdentity {
    ProvenIdentity {
        provider: "corp".into(),
        subject: subject.into(),
        wanted_name: wanted.into(),
        display_name: None,
        email: None,
        admin,
    }
}

#[actix::test]
async fn a_provider_signs_in_whom_it_knows() {
    let rig = Rig::start(&["root", "alice"]).await;
    let arrive = |identity, sign_up| SignInByProvider { identity, sign_up };
    assert_eq!(code(rig.tell(arrive(proven("1", "alice", None), false)).await), "no_account");
    let new = rig.tell(arrive(proven("1", "alice", Some(true)), true)).await.unwrap();
    assert_eq!((new.username.as_str(), new.role.as_str(), new.password_hash.clone()), ("alice-2", "admin", None));
    let again = rig.tell(arrive(proven("1", "somebody", None), false)).await.unwrap();
    assert_eq!((again.id.clone(), again.role.as_str()), (new.id.clone(), "admin"));
    let demoted = rig.tell(arrive(proven("1", "x", Some(false)), false)).await.unwrap();
    assert_eq!(demoted.role, "user");

    let link = LinkIdentity { user_id: id("root"), provider: "corp".into(), subject: "2".into() };
    rig.tell(link).await.unwrap();
    let root = rig.tell(arrive(proven("2", "x", Some(false)), false)).await.unwrap();
    assert_eq!(root.role, "admin", "the last administrator stays one");
    rig.tell(ChangeUser { user_id: new.id.clone(), changes: inactive() }).await.unwrap();
    assert_eq!(code(rig.tell(arrive(proven("1", "x", Some(true)), true)).await), "forbidden");
    assert_agreed(&rig);
}

#[actix::test]
async fn links_are_made_once_and_the_only_way_in_stays() {
    let rig = Rig::start(&["root", "alice", "bob"]).await;
    let link = |name: &str, provider: &str, subject: &str| LinkIdentity {
        user_id: id(name),
        provider: provider.into(),
        subject: subject.into(),
    };
    let unlink = |name: &str, provider: &str| UnlinkIdentity { user_id: id(name), provider: provider.into() };
    rig.tell(link("alice", "corp", "1")).await.unwrap();
    rig.tell(link("alice", "corp", "1")).await.unwrap();
    assert_eq!(code(rig.tell(link("alice", "corp", "2")).await), "already_linked");
    assert_eq!(code(rig.tell(link("bob", "corp", "1")).await), "already_linked");
    assert_eq!(code(rig.tell(link("nobody", "corp", "3")).await), "user_unknown");
    assert_eq!(code(rig.tell(unlink("alice", "corp")).await), "only_sign_in");
    assert_eq!(code(rig.tell(unlink("alice", "other")).await), "not_linked");
    assert_eq!(code(rig.tell(unlink("bob", "corp")).await), "not_linked");
    rig.tell(link("alice", "other", "1")).await.unwrap();
    rig.tell(unlink("alice", "corp")).await.unwrap();
    assert_eq!(rig.snapshot().providers_of(&id("alice")), ["other"]);
    let password = UserChanges { password_hash: Some("x".into()), ..UserChanges::default() };
    rig.tell(change("alice", password)).await.unwrap();
    rig.tell(unlink("alice", "other")).await.unwrap();
    assert!(rig.database.store.run_now(identities::list).unwrap().is_empty());
}
