//! The agent protocol: pure, without I/O or clock.
//!
//! `websocket` cuts bytes into messages; `frame` (version 2, binary) and `json` (version 1) give them meaning;
//! `credit` keeps the windows; `mux` ties them into the engine that both ends of a session run.
//! `docs/protocol.md` is the specification.

pub mod codes;
pub mod credit;
pub mod frame;
pub mod json;
pub mod mux;
pub mod stream;
pub mod websocket;
