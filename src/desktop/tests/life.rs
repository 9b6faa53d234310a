//! Start, use, stop, start again, delete; deaths on the way.

use std::sync::atomic::Ordering;

use super::fake_engine::Op;
use super::rig::{Heard, Plan, Rig};
use super::{desktop_type, row};
use crate::desktop::engine::{EngineError, Happening};
use crate::desktop::{DesktopType, Status};
use crate::error::Error;
use crate::supervision::Cause;
use crate::upstream;

#[actix::test]
async fn from_nothing_to_ready_and_back() {
    let mut rig = Rig::start(Plan::default()).await;
    assert_eq!(rig.changed().await.view.status, Status::Stopped);
    rig.ask_start().await.unwrap();
    assert_ne!(rig.stored().unwrap().status, "stopped", "stored before the answer");
    let passed = rig.until(Status::Ready).await;
    assert_eq!(passed, [Status::Requested, Status::Creating, Status::Starting, Status::Ready]);
    let (route, view) = (rig.last().route.clone(), rig.last().view.clone());
    let to = route.upstream.clone().unwrap();
    assert_eq!((to.address, route.entry_path.as_str()), (rig.upstream.address, "/entry?of=alice-web"));
    assert!(view.started_at.is_some() && view.reason.is_none() && view.limits_skipped == ["pids"]);
    let stock = rig.engine.stock().await;
    let (id, made) = stock.containers.first_key_value().unwrap();
    assert_eq!(rig.stored().unwrap().container_id.as_ref(), Some(id));
    let password = &made.spec.env[0].1;
    assert_eq!(to.authorization, Some(upstream::Upstream::basic("kasm_user", password)));
    let sealed = rig.stored().unwrap().password.unwrap();
    assert!(password.len() >= 24 && !sealed.contains(password.as_str()));
    let head = rig.upstream.asked.recv().await.unwrap();
    assert!(head.starts_with("GET /entry?of=alice-web HTTP/1.1\r\n"), "{head}");
    let authorization = to.authorization.unwrap();
    assert!(head.to_ascii_lowercase().contains(&format!("authorization: {authorization}\r\n").to_ascii_lowercase()));

    rig.ask_stop().await.unwrap();
    assert!(route.cut.is_cancelled(), "cut before the answer");
    assert_eq!(rig.until(Status::Stopped).await, [Status::Stopping, Status::Stopped]);
    assert!(rig.last().route.upstream.is_none() && rig.stored().unwrap().stopped_at.is_some());
    assert_eq!(rig.engine.stock().await.asked(Op::Stop), 1);
    rig.assert_nothing_is_left().await;
    rig.ask_stop().await.unwrap();

    rig.ask_start().await.unwrap();
    rig.until(Status::Ready).await;
    assert!(!rig.last().route.cut.is_cancelled());
    assert_ne!(rig.engine.stock().await.containers.into_values().next().unwrap().spec.env[0].1, *password);
    rig.ask_delete(true).await.unwrap();
    assert!(rig.stored().is_none());
    rig.assert_nothing_is_left().await;
    let log = rig.engine.stock().await.log;
    assert!(log.contains(&(Op::RemoveVolume, "dockway-01234567-home-id-of-alice-the-type".into())));
    loop {
        if let Heard::Down(cause) = rig.hear().await {
            break assert_eq!(cause, Cause::Returned);
        }
    }
}

#[actix::test]
async fn an_image_that_is_missing_is_pulled_with_progress() {
    let mut rig = Rig::start(Plan::default()).await;
    rig.engine.with(|stock| stock.images.clear()).await;
    let pulling = rig.engine.hold(Op::Pull).await;
    rig.ask_start().await.unwrap();
    rig.until(Status::Pulling).await;
    let release = pulling.await.unwrap();
    let changed = rig.changed().await;
    let progress = changed.view.progress.unwrap();
    assert_eq!((progress.done, progress.total, changed.from), (3, 9, None));
    drop(release);
    assert_eq!(rig.until(Status::Ready).await, [Status::Creating, Status::Starting, Status::Ready]);
    assert!(rig.last().view.progress.is_none());
}

#[actix::test]
async fn ready_only_when_the_entry_is_answered_well() {
    let mut rig = Rig::start(Plan::default()).await;
    rig.upstream.answers(401);
    rig.ask_start().await.unwrap();
    rig.until(Status::Starting).await;
    for status in [401, 500, 0] {
        rig.upstream.answers(status);
        rig.upstream.asked.recv().await.unwrap();
    }
    rig.upstream.answers(302);
    rig.until(Status::Ready).await;
}

#[actix::test]
async fn the_prefix_stays_where_the_type_wants_it() {
    let desktop_type = Some(DesktopType { strip_prefix: false, ..desktop_type() });
    let mut rig = Rig::ready(Plan { desktop_type, ..Plan::default() }).await;
    let head = rig.upstream.asked.recv().await.unwrap();
    assert!(head.starts_with("GET /desktop/alice-web/entry?of=alice-web HTTP/1.1\r\n"), "{head}");
}

#[actix::test]
async fn a_stop_breaks_a_pull_off_at_once() {
    let mut rig = Rig::start(Plan::default()).await;
    rig.engine.with(|stock| stock.images.clear()).await;
    let pulling = rig.engine.hold(Op::Pull).await;
    rig.ask_start().await.unwrap();
    let mut release = pulling.await.unwrap();
    rig.ask_stop().await.unwrap();
    release.closed().await;
    assert_eq!(rig.until(Status::Stopped).await.pop(), Some(Status::Stopped));
    rig.assert_nothing_is_left().await;
    let stock = rig.engine.stock().await;
    assert_eq!((stock.asked(Op::Remove), stock.asked(Op::Create)), (0, 0), "nothing was made");
}

#[actix::test]
async fn what_a_cancelled_start_still_makes_is_removed() {
    for op in [Op::CreateNetwork, Op::Create, Op::Start] {
        let mut rig = Rig::start(Plan::default()).await;
        let held = rig.engine.hold(op).await;
        rig.ask_start().await.unwrap();
        let release = held.await.unwrap();
        rig.ask_stop().await.unwrap();
        rig.until(Status::Stopping).await;
        drop(release);
        assert_eq!(rig.until(Status::Stopped).await, [Status::Stopped], "{op:?}");
        rig.assert_nothing_is_left().await;
    }
}

#[actix::test]
async fn a_start_while_it_stops_is_remembered() {
    let mut rig = Rig::ready(Plan::default()).await;
    let held = rig.engine.hold(Op::Remove).await;
    rig.ask_stop().await.unwrap();
    let release = held.await.unwrap();
    rig.ask_start().await.unwrap();
    drop(release);
    let passed = rig.until(Status::Ready).await;
    assert_eq!(passed, [Status::Stopping, Status::Requested, Status::Creating, Status::Starting, Status::Ready]);
    let held = rig.engine.hold(Op::Remove).await;
    rig.ask_stop().await.unwrap();
    let release = held.await.unwrap();
    rig.ask_start().await.unwrap();
    rig.ask_stop().await.unwrap();
    drop(release);
    assert_eq!(rig.until(Status::Stopped).await, [Status::Stopping, Status::Stopped], "the last word counts");
}

#[actix::test]
async fn while_it_is_deleted_nothing_else_is_done() {
    let rig = Rig::ready(Plan::default()).await;
    let route = rig.last().route.clone();
    let held = rig.engine.hold(Op::Remove).await;
    let deleting = rig.container.send(crate::desktop::messages::Delete { home: false });
    let deleting = actix_rt::spawn(deleting);
    let release = held.await.unwrap();
    assert!(route.cut.is_cancelled());
    for answer in [rig.ask_start().await, rig.ask_stop().await, rig.ask_delete(false).await] {
        assert!(matches!(answer, Err(Error::DesktopUnknown(_))), "{answer:?}");
    }
    drop(release);
    deleting.await.unwrap().unwrap().unwrap();
    assert!(rig.stored().is_none());
    assert_eq!(rig.engine.stock().await.asked(Op::RemoveVolume), 0, "the home stays");
}

#[actix::test]
async fn what_ended_unasked_is_started_again_with_what_it_wrote() {
    let mut rig = Rig::ready(Plan::default()).await;
    let (id, route) = (rig.last().row.container_id.clone(), rig.last().route.clone());
    rig.tell(Happening::OutOfMemory).await;
    rig.tell(Happening::Died { exit_code: 137 }).await;
    rig.until(Status::Starting).await;
    assert!(route.cut.is_cancelled() && rig.last().route.upstream.is_none());
    assert_eq!(rig.reason(), "the container ended with exit code 137: it ran out of memory; it is started again");
    rig.until(Status::Ready).await;
    assert_eq!((rig.last().row.container_id.clone(), rig.reason().as_str()), (id, ""));
    assert_eq!(rig.engine.stock().await.asked(Op::Create), 1, "the same container");
    assert!(!rig.last().route.cut.is_cancelled());
}

#[actix::test]
async fn what_ends_again_and_again_fails_with_its_last_words() {
    let mut rig = Rig::ready(Plan::default()).await;
    let password = rig.engine.stock().await.containers.into_values().next().unwrap().spec.env[0].1.clone();
    rig.engine.with(move |stock| stock.words = format!("\u{1b}[31mpanic\u{1b}[0m with {password}\n")).await;
    for _ in 0..5 {
        rig.tell(Happening::Died { exit_code: 3 }).await;
        assert_eq!(rig.until(Status::Ready).await, [Status::Starting, Status::Ready]);
    }
    rig.tell(Happening::Died { exit_code: 3 }).await;
    rig.until(Status::Failed).await;
    let wanted = "the container ended with exit code 3, the last of 6 times within 10 minutes\npanic with ***";
    assert_eq!(rig.reason(), wanted);
    rig.assert_nothing_is_left().await;
    let log = rig.container.send(crate::desktop::messages::ReadLogs).await.unwrap().unwrap();
    assert_eq!(log, "panic with ***", "what it wrote last is kept");
}

#[actix::test]
async fn what_is_stopped_by_hand_stays_stopped() {
    // An engine tells of the cause before or after the death, or of the stop alone.
    let (killed, died) = (Happening::Killed { signal: "15".into() }, Happening::Died { exit_code: 0 });
    let orders = [[killed.clone(), died.clone()], [died.clone(), killed], [died, Happening::Stopped]];
    for order in orders {
        let mut rig = Rig::ready(Plan::default()).await;
        for news in order {
            rig.tell(news).await;
        }
        rig.until(Status::Stopped).await;
        assert_eq!(rig.reason(), "it was stopped through the container engine");
        rig.assert_nothing_is_left().await;
    }
}

#[actix::test]
async fn what_ends_with_its_engine_is_started_again_with_it() {
    let mut rig = Rig::ready(Plan::default()).await;
    let away = || EngineError::Unavailable("there is no socket".into());
    rig.engine.refuse(Op::Inspect, away()).await;
    rig.engine.refuse(Op::Start, away()).await;
    rig.engine.with(|stock| stock.containers.values_mut().for_each(|container| container.running = false)).await;
    rig.tell(Happening::Killed { signal: "15".into() }).await;
    rig.tell(Happening::Died { exit_code: 0 }).await;
    assert_eq!(rig.until(Status::Starting).await, [Status::Starting]);
    assert!(rig.reason().contains("engine was stopped"), "{}", rig.reason());
    while rig.engine.stock().await.asked(Op::Start) < 2 {
        tokio::task::yield_now().await;
    }
    rig.reconcile().await;
    assert_eq!(rig.until(Status::Ready).await, [Status::Ready]);
    let stock = rig.engine.stock().await;
    assert_eq!((stock.asked(Op::Create), stock.containers.len()), (1, 1), "the same container");
}

#[actix::test]
async fn what_is_removed_by_hand_is_gone() {
    let mut rig = Rig::ready(Plan::default()).await;
    rig.engine.with(|stock| stock.containers.clear()).await;
    rig.tell(Happening::Killed { signal: "9".into() }).await;
    rig.tell(Happening::Died { exit_code: 137 }).await;
    rig.tell(Happening::Destroyed).await;
    assert_eq!(rig.until(Status::Gone).await, [Status::Gone]);
    assert_eq!(rig.reason(), "its container was removed through the container engine");
    rig.ask_start().await.unwrap();
    rig.until(Status::Ready).await;
    rig.tell_of("container-1", Happening::Destroyed).await;
    rig.tell_of("container-1", Happening::Died { exit_code: 1 }).await;
    rig.ask_stop().await.unwrap();
    assert_eq!(rig.until(Status::Stopped).await, [Status::Stopping, Status::Stopped], "old news means nothing");
}

#[actix::test]
async fn without_the_engine_only_what_needs_none_is_done() {
    let rig = Rig::start(Plan { engine_up: false, ..Plan::default() }).await;
    assert!(matches!(rig.ask_start().await, Err(Error::EngineUnavailable(_))));
    assert!(matches!(rig.ask_delete(true).await, Err(Error::EngineUnavailable(_))));
    rig.ask_stop().await.unwrap();
    rig.ask_delete(false).await.unwrap();
    assert!(rig.stored().is_none() && rig.engine.stock().await.log.is_empty());

    let row = crate::store::models::ContainerRow { container_id: Some("c".into()), ..row("ready") };
    let mut rig = Rig::start(Plan { row, engine_up: false, ..Plan::default() }).await;
    rig.changed().await;
    for answer in [rig.ask_stop().await, rig.ask_delete(false).await] {
        assert!(matches!(answer, Err(Error::EngineUnavailable(_))), "{answer:?}");
    }
    assert!(!rig.last().route.cut.is_cancelled() && rig.stored().unwrap().status == "ready", "as it was");
}

#[actix::test]
async fn one_that_has_lost_its_supervisor_ends() {
    let rig = Rig::ready(Plan::default()).await;
    let cut = rig.last().route.cut.clone();
    rig.lose_supervisor().await;
    cut.cancelled().await;
    assert_eq!(rig.engine.stock().await.containers.len(), 1, "its container runs on");
}

#[actix::test]
async fn a_use_is_told_at_the_end() {
    let mut rig = Rig::ready(Plan::default()).await;
    rig.last().route.activity.note_access(12_345);
    assert_eq!(rig.upstream.behaviour.pictures.load(Ordering::Relaxed), 0);
    rig.ask_stop().await.unwrap();
    loop {
        if let Heard::Accessed(accessed) = rig.hear().await {
            break assert_eq!((accessed.id.as_str(), accessed.at), ("the-desktop", 12_345));
        }
    }
}
