//! Dockway: container desktops and TCP tunnels behind one door.
//!
//! Dependencies point one way: `main → server → http → {tunnel, desktop} → events → identity → store`, and `main → admin
//! → identity`. `gateway` stands beside `http` and uses `desktop` and `upstream`; `desktop` stands on `upstream` and
//! `vault`, `tunnel` and `agent` on `link`, which stands on `wire`. `wire`, `supervision`, `config` and `error` import
//! nothing of the crate. Tests may start the whole tree.

pub mod admin;
pub mod agent;
pub mod clock;
pub mod config;
pub mod current;
pub mod desktop;
pub mod error;
pub mod events;
pub mod gateway;
pub mod http;
pub mod identity;
pub mod limits;
pub mod link;
pub mod server;
pub mod store;
pub mod supervision;
pub mod telemetry;
pub mod tls;
pub mod tunnel;
pub mod upstream;
pub mod vault;
pub mod wire;
