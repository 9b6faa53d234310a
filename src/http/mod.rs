//! HTTP: the REST API, the agents' WebSocket and the server under both. Handlers verify, convert and send; they decide
//! nothing.

pub mod agent_socket;
pub mod agent_view;
pub mod agents;
pub mod assets;
pub mod audit;
pub mod body;
pub mod caller;
pub mod client;
pub mod client_socket;
pub mod cookies;
pub mod csrf;
pub mod desktop_fields;
pub mod desktop_type_fields;
pub mod desktop_type_view;
pub mod desktop_types;
pub mod desktops;
pub mod docs;
pub mod events;
pub mod fields;
pub mod front_page;
pub mod health;
pub mod me;
pub mod oidc;
pub mod oidc_answer;
pub mod openapi;
pub mod paging;
pub mod place;
pub mod problems;
pub mod proxies;
pub mod proxy_fields;
pub mod session;
pub mod session_fields;
pub mod shield;
#[cfg(test)]
pub(crate) mod test_support;
pub mod token_fields;
pub mod tokens;
pub mod trail;
pub mod upgrade;
pub mod user_fields;
pub mod user_view;
pub mod users;
pub mod values;

use std::sync::Arc;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, web};
use ipnet::{IpNet, Ipv4Net};
use tokio::sync::watch;

pub use place::Place;
pub use upgrade::serve;

use crate::config::RoleLimits;
use crate::current::{Current, ask};
use crate::desktop::{DesktopSupervisor, Routes};
use crate::error::Error;
use crate::events::Publisher;
use crate::gateway;
use crate::identity::attempts::AttemptLimiter;
use crate::identity::audit::{AuditLog, Entry, RECORD_LIMIT, Record};
use crate::identity::directory::{NoteUse, use_is_news};
use crate::identity::hasher::PasswordHasher;
use crate::identity::oidc::OidcFlows;
use crate::identity::sign_in::SignIn;
use crate::identity::{Caller, Credential, Directory, Snapshot};
use crate::store::Store;
use crate::tunnel::TunnelSupervisor;
use crate::upstream::Connector;

/// What handlers work with; each worker has a clone.
#[derive(Clone)]
pub struct AppState {
    pub store: Store,
    pub settings: Arc<Settings>,
    pub tunnels: Current<TunnelSupervisor>,
    pub directory: Current<Directory>,
    /// What the Directory last published.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    pub events: Publisher,
    pub audit: Current<AuditLog>,
    pub hasher: Current<PasswordHasher>,
    pub attempts: Current<AttemptLimiter>,
    pub oidc: Current<OidcFlows>,
    pub desktops: Current<DesktopSupervisor>,
    /// Where desktops are, as their supervisor last published.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// The way to what runs in desktops.
    pub connector: Connector,
}

/// What handlers need of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where agents open their WebSocket.
    pub agent_path: String,
    /// With its scheme and without a slash at its end.
    pub public_url: Option<String>,
    pub trusted_proxies: Vec<IpNet>,
    pub limits: RoleLimits,
    /// Where desktops' networks are: nothing from there is served.
    pub desktop_subnets: Ipv4Net,
}

impl AppState {
    /// The supervisor of the moment.
    pub fn tunnels(&self) -> Addr<TunnelSupervisor> {
        self.tunnels.borrow().clone()
    }

    /// Everybody and everything as it is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Send the supervisor of tunnels a message and await its answer.
    pub async fn ask<M>(&self, message: M) -> Result<M::Result, Error>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        TunnelSupervisor: Handler<M>,
        <TunnelSupervisor as Actor>::Context: ToEnvelope<TunnelSupervisor, M>,
    {
        ask(&self.tunnels, message).await
    }

    /// Send the supervisor of desktops a message and await its answer.
    pub async fn ask_desktops<M>(&self, message: M) -> Result<M::Result, Error>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        DesktopSupervisor: Handler<M>,
        Context<DesktopSupervisor>: ToEnvelope<DesktopSupervisor, M>,
    {
        ask(&self.desktops, message).await
    }

    /// Send the Directory a message and await its answer.
    pub async fn tell<M>(&self, message: M) -> Result<M::Result, Error>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Directory: Handler<M>,
        Context<Directory>: ToEnvelope<Directory, M>,
    {
        ask(&self.directory, message).await
    }

    /// The way in for names and passwords.
    pub fn sign_in(&self) -> SignIn {
        SignIn {
            attempts: self.attempts.clone(),
            hasher: self.hasher.clone(),
            directory: self.directory.clone(),
            snapshot: self.snapshot.clone(),
        }
    }

    /// Write an entry to the audit log; a log that is away keeps no answer back.
    pub async fn record(&self, entry: Entry) {
        let log = self.audit.borrow().clone();
        if !matches!(tokio::time::timeout(RECORD_LIMIT, log.send(Record(entry.clone()))).await, Ok(Ok(()))) {
            tracing::error!(entry = ?entry.into_row(), "an audit entry may not be stored");
        }
    }

    /// Tell the Directory that a credential was used, if that is news. When many come at once one will do.
    pub(crate) fn note_use(&self, caller: &Caller, now: i64) {
        let snapshot = self.snapshot();
        let (last, step_ms) = match &caller.credential {
            Credential::Session(hash) => {
                (snapshot.session(hash).map(|session| session.last_used), snapshot.session_use_step_ms())
            }
            Credential::Token(hash) => (snapshot.token(hash).and_then(|token| token.last_used), i64::MAX),
        };
        if use_is_news(last, now) || last.is_some_and(|last| now.saturating_sub(last) >= step_ms) {
            let _ = self.directory.borrow().try_send(NoteUse(caller.credential.clone()));
        }
    }
}

/// The application: everything that answers over HTTP, behind its shield.
pub fn app(
    state: AppState,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new().configure(|cfg| configure(cfg, state)).wrap(from_fn(trail::record)).wrap(from_fn(shield::guard))
}

/// Register everything that answers over HTTP.
fn configure(cfg: &mut web::ServiceConfig, state: AppState) {
    gateway::configure(cfg, &state);
    for place in places(&state.settings.agent_path) {
        cfg.service(place.into_resource());
    }
    cfg.app_data(web::PathConfig::default().error_handler(|_, _| Error::NotFound.into()));
    cfg.app_data(web::Data::new(state));
    cfg.default_service(web::to(|| async { Err::<HttpResponse, _>(Error::NotFound) }));
}

fn places(agent_path: &str) -> Vec<Place> {
    let all = [
        session::places(),
        oidc::places(),
        me::places(),
        tokens::places(),
        users::places(),
        audit::places(),
        proxies::places(),
        agents::places(),
        agent_socket::places(agent_path),
        desktops::places(),
        desktop_types::places(),
        events::places(),
        health::places(),
        docs::places(),
        front_page::places(),
        assets::places(),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use super::test_support::TestApi;

    #[actix_web::test]
    async fn unknown_places_and_methods_are_problems() {
        let api = TestApi::start().await;
        for path in ["/nothing", "/api", "/api/proxy/", "/api/proxies", "/api/agents/x/y"] {
            let answer = api.call(Method::GET, path, &api.tokens.admin, "").await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "not_found"), "{path}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
        for (method, path, allow) in [
            (Method::PUT, "/api/proxy", "GET, HEAD"),
            (Method::GET, "/api/proxy/create", "POST"),
            (Method::POST, "/api/proxy/x", "GET, HEAD, PATCH, DELETE"),
            (Method::DELETE, "/api/agents", "GET, HEAD, POST"),
            (Method::POST, "/healthz", "GET, HEAD"),
        ] {
            let answer = api.call(method.clone(), path, &api.tokens.admin, "").await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (405, "method_not_allowed"),
                "{method} {path}"
            );
            assert_eq!((answer.header("allow"), answer.header("content-type")), (allow, "application/problem+json"));
        }
    }

    #[actix_web::test]
    async fn head_answers_like_get() {
        let api = TestApi::start().await;
        assert_eq!(api.call(Method::HEAD, "/healthz", "", "").await.status.as_u16(), 200);
        assert_eq!(api.call(Method::HEAD, "/api/proxy", "", "").await.status.as_u16(), 401);
    }

    #[actix_web::test]
    async fn answers_are_neither_stored_nor_sniffed() {
        let api = TestApi::start().await;
        for path in ["/api/agents", "/api/openapi.json", "/api/proxy/create"] {
            let answer = api.call(Method::GET, path, "", "").await;
            assert_eq!(
                (answer.header("cache-control"), answer.header("x-content-type-options")),
                ("no-store", "nosniff")
            );
        }
    }
}
