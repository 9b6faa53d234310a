//! Who one is, and one's password: `/api/me`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::take_json;
use super::caller::Authorized;
use super::client::Client;
use super::problems::{BadPassword, Refused};
use super::session_fields::{PasswordBody, current_password_missing, password_change};
use super::user_view::UserView;
use super::{AppState, Place};
use crate::clock::rfc3339;
use crate::config::{Limits, Secret};
use crate::current::ask;
use crate::error::Error;
use crate::identity::Caller;
use crate::identity::directory::ReplacePassword;
use crate::identity::hasher::HashPassword;
use crate::identity::policy::{Action, Means};
use crate::identity::sign_in::Claim;
use crate::store::models::UserRow;

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![Place::at("/api/me").get(show), Place::at("/api/me/password").post(change_password)]
}

/// Who asks, and with what.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeView {
    #[serde(flatten)]
    pub user: UserView,
    /// `session` or `token`.
    pub by: &'static str,
    /// What the token may do; null for a session, which may do all that the account may.
    #[schema(required)]
    pub scopes: Option<Vec<String>>,
    /// When the session ends without further use, or the token; null: never.
    #[schema(required)]
    pub expires_at: Option<String>,
    /// Whether the account can sign in with a password.
    pub has_password: bool,
    /// The OpenID providers that sign in to the account.
    pub providers: Vec<String>,
    pub limits: LimitsView,
}

/// How many things the account may have; null: no limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitsView {
    #[schema(required)]
    pub tunnels: Option<u32>,
    #[schema(required)]
    pub desktops: Option<u32>,
    #[schema(required)]
    pub agents: Option<u32>,
    #[schema(required)]
    pub tokens: Option<u32>,
}

impl MeView {
    /// # Errors
    /// `Unauthenticated` if the account has just been removed.
    pub(super) fn of(caller: &Caller, state: &AppState) -> Result<Self, Error> {
        let snapshot = state.snapshot();
        let user = snapshot.user(&caller.user_id).ok_or(Error::Unauthenticated("this account is gone"))?;
        let (by, scopes) = match caller.by {
            Means::Session => ("session", None),
            Means::Token(scopes) => ("token", Some(scopes.to_string())),
        };
        let Limits { tunnels, desktops, agents, tokens } = state.settings.limits.of(user);
        Ok(Self {
            user: UserView::new(user),
            by,
            scopes: scopes.map(|scopes| scopes.split_whitespace().map(str::to_owned).collect()),
            expires_at: caller.ends_at.map(rfc3339),
            has_password: user.password_hash.is_some(),
            providers: snapshot.providers_of(&user.id),
            limits: LimitsView { tunnels, desktops, agents, tokens },
        })
    }
}

/// Who am I?
#[utoipa::path(
    get, path = "/api/me", tag = "Sign-in", operation_id = "read_me",
    responses((status = 200, description = "Whose session or token it is", body = MeView), Refused)
)]
pub(super) async fn show(caller: Authorized, state: web::Data<AppState>) -> Result<web::Json<MeView>, Error> {
    caller.require(Action::ReadSelf)?;
    Ok(web::Json(MeView::of(&caller, &state)?))
}

/// Change one's password
///
/// Ends all other sessions of the account. Wrong current passwords count like failed sign-ins.
#[utoipa::path(
    post, path = "/api/me/password", tag = "Sign-in", operation_id = "change_password", security(("session" = [])),
    request_body = PasswordBody,
    responses((status = 204, description = "Changed"), BadPassword)
)]
pub(super) async fn change_password(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error> {
    caller.require(Action::ChangePassword)?;
    let (current, new) = password_change(take_json(&request, payload).await?)?;
    let user = state.snapshot().user(&caller.user_id).cloned();
    let user = user.ok_or(Error::Unauthenticated("this account is gone"))?;
    let verified_hash = prove(&user, current, &request, &state).await?;
    let replace = ReplacePassword {
        user_id: caller.user_id.clone(),
        verified_hash,
        password_hash: ask(&state.hasher, HashPassword(new)).await??,
        keep_session: caller.session_hash().map(str::to_owned),
    };
    state.tell(replace).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// The hash of the password that the account had; None if it had none and none was shown.
async fn prove(
    user: &UserRow,
    current: Option<Secret>,
    request: &HttpRequest,
    state: &AppState,
) -> Result<Option<String>, Error> {
    let Some(password) = current else {
        return if user.password_hash.is_none() { Ok(None) } else { Err(current_password_missing()) };
    };
    let address = Client::of(request, &state.settings).counted_address();
    let claim = Claim { username: user.username.clone(), password, address };
    Ok(Some(state.sign_in().prove(claim).await?.verified_hash))
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;
    use serde_json::{Value, json};

    use crate::http::test_support::{Answer, TestApi};
    use crate::identity::directory::{OpenSession, OpenedSession};
    use crate::store::users;

    /// A browser of the user `admin`, who has no password at first.
    struct Signed {
        api: TestApi,
        cookie: String,
    }

    impl Signed {
        async fn start() -> Self {
            let api = TestApi::start().await;
            let cookie = Self::open(&api).await;
            Self { api, cookie }
        }

        async fn open(api: &TestApi) -> String {
            let OpenedSession { id, .. } =
                api.state.tell(OpenSession::for_tests("id-of-admin")).await.unwrap().unwrap();
            format!("dockway_session={id}")
        }

        async fn change(&self, body: &Value) -> Answer {
            let headers = [
                ("Cookie", self.cookie.as_str()),
                ("Host", "dockway.test"),
                ("Origin", "http://dockway.test"),
                ("Content-Type", "application/json"),
            ];
            self.api.call_with(Method::POST, "/api/me/password", &headers, &body.to_string()).await
        }

        async fn me(&self, cookie: &str) -> Answer {
            self.api.call_with(Method::GET, "/api/me", &[("Cookie", cookie)], "").await
        }
    }

    #[actix_web::test]
    async fn a_session_and_a_token_are_told_what_they_are() {
        let signed = Signed::start().await;
        let me = signed.me(&signed.cookie).await.json();
        assert_eq!((&me["username"], &me["by"], &me["scopes"]), (&json!("admin"), &json!("session"), &json!(null)));
        assert_eq!((&me["has_password"], &me["providers"]), (&json!(false), &json!([])));
        assert_eq!(me["limits"], json!({"tunnels": null, "desktops": 10, "agents": null, "tokens": 100}));
        assert!(me["expires_at"].as_str() > me["created_at"].as_str() && me.get("password_hash").is_none(), "{me}");
        let by_token = signed.api.call(Method::GET, "/api/me", &signed.api.tokens.reader, "").await.json();
        assert_eq!((&by_token["by"], &by_token["scopes"]), (&json!("token"), &json!(["tunnels:read"])));
        assert_eq!((&by_token["id"], &by_token["expires_at"]), (&me["id"], &json!(null)));
    }

    #[actix_web::test]
    async fn a_password_is_set_and_then_changed_only_by_who_knows_it() {
        let signed = Signed::start().await;
        let other = Signed::open(&signed.api).await;
        let first = signed.change(&json!({"new_password": "first horse"})).await;
        assert_eq!(first.status.as_u16(), 204, "{}", first.body);
        assert_eq!(signed.me(&signed.cookie).await.json()["has_password"], json!(true));
        assert_eq!(signed.me(&other).await.status.as_u16(), 401, "other sessions have ended");
        for (current, status, code) in
            [(Value::Null, 422, "invalid"), (json!("wrong horse"), 401, "wrong_password"), (json!(7), 422, "invalid")]
        {
            let answer = signed.change(&json!({"current_password": current, "new_password": "second horse"})).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{current}");
        }
        let short = signed.change(&json!({"current_password": "first horse", "new_password": "short"})).await;
        let errors = &short.json()["errors"];
        assert_eq!((short.status.as_u16(), &errors[0]["field"]), (422, &json!("new_password")));
        assert!(errors[0]["detail"].as_str().unwrap().contains("at least 10 characters"), "{errors}");
        let second = signed.change(&json!({"current_password": "first horse", "new_password": "second horse"})).await;
        assert_eq!(second.status.as_u16(), 204, "{}", second.body);
        let row = signed.api.state.store.run(|c| users::get(c, "id-of-admin")).await.unwrap();
        assert!(crate::identity::passwords::verify("second horse", &row.password_hash.unwrap()));
    }

    #[actix_web::test]
    async fn a_token_changes_no_password() {
        let api = TestApi::start().await;
        let body = json!({"new_password": "first horse"}).to_string();
        let answer = api.call(Method::POST, "/api/me/password", &api.tokens.admin, &body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "forbidden"));
    }
}
