//! What the API shows of a desktop. Field names are fixed.

use serde::Serialize;
use utoipa::ToSchema;

use super::Status;
use super::progress::Progress;

/// A desktop as the API shows it. Times RFC 3339 UTC.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DesktopView {
    pub id: String,
    /// Name of its type.
    pub desktop_type: String,
    /// Name of the user it belongs to.
    pub owner: String,
    #[serde(skip)]
    pub owner_id: String,
    pub proxy_path: String,
    /// Where it is opened; filled in by who knows the server's address.
    pub url: String,
    pub status: Status,
    /// Why it failed, or was stopped.
    #[schema(required)]
    pub reason: Option<String>,
    /// Of the image, while it is pulled.
    #[schema(required)]
    pub progress: Option<Progress>,
    /// Limits that the engine cannot apply, by the names of their fields.
    pub limits_skipped: Vec<String>,
    /// Connections that are open now.
    pub connections: u32,
    pub created_at: String,
    #[schema(required)]
    pub started_at: Option<String>,
    #[schema(required)]
    pub last_accessed: Option<String>,
    /// When it will be stopped unless somebody uses it.
    #[schema(required)]
    pub idle_stop_at: Option<String>,
}
