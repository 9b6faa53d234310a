//! Stopping in order: no new users, channels finish, sessions close, counters are stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::{Instant, sleep};

use super::super::commands::Drain;
use super::super::counters::TunnelCounters;
use super::super::entry::Tunnel;
use super::super::proxy_connection::UseListener;
use super::TunnelSupervisor;
use crate::store::proxies;
use crate::wire::codes::ResetCode;

/// How often a draining server looks whether its channels are done.
const DRAIN_CHECK: Duration = Duration::from_millis(50);
/// Sessions get this long to say goodbye.
const GOODBYE: Duration = Duration::from_millis(200);

impl Handler<Drain> for TunnelSupervisor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, Drain(limit): Drain, _: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        let children: Vec<_> =
            self.tunnels.values().filter_map(|tunnel| Some(tunnel.child.as_ref()?.0.clone())).collect();
        self.tunnels.values_mut().for_each(|tunnel| tunnel.listener = None);
        self.drain_sessions();
        let counters: Vec<_> = self.tunnels.values().map(|tunnel| tunnel.counters.clone()).collect();
        let sessions = self.session_statuses();
        let wait = async move {
            for child in children {
                let _ = child.send(UseListener(None)).await;
            }
            let deadline = Instant::now() + limit;
            // A session counts a channel until the last byte of its user is on its way to the agent.
            let busy = || open_connections(&counters) > 0 || sessions.iter().any(|status| status.channels() > 0);
            while busy() && Instant::now() < deadline {
                sleep(DRAIN_CHECK).await;
            }
        };
        let drain = wait.into_actor(self).then(|(), supervisor, ctx| {
            let ids: Vec<String> = supervisor.tunnels.keys().cloned().collect();
            let stopped: Vec<_> =
                ids.iter().map(|id| supervisor.take_down(id, ResetCode::SHUTTING_DOWN, ctx)).collect();
            async move {
                for stop in stopped {
                    stop.await;
                }
            }
            .into_actor(supervisor)
        });
        Box::pin(drain.then(|(), supervisor, _| {
            supervisor.end_sessions();
            let totals: Vec<_> = supervisor.tunnels.values_mut().filter_map(Tunnel::totals_to_store).collect();
            let store = supervisor.store.clone();
            let finish = async move {
                if let Err(error) = store.run(move |c| proxies::store_totals(c, &totals)).await {
                    tracing::warn!(%error, "the last counters are not stored");
                }
                sleep(GOODBYE).await;
            };
            finish.into_actor(supervisor)
        }))
    }
}

fn open_connections(counters: &[Arc<TunnelCounters>]) -> u64 {
    counters.iter().map(|counters| counters.connections.load(Ordering::Relaxed)).sum()
}
