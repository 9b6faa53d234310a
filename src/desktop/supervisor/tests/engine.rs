//! The engine comes, goes, and holds what nobody has a claim to.

use futures_util::future::join;
use std::time::Instant;

use super::fake_engine::Mood;
use super::rig::{Rig, next_event, owned};
use crate::desktop::Status;
use crate::desktop::commands::{GetLogs, ListDesktops, StartDesktop, StopDesktop};
use crate::store::models::ContainerRow;
use crate::store::testing::container;

fn up(id: &str, owner: &str, container_id: &str) -> ContainerRow {
    let (status, container_id) = (Status::Starting.as_str().into(), Some(container_id.into()));
    ContainerRow { status, container_id, ..container(id, owner, "ubuntu-vscode") }
}

#[actix::test]
async fn what_nobody_has_a_claim_to_is_removed() {
    let rig = Rig::over(Mood::Up, &[container("stopped", "bob", "ubuntu-vscode")], |_, _| {}).await;
    let (up, own) = rig.running("alice", "ubuntu-vscode").await;
    let networks: Vec<String> = rig.engine.world.borrow().networks.keys().cloned().collect();
    rig.set(Mood::Away).await;
    let installation = rig.database.store.installation_id();
    rig.engine.world.send_modify(|world| {
        for (name, whose) in [
            ("of-nobody", owned(installation, "nobody")),
            ("of-stopped", owned(installation, "stopped")),
            ("of-others", owned("another installation", "nobody")),
        ] {
            world.containers.insert(name.into(), whose.clone());
            world.networks.insert(name.into(), whose);
        }
    });
    rig.set(Mood::Up).await;
    rig.until_world("the rest is gone", |world| world.containers.len() == 2 && world.networks.len() == 2).await;
    let world = rig.engine.world.borrow();
    assert!(world.containers.keys().eq([&own, "of-others"]), "{world:?}");
    assert!(world.networks.contains_key(&networks[0]) && world.networks.contains_key("of-others"), "{world:?}");
    drop(world);
    assert_eq!(rig.get(&up.id).await.unwrap().status, Status::Starting);
}

#[actix::test]
async fn nobody_starts_what_is_being_cleaned_up() {
    let rig = Rig::over(Mood::Up, &[container("stopped", "bob", "ubuntu-vscode")], |world, own| {
        world.networks.insert("old".into(), owned(own, "stopped"));
        world.held = Some("old");
    })
    .await;
    rig.until_world("its old network is being removed", |world| world.removals > 0).await;
    let start = rig.state.ask_desktops(StartDesktop("stopped".into()));
    let look = async {
        // Others do not wait for it.
        rig.running("alice", "ubuntu-vscode").await;
        assert_eq!(rig.get("stopped").await.unwrap().status, Status::Stopped);
        rig.engine.world.send_modify(|world| world.held = None);
    };
    let (started, ()) = join(start, look).await;
    assert!(started.unwrap().unwrap().status.is_up());
    assert!(!rig.engine.world.borrow().networks.contains_key("old"));
}

#[actix::test]
async fn an_engine_that_appears_later_is_used() {
    let rig = Rig::start(Mood::Away).await;
    let refused = rig.create("alice", "ubuntu-vscode").await.unwrap_err();
    assert_eq!((refused.code(), refused.to_string().contains("it is away")), ("engine_unavailable", true));
    assert_eq!(rig.rows(), []);
    rig.set(Mood::Up).await;
    rig.create("alice", "ubuntu-vscode").await.expect("it is used");
}

#[actix::test]
async fn an_engine_that_goes_and_comes_changes_nothing_but_what_happened_meanwhile() {
    let rig = Rig::start(Mood::Up).await;
    let (lost, container) = rig.running("alice", "ubuntu-vscode").await;
    let (kept, _) = rig.running("bob", "ubuntu-vscode").await;
    rig.set(Mood::Away).await;
    let refused = rig.create("alice", "ubuntu-desktop").await.unwrap_err();
    assert_eq!(refused.code(), "engine_unavailable");
    assert_eq!(rig.get(&lost.id).await.unwrap().status, Status::Starting, "nobody knows better");
    let stop = rig.state.ask_desktops(StopDesktop(kept.id.clone())).await.unwrap();
    assert_eq!(stop.unwrap_err().code(), "engine_unavailable");
    rig.state.ask_desktops(StartDesktop(kept.id.clone())).await.unwrap().expect("it is up");
    rig.create("bob", "ubuntu-vscode").await.expect("it is there");

    let mut events = rig.events().await;
    rig.engine.world.send_modify(|world| drop(world.containers.remove(&container)));
    rig.set(Mood::Up).await;
    let changed = next_event(&mut events, "desktop.changed").await;
    assert_eq!(changed.id, lost.id);
    assert_ne!(changed.data["desktop"]["status"], "starting", "it is gone, or begins again");
    assert_eq!(rig.get(&kept.id).await.unwrap().status, Status::Starting);
    rig.state.ask_desktops(StopDesktop(kept.id)).await.unwrap().expect("the engine is used again");
}

#[actix::test]
async fn a_container_that_is_removed_by_hand_is_gone_at_once() {
    let rig = Rig::start(Mood::Up).await;
    let (view, container) = rig.running("alice", "ubuntu-vscode").await;
    let log = rig.state.ask_desktops(GetLogs(view.id.clone())).await.unwrap().unwrap();
    assert_eq!(log, format!("the log of {container}"));
    let since = Instant::now();
    rig.engine.lose(&container);
    rig.until_status(&view.proxy_path, Status::Gone).await;
    assert!(since.elapsed().as_secs() < 2);
    let started = rig.state.ask_desktops(StartDesktop(view.id.clone())).await.unwrap().unwrap();
    assert!(started.status.is_up() && started.proxy_path == view.proxy_path, "{started:?}");
}

#[actix::test]
async fn routes_are_known_before_the_engine_answers() {
    let rig = Rig::over(Mood::Hung, &[up("up", "alice", "c")], |_, _| {}).await;
    assert!(rig.state.routes.borrow().get("alice-ubuntu-vscode").is_some());
    let views = rig.state.ask_desktops(ListDesktops).await.unwrap();
    assert_eq!(views.iter().map(|view| view.id.as_str()).collect::<Vec<_>>(), ["up"]);
}

#[actix::test]
async fn the_watch_is_started_again_when_it_panics() {
    let rig = Rig::start(Mood::Panics).await;
    let view = rig.create("alice", "ubuntu-vscode").await.expect("the next watch finds the engine up");
    rig.until_status(&view.proxy_path, Status::Starting).await;
}
