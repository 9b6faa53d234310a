//! The catalogue of types.

use super::fake_engine::Mood;
use super::rig::{Rig, next_event};
use crate::desktop::commands::{CreateType, DeleteType, ListTypes, ReplaceType};
use crate::desktop::desktop_type::DesktopType;
use crate::error::Error;
use crate::store::testing::execute;

async fn types(rig: &Rig) -> Vec<DesktopType> {
    rig.state.ask_desktops(ListTypes).await.unwrap()
}

async fn names(rig: &Rig) -> Vec<String> {
    types(rig).await.into_iter().map(|known| known.name).collect()
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

#[actix::test]
async fn types_are_added_replaced_and_removed() {
    let rig = Rig::start(Mood::Away).await;
    let mut events = rig.events().await;
    let wanted = DesktopType { name: "web".into(), label: "Web".into(), ..types(&rig).await[0].clone() };
    let made = rig.state.ask_desktops(CreateType(wanted.clone())).await.unwrap().unwrap();
    assert!(made.id != wanted.id && made.created_at != wanted.created_at);
    assert_eq!(next_event(&mut events, "desktop_type.changed").await.id, "web");
    assert_eq!(code(rig.state.ask_desktops(CreateType(wanted.clone())).await.unwrap()), "desktop_type_exists");

    let renamed = DesktopType { name: "site".into(), id: "other".into(), created_at: 7, ..wanted.clone() };
    let replace = |name: &str, desktop_type: &DesktopType| {
        rig.state.ask_desktops(ReplaceType { name: name.into(), desktop_type: desktop_type.clone() })
    };
    let after = replace("web", &renamed).await.unwrap().unwrap();
    assert_eq!((after.id, after.created_at, after.name), (made.id, made.created_at, "site".into()));
    assert_eq!(next_event(&mut events, "desktop_type.deleted").await.id, "web");
    assert_eq!(next_event(&mut events, "desktop_type.changed").await.id, "site");
    assert_eq!(code(replace("web", &renamed).await.unwrap()), "desktop_type_unknown");
    let taken = DesktopType { name: "ubuntu-vscode".into(), ..renamed };
    assert_eq!(code(replace("site", &taken).await.unwrap()), "desktop_type_exists");
    let sorted = ["debian-desktop", "site", "ubuntu-chromium", "ubuntu-desktop", "ubuntu-vscode"];
    assert_eq!(names(&rig).await, sorted);

    let delete = |name: &str| rig.state.ask_desktops(DeleteType(name.into()));
    delete("site").await.unwrap().unwrap();
    assert_eq!(code(delete("site").await.unwrap()), "desktop_type_unknown");
    assert_eq!(names(&rig).await.len(), 4);
}

#[actix::test]
async fn a_type_in_use_stays_and_may_be_renamed() {
    let rig = Rig::start(Mood::Up).await;
    let view = rig.create("alice", "ubuntu-vscode").await.unwrap();
    assert_eq!(code(rig.state.ask_desktops(DeleteType("ubuntu-vscode".into())).await.unwrap()), "desktop_type_in_use");
    let before = types(&rig).await.into_iter().find(|known| known.name == "ubuntu-vscode").unwrap();
    let desktop_type = DesktopType { name: "code".into(), ..before };
    let replace = ReplaceType { name: "ubuntu-vscode".into(), desktop_type };
    rig.state.ask_desktops(replace).await.unwrap().unwrap();
    let after = rig.get(&view.id).await.unwrap();
    assert_eq!((after.desktop_type.as_str(), after.proxy_path.as_str()), ("code", "alice-ubuntu-vscode"));
    assert_eq!(rig.create("alice", "code").await.unwrap().id, view.id);
}

#[actix::test]
async fn a_type_that_makes_no_sense_can_be_replaced() {
    let mut rig = Rig::start(Mood::Up).await;
    let good = types(&rig).await.into_iter().find(|known| known.name == "ubuntu-vscode").unwrap();
    execute(&rig.database.store, "UPDATE desktop_types SET kind = 'vm' WHERE name = 'ubuntu-vscode'");
    let old = rig.state.desktops.borrow_and_update().clone();
    assert!(old.send(crate::tunnel::tests::Panic).await.is_err());
    rig.state.desktops.changed().await.unwrap();
    assert!(!names(&rig).await.contains(&"ubuntu-vscode".to_owned()));
    assert_eq!(code(rig.create("alice", "ubuntu-vscode").await), "desktop_type_unknown");
    let replace = ReplaceType { name: "ubuntu-vscode".into(), desktop_type: good.clone() };
    assert_eq!(rig.state.ask_desktops(replace).await.unwrap().unwrap(), good);
    rig.create("alice", "ubuntu-vscode").await.unwrap();
}
