//! The container engine's client against the real Docker and the real Podman.

mod bench;
mod images;
mod life;
mod link;
mod podman;
mod refusals;
