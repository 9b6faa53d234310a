//! Whatever fails at whichever step: the reason is told and nothing is left behind.

use std::time::Duration;

use super::desktop_type;
use super::fake_engine::Op;
use super::rig::{Plan, Rig};
use crate::desktop::engine::EngineError;
use crate::desktop::{DesktopType, Status};
use crate::error::Error;
use crate::store::testing::execute;

fn other(text: &str) -> EngineError {
    EngineError::Other(text.into())
}

#[actix::test]
async fn a_refusal_at_each_step_is_told_in_the_engines_words() {
    for op in [Op::HasImage, Op::Pull, Op::CreateNetwork, Op::Create, Op::Start] {
        let mut rig = Rig::start(Plan::default()).await;
        if op == Op::Pull {
            rig.engine.with(|stock| stock.images.clear()).await;
        }
        rig.engine.refuse(op, other("no space left on device")).await;
        rig.ask_start().await.unwrap();
        rig.until(Status::Failed).await;
        assert!(rig.reason().contains("no space left on device"), "{op:?}: {}", rig.reason());
        rig.assert_nothing_is_left().await;
        rig.ask_start().await.unwrap();
        rig.until(Status::Ready).await;
    }
}

#[actix::test]
async fn an_engine_that_goes_away_in_the_middle_leaves_what_the_next_look_removes() {
    for op in [Op::CreateNetwork, Op::Create, Op::Start, Op::Inspect] {
        let mut rig = Rig::start(Plan::default()).await;
        let held = rig.engine.hold(op).await;
        rig.ask_start().await.unwrap();
        let release = held.await.unwrap();
        let away = || EngineError::Unavailable("connection refused".into());
        for failing in [op, Op::Remove, Op::Logs] {
            rig.engine.refuse(failing, away()).await;
        }
        drop(release);
        rig.until(Status::Failed).await;
        assert!(rig.reason().contains("connection refused"), "{op:?}: {}", rig.reason());
        let row = rig.stored().unwrap();
        assert_eq!((row.host_port, row.subnet, row.password, row.container_id), (None, None, None, None));
        if matches!(op, Op::Start | Op::Inspect) {
            assert_eq!(rig.engine.stock().await.containers.len(), 1, "{op:?}");
            assert!(matches!(rig.engine_gone_delete().await, Err(Error::EngineUnavailable(_))), "{op:?}");
        }
        rig.reconcile().await;
        rig.ask_start().await.unwrap();
        rig.until(Status::Ready).await;
        assert_eq!(rig.engine.stock().await.containers.len(), 1, "{op:?}");
    }
}

impl Rig {
    async fn engine_gone_delete(&self) -> Result<(), Error> {
        self.container.send(crate::desktop::messages::EngineAway("gone".into())).await.unwrap();
        self.ask_delete(false).await
    }
}

#[actix::test]
async fn a_port_that_is_taken_gives_way_to_the_next() {
    let mut rig = Rig::start(Plan { ports: 4, ..Plan::default() }).await;
    let first = rig.upstream.address.port();
    // Every port but the upstream's is refused, however many times it takes to come to that.
    rig.engine.with(move |stock| stock.taken_ports = (first + 1..=first + 3).collect()).await;
    rig.ask_start().await.unwrap();
    rig.until(Status::Ready).await;
    assert_eq!(rig.stored().unwrap().host_port, Some(first.into()));
    assert_eq!(rig.engine.stock().await.containers.len(), 1);
    rig.ask_stop().await.unwrap();
    rig.until(Status::Stopped).await;
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn when_every_port_is_taken_that_is_said() {
    let mut rig = Rig::start(Plan { ports: 3, ..Plan::default() }).await;
    let first = rig.upstream.address.port();
    rig.engine.with(move |stock| stock.taken_ports = (first..=first + 2).collect()).await;
    rig.ask_start().await.unwrap();
    rig.until(Status::Failed).await;
    assert_eq!(rig.reason(), format!("no port left in {first}-{}", first + 2));
    assert_eq!(rig.engine.stock().await.asked(Op::Start), 3);
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn a_network_that_overlaps_gives_way_to_the_next() {
    let mut rig = Rig::start(Plan::default()).await;
    let taken = "10.0.0.0/8".parse().unwrap();
    for _ in 0..3 {
        rig.engine.refuse(Op::CreateNetwork, EngineError::SubnetTaken(taken)).await;
    }
    rig.ask_start().await.unwrap();
    rig.until(Status::Ready).await;
    assert_eq!(rig.engine.stock().await.asked(Op::CreateNetwork), 4);
    let networks = rig.engine.stock().await.networks;
    assert_eq!(networks.into_values().next(), rig.stored().unwrap().subnet);
}

#[actix::test]
async fn names_left_by_an_earlier_start_are_taken_over() {
    let mut rig = Rig::start(Plan::default()).await;
    let taken = || EngineError::NameTaken("in use".into());
    rig.engine.refuse(Op::CreateNetwork, taken()).await;
    rig.engine.refuse(Op::Create, taken()).await;
    rig.ask_start().await.unwrap();
    rig.until(Status::Ready).await;
}

#[actix::test]
async fn one_that_dies_before_it_was_ready_fails() {
    let mut rig = Rig::start(Plan::default()).await;
    rig.engine
        .with(|stock| {
            stock.dies_at_start = Some(127);
            stock.words = (0..30).map(|n| format!("line {n}\n")).collect();
        })
        .await;
    rig.ask_start().await.unwrap();
    rig.until(Status::Failed).await;
    let reason = rig.reason();
    assert!(reason.starts_with("the container ended with exit code 127\nline 10\n"), "{reason}");
    assert!(reason.ends_with("line 29"), "{reason}");
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn one_that_never_answers_fails_with_what_was_wrong() {
    let mut rig = Rig::start(Plan { ready_limit: Duration::from_millis(300), ..Plan::default() }).await;
    rig.upstream.answers(401);
    rig.engine.with(|stock| stock.words = "waiting for a display\n".into()).await;
    rig.ask_start().await.unwrap();
    rig.until(Status::Failed).await;
    let wanted = "the desktop did not answer well within 0.3 s: it answers with the status 401\nwaiting for a display";
    assert_eq!(rig.reason(), wanted);
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn a_pull_has_a_limit() {
    let mut rig = Rig::start(Plan { pull_limit: Duration::from_millis(100), ..Plan::default() }).await;
    rig.engine.with(|stock| stock.images.clear()).await;
    let held = rig.engine.hold(Op::Pull).await;
    rig.ask_start().await.unwrap();
    let mut release = held.await.unwrap();
    rig.until(Status::Failed).await;
    release.closed().await;
    assert_eq!(rig.reason(), "the image example/web:1 was not pulled within 0.1 s");
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn a_container_that_cannot_be_removed_is_tried_again() {
    let mut rig = Rig::ready(Plan::default()).await;
    rig.engine.refuse(Op::Remove, other("device or resource busy")).await;
    rig.ask_stop().await.unwrap();
    rig.until(Status::Stopping).await;
    rig.changed().await;
    assert!(rig.reason().contains("device or resource busy"), "{}", rig.reason());
    rig.until(Status::Stopped).await;
    assert_eq!(rig.reason(), "");
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn a_deletion_that_fails_is_told_and_can_be_had_again() {
    let mut rig = Rig::ready(Plan::default()).await;
    rig.engine.refuse(Op::Remove, other("device or resource busy")).await;
    let refused = rig.ask_delete(false).await;
    assert!(matches!(&refused, Err(Error::EngineUnavailable(said)) if said.contains("busy")), "{refused:?}");
    rig.until(Status::Stopped).await;
    rig.engine.refuse(Op::RemoveVolume, other("volume is in use")).await;
    let refused = rig.ask_delete(true).await;
    assert!(matches!(&refused, Err(Error::EngineUnavailable(said)) if said.contains("in use")), "{refused:?}");
    assert_eq!(rig.stored().unwrap().status, "stopped");
    rig.ask_delete(true).await.unwrap();
    assert!(rig.stored().is_none());
}

#[actix::test]
async fn a_start_that_is_not_stored_does_not_begin() {
    let mut rig = Rig::start(Plan::default()).await;
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON containers BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END";
    execute(&rig.database.store, refuse);
    assert!(matches!(rig.ask_start().await, Err(Error::Unavailable(_))));
    assert_eq!(rig.stored().unwrap().status, "stopped");
    assert!(rig.engine.stock().await.log.is_empty());
    execute(&rig.database.store, "DROP TRIGGER refuse");
    rig.ask_start().await.unwrap();
    rig.until(Status::Ready).await;
}

#[actix::test]
async fn a_stop_that_is_not_stored_cuts_at_once_and_goes_on_when_it_is() {
    let mut rig = Rig::ready(Plan::default()).await;
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON containers BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END";
    execute(&rig.database.store, refuse);
    assert!(matches!(rig.ask_stop().await, Err(Error::Unavailable(_))));
    assert!(rig.last().route.cut.is_cancelled());
    assert_eq!(rig.engine.stock().await.asked(Op::Stop), 0, "stored first");
    execute(&rig.database.store, "DROP TRIGGER refuse");
    rig.until(Status::Stopped).await;
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn a_type_that_cannot_be_read_fails_only_what_needs_it() {
    let row = crate::store::models::ContainerRow { container_id: None, ..super::row("requested") };
    let mut rig = Rig::start(Plan { row, desktop_type: None, ..Plan::default() }).await;
    rig.until(Status::Failed).await;
    assert_eq!(rig.reason(), "its desktop type cannot be read from the database");
    rig.ask_start().await.unwrap();
    rig.until(Status::Ready).await;
    let known: DesktopType = desktop_type();
    assert_eq!(rig.last().view.desktop_type, known.name, "the start brought it along");
}
