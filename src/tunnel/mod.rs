//! Tunnels: `TunnelSupervisor → ProxyConnection → UserChannel → messages ← AgentSession`.

pub mod agent_session;
pub mod commands;
pub mod counters;
mod entry;
mod estate;
mod listener;
pub mod messages;
mod proxy_connection;
pub mod supervisor;
#[cfg(test)]
pub(crate) mod tests;
mod user_channel;
pub mod view;

pub use supervisor::TunnelSupervisor;
