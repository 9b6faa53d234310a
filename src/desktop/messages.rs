//! What the DesktopSupervisor, its KasmContainers and EngineWatch tell each other.

use std::sync::Arc;

use actix::Message;

use super::commands::Thumbnail;
use super::engine::{EngineEvent, EngineInfo, Inventory};
use super::routes::Route;
use super::view::DesktopView;
use super::{DesktopType, Status};
use crate::error::Error;
use crate::store::models::ContainerRow;

/// Supervisor to container: bring it up, unless it is up or on its way. Answered when that has begun and is stored.
///
/// # Errors
/// `Unavailable` if it cannot be stored.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Start(pub Arc<DesktopType>);

/// Supervisor to container: cut what is open, remove the container, free its port and network, keep the home.
/// Answered when that has begun and is stored.
///
/// # Errors
/// `Unavailable` if it cannot be stored.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Stop {
    /// Why, for people; None: its owner wanted it.
    pub reason: Option<String>,
}

/// Supervisor to container: remove everything of it from the engine and its row from the database, and end. Answered
/// when all that is gone.
///
/// # Errors
/// `EngineUnavailable`, or the engine's refusal: then it is still there.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct Delete {
    pub home: bool,
}

/// Supervisor to container: the engine says this of it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Told(pub EngineEvent);

/// Supervisor to container: this is all that the engine has of this installation, as it is after a start of the server
/// or of the engine. Whoever was up adopts what runs, or finds it gone or ended.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Reconcile(pub Arc<Inventory>);

/// Supervisor to container: the engine does not answer; why.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct EngineAway(pub String);

/// Supervisor to container.
#[derive(Message)]
#[rtype(result = "Result<String, Error>")]
pub struct ReadLogs;

/// Supervisor to container.
#[derive(Message)]
#[rtype(result = "Result<Thumbnail, Error>")]
pub struct TakeThumbnail;

/// Container to supervisor: it is like this now. Sent at its start and at each change; what the API and the gateway
/// see of it.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Changed {
    pub row: ContainerRow,
    /// Without `owner` and `url`.
    pub view: DesktopView,
    pub route: Arc<Route>,
    /// Set when it went from one status to another, and not merely on in its progress.
    pub from: Option<Status>,
}

/// Container to supervisor: unless somebody uses it, it will stop. Becomes the event `desktop.idle`.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct IdleWarning {
    pub id: String,
    /// In milliseconds since 1970.
    pub stop_at: i64,
}

/// Container to supervisor: when it was last used, to be stored in a batch.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct Accessed {
    pub id: String,
    /// In milliseconds since 1970.
    pub at: i64,
}

/// EngineWatch to supervisor: the engine answers, and its events are followed; this is what it has. Told when it begins
/// to answer, and again and again from then on, in case an event was missed.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct EngineUp {
    pub info: EngineInfo,
    pub inventory: Arc<Inventory>,
}

/// EngineWatch to supervisor: it does not answer; why.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct EngineDown(pub String);

/// EngineWatch to supervisor.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct EngineSaid(pub EngineEvent);
