//! The gateway: `/desktop/{proxy_path}/…`, for every method, and for WebSockets.

mod input;
mod relay;
pub mod websocket;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::error::Error;
use crate::http::AppState;
use crate::http::caller::Authorized;
use crate::identity::policy::{Action, Object};

/// Stands in for the HTTP side.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.service(web::resource("/desktop/{path}/{rest:.*}").to(answer));
}

async fn answer(request: HttpRequest, state: web::Data<AppState>, caller: Authorized) -> Result<HttpResponse, Error> {
    let (path, rest) = (request.match_info().query("path"), request.match_info().query("rest"));
    let routes = state.routes.borrow().clone();
    let route = routes.get(path).ok_or(Error::NotFound)?;
    caller.reach(Action::OpenDesktop, Object::Owned { owner_id: &route.owner_id }, || Error::NotFound)?;
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    websocket::upgrade(&request, &state, &caller, route, &format!("/{rest}{query}")).await
}
pub mod start_page;
