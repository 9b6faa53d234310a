//! The log: on standard error, for people or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogConfig, LogFormat};

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("--log: {0}")]
    Directives(#[from] tracing_subscriber::filter::ParseError),
    #[error("the log is set up already")]
    Twice,
}

/// Set up the log of this process; once.
///
/// # Errors
/// Directives that are none, or a second call.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().parse(&config.directives)?;
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours_wanted());
    let done = match config.format {
        LogFormat::Auto => log.try_init(),
        LogFormat::Pretty => log.pretty().try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    done.map_err(|_| TelemetryError::Twice)
}

fn colours_wanted() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_directives_are_refused() {
        let config = LogConfig { format: LogFormat::Auto, directives: "dockway=loud".into() };
        assert!(matches!(init(&config), Err(TelemetryError::Directives(_))));
    }
}
