//! HTTP: the REST API, the agents' WebSocket and the server under both. Handlers verify, convert and send; they decide
//! nothing.

pub mod agent_socket;
pub mod agent_view;
pub mod agents;
pub mod body;
pub mod caller;
pub mod docs;
pub mod fields;
pub mod health;
pub mod openapi;
pub mod paging;
pub mod place;
pub mod problems;
pub mod proxies;
pub mod proxy_fields;
#[cfg(test)]
mod test_support;
pub mod upgrade;
pub mod values;

use actix::dev::ToEnvelope;
use actix::{Addr, Handler, Message};
use actix_web::{HttpResponse, web};
use tokio::sync::watch;

pub use place::Place;
pub use upgrade::serve;

use crate::error::Error;
use crate::identity::attempts::AttemptLimiter;
use crate::store::Store;
use crate::tunnel::TunnelSupervisor;

/// What handlers work with; each worker has a clone.
#[derive(Clone)]
pub struct AppState {
    pub store: Store,
    /// The supervisor of the moment: a new one takes its place after a panic.
    pub tunnels: watch::Receiver<Addr<TunnelSupervisor>>,
    /// Counts wrong tokens of agents per address.
    pub attempts: Addr<AttemptLimiter>,
    /// Where agents open their WebSocket.
    pub agent_path: String,
}

impl AppState {
    /// The supervisor of the moment.
    pub fn tunnels(&self) -> Addr<TunnelSupervisor> {
        self.tunnels.borrow().clone()
    }

    /// Send the supervisor a message and await its answer.
    pub async fn ask<M>(&self, message: M) -> Result<M::Result, Error>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        TunnelSupervisor: Handler<M>,
        <TunnelSupervisor as actix::Actor>::Context: ToEnvelope<TunnelSupervisor, M>,
    {
        let answer = self.tunnels().send(message).await;
        answer.map_err(|_| Error::Unavailable("the tunnels are restarting; try again".into()))
    }
}

/// Register everything that answers over HTTP.
pub fn configure(cfg: &mut web::ServiceConfig, state: AppState) {
    for place in places(&state.agent_path) {
        cfg.service(place.into_resource());
    }
    cfg.app_data(web::PathConfig::default().error_handler(|_, _| Error::NotFound.into()));
    cfg.app_data(web::Data::new(state));
    cfg.default_service(web::to(|| async { Err::<HttpResponse, _>(Error::NotFound) }));
}

fn places(agent_path: &str) -> Vec<Place> {
    let all = [proxies::places(), agents::places(), agent_socket::places(agent_path), health::places(), docs::places()];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use super::test_support::TestApi;

    #[actix_web::test]
    async fn unknown_places_and_methods_are_problems() {
        let api = TestApi::start().await;
        for path in ["/", "/api", "/api/proxy/", "/api/proxies", "/api/agents/x/y"] {
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
