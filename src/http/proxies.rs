//! Tunnels over HTTP: `/api/proxy…`. What may be done is asked of the caller, what is done is the supervisor's.

use actix_web::{HttpRequest, HttpResponse, web};

use super::body::take_object;
use super::caller::Authorized;
use super::paging::{Page, PageQuery};
use super::problems::{BadBody, BadPage, ConnectionMissing, Refused, TunnelMissing};
use super::proxy_fields::{CreateTunnelBody, PatchTunnelBody, new_tunnel, tunnel_changes};
use super::{AppState, Place};
use crate::error::{Error, Problem};
use crate::identity::Snapshot;
use crate::identity::policy::{Action, Object};
use crate::tunnel::commands::{
    CreateTunnel, CutConnection, DeleteTunnel, GetTunnel, ListConnections, ListTunnels, PatchTunnel,
};
use crate::tunnel::view::{ConnectionView, TunnelView};

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![
        // Before `{id}`, which would match it too.
        Place::at("/api/proxy/create").post(create),
        Place::at("/api/proxy").get(list),
        Place::at("/api/proxy/{id}").get(show).patch(change).delete(remove),
        Place::at("/api/proxy/{id}/connections").get(connections),
        Place::at("/api/proxy/{id}/connections/{user_id}").delete(cut),
    ]
}

/// Make a tunnel
///
/// The port is bound when this answers. An agent that is not connected is no error: the tunnel waits for it.
#[utoipa::path(
    post, path = "/api/proxy/create", tag = "Tunnels", operation_id = "create_tunnel",
    request_body(content((CreateTunnelBody = "application/json"), (CreateTunnelBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 201, description = "The tunnel", body = TunnelView, headers(("Location" = String, description = "Where it can be read again"))),
        Refused, BadBody,
        (status = 404, description = "`agent_unknown`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`port_in_use` by another tunnel, `port_unavailable` because of the system, `no_port_free`, or `limit_reached`: the account has as many tunnels as it may have", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error> {
    caller.require(Action::CreateTunnel)?;
    let tunnel = new_tunnel(take_object(&request, payload).await?)?;
    // Until the tunnel has an id, the agent is all that can be named.
    caller.trail().object(&tunnel.client_id);
    reach_agent(&caller, &state, Action::CreateTunnel, &tunnel.client_id)?;
    let snapshot = state.snapshot();
    let limit = snapshot.user(&caller.user_id).and_then(|user| state.settings.limits.of(user).tunnels);
    let made = state.ask(CreateTunnel { tunnel, owner_id: caller.user_id.clone(), limit }).await?;
    let made = discreet(made, &caller, &state).await?;
    caller.trail().object(&made.proxy_id);
    caller.trail().detail(destination(&made));
    let made = named(made, &snapshot);
    let location = ("Location", format!("/api/proxy/{}", made.proxy_id));
    Ok(HttpResponse::Created().insert_header(location).json(made))
}

/// List tunnels
///
/// Ordered by `proxy_id`.
#[utoipa::path(
    get, path = "/api/proxy", tag = "Tunnels", operation_id = "list_tunnels",
    params(
        ("limit" = Option<u16>, Query, description = "The most items of this page", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page of tunnels", body = Page<TunnelView>), Refused, BadPage)
)]
pub(super) async fn list(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<Page<TunnelView>>, Error> {
    caller.require(Action::ListTunnels)?;
    let page = PageQuery::of(&request)?;
    let mut tunnels = state.ask(ListTunnels).await?;
    tunnels.retain(|tunnel| caller.can(Action::ReadTunnel, Object::Owned { owner_id: &tunnel.owner_id }));
    let (snapshot, Page { items, next }) = (state.snapshot(), page.cut(tunnels, |tunnel| &tunnel.proxy_id));
    Ok(web::Json(Page { items: items.into_iter().map(|tunnel| named(tunnel, &snapshot)).collect(), next }))
}

/// Read a tunnel
#[utoipa::path(
    get, path = "/api/proxy/{id}", tag = "Tunnels", operation_id = "read_tunnel",
    params(("id" = String, Path, description = "`proxy_id` of the tunnel")),
    responses((status = 200, description = "The tunnel", body = TunnelView), Refused, TunnelMissing)
)]
pub(super) async fn show(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<web::Json<TunnelView>, Error> {
    Ok(web::Json(reach(&caller, &state, Action::ReadTunnel, &id).await?))
}

/// Change a tunnel
///
/// A new `local_port` is bound before the old one is left. `enabled: false` ends the tunnel's connections.
#[utoipa::path(
    patch, path = "/api/proxy/{id}", tag = "Tunnels", operation_id = "change_tunnel",
    params(("id" = String, Path, description = "`proxy_id` of the tunnel")),
    request_body(content((PatchTunnelBody = "application/json"), (PatchTunnelBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "The tunnel as it is now", body = TunnelView),
        Refused, BadBody, TunnelMissing,
        (status = 409, description = "`port_in_use` by another tunnel, or `port_unavailable` because of the system", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<TunnelView>, Error> {
    let tunnel = reach(&caller, &state, Action::ChangeTunnel, &id).await?;
    let changes = tunnel_changes(take_object(&request, payload).await?)?;
    if changes.needs_agent() {
        // It may have been shared when the tunnel was made, and no longer.
        reach_agent(&caller, &state, Action::ChangeTunnel, &tunnel.client_id)?;
    }
    let changed = state.ask(PatchTunnel { proxy_id: id.into_inner(), changes }).await?;
    let changed = discreet(changed, &caller, &state).await?;
    caller.trail().detail(destination(&changed));
    Ok(web::Json(named(changed, &state.snapshot())))
}

/// Delete a tunnel
///
/// Its connections are cut and its port is free when this answers.
#[utoipa::path(
    delete, path = "/api/proxy/{id}", tag = "Tunnels", operation_id = "delete_tunnel",
    params(("id" = String, Path, description = "`proxy_id` of the tunnel")),
    responses((status = 204, description = "Gone"), Refused, TunnelMissing)
)]
pub(super) async fn remove(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Error> {
    reach(&caller, &state, Action::DeleteTunnel, &id).await?;
    state.ask(DeleteTunnel(id.into_inner())).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// List a tunnel's live connections
///
/// Ordered by `user_id`.
#[utoipa::path(
    get, path = "/api/proxy/{id}/connections", tag = "Tunnels", operation_id = "list_connections",
    params(
        ("id" = String, Path, description = "`proxy_id` of the tunnel"),
        ("limit" = Option<u16>, Query, description = "The most items of this page", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page of connections", body = Page<ConnectionView>), Refused, BadPage, TunnelMissing)
)]
pub(super) async fn connections(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<web::Json<Page<ConnectionView>>, Error> {
    let page = PageQuery::of(&request)?;
    reach(&caller, &state, Action::ReadTunnel, &id).await?;
    let live = state.ask(ListConnections(id.into_inner())).await??;
    Ok(web::Json(page.cut(live, |connection| &connection.user_id)))
}

/// Cut a live connection
///
/// The user's side and the remote's side are both reset.
#[utoipa::path(
    delete, path = "/api/proxy/{id}/connections/{user_id}", tag = "Tunnels", operation_id = "cut_connection",
    params(
        ("id" = String, Path, description = "`proxy_id` of the tunnel"),
        ("user_id" = String, Path, description = "`user_id` of the connection"),
    ),
    responses((status = 204, description = "Cut"), Refused, ConnectionMissing)
)]
pub(super) async fn cut(
    caller: Authorized,
    state: web::Data<AppState>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Error> {
    let (proxy_id, user_id) = path.into_inner();
    reach(&caller, &state, Action::CutConnection, &proxy_id).await?;
    caller.trail().object(&user_id);
    state.ask(CutConnection { proxy_id, user_id }).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// The tunnel with this id, if the caller may do this to it.
async fn reach(caller: &Authorized, state: &AppState, action: Action, proxy_id: &str) -> Result<TunnelView, Error> {
    caller.require(action)?;
    caller.trail().object(proxy_id);
    let tunnel = state.ask(GetTunnel(proxy_id.to_owned())).await??;
    let unknown = || Error::TunnelUnknown(proxy_id.to_owned());
    caller.reach(action, Object::Owned { owner_id: &tunnel.owner_id }, unknown)?;
    Ok(named(tunnel, &state.snapshot()))
}

/// The id of the tunnel that has a port tells of its agent: only who may read that tunnel is told.
async fn discreet(made: Result<TunnelView, Error>, caller: &Authorized, state: &AppState) -> Result<TunnelView, Error> {
    let Err(Error::PortInUse { port, tunnel: Some(holder) }) = made else { return made };
    let tunnel = state.ask(GetTunnel(holder.clone())).await?;
    let may = |tunnel: &TunnelView| caller.can(Action::ReadTunnel, Object::Owned { owner_id: &tunnel.owner_id });
    let tunnel = tunnel.is_ok_and(|tunnel| may(&tunnel)).then_some(holder);
    Err(Error::PortInUse { port, tunnel })
}

/// Whether the caller may make tunnels through this agent, for the sake of an action on a tunnel.
fn reach_agent(caller: &Authorized, state: &AppState, for_action: Action, client_id: &str) -> Result<(), Error> {
    let unknown = || Error::AgentUnknown(client_id.to_owned());
    let snapshot = state.snapshot();
    let row = snapshot.agent(client_id).ok_or_else(unknown)?;
    let reached = caller.reach(Action::UseAgent, Object::of_agent(row), unknown);
    caller.trail().action(for_action.as_str());
    reached
}

/// Where a tunnel leads, for the audit log.
fn destination(tunnel: &TunnelView) -> String {
    let TunnelView { local_port, remote_host, remote_port, client_id, .. } = tunnel;
    format!("port {local_port} to {remote_host}:{remote_port} through {client_id}")
}

/// With its owner's name.
fn named(tunnel: TunnelView, snapshot: &Snapshot) -> TunnelView {
    TunnelView { owner: snapshot.username(&tunnel.owner_id), ..tunnel }
}

#[cfg(test)]
mod tests {
    use actix_web::http::{Method, StatusCode};

    use crate::http::test_support::TestApi;

    const WHOLE: &str = r#"{"client_id":"enrolled","remote_host":"db","remote_port":5432}"#;

    #[actix_web::test]
    async fn a_body_is_read_after_the_token_and_its_scope() {
        let api = TestApi::start().await;
        for body in ["", "not json", WHOLE] {
            let none = api.call(Method::POST, "/api/proxy/create", "", body).await;
            assert_eq!(none.status, StatusCode::UNAUTHORIZED, "{body}");
            assert_eq!(none.header("www-authenticate"), "Bearer realm=\"dockway\"");
            let wrong = api.call(Method::POST, "/api/proxy/create", "wrong", body).await;
            assert_eq!((wrong.status, wrong.code()), (StatusCode::UNAUTHORIZED, "unauthenticated".into()));
            let reader = api.call(Method::POST, "/api/proxy/create", &api.tokens.reader, body).await;
            assert_eq!((reader.status, reader.code()), (StatusCode::FORBIDDEN, "forbidden".into()));
        }
    }

    #[actix_web::test]
    async fn bad_bodies_are_answered_with_their_fields() {
        let api = TestApi::start().await;
        let table = [
            ("", 400, "bad_request"),
            ("client_id=pc1", 400, "bad_request"),
            ("[]", 400, "bad_request"),
            ("{}", 422, "invalid"),
            (r#"{"client_id":"pc1","remote_host":"db","remote_port":0}"#, 422, "invalid"),
        ];
        for (body, status, code) in table {
            let answer = api.call(Method::POST, "/api/proxy/create", &api.tokens.admin, body).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{body}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
        let answer =
            api.call(Method::POST, "/api/proxy/create", &api.tokens.admin, r#"{"remote_port":"1","x":1}"#).await;
        let fields: Vec<_> = answer.json()["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
        assert_eq!(fields, ["client_id", "remote_host", "remote_port", "x"]);
        let large = format!("{{\"name\":\"{}\"}}", "n".repeat(70_000));
        let answer = api.call(Method::POST, "/api/proxy/create", &api.tokens.admin, &large).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "too_large"));
    }

    #[actix_web::test]
    async fn a_bad_page_is_refused_before_the_tunnels_are_asked() {
        let api = TestApi::start().await;
        for path in ["/api/proxy?limit=0", "/api/proxy/x/connections?limit=many", "/api/agents?limit=1001"] {
            let answer = api.call(Method::GET, path, &api.tokens.reader, "").await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "invalid"), "{path}");
        }
    }

    #[actix_web::test]
    async fn while_the_supervisor_is_away_calls_are_unavailable() {
        let api = TestApi::start().await;
        for (method, path, body) in [
            (Method::POST, "/api/proxy/create", WHOLE),
            (Method::GET, "/api/proxy", ""),
            (Method::GET, "/api/proxy/x", ""),
            (Method::PATCH, "/api/proxy/x", r#"{"enabled":false}"#),
            (Method::DELETE, "/api/proxy/x", ""),
            (Method::GET, "/api/proxy/x/connections", ""),
            (Method::DELETE, "/api/proxy/x/connections/u", ""),
        ] {
            let answer = api.call(method.clone(), path, &api.tokens.admin, body).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "unavailable"), "{method} {path}");
            assert_eq!(answer.header("retry-after"), "2");
        }
    }
}
