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
        self.0.borrow_mut().actor = Some(name.to_owned());
    }

    /// What is done, and that it changes something.
    pub fn action(&self, action: &'static str) {
        self.0.borrow_mut().action = Some(action);
    }

    /// What it is done to: a name or an id, never a secret.
    pub fn object(&self, object: impl Into<String>) {
        self.0.borrow_mut().object = Some(object.into());
    }

    /// What else an administrator would want to know, never a secret.
    pub fn detail(&self, detail: impl Into<String>) {
        self.0.borrow_mut().detail = Some(detail.into());
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
