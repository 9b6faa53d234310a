//! What the API asks of the supervisor.
//!
//! A change goes in steps: its turn, what can be refused at once (with the port bound), the database, and only then
//! what is live. A step that fails undoes the ones before by dropping what they made.

use std::collections::HashSet;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::OwnedSemaphorePermit;

use super::super::commands::{
    CreateTunnel, CutConnection, DeleteTunnel, GetTunnel, ListConnections, ListTunnels, NewTunnel, Ping,
};
use super::super::entry::{Tunnel, join_allow};
use super::super::listener::{bind, bind_any};
use super::super::proxy_connection::{Connections, CutUser};
use super::super::view::{ConnectionView, TunnelView};
use super::TunnelSupervisor;
use crate::clock::now_ms;
use crate::error::Error;
use crate::identity::limits::{self, Limited};
use crate::store::models::ProxyRow;
use crate::store::{StoreError, proxies};
use crate::wire::codes::ResetCode;

impl TunnelSupervisor {
    pub(super) fn view(&self, proxy_id: &str) -> Result<TunnelView, Error> {
        let tunnel = self.tunnels.get(proxy_id).ok_or_else(|| Error::TunnelUnknown(proxy_id.to_owned()))?;
        Ok(tunnel.view(self.agent_online(&tunnel.row.client_id), self.config.bind))
    }

    pub(super) fn check_port(&self, port: u16, own: Option<&str>) -> Result<(), Error> {
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

    fn check_limit(&self, owner_id: &str, limit: Option<u32>) -> Result<(), Error> {
        let present = self.tunnels.values().filter(|tunnel| tunnel.row.owner_id == owner_id).count();
        limits::check(Limited::Tunnels, limit, present)
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
}

pub(super) fn bind_port(address: IpAddr, port: u16) -> Result<TcpListener, Error> {
    bind(address, port).map_err(|error| Error::PortUnavailable { port, reason: error.to_string() })
}

pub(super) fn stopping() -> Error {
    Error::Unavailable("the server is stopping".into())
}

pub(super) fn stored_limit(limit: Option<u32>) -> Option<i32> {
    limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX))
}

/// Its turn to change something. The semaphore is never closed; without a permit nothing would be lost but the order.
pub(super) async fn turn(semaphore: Arc<tokio::sync::Semaphore>) -> Option<OwnedSemaphorePermit> {
    semaphore.acquire_owned().await.ok()
}

impl Handler<CreateTunnel> for TunnelSupervisor {
    type Result = ResponseActFuture<Self, Result<TunnelView, Error>>;

    fn handle(&mut self, create: CreateTunnel, _: &mut Self::Context) -> Self::Result {
        let CreateTunnel { tunnel, owner_id, limit } = create;
        if self.stopping {
            return Box::pin(actix::fut::ready(Err(stopping())));
        }
        let create = turn(self.turn.clone()).into_actor(self).then(move |permit, supervisor, _| {
            let client_id = tunnel.client_id.clone();
            let prepared =
                supervisor.check_limit(&owner_id, limit).and_then(|()| supervisor.prepare_create(tunnel, owner_id));
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
            supervisor.tell_created(&proxy_id);
            supervisor.view(&proxy_id)
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
                if let Some(tunnel) = supervisor.tunnels.remove(&proxy_id) {
                    supervisor.tell_deleted(&tunnel.row);
                }
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
