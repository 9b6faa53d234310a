//! Sign-in with OpenID providers over HTTP: `/api/oidc…`.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Authorized;
use super::client::Client;
use super::oidc_answer::{Parameters, ProviderAnswer};
use super::paging::Page;
use super::problems::{BadStart, LinkRefused, Refused, SignInRefused};
use super::trail::{SIGN_IN, Trail};
use super::{AppState, Place, cookies};
use crate::clock::now_ms;
use crate::current::ask;
use crate::error::{Error, FieldError};
use crate::identity::Credential;
use crate::identity::attempts::MayNote;
use crate::identity::directory::{LinkIdentity, OpenSession, Proof, SignInByProvider, UnlinkIdentity};
use crate::identity::oidc::{Begin, Begun, Flow, Linking, ListProviders, Prove, Proven, Take, next};
use crate::identity::policy::Action;

const UNLINK: &str = "identity.unlink";

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![
        Place::at("/api/oidc").get(list),
        Place::at("/api/oidc/{provider}/start").get(start).post(start_linking),
        Place::at("/api/oidc/{provider}/callback").get(callback),
        Place::at("/api/oidc/{provider}/link").delete(unlink),
    ]
}

/// A provider that people may sign in with.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderView {
    /// For `/api/oidc/{provider}/start`.
    name: String,
    /// For people.
    label: String,
}

/// Where a linking goes on.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkingView {
    /// An address of the provider, for the browser that asked.
    url: String,
}

/// List sign-in providers
#[utoipa::path(
    get, path = "/api/oidc", tag = "Sign-in", operation_id = "list_providers", security(()),
    responses(
        (status = 200, description = "All of them, in the order of the settings", body = Page<ProviderView>),
        (status = 503, description = "`unavailable`: the sign-in restarts; try again after `Retry-After`", body = crate::error::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(state: web::Data<AppState>) -> Result<web::Json<Page<ProviderView>>, Error> {
    let choices = ask(&state.oidc, ListProviders).await?;
    let items = choices.into_iter().map(|choice| ProviderView { name: choice.name, label: choice.label }).collect();
    Ok(web::Json(Page { items, next: None }))
}

/// Sign in with a provider
///
/// For browsers: leads to the provider, which leads back to the callback.
#[utoipa::path(
    get, path = "/api/oidc/{provider}/start", tag = "Sign-in", operation_id = "start_provider_sign_in", security(()),
    params(
        ("provider" = String, Path, description = "Name of the provider"),
        ("next" = Option<String>, Query, description = "Where to go after the sign-in: a path on this host, `/` if it is not given", max_length = 2048),
    ),
    responses(
        (status = 303, description = "To the provider", headers(("Location" = String, description = "The provider's address"), ("Set-Cookie" = String, description = "What binds the sign-in to this browser"))),
        BadStart,
    )
)]
pub(super) async fn start(
    state: web::Data<AppState>,
    request: HttpRequest,
    provider: web::Path<String>,
) -> Result<HttpResponse, Error> {
    let client = Client::of(&request, &state.settings);
    let begun = begin(&state, &request, &client, provider.into_inner(), None).await?;
    let cookie = cookies::begin_flow(begun.browser, client.https);
    Ok(HttpResponse::SeeOther().insert_header((LOCATION, begun.url)).cookie(cookie).finish())
}

/// Link one's account to a provider
///
/// For browsers that are signed in. When the person has signed in with the provider too, and is still signed in here,
/// the callback links the two.
#[utoipa::path(
    post, path = "/api/oidc/{provider}/start", tag = "Sign-in", operation_id = "start_provider_linking", security(("session" = [])),
    params(
        ("provider" = String, Path, description = "Name of the provider"),
        ("next" = Option<String>, Query, description = "Where to go afterwards: a path on this host, `/` if it is not given", max_length = 2048),
    ),
    responses(
        (status = 200, description = "Where to send this browser", body = LinkingView, headers(("Set-Cookie" = String, description = "What binds the linking to this browser"))),
        BadStart, Refused,
    )
)]
pub(super) async fn start_linking(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
    provider: web::Path<String>,
) -> Result<HttpResponse, Error> {
    caller.require(Action::LinkProvider)?;
    caller.trail().object(provider.as_str());
    // The policy lets only sessions link.
    let session_hash = caller.session_hash().ok_or(Error::Internal)?.to_owned();
    let link = Linking { user_id: caller.user_id.clone(), session_hash };
    let client = Client::of(&request, &state.settings);
    let begun = begin(&state, &request, &client, provider.into_inner(), Some(link)).await?;
    caller.trail().detail("begun");
    let cookie = cookies::begin_flow(begun.browser, client.https);
    Ok(HttpResponse::Ok().cookie(cookie).json(LinkingView { url: begun.url }))
}

/// Unlink one's account from a provider
#[utoipa::path(
    delete, path = "/api/oidc/{provider}/link", tag = "Sign-in", operation_id = "unlink_provider", security(("session" = [])),
    params(("provider" = String, Path, description = "Name of the provider, which may be one that the settings no longer have")),
    responses((status = 204, description = "Unlinked"), LinkRefused, Refused)
)]
pub(super) async fn unlink(
    caller: Authorized,
    state: web::Data<AppState>,
    provider: web::Path<String>,
) -> Result<HttpResponse, Error> {
    let allowed = caller.require(Action::LinkProvider);
    caller.trail().action(UNLINK);
    caller.trail().object(provider.as_str());
    allowed?;
    let unlink = UnlinkIdentity { user_id: caller.user_id.clone(), provider: provider.into_inner() };
    state.tell(unlink).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// Come back from a provider
///
/// Where the provider sends the browser. Signs it in, or links its account, and leads to `next`.
#[utoipa::path(
    get, path = "/api/oidc/{provider}/callback", tag = "Sign-in", operation_id = "finish_provider_sign_in", security(()),
    params(
        ("provider" = String, Path, description = "Name of the provider"),
        ("state" = Option<String>, Query, description = "As it was given to the provider"),
        ("code" = Option<String>, Query, description = "What the provider gives tokens for"),
        ("error" = Option<String>, Query, description = "Why the provider gives no code"),
        ("error_description" = Option<String>, Query, description = "The same for people"),
        ("iss" = Option<String>, Query, description = "The provider's issuer"),
    ),
    responses(
        (status = 303, description = "To `next`", headers(("Location" = String, description = "A path on this host"), ("Set-Cookie" = String, description = "The session"))),
        SignInRefused,
    )
)]
pub(super) async fn callback(
    state: web::Data<AppState>,
    request: HttpRequest,
    provider: web::Path<String>,
) -> Result<HttpResponse, Error> {
    let client = Client::of(&request, &state.settings);
    let trail = Trail::of(&request);
    trail.action(SIGN_IN);
    trail.object(provider.as_str());
    let came_back = come_back(&state, &request, &client, provider.into_inner()).await;
    // Anybody may come here, with nothing at all: the log must not be filled as fast as they come.
    if came_back.is_err() && !ask(&state.attempts, MayNote(client.counted_address())).await? {
        trail.forget();
    }
    came_back
}

async fn come_back(
    state: &AppState,
    request: &HttpRequest,
    client: &Client,
    provider: String,
) -> Result<HttpResponse, Error> {
    let answer = ProviderAnswer::of(request)?;
    let browser = cookies::flow(request, client.https);
    let flow = ask(&state.oidc, Take { provider, state: answer.state.clone(), browser }).await??;
    match flow.link.clone() {
        None => sign_in(state, request, client, flow, answer).await,
        Some(link) => finish_linking(state, request, client, flow, link, answer).await,
    }
}

async fn begin(
    state: &AppState,
    request: &HttpRequest,
    client: &Client,
    provider: String,
    link: Option<Linking>,
) -> Result<Begun, Error> {
    let next = Parameters::of(request)?.take("next").unwrap_or_else(|| "/".into());
    let invalid = |detail| Error::Invalid(vec![FieldError::new("next", "format", detail)]);
    let next = next::checked(&next).map_err(invalid)?;
    let redirect_uri = format!("{}/api/oidc/{provider}/callback", client.base_url(&state.settings)?);
    ask(&state.oidc, Begin { provider, redirect_uri, next, link, source: client.address }).await?
}

async fn prove(state: &AppState, flow: Flow, answer: ProviderAnswer) -> Result<Proven, Error> {
    let (code, issuer) = (answer.result?, answer.issuer);
    ask(&state.oidc, Prove { flow, code, issuer }).await?
}

async fn sign_in(
    state: &AppState,
    request: &HttpRequest,
    client: &Client,
    flow: Flow,
    answer: ProviderAnswer,
) -> Result<HttpResponse, Error> {
    let (provider, next) = (flow.provider.clone(), flow.next.clone());
    let Proven { identity, sign_up } = prove(state, flow, answer).await?;
    let before = state.snapshot().user_of_identity(&identity.provider, &identity.subject).cloned();
    let user = state.tell(SignInByProvider { identity, sign_up }).await??;
    let trail = Trail::of(request);
    trail.actor(&user.username);
    match before {
        None => trail.detail(format!("account made, role {}", user.role)),
        Some(before) if before.role != user.role => trail.detail(format!("role {}", user.role)),
        Some(_) => {}
    }
    // The cookie is replaced: nobody could sign its session out any more.
    let replaces = cookies::session(request, client.https).and_then(Credential::into_session_hash);
    let open = OpenSession { user_id: user.id, proof: Proof::Provider(provider), replaces };
    let opened = state.tell(open).await??;
    let session = cookies::begin_session(&opened.id, opened.lifetime_s, client.https);
    let mut back = HttpResponse::SeeOther();
    back.insert_header((LOCATION, next)).cookie(session).cookie(cookies::end_flow(client.https));
    Ok(back.finish())
}

async fn finish_linking(
    state: &AppState,
    request: &HttpRequest,
    client: &Client,
    flow: Flow,
    link: Linking,
    answer: ProviderAnswer,
) -> Result<HttpResponse, Error> {
    let trail = Trail::of(request);
    trail.action(Action::LinkProvider.as_str());
    verify_still_here(state, request, client, &link, &trail)?;
    let next = flow.next.clone();
    let identity = prove(state, flow, answer).await?.identity;
    // The provider may have taken its time.
    verify_still_here(state, request, client, &link, &trail)?;
    let link = LinkIdentity { user_id: link.user_id, provider: identity.provider, subject: identity.subject };
    state.tell(link).await??;
    let mut back = HttpResponse::SeeOther();
    Ok(back.insert_header((LOCATION, next)).cookie(cookies::end_flow(client.https)).finish())
}

/// Whoever asked for the linking must be signed in still, with the same session.
fn verify_still_here(
    state: &AppState,
    request: &HttpRequest,
    client: &Client,
    link: &Linking,
    trail: &Trail,
) -> Result<(), Error> {
    let caller =
        cookies::session(request, client.https).and_then(|session| state.snapshot().caller(&session, now_ms()));
    let same = caller.filter(|caller| caller.session_hash() == Some(&link.session_hash));
    let same = same.filter(|caller| caller.user_id == link.user_id);
    let gone = || Error::SignInFailed("whoever began the linking is not signed in here any more; start again".into());
    trail.actor(&same.ok_or_else(gone)?.username);
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use crate::http::test_support::TestApi;
    use crate::identity::attempts::MOST_FAILURES;
    use crate::store::audit;

    #[actix_web::test]
    async fn without_providers_there_is_nothing_to_choose() {
        let api = TestApi::start().await;
        let answer = api.call(Method::GET, "/api/oidc", "", "").await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, serde_json::json!({"items": [], "next": null})));
        for path in ["/api/oidc/corp/callback?state=x&code=y", "/api/oidc/%00%0a/callback?state=x&code=y"] {
            let answer = api.call(Method::GET, path, "", "").await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "provider_unknown"), "{path}");
        }
    }

    #[actix_web::test]
    async fn a_stranger_does_not_fill_the_log() {
        let api = TestApi::start().await;
        for n in 0..MOST_FAILURES * 3 {
            let path = format!("/api/oidc/corp/callback?state={n}&code=x");
            assert_eq!(api.call(Method::GET, &path, "", "").await.status.as_u16(), 404, "nobody is stopped");
        }
        let query = audit::AuditQuery { limit: 100, ..audit::AuditQuery::default() };
        let entries = api.state.store.run(move |c| audit::find(c, &query)).await.unwrap();
        assert_eq!(entries.len(), MOST_FAILURES);
    }

    #[actix_web::test]
    async fn only_a_signed_in_browser_links() {
        let api = TestApi::start().await;
        for (method, path) in [(Method::POST, "/api/oidc/corp/start"), (Method::DELETE, "/api/oidc/corp/link")] {
            let nobody = api.call(method.clone(), path, "", "").await;
            assert_eq!((nobody.status.as_u16(), nobody.code().as_str()), (401, "unauthenticated"));
            let token = api.call(method, path, &api.tokens.admin, "").await;
            assert_eq!((token.status.as_u16(), token.code().as_str()), (403, "forbidden"));
        }
    }

    #[actix_web::test]
    async fn a_bad_next_is_named_and_a_bad_answer_is_a_problem() {
        let api = TestApi::start().await;
        for next in ["//evil.test", "https://evil.test", "/%5Cevil.test", "", "%0a/x"] {
            let answer = api.call(Method::GET, &format!("/api/oidc/corp/start?next={next}"), "", "").await;
            assert_eq!((answer.status.as_u16(), answer.json()["errors"][0]["field"].as_str()), (422, Some("next")));
        }
        for query in ["", "?code=x", "?error=x"] {
            let answer = api.call(Method::GET, &format!("/api/oidc/corp/callback{query}"), "", "").await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "sign_in_failed"), "{query}");
        }
    }
}
