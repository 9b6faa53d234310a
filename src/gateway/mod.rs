//! The gateway: `/desktop/{proxy_path}/…`, for every method, and for WebSockets.
//!
//! ```text
//! request → path (which desktop?) → handler (may this caller?) → headers → upstream::Pool → body → browser
//!                                     └→ websocket (an upgrade)       pages (for people, when that leads nowhere)
//! ```
//!
//! Each request is judged from memory, and what takes long is cut when its [`Permit`] ends.

pub mod body;
pub mod handler;
pub mod headers;
mod input;
pub mod navigation;
pub mod pages;
pub mod path;
pub mod permit;
mod relay;
pub mod start_page;
pub mod websocket;

pub use path::is_below;
pub use permit::{Ended, Permit};

use actix_web::web;

use crate::http::AppState;
use crate::upstream::Pool;

/// Register the gateway, with connections to upstreams for this worker alone.
pub fn configure(cfg: &mut web::ServiceConfig, state: &AppState) {
    cfg.app_data(Pool::new(state.connector.clone()));
    cfg.service(web::scope(path::ROOT).default_service(web::to(handler::serve)));
}

#[cfg(test)]
mod tests;
