//! Who calls: the bearer token or the session cookie of a request, looked up in the snapshot.

use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::future::LocalBoxFuture;

use super::AppState;
use super::client::Client;
use super::trail::Trail;
use super::{cookies, csrf};
use crate::clock::now_ms;
use crate::error::Error;
use crate::identity::directory::LookAgain;
use crate::identity::policy::{Action, Decision, Denied, Object};
use crate::identity::{Caller, Credential};

/// The one answer to every token that is not right, so that it tells nothing about which there are.
const NO_SUCH_TOKEN: &str = "this API token is unknown, has expired, or its account is not active";
const NO_SUCH_SESSION: &str = "you are signed out; sign in again";
const CHANGED: &str = "the account's role changed while the request was sent; send it again";
const NOTHING_SHOWN: &str = "sign in, or send a token as `Authorization: Bearer TOKEN`";

/// A caller whose credential is valid. What it may do is asked of the policy, through [`Authorized::require`] or
/// [`Authorized::reach`].
pub struct Authorized {
    caller: Caller,
    trail: Trail,
}

impl Deref for Authorized {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Authorized {
    /// Ask whether the caller may do this at all.
    ///
    /// # Errors
    /// `Forbidden`, naming what is lacking.
    pub fn require(&self, action: Action) -> Result<(), Error> {
        self.reach(action, Object::None, || Error::NotFound)
    }

    /// Ask whether the caller may do this to that object. What it may not see is answered with `unknown`.
    ///
    /// # Errors
    /// `Forbidden`, naming what is lacking; or `unknown`.
    pub fn reach(&self, action: Action, object: Object<'_>, unknown: impl FnOnce() -> Error) -> Result<(), Error> {
        if !action.only_reads() {
            self.trail.action(action.as_str());
        }
        self.obeyed(self.caller.may(action, object), unknown)
    }

    /// Take what another rule of the policy has decided.
    ///
    /// # Errors
    /// `Forbidden`, saying why.
    pub fn heed(&self, decision: Decision) -> Result<(), Error> {
        let decided = match decision {
            Decision::Allow => Ok(()),
            Decision::Deny(denied) => Err(denied),
        };
        self.obeyed(decided, || Error::NotFound)
    }

    fn obeyed(&self, decided: Result<(), Denied>, unknown: impl FnOnce() -> Error) -> Result<(), Error> {
        decided.map_err(|denied| {
            self.trail.denied();
            match denied {
                Denied::Hidden => unknown(),
                Denied::SignIn => Error::Unauthenticated(NOTHING_SHOWN),
                Denied::OwnerOnly => Error::OwnerOnly,
                other => Error::Forbidden(other.to_string()),
            }
        })
    }

    /// The notes for the audit log.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }
}

impl FromRequest for Authorized {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authorize(&request).await })
    }
}

async fn authorize(request: &HttpRequest) -> Result<Authorized, Error> {
    let state = request.app_data::<web::Data<AppState>>().ok_or(Error::Internal)?;
    recognise(request, state, credential(request, state)?).await
}

/// Who shows this credential.
///
/// # Errors
/// `Unauthenticated` for one that proves nobody.
pub async fn recognise(request: &HttpRequest, state: &AppState, credential: Credential) -> Result<Authorized, Error> {
    let now = now_ms();
    let mut caller = state.snapshot().caller(&credential, now);
    if caller.is_none() {
        state.tell(LookAgain).await?;
        caller = state.snapshot().caller(&credential, now);
    }
    let caller = caller.ok_or(Error::Unauthenticated(refusal(&credential)))?;
    state.note_use(&caller, now);
    let trail = Trail::of(request);
    trail.actor(&caller.username);
    request.extensions_mut().insert(caller.clone());
    Ok(Authorized { caller, trail })
}

/// Whether the caller is still what it was when the request began. A body may be kept back on purpose, until after the
/// sign-out or the revocation that is to stop its sender.
///
/// # Errors
/// `Unauthenticated` or `Forbidden` if not.
pub fn verify_still(request: &HttpRequest) -> Result<(), Error> {
    let extensions = request.extensions();
    let Some(before) = extensions.get::<Caller>() else { return Ok(()) };
    let state = request.app_data::<web::Data<AppState>>().ok_or(Error::Internal)?;
    let now = state.snapshot().caller(&before.credential, now_ms());
    let now = now.ok_or(Error::Unauthenticated(refusal(&before.credential)))?;
    if (now.role, now.by) == (before.role, before.by) { Ok(()) } else { Err(Error::Forbidden(CHANGED.into())) }
}

const fn refusal(credential: &Credential) -> &'static str {
    match credential {
        Credential::Session(_) => NO_SUCH_SESSION,
        Credential::Token(_) => NO_SUCH_TOKEN,
    }
}

/// What the request shows; for a cookie that is to change something, after the browser has shown that the page is ours.
fn credential(request: &HttpRequest, state: &AppState) -> Result<Credential, Error> {
    let client = Client::of(request, &state.settings);
    let cookie = cookies::session(request, client.https);
    if !request.headers().contains_key(AUTHORIZATION) {
        let cookie = cookie.ok_or(Error::Unauthenticated(NOTHING_SHOWN))?;
        csrf::verify(request, &client, &state.settings)?;
        return Ok(cookie);
    }
    if cookie.is_some() {
        return Err(Error::BadRequest("send either a session cookie or a token, not both".into()));
    }
    Ok(Credential::of_bearer(bearer(request.headers())?))
}

/// The token of `Authorization: Bearer TOKEN`.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let header = headers.get(AUTHORIZATION).ok_or(Error::Unauthenticated(NOTHING_SHOWN))?;
    let (scheme, token) = header.to_str().ok().and_then(|text| text.trim().split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(Error::Unauthenticated("the Authorization header is not `Bearer TOKEN`"));
    }
    Ok(token.trim())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn bearer_of(value: &[u8]) -> Result<String, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn the_scheme_is_compared_without_case() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc ", " Bearer abc"] {
            assert_eq!(bearer_of(value.as_bytes()).unwrap(), "abc", "{value}");
        }
    }

    #[test]
    fn anything_else_is_no_token() {
        for value in [&b""[..], b"Bearer", b"Bearer  ", b"Basic abc", b"abc", b"Bearer \xff"] {
            assert!(matches!(bearer_of(value), Err(Error::Unauthenticated(_))), "{value:?}");
        }
        assert!(matches!(bearer(&HeaderMap::new()), Err(Error::Unauthenticated(_))));
    }
}
