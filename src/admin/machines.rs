//! `dockway admin agent …`

use std::collections::HashMap;

use clap::Subcommand;

use super::output::{moment, or_dash, print, print_table};
use super::{AdminError, account, open};
use crate::config::cli::DataArgs;
use crate::identity::{Role, agents as identity};
use crate::store::models::{AgentRow, UserRow};
use crate::store::{Store, agents, users};

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Enrol an agent and print its token
    Add {
        client_id: String,
        /// The account that it belongs to [default: the first administrator]
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
    },
    /// List the agents
    List,
    /// Remove an agent that no tunnel needs; a running server ends its session
    Remove { client_id: String },
    /// Make another token for an agent and print it; a running server ends the session of the old one
    Rotate { client_id: String },
}

impl AgentCommand {
    pub async fn carry_out(self, data: &DataArgs) -> Result<(), AdminError> {
        match self {
            Self::Add { client_id, owner } => add(&client_id, owner.as_deref(), data).await,
            Self::List => list(data).await,
            Self::Remove { client_id } => {
                identity::remove(&open(data)?, &client_id).await?;
                eprintln!("removed the agent `{client_id}`");
                Ok(())
            }
            Self::Rotate { client_id } => {
                let token = identity::rotate(&open(data)?, &client_id).await?;
                eprintln!("made another token for the agent `{client_id}`; the old one is void");
                print(&token)
            }
        }
    }
}

async fn add(client_id: &str, owner: Option<&str>, data: &DataArgs) -> Result<(), AdminError> {
    let store = open(data)?;
    let owner = match owner {
        Some(name) => account(&store, name).await?,
        None => first_admin(&store).await?,
    };
    let (_, token) = identity::enrol(&store, client_id, &owner.id, false).await?;
    eprintln!("enrolled the agent `{client_id}` for `{}`; its token is shown this once", owner.username);
    print(&token)
}

/// The administrator who was there first.
async fn first_admin(store: &Store) -> Result<UserRow, AdminError> {
    let all = store.run(users::list).await?;
    let admins = all.into_iter().filter(|user| user.active && Role::of_row(&user.role) == Role::Admin);
    admins.min_by_key(|user| user.created_at).ok_or_else(|| {
        let advice = "start the server once, or add one with `dockway admin user add NAME --role admin`";
        AdminError::Wrong(format!("there is no administrator yet who could own the agent; {advice}"))
    })
}

async fn list(data: &DataArgs) -> Result<(), AdminError> {
    let (agents, users) = open(data)?.run(|c| Ok((agents::list(c)?, users::list(c)?))).await?;
    let names: HashMap<_, _> = users.into_iter().map(|user| (user.id, user.username)).collect();
    let rows: Vec<_> = agents.into_iter().map(|agent| cells(agent, &names)).collect();
    print_table(["CLIENT ID", "OWNER", "SHARED", "CREATED", "LAST SEEN", "ADDRESS", "VERSION"], &rows)
}

fn cells(agent: AgentRow, names: &HashMap<String, String>) -> [String; 7] {
    [
        agent.client_id,
        or_dash(names.get(&agent.owner_id).cloned()),
        if agent.shared { "yes" } else { "no" }.to_owned(),
        moment(agent.created_at),
        or_dash(agent.last_seen.map(moment)),
        or_dash(agent.address),
        or_dash(agent.version),
    ]
}
