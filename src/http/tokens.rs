//! API tokens over HTTP: `/api/tokens…`. Everybody has their own; administrators see and revoke those of others.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::body::take_object;
use super::caller::Authorized;
use super::paging::{Page, PageQuery, query_pairs};
use super::problems::{BadAgentBody, BadPage, Refused, TokenMissing, UserMissing};
use super::token_fields::{CreateTokenBody, TokenView, new_token};
use super::{AppState, Place};
use crate::clock::now_ms;
use crate::error::{Error, Problem};
use crate::identity::ScopeSet;
use crate::identity::directory::{CreateToken, MadeToken, RevokeToken};
use crate::identity::policy::{self, Action, Means, Object};
use crate::store::models::TokenRow;

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![Place::at("/api/tokens").get(list).post(create), Place::at("/api/tokens/{id}").delete(revoke)]
}

/// List one's API tokens
///
/// Ordered by `id`. A token sees those that may do no more than itself.
#[utoipa::path(
    get, path = "/api/tokens", tag = "Tokens", operation_id = "list_tokens",
    params(
        ("limit" = Option<u16>, Query, description = "The most items of this page", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("user" = Option<String>, Query, description = "Name of an account whose tokens an administrator wants to see"),
    ),
    responses((status = 200, description = "A page of tokens", body = Page<TokenView>), Refused, BadPage, UserMissing)
)]
pub(super) async fn list(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<Page<TokenView>>, Error> {
    caller.require(Action::ListTokens)?;
    let page = PageQuery::of(&request)?;
    let owner_id = owner_of_list(&caller, &state, &request)?;
    let snapshot = state.snapshot();
    let visible = |row: &&Arc<TokenRow>| caller.can(Action::ReadToken, Object::of_token(row));
    let tokens = snapshot.tokens_of(&owner_id).filter(visible).cloned().collect();
    let Page { items, next } = page.cut(tokens, |row: &Arc<TokenRow>| &row.id);
    Ok(web::Json(Page { items: items.iter().map(|row| TokenView::new(row)).collect(), next }))
}

/// Whose tokens are asked for. Somebody else's name is as unknown as none, but to an administrator.
fn owner_of_list(caller: &Authorized, state: &AppState, request: &HttpRequest) -> Result<String, Error> {
    let named = query_pairs(request)?.into_iter().rfind(|(name, _)| name == "user");
    let Some((_, username)) = named else { return Ok(caller.user_id.clone()) };
    let unknown = || Error::UserUnknown(username.clone());
    let snapshot = state.snapshot();
    let owner = snapshot.user_named(&username).ok_or_else(unknown)?;
    caller.reach(Action::ListTokens, Object::Owned { owner_id: &owner.id }, unknown)?;
    Ok(owner.id.clone())
}

/// Make an API token
///
/// The answer holds the token, which is shown this once and stored only as a hash. A token makes no other that may do
/// more, or lasts longer, than itself.
#[utoipa::path(
    post, path = "/api/tokens", tag = "Tokens", operation_id = "create_token",
    request_body(content((CreateTokenBody = "application/json"), (CreateTokenBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 201, description = "The token", body = TokenView),
        Refused, BadAgentBody,
        (status = 409, description = "`limit_reached`: the account has as many tokens as it may have", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error> {
    caller.require(Action::CreateToken)?;
    let wanted = new_token(take_object(&request, payload).await?, now_ms())?;
    let scopes = wanted.scopes.unwrap_or_else(|| scopes_unasked(&caller));
    let object = Object::Token { owner_id: &caller.user_id, scopes };
    caller.reach(Action::CreateToken, object, || Error::NotFound)?;
    caller.heed(policy::may_last(caller.by, caller.ends_at, wanted.expires_at))?;
    let new =
        CreateToken { owner_id: caller.user_id.clone(), name: wanted.name, scopes, expires_at: wanted.expires_at };
    let MadeToken { row, token } = state.tell(new).await??;
    caller.trail().object(&row.id);
    caller.trail().detail(format!("scopes {}", row.scopes));
    Ok(HttpResponse::Created().json(TokenView::new(&row).with_token(token)))
}

/// What a token gets that was asked for without naming scopes: as much as it may have.
fn scopes_unasked(caller: &Authorized) -> ScopeSet {
    match caller.by {
        Means::Session => policy::default_scopes(caller.role),
        Means::Token(own) => own,
    }
}

/// Revoke an API token
///
/// It is void when this answers.
#[utoipa::path(
    delete, path = "/api/tokens/{id}", tag = "Tokens", operation_id = "revoke_token",
    params(("id" = String, Path, description = "`id` of the token, not the token itself")),
    responses((status = 204, description = "Void"), Refused, TokenMissing)
)]
pub(super) async fn revoke(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Error> {
    caller.require(Action::RevokeToken)?;
    caller.trail().object(id.as_str());
    let snapshot = state.snapshot();
    let unknown = || Error::TokenUnknown(id.clone());
    let row = snapshot.token_by_id(&id).ok_or_else(unknown)?;
    caller.reach(Action::RevokeToken, Object::of_token(row), unknown)?;
    state.tell(RevokeToken(row.id.clone())).await??;
    caller.trail().detail(format!("of {}", snapshot.username(&row.user_id)));
    Ok(HttpResponse::NoContent().finish())
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;
    use serde_json::json;

    use crate::http::test_support::TestApi;

    #[actix_web::test]
    async fn a_token_works_until_it_is_revoked() {
        let api = TestApi::start().await;
        let body = r#"{"name":"ci","scopes":["tunnels:read"],"expires_at":"2035-01-31T12:00:00+01:00"}"#;
        let answer = api.call(Method::POST, "/api/tokens", &api.tokens.admin, body).await;
        let made = answer.json();
        assert_eq!((answer.status.as_u16(), &made["scopes"]), (201, &json!(["tunnels:read"])));
        assert_eq!((&made["name"], &made["expires_at"]), (&json!("ci"), &json!("2035-01-31T11:00:00.000Z")));
        let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
        let listed = api.call(Method::GET, "/api/tokens", token, "").await;
        assert_eq!(listed.status.as_u16(), 200);
        assert!(!listed.body.contains(token), "shown once");

        let path = format!("/api/tokens/{id}");
        assert_eq!(api.call(Method::DELETE, &path, &api.tokens.admin, "").await.status.as_u16(), 204);
        assert_eq!(api.call(Method::GET, "/api/tokens", token, "").await.status.as_u16(), 401);
        let again = api.call(Method::DELETE, &path, &api.tokens.admin, "").await;
        assert_eq!((again.status.as_u16(), again.code().as_str()), (404, "token_unknown"));
    }

    #[actix_web::test]
    async fn a_token_sees_and_makes_none_that_is_wider() {
        let api = TestApi::start().await;
        let listed = api.call(Method::GET, "/api/tokens", &api.tokens.reader, "").await.json();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "itself: {listed}");
        let refused = api.call(Method::DELETE, "/api/tokens/all", &api.tokens.reader, "").await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (404, "token_unknown"));
        for (scopes, status) in [(json!(["tunnels:write"]), 403), (json!(["admin"]), 403), (json!(null), 201)] {
            let body = json!({"name": "x", "scopes": scopes}).to_string();
            let answer = api.call(Method::POST, "/api/tokens", &api.tokens.reader, &body).await;
            assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.body);
        }
        let made = api.call(Method::GET, "/api/tokens", &api.tokens.admin, "").await.json();
        assert_eq!(made["items"].as_array().unwrap().len(), 3);
    }
}
