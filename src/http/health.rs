//! Is the process there (`/healthz`), and can it do its work (`/readyz`)?

use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use tokio::time::timeout;

use super::problems::NotReady;
use super::{AppState, Place};
use crate::error::Error;
use crate::store::agents;
use crate::tunnel::commands::Ping;

/// How long database and supervisor together may take to answer `/readyz`.
const READY_TIME: Duration = Duration::from_secs(2);

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![Place::at("/healthz").get(healthy), Place::at("/readyz").get(ready)]
}

/// Is the process there?
#[utoipa::path(
    get, path = "/healthz", tag = "Health", operation_id = "healthz", security(()),
    responses((status = 200, description = "It is", body = String, content_type = "text/plain", example = json!("ok")))
)]
pub(super) async fn healthy() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok")
}

/// Can it do its work?
///
/// Asks the database and the tunnels' supervisor.
#[utoipa::path(
    get, path = "/readyz", tag = "Health", operation_id = "readyz", security(()),
    responses((status = 200, description = "It can", body = String, content_type = "text/plain", example = json!("ready")), NotReady)
)]
pub(super) async fn ready(state: web::Data<AppState>) -> Result<HttpResponse, Error> {
    let asked = timeout(READY_TIME, ask_both(&state)).await;
    asked.map_err(|_| Error::Unavailable("the database or the tunnels take too long to answer".into()))??;
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body("ready"))
}

async fn ask_both(state: &AppState) -> Result<(), Error> {
    // Any query will do; this one reads one page of an index.
    state.store.run(|connection| agents::find(connection, "")).await?;
    state.ask(Ping).await
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use crate::http::test_support::TestApi;

    #[actix_web::test]
    async fn health_needs_nothing_and_readiness_the_supervisor() {
        let api = TestApi::start().await;
        let healthy = api.call(Method::GET, "/healthz", "", "").await;
        assert_eq!((healthy.status.as_u16(), healthy.body.as_str()), (200, "ok"));
        assert!(healthy.header("content-type").starts_with("text/plain"));
        let ready = api.call(Method::GET, "/readyz", "", "").await;
        assert_eq!((ready.status.as_u16(), ready.code().as_str()), (503, "unavailable"));
    }
}
