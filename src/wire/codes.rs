//! The protocol's numbers and words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most characters of what a peer wrote that the log and the API repeat.
const SHOWN_LIMIT: usize = 200;

/// Why a session is closed: the code and reason of its WebSocket Close frame (RFC 6455 section 7.4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {}", shown(.reason))]
pub struct SessionClose {
    pub code: u16,
    pub reason: String,
}

impl SessionClose {
    pub const NORMAL: u16 = 1000;
    pub const GOING_AWAY: u16 = 1001;
    pub const PROTOCOL: u16 = 1002;
    pub const TOO_BIG: u16 = 1009;
    pub const RESTART: u16 = 1012;
    pub const REPLACED: u16 = 4001;
    pub const REVOKED: u16 = 4003;

    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    pub fn protocol(reason: impl Into<String>) -> Self {
        Self::new(Self::PROTOCOL, reason)
    }

    pub fn too_big(reason: impl Into<String>) -> Self {
        Self::new(Self::TOO_BIG, reason)
    }
}

/// The beginning of what a peer wrote, without what would break a line or a terminal: an agent is anybody's program.
pub fn shown(text: &str) -> String {
    text.chars().take(SHOWN_LIMIT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Why a channel ends at once, in both directions. It becomes a TCP reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetCode(pub u16);

impl ResetCode {
    pub const ABORTED: Self = Self(1);
    pub const WINDOW_OVERRUN: Self = Self(2);
    pub const CUT: Self = Self(3);
    pub const IDLE: Self = Self(4);
    pub const SHUTTING_DOWN: Self = Self(5);
}

impl fmt::Display for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ABORTED => f.write_str("aborted"),
            Self::WINDOW_OVERRUN => f.write_str("window overrun"),
            Self::CUT => f.write_str("cut by an operator"),
            Self::IDLE => f.write_str("idle"),
            Self::SHUTTING_DOWN => f.write_str("shutting down"),
            Self(other) => write!(f, "reset code {other}"),
        }
    }
}

/// Why an agent could not connect to a channel's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenError {
    Refused,
    Unresolved,
    Timeout,
    Unreachable,
    Denied,
    Limit,
    /// Also what a code of a later version is read as.
    #[serde(other)]
    Internal,
}

impl OpenError {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unresolved => "unresolved",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Limit => "limit",
            Self::Internal => "internal",
        }
    }
}

/// OPEN_FAILED and `proxy_error`: the code and a text for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFailure {
    pub code: OpenError,
    #[serde(default)]
    pub message: String,
}

impl OpenFailure {
    pub fn new(code: OpenError, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), shown(&self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wrote_is_one_short_line() {
        let text = format!("no route\r\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2J{}", "x".repeat(60_000));
        let failure = OpenFailure::new(OpenError::Unreachable, text.clone()).to_string();
        let close = SessionClose::new(SessionClose::NORMAL, text).to_string();
        for shown in [failure, close] {
            assert!(shown.contains("no route") && !shown.contains(char::is_control), "{shown}");
            assert!(shown.chars().count() < SHOWN_LIMIT + 40, "{shown}");
        }
    }
}
