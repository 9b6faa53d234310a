//! A tunnel as the supervisor keeps it: the row, the bound listener, the ProxyConnection that serves it.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Addr, SpawnHandle};
use ipnet::IpNet;

use super::counters::{Traffic, TunnelCounters};
use super::messages::SessionHandle;
use super::proxy_connection::{ProxyConnection, StopTunnel, Target, UseSession, UseTarget};
use super::view::{TunnelState, TunnelView};
use crate::clock::rfc3339;
use crate::store::models::ProxyRow;
use crate::store::proxies::Totals;
use crate::supervision::{Backoff, Intensity};
use crate::wire::codes::{OpenFailure, ResetCode};

/// More restarts than this within [`RESTART_WINDOW`] and a tunnel is down.
const RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// A tunnel whose port is taken is tried again after this, doubling …
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// … up to this.
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// See the module's documentation.
pub(super) struct Tunnel {
    pub row: ProxyRow,
    pub listener: Option<Arc<TcpListener>>,
    pub child: Option<Child>,
    /// Why it is not bound though it should be.
    pub down: Option<String>,
    pub counters: Arc<TunnelCounters>,
    pub last_dial_error: Option<String>,
    pub intensity: Intensity,
    pub backoff: Backoff,
    /// The next attempt to bind.
    pub retry: Option<SpawnHandle>,
    /// What the database has of the counters.
    stored: Option<Totals>,
    /// What watchers know of it.
    pub told: Option<Told>,
}

/// Of a tunnel, what watchers are told of when it changes: counters are not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    row: ProxyRow,
    state: TunnelState,
    reason: Option<String>,
}

/// A running ProxyConnection. Dropping this stops it: a supervisor that panics leaves none behind.
pub(super) struct Child(pub Addr<ProxyConnection>);

impl Child {
    #[expect(clippy::disallowed_methods, reason = "one for each tunnel and session")]
    pub fn use_session(&self, session: Option<SessionHandle>) {
        self.0.do_send(UseSession(session));
    }

    #[expect(clippy::disallowed_methods, reason = "one for each change by an operator")]
    pub fn use_target(&self, target: Arc<Target>) {
        self.0.do_send(UseTarget(target));
    }
}

impl Drop for Child {
    #[expect(clippy::disallowed_methods, reason = "shutdown: one for each tunnel")]
    fn drop(&mut self) {
        self.0.do_send(StopTunnel(ResetCode::ABORTED));
    }
}

impl Tunnel {
    pub fn new(row: ProxyRow, listener: Option<Arc<TcpListener>>) -> Self {
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
        let counters = TunnelCounters {
            traffic: Traffic::starting_at(unsigned(row.bytes_in), unsigned(row.bytes_out)),
            connections: AtomicU64::new(0),
            connections_total: AtomicU64::new(unsigned(row.connections_total)),
            dial_errors: AtomicU64::new(unsigned(row.dial_errors)),
        };
        Self {
            last_dial_error: row.last_dial_error.clone(),
            row,
            listener,
            child: None,
            down: None,
            counters: Arc::new(counters),
            intensity: Intensity::new(RESTARTS, RESTART_WINDOW),
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            retry: None,
            stored: None,
            told: None,
        }
    }

    pub fn port(&self) -> u16 {
        port(self.row.local_port)
    }

    /// Where it listens; `default` is the server's `--tunnel-bind`.
    pub fn address(&self, default: IpAddr) -> IpAddr {
        self.row.bind.as_deref().and_then(|bind| bind.parse().ok()).unwrap_or(default)
    }

    pub fn target(&self) -> Arc<Target> {
        Arc::new(Target {
            proxy_id: self.row.proxy_id.clone(),
            local_port: self.port(),
            remote_host: self.row.remote_host.clone(),
            remote_port: port(self.row.remote_port),
            protocol: self.row.protocol.clone(),
            allow: parse_allow(&self.row.allow),
            max_connections: self.row.max_connections.and_then(|max| u32::try_from(max).ok()),
        })
    }

    /// Its ProxyConnection is gone with all channels, and nobody counts them any more.
    pub fn has_no_connections(&self) {
        self.counters.connections.store(0, Ordering::Relaxed);
    }

    /// Counted here, with its reason, so that no view has one without the other.
    pub fn dial_failed(&mut self, failure: &OpenFailure) {
        self.counters.dial_errors.fetch_add(1, Ordering::Relaxed);
        self.last_dial_error = Some(failure.to_string());
    }

    /// What the database should have, if that has changed since it was last asked.
    pub fn totals_to_store(&mut self) -> Option<Totals> {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (bytes_in, bytes_out) = self.counters.traffic.bytes();
        let totals = Totals {
            proxy_id: self.row.proxy_id.clone(),
            bytes_in: signed(bytes_in),
            bytes_out: signed(bytes_out),
            connections_total: signed(self.counters.connections_total.load(Ordering::Relaxed)),
            dial_errors: signed(self.counters.dial_errors.load(Ordering::Relaxed)),
            last_dial_error: self.last_dial_error.clone(),
        };
        if self.stored.as_ref() == Some(&totals) {
            return None;
        }
        self.stored = Some(totals.clone());
        Some(totals)
    }

    /// The database has not taken them: they are due again.
    pub fn totals_not_stored(&mut self) {
        self.stored = None;
    }

    pub fn view(&self, agent_online: bool, default_bind: IpAddr) -> TunnelView {
        let (state, reason) = self.state(agent_online);
        let ((bytes_in, bytes_out), (rate_in, rate_out)) =
            (self.counters.traffic.bytes(), self.counters.traffic.rates());
        TunnelView {
            proxy_id: self.row.proxy_id.clone(),
            client_id: self.row.client_id.clone(),
            // Only HTTP shows names.
            owner: String::new(),
            owner_id: self.row.owner_id.clone(),
            name: self.row.name.clone(),
            protocol: self.row.protocol.clone(),
            remote_host: self.row.remote_host.clone(),
            remote_port: port(self.row.remote_port),
            local_port: self.port(),
            bind: self.address(default_bind).to_string(),
            enabled: self.row.enabled,
            state,
            reason,
            allow: parse_allow(&self.row.allow).iter().map(IpNet::to_string).collect(),
            max_connections: self.row.max_connections.and_then(|max| u32::try_from(max).ok()),
            bytes_in,
            bytes_out,
            rate_in,
            rate_out,
            connections: self.counters.connections.load(Ordering::Relaxed),
            connections_total: self.counters.connections_total.load(Ordering::Relaxed),
            dial_errors: self.counters.dial_errors.load(Ordering::Relaxed),
            last_dial_error: self.last_dial_error.clone(),
            created_at: rfc3339(self.row.created_at),
        }
    }

    /// What watchers are to be told, if they do not know it yet.
    pub fn news(&self, agent_online: bool) -> Option<Told> {
        let (state, reason) = self.state(agent_online);
        let known =
            self.told.as_ref().is_some_and(|told| told.state == state && told.reason == reason && told.row == self.row);
        (!known).then(|| Told { row: self.row.clone(), state, reason })
    }

    fn state(&self, agent_online: bool) -> (TunnelState, Option<String>) {
        if !self.row.enabled {
            return (TunnelState::Paused, None);
        }
        if self.child.is_none() {
            return (TunnelState::Down, Some(self.down.clone().unwrap_or_else(|| "starting".into())));
        }
        if agent_online {
            return (TunnelState::Listening, None);
        }
        let reason = format!("agent `{}` is not connected", self.row.client_id);
        (TunnelState::WaitingForAgent, Some(reason))
    }
}

fn port(stored: i32) -> u16 {
    // Only ports are ever stored there.
    u16::try_from(stored).unwrap_or(0)
}

/// CIDRs as they are stored: separated by commas.
fn parse_allow(stored: &str) -> Vec<IpNet> {
    stored.split(',').filter_map(|net| net.parse().ok()).collect()
}

/// The other way round.
pub(super) fn join_allow(allow: &[IpNet]) -> String {
    allow.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",")
}
