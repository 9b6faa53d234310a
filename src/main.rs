//! The program: command line → telemetry → `serve`, `agent` or `admin`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dockway::config::LogConfig;
use dockway::config::cli::{AgentArgs, ServeArgs};
use dockway::{admin, agent, server, telemetry};

/// The exit code for a command line or a setting that cannot be taken, as clap has it.
const USAGE: u8 = 2;

/// Container desktops and TCP tunnels behind one door.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<ServeArgs>),
    /// Run an agent inside a private network
    Agent(Box<AgentArgs>),
    /// Manage accounts, agents and tokens in the server's database, without HTTP
    Admin(admin::AdminArgs),
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Serve(args) => start(args.resolve(), server::run),
        Command::Agent(args) => start(args.resolve(), agent::run),
        Command::Admin(args) => {
            let log = args.log();
            start(Ok::<_, std::convert::Infallible>((args, log)), admin::run)
        }
    }
}

fn start<C>(resolved: Result<(C, LogConfig), impl std::fmt::Display>, run: impl FnOnce(C) -> ExitCode) -> ExitCode {
    let (config, log) = match resolved {
        Ok(resolved) => resolved,
        Err(error) => return refuse(error),
    };
    match telemetry::init(&log) {
        Ok(()) => run(config),
        Err(error) => refuse(error),
    }
}

fn refuse(error: impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(USAGE)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn data_settings_fit_before_and_after_an_administration_command() {
        let lines: [&[&str]; 2] = [
            &["dockway", "admin", "--data-dir", "/d", "user", "list"],
            &["dockway", "admin", "user", "list", "--data-dir", "/d"],
        ];
        for line in lines {
            let parsed = CommandLine::try_parse_from(line);
            assert!(parsed.is_ok_and(|line| format!("{line:?}").contains(r#"data_dir: Some("/d")"#)), "{line:?}");
        }
    }
}
