//! Accounts over HTTP, for administrators: `/api/users…`. What they are is the Directory's.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::body::take_object;
use super::caller::Authorized;
use super::paging::{Page, PageQuery};
use super::problems::{BadAgentBody, BadPage, Refused, UserMissing};
use super::user_fields::{CreateUserBody, PatchUserBody, new_user, summary, user_changes};
use super::user_view::UserView;
use super::{AppState, Place};
use crate::config::Secret;
use crate::current::ask;
use crate::error::{Error, Problem};
use crate::identity::directory::{ChangeUser, CreateUser, DeleteUser};
use crate::identity::hasher::HashPassword;
use crate::identity::policy::Action;
use crate::store::models::UserRow;

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![
        Place::at("/api/users").get(list).post(create),
        Place::at("/api/users/{id}").get(show).patch(change).delete(remove),
    ]
}

/// List accounts
///
/// Ordered by `username`.
#[utoipa::path(
    get, path = "/api/users", tag = "Users", operation_id = "list_users",
    params(
        ("limit" = Option<u16>, Query, description = "The most items of this page", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page of accounts", body = Page<UserView>), Refused, BadPage)
)]
pub(super) async fn list(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<Page<UserView>>, Error> {
    caller.require(Action::ListUsers)?;
    let page = PageQuery::of(&request)?;
    let all = state.snapshot().users().cloned().collect();
    let Page { items, next } = page.cut(all, |row: &Arc<UserRow>| &row.username);
    Ok(web::Json(Page { items: items.iter().map(|row| UserView::new(row)).collect(), next }))
}

/// Add an account
#[utoipa::path(
    post, path = "/api/users", tag = "Users", operation_id = "create_user",
    request_body(content((CreateUserBody = "application/json"), (CreateUserBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 201, description = "The account", body = UserView, headers(("Location" = String, description = "Where it can be read again"))),
        Refused, BadAgentBody,
        (status = 409, description = "`user_exists`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error> {
    caller.require(Action::CreateUser)?;
    let (mut user, password) = new_user(take_object(&request, payload).await?)?;
    caller.trail().object(&user.username);
    // Before the work of a password's hash; the Directory asks again.
    if state.snapshot().user_named(&user.username).is_some() {
        return Err(Error::UserExists(user.username));
    }
    user.password_hash = hashed(&state, password).await?;
    let row = state.tell(CreateUser(user)).await??;
    caller.trail().detail(format!("role {}", row.role));
    let location = ("Location", format!("/api/users/{}", row.id));
    Ok(HttpResponse::Created().insert_header(location).json(UserView::new(&row)))
}

/// Read an account
#[utoipa::path(
    get, path = "/api/users/{id}", tag = "Users", operation_id = "read_user",
    params(("id" = String, Path, description = "`id` of the account")),
    responses((status = 200, description = "The account", body = UserView), Refused, UserMissing)
)]
pub(super) async fn show(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<web::Json<UserView>, Error> {
    Ok(web::Json(UserView::new(&*reach(&caller, &state, Action::ReadUser, &id)?)))
}

/// Change an account
///
/// `active: false` ends its sessions, cuts its agents and makes its tokens void until it is active again. A new password
/// ends its sessions.
#[utoipa::path(
    patch, path = "/api/users/{id}", tag = "Users", operation_id = "change_user",
    params(("id" = String, Path, description = "`id` of the account")),
    request_body(content((PatchUserBody = "application/json"), (PatchUserBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "The account as it is now", body = UserView),
        Refused, BadAgentBody, UserMissing,
        (status = 409, description = "`last_admin`: nobody could administrate any more", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<UserView>, Error> {
    reach(&caller, &state, Action::ChangeUser, &id)?;
    let (mut changes, password) = user_changes(take_object(&request, payload).await?)?;
    changes.password_hash = hashed(&state, password).await?;
    let changed = summary(&changes);
    let row = state.tell(ChangeUser { user_id: id.into_inner(), changes }).await??;
    caller.trail().detail(changed);
    Ok(web::Json(UserView::new(&row)))
}

/// Delete an account
///
/// With its sessions and tokens. Its agents, tunnels and desktops have to be handed over or deleted before.
#[utoipa::path(
    delete, path = "/api/users/{id}", tag = "Users", operation_id = "delete_user",
    params(("id" = String, Path, description = "`id` of the account")),
    responses(
        (status = 204, description = "Gone"),
        Refused, UserMissing,
        (status = 409, description = "`last_admin`: nobody could administrate any more; `user_in_use`: it has agents, tunnels or desktops", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Error> {
    reach(&caller, &state, Action::DeleteUser, &id)?;
    state.tell(DeleteUser(id.into_inner())).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// The account with this id, if the caller may do this to accounts. The audit log has its name, for people.
fn reach(caller: &Authorized, state: &AppState, action: Action, id: &str) -> Result<Arc<UserRow>, Error> {
    caller.require(action)?;
    let row = state.snapshot().user(id).cloned();
    caller.trail().object(row.as_ref().map_or(id, |row| &row.username));
    row.ok_or_else(|| Error::UserUnknown(id.to_owned()))
}

async fn hashed(state: &AppState, password: Option<Secret>) -> Result<Option<String>, Error> {
    match password {
        Some(password) => Ok(Some(ask(&state.hasher, HashPassword(password)).await??)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;
    use serde_json::{Value, json};

    use crate::http::test_support::TestApi;

    #[actix_web::test]
    async fn an_account_is_made_changed_and_deleted() {
        let api = TestApi::start().await;
        let admin = api.tokens.admin.clone();
        let body = json!({"username": "alice", "email": "a@b", "password": "correct horse"}).to_string();
        let answer = api.call(Method::POST, "/api/users", &admin, &body).await;
        let made = answer.json();
        let path = format!("/api/users/{}", made["id"].as_str().unwrap());
        assert_eq!((answer.status.as_u16(), answer.header("location")), (201, path.as_str()));
        assert_eq!(
            (&made["username"], &made["email"], &made["role"]),
            (&json!("alice"), &json!("a@b"), &json!("user"))
        );
        assert!(!answer.body.contains("argon2") && !answer.body.contains("correct"));
        let again = api.call(Method::POST, "/api/users", &admin, &body).await;
        assert_eq!((again.status.as_u16(), again.code().as_str()), (409, "user_exists"));

        let changes = json!({"email": null, "max_tunnels": 0, "role": "admin"}).to_string();
        let changed = api.call(Method::PATCH, &path, &admin, &changes).await.json();
        let expected = (&Value::Null, &json!(0), &json!("admin"));
        assert_eq!((&changed["email"], &changed["max_tunnels"], &changed["role"]), expected);
        assert_eq!(api.call(Method::GET, &path, &admin, "").await.json(), changed);

        assert_eq!(api.call(Method::DELETE, &path, &admin, "").await.status.as_u16(), 204);
        for (method, body) in [(Method::GET, ""), (Method::PATCH, r#"{"active":true}"#), (Method::DELETE, "")] {
            let answer = api.call(method, &path, &admin, body).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "user_unknown"));
        }
    }

    #[actix_web::test]
    async fn accounts_are_for_administrators() {
        let api = TestApi::start().await;
        for (method, path) in [
            (Method::GET, "/api/users"),
            (Method::POST, "/api/users"),
            (Method::GET, "/api/users/id-of-admin"),
            (Method::PATCH, "/api/users/id-of-admin"),
            (Method::DELETE, "/api/users/nobody"),
        ] {
            let answer = api.call(method.clone(), path, &api.tokens.reader, "").await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "forbidden"), "{method} {path}");
        }
    }

    #[actix_web::test]
    async fn the_last_administrator_stays() {
        let api = TestApi::start().await;
        let path = "/api/users/id-of-admin";
        for (method, body) in
            [(Method::PATCH, r#"{"role":"user"}"#), (Method::PATCH, r#"{"active":false}"#), (Method::DELETE, "")]
        {
            let answer = api.call(method.clone(), path, &api.tokens.admin, body).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "last_admin"), "{method} {body}");
        }
    }
}
