//! The catalogue of desktop types over HTTP: `/api/desktop-types…`. Administrators make them, since a type may run
//! whatever it likes with whatever rights it asks for.

use actix_web::{HttpRequest, HttpResponse, web};

use super::body::take_object;
use super::caller::Authorized;
use super::desktop_type_fields::{DesktopTypeBody, desktop_type};
use super::desktop_type_view::DesktopTypeView;
use super::paging::{Page, PageQuery};
use super::problems::{BadAgentBody, BadPage, DesktopTypeMissing, Refused};
use super::{AppState, Place};
use crate::desktop::DesktopType;
use crate::desktop::commands::{CreateType, DeleteType, ListTypes, ReplaceType};
use crate::error::{Error, Problem};
use crate::identity::policy::{Action, Object};

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![
        Place::at("/api/desktop-types").get(list).post(create),
        Place::at("/api/desktop-types/{name}").get(show).put(replace).delete(remove),
    ]
}

/// List desktop types
///
/// Ordered by `name`. Administrators see all of them and all of their fields.
#[utoipa::path(
    get, path = "/api/desktop-types", tag = "Desktop types", operation_id = "list_desktop_types",
    params(
        ("limit" = Option<u16>, Query, description = "The most items of this page", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page of types", body = Page<DesktopTypeView>), Refused, BadPage)
)]
pub(super) async fn list(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<Page<DesktopTypeView>>, Error> {
    caller.require(Action::ListDesktopTypes)?;
    let page = PageQuery::of(&request)?;
    let visible: Vec<_> =
        state.ask_desktops(ListTypes).await?.into_iter().filter_map(|one| shown(one, &caller)).collect();
    Ok(web::Json(page.cut(visible, |one| &one.name)))
}

/// Read a desktop type
#[utoipa::path(
    get, path = "/api/desktop-types/{name}", tag = "Desktop types", operation_id = "read_desktop_type",
    params(("name" = String, Path, description = "Name of the type")),
    responses((status = 200, description = "The type", body = DesktopTypeView), Refused, DesktopTypeMissing)
)]
pub(super) async fn show(
    caller: Authorized,
    state: web::Data<AppState>,
    name: web::Path<String>,
) -> Result<web::Json<DesktopTypeView>, Error> {
    caller.require(Action::ListDesktopTypes)?;
    let found = state.ask_desktops(ListTypes).await?.into_iter().find(|one| one.name == *name);
    let found = found.and_then(|one| shown(one, &caller));
    found.map(web::Json).ok_or_else(|| Error::DesktopTypeUnknown(name.into_inner()))
}

/// Add a desktop type
#[utoipa::path(
    post, path = "/api/desktop-types", tag = "Desktop types", operation_id = "create_desktop_type",
    request_body(content((DesktopTypeBody = "application/json"), (DesktopTypeBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 201, description = "The type", body = DesktopTypeView, headers(("Location" = String, description = "Where it can be read again"))),
        Refused, BadAgentBody,
        (status = 409, description = "`desktop_type_exists`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error> {
    caller.require(Action::CreateDesktopType)?;
    let wanted = desktop_type(take_object(&request, payload).await?)?;
    caller.trail().object(&wanted.name);
    let made = state.ask_desktops(CreateType(wanted)).await??;
    caller.trail().detail(made.image.as_str());
    let location = ("Location", format!("/api/desktop-types/{}", made.name));
    Ok(HttpResponse::Created().insert_header(location).json(DesktopTypeView::whole(made)))
}

/// Replace a desktop type
///
/// All of it, its name too: a field that is left out has its default, not what it had. Desktops that run take it up
/// when they are started the next time; homes stay with the type, whatever it is called.
#[utoipa::path(
    put, path = "/api/desktop-types/{name}", tag = "Desktop types", operation_id = "replace_desktop_type",
    params(("name" = String, Path, description = "Name of the type")),
    request_body(content((DesktopTypeBody = "application/json"), (DesktopTypeBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "The type as it is now", body = DesktopTypeView),
        Refused, BadAgentBody, DesktopTypeMissing,
        (status = 409, description = "`desktop_type_exists`: another one has the new name", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn replace(
    caller: Authorized,
    state: web::Data<AppState>,
    name: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<DesktopTypeView>, Error> {
    caller.require(Action::ChangeDesktopType)?;
    caller.trail().object(name.as_str());
    let wanted = desktop_type(take_object(&request, payload).await?)?;
    let replace = ReplaceType { name: name.into_inner(), desktop_type: wanted };
    let changed = state.ask_desktops(replace).await??;
    caller.trail().detail(format!("{}, {}", changed.name, changed.image));
    Ok(web::Json(DesktopTypeView::whole(changed)))
}

/// Delete a desktop type
#[utoipa::path(
    delete, path = "/api/desktop-types/{name}", tag = "Desktop types", operation_id = "delete_desktop_type",
    params(("name" = String, Path, description = "Name of the type")),
    responses(
        (status = 204, description = "Gone"), Refused, DesktopTypeMissing,
        (status = 409, description = "`desktop_type_in_use`: somebody has a desktop of it", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove(
    caller: Authorized,
    state: web::Data<AppState>,
    name: web::Path<String>,
) -> Result<HttpResponse, Error> {
    caller.require(Action::DeleteDesktopType)?;
    caller.trail().object(name.as_str());
    state.ask_desktops(DeleteType(name.into_inner())).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// What the caller sees of a type; None: nothing.
fn shown(one: DesktopType, caller: &Authorized) -> Option<DesktopTypeView> {
    if caller.can(Action::ChangeDesktopType, Object::None) {
        return Some(DesktopTypeView::whole(one));
    }
    one.enabled.then(|| DesktopTypeView::brief(one))
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;
    use serde_json::{Value, json};

    use crate::http::test_support::{TestApi, desktops};

    const PLACE: &str = "/api/desktop-types";

    async fn names(api: &TestApi, token: &str) -> Vec<String> {
        let answer = api.call(Method::GET, PLACE, token, "").await;
        let items = answer.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }

    #[actix_web::test]
    async fn administrators_add_replace_and_remove() {
        let (api, tokens) = desktops().await;
        let body = json!({"name": "code", "label": "Code", "image": "codercom/code-server:4.96.4", "kind": "web"});
        let made = api.call(Method::POST, PLACE, &tokens.admin, &body.to_string()).await;
        assert_eq!((made.status.as_u16(), made.header("location")), (201, "/api/desktop-types/code"), "{}", made.body);
        assert_eq!(made.json()["pids"], 4096);
        let again = api.call(Method::POST, PLACE, &tokens.admin, &body.to_string()).await;
        assert_eq!((again.status.as_u16(), again.code().as_str()), (409, "desktop_type_exists"));

        let mut changed = made.json();
        changed["name"] = "editor".into();
        changed["enabled"] = false.into();
        let place = format!("{PLACE}/code");
        let replaced = api.call(Method::PUT, &place, &tokens.admin, &changed.to_string()).await;
        assert_eq!((replaced.status.as_u16(), replaced.json()), (200, changed.clone()), "{}", replaced.body);
        let gone = api.call(Method::PUT, &place, &tokens.admin, &changed.to_string()).await;
        assert_eq!((gone.status.as_u16(), gone.code().as_str()), (404, "desktop_type_unknown"));
        changed["name"] = "ubuntu-vscode".into();
        let place = format!("{PLACE}/editor");
        let taken = api.call(Method::PUT, &place, &tokens.admin, &changed.to_string()).await;
        assert_eq!((taken.status.as_u16(), taken.code().as_str()), (409, "desktop_type_exists"));

        assert_eq!(api.call(Method::DELETE, &place, &tokens.admin, "").await.status.as_u16(), 204);
        let gone = api.call(Method::DELETE, &place, &tokens.admin, "").await;
        assert_eq!((gone.status.as_u16(), gone.code().as_str()), (404, "desktop_type_unknown"));
        let used = api.call(Method::DELETE, &format!("{PLACE}/debian-desktop"), &tokens.admin, "").await;
        assert_eq!((used.status.as_u16(), used.code().as_str()), (409, "desktop_type_in_use"));
    }

    #[actix_web::test]
    async fn others_see_what_they_may_start_and_no_more() {
        let (api, tokens) = desktops().await;
        let whole = api.call(Method::GET, &format!("{PLACE}/ubuntu-chromium"), &tokens.admin, "").await.json();
        assert_eq!(whole["env"]["VNC_PW"], "{password}");
        let hidden = Value::Object(
            whole.as_object().unwrap().clone().into_iter().chain([("enabled".into(), false.into())]).collect(),
        );
        let place = format!("{PLACE}/ubuntu-chromium");
        assert_eq!(api.call(Method::PUT, &place, &tokens.admin, &hidden.to_string()).await.status.as_u16(), 200);

        let all = ["debian-desktop", "ubuntu-chromium", "ubuntu-desktop", "ubuntu-vscode"];
        assert_eq!(names(&api, &tokens.admin).await, all);
        for token in [&tokens.alice, &tokens.admin_without_scope] {
            assert_eq!(names(&api, token).await, ["debian-desktop", "ubuntu-desktop", "ubuntu-vscode"]);
            let one = api.call(Method::GET, &format!("{PLACE}/ubuntu-vscode"), token, "").await.json();
            assert_eq!((&one["label"], one.get("env"), one.get("port")), (&json!("Visual Studio Code"), None, None));
            for unseen in ["ubuntu-chromium", "none", "%00"] {
                let answer = api.call(Method::GET, &format!("{PLACE}/{unseen}"), token, "").await;
                assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "desktop_type_unknown"));
            }
        }
    }

    #[actix_web::test]
    async fn nobody_else_changes_the_catalogue() {
        let (api, tokens) = desktops().await;
        for token in [&tokens.alice, &tokens.admin_without_scope] {
            for (method, path) in [
                (Method::POST, PLACE),
                (Method::PUT, "/api/desktop-types/ubuntu-vscode"),
                (Method::DELETE, "/api/desktop-types/ubuntu-vscode"),
                (Method::DELETE, "/api/desktop-types/none"),
            ] {
                let answer = api.call(method.clone(), path, token, "not json").await;
                assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "forbidden"), "{method} {path}");
            }
        }
        assert_eq!(names(&api, &tokens.admin).await.len(), 4);
    }

    #[actix_web::test]
    async fn the_catalogue_comes_in_pages() {
        let (api, tokens) = desktops().await;
        let first = api.call(Method::GET, &format!("{PLACE}?limit=3"), &tokens.alice, "").await.json();
        assert_eq!((first["items"].as_array().unwrap().len(), &first["next"]), (3, &json!("ubuntu-desktop")));
        let rest = api.call(Method::GET, &format!("{PLACE}?limit=3&after=ubuntu-desktop"), &tokens.alice, "").await;
        assert_eq!(
            (rest.json()["items"][0]["name"].as_str(), &rest.json()["next"]),
            (Some("ubuntu-vscode"), &Value::Null)
        );
        let bad = api.call(Method::GET, &format!("{PLACE}?limit=0"), &tokens.alice, "").await;
        assert_eq!(bad.status.as_u16(), 422);
    }
}
