//! The container engine's client against the real Docker and the real Podman.

pub mod bench;
pub mod images;
mod life;
mod link;
mod podman;
mod refusals;
