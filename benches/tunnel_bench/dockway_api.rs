//! The few calls of Dockway's REST API that the benchmark needs.

use crate::common::Outcome;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use ureq::Body;
use ureq::http::Response;

/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// A client of one server, with an admin's token.
pub struct Api {
    http: ureq::Agent,
    base: String,
    authorization: String,
}

impl Api {
    /// A client of the server at `address`.
    pub fn new(address: SocketAddr, token: String) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(CALL_LIMIT)).http_status_as_error(false).build();
        Self { http: config.into(), base: format!("http://{address}/api"), authorization: format!("Bearer {token}") }
    }

    /// Enrols an agent and gives its token.
    pub fn enrol_agent(&self, client_id: &str) -> Outcome<String> {
        let answer = self.post("/agents", &json!({ "client_id": client_id }))?;
        let token = answer["token"].as_str().ok_or_else(|| format!("no token in the answer {answer}"))?;
        Ok(token.to_owned())
    }

    /// Whether the agent's session stands.
    pub fn is_agent_online(&self, client_id: &str) -> Outcome<bool> {
        let path = format!("/agents/{client_id}");
        let request = self.http.get(format!("{}{path}", self.base)).header("Authorization", &self.authorization);
        Ok(read(&path, request.call()?)?["online"] == Value::Bool(true))
    }

    /// Opens a tunnel and gives its port.
    pub fn create_tunnel(&self, client_id: &str, remote: SocketAddr) -> Outcome<u16> {
        let wanted =
            json!({ "client_id": client_id, "remote_host": remote.ip().to_string(), "remote_port": remote.port() });
        let answer = self.post("/proxy/create", &wanted)?;
        let port = answer["local_port"].as_u64().and_then(|port| u16::try_from(port).ok());
        Ok(port.ok_or_else(|| format!("no port in the answer {answer}"))?)
    }

    fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        let request = self.http.post(format!("{}{path}", self.base)).header("Authorization", &self.authorization);
        read(path, request.send_json(body)?)
    }
}

fn read(path: &str, mut response: Response<Body>) -> Outcome<Value> {
    let status = response.status();
    let text = response.body_mut().read_to_string()?;
    if !status.is_success() {
        return Err(format!("{path} answers {status}: {text}").into());
    }
    serde_json::from_str(&text).map_err(|error| format!("{path} answers what is not JSON ({error}): {text}").into())
}
