//! What HTTP handlers ask of the TunnelSupervisor. Every value in here was verified before.

use actix::Message;
use ipnet::IpNet;

use super::view::{ConnectionView, SessionView, TunnelView};
use crate::error::Error;

/// A tunnel that somebody wants.
#[derive(Debug, Clone)]
pub struct NewTunnel {
    pub client_id: String,
    pub remote_host: String,
    pub remote_port: u16,
    /// None: the server chooses one from its range.
    pub local_port: Option<u16>,
    pub name: Option<String>,
    /// None: the server's `--tunnel-bind`.
    pub bind: Option<std::net::IpAddr>,
    pub allow: Vec<IpNet>,
    pub max_connections: Option<u32>,
}

/// What a PATCH changes: None leaves a field as it is; for a nullable one, `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
pub struct TunnelChanges {
    pub name: Option<Option<String>>,
    pub remote_host: Option<String>,
    pub remote_port: Option<u16>,
    pub local_port: Option<u16>,
    pub bind: Option<Option<std::net::IpAddr>>,
    pub allow: Option<Vec<IpNet>>,
    pub max_connections: Option<Option<u32>>,
    pub enabled: Option<bool>,
}

impl TunnelChanges {
    /// Whether the agent is asked for something that it was not asked for before.
    pub fn needs_agent(&self) -> bool {
        self.remote_host.is_some() || self.remote_port.is_some() || self.enabled == Some(true)
    }
}

/// Make a tunnel. Its listener is bound and its row stored when this answers.
#[derive(Message)]
#[rtype(result = "Result<TunnelView, Error>")]
pub struct CreateTunnel {
    pub tunnel: NewTunnel,
    /// Id of the user who asked.
    pub owner_id: String,
    /// The most tunnels that this user may have.
    pub limit: Option<u32>,
}

#[derive(Message)]
#[rtype(result = "Vec<TunnelView>")]
pub struct ListTunnels;

#[derive(Message)]
#[rtype(result = "Result<TunnelView, Error>")]
pub struct GetTunnel(pub String);

#[derive(Message)]
#[rtype(result = "Result<TunnelView, Error>")]
pub struct PatchTunnel {
    pub proxy_id: String,
    pub changes: TunnelChanges,
}

/// Remove a tunnel and cut its users. Its port is free when this answers.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct DeleteTunnel(pub String);

#[derive(Message)]
#[rtype(result = "Result<Vec<ConnectionView>, Error>")]
pub struct ListConnections(pub String);

#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct CutConnection {
    pub proxy_id: String,
    pub user_id: String,
}

/// The live agent sessions.
#[derive(Message)]
#[rtype(result = "Vec<SessionView>")]
pub struct ListSessions;

/// An agent was removed or its token rotated: close its live session with 4003.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RevokeAgent(pub String);

/// Does the supervisor answer? (`/readyz`)
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ping;

/// Take no more users, let channels finish for at most this long, then end them, the sessions, and store the totals.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain(pub std::time::Duration);
