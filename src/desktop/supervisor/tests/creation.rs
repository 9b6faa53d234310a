//! Desktops that are made, found and refused.

use futures_util::future::{join, join_all};

use super::fake_engine::Mood;
use super::rig::{Rig, next_event};
use crate::desktop::Status;
use crate::desktop::commands::{CreateType, DeleteDesktop, ListTypes, ReplaceType, StartDesktop, StopDesktop};
use crate::desktop::desktop_type::DesktopType;
use crate::store::containers;
use crate::store::testing::container;

/// Change one of the types.
async fn change_type(rig: &Rig, name: &str, change: impl FnOnce(DesktopType) -> DesktopType) {
    let types = rig.state.ask_desktops(ListTypes).await.unwrap();
    let before = types.into_iter().find(|known| known.name == name).unwrap();
    let replace = ReplaceType { name: name.into(), desktop_type: change(before) };
    rig.state.ask_desktops(replace).await.unwrap().unwrap();
}

#[actix::test]
async fn a_desktop_is_made_and_started_and_told_of() {
    let rig = Rig::start(Mood::Up).await;
    let mut events = rig.events().await;
    let view = rig.create("alice", "ubuntu-vscode").await.unwrap();
    assert_eq!((view.proxy_path.as_str(), view.desktop_type.as_str()), ("alice-ubuntu-vscode", "ubuntu-vscode"));
    assert_eq!((view.url.as_str(), view.owner_id.as_str()), ("/desktop/alice-ubuntu-vscode", "id-of-alice"));
    assert!(view.status.is_up(), "{:?}", view.status);
    let told = next_event(&mut events, "desktop.changed").await;
    assert_eq!(told.id, view.id);
    assert_ne!(told.data["desktop"]["status"], "stopped", "what is told begins with its start");
    assert_eq!(told.data["desktop"]["url"], "/desktop/alice-ubuntu-vscode");
    rig.until_status(&view.proxy_path, Status::Starting).await;
    assert_eq!(rig.containers_of(&view.id).len(), 1);
}

#[actix::test]
async fn the_same_type_at_the_same_instant_makes_one_desktop() {
    let rig = Rig::start(Mood::Up).await;
    let (one, other) = join(rig.create("alice", "ubuntu-vscode"), rig.create("alice", "ubuntu-vscode")).await;
    assert_eq!(one.unwrap().id, other.unwrap().id);
    // Twice the limit at the same instant: no more than the limit are made.
    let names = ["ubuntu-desktop", "ubuntu-chromium", "debian-desktop", "ubuntu-desktop"];
    let made = join_all(names.map(|name| rig.create("bob", name))).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 3, "the last is the first again");
    assert_eq!(rig.rows().len(), 3);
    rig.until_world("each has its container", |world| world.containers.len() == 3).await;
    assert_eq!(rig.engine.world.borrow().made, 3);
}

#[actix::test]
async fn paths_are_unique() {
    let rig = Rig::start(Mood::Up).await;
    let types = rig.state.ask_desktops(ListTypes).await.unwrap();
    let plain = DesktopType { name: "desktop".into(), ..types[0].clone() };
    rig.state.ask_desktops(CreateType(plain)).await.unwrap().unwrap();
    let first = rig.create("alice", "ubuntu-desktop").await.unwrap();
    let second = rig.create("alice-ubuntu", "desktop").await.unwrap();
    assert_eq!(
        (first.proxy_path.as_str(), second.proxy_path.as_str()),
        ("alice-ubuntu-desktop", "alice-ubuntu-desktop-2")
    );
    let delete = DeleteDesktop { id: first.id, home: false };
    rig.state.ask_desktops(delete).await.unwrap().unwrap();
    let again = rig.create("alice", "ubuntu-desktop").await.unwrap();
    assert_eq!(again.proxy_path, "alice-ubuntu-desktop", "it is free again");
}

#[actix::test]
async fn what_is_refused_leaves_no_row() {
    let rig = Rig::start(Mood::Up).await;
    change_type(&rig, "ubuntu-chromium", |known| DesktopType { enabled: false, ..known }).await;
    let code = async |name| rig.create("alice", name).await.map_err(|error| error.code());
    assert_eq!(code("none").await.unwrap_err(), "desktop_type_unknown");
    assert_eq!(code("ubuntu-chromium").await.unwrap_err(), "desktop_type_disabled");
    let nobody = rig.create("nobody", "ubuntu-vscode").await.unwrap_err();
    assert_eq!(nobody.code(), "user_unknown");
    assert_eq!(rig.rows(), []);
    code("ubuntu-vscode").await.unwrap();
    code("ubuntu-desktop").await.unwrap();
    assert_eq!(code("debian-desktop").await.unwrap_err(), "limit_reached");
    assert_eq!(rig.rows().len(), 2);
}

#[actix::test]
async fn one_of_a_type_that_is_switched_off_is_shown_and_not_started() {
    let rig = Rig::start(Mood::Up).await;
    let (view, _) = rig.running("alice", "ubuntu-vscode").await;
    rig.state.ask_desktops(StopDesktop(view.id.clone())).await.unwrap().unwrap();
    rig.until_status(&view.proxy_path, Status::Stopped).await;
    change_type(&rig, "ubuntu-vscode", |known| DesktopType { enabled: false, ..known }).await;
    let shown = rig.create("alice", "ubuntu-vscode").await.unwrap();
    assert_eq!((shown.id.as_str(), shown.status), (view.id.as_str(), Status::Stopped));
    let refused = rig.state.ask_desktops(StartDesktop(view.id.clone())).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), "desktop_type_disabled");
    change_type(&rig, "ubuntu-vscode", |known| DesktopType { enabled: true, ..known }).await;
    let started = rig.create("alice", "ubuntu-vscode").await.unwrap();
    assert!(started.id == view.id && started.status.is_up(), "{started:?}");
}

#[actix::test]
async fn a_row_that_the_supervisor_did_not_know_is_found() {
    let rig = Rig::start(Mood::Up).await;
    rig.database.store.run_now(|c| containers::insert(c, &container("stray", "alice", "ubuntu-vscode"))).unwrap();
    let found = rig.create("alice", "ubuntu-vscode").await.unwrap();
    assert!(found.id == "stray" && found.status.is_up(), "{found:?}");
    assert_eq!(rig.rows().len(), 1);
}
