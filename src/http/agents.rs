//! Agents over HTTP: `/api/agents…`.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::agent_view::{AgentView, CreateAgentBody, PatchAgentBody, agent_changes, new_agent};
use super::body::take_object;
use super::caller::Authorized;
use super::paging::{Page, PageQuery};
use super::problems::{AgentMissing, BadAgentBody, BadPage, Refused};
use super::{AppState, Place};
use crate::error::{Error, FieldError, Problem};
use crate::identity::Snapshot;
use crate::identity::directory::{ChangeAgent, EnrolAgent, RemoveAgent, RotateAgent};
use crate::identity::policy::{Action, Object};
use crate::store::models::AgentRow;
use crate::tunnel::commands::{ListSessions, RevokeAgent};
use crate::tunnel::view::SessionView;

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![
        Place::at("/api/agents").get(list).post(enrol),
        Place::at("/api/agents/{client_id}").get(show).patch(change).delete(remove),
        Place::at("/api/agents/{client_id}/token").post(rotate),
    ]
}

/// List agents
///
/// Ordered by `client_id`, connected or not.
#[utoipa::path(
    get, path = "/api/agents", tag = "Agents", operation_id = "list_agents",
    params(
        ("limit" = Option<u16>, Query, description = "The most items of this page", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page of agents", body = Page<AgentView>), Refused, BadPage)
)]
pub(super) async fn list(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<Page<AgentView>>, Error> {
    caller.require(Action::ListAgents)?;
    let page = PageQuery::of(&request)?;
    let snapshot = state.snapshot();
    let visible = snapshot.agents().filter(|row| caller.can(Action::ReadAgent, Object::of_agent(row))).cloned();
    let Page { items, next } = page.cut(visible.collect(), |row: &Arc<AgentRow>| &row.client_id);
    Ok(web::Json(Page { items: views(&state, &snapshot, items).await?, next }))
}

/// Enrol an agent
///
/// The answer holds the agent's token, which is shown this once and stored only as a hash.
#[utoipa::path(
    post, path = "/api/agents", tag = "Agents", operation_id = "enrol_agent",
    request_body(content((CreateAgentBody = "application/json"), (CreateAgentBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 201, description = "The agent, with its `token`", body = AgentView, headers(("Location" = String, description = "Where it can be read again"))),
        Refused, BadAgentBody,
        (status = 409, description = "`agent_exists`, or `limit_reached`: the account has as many agents as it may have", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn enrol(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error> {
    caller.require(Action::EnrolAgent)?;
    let wanted = new_agent(take_object(&request, payload).await?)?;
    caller.trail().object(&wanted.client_id);
    // An agent for somebody else, or for all, is one that was shared or handed over.
    let as_shared = Object::Agent { client_id: &wanted.client_id, owner_id: &caller.user_id, shared: wanted.shared };
    if wanted.shared || wanted.owner.as_ref().is_some_and(|owner| *owner != caller.username) {
        let reached = caller.reach(Action::ShareAgent, as_shared, || Error::NotFound);
        caller.trail().action(Action::EnrolAgent.as_str());
        reached?;
    }
    let owner_id = match &wanted.owner {
        Some(owner) if *owner != caller.username => user_id_of(&state, owner)?,
        _ => caller.user_id.clone(),
    };
    let enrol = EnrolAgent { client_id: wanted.client_id, owner_id, shared: wanted.shared };
    let (row, token) = state.tell(enrol).await??;
    let location = ("Location", format!("/api/agents/{}", row.client_id));
    let view = AgentView::new(&row, state.snapshot().username(&row.owner_id), None).with_token(token);
    Ok(HttpResponse::Created().insert_header(location).json(view))
}

/// Read an agent
#[utoipa::path(
    get, path = "/api/agents/{client_id}", tag = "Agents", operation_id = "read_agent",
    params(("client_id" = String, Path, description = "Name of the agent")),
    responses((status = 200, description = "The agent", body = AgentView), Refused, AgentMissing)
)]
pub(super) async fn show(
    caller: Authorized,
    state: web::Data<AppState>,
    client_id: web::Path<String>,
) -> Result<web::Json<AgentView>, Error> {
    let row = reach(&caller, &state, Action::ReadAgent, &client_id)?;
    Ok(web::Json(view(&state, row).await?))
}

/// Share an agent or hand it over
#[utoipa::path(
    patch, path = "/api/agents/{client_id}", tag = "Agents", operation_id = "change_agent",
    params(("client_id" = String, Path, description = "Name of the agent")),
    request_body(content((PatchAgentBody = "application/json"), (PatchAgentBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "The agent as it is now", body = AgentView),
        Refused, BadAgentBody, AgentMissing,
        (status = 409, description = "`limit_reached`: the new owner may have no more agents", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    caller: Authorized,
    state: web::Data<AppState>,
    client_id: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<AgentView>, Error> {
    reach(&caller, &state, Action::ShareAgent, &client_id)?;
    let changes = agent_changes(take_object(&request, payload).await?)?;
    let owner_id = changes.owner.as_deref().map(|owner| user_id_of(&state, owner)).transpose()?;
    let change = ChangeAgent { client_id: client_id.into_inner(), owner_id, shared: changes.shared };
    let row = state.tell(change).await??;
    caller.trail().detail(format!("owner {}, shared {}", state.snapshot().username(&row.owner_id), row.shared));
    Ok(web::Json(view(&state, Arc::new(row)).await?))
}

/// Remove an agent
///
/// Its live session is cut at once.
#[utoipa::path(
    delete, path = "/api/agents/{client_id}", tag = "Agents", operation_id = "remove_agent",
    params(("client_id" = String, Path, description = "Name of the agent")),
    responses(
        (status = 204, description = "Gone"),
        Refused, AgentMissing,
        (status = 409, description = "`agent_in_use`: tunnels need it", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove(
    caller: Authorized,
    state: web::Data<AppState>,
    client_id: web::Path<String>,
) -> Result<HttpResponse, Error> {
    reach(&caller, &state, Action::RemoveAgent, &client_id)?;
    state.tell(RemoveAgent(client_id.clone())).await??;
    revoke(&state, client_id.into_inner()).await;
    Ok(HttpResponse::NoContent().finish())
}

/// Rotate an agent's token
///
/// The old token is void and the live session cut when this answers. The new token is shown this once.
#[utoipa::path(
    post, path = "/api/agents/{client_id}/token", tag = "Agents", operation_id = "rotate_agent_token",
    params(("client_id" = String, Path, description = "Name of the agent")),
    responses((status = 200, description = "The agent, with its new `token`", body = AgentView), Refused, AgentMissing)
)]
pub(super) async fn rotate(
    caller: Authorized,
    state: web::Data<AppState>,
    client_id: web::Path<String>,
) -> Result<web::Json<AgentView>, Error> {
    reach(&caller, &state, Action::RotateAgent, &client_id)?;
    let (row, token) = state.tell(RotateAgent(client_id.clone())).await??;
    revoke(&state, client_id.into_inner()).await;
    let owner = state.snapshot().username(&row.owner_id);
    Ok(web::Json(AgentView::new(&row, owner, None).with_token(token)))
}

/// Cut the live session of an agent whose row has changed already. A supervisor that is away has no sessions, and
/// compares rows with those that come.
async fn revoke(state: &AppState, client_id: String) {
    if let Err(error) = state.ask(RevokeAgent(client_id)).await {
        tracing::debug!(%error, "the supervisor was away when an agent was revoked");
    }
}

/// The agent of this name, if the caller may do this to it.
fn reach(caller: &Authorized, state: &AppState, action: Action, client_id: &str) -> Result<Arc<AgentRow>, Error> {
    let unknown = || Error::AgentUnknown(client_id.to_owned());
    caller.require(action)?;
    caller.trail().object(client_id);
    let snapshot = state.snapshot();
    let row = snapshot.agent(client_id).ok_or_else(unknown)?;
    caller.reach(action, Object::of_agent(row), unknown)?;
    Ok(row.clone())
}

fn user_id_of(state: &AppState, username: &str) -> Result<String, Error> {
    let found = state.snapshot().user_named(username).map(|user| user.id.clone());
    found.ok_or_else(|| Error::Invalid(vec![FieldError::new("owner", "unknown", "must be the name of a user")]))
}

async fn view(state: &AppState, row: Arc<AgentRow>) -> Result<AgentView, Error> {
    let sessions = state.ask(ListSessions).await?;
    let session = sessions.into_iter().find(|session| session.client_id == row.client_id);
    Ok(AgentView::new(&row, state.snapshot().username(&row.owner_id), session))
}

async fn views(state: &AppState, snapshot: &Snapshot, rows: Vec<Arc<AgentRow>>) -> Result<Vec<AgentView>, Error> {
    let sessions = state.ask(ListSessions).await?;
    let mut live: HashMap<String, SessionView> = sessions.into_iter().map(|s| (s.client_id.clone(), s)).collect();
    let view = |row: &Arc<AgentRow>| AgentView::new(row, snapshot.username(&row.owner_id), live.remove(&row.client_id));
    Ok(rows.iter().map(view).collect())
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use crate::http::test_support::TestApi;

    #[actix_web::test]
    async fn an_enrolled_agent_is_answered_with_its_token() {
        let api = TestApi::start().await;
        let body = r#"{"client_id":"pc1","shared":true}"#;
        let answer = api.call(Method::POST, "/api/agents", &api.tokens.admin, body).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (201, "/api/agents/pc1"));
        assert_eq!(answer.header("cache-control"), "no-store");
        let agent = answer.json();
        assert_eq!((agent["client_id"].as_str(), agent["owner"].as_str()), (Some("pc1"), Some("admin")));
        assert_eq!((&agent["shared"], &agent["online"]), (&true.into(), &false.into()));
        assert!(!agent["token"].as_str().unwrap().is_empty());
        let again = api.call(Method::POST, "/api/agents", &api.tokens.admin, body).await;
        assert_eq!((again.status.as_u16(), again.code().as_str()), (409, "agent_exists"));
        let rotated = api.call(Method::POST, "/api/agents/pc1/token", &api.tokens.admin, "").await;
        assert_eq!(rotated.status.as_u16(), 200);
        assert!(rotated.json()["token"].is_string());
        let removed = api.call(Method::DELETE, "/api/agents/pc1", &api.tokens.admin, "").await;
        assert_eq!((removed.status.as_u16(), removed.body.as_str()), (204, ""));
    }

    #[actix_web::test]
    async fn unknown_agents_and_owners() {
        let api = TestApi::start().await;
        for (method, path, body) in [
            (Method::GET, "/api/agents/nobody", ""),
            (Method::PATCH, "/api/agents/nobody", r#"{"shared":true}"#),
            (Method::DELETE, "/api/agents/nobody", ""),
            (Method::POST, "/api/agents/nobody/token", ""),
        ] {
            let answer = api.call(method.clone(), path, &api.tokens.admin, body).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "agent_unknown"), "{method} {path}");
        }
        let answer =
            api.call(Method::POST, "/api/agents", &api.tokens.admin, r#"{"client_id":"pc2","owner":"nobody"}"#).await;
        assert_eq!((answer.status.as_u16(), answer.json()["errors"][0]["field"].as_str()), (422, Some("owner")));
        let answer = api.call(Method::GET, "/api/agents/pc2", &api.tokens.admin, "").await;
        assert_eq!(answer.status.as_u16(), 404);
    }

    #[actix_web::test]
    async fn a_reader_changes_nothing() {
        let api = TestApi::start().await;
        for (method, path) in [
            (Method::POST, "/api/agents"),
            (Method::PATCH, "/api/agents/x"),
            (Method::DELETE, "/api/agents/x"),
            (Method::POST, "/api/agents/x/token"),
        ] {
            assert_eq!(api.call(method, path, &api.tokens.reader, "{}").await.status.as_u16(), 403);
        }
    }
}
