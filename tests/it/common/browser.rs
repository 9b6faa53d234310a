//! A browser that is signed in, as the dashboard's pages use it: a cookie, an Origin, JSON.

use serde_json::{Value, json};
use ureq::http::Request;

use super::Server;
use super::api::{Answer, http};

#[derive(Clone)]
pub struct Browser {
    base: String,
    /// `name=value`; None before the sign-in.
    pub cookie: Option<String>,
    http: ureq::Agent,
}

impl Browser {
    /// Sign in, which must work.
    pub fn sign_in(server: &Server, username: &str, password: &str) -> Self {
        let mut browser = Self::new(server.port);
        let answer = browser.try_sign_in(username, password, &[]);
        assert_eq!(answer.status, 201, "{}", answer.text);
        browser.cookie = cookie_of(&answer);
        assert!(browser.cookie.is_some(), "no cookie is set");
        browser
    }

    /// One that is not signed in.
    pub fn new(port: u16) -> Self {
        Self { base: format!("http://127.0.0.1:{port}"), cookie: None, http: http() }
    }

    /// Another one with this cookie, `name=value`.
    pub fn with_cookie(&self, cookie: &str) -> Self {
        Self { cookie: Some(cookie.to_owned()), ..self.clone() }
    }

    /// Ask to sign in, with further headers; the cookie is not kept.
    pub fn try_sign_in(&self, username: &str, password: &str, headers: &[(&str, &str)]) -> Answer {
        let body = json!({ "username": username, "password": password }).to_string();
        let own = [("origin", self.base.as_str()), ("content-type", "application/json")];
        self.send("POST", "/api/session", &[&own, headers].concat(), &body)
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.own("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.own("POST", path, Some(body))
    }

    pub fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        self.own("PATCH", path, Some(body))
    }

    pub fn delete(&self, path: &str) -> (u16, Value) {
        self.own("DELETE", path, None)
    }

    fn own(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let kind = if body.is_some() { ("content-type", "application/json") } else { ("x-dockway-csrf", "1") };
        let text = body.map(Value::to_string).unwrap_or_default();
        let answer = self.send(method, path, &[("origin", self.base.as_str()), kind], &text);
        (answer.status, answer.json())
    }

    /// Any call with the cookie and these headers only; an empty body is none.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let cookie = self.cookie.as_deref().map(|cookie| ("cookie", cookie));
        for (name, value) in cookie.iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let sent = match body {
            "" => self.http.run(request.body(()).expect("a request")),
            text => self.http.run(request.body(text.to_owned()).expect("a request")),
        };
        sent.and_then(Answer::read).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

/// `name=value` of the cookie that an answer sets.
pub fn cookie_of(answer: &Answer) -> Option<String> {
    Some(answer.header("set-cookie")?.split(';').next()?.to_owned())
}
