//! What a desktop shows of itself: the container's last log lines, and a picture.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::header::{CACHE_CONTROL, HttpDate, LAST_MODIFIED};
use actix_web::{HttpResponse, web};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use super::reach;
use crate::desktop::commands::{GetLogs, GetThumbnail};
use crate::error::Error;
use crate::http::AppState;
use crate::http::caller::Authorized;
use crate::http::problems::{DesktopMissing, EngineNeeded, NoPicture, Refused};
use crate::identity::policy::Action;

/// A picture is at most 30 s old when it is sent, and may be shown for as long again; by its owner's browser alone.
const PICTURE_CACHING: &str = "private, max-age=30";

/// Bytes of an image, for the description.
pub struct Picture;

impl PartialSchema for Picture {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).into()
    }
}

impl ToSchema for Picture {}

/// Read the log of a desktop
///
/// The container's last lines, as its program wrote them.
#[utoipa::path(
    get, path = "/api/desktops/{id}/logs", tag = "Desktops", operation_id = "read_desktop_logs",
    params(("id" = String, Path, description = "`id` of the desktop")),
    responses((status = 200, description = "The last lines", body = String, content_type = "text/plain; charset=utf-8"), Refused, EngineNeeded, DesktopMissing)
)]
pub(in crate::http) async fn logs(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Error> {
    reach(&caller, &state, Action::ReadDesktop, &id).await?;
    let lines = state.ask_desktops(GetLogs(id.into_inner())).await??;
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(lines))
}

/// See a picture of a desktop
///
/// For its owner alone, at most 30 s old.
#[utoipa::path(
    get, path = "/api/desktops/{id}/thumbnail", tag = "Desktops", operation_id = "read_desktop_thumbnail",
    params(("id" = String, Path, description = "`id` of the desktop")),
    responses(
        (status = 200, description = "The picture", content((Picture = "image/jpeg"), (Picture = "image/png")), headers(("Last-Modified" = String, description = "When it was taken"))),
        Refused, NoPicture,
    )
)]
pub(in crate::http) async fn thumbnail(
    caller: Authorized,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Error> {
    reach(&caller, &state, Action::OpenDesktop, &id).await?;
    let picture = state.ask_desktops(GetThumbnail(id.into_inner())).await??;
    let taken = UNIX_EPOCH + Duration::from_millis(picture.taken_at.try_into().unwrap_or(0));
    Ok(HttpResponse::Ok()
        .content_type(picture.content_type)
        .insert_header((CACHE_CONTROL, PICTURE_CACHING))
        .insert_header((LAST_MODIFIED, HttpDate::from(taken)))
        .body(picture.bytes))
}
