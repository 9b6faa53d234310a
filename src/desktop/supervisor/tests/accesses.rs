//! When desktops were last used, and warnings before they stop.

use super::fake_engine::Mood;
use super::rig::{Rig, next_event};
use crate::desktop::commands::Flush;
use crate::desktop::messages::{Accessed, IdleWarning};

#[actix::test]
async fn uses_are_stored_at_the_end() {
    let rig = Rig::start(Mood::Up).await;
    let (one, _) = rig.running("alice", "ubuntu-vscode").await;
    let (other, _) = rig.running("bob", "ubuntu-vscode").await;
    for (id, at) in [(&one.id, 500), (&one.id, 300), (&"nobody".to_owned(), 900)] {
        rig.state.ask_desktops(Accessed { id: id.clone(), at }).await.unwrap();
    }
    rig.state.routes.borrow().get(&other.proxy_path).unwrap().activity.note_access(700);
    assert_eq!(rig.row(&one.id).unwrap().last_accessed, None, "not one by one");
    rig.state.ask_desktops(Flush).await.unwrap();
    assert_eq!(rig.row(&one.id).unwrap().last_accessed, Some(500));
    assert_eq!(rig.row(&other.id).unwrap().last_accessed, Some(700), "what the gateway saw last");
}

#[actix::test]
async fn idle_desktops_are_warned_of() {
    let rig = Rig::start(Mood::Up).await;
    let view = rig.create("alice", "ubuntu-vscode").await.unwrap();
    let mut events = rig.events().await;
    rig.state.ask_desktops(IdleWarning { id: "nobody".into(), stop_at: 0 }).await.unwrap();
    rig.state.ask_desktops(IdleWarning { id: view.id.clone(), stop_at: 1500 }).await.unwrap();
    let event = next_event(&mut events, "desktop.idle").await;
    assert_eq!(
        (event.id.as_str(), event.data["stop_at"].as_str()),
        (view.id.as_str(), Some("1970-01-01T00:00:01.500Z"))
    );
}
