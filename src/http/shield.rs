//! What every answer has and every request must keep to: security headers, and limits of size and time.

use std::time::Duration;

use actix_web::ResponseError;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use tokio::time::timeout;

use crate::error::Error;

/// The most bytes of a request's address, with its query.
pub const ADDRESS_LIMIT: usize = 8 * 1024;
/// The most bytes of a request's headers, names and values.
pub const HEADERS_LIMIT: usize = 32 * 1024;
/// How long an answer may take to begin. What streams or has the socket has begun then.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// What an answer has unless its handler says otherwise. An answer of the API is no page: it may load nothing.
const DEFAULTS: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Refuse what is too large, and put the headers on.
pub async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let mut response = match verify(&request) {
        Ok(()) => match timeout(ANSWER_TIME, next.call(request)).await {
            Ok(answered) => answered?.map_into_left_body(),
            Err(_) => return Err(too_slow()),
        },
        Err(error) => request.error_response(error).map_into_right_body(),
    };
    put_defaults(response.headers_mut());
    Ok(response)
}

/// The request is gone with its handler, so this goes around everything else.
fn too_slow() -> actix_web::Error {
    let error = Error::Unavailable("this takes too long; try again later".into());
    let mut response = error.error_response();
    put_defaults(response.headers_mut());
    InternalError::from_response(error, response).into()
}

fn verify(request: &ServiceRequest) -> Result<(), Error> {
    if request.uri().path_and_query().is_some_and(|address| address.as_str().len() > ADDRESS_LIMIT) {
        return Err(Error::AddressTooLong { limit: ADDRESS_LIMIT });
    }
    let size: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADERS_LIMIT {
        return Err(Error::HeadersTooLarge { limit: HEADERS_LIMIT });
    }
    Ok(())
}

fn put_defaults(headers: &mut HeaderMap) {
    for (name, value) in DEFAULTS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}
