//! Where a desktop is in its life.

use std::str::FromStr;

use serde::Serialize;
use utoipa::ToSchema;

/// See `kasm_container` for what leads from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Asked for; a port and a network are being reserved.
    Requested,
    /// The engine fetches the image.
    Pulling,
    Creating,
    /// The container runs, but does not answer yet.
    Starting,
    /// An authenticated request for its entry was answered well.
    Ready,
    Stopping,
    /// The container is gone on purpose; the home is kept.
    Stopped,
    /// See the reason.
    Failed,
    /// Somebody removed the container.
    Gone,
}

impl Status {
    pub const ALL: [Self; 9] = [
        Self::Requested,
        Self::Pulling,
        Self::Creating,
        Self::Starting,
        Self::Ready,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
        Self::Gone,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Pulling => "pulling",
            Self::Creating => "creating",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Gone => "gone",
        }
    }

    /// As a row has it. A word that a later version wrote is a desktop that has to be looked at: gone.
    pub fn of_row(text: &str) -> Self {
        text.parse().unwrap_or(Self::Gone)
    }

    /// On its way to `Ready`, or there.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Requested | Self::Pulling | Self::Creating | Self::Starting | Self::Ready)
    }

    /// Whether a start leads anywhere from here.
    pub const fn may_start(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed | Self::Gone)
    }
}

/// This text names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no status of a desktop")]
pub struct UnknownStatus(String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_read_as_it_is_written() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert!(!(status.is_up() && status.may_start()), "{status:?}");
        }
        assert_eq!(Status::of_row("paused"), Status::Gone);
        assert!("".parse::<Status>().is_err());
    }
}
