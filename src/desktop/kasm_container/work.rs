//! One step at a time: what is being done, what is next, and what an outcome leads to.

use std::pin::Pin;

use actix::prelude::*;

use super::KasmContainer;
use super::readiness::Probed;
use super::take_down::{CleanedUp, Removal};
use crate::desktop::engine::{Created, EngineError, Inspected};
use crate::desktop::state::{Effect, Event};
use crate::error::Error;
use crate::store::models::ContainerRow;

/// The reason of a desktop that cannot be started.
const UNKNOWN_TYPE: &str = "its desktop type cannot be read from the database";

/// What is being done, and what is next.
#[derive(Default)]
pub(super) struct Work {
    /// Rises with each effect: the outcome of a step that was begun under an earlier number leads nowhere.
    generation: u64,
    next: Option<Effect>,
    busy: Option<Busy>,
    /// Why the start is given up, for the step that cleans up.
    pub failure: Option<Failure>,
    pub removal: Removal,
}

/// A step that runs.
struct Busy {
    effect: Effect,
    handle: SpawnHandle,
}

impl Work {
    /// The database is being written by a step.
    pub fn is_reserving(&self) -> bool {
        self.busy.as_ref().is_some_and(|busy| busy.effect == Effect::Reserve)
    }

    /// Whether this is being done, or is next.
    pub fn is_about(&self, effects: &[Effect]) -> bool {
        let busy = self.busy.as_ref().filter(|_| self.next.is_none()).map(|busy| busy.effect);
        self.next.or(busy).is_some_and(|effect| effects.contains(&effect))
    }

    pub fn is_idle(&self) -> bool {
        self.next.is_none() && self.busy.is_none()
    }

    /// Nothing is to be done after all.
    pub fn forget(&mut self) {
        self.generation += 1;
        self.next = None;
    }
}

/// Why a start is given up.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// In words for people.
    Said(String),
    /// The container ended by itself.
    Ended {
        exit_code: i64,
        out_of_memory: bool,
        /// How often within the window, if that is why.
        deaths: Option<usize>,
    },
}

/// What a step has come to.
pub(super) enum Outcome {
    Reserved(Result<Box<Reserved>, String>),
    Image(Result<bool, String>),
    Pulled(Result<(), String>),
    Created(Result<Created, Refusal>),
    Started(Result<(), Refusal>),
    Probed(Probed),
    Looked(Result<Option<Inspected>, EngineError>),
    CleanedUp(CleanedUp),
    TakenDown(Result<(), EngineError>),
    PauseOver,
    LeftoversRemoved(Result<(), EngineError>),
    Erased(Result<(), Error>),
}

/// The row as it is stored, and the password in it.
pub(super) struct Reserved {
    pub row: ContainerRow,
    pub password: String,
}

/// Why a container was not made, or not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Somebody else has the port or the network; the next one is tried.
    Taken(EngineError),
    /// The engine does not answer; why.
    Away(String),
    /// In words for people.
    Said(String),
}

pub(super) type Task = Pin<Box<dyn Future<Output = Outcome>>>;

/// Nothing has to be waited for.
pub(super) fn at_once(outcome: Outcome) -> Task {
    Box::pin(std::future::ready(outcome))
}

impl KasmContainer {
    /// Have this done next, in the place of what is being done.
    pub(super) fn ask(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        self.work.generation += 1;
        self.work.next = Some(effect);
        if let Some(busy) = self.work.busy.take_if(|busy| busy.effect.may_be_dropped()) {
            ctx.cancel_future(busy.handle);
        }
    }

    /// Begin the next step, unless another has to end first.
    pub(super) fn perform_next(&mut self, ctx: &mut Context<Self>) {
        if self.work.busy.is_some() {
            return;
        }
        let Some(effect) = self.work.next.take() else { return };
        let generation = self.work.generation;
        let task = self.task(effect, ctx).into_actor(self);
        let handle = ctx.spawn(task.map(move |outcome, container, ctx| container.ended(generation, outcome, ctx)));
        self.work.busy = Some(Busy { effect, handle });
    }

    fn task(&mut self, effect: Effect, ctx: &mut Context<Self>) -> Task {
        match (effect, self.desktop_type.clone()) {
            (Effect::Reserve, Some(_)) => self.reserve(),
            (Effect::LookForImage, Some(known)) => self.look_for_image(&known),
            (Effect::Pull, Some(known)) => self.pull(&known, ctx),
            (Effect::Create, Some(known)) => self.create_container(&known),
            (Effect::Probe, Some(known)) => self.probe(&known),
            (Effect::Probe, None) => at_once(Outcome::Probed(Probed::Unanswered(UNKNOWN_TYPE.to_owned()))),
            (Effect::Reserve | Effect::LookForImage | Effect::Pull | Effect::Create, None) => {
                at_once(Outcome::Image(Err(UNKNOWN_TYPE.to_owned())))
            }
            (Effect::StartContainer, _) => self.start_container(None),
            (Effect::Restart, _) => self.restart_container(),
            (Effect::LookAgain, _) => self.look_again(),
            (Effect::CleanUp, _) => self.clean_up(),
            (Effect::TakeDown, _) => self.take_down(),
            (Effect::TakeDownLater, _) => self.pause_take_down(),
            (Effect::RemoveLeftovers, _) => self.remove_leftovers(),
            (Effect::Erase, _) => self.erase(),
        }
    }

    fn ended(&mut self, generation: u64, outcome: Outcome, ctx: &mut Context<Self>) {
        self.work.busy = None;
        self.learn(&outcome);
        if generation == self.work.generation {
            self.react(outcome, ctx);
        }
        self.advance(ctx);
    }

    /// What is true whether or not anybody still wants it.
    fn learn(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Reserved(Ok(reserved)) => {
                let Reserved { row, password } = &**reserved;
                self.saving.has_stored(row);
                self.row.host_port = row.host_port;
                self.row.subnet.clone_from(&row.subnet);
                self.row.password.clone_from(&row.password);
                self.password = Some(password.clone());
            }
            Outcome::Created(Ok(created)) => {
                self.row.container_id = Some(created.container_id.clone());
                self.limits_skipped.clone_from(&created.limits_skipped);
                self.joined = true;
            }
            Outcome::Looked(Ok(_)) => self.has_joined(),
            Outcome::Started(Ok(())) => self.looked = true,
            Outcome::CleanedUp(CleanedUp { all, .. }) => self.holds = !all,
            Outcome::TakenDown(Ok(())) | Outcome::LeftoversRemoved(Ok(())) => self.holds = false,
            _ => {}
        }
    }

    fn react(&mut self, outcome: Outcome, ctx: &mut Context<Self>) {
        match outcome {
            Outcome::Reserved(Ok(_)) => self.happen(Event::Reserved, ctx),
            Outcome::Image(Ok(true)) | Outcome::Pulled(Ok(())) => self.happen(Event::ImageHere, ctx),
            Outcome::Image(Ok(false)) => self.happen(Event::ImageMissing, ctx),
            Outcome::Created(Ok(_)) => self.happen(Event::Created, ctx),
            Outcome::Started(Ok(())) => self.happen(Event::Started, ctx),
            Outcome::Created(Err(refusal)) | Outcome::Started(Err(refusal)) => self.refused(refusal, ctx),
            Outcome::Reserved(Err(said)) | Outcome::Image(Err(said)) | Outcome::Pulled(Err(said)) => {
                self.give_up(Failure::Said(said), ctx);
            }
            Outcome::Probed(probed) => self.probed(probed, ctx),
            Outcome::Looked(found) => self.looked(found, ctx),
            Outcome::CleanedUp(CleanedUp { reason, .. }) => {
                self.row.reason = Some(reason);
                self.happen(Event::CleanedUp, ctx);
            }
            Outcome::TakenDown(result) => self.taken_down(result, ctx),
            Outcome::PauseOver => self.ask(Effect::TakeDown, ctx),
            // What is left is found by the next inventory.
            Outcome::LeftoversRemoved(_) => {}
            Outcome::Erased(result) => self.erased(result, ctx),
        }
    }

    /// Remove all that was made for this start, and say why.
    pub(super) fn give_up(&mut self, failure: Failure, ctx: &mut Context<Self>) {
        tracing::warn!(desktop = self.row.id, ?failure, "the desktop is given up");
        self.work.failure = Some(failure);
        self.happen(Event::GaveUp, ctx);
    }
}
