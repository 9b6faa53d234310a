//! Changing a tunnel: the new port is bound before the old one is left.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use actix::prelude::*;

use super::super::commands::{PatchTunnel, TunnelChanges};
use super::super::entry::{Tunnel, join_allow};
use super::super::listener::bind;
use super::super::proxy_connection::UseListener;
use super::super::view::TunnelView;
use super::TunnelSupervisor;
use super::commands::{bind_port, stopping, stored_limit, turn};
use crate::error::Error;
use crate::store::models::ProxyRow;
use crate::store::proxies;
use crate::wire::codes::ResetCode;

/// What a change means for the listener.
enum Rebind {
    Keep,
    /// The tunnel is switched off.
    Release,
    /// Another address with the same port: the old listener has to go first.
    InPlace(IpAddr),
    To(Arc<TcpListener>),
}

impl Handler<PatchTunnel> for TunnelSupervisor {
    type Result = ResponseActFuture<Self, Result<TunnelView, Error>>;

    fn handle(&mut self, PatchTunnel { proxy_id, changes }: PatchTunnel, _: &mut Self::Context) -> Self::Result {
        if self.stopping {
            return Box::pin(actix::fut::ready(Err(stopping())));
        }
        let id = proxy_id.clone();
        let patch = turn(self.turn.clone()).into_actor(self).then(move |permit, supervisor, _| {
            let prepared = supervisor.prepare_patch(&id, changes);
            let released = supervisor.release_for(&prepared);
            released.map(|in_place, _, _| (prepared, in_place, permit))
        });
        let patch = patch.then(|(prepared, in_place, permit), supervisor, _| {
            let store = supervisor.store.clone();
            let update = async move {
                let (row, rebind) = prepared?;
                let rebind = in_place.unwrap_or(Ok(rebind))?;
                let stored = row.clone();
                store.run(move |c| proxies::update(c, &stored)).await?;
                Ok::<_, Error>((row, rebind, permit))
            };
            update.into_actor(supervisor)
        });
        let patch = patch.then(|updated, supervisor, ctx| -> ResponseActFuture<Self, Result<(), Error>> {
            match updated {
                Ok((row, rebind, permit)) => {
                    let applied = supervisor.apply_patch(row, rebind, ctx);
                    Box::pin(applied.map(move |(), _, _| {
                        // The next change waits until the old port is free.
                        drop(permit);
                        Ok(())
                    }))
                }
                Err(error) => Box::pin(actix::fut::ready(Err(error))),
            }
        });
        Box::pin(patch.then(move |done, supervisor, ctx| {
            // What was changed in place and then not stored goes back to what the row says.
            let undo = done.is_err() && supervisor.listens_elsewhere(&proxy_id);
            let down = undo.then(|| supervisor.take_down(&proxy_id, ResetCode::ABORTED, ctx));
            let undone = async move {
                if let Some(down) = down {
                    down.await;
                }
            };
            undone.into_actor(supervisor).map(move |(), supervisor, ctx| {
                supervisor.bring_up(&proxy_id, ctx);
                supervisor.tell_changed(&proxy_id);
                done.and_then(|()| supervisor.view(&proxy_id))
            })
        }))
    }
}

impl TunnelSupervisor {
    /// The row after the changes, and the new listener if it needs one.
    fn prepare_patch(&self, proxy_id: &str, changes: TunnelChanges) -> Result<(ProxyRow, Rebind), Error> {
        let tunnel = self.tunnels.get(proxy_id).ok_or_else(|| Error::TunnelUnknown(proxy_id.to_owned()))?;
        if let Some(port) = changes.local_port.filter(|port| *port != tunnel.port()) {
            self.check_port(port, Some(proxy_id))?;
        }
        let changed = Tunnel::new(changed_row(tunnel.row.clone(), changes), None);
        let (before, after) = (tunnel.address(self.config.bind), changed.address(self.config.bind));
        let rebind = if !changed.row.enabled {
            Rebind::Release
        } else if changed.port() != tunnel.port() || !tunnel.row.enabled {
            Rebind::To(Arc::new(bind_port(after, changed.port())?))
        } else if before == after || tunnel.listener.is_none() {
            // One that is down is tried again by itself.
            Rebind::Keep
        } else {
            // The same port on other addresses cannot be bound beside the present one.
            Rebind::InPlace(after)
        };
        Ok((changed.row, rebind))
    }

    fn listens_elsewhere(&self, proxy_id: &str) -> bool {
        let Some(tunnel) = self.tunnels.get(proxy_id) else { return false };
        let bound = tunnel.listener.as_ref().and_then(|listener| listener.local_addr().ok());
        bound.is_some_and(|bound| bound.ip() != tunnel.address(self.config.bind))
    }

    /// Make the live tunnel what its row says now.
    fn apply_patch(&mut self, row: ProxyRow, rebind: Rebind, ctx: &mut Context<Self>) -> ResponseActFuture<Self, ()> {
        let proxy_id = row.proxy_id.clone();
        let Some(tunnel) = self.tunnels.get_mut(&proxy_id) else { return Box::pin(actix::fut::ready(())) };
        tunnel.row = row;
        if let Some(child) = &tunnel.child {
            child.use_target(tunnel.target());
        }
        match rebind {
            Rebind::Keep => self.bring_up(&proxy_id, ctx),
            Rebind::Release => {
                let down = self.take_down(&proxy_id, ResetCode::CUT, ctx);
                return Box::pin(down.into_actor(self));
            }
            Rebind::InPlace(_) => {}
            Rebind::To(listener) => return self.change_listener(&proxy_id, listener, ctx),
        }
        Box::pin(actix::fut::ready(()))
    }

    /// Serve another listener; the port of the old one is free when the future ends.
    fn change_listener(
        &mut self,
        proxy_id: &str,
        listener: Arc<TcpListener>,
        ctx: &mut Context<Self>,
    ) -> ResponseActFuture<Self, ()> {
        let Some(tunnel) = self.tunnels.get_mut(proxy_id) else { return Box::pin(actix::fut::ready(())) };
        let old = tunnel.listener.replace(listener.clone());
        let Some(child) = tunnel.child.as_ref().map(|child| child.0.clone()) else {
            if let Some(retry) = tunnel.retry.take() {
                ctx.cancel_future(retry);
            }
            self.bring_up(proxy_id, ctx);
            return Box::pin(actix::fut::ready(()));
        };
        let change = async move {
            // One that ends in this moment gets the new listener with its successor.
            let _ = child.send(UseListener(Some(listener))).await;
            drop(old);
        };
        Box::pin(change.into_actor(self))
    }

    /// For a change of addresses on the same port: let go of the old listener, then bind the new one.
    fn release_for(
        &mut self,
        prepared: &Result<(ProxyRow, Rebind), Error>,
    ) -> ResponseActFuture<Self, Option<Result<Rebind, Error>>> {
        let Ok((row, Rebind::InPlace(address))) = prepared else { return Box::pin(actix::fut::ready(None)) };
        let (proxy_id, address) = (row.proxy_id.clone(), *address);
        let Some(tunnel) = self.tunnels.get_mut(&proxy_id) else { return Box::pin(actix::fut::ready(None)) };
        let port = tunnel.port();
        let (old, old_address) = (tunnel.listener.take(), tunnel.address(self.config.bind));
        let child = tunnel.child.as_ref().map(|child| child.0.clone());
        let rebind = async move {
            if let Some(child) = &child {
                let _ = child.send(UseListener(None)).await;
            }
            drop(old);
            let bound = bind_port(address, port).map(Arc::new);
            // What was there before comes back if it can.
            let (listener, result) = match bound {
                Ok(listener) => (Some(listener.clone()), Ok(Rebind::To(listener))),
                Err(error) => (bind(old_address, port).ok().map(Arc::new), Err(error)),
            };
            if let (Some(child), Some(listener)) = (&child, &listener) {
                let _ = child.send(UseListener(Some(listener.clone()))).await;
            }
            (listener, result)
        };
        Box::pin(rebind.into_actor(self).map(move |(listener, result), supervisor, _| {
            if let Some(tunnel) = supervisor.tunnels.get_mut(&proxy_id) {
                tunnel.listener = listener;
            }
            Some(result)
        }))
    }
}

fn changed_row(mut row: ProxyRow, changes: TunnelChanges) -> ProxyRow {
    let TunnelChanges { name, remote_host, remote_port, local_port, bind, allow, max_connections, enabled } = changes;
    row.name = name.unwrap_or(row.name);
    row.remote_host = remote_host.unwrap_or(row.remote_host);
    row.remote_port = remote_port.map_or(row.remote_port, i32::from);
    row.local_port = local_port.map_or(row.local_port, i32::from);
    row.bind = bind.map_or(row.bind, |bind| bind.map(|bind| bind.to_string()));
    row.allow = allow.map_or(row.allow, |allow| join_allow(&allow));
    row.max_connections = max_connections.map_or(row.max_connections, stored_limit);
    row.enabled = enabled.unwrap_or(row.enabled);
    row
}
