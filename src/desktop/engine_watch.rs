//! EngineWatch: what the container engine does, as typed messages.
//!
//! Started by [DesktopSupervisor](super::supervisor), which it addresses and which starts another if it panics. It ends
//! with the supervisor.
//!
//! ```text
//!          ┌──────────────── EngineDown(reason), a pause ◄────────────────┐
//!          ▼                                                              │
//!        hello ──► events are followed ──► inventory: EngineUp ──► EngineSaid for each event
//!                                                                  EngineUp every minute, or when asked
//! ```
//!
//! Events are followed before the inventory is taken, so that nothing happens between the two unseen. An engine that
//! hangs is found out by asking it from time to time.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, EngineError, EngineEvent, EngineInfo, Inventory};
use super::messages::{EngineDown, EngineSaid, EngineUp};
use crate::supervision::{Backoff, ChildGuard};

/// Pauses between attempts to reach an engine that is away.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long the engine may take to say who it is.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// How long it may take to say what it has.
const INVENTORY_LIMIT: Duration = Duration::from_secs(30);
/// How often an engine that says nothing is asked whether it is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the request for events travels before the first inventory is asked for.
const SETTLE: Duration = Duration::from_millis(50);
/// The second inventory follows so soon: an engine may take its time until its events flow.
const SECOND_LOOK: Duration = Duration::from_secs(2);
/// And all others, in case an event was missed.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Events that may come while the first inventory is awaited.
const MOST_EARLY: usize = 4096;

/// Supervisor to watch: take an inventory now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LookAgain;

/// What a watch is made of.
pub struct NewWatch {
    pub engine: Arc<dyn Engine>,
    pub installation: Arc<str>,
    pub up: Recipient<EngineUp>,
    pub down: Recipient<EngineDown>,
    pub said: Recipient<EngineSaid>,
    /// Cancelled with the supervisor.
    pub end: CancellationToken,
    pub guard: ChildGuard<&'static str>,
}

/// See the module's documentation.
pub struct EngineWatch {
    watch: Arc<Watch>,
    end: CancellationToken,
    _guard: ChildGuard<&'static str>,
}

impl EngineWatch {
    pub fn new(new: NewWatch) -> Self {
        let NewWatch { engine, installation, up, down, said, end, guard } = new;
        let watch = Watch { engine, installation, up, down, said, look: Notify::new() };
        Self { watch: Arc::new(watch), end, _guard: guard }
    }
}

impl Actor for EngineWatch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (watch, end) = (self.watch.clone(), self.end.clone());
        let run = async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = watch.run() => {}
            }
        };
        ctx.spawn(run.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }
}

impl Handler<LookAgain> for EngineWatch {
    type Result = ();

    fn handle(&mut self, _: LookAgain, _: &mut Self::Context) {
        self.watch.look.notify_one();
    }
}

/// Why the engine is not followed any more.
enum Lost {
    Engine(String),
    /// The supervisor has ended.
    Supervisor,
}

impl From<EngineError> for Lost {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable(reason) => Self::Engine(reason),
            other => Self::Engine(other.to_string()),
        }
    }
}

impl From<MailboxError> for Lost {
    fn from(_: MailboxError) -> Self {
        Self::Supervisor
    }
}

/// Those who follow the engine end only when it is lost.
type Follow = Result<Infallible, Lost>;

struct Watch {
    engine: Arc<dyn Engine>,
    installation: Arc<str>,
    up: Recipient<EngineUp>,
    down: Recipient<EngineDown>,
    said: Recipient<EngineSaid>,
    look: Notify,
}

impl Watch {
    /// Until the supervisor has ended.
    async fn run(&self) {
        let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let Err(Lost::Engine(reason)) = self.follow(&mut pauses).await else { return };
            if self.down.send(EngineDown(reason)).await.is_err() {
                return;
            }
            sleep(pauses.next_pause()).await;
        }
    }

    async fn follow(&self, pauses: &mut Backoff) -> Follow {
        let info = self.hello().await?;
        let mut events = self.engine.events(&self.installation);
        let (first, early) = self.first_look(&info, &mut events).await?;
        pauses.reset();
        self.up.send(first).await?;
        for event in early {
            self.said.send(EngineSaid(event)).await?;
        }
        tokio::select! {
            lost = self.forward(events) => lost,
            lost = self.probe() => lost,
            lost = self.keep_looking(&info) => lost,
        }
    }

    async fn hello(&self) -> Result<EngineInfo, Lost> {
        let answer = timeout(HELLO_LIMIT, self.engine.hello()).await;
        Ok(answer.map_err(|_| Lost::Engine("it does not answer in time".into()))??)
    }

    async fn take_inventory(&self, info: &EngineInfo) -> Result<EngineUp, Lost> {
        let answer = timeout(INVENTORY_LIMIT, self.engine.inventory(&self.installation)).await;
        let inventory: Inventory = answer.map_err(|_| Lost::Engine("it does not say in time what it has".into()))??;
        Ok(EngineUp { info: info.clone(), inventory: Arc::new(inventory) })
    }

    /// The first inventory, and the events that came meanwhile.
    async fn first_look(
        &self,
        info: &EngineInfo,
        events: &mut BoxStream<'_, Result<EngineEvent, EngineError>>,
    ) -> Result<(EngineUp, Vec<EngineEvent>), Lost> {
        let mut look = pin!(async {
            sleep(SETTLE).await;
            self.take_inventory(info).await
        });
        let mut early = Vec::new();
        loop {
            tokio::select! {
                looked = &mut look => return Ok((looked?, early)),
                event = events.next() => early.push(expect_event(event)?),
            }
            if early.len() > MOST_EARLY {
                return Err(Lost::Engine("it says more than can be followed".into()));
            }
        }
    }

    async fn forward(&self, mut events: BoxStream<'_, Result<EngineEvent, EngineError>>) -> Follow {
        loop {
            let event = expect_event(events.next().await)?;
            self.said.send(EngineSaid(event)).await?;
        }
    }

    async fn probe(&self) -> Follow {
        loop {
            sleep(PROBE_INTERVAL).await;
            self.hello().await?;
        }
    }

    async fn keep_looking(&self, info: &EngineInfo) -> Follow {
        let mut pause = SECOND_LOOK;
        loop {
            tokio::select! {
                () = sleep(pause) => pause = LOOK_INTERVAL,
                () = self.look.notified() => {}
            }
            let up = self.take_inventory(info).await?;
            self.up.send(up).await?;
        }
    }
}

fn expect_event(event: Option<Result<EngineEvent, EngineError>>) -> Result<EngineEvent, Lost> {
    Ok(event.ok_or_else(|| Lost::Engine("its stream of events ended".into()))??)
}
