//! Integration tests: the real server and the real agent as processes on free ports, and real programs between them.
//!
//! `common` holds the fixtures; every other module is one topic.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what is forbidden around the program's connections is fine in a test"
)]

mod common;

mod accounts;
mod admin;
mod agents;
mod api;
mod audit;
mod bad_requests;
mod clocks;
mod counters;
mod crowds;
mod dead_peers;
mod desktop_dead_peers;
mod desktop_ends;
mod desktop_failures;
mod desktop_in_a_browser;
mod desktop_types;
mod desktop_use;
mod desktops;
mod desktops_without_engine;
mod draining;
mod ends;
mod engine;
mod engine_restarts;
mod errors;
mod events;
mod gateway;
mod gateway_cuts;
mod gateway_http;
mod in_a_container;
mod legacy;
mod limits;
mod misuse;
mod nginx;
mod nginx_desktops;
mod oidc;
mod oidc_failures;
mod oidc_links;
mod patching;
mod ports;
mod programs;
mod remote_engine;
mod restarts;
mod schema;
mod sessions;
mod sharing;
mod sign_in_page;
mod storage;
mod tls;
mod tokens;
mod transfers;
mod walk;
