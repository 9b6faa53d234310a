//! Why a program in a container gave no answer, in words that follow its name.

use std::error::Error as _;
use std::io;

use super::{CONNECT_LIMIT, IDLE_LIMIT};
use crate::error::Error;

/// What went wrong between Dockway and an upstream, or with the body that it was to be sent.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("it cannot be reached ({0})")]
    Unreachable(io::Error),
    #[error("it took no connection within {} s", CONNECT_LIMIT.as_secs())]
    ConnectTimeout,
    #[error("it was silent for {} s", IDLE_LIMIT.as_secs())]
    Silent,
    #[error("nothing more came within {0} s")]
    TooSlow(u64),
    #[error("it closed the connection before it had answered")]
    Closed,
    #[error("what it answered is no HTTP ({0})")]
    Garbage(String),
    #[error("the headers of its answer are too large")]
    HeadTooLarge,
    #[error("its answer was cut short ({0})")]
    CutShort(String),
    #[error("its answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body of the request broke off")]
    UploadBroken,
    #[error("nothing more of the request's body came within {} s", IDLE_LIMIT.as_secs())]
    UploadSilent,
    /// Not the upstream's doing: who asked may not go on.
    #[error("the connection was ended: {0}")]
    Ended(&'static str),
}

impl UpstreamError {
    pub(super) fn of_connecting(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::ConnectTimeout } else { Self::Unreachable(error) }
    }

    /// For an exchange whose answer has not begun.
    pub(super) fn of_head(error: &hyper::Error) -> Self {
        match () {
            () if error.is_parse_too_large() || has_no_end(error) => Self::HeadTooLarge,
            () if error.is_parse() => Self::Garbage(error.to_string()),
            () => Self::Closed,
        }
    }
}

/// Whether more came before the answer than a connection takes.
fn has_no_end(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::FileTooLarge)
}

impl From<UpstreamError> for Error {
    fn from(error: UpstreamError) -> Self {
        let text = error.to_string();
        match error {
            UpstreamError::ConnectTimeout | UpstreamError::Silent | UpstreamError::TooSlow(_) => {
                Self::GatewayTimeout(text)
            }
            UpstreamError::UploadBroken | UpstreamError::UploadSilent => Self::BadRequest(text),
            UpstreamError::Ended(reason) => Self::Unavailable(reason.into()),
            _ => Self::BadGateway(text),
        }
    }
}
