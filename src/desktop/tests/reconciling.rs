//! A start of the server, or of the engine: what runs is adopted, what ended is started again, what is missing is gone.

use super::fake_engine::{Container, Op};
use super::rig::{Plan, Rig};
use super::{desktop_type, row};
use crate::config::DesktopConfig;
use crate::desktop::Status;
use crate::desktop::desktop_type::Names;
use crate::desktop::messages::EngineAway;
use crate::desktop::spec::{Identity, specs};
use crate::store::models::ContainerRow;

/// A desktop that an earlier server left in this status, with its container, which runs or has ended.
async fn left(status: &str, started_at: Option<i64>, runs: bool) -> Rig {
    let row = ContainerRow { container_id: Some("left".into()), started_at, ..row(status) };
    let rig = Rig::start(Plan { row, engine_up: false, password: Some("secret"), ..Plan::default() }).await;
    let row = rig.stored().unwrap();
    let names = Names { proxy_path: "alice-web", username: "alice", password: "secret" };
    let identity = Identity::new(&"0123456789abcdef".into(), &row);
    let config = DesktopConfig::for_tests();
    let (network, spec) = specs(&identity, &desktop_type(), &row, &config, &names).unwrap();
    let container = Container { spec, running: runs, exit_code: 2, out_of_memory: false };
    rig.engine
        .with(move |stock| {
            stock.networks.insert(network.name, network.subnet.to_string());
            stock.containers.insert("left".into(), container);
        })
        .await;
    rig
}

#[actix::test]
async fn what_was_ready_is_open_before_the_engine_answers_and_adopted_when_it_does() {
    let mut rig = left("ready", Some(5), true).await;
    let route = rig.changed().await.route;
    assert_eq!(route.status, Status::Ready);
    let upstream = route.upstream.clone().unwrap();
    assert_eq!(upstream.address, rig.upstream.address);
    assert_eq!(upstream.authorization, Some(crate::upstream::Upstream::basic("kasm_user", "secret")));
    rig.reconcile().await;
    rig.upstream.asked.recv().await.unwrap();
    let stock = rig.engine.stock().await;
    assert_eq!((stock.asked(Op::Create), stock.asked(Op::Start), stock.containers.len()), (0, 0, 1));
    assert!(!route.cut.is_cancelled());
    let before = rig.engine.stock().await.asked(Op::Inspect);
    rig.reconcile().await;
    assert_eq!(rig.engine.stock().await.asked(Op::Inspect), before, "an inventory that says nothing new");
    rig.ask_stop().await.unwrap();
    assert_eq!(rig.until(Status::Stopped).await, [Status::Stopping, Status::Stopped]);
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn what_was_on_its_way_goes_on() {
    let mut rig = left("starting", None, true).await;
    rig.reconcile().await;
    assert_eq!(rig.until(Status::Ready).await, [Status::Ready]);
    assert_eq!(rig.stored().unwrap().container_id.as_deref(), Some("left"));
    for (status, runs) in [("starting", false), ("creating", true)] {
        let mut rig = left(status, None, runs).await;
        if status == "creating" {
            // Of an earlier start: this one had not come so far.
            rig.database
                .store
                .run_now(|c| {
                    let row = ContainerRow { container_id: None, ..crate::store::containers::list(c)?.remove(0) };
                    crate::store::containers::update(c, &row)
                })
                .unwrap();
        }
        rig.reconcile().await;
        rig.until(Status::Ready).await;
        assert_eq!(rig.engine.stock().await.containers.len(), 1, "{status}");
    }
    for status in ["requested", "pulling"] {
        let mut rig = Rig::start(Plan { row: row(status), engine_up: false, ..Plan::default() }).await;
        rig.reconcile().await;
        rig.until(Status::Ready).await;
    }
}

#[actix::test]
async fn a_new_row_begins_by_itself_when_the_engine_is_there() {
    let mut rig = Rig::start(Plan { row: row("requested"), ..Plan::default() }).await;
    rig.ask_start().await.unwrap();
    rig.until(Status::Ready).await;
    assert_eq!(rig.engine.stock().await.asked(Op::Create), 1);
}

#[actix::test]
async fn what_ended_with_its_host_is_started_again() {
    for status in ["ready", "starting"] {
        let mut rig = left(status, Some(5), false).await;
        rig.reconcile().await;
        rig.until(Status::Ready).await;
        let stock = rig.engine.stock().await;
        assert_eq!((stock.asked(Op::Create), stock.asked(Op::Start)), (0, 1), "{status}");
    }
}

#[actix::test]
async fn what_is_missing_is_gone() {
    let mut rig = left("ready", Some(5), true).await;
    rig.engine.with(|stock| stock.containers.clear()).await;
    rig.reconcile().await;
    rig.until(Status::Gone).await;
    // The network goes right after; a deletion comes after that.
    rig.ask_delete(false).await.unwrap();
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn what_was_stopping_is_finished() {
    let mut rig = left("stopping", Some(5), true).await;
    rig.reconcile().await;
    assert_eq!(rig.until(Status::Stopped).await, [Status::Stopped]);
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn what_is_down_but_has_something_in_the_engine_is_cleared() {
    for status in ["stopped", "failed", "gone"] {
        let rig = left(status, Some(5), true).await;
        rig.reconcile().await;
        rig.ask_delete(false).await.unwrap();
        rig.assert_nothing_is_left().await;
    }
}

#[actix::test]
async fn an_engine_that_comes_back_without_what_ran_is_believed() {
    let mut rig = Rig::ready(Plan::default()).await;
    rig.container.send(EngineAway("it restarts".into())).await.unwrap();
    rig.engine.with(|stock| stock.containers.values_mut().for_each(|container| container.running = false)).await;
    assert!(!rig.last().route.cut.is_cancelled(), "its absence alone cuts nothing");
    rig.reconcile().await;
    assert_eq!(rig.until(Status::Ready).await, [Status::Starting, Status::Ready]);
}

#[actix::test]
async fn one_that_runs_and_does_not_answer_after_a_restart_is_left_to_its_owner() {
    let mut rig = left("ready", Some(5), true).await;
    rig.engine.refuse(Op::Inspect, crate::desktop::engine::EngineError::Other("try later".into())).await;
    rig.changed().await;
    rig.reconcile().await;
    rig.upstream.answers(200);
    assert_eq!(rig.stored().unwrap().status, "ready");
    assert!(!rig.last().route.cut.is_cancelled());
}
