//! Where requests for a desktop go, and how.
//!
//! The gateway's exchanges go through a [`Pool`], single questions of the server's own through a [`Client`]. Neither
//! follows redirects, and what they send is framed anew from its parts: an upstream never sees an ambiguous request.

mod answer;
mod client;
mod connect;
mod error;
mod link;
mod pool;
#[cfg(test)]
pub mod testing;
mod transfer;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use answer::{Answer, AnswerBody};
pub use client::{Client, Fetched};
pub use connect::{CONNECT_LIMIT, Connection, Connector, watch_peer};
pub use error::UpstreamError;
pub use pool::Pool;
pub use transfer::{Chunks, Upload};

/// How long an exchange may wait: for the head of its answer, or for more of a body.
pub const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// The most bytes of an answer that are handed on at once.
pub const CHUNK_LIMIT: usize = 64 * 1024;

/// How the program in the container speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Http,
    /// With whatever certificate: it is made new at each start.
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A program in a container: scheme, address, credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    pub scheme: Scheme,
    pub address: SocketAddr,
    /// `Basic …`, injected into every request.
    pub authorization: Option<String>,
}

/// No log shows the credentials.
impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.address)
    }
}

impl Upstream {
    /// The value of an `Authorization` header for basic authentication (RFC 7617).
    pub fn basic(user: &str, password: &str) -> String {
        use base64::Engine;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
    }
}
