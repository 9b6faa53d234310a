//! What tests see of a supervisor, so that they can make its children panic.

use std::net::TcpListener;
use std::sync::Arc;

use actix::prelude::*;

use super::super::messages::SessionHandle;
use super::super::proxy_connection::ProxyConnection;
use super::super::tests::Panic;
use super::TunnelSupervisor;
use crate::wire::codes::ResetCode;

/// The live parts of this tunnel; None while it is not served.
#[derive(Message)]
#[rtype(result = "Option<Parts>")]
pub(crate) struct Probe(pub String);

/// See [`Probe`].
pub(crate) struct Parts {
    pub proxy: Addr<ProxyConnection>,
    pub listener: Arc<TcpListener>,
    pub session: Option<SessionHandle>,
}

impl Handler<Probe> for TunnelSupervisor {
    type Result = MessageResult<Probe>;

    fn handle(&mut self, Probe(proxy_id): Probe, _: &mut Self::Context) -> Self::Result {
        let parts = |tunnel: &super::Tunnel| {
            Some(Parts {
                proxy: tunnel.child.as_ref()?.0.clone(),
                listener: tunnel.listener.clone()?,
                session: self.session_for(&proxy_id),
            })
        };
        MessageResult(self.tunnels.get(&proxy_id).and_then(parts))
    }
}

/// Take this tunnel down while its ProxyConnection has a panic before it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PanicWhileStopping(pub String);

impl Handler<PanicWhileStopping> for TunnelSupervisor {
    type Result = ();

    fn handle(&mut self, PanicWhileStopping(proxy_id): PanicWhileStopping, ctx: &mut Self::Context) {
        self.tunnels[&proxy_id].child.as_ref().unwrap().0.try_send(Panic).unwrap();
        let down = self.take_down(&proxy_id, ResetCode::CUT, ctx);
        ctx.spawn(down.into_actor(self));
    }
}
