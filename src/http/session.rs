//! Signing in with a name and a password, and out again: `/api/session` and `/api/sessions`.

use actix_web::http::header::{HeaderMap, ORIGIN};
use actix_web::{HttpRequest, HttpResponse, web};

use super::body::take_json;
use super::caller::Authorized;
use super::client::Client;
use super::me::MeView;
use super::problems::{BadPassword, Refused};
use super::session_fields::{SignInBody, sign_in};
use super::trail::{SIGN_IN, Trail};
use super::{AppState, Place, cookies, csrf};
use crate::clock::now_ms;
use crate::error::Error;
use crate::identity::Credential;
use crate::identity::directory::{CloseSession, CloseSessions};
use crate::identity::policy::Action;
use crate::identity::sign_in::Claim;

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![Place::at("/api/session").post(create).delete(end), Place::at("/api/sessions").delete(end_all)]
}

/// Sign in
///
/// The answer sets a cookie with a new session. A browser must ask from a page of this server. An account that is
/// unknown, not active or without a password is answered like a wrong password.
#[utoipa::path(
    post, path = "/api/session", tag = "Sign-in", operation_id = "sign_in", security(()),
    request_body = SignInBody,
    responses(
        (status = 201, description = "Who signed in", body = MeView, headers(("Set-Cookie" = String, description = "The session"))),
        BadPassword,
    )
)]
pub(super) async fn create(
    state: web::Data<AppState>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Error> {
    let client = Client::of(&request, &state.settings);
    verify_page(request.headers(), &client, &state)?;
    let (username, password) = sign_in(take_json(&request, payload).await?)?;
    let (trail, tried) = (Trail::of(&request), username.clone());
    let replaces = cookies::session(&request, client.https).and_then(Credential::into_session_hash);
    let claim = Claim { username, password, address: client.counted_address() };
    let opened = state.sign_in().open(claim, replaces).await;
    if !matches!(opened, Err(Error::TooManyAttempts { .. } | Error::Unavailable(_))) {
        // Those that are refused unseen would fill the log as fast as they come.
        trail.action(SIGN_IN);
        // Any other text may be a password in the wrong field, or look like somebody else of the log.
        if state.snapshot().user_named(&tried).is_some() {
            trail.actor(&tried);
        }
    }
    let opened = opened?;
    let caller = state.snapshot().caller(&Credential::of_cookie(&opened.id), now_ms()).ok_or(Error::WrongPassword)?;
    let cookie = cookies::begin_session(&opened.id, opened.lifetime_s, client.https);
    Ok(HttpResponse::Created().cookie(cookie).json(MeView::of(&caller, &state)?))
}

/// A page of another site must not sign its reader in as somebody else. A script says nothing and needs no protection.
fn verify_page(headers: &HeaderMap, client: &Client, state: &AppState) -> Result<(), Error> {
    let says = headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site");
    if says && !csrf::is_own(headers, client, &state.settings) {
        return Err(Error::CrossSite("sign in from a page of this server"));
    }
    Ok(())
}

/// Sign out
///
/// Ends the session that asks.
#[utoipa::path(
    delete, path = "/api/session", tag = "Sign-in", operation_id = "sign_out", security(("session" = [])),
    responses((status = 204, description = "Signed out; the cookie is taken away"), Refused)
)]
pub(super) async fn end(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    caller.require(Action::EndSession)?;
    // The policy lets nobody but a session through.
    let hash = caller.session_hash().ok_or(Error::Internal)?;
    state.tell(CloseSession(hash.to_owned())).await??;
    Ok(signed_out(&request, &state))
}

/// Sign out everywhere
///
/// Ends all sessions of whoever asks, this one included.
#[utoipa::path(
    delete, path = "/api/sessions", tag = "Sign-in", operation_id = "sign_out_everywhere", security(("session" = [])),
    responses((status = 204, description = "Signed out; the cookie is taken away"), Refused)
)]
pub(super) async fn end_all(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    caller.require(Action::EndSessions)?;
    state.tell(CloseSessions { user_id: caller.user_id.clone(), except: None }).await??;
    Ok(signed_out(&request, &state))
}

fn signed_out(request: &HttpRequest, state: &AppState) -> HttpResponse {
    let https = Client::of(request, &state.settings).https;
    HttpResponse::NoContent().cookie(cookies::end_session(https)).finish()
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;
    use serde_json::json;

    use crate::current::ask;
    use crate::http::test_support::{Answer, TestApi};
    use crate::identity::hasher::Runs;
    use crate::identity::passwords;
    use crate::store::{audit, sessions, users};

    const RIGHT: &str = "correct horse";
    const JSON: (&str, &str) = ("Content-Type", "application/json");
    const HOST: (&str, &str) = ("Host", "dockway.test");

    /// The user `admin` has the password `RIGHT`.
    async fn start() -> TestApi {
        let api = TestApi::start().await;
        let hash = passwords::hash(RIGHT).unwrap();
        api.state.store.run(move |c| users::set_password_hash(c, "id-of-admin", &hash)).await.unwrap();
        while api.state.snapshot().user("id-of-admin").unwrap().password_hash.is_none() {
            api.state.snapshot.clone().changed().await.unwrap();
        }
        api
    }

    async fn sign_in(api: &TestApi, headers: &[(&str, &str)], password: &str) -> Answer {
        let body = json!({"username": "admin", "password": password}).to_string();
        let headers: Vec<_> = [JSON, HOST].iter().chain(headers).copied().collect();
        api.call_with(Method::POST, "/api/session", &headers, &body).await
    }

    /// `name=value` of the cookie that was set.
    fn cookie(answer: &Answer) -> String {
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    async fn stored(api: &TestApi) -> usize {
        api.state.store.run(sessions::list).await.unwrap().len()
    }

    #[actix_web::test]
    async fn a_session_begins_and_ends() {
        let api = start().await;
        let answer = sign_in(&api, &[], RIGHT).await;
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.body);
        let attributes = answer.header("set-cookie").split_once(';').unwrap().1;
        assert_eq!(attributes, " HttpOnly; SameSite=Lax; Path=/; Max-Age=86400");
        let cookie = cookie(&answer);
        let me = api.call_with(Method::GET, "/api/me", &[("Cookie", &cookie)], "").await;
        assert_eq!((me.status.as_u16(), me.json()["username"].as_str()), (200, Some("admin")));
        assert_eq!(me.json()["last_sign_in"], answer.json()["last_sign_in"]);
        let own = [("Cookie", cookie.as_str()), HOST, ("Origin", "http://dockway.test"), ("X-Dockway-Csrf", "1")];
        let ended = api.call_with(Method::DELETE, "/api/session", &own, "").await;
        assert_eq!(ended.status.as_u16(), 204, "{}", ended.body);
        assert!(ended.header("set-cookie").starts_with("dockway_session=;"), "{}", ended.header("set-cookie"));
        assert!(ended.header("set-cookie").ends_with("Max-Age=0"));
        for _ in 0..2 {
            let again = api.call_with(Method::DELETE, "/api/session", &own, "").await;
            assert_eq!((again.status.as_u16(), again.code().as_str()), (401, "unauthenticated"));
        }
        assert_eq!(stored(&api).await, 0);
    }

    #[actix_web::test]
    async fn each_sign_in_has_an_id_of_its_own_and_ends_the_session_before() {
        let api = start().await;
        let first = cookie(&sign_in(&api, &[], RIGHT).await);
        let second = cookie(&sign_in(&api, &[("Cookie", &first)], RIGHT).await);
        let third = cookie(&sign_in(&api, &[("Cookie", "dockway_session=chosen")], RIGHT).await);
        assert!(first != second && second != third && !third.contains("chosen"));
        assert_eq!(stored(&api).await, 2);
        for (cookie, status) in [(first, 401), (second, 200), (third, 200)] {
            let me = api.call_with(Method::GET, "/api/me", &[("Cookie", &cookie)], "").await;
            assert_eq!(me.status.as_u16(), status);
        }
    }

    #[actix_web::test]
    async fn a_wrong_password_leaves_the_session_before_alone() {
        let api = start().await;
        let first = cookie(&sign_in(&api, &[], RIGHT).await);
        let answer = sign_in(&api, &[("Cookie", &first)], "wrong horse").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "wrong_password"));
        assert_eq!(answer.header("set-cookie"), "");
        let me = api.call_with(Method::GET, "/api/me", &[("Cookie", &first)], "").await;
        assert_eq!(me.status.as_u16(), 200);
    }

    #[actix_web::test]
    async fn a_page_of_another_site_signs_nobody_in() {
        let api = start().await;
        for (headers, status) in [
            (vec![("Origin", "http://dockway.test")], 201),
            (vec![("Sec-Fetch-Site", "same-origin")], 201),
            (vec![("Origin", "http://evil.test")], 403),
            (vec![("Origin", "null")], 403),
            (vec![("Origin", "")], 403),
            (vec![("Sec-Fetch-Site", "cross-site"), ("Origin", "http://dockway.test")], 403),
            (vec![("Sec-Fetch-Site", "same-site")], 403),
        ] {
            let answer = sign_in(&api, &headers, RIGHT).await;
            assert_eq!(answer.status.as_u16(), status, "{headers:?}: {}", answer.body);
            assert_eq!(answer.header("set-cookie").is_empty(), status == 403);
        }
        assert_eq!(stored(&api).await, 2);
    }

    #[actix_web::test]
    async fn what_cannot_be_read_costs_no_work() {
        let api = start().await;
        let right = json!({"username": "admin", "password": RIGHT}).to_string();
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let token = format!("Bearer {}", api.tokens.admin);
        let large = json!({"username": "admin", "password": "x".repeat(10_000_000)}).to_string();
        let rows = [
            (vec![form], right.as_str(), 415),
            (vec![form, ("Authorization", &token)], &right, 415),
            (vec![("Content-Type", "text/plain")], &right, 415),
            (vec![JSON], "", 400),
            (vec![JSON], "[]", 400),
            (vec![JSON], &large, 413),
            (vec![JSON], r#"{"username":"admin\u0000","password":"correct horse"}"#, 422),
            (vec![JSON], r#"{"username":"admin"}"#, 422),
        ];
        let before = ask(&api.state.hasher, Runs).await.unwrap();
        for (headers, body, status) in rows {
            let answer = api.call_with(Method::POST, "/api/session", &headers, body).await;
            assert_eq!(answer.status.as_u16(), status, "{headers:?}: {}", answer.body);
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
        assert_eq!(ask(&api.state.hasher, Runs).await.unwrap(), before);
        assert_eq!(stored(&api).await, 0);
    }

    #[actix_web::test]
    async fn sign_ins_and_outs_are_written_down_without_a_secret() {
        let api = start().await;
        let cookie = cookie(&sign_in(&api, &[], RIGHT).await);
        sign_in(&api, &[], "wrong horse").await;
        let own = [("Cookie", cookie.as_str()), HOST, ("Origin", "http://dockway.test"), ("X-Dockway-Csrf", "1")];
        api.call_with(Method::DELETE, "/api/sessions", &own, "").await;
        api.call(Method::DELETE, "/api/session", &api.tokens.admin, "").await;
        let query = audit::AuditQuery { limit: 10, ..audit::AuditQuery::default() };
        let entries = api.state.store.run(move |c| audit::find(c, &query)).await.unwrap();
        let told: Vec<_> =
            entries.iter().rev().map(|row| (row.actor.as_str(), row.action.as_str(), row.outcome.as_str())).collect();
        let expected = [
            ("admin", "session.create", "ok"),
            ("admin", "session.create", "denied"),
            ("admin", "session.end_all", "ok"),
            ("admin", "session.end", "denied"),
        ];
        assert_eq!(told, expected);
        let text = format!("{entries:?}");
        let id = cookie.split('=').nth(1).unwrap();
        assert!(!text.contains("horse") && !text.contains(id), "{text}");
    }

    #[actix_web::test]
    async fn who_is_nobody_writes_no_name_into_the_log() {
        let api = start().await;
        for name in ["command line", "agent enrolled", "-", "my password was here", "nobody"] {
            let body = json!({"username": name, "password": "wrong horse"}).to_string();
            api.call_with(Method::POST, "/api/session", &[JSON, HOST], &body).await;
        }
        let query = audit::AuditQuery { limit: 10, ..audit::AuditQuery::default() };
        let entries = api.state.store.run(move |c| audit::find(c, &query)).await.unwrap();
        assert_eq!(entries.len(), 5);
        for entry in entries {
            assert_eq!((entry.actor.as_str(), entry.object, entry.outcome.as_str()), ("-", None, "denied"));
        }
    }

    #[actix_web::test]
    async fn a_token_has_no_session_to_end() {
        let api = start().await;
        for path in ["/api/session", "/api/sessions"] {
            let answer = api.call(Method::DELETE, path, &api.tokens.admin, "").await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "forbidden"), "{path}");
        }
    }
}
