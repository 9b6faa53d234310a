//! Where requests for a desktop go, and how.

mod connect;

use std::fmt;
use std::net::SocketAddr;

pub use connect::{CONNECT_LIMIT, Connection, Connector, watch_peer};

use crate::desktop::desktop_type::Scheme;

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
