//! Desktops: containers that belong to people, each at an address of its own.
//!
//! ```text
//! DesktopSupervisor            every desktop: rows, ports, networks, routes; the catalogue of types
//! ├─ EngineWatch               the engine's event stream, as typed messages
//! └─ KasmContainer             one per desktop: its life, readiness, idleness
//! ```
//!
//! Pure: [`status`], [`state`], [`desktop_type`], [`image`], [`progress`], [`paths`], [`ports`], [`subnets`], [`spec`],
//! [`idle`], [`picture`], [`log_text`]. What the gateway needs of a desktop is a [`routes::Route`], which the supervisor publishes anew
//! whenever something changes. What runs containers stands behind [`engine::Engine`].

pub mod commands;
pub mod desktop_type;
pub mod engine;
pub mod engine_watch;
pub mod idle;
pub mod image;
pub mod kasm_container;
pub mod log_text;
pub mod messages;
pub mod paths;
pub mod picture;
pub mod ports;
pub mod progress;
pub mod reserve;
pub mod routes;
pub mod spec;
pub mod state;
pub mod status;
pub mod subnets;
pub mod supervisor;
#[cfg(test)]
pub(crate) mod tests;
pub mod view;

pub use desktop_type::{DesktopType, Kind};
pub use kasm_container::KasmContainer;
pub use routes::{Activity, Route, Routes};
pub use status::Status;
pub use supervisor::DesktopSupervisor;
