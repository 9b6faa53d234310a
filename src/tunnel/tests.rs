//! What the supervision tree does when its parts panic: the real server, agents and sockets in one process.

mod agent_session;
mod held_users;
mod proxy_connection;
pub(crate) mod raw_agent;
pub(crate) mod rig;
mod storms;
mod takeover;
mod user_channel;

use actix::prelude::*;

use super::agent_session::AgentSession;
use super::proxy_connection::ProxyConnection;
use super::supervisor::TunnelSupervisor;
use super::user_channel::UserChannel;

/// Panic while this is handled.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Panic;

impl Handler<Panic> for TunnelSupervisor {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test asked the supervisor to");
    }
}

impl Handler<Panic> for ProxyConnection {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test asked the acceptor to");
    }
}

impl Handler<Panic> for UserChannel {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test asked the channel to");
    }
}

impl Handler<Panic> for AgentSession {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test asked the session to");
    }
}
