//! A tunnel's life: bound, served by a ProxyConnection, restarted, down and tried again, stopped.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::super::entry::{Child, Tunnel};
use super::super::estate::Estate;
use super::super::listener::bind;
use super::super::proxy_connection::{NewProxy, ProxyConnection, StopTunnel};
use super::TunnelSupervisor;
use crate::supervision::{ChildDown, ChildGuard, Restart};
use crate::wire::codes::ResetCode;

/// A tunnel that crashed too often is tried again after this; in tests nobody waits that long.
const CRASHED_RETRY: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 60 });
/// The reason of such a tunnel.
const CRASHED: &str = "crashed";

impl TunnelSupervisor {
    /// Take a tunnel in and serve it.
    pub(super) fn add(&mut self, tunnel: Tunnel, ctx: &mut Context<Self>) {
        let proxy_id = tunnel.row.proxy_id.clone();
        self.tunnels.insert(proxy_id.clone(), tunnel);
        self.bring_up(&proxy_id, ctx);
    }

    /// Bind if that is not done yet, and start the ProxyConnection; on failure try again later.
    pub(super) fn bring_up(&mut self, proxy_id: &str, ctx: &mut Context<Self>) {
        let default_bind = self.config.bind;
        let Some(tunnel) = self.tunnels.get_mut(proxy_id) else { return };
        tunnel.retry = None;
        if !tunnel.row.enabled || tunnel.child.is_some() || self.stopping {
            return;
        }
        if tunnel.listener.is_none() {
            match bind(tunnel.address(default_bind), tunnel.port()) {
                Ok(listener) => tunnel.listener = Some(Arc::new(listener)),
                Err(error) => {
                    let reason = format!("port {}: {error}", tunnel.port());
                    return self.is_down(proxy_id, reason, ctx);
                }
            }
        }
        self.start_proxy(proxy_id, Estate::default(), ctx);
    }

    fn is_down(&mut self, proxy_id: &str, reason: String, ctx: &mut Context<Self>) {
        let Some(tunnel) = self.tunnels.get_mut(proxy_id) else { return };
        if tunnel.down.as_ref() != Some(&reason) {
            tracing::warn!(proxy_id, reason, "the tunnel is down, another attempt follows");
        }
        tunnel.down = Some(reason);
        let pause = tunnel.backoff.next_pause();
        self.retry_after(proxy_id, pause, ctx);
    }

    fn retry_after(&mut self, proxy_id: &str, pause: Duration, ctx: &mut Context<Self>) {
        let id = proxy_id.to_owned();
        let retry = ctx.run_later(pause, move |supervisor, ctx| {
            supervisor.bring_up(&id, ctx);
            supervisor.tell_changed(&id);
        });
        if let Some(tunnel) = self.tunnels.get_mut(proxy_id) {
            tunnel.retry = Some(retry);
        }
    }

    /// The factory of ProxyConnections.
    fn start_proxy(&mut self, proxy_id: &str, estate: Estate, ctx: &Context<Self>) {
        let session = self.session_for(proxy_id);
        let Some(tunnel) = self.tunnels.get_mut(proxy_id) else { return };
        let Some(listener) = tunnel.listener.clone() else { return };
        let proxy = ProxyConnection::new(NewProxy {
            target: tunnel.target(),
            listener,
            session,
            counters: tunnel.counters.clone(),
            numbers: self.numbers.clone(),
            hold: self.config.hold,
            desktop_subnets: self.config.desktop_subnets,
            dial_failed: ctx.address().recipient(),
            guard: ChildGuard::new(proxy_id.to_owned(), ctx.address().recipient(), estate),
        });
        tunnel.child = Some(Child(proxy.start()));
        tunnel.down = None;
        tunnel.backoff.reset();
        let address = tunnel.address(self.config.bind);
        tracing::info!(proxy_id, %address, port = tunnel.port(), "the tunnel listens");
    }

    /// A ProxyConnection has ended. Those that were told to have no entry any more, or another child.
    pub(super) fn proxy_down(&mut self, down: ChildDown<String, Estate>, ctx: &mut Context<Self>) {
        let Some(tunnel) = self.tunnels.get_mut(&down.key) else { return };
        let Some(child) = &tunnel.child else { return tunnel.has_no_connections() };
        if child.0.connected() {
            return;
        }
        match tunnel.intensity.decide(&down.cause, Instant::now()) {
            Restart::No => {}
            Restart::Now => {
                tracing::error!(proxy_id = down.key, cause = ?down.cause, "a tunnel's acceptor ended: another takes over");
                self.start_proxy(&down.key, down.estate, ctx);
            }
            Restart::GiveUp => {
                tracing::error!(proxy_id = down.key, cause = ?down.cause, "a tunnel's acceptor ends again and again");
                tunnel.child = None;
                tunnel.listener = None;
                tunnel.down = Some(CRASHED.into());
                tunnel.has_no_connections();
                self.retry_after(&down.key, CRASHED_RETRY, ctx);
                self.tell_changed(&down.key);
            }
        }
    }

    /// Take a tunnel's ProxyConnection and listener away. The future ends when the port is free.
    pub(super) fn take_down(
        &mut self,
        proxy_id: &str,
        code: ResetCode,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + use<> {
        let (mut child, mut listener) = (None, None);
        if let Some(tunnel) = self.tunnels.get_mut(proxy_id) {
            child = tunnel.child.take();
            listener = tunnel.listener.take();
            tunnel.down = None;
            if let Some(retry) = tunnel.retry.take() {
                ctx.cancel_future(retry);
            }
        }
        stop(child, listener, code)
    }
}

async fn stop(child: Option<Child>, listener: Option<Arc<TcpListener>>, code: ResetCode) {
    if let Some(child) = child {
        // One that is gone already holds no listener either.
        let _ = child.0.send(StopTunnel(code)).await;
    }
    drop(listener);
}
