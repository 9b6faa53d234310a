//! Who calls: the bearer token of a request.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};

use super::AppState;
use crate::error::Error;
use crate::identity::caller::{Caller, authenticate_token};

/// A caller whose token is valid. What it may do is asked of the [`Caller`] within.
pub struct Authorized(pub Caller);

impl Deref for Authorized {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl FromRequest for Authorized {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = request.app_data::<web::Data<AppState>>().cloned();
        let token = bearer(request.headers()).map(str::to_owned);
        Box::pin(async move {
            let state = state.ok_or(Error::Internal)?;
            Ok(Self(authenticate_token(&state.store, &token?).await?))
        })
    }
}

/// The token of `Authorization: Bearer TOKEN`.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let header =
        headers.get(AUTHORIZATION).ok_or(Error::Unauthenticated("send a token as `Authorization: Bearer TOKEN`"))?;
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
