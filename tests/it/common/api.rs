//! The REST API as a script would call it. Answers of any status are answers, not errors.

use std::time::Duration;

use serde_json::Value;
use ureq::Body;
use ureq::http::{Request, Response};

/// No call may take longer, not even one that waits for a locked database or whose turn comes late.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// What calls servers: any answer is one, and nothing is followed or kept.
pub fn http() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(CALL_LIMIT))
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // Kept connections would show among the server's descriptors, which some tests count.
        .max_idle_connections(0)
        .build();
    ureq::Agent::new_with_config(config)
}

#[derive(Clone)]
pub struct Api {
    base: String,
    token: Option<String>,
    http: ureq::Agent,
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Api {
    pub fn new(port: u16, token: Option<&str>) -> Self {
        Self { base: format!("http://127.0.0.1:{port}"), token: token.map(str::to_owned), http: http() }
    }

    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.base.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// The token that it shows.
    pub fn token(&self) -> &str {
        self.token.as_deref().expect("it has one")
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, None).pair()
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, Some(("application/json", &body.to_string()))).pair()
    }

    pub fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("PATCH", path, Some(("application/json", &body.to_string()))).pair()
    }

    pub fn delete(&self, path: &str) -> (u16, Value) {
        self.send("DELETE", path, None).pair()
    }

    /// Any call; `body` is a content type and the text.
    pub fn send(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> Answer {
        self.try_send(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As `send`, for a server that may be away.
    pub fn try_send(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        Answer::read(match body {
            Some((kind, text)) => self.http.run(request.header("content-type", kind).body(text.to_owned())?)?,
            None => self.http.run(request.body(())?)?,
        })
    }

    /// The items of a list answer.
    pub fn items(&self, path: &str) -> Vec<Value> {
        let (status, answer) = self.get(path);
        assert_eq!(status, 200, "{path}: {answer}");
        answer["items"].as_array().unwrap_or_else(|| panic!("{path} is no list: {answer}")).clone()
    }

    /// The id of the one token that this account has.
    pub fn only_token_id(&self) -> String {
        let tokens = self.items("/api/tokens");
        assert_eq!(tokens.len(), 1, "{tokens:?}");
        tokens[0]["id"].as_str().expect("an id").to_owned()
    }
}

impl Answer {
    pub fn read(mut response: Response<Body>) -> Result<Self, ureq::Error> {
        let text = response.body_mut().read_to_string()?;
        Ok(Self { status: response.status().as_u16(), headers: response.headers().clone(), text })
    }

    /// It is a problem document of this status and code.
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.json()["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn pair(self) -> (u16, Value) {
        let json = self.json();
        (self.status, json)
    }
}

/// An answer is a problem of this status and code.
pub fn assert_problem((status, answer): (u16, Value), expected: u16, code: &str) {
    assert_eq!((status, answer["code"].as_str()), (expected, Some(code)), "{answer}");
}
