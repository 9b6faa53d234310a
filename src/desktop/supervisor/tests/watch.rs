//! EngineWatch by itself, on a clock that runs as fast as nothing happens.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::mpsc;
use tokio::time::{Instant, pause, timeout};
use tokio_util::sync::CancellationToken;

use super::fake_engine::{FakeEngine, Mood};
use crate::desktop::engine::{EngineEvent, Happening};
use crate::desktop::engine_watch::{EngineWatch, LookAgain, NewWatch};
use crate::desktop::messages::{EngineDown, EngineSaid, EngineUp};
use crate::supervision::ChildGuard;

/// What a supervisor is told.
#[derive(Debug, PartialEq)]
enum News {
    Up,
    Down(String),
    Said(String),
}

struct Supervisor(mpsc::Sender<News>);

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Handler<EngineUp> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: EngineUp, _: &mut Self::Context) {
        self.0.try_send(News::Up).unwrap();
    }
}

impl Handler<EngineDown> for Supervisor {
    type Result = ();

    fn handle(&mut self, EngineDown(reason): EngineDown, _: &mut Self::Context) {
        self.0.try_send(News::Down(reason)).unwrap();
    }
}

impl Handler<EngineSaid> for Supervisor {
    type Result = ();

    fn handle(&mut self, EngineSaid(event): EngineSaid, _: &mut Self::Context) {
        self.0.try_send(News::Said(event.container_id)).unwrap();
    }
}

struct Rig {
    engine: Arc<FakeEngine>,
    watch: Addr<EngineWatch>,
    news: mpsc::Receiver<News>,
    end: CancellationToken,
}

fn start(mood: Mood) -> Rig {
    pause();
    let (sender, news) = mpsc::channel(64);
    let (supervisor, engine) = (Supervisor(sender).start(), Arc::new(FakeEngine::new(mood)));
    let end = CancellationToken::new();
    let watch = EngineWatch::new(NewWatch {
        engine: engine.clone(),
        installation: "own".into(),
        up: supervisor.clone().recipient(),
        down: supervisor.clone().recipient(),
        said: supervisor.recipient(),
        end: end.clone(),
        guard: ChildGuard::detached(),
    });
    Rig { engine, watch: watch.start(), news, end }
}

impl Rig {
    /// What it is told next, and how long that took.
    async fn next(&mut self) -> (News, Duration) {
        let since = Instant::now();
        let news = timeout(Duration::from_secs(600), self.news.recv()).await.expect("it is told").unwrap();
        (news, since.elapsed())
    }
}

fn event(container: &str) -> EngineEvent {
    EngineEvent { container_id: container.into(), desktop_id: "d".into(), what: Happening::Started }
}

#[actix::test]
async fn what_happens_while_the_first_inventory_is_taken_is_told_after_it() {
    let mut rig = start(Mood::Up);
    while rig.engine.listeners() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.engine.world.borrow().inventories, 0, "events are followed first");
    rig.engine.say(event("early"));
    assert_eq!(rig.next().await.0, News::Up);
    rig.engine.say(event("late"));
    assert_eq!(rig.next().await.0, News::Said("early".into()));
    assert_eq!(rig.next().await.0, News::Said("late".into()));
}

#[actix::test]
async fn an_engine_that_goes_is_told_of_and_looked_for() {
    let mut rig = start(Mood::Up);
    assert_eq!(rig.next().await.0, News::Up);
    rig.engine.set(Mood::Away);
    assert_eq!(rig.next().await, (News::Down("it went away".into()), Duration::ZERO));
    for _ in 0..20 {
        let (news, pause) = rig.next().await;
        assert_eq!(news, News::Down("it is away".into()));
        assert!(pause < Duration::from_secs(2), "{pause:?}");
    }
    rig.engine.set(Mood::Up);
    let (news, pause) = rig.next().await;
    assert!(news == News::Up && pause < Duration::from_secs(2), "{news:?} {pause:?}");
    rig.engine.set(Mood::Away);
    assert_eq!(rig.next().await.0, News::Down("it went away".into()));
    let (_, pause) = rig.next().await;
    assert!(pause < Duration::from_secs(1), "it begins with short pauses again: {pause:?}");
}

#[actix::test]
async fn an_engine_that_hangs_is_found_out() {
    let mut rig = start(Mood::Up);
    assert_eq!((rig.next().await.0, rig.next().await.0), (News::Up, News::Up));
    rig.engine.set(Mood::Hung);
    let (news, took) = rig.next().await;
    assert_eq!(news, News::Down("it does not answer in time".into()));
    assert!(took <= Duration::from_secs(16), "{took:?}");
    assert_eq!(rig.next().await.0, News::Down("it does not answer in time".into()));
    rig.engine.set(Mood::Up);
    while rig.next().await.0 != News::Up {}
}

#[actix::test]
async fn inventories_are_taken_again_and_when_asked() {
    let mut rig = start(Mood::Up);
    assert_eq!(rig.next().await.0, News::Up);
    let (second, soon) = rig.next().await;
    assert!(second == News::Up && soon <= Duration::from_millis(2100), "{soon:?}");
    let (third, later) = rig.next().await;
    assert!(third == News::Up && later > Duration::from_secs(50), "{later:?}");
    rig.watch.send(LookAgain).await.unwrap();
    assert_eq!(rig.next().await, (News::Up, Duration::ZERO));
}

#[actix::test]
async fn it_ends_with_its_supervisor() {
    let mut rig = start(Mood::Up);
    assert_eq!(rig.next().await.0, News::Up);
    rig.end.cancel();
    assert!(rig.news.recv().await.is_none(), "nobody holds the supervisor any more");
    assert!(!rig.watch.connected());
}
