//! What a request turned out to be, for the audit log.
//!
//! Handlers ask the policy through [`Authorized`](super::caller::Authorized), which notes the action here; whatever
//! changes something is written down when the answer is known. No handler can forget it.

use std::cell::RefCell;
use std::rc::Rc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, web};

use super::AppState;
use super::client::Client;
use crate::error::Error;
use crate::identity::audit::{Entry, Outcome};

/// How the audit log names a sign-in, for which the policy has no action: nobody needs a permission.
pub const SIGN_IN: &str = "session.create";
/// The most characters of a note: what people sent is kept, but not all that they send.
const NOTE_LIMIT: usize = 200;

/// Notes about one request; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Trail(Rc<RefCell<Notes>>);

#[derive(Debug, Clone, Default)]
struct Notes {
    actor: Option<String>,
    action: Option<&'static str>,
    object: Option<String>,
    detail: Option<String>,
    denied: bool,
}

impl Trail {
    /// The notes about this request.
    pub fn of(request: &HttpRequest) -> Self {
        let mut extensions = request.extensions_mut();
        if let Some(trail) = extensions.get::<Self>() {
            return trail.clone();
        }
        let trail = Self::default();
        extensions.insert(trail.clone());
        trail
    }

    /// Who it is, by the name of an account.
    pub fn actor(&self, name: &str) {
        self.0.borrow_mut().actor = Some(beginning(name));
    }

    /// What is done, and that it changes something.
    pub fn action(&self, action: &'static str) {
        self.0.borrow_mut().action = Some(action);
    }

    /// Nothing is written down after all.
    pub fn forget(&self) {
        self.0.borrow_mut().action = None;
    }

    /// What it is done to: a name or an id, never a secret.
    pub fn object(&self, object: impl Into<String>) {
        self.0.borrow_mut().object = Some(beginning(&object.into()));
    }

    /// What else an administrator would want to know, never a secret.
    pub fn detail(&self, detail: impl Into<String>) {
        self.0.borrow_mut().detail = Some(beginning(&detail.into()));
    }

    /// The policy said no, whatever the answer says.
    pub fn denied(&self) {
        self.0.borrow_mut().denied = true;
    }

    /// What is to be written down, if anything is.
    fn entry(&self, status: StatusCode, code: Option<&'static str>, client: &Client) -> Option<Entry> {
        let notes = self.0.borrow().clone();
        let outcome = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Outcome::Denied,
            _ if notes.denied => Outcome::Denied,
            status if status.is_client_error() || status.is_server_error() => Outcome::Failed,
            _ => Outcome::Ok,
        };
        Some(Entry {
            actor: notes.actor.unwrap_or_else(|| "-".into()),
            action: notes.action?,
            object: notes.object,
            address: client.address.map(|address| address.to_string()),
            outcome,
            detail: notes.detail.or_else(|| code.map(str::to_owned)),
        })
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(NOTE_LIMIT).collect()
}

/// Write down what the request changed, before the answer goes out.
pub async fn record<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let state = request.app_data::<web::Data<AppState>>().cloned();
    let response = next.call(request).await?;
    let Some(state) = state else { return Ok(response) };
    let trail = response.request().extensions().get::<Trail>().cloned();
    let error = response.response().error().and_then(|error| error.as_error::<Error>());
    let client = Client::of(response.request(), &state.settings);
    let entry = trail.and_then(|trail| trail.entry(response.status(), error.map(Error::code), &client));
    if let Some(entry) = entry {
        state.record(entry).await;
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_web::http::Method;
    use actix_web::test::{TestRequest, call_service, init_service};

    use crate::http::app;
    use crate::http::test_support::{AGENT, Tokens, state};
    use crate::store::audit;
    use crate::store::models::AuditRow;

    /// Action, object, outcome and detail of an entry.
    type Told<'a> = (&'a str, Option<&'a str>, &'a str, Option<&'a str>);

    /// The entries that one request leaves behind.
    async fn entries(method: Method, path: &str, token: impl Fn(&Tokens) -> &str, body: &str) -> Vec<AuditRow> {
        let (mut state, tokens) = state().await;
        let settings =
            crate::http::Settings { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..(*state.settings).clone() };
        state.settings = Arc::new(settings);
        let store = state.store.clone();
        let app = init_service(app(state)).await;
        let request = TestRequest::with_uri(path)
            .method(method)
            .peer_addr("10.0.0.1:80".parse().unwrap())
            .insert_header(("x-forwarded-for", "203.0.113.5"))
            .insert_header(("authorization", format!("Bearer {}", token(&tokens))))
            .insert_header(("content-type", "application/json"))
            .set_payload(body.to_owned());
        call_service(&app, request.to_request()).await;
        store.run(|c| audit::find(c, &audit::AuditQuery { limit: 100, ..Default::default() })).await.unwrap()
    }

    fn admin(tokens: &Tokens) -> &str {
        &tokens.admin
    }

    #[actix_web::test]
    async fn what_changes_leaves_one_entry_and_what_reads_none() {
        let enrol = r#"{"client_id":"pc1"}"#;
        let agent = format!("/api/agents/{AGENT}");
        let table: [(Method, &str, &str, Option<Told<'_>>); 10] = [
            (Method::GET, "/api/agents", "", None),
            (Method::GET, &agent, "", None),
            (Method::GET, "/api/agents/none", "", None),
            (Method::PUT, "/api/agents", "", None),
            (Method::POST, "/nothing", "", None),
            (Method::POST, "/api/agents", enrol, Some(("agent.enrol", Some("pc1"), "ok", None))),
            (Method::POST, "/api/agents", "{}", Some(("agent.enrol", None, "failed", Some("invalid")))),
            (
                Method::DELETE,
                "/api/agents/none",
                "",
                Some(("agent.remove", Some("none"), "failed", Some("agent_unknown"))),
            ),
            (Method::DELETE, &agent, "", Some(("agent.remove", Some(AGENT), "ok", None))),
            (Method::DELETE, "/api/proxy/x", "", Some(("tunnel.delete", Some("x"), "failed", Some("unavailable")))),
        ];
        for (method, path, body, expected) in table {
            let rows = entries(method.clone(), path, admin, body).await;
            let told: Vec<_> = rows
                .iter()
                .map(|row| (row.action.as_str(), row.object.as_deref(), row.outcome.as_str(), row.detail.as_deref()))
                .collect();
            assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{method} {path}");
            assert!(rows.iter().all(|row| row.actor == "admin" && row.address.as_deref() == Some("203.0.113.5")));
        }
    }

    #[actix_web::test]
    async fn what_the_policy_refuses_is_written_down_and_strangers_are_not() {
        let rows = entries(Method::POST, "/api/agents", |tokens| &tokens.reader, "{}").await;
        assert_eq!((rows[0].action.as_str(), rows[0].outcome.as_str()), ("agent.enrol", "denied"));
        assert_eq!(rows[0].detail.as_deref(), Some("forbidden"));
        assert_eq!(entries(Method::POST, "/api/agents", |_| "wrong", "{}").await, []);
        assert_eq!(entries(Method::GET, "/api/agents", |_| "wrong", "").await, []);
    }

    #[actix_web::test]
    async fn an_entry_holds_no_secret_and_only_the_beginning_of_a_long_name() {
        let name = "x".repeat(5000);
        let rows = entries(Method::DELETE, &format!("/api/agents/{name}"), admin, "").await;
        assert_eq!(rows[0].object.as_deref().map(str::len), Some(200));
        let rows = entries(Method::DELETE, "/api/agents/a%0Ab%00", admin, "").await;
        assert_eq!(rows[0].object.as_deref(), Some("a\u{fffd}b\u{fffd}"));
        let rotated = entries(Method::POST, &format!("/api/agents/{AGENT}/token"), admin, "").await;
        assert!(!format!("{rotated:?}").contains("dwa_"), "{rotated:?}");
    }
}
