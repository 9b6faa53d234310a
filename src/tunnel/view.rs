//! What the API shows of tunnels, their connections and live agent sessions. Field names are fixed.

use serde::Serialize;
use utoipa::ToSchema;

/// Whether a tunnel takes users, and if not, why (see `reason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TunnelState {
    /// The port is bound and the agent is connected.
    Listening,
    /// The port is bound; users are held for a moment, since the agent is away.
    WaitingForAgent,
    /// The port is not bound; it is tried again with backoff.
    Down,
    /// Switched off by an operator.
    Paused,
}

/// A tunnel as the API shows it. Sizes in bytes, rates in bytes per second, times RFC 3339 UTC.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TunnelView {
    pub proxy_id: String,
    pub client_id: String,
    /// Name of the user it belongs to.
    pub owner: String,
    #[serde(skip)]
    pub owner_id: String,
    #[schema(required)]
    pub name: Option<String>,
    pub protocol: String,
    pub remote_host: String,
    pub remote_port: u16,
    pub local_port: u16,
    pub bind: String,
    pub enabled: bool,
    pub state: TunnelState,
    /// Why the tunnel is not listening.
    #[schema(required)]
    pub reason: Option<String>,
    /// Users' addresses that may connect, as CIDRs; empty means everybody.
    pub allow: Vec<String>,
    #[schema(required)]
    pub max_connections: Option<u32>,
    /// What users sent.
    pub bytes_in: u64,
    /// What users received.
    pub bytes_out: u64,
    pub rate_in: u64,
    pub rate_out: u64,
    /// Connections open now.
    pub connections: u64,
    pub connections_total: u64,
    pub dial_errors: u64,
    #[schema(required)]
    pub last_dial_error: Option<String>,
    pub created_at: String,
}

/// One live connection of a user to a tunnel.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConnectionView {
    pub user_id: String,
    pub peer: String,
    pub since: String,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub rate_in: u64,
    pub rate_out: u64,
    /// `waiting` (for the agent), `connecting` (to the remote), `open`, `half_closed`.
    #[schema(value_type = String)]
    pub state: &'static str,
}

/// One live session of an agent, as the supervisor knows it.
#[derive(Debug, Clone)]
pub struct SessionView {
    pub client_id: String,
    /// Milliseconds since 1970 when the session began.
    pub since_ms: i64,
    pub address: Option<String>,
    /// The agent program's own name and version.
    pub version: Option<String>,
    /// `json` or `binary`.
    pub protocol: &'static str,
    pub rtt_ms: Option<f64>,
    pub channels: u64,
}
