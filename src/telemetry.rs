//! The log: on standard error, for people or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogConfig, LogFormat};

/// Whatever is asked for: this writes what the engine is sent, and with it the desktops' passwords.
const WITHOUT_SECRETS: &str = "bollard::docker=off";

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("--log: {0}")]
    Directives(#[from] ParseError),
    #[error("the log is set up already")]
    Twice,
}

/// Set up the log of this process; once.
///
/// # Errors
/// Directives that are none, or a second call.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = filter(&config.directives)?;
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours_wanted());
    let done = match config.format {
        LogFormat::Auto => log.try_init(),
        LogFormat::Pretty => log.pretty().try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    done.map_err(|_| TelemetryError::Twice)
}

fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    Ok(EnvFilter::builder().parse(directives)?.add_directive(WITHOUT_SECRETS.parse()?))
}

fn colours_wanted() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_is_sent_is_not_logged() {
        for directives in ["trace", "debug,bollard=trace", "bollard::docker=trace,info"] {
            let log = fmt().with_env_filter(filter(directives).unwrap()).with_writer(std::io::sink).finish();
            tracing::subscriber::with_default(log, || {
                let sent = tracing::enabled!(target: "bollard::docker", tracing::Level::DEBUG);
                let other = tracing::enabled!(target: "dockway", tracing::Level::INFO);
                assert_eq!((sent, other), (false, true), "{directives}");
            });
        }
    }

    #[test]
    fn wrong_directives_are_refused() {
        let config = LogConfig { format: LogFormat::Auto, directives: "dockway=loud".into() };
        assert!(matches!(init(&config), Err(TelemetryError::Directives(_))));
    }
}
