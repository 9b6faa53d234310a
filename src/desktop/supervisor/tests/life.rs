//! Actors that panic, desktops that are deleted, owners who may not sign in any more.

use std::sync::Arc;

use futures_util::future::join;

use super::PanicOf;
use super::fake_engine::Mood;
use super::rig::{PATIENCE, Rig, next_event};
use crate::desktop::commands::{DeleteDesktop, ListDesktops, Ping, StopDesktop};
use crate::desktop::messages::Changed;
use crate::desktop::progress::Progress;
use crate::desktop::routes::Route;
use crate::desktop::view::DesktopView;
use crate::desktop::{Routes, Status};
use crate::identity::directory::{ChangeUser, UserChanges};
use crate::store::testing::container;
use crate::tunnel::tests::Panic;

#[actix::test]
async fn a_container_that_panics_is_restarted_from_its_row() {
    let rig = Rig::start(Mood::Up).await;
    let (view, container) = rig.running("alice", "ubuntu-vscode").await;
    let cut = rig.state.routes.borrow().get(&view.proxy_path).unwrap().cut.clone();
    rig.state.ask_desktops(PanicOf(view.id.clone())).await.unwrap();
    let back = |routes: &Routes| {
        routes.get(&view.proxy_path).is_some_and(|route| route.status == Status::Starting && !route.cut.is_cancelled())
    };
    rig.until_routes("it is back", back).await;
    assert!(cut.is_cancelled(), "nobody stays connected whom nobody could cut");
    assert_eq!(rig.containers_of(&view.id), [container], "the container runs on");
    rig.state.ask_desktops(StopDesktop(view.id.clone())).await.unwrap().unwrap();
    rig.until_status(&view.proxy_path, Status::Stopped).await;
    assert_eq!(rig.containers_of(&view.id), [""; 0]);
}

#[actix::test]
async fn one_that_panics_again_and_again_is_left_alone_for_a_while() {
    let rig = Rig::start(Mood::Up).await;
    let (view, _) = rig.running("alice", "ubuntu-vscode").await;
    let (other, _) = rig.running("bob", "ubuntu-vscode").await;
    for _ in 0..6 {
        rig.state.ask_desktops(PanicOf(view.id.clone())).await.unwrap();
    }
    rig.until_status(&view.proxy_path, Status::Failed).await;
    let crashed = rig.get(&view.id).await.unwrap();
    assert_eq!((crashed.status, crashed.reason.as_deref()), (Status::Failed, Some("crashed")));
    assert_eq!(rig.row(&view.id).unwrap().status, "starting", "the next attempt finds what it left");
    assert_eq!(rig.get(&other.id).await.unwrap().status, Status::Starting, "others do not notice");
    rig.until_status(&view.proxy_path, Status::Starting).await;
}

#[actix::test]
async fn one_that_was_left_alone_can_be_deleted() {
    let rig = Rig::start(Mood::Up).await;
    let (view, _) = rig.running("alice", "ubuntu-vscode").await;
    for _ in 0..6 {
        rig.state.ask_desktops(PanicOf(view.id.clone())).await.unwrap();
    }
    rig.until_status(&view.proxy_path, Status::Failed).await;
    let delete = DeleteDesktop { id: view.id.clone(), home: false };
    rig.state.ask_desktops(delete).await.unwrap().unwrap();
    assert_eq!(rig.row(&view.id), None);
}

#[actix::test]
async fn progress_is_news_for_watchers_and_not_for_the_gateway() {
    let mut rig = Rig::start(Mood::Up).await;
    let (view, _) = rig.running("alice", "ubuntu-vscode").await;
    let mut events = rig.events().await;
    let route = rig.state.routes.borrow_and_update().get(&view.proxy_path).unwrap().clone();
    let row = rig.row(&view.id).unwrap();
    let view = DesktopView { progress: Some(Progress { done: 7, ..Progress::default() }), ..view };
    let changed = Changed { row, view, route: route.clone(), from: None };
    rig.state.ask_desktops(changed.clone()).await.unwrap();
    assert_eq!(next_event(&mut events, "desktop.changed").await.data["desktop"]["progress"]["done"], 7);
    assert!(!rig.state.routes.has_changed().unwrap());
    let route = Arc::new(Route { entry_path: "/other".into(), ..(*route).clone() });
    rig.state.ask_desktops(Changed { route, ..changed }).await.unwrap();
    assert!(rig.state.routes.has_changed().unwrap());
}

#[actix::test]
async fn a_deletion_leaves_nothing_when_it_answers() {
    let rig = Rig::start(Mood::Up).await;
    let (view, _) = rig.running("alice", "ubuntu-vscode").await;
    let cut = rig.state.routes.borrow().get(&view.proxy_path).unwrap().cut.clone();
    let mut events = rig.events().await;
    let delete = || rig.state.ask_desktops(DeleteDesktop { id: view.id.clone(), home: false });
    let (one, other) = join(delete(), delete()).await;
    one.unwrap().unwrap();
    assert_eq!(other.unwrap().unwrap_err().code(), "desktop_unknown");
    assert_eq!((rig.row(&view.id), rig.containers_of(&view.id)), (None, Vec::new()));
    assert!(rig.engine.world.borrow().networks.is_empty());
    assert!(rig.state.routes.borrow().get(&view.proxy_path).is_none() && cut.is_cancelled());
    assert_eq!(rig.get(&view.id).await.unwrap_err().code(), "desktop_unknown");
    assert_eq!(next_event(&mut events, "desktop.deleted").await.id, view.id);
}

#[actix::test]
async fn a_deletion_that_fails_changes_nothing() {
    let rig = Rig::start(Mood::Up).await;
    let (view, container) = rig.running("alice", "ubuntu-vscode").await;
    rig.set(Mood::Away).await;
    let delete = || rig.state.ask_desktops(DeleteDesktop { id: view.id.clone(), home: false });
    assert_eq!(delete().await.unwrap().unwrap_err().code(), "engine_unavailable");
    assert!(rig.row(&view.id).is_some());
    rig.set(Mood::Up).await;
    assert_eq!(rig.containers_of(&view.id), [container]);
    delete().await.unwrap().unwrap();
    assert_eq!(rig.row(&view.id), None);
}

#[actix::test]
async fn what_is_not_in_the_engine_is_deleted_without_it() {
    let rig = Rig::over(Mood::Away, &[container("stopped", "bob", "ubuntu-vscode")], |_, _| {}).await;
    let delete = |home| rig.state.ask_desktops(DeleteDesktop { id: "stopped".into(), home });
    assert_eq!(delete(true).await.unwrap().unwrap_err().code(), "engine_unavailable", "the home is there");
    delete(false).await.unwrap().unwrap();
    assert_eq!(rig.row("stopped"), None);
}

#[actix::test]
async fn a_supervisor_that_panics_is_built_again_and_knows_all() {
    let mut rig = Rig::start(Mood::Up).await;
    let (view, container) = rig.running("alice", "ubuntu-vscode").await;
    let old = rig.state.desktops.borrow_and_update().clone();
    assert!(old.send(Panic).await.is_err());
    tokio::time::timeout(PATIENCE, rig.state.desktops.changed()).await.expect("there is another").unwrap();
    let views = rig.state.ask_desktops(ListDesktops).await.unwrap();
    assert_eq!(
        views.iter().map(|view| (view.id.as_str(), view.status)).collect::<Vec<_>>(),
        [(view.id.as_str(), Status::Starting)]
    );
    rig.state.ask_desktops(Ping).await.unwrap();
    assert!(!rig.state.routes.borrow().get(&view.proxy_path).unwrap().cut.is_cancelled());
    let before = rig.engine.world.borrow().inventories;
    rig.until_world("the engine is looked at", |world| world.inventories > before).await;
    assert_eq!(rig.containers_of(&view.id), [container]);
}

#[actix::test]
async fn desktops_of_an_inactive_account_are_stopped() {
    let rig = Rig::start(Mood::Up).await;
    let (of_alice, _) = rig.running("alice", "ubuntu-vscode").await;
    let (of_bob, _) = rig.running("bob", "ubuntu-vscode").await;
    let changes = UserChanges { active: Some(false), ..UserChanges::default() };
    rig.state.tell(ChangeUser { user_id: "id-of-alice".into(), changes }).await.unwrap().unwrap();
    rig.until_status(&of_alice.proxy_path, Status::Stopped).await;
    let view = rig.get(&of_alice.id).await.unwrap();
    assert_eq!(view.reason.as_deref(), Some("the account is not active"));
    assert!(rig.get(&of_bob.id).await.unwrap().status.is_up());
}

#[actix::test]
async fn they_are_stopped_at_once() {
    let rig = Rig::start(Mood::Up).await;
    let (view, _) = rig.running("alice", "ubuntu-vscode").await;
    // No inventory reminds anybody.
    rig.engine.set(Mood::Hung);
    let changes = UserChanges { active: Some(false), ..UserChanges::default() };
    rig.state.tell(ChangeUser { user_id: "id-of-alice".into(), changes }).await.unwrap().unwrap();
    rig.until_status(&view.proxy_path, Status::Stopping).await;
}
