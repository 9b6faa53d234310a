//! What the engine says of the container: deaths, removals, and how everything stands after an absence.

use std::time::{Duration, Instant};

use actix::prelude::*;

use super::KasmContainer;
use super::work::Failure;
use crate::desktop::Status;
use crate::desktop::engine::{EngineError, Happening, Inventory};
use crate::desktop::messages::{EngineAway, Reconcile, Told};
use crate::desktop::state::{Effect, Event};
use crate::supervision::{Backoff, Cause, Intensity, Restart};

/// A container that ends unasked is started again this often within [`RESTART_WINDOW`].
const RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(10 * 60);
/// The pauses before that.
const FIRST_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1000 });
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An end so soon after a signal through the engine was meant by whoever sent it.
const SIGNAL_WINDOW: Duration = Duration::from_secs(60);
/// The reason of a desktop whose engine was stopped.
const WITH_ENGINE: &str = "the container engine was stopped; the desktop is started again with it";
/// The reason of a desktop that was stopped by hand.
const BY_HAND: &str = "it was stopped through the container engine";

/// Ends that nobody asked for.
pub(super) struct Deaths {
    intensity: Intensity,
    pauses: Backoff,
    last: Option<Instant>,
    /// When somebody last sent it a signal.
    signalled: Option<Instant>,
    out_of_memory: bool,
}

impl Default for Deaths {
    fn default() -> Self {
        Self {
            intensity: Intensity::new(RESTARTS, RESTART_WINDOW),
            pauses: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            last: None,
            signalled: None,
            out_of_memory: false,
        }
    }
}

impl Deaths {
    /// The pause before the next restart, which has nothing to do with what was said of the last run.
    pub fn next_pause(&mut self) -> Duration {
        self.signalled = None;
        self.out_of_memory = false;
        self.pauses.next_pause()
    }

    fn was_by_hand(&self, now: Instant) -> bool {
        self.signalled.is_some_and(|at| now - at <= SIGNAL_WINDOW)
    }

    /// Count one; what ran well for long starts with short pauses again.
    fn count(&mut self, now: Instant) -> Restart {
        if self.last.is_some_and(|last| now - last >= RESTART_WINDOW) {
            self.pauses.reset();
        }
        self.last = Some(now);
        self.intensity.decide(&Cause::Failed(String::new()), now)
    }
}

impl KasmContainer {
    /// The container ended, and nobody here wanted that.
    pub(super) fn died(&mut self, exit_code: i64, out_of_memory: bool, ctx: &mut Context<Self>) {
        let out_of_memory = out_of_memory || self.deaths.out_of_memory;
        if self.row.started_at.is_none() {
            return self.give_up(Failure::Ended { exit_code, out_of_memory, deaths: None }, ctx);
        }
        if self.deaths.count(Instant::now()) == Restart::GiveUp {
            return self.give_up(Failure::Ended { exit_code, out_of_memory, deaths: Some(RESTARTS + 1) }, ctx);
        }
        let how = ended(exit_code, out_of_memory);
        tracing::warn!(desktop = self.row.id, exit_code, out_of_memory, "the container ended: it is started again");
        self.row.reason = Some(format!("{how}; it is started again"));
        self.happen(Event::Died, ctx);
    }

    /// Somebody stopped it through the engine, or is removing it; or it was the engine itself, which is about to end and
    /// takes no more calls.
    fn ended_by_hand(&mut self, ctx: &mut Context<Self>) {
        let (engine, network) = (self.means.engine.clone(), self.identity().network());
        let ended = self.row.container_id.clone().unwrap_or_default();
        let asked = async move {
            let found = engine.inspect(&ended, &network).await;
            (found, ended)
        };
        ctx.spawn(asked.into_actor(self).map(|(found, ended), container, ctx| {
            let is_settled = !matches!(container.status(), Status::Starting | Status::Ready);
            if is_settled || container.row.container_id.as_ref() != Some(&ended) {
                return;
            }
            match found {
                Ok(None) => container.removed(Event::Destroyed, ctx),
                Ok(Some(found)) if found.removing => container.removed(Event::Destroyed, ctx),
                Err(EngineError::Unavailable(_)) => {
                    container.row.reason = Some(WITH_ENGINE.to_owned());
                    container.happen(Event::Died, ctx);
                }
                _ => {
                    container.row.reason = Some(BY_HAND.to_owned());
                    container.happen(Event::EndedByHand, ctx);
                }
            }
        }));
    }

    fn said(&mut self, what: &Happening, ctx: &mut Context<Self>) {
        let now = Instant::now();
        match *what {
            Happening::OutOfMemory => self.deaths.out_of_memory = true,
            Happening::Killed { .. } => {
                self.deaths.signalled = Some(now);
                // The engine may tell of the death before it tells of its cause.
                if self.work.is_about(&[Effect::Restart]) {
                    self.ended_by_hand(ctx);
                }
            }
            Happening::Stopped => self.ended_by_hand(ctx),
            Happening::Destroyed => self.removed(Event::Destroyed, ctx),
            Happening::Died { .. } if self.deaths.was_by_hand(now) => self.ended_by_hand(ctx),
            // That death is known already, or the look after the start will find it.
            Happening::Died { .. } if self.work.is_about(&[Effect::StartContainer, Effect::Restart]) => {}
            Happening::Died { exit_code } => self.died(exit_code, false, ctx),
            Happening::Started | Happening::Healthy(_) => {}
        }
    }

    /// Ask the engine how the desktop is, or finish what was begun.
    pub(super) fn look(&mut self, ctx: &mut Context<Self>) {
        if self.status() == Status::Stopping {
            return self.hurry(ctx);
        }
        // Every other step finds out by itself.
        if self.work.is_idle() || self.work.is_about(&[Effect::Probe]) {
            self.ask(Effect::LookAgain, ctx);
            self.advance(ctx);
        }
    }

    fn is_as_known(&self, inventory: &Inventory) -> bool {
        let own = self.row.container_id.as_ref();
        self.looked && inventory.containers.iter().any(|found| found.running && own == Some(&found.container_id))
    }

    fn is_found_in(&self, inventory: &Inventory) -> bool {
        let containers = inventory.containers.iter().map(|found| &found.desktop_id);
        let mut all = containers.chain(inventory.networks.iter().map(|found| &found.desktop_id));
        all.any(|desktop_id| *desktop_id == self.row.id)
    }
}

/// `the container ended with exit code 1`
pub(super) fn ended(exit_code: i64, out_of_memory: bool) -> String {
    let why = if out_of_memory { ": it ran out of memory" } else { "" };
    format!("the container ended with exit code {exit_code}{why}")
}

impl Handler<Told> for KasmContainer {
    type Result = ();

    fn handle(&mut self, Told(event): Told, ctx: &mut Self::Context) {
        let is_own = self.row.container_id.as_ref() == Some(&event.container_id);
        if is_own && matches!(self.status(), Status::Starting | Status::Ready) {
            self.said(&event.what, ctx);
        }
    }
}

impl Handler<Reconcile> for KasmContainer {
    type Result = ();

    fn handle(&mut self, Reconcile(inventory): Reconcile, ctx: &mut Self::Context) {
        self.engine_up = true;
        if self.is_deleting() {
            return;
        }
        let is_down = self.status().may_start();
        if is_down && self.is_found_in(&inventory) && self.work.is_idle() {
            self.holds = true;
            return self.happen(Event::FoundEnded, ctx);
        }
        if !is_down && !self.is_as_known(&inventory) {
            self.look(ctx);
        }
    }
}

impl Handler<EngineAway> for KasmContainer {
    type Result = ();

    fn handle(&mut self, EngineAway(reason): EngineAway, _: &mut Self::Context) {
        tracing::debug!(desktop = self.row.id, reason, "the engine is away");
        self.engine_up = false;
        self.looked = false;
        // A container that was started again has kept its networks.
        self.has_joined();
    }
}
