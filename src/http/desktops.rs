//! Desktops over HTTP: `/api/desktops…`. What may be done is asked of the caller, what is done is the supervisor's.

pub(super) mod pictures;
#[cfg(test)]
mod tests;

use actix_web::{HttpRequest, HttpResponse, web};

use self::pictures::{logs, thumbnail};
use super::body::take_object;
use super::caller::Authorized;
use super::client::Client;
use super::desktop_fields::{CreateDesktopBody, home_goes, wanted_type};
use super::paging::{Page, PageQuery};
use super::problems::{BadAgentBody, BadFlag, BadPage, DesktopMissing, EngineNeeded, Refused};
use super::{AppState, Place};
use crate::desktop::commands::{CreateDesktop, DeleteDesktop, GetDesktop, ListDesktops, StartDesktop, StopDesktop};
use crate::desktop::view::DesktopView;
use crate::error::{Error, Problem};
use crate::identity::policy::{Action, Object};

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![
        Place::at("/api/desktops").get(list).post(create),
        Place::at("/api/desktops/{id}").get(show).delete(remove),
        Place::at("/api/desktops/{id}/start").post(start),
        Place::at("/api/desktops/{id}/stop").post(stop),
        Place::at("/api/desktops/{id}/logs").get(logs),
        Place::at("/api/desktops/{id}/thumbnail").get(thumbnail),
    ]
}

/// List desktops
///
/// One's own, ordered by `id`; an administrator's list holds everybody's.
#[utoipa::path(
    get, path = "/api/desktops", tag = "Desktops", operation_id = "list_desktops",
    params(
        ("limit" = Option<u16>, Query, description = "The most items of this page", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page of desktops", body = Page<DesktopView>), Refused, BadPage)
)]
pub(super) async fn list(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<Page<DesktopView>>, Error> {
    caller.require(Action::ListDesktops)?;
    let (page, base) = (PageQuery::of(&request)?, base_url(&request, &state)?);
    let mut desktops = state.ask_desktops(ListDesktops).await?;
    desktops.retain(|desktop| caller.can(Action::ReadDesktop, Object::Owned { owner_id: &desktop.owner_id }));
    let Page { items, next } = page.cut(desktops, |desktop| &desktop.id);
    Ok(web::Json(Page { items: items.into_iter().map(|desktop| located(desktop, &state, &base)).collect(), next }))
}

/// Get a desktop
///
/// Answers at once; follow `status` until it is `ready`, then open `url` in a browser. There is one desktop of each
/// type for each person: one that exists is started and returned.
#[utoipa::path(
    post, path = "/api/desktops", tag = "Desktops", operation_id = "create_desktop",
    request_body(content((CreateDesktopBody = "application/json"), (CreateDesktopBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 202, description = "The desktop, on its way", body = DesktopView, headers(("Location" = String, description = "Where it can be read again"))),
        Refused, EngineNeeded, BadAgentBody,
        (status = 404, description = "`desktop_type_unknown`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`limit_reached`: the account has as many desktops as it may have", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid`: `errors` names every bad field; `desktop_type_disabled`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error> {
    caller.require(Action::CreateDesktop)?;
    let desktop_type = wanted_type(take_object(&request, payload).await?)?;
    // Until the desktop has an id, the type is all that can be named.
    caller.trail().object(desktop_type.as_str());
    // Before anything is made: who cannot be told where it is gets none.
    let base = base_url(&request, &state)?;
    let limit = state.snapshot().user(&caller.user_id).and_then(|user| state.settings.limits.of(user).desktops);
    let (owner_id, username) = (caller.user_id.clone(), caller.username.clone());
    let made = state.ask_desktops(CreateDesktop { owner_id, username, desktop_type, limit }).await??;
    caller.trail().object(made.id.as_str());
    caller.trail().detail(made.proxy_path.as_str());
    Ok(accepted(made, &state, &base))
}

/// Read a desktop
#[utoipa::path(
    get, path = "/api/desktops/{id}", tag = "Desktops", operation_id = "read_desktop",
    params(("id" = String, Path, description = "`id` of the desktop")),
    responses((status = 200, description = "The desktop", body = DesktopView), Refused, DesktopMissing)
)]
pub(super) async fn show(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<web::Json<DesktopView>, Error> {
    let desktop = reach(&caller, &state, Action::ReadDesktop, &id).await?;
    Ok(web::Json(located(desktop, &state, &base_url(&request, &state)?)))
}

/// Delete a desktop
///
/// Its connections are cut, and its container and address are free when this answers. The home is kept for the next
/// desktop of this type, unless `home` says otherwise.
#[utoipa::path(
    delete, path = "/api/desktops/{id}", tag = "Desktops", operation_id = "delete_desktop",
    params(
        ("id" = String, Path, description = "`id` of the desktop"),
        ("home" = Option<bool>, Query, description = "Whether the home goes too, with all that is in it; `false` if it is not given"),
    ),
    responses((status = 204, description = "Gone"), Refused, EngineNeeded, BadFlag, DesktopMissing)
)]
pub(super) async fn remove(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    let desktop = reach(&caller, &state, Action::DeleteDesktop, &id).await?;
    let home = home_goes(&request)?;
    state.ask_desktops(DeleteDesktop { id: id.into_inner(), home }).await??;
    let fate = if home { "removed" } else { "kept" };
    caller.trail().detail(format!("{}, home {fate}", desktop.proxy_path));
    Ok(HttpResponse::NoContent().finish())
}

/// Start a desktop
///
/// From `stopped`, `failed` or `gone`, at the same address and with the same home. One that is up, or on its way, is
/// left alone.
#[utoipa::path(
    post, path = "/api/desktops/{id}/start", tag = "Desktops", operation_id = "start_desktop",
    params(("id" = String, Path, description = "`id` of the desktop")),
    responses(
        (status = 202, description = "The desktop, on its way", body = DesktopView, headers(("Location" = String, description = "Where it can be read again"))),
        Refused, EngineNeeded, DesktopMissing,
        (status = 422, description = "`desktop_type_disabled`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn start(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    let base = base_url(&request, &state)?;
    reach(&caller, &state, Action::StartDesktop, &id).await?;
    let started = state.ask_desktops(StartDesktop(id.into_inner())).await??;
    caller.trail().detail(started.proxy_path.as_str());
    Ok(accepted(started, &state, &base))
}

/// Stop a desktop
///
/// Its connections are cut at once and its container goes; the home and the address stay.
#[utoipa::path(
    post, path = "/api/desktops/{id}/stop", tag = "Desktops", operation_id = "stop_desktop",
    params(("id" = String, Path, description = "`id` of the desktop")),
    responses(
        (status = 202, description = "The desktop, on its way", body = DesktopView, headers(("Location" = String, description = "Where it can be read again"))),
        Refused, EngineNeeded, DesktopMissing,
    )
)]
pub(super) async fn stop(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    let base = base_url(&request, &state)?;
    reach(&caller, &state, Action::StopDesktop, &id).await?;
    let stopped = state.ask_desktops(StopDesktop(id.into_inner())).await??;
    caller.trail().detail(stopped.proxy_path.as_str());
    Ok(accepted(stopped, &state, &base))
}

/// The desktop with this id, if the caller may do this to it.
async fn reach(caller: &Authorized, state: &AppState, action: Action, id: &str) -> Result<DesktopView, Error> {
    caller.require(action)?;
    caller.trail().object(id);
    let desktop = state.ask_desktops(GetDesktop(id.to_owned())).await??;
    let unknown = || Error::DesktopUnknown(id.to_owned());
    caller.reach(action, Object::Owned { owner_id: &desktop.owner_id }, unknown)?;
    Ok(desktop)
}

fn base_url(request: &HttpRequest, state: &AppState) -> Result<String, Error> {
    Client::of(request, &state.settings).base_url(&state.settings)
}

/// With its owner's name, and the address at which a browser opens it.
fn located(desktop: DesktopView, state: &AppState, base: &str) -> DesktopView {
    let owner = state.snapshot().username(&desktop.owner_id);
    DesktopView { owner, url: format!("{base}/desktop/{}", desktop.proxy_path), ..desktop }
}

fn accepted(desktop: DesktopView, state: &AppState, base: &str) -> HttpResponse {
    let location = ("Location", format!("/api/desktops/{}", desktop.id));
    HttpResponse::Accepted().insert_header(location).json(located(desktop, state, base))
}
