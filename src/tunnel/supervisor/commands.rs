//! What the API asks of the supervisor.
//!
//! A change goes in steps: its turn, what can be refused at once (with the port bound), the database, and only then
//! what is live. A step that fails undoes the ones before by dropping what they made.

use std::collections::HashSet;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

use super::super::commands::{
    CreateTunnel, CutConnection, DeleteTunnel, Drain, GetTunnel, ListConnections, ListTunnels, NewTunnel, PatchTunnel,
    Ping, TunnelChanges,
};
use super::super::counters::TunnelCounters;
use super::super::entry::{Tunnel, join_allow};
use super::super::listener::{bind, bind_any};
use super::super::proxy_connection::{Connections, CutUser, UseListener};
use super::super::view::{ConnectionView, TunnelView};
use super::TunnelSupervisor;
use crate::clock::now_ms;
use crate::error::Error;
use crate::store::models::ProxyRow;
use crate::store::{StoreError, proxies};
use crate::wire::codes::ResetCode;

/// How often a draining server looks whether its channels are done.
const DRAIN_CHECK: Duration = Duration::from_millis(50);
/// Sessions get this long to say goodbye.
const GOODBYE: Duration = Duration::from_millis(200);

impl TunnelSupervisor {
    fn view(&self, proxy_id: &str) -> Result<TunnelView, Error> {
        let tunnel = self.tunnels.get(proxy_id).ok_or_else(|| Error::TunnelUnknown(proxy_id.to_owned()))?;
        Ok(tunnel.view(self.agent_online(&tunnel.row.client_id), self.config.bind))
    }

    fn check_port(&self, port: u16, own: Option<&str>) -> Result<(), Error> {
        if !self.config.ports.contains(&port) {
            return Err(Error::PortOutOfRange { port, range: self.config.ports.clone() });
        }
        let holder = self.tunnels.values().find(|tunnel| tunnel.port() == port);
        match holder.filter(|tunnel| own != Some(tunnel.row.proxy_id.as_str())) {
            Some(tunnel) => Err(Error::PortInUse { port, tunnel: Some(tunnel.row.proxy_id.clone()) }),
            None => Ok(()),
        }
    }

    fn bind_chosen(&self, address: IpAddr, port: Option<u16>) -> Result<(TcpListener, u16), Error> {
        let Some(port) = port else {
            let taken: HashSet<u16> = self.tunnels.values().map(Tunnel::port).collect();
            let random = getrandom::u32().unwrap_or(0);
            let bound = bind_any(address, &self.config.ports, &taken, random);
            return bound.ok_or_else(|| Error::NoPortFree(self.config.ports.clone()));
        };
        self.check_port(port, None)?;
        Ok((bind_port(address, port)?, port))
    }

    fn prepare_create(&self, new: NewTunnel, owner_id: String) -> Result<(ProxyRow, TcpListener), Error> {
        let address = new.bind.unwrap_or(self.config.bind);
        let (listener, port) = self.bind_chosen(address, new.local_port)?;
        let created_at = now_ms();
        let row = ProxyRow {
            proxy_id: format!("{}-{port}-{created_at}", new.client_id),
            client_id: new.client_id,
            owner_id,
            name: new.name,
            protocol: "tcp".into(),
            remote_host: new.remote_host,
            remote_port: i32::from(new.remote_port),
            local_port: i32::from(port),
            bind: new.bind.map(|bind| bind.to_string()),
            enabled: true,
            allow: join_allow(&new.allow),
            max_connections: stored_limit(new.max_connections),
            bytes_in: 0,
            bytes_out: 0,
            connections_total: 0,
            dial_errors: 0,
            last_dial_error: None,
            created_at,
        };
        Ok((row, listener))
    }

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
}

/// What a change means for the listener.
enum Rebind {
    Keep,
    /// The tunnel is switched off.
    Release,
    /// Another address with the same port: the old listener has to go first.
    InPlace(IpAddr),
    To(Arc<TcpListener>),
}

fn bind_port(address: IpAddr, port: u16) -> Result<TcpListener, Error> {
    bind(address, port).map_err(|error| Error::PortUnavailable { port, reason: error.to_string() })
}

fn stopping() -> Error {
    Error::Unavailable("the server is stopping".into())
}

fn stored_limit(limit: Option<u32>) -> Option<i32> {
    limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX))
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

/// Its turn to change something. The semaphore is never closed; without a permit nothing would be lost but the order.
async fn turn(semaphore: Arc<tokio::sync::Semaphore>) -> Option<OwnedSemaphorePermit> {
    semaphore.acquire_owned().await.ok()
}

impl Handler<CreateTunnel> for TunnelSupervisor {
    type Result = ResponseActFuture<Self, Result<TunnelView, Error>>;

    fn handle(&mut self, CreateTunnel { tunnel, owner_id }: CreateTunnel, _: &mut Self::Context) -> Self::Result {
        if self.stopping {
            return Box::pin(actix::fut::ready(Err(stopping())));
        }
        let create = turn(self.turn.clone()).into_actor(self).then(move |permit, supervisor, _| {
            let client_id = tunnel.client_id.clone();
            let prepared = supervisor.prepare_create(tunnel, owner_id);
            let store = supervisor.store.clone();
            let insert = async move {
                let (row, listener) = prepared?;
                let stored = row.clone();
                match store.run(move |c| proxies::insert(c, &stored)).await {
                    Ok(()) => Ok((row, listener, permit)),
                    Err(StoreError::Missing) => Err(Error::AgentUnknown(client_id)),
                    Err(error) => Err(error.into()),
                }
            };
            insert.into_actor(supervisor)
        });
        Box::pin(create.map(|created, supervisor, ctx| {
            let (row, listener, _permit) = created?;
            let proxy_id = row.proxy_id.clone();
            supervisor.add(Tunnel::new(row, Some(Arc::new(listener))), ctx);
            supervisor.view(&proxy_id)
        }))
    }
}

impl Handler<PatchTunnel> for TunnelSupervisor {
    type Result = ResponseActFuture<Self, Result<TunnelView, Error>>;

    fn handle(&mut self, PatchTunnel { proxy_id, changes }: PatchTunnel, _: &mut Self::Context) -> Self::Result {
        if self.stopping {
            return Box::pin(actix::fut::ready(Err(stopping())));
        }
        let id = proxy_id.clone();
        let patch = turn(self.turn.clone()).into_actor(self).then(move |permit, supervisor, ctx| {
            let prepared = supervisor.prepare_patch(&id, changes);
            let released = supervisor.release_for(&prepared, ctx);
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
        let patch = patch.then(|updated, supervisor, ctx| {
            let (applied, failed) = match updated {
                Ok((row, rebind, permit)) => (Some((supervisor.apply_patch(row, rebind, ctx), permit)), None),
                Err(error) => (None, Some(error)),
            };
            let done: ResponseActFuture<Self, Result<(), Error>> = match (applied, failed) {
                (Some((applied, permit)), _) => Box::pin(applied.map(move |(), _, _| {
                    drop(permit);
                    Ok(())
                })),
                (None, failed) => Box::pin(actix::fut::ready(Err(failed.unwrap_or(Error::Internal)))),
            };
            done
        });
        Box::pin(patch.map(move |done, supervisor, ctx| {
            // After a failure in place the tunnel stands without a listener: as its row says, it gets one again.
            supervisor.bring_up(&proxy_id, ctx);
            done.and_then(|()| supervisor.view(&proxy_id))
        }))
    }
}

impl TunnelSupervisor {
    /// For a change of addresses on the same port: let go of the old listener, then bind the new one.
    fn release_for(
        &mut self,
        prepared: &Result<(ProxyRow, Rebind), Error>,
        _: &mut Context<Self>,
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

impl Handler<DeleteTunnel> for TunnelSupervisor {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, DeleteTunnel(proxy_id): DeleteTunnel, _: &mut Self::Context) -> Self::Result {
        let id = proxy_id.clone();
        let delete = turn(self.turn.clone()).into_actor(self).then(move |permit, supervisor, _| {
            let known = supervisor.tunnels.contains_key(&id);
            let store = supervisor.store.clone();
            let delete = async move {
                if !known {
                    return Err(Error::TunnelUnknown(id));
                }
                match store.run(move |c| proxies::delete(c, &id)).await {
                    Ok(()) | Err(StoreError::Missing) => Ok(permit),
                    Err(error) => Err(error.into()),
                }
            };
            delete.into_actor(supervisor)
        });
        Box::pin(delete.then(move |deleted, supervisor, ctx| {
            let down = deleted.map(|permit| {
                let down = supervisor.take_down(&proxy_id, ResetCode::CUT, ctx);
                supervisor.tunnels.remove(&proxy_id);
                tracing::info!(proxy_id, "the tunnel is deleted");
                (down, permit)
            });
            let finish = async move {
                let (down, _permit) = down?;
                down.await;
                Ok(())
            };
            finish.into_actor(supervisor)
        }))
    }
}

impl Handler<GetTunnel> for TunnelSupervisor {
    type Result = Result<TunnelView, Error>;

    fn handle(&mut self, GetTunnel(proxy_id): GetTunnel, _: &mut Self::Context) -> Self::Result {
        self.view(&proxy_id)
    }
}

impl Handler<ListTunnels> for TunnelSupervisor {
    type Result = MessageResult<ListTunnels>;

    fn handle(&mut self, _: ListTunnels, _: &mut Self::Context) -> Self::Result {
        let view = |tunnel: &Tunnel| tunnel.view(self.agent_online(&tunnel.row.client_id), self.config.bind);
        MessageResult(self.tunnels.values().map(view).collect())
    }
}

impl Handler<ListConnections> for TunnelSupervisor {
    type Result = ResponseFuture<Result<Vec<ConnectionView>, Error>>;

    fn handle(&mut self, ListConnections(proxy_id): ListConnections, _: &mut Self::Context) -> Self::Result {
        let Some(tunnel) = self.tunnels.get(&proxy_id) else {
            return Box::pin(std::future::ready(Err(Error::TunnelUnknown(proxy_id))));
        };
        let child = tunnel.child.as_ref().map(|child| child.0.clone());
        Box::pin(async move {
            let Some(child) = child else { return Ok(Vec::new()) };
            // One that ended in this moment has a successor that would answer the next question.
            Ok(child.send(Connections).await.unwrap_or_default())
        })
    }
}

impl Handler<CutConnection> for TunnelSupervisor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, CutConnection { proxy_id, user_id }: CutConnection, _: &mut Self::Context) -> Self::Result {
        let Some(tunnel) = self.tunnels.get(&proxy_id) else {
            return Box::pin(std::future::ready(Err(Error::TunnelUnknown(proxy_id))));
        };
        let child = tunnel.child.as_ref().map(|child| child.0.clone());
        Box::pin(async move {
            let Some(child) = child else { return Err(Error::ConnectionUnknown(user_id)) };
            let cut = child.send(CutUser(user_id)).await;
            cut.unwrap_or_else(|_| Err(Error::Unavailable("the tunnel restarts; try again".into())))
        })
    }
}

impl Handler<Ping> for TunnelSupervisor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}

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
    counters.iter().map(|counters| counters.connections.load(std::sync::atomic::Ordering::Relaxed)).sum()
}
