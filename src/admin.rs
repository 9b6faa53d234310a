//! `dockway admin`: accounts, agents and tokens in the server's database, without HTTP.
//!
//! A secret that a command makes is the only thing on standard output, so that scripts can capture it; so is a list or
//! a document that was asked for. Everything else goes to standard error.

mod account_changes;
mod accounts;
mod machines;
mod output;
mod tokens;
mod trail;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::cli::{DataArgs, LogArgs};
use crate::config::{ConfigError, LogConfig};
use crate::error::Error;
use crate::http::openapi;
use crate::identity::passwords::PasswordError;
use crate::store::models::UserRow;
use crate::store::{Store, StoreError, users};

/// The exit code for what cannot be done as asked, and for a command line that cannot be taken.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// `dockway admin`
#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    log: LogArgs,

    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Accounts
    #[command(subcommand)]
    User(accounts::UserCommand),
    /// Agents
    #[command(subcommand)]
    Agent(machines::AgentCommand),
    /// API tokens
    #[command(subcommand)]
    Token(tokens::TokenCommand),
    /// Print the description of the API
    Openapi,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
enum AdminError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Refused(#[from] Error),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl AdminArgs {
    /// Warnings and worse unless told otherwise: what a command did is said without the log.
    pub fn log(&self) -> LogConfig {
        self.log.quiet()
    }
}

/// Carry the command out.
pub fn run(args: AdminArgs) -> ExitCode {
    let done = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(AdminError::from)
        .and_then(|runtime| runtime.block_on(carry_out(args.command, &args.data)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough.
        Err(AdminError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if matches!(error, AdminError::Config(_)) { USAGE } else { FAILED })
        }
    }
}

async fn carry_out(command: AdminCommand, data: &DataArgs) -> Result<(), AdminError> {
    match command {
        AdminCommand::User(command) => command.carry_out(data).await,
        AdminCommand::Agent(command) => command.carry_out(data).await,
        AdminCommand::Token(command) => command.carry_out(data).await,
        AdminCommand::Openapi => output::print(&openapi::document()),
    }
}

/// Open the database that the settings name.
fn open(data: &DataArgs) -> Result<Store, AdminError> {
    Ok(Store::open(&data.resolve()?.database_url)?)
}

/// The account of this name.
async fn account(store: &Store, name: &str) -> Result<UserRow, AdminError> {
    let wanted = name.to_owned();
    let found = store.run(move |c| users::find_by_name(c, &wanted)).await?;
    found.ok_or_else(|| AdminError::Wrong(format!("no account is called `{name}`")))
}
