//! The life of a desktop, as a pure machine: a state and an event give the next state and what to do.
//!
//! ```text
//!   Start ┌───────────┐ ImageMissing ┌─────────┐
//!   ─────►│ requested ├─────────────►│ pulling │
//!         └─────┬──▲──┘              └────┬────┘
//!     ImageHere │  │ FoundNothing*        │ ImageHere
//!         ┌─────▼──┴──┐                   │
//!         │ creating  │◄──────────────────┘
//!         └─────┬──▲──┘
//!       Created │  │ RangeTaken
//!         ┌─────▼──┴──┐ Answered ┌───────┐
//!         │ starting  ├─────────►│ ready │──┐ FoundRunning
//!         └──▲────────┘   Died   └─┬─┬─▲─┘  │ (adopted)
//!            └─────────────────────┘ │ └────┘
//!                                    │
//!   from each of these five:         │  and from starting and ready:
//!     Stop, Delete ─► stopping       │    EndedByHand ─► stopping
//!     GaveUp ─(cleaned up)─► failed  │    Destroyed   ─► gone
//!                                    ▼
//!         ┌──────────┐ TakenDown ┌─────────┐
//!         │ stopping ├──────────►│ stopped │       stopped, failed, gone:
//!         └─────┬────┘           └────┬────┘         Start  ─► requested
//!               │ TakenDown, and      │ Erase        Delete ─► erased
//!               ▼ Start was asked     ▼
//!           requested              (the end)
//! ```
//!
//! `*` After a start of the server or of the engine, a start that was on its way and has no container begins again.
//! `stopping` remembers what follows it, [`Then`]. What is reserved for a desktop (port, network, password) is let go
//! by [`record`] when it enters `stopped`, `failed` or `gone`.

use super::Status;
use crate::store::models::ContainerRow;

/// Where a desktop is, and what it will do then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    pub status: Status,
    pub then: Then,
}

/// What follows once it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    Rest,
    Start,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its owner wants it up.
    Start,
    /// Its owner, or idleness, wants it down.
    Stop,
    Delete,
    /// A port, a network and a password are its own.
    Reserved,
    ImageHere,
    ImageMissing,
    Created,
    /// Somebody else on the engine's host has the port or the network.
    RangeTaken,
    /// The engine has started the container.
    Started,
    /// The entry was answered well.
    Answered,
    /// It cannot be brought up, or dies too often.
    GaveUp,
    /// What had been made for a start that failed is removed.
    CleanedUp,
    /// The container ended, and nobody asked for that.
    Died,
    /// Somebody stopped it through the engine.
    EndedByHand,
    /// Somebody removed it through the engine.
    Destroyed,
    /// The engine was asked: the container runs.
    FoundRunning,
    /// The engine was asked: the container is there and does not run.
    FoundEnded,
    /// The engine was asked: there is none.
    FoundNothing,
    TakenDown,
    TakeDownFailed,
    EraseFailed,
}

/// What to do next. It takes the place of what was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    Reserve,
    LookForImage,
    Pull,
    Create,
    StartContainer,
    /// Start the same container after a pause.
    Restart,
    /// Ask for the entry until it is answered.
    Probe,
    /// Ask the engine whether the container runs.
    LookAgain,
    /// Remove what a failed start has made.
    CleanUp,
    /// Stop and remove the container and its network.
    TakeDown,
    TakeDownLater,
    /// Remove what may be left of a desktop that is down.
    RemoveLeftovers,
    /// Remove the row, and the home if that is wanted.
    Erase,
}

impl Effect {
    /// Whether it can be broken off at once: nothing of it arises later. The others are waited for.
    pub const fn may_be_dropped(self) -> bool {
        match self {
            Self::LookForImage
            | Self::Pull
            | Self::StartContainer
            | Self::Restart
            | Self::Probe
            | Self::LookAgain
            | Self::TakeDownLater => true,
            Self::Reserve | Self::Create | Self::CleanUp | Self::TakeDown | Self::RemoveLeftovers | Self::Erase => {
                false
            }
        }
    }
}

/// Where an event leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub state: State,
    /// None: what is being done goes on.
    pub effect: Option<Effect>,
}

impl State {
    pub const fn at(status: Status) -> Self {
        Self { status, then: Then::Rest }
    }

    /// Whether it is on its way out for good.
    pub fn is_deleting(self) -> bool {
        self.then == Then::Delete
    }
}

/// Where `event` leads from `state`; None: nowhere, it comes too late or means nothing here.
pub fn next(state: State, event: Event) -> Option<Step> {
    match state.status {
        Status::Stopping => stopping(state.then, event),
        Status::Stopped | Status::Failed | Status::Gone => down(state, event),
        up => from_up(up, event),
    }
}

fn go(status: Status, effect: Effect) -> Option<Step> {
    Some(Step { state: State::at(status), effect: Some(effect) })
}

fn settle(status: Status) -> Option<Step> {
    Some(Step { state: State::at(status), effect: None })
}

fn then(status: Status, then: Then, effect: Option<Effect>) -> Option<Step> {
    Some(Step { state: State { status, then }, effect })
}

fn from_up(status: Status, event: Event) -> Option<Step> {
    match event {
        Event::Stop => go(Status::Stopping, Effect::TakeDown),
        Event::Delete => then(Status::Stopping, Then::Delete, Some(Effect::TakeDown)),
        Event::GaveUp if status == Status::Ready => go(Status::Starting, Effect::CleanUp),
        Event::GaveUp => go(status, Effect::CleanUp),
        Event::CleanedUp if status != Status::Ready => settle(Status::Failed),
        _ => match status {
            Status::Starting | Status::Ready => running(status, event),
            _ => on_its_way(status, event),
        },
    }
}

fn on_its_way(status: Status, event: Event) -> Option<Step> {
    match (status, event) {
        (_, Event::FoundRunning) => go(Status::Starting, Effect::Probe),
        (_, Event::FoundEnded | Event::FoundNothing) => go(Status::Requested, Effect::Reserve),
        (Status::Requested, Event::Reserved) => go(Status::Requested, Effect::LookForImage),
        (Status::Requested, Event::ImageMissing) => go(Status::Pulling, Effect::Pull),
        (Status::Requested | Status::Pulling, Event::ImageHere) => go(Status::Creating, Effect::Create),
        (Status::Creating, Event::Reserved) => go(Status::Creating, Effect::Create),
        (Status::Creating, Event::RangeTaken) => go(Status::Creating, Effect::Reserve),
        (Status::Creating, Event::Created) => go(Status::Starting, Effect::StartContainer),
        _ => None,
    }
}

fn running(status: Status, event: Event) -> Option<Step> {
    match (status, event) {
        (_, Event::Died) => go(Status::Starting, Effect::Restart),
        (_, Event::EndedByHand) => go(Status::Stopping, Effect::TakeDown),
        (_, Event::Destroyed) => go(Status::Gone, Effect::RemoveLeftovers),
        (_, Event::FoundRunning) => go(status, Effect::Probe),
        (Status::Ready, Event::FoundEnded) => go(Status::Starting, Effect::Restart),
        (Status::Ready, Event::FoundNothing) => go(Status::Gone, Effect::RemoveLeftovers),
        (Status::Starting, Event::FoundEnded | Event::FoundNothing) => go(Status::Requested, Effect::Reserve),
        (Status::Starting, Event::RangeTaken) => go(Status::Creating, Effect::Reserve),
        (Status::Starting, Event::Started) => go(Status::Starting, Effect::Probe),
        (Status::Starting, Event::Answered) => settle(Status::Ready),
        _ => None,
    }
}

fn stopping(before: Then, event: Event) -> Option<Step> {
    match (event, before) {
        (Event::TakenDown, Then::Rest) => settle(Status::Stopped),
        (Event::TakenDown, Then::Start) => go(Status::Requested, Effect::Reserve),
        (Event::TakenDown, Then::Delete) => then(Status::Stopped, Then::Delete, Some(Effect::Erase)),
        // Whoever wanted it removed is told; it stops all the same.
        (Event::TakeDownFailed, Then::Delete) => go(Status::Stopping, Effect::TakeDownLater),
        (Event::TakeDownFailed, before) => then(Status::Stopping, before, Some(Effect::TakeDownLater)),
        (Event::FoundRunning | Event::FoundEnded | Event::FoundNothing, before) => {
            then(Status::Stopping, before, Some(Effect::TakeDown))
        }
        (_, Then::Delete) => None,
        (Event::Start, _) => then(Status::Stopping, Then::Start, None),
        (Event::Stop, _) => settle(Status::Stopping),
        (Event::Delete, _) => then(Status::Stopping, Then::Delete, None),
        _ => None,
    }
}

fn down(state: State, event: Event) -> Option<Step> {
    match (event, state.is_deleting()) {
        (Event::EraseFailed, true) => settle(state.status),
        (_, true) => None,
        (Event::Start, _) => go(Status::Requested, Effect::Reserve),
        (Event::Delete, _) => then(state.status, Then::Delete, Some(Effect::Erase)),
        (Event::FoundRunning | Event::FoundEnded, _) => go(state.status, Effect::RemoveLeftovers),
        _ => None,
    }
}

/// What the row says once the desktop has entered `status`, at `now` in milliseconds since 1970.
pub fn record(row: &mut ContainerRow, status: Status, now: i64) {
    row.status = status.as_str().to_owned();
    match status {
        Status::Requested => {
            row.reason = None;
            row.container_id = None;
            row.address = None;
            row.started_at = None;
            row.stopped_at = None;
        }
        Status::Creating => {
            row.container_id = None;
            row.address = None;
        }
        Status::Ready => {
            row.reason = None;
            row.started_at = Some(now);
        }
        Status::Stopped | Status::Failed | Status::Gone => {
            release(row);
            row.stopped_at = Some(now);
        }
        Status::Pulling | Status::Starting | Status::Stopping => {}
    }
}

/// Let go of all that a desktop holds while it lives.
pub fn release(row: &mut ContainerRow) {
    row.container_id = None;
    row.host_port = None;
    row.subnet = None;
    row.address = None;
    row.password = None;
}

#[cfg(test)]
mod tests;
