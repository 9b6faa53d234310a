//! A server with one agent `pc1`, which is what most tests need.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::{Agent, Api, Server, connect, wait_until};

/// Fields drop in this order: the agent first, so that it logs no lost server.
pub struct Rig {
    pub agent: Agent,
    pub server: Server,
}

impl Rig {
    pub fn start(protocol: &str) -> Self {
        Self::on(Server::start(), protocol)
    }

    pub fn on(server: Server, protocol: &str) -> Self {
        Self { agent: Agent::start(&server, "pc1", protocol), server }
    }

    /// A tunnel to a port on 127.0.0.1, ready for users.
    pub fn tunnel_to(&self, remote_port: u16) -> Tunnel {
        self.server.create_tunnel("pc1", remote_port)
    }
}

/// A tunnel as the API made it.
pub struct Tunnel {
    pub id: String,
    pub port: u16,
    api: Api,
}

impl Tunnel {
    pub fn new(answer: &Value, api: Api) -> Self {
        let port = answer["local_port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let id = answer["proxy_id"].as_str().expect("a proxy_id").to_owned();
        Self { id, port: port.expect("a local_port"), api }
    }

    pub fn path(&self) -> String {
        format!("/api/proxy/{}", self.id)
    }

    /// One user's connection.
    pub fn connect(&self) -> TcpStream {
        connect(self.port)
    }

    pub fn view(&self) -> Value {
        let (status, view) = self.api.get(&self.path());
        assert_eq!(status, 200, "{view}");
        view
    }

    /// One of its numbers.
    pub fn number(&self, field: &str) -> u64 {
        let view = self.view();
        view[field].as_u64().unwrap_or_else(|| panic!("no number `{field}` in {view}"))
    }

    pub fn connections(&self) -> Vec<Value> {
        self.api.items(&format!("{}/connections", self.path()))
    }

    pub fn wait_state(&self, state: &str, limit: Duration) {
        wait_until(&format!("tunnel {} is {state}", self.id), limit, || self.view()["state"] == state);
    }

    /// Wait until no user's connection is left.
    pub fn wait_idle(&self, limit: Duration) {
        wait_until("no connection is left", limit, || self.number("connections") == 0);
    }

    /// Change it, which must work.
    pub fn patch(&self, changes: &Value) -> Value {
        let (status, answer) = self.api.patch(&self.path(), changes);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub fn delete(&self) {
        let (status, answer) = self.api.delete(&self.path());
        assert!(matches!(status, 200 | 204), "{status} {answer}");
    }
}
