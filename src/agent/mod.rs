//! The agent program: `dockway agent`, inside the private network.
//!
//! [`reconnect`] keeps one session alive; a [`session::Session`] is an actor over one WebSocket; each channel is a
//! [`channel::Channel`] that dials its target, if [`allow`] lets it.

pub mod allow;
pub mod channel;
pub mod connect;
pub mod dial;
pub mod reconnect;
pub mod session;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use crate::config::AgentConfig;

/// Exit code for settings that cannot work.
const USAGE: u8 = 2;

/// Run until SIGTERM or SIGINT.
pub fn run(config: AgentConfig) -> ExitCode {
    let allow = match allow::AllowList::parse(&config.allow) {
        Ok(allow) => allow,
        Err(error) => {
            tracing::error!(%error, "the allow list cannot be read");
            return ExitCode::from(USAGE);
        }
    };
    let connector = match connect::Connector::new(&config) {
        Ok(connector) => connector,
        Err(error) => {
            tracing::error!(%error, "the agent cannot start");
            return ExitCode::from(USAGE);
        }
    };
    crate::limits::raise_descriptors();
    if allow.is_empty() {
        tracing::warn!("no --allow is given: the server may connect to everything that this machine reaches");
    } else {
        tracing::info!(%allow, "connections are limited");
    }
    actix::System::new().block_on(reconnect::run(connector, allow))
}
