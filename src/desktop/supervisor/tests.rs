//! The supervisor over a database of its own, with an engine that does as it is told.

mod accesses;
mod catalogue;
mod creation;
mod engine;
mod fake_engine;
mod life;
mod rig;
mod watch;

use actix::prelude::*;

use super::DesktopSupervisor;
use super::engine::EngineState;
use crate::desktop::kasm_container::KasmContainer;
use crate::tunnel::tests::Panic;

/// Let the KasmContainer of this desktop panic.
#[derive(Message)]
#[rtype(result = "()")]
struct PanicOf(String);

/// Answered once the supervisor takes the engine for up, or for down.
#[derive(Message)]
#[rtype(result = "()")]
struct UntilEngine(bool);

impl Handler<UntilEngine> for DesktopSupervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, UntilEngine(up): UntilEngine, _: &mut Self::Context) -> Self::Result {
        let mut engine = self.engine.subscribe();
        Box::pin(async move {
            let known = engine.wait_for(|state| match state {
                EngineState::Unknown => false,
                EngineState::Up => up,
                EngineState::Down(_) => !up,
            });
            drop(known.await.unwrap());
        })
    }
}

impl Handler<Panic> for DesktopSupervisor {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test asked the supervisor to");
    }
}

impl Handler<Panic> for KasmContainer {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test asked the container to");
    }
}

impl Handler<PanicOf> for DesktopSupervisor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, PanicOf(id): PanicOf, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.child_of(&id).then(|child, supervisor, _| {
            async move { assert!(child.unwrap().send(Panic).await.is_err(), "it panicked") }.into_actor(supervisor)
        }))
    }
}
