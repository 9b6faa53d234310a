//! What the API asks of the DesktopSupervisor.

use actix::Message;
use bytes::Bytes;

use super::DesktopType;
use super::view::DesktopView;
use crate::error::Error;

/// Answered once the rows have been read and the routes published.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ping;

/// Store what is kept back to be stored in a batch; the server stops.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Flush;

/// Give somebody a desktop of a type, and start it. One that exists is started and returned.
///
/// # Errors
/// `DesktopTypeUnknown`, `DesktopTypeDisabled`, `LimitReached`, `EngineUnavailable`.
#[derive(Message)]
#[rtype(result = "Result<DesktopView, Error>")]
pub struct CreateDesktop {
    pub owner_id: String,
    pub username: String,
    /// Name of the type.
    pub desktop_type: String,
    /// How many desktops the owner may have.
    pub limit: Option<u32>,
}

/// All desktops, by id.
#[derive(Message)]
#[rtype(result = "Vec<DesktopView>")]
pub struct ListDesktops;

/// # Errors
/// `DesktopUnknown`.
#[derive(Message)]
#[rtype(result = "Result<DesktopView, Error>")]
pub struct GetDesktop(pub String);

/// Start it from stopped, failed or gone. One that is up, or on its way, is left alone.
///
/// # Errors
/// `DesktopUnknown`, `EngineUnavailable`, `DesktopTypeDisabled`.
#[derive(Message)]
#[rtype(result = "Result<DesktopView, Error>")]
pub struct StartDesktop(pub String);

/// Begin to stop it: live connections are cut at once, the container goes, the home stays.
///
/// # Errors
/// `DesktopUnknown`, `EngineUnavailable`.
#[derive(Message)]
#[rtype(result = "Result<DesktopView, Error>")]
pub struct StopDesktop(pub String);

/// Remove it. The container, its port and its network are free when this answers.
///
/// # Errors
/// `DesktopUnknown`, `EngineUnavailable`.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct DeleteDesktop {
    pub id: String,
    /// With its home.
    pub home: bool,
}

/// The container's last log lines.
///
/// # Errors
/// `DesktopUnknown`, `EngineUnavailable`.
#[derive(Message)]
#[rtype(result = "Result<String, Error>")]
pub struct GetLogs(pub String);

/// A picture of the desktop, at most 30 s old.
///
/// # Errors
/// `DesktopUnknown`, `DesktopNotReady`, `NoThumbnail` for types that have none.
#[derive(Message)]
#[rtype(result = "Result<Thumbnail, Error>")]
pub struct GetThumbnail(pub String);

/// An image that was checked.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    /// `image/jpeg` or `image/png`.
    pub content_type: &'static str,
    pub bytes: Bytes,
    /// In milliseconds since 1970.
    pub taken_at: i64,
}

/// The catalogue, by name.
#[derive(Message)]
#[rtype(result = "Vec<DesktopType>")]
pub struct ListTypes;

/// Add a type; its id and `created_at` are given here.
///
/// # Errors
/// `DesktopTypeExists`.
#[derive(Message)]
#[rtype(result = "Result<DesktopType, Error>")]
pub struct CreateType(pub DesktopType);

/// Change all of a type but its id and `created_at`. Desktops that run take it at their next start.
///
/// # Errors
/// `DesktopTypeUnknown`; `DesktopTypeExists` for the new name.
#[derive(Message)]
#[rtype(result = "Result<DesktopType, Error>")]
pub struct ReplaceType {
    /// The name that it has.
    pub name: String,
    pub desktop_type: DesktopType,
}

/// # Errors
/// `DesktopTypeUnknown`; `DesktopTypeInUse` while somebody has a desktop of it.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct DeleteType(pub String);
