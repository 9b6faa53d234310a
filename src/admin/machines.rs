//! `dockway admin agent …`

use std::collections::HashMap;

use clap::Subcommand;

use super::output::{moment, or_dash, print, print_table};
use super::trail::{changed, done};
use super::{AdminError, account, open};
use crate::config::cli::DataArgs;
use crate::identity::policy::Action;
use crate::identity::{Role, agents as identity};
use crate::store::models::{AgentRow, UserRow};
use crate::store::{Connection, Store, StoreError, agents, users};

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Enrol an agent and print its token
    Add {
        /// The agent's name: 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`
        client_id: String,
        /// The account that it belongs to [default: the first administrator]
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
    },
    /// Let everybody make tunnels through an agent
    Share {
        /// The agent's name
        client_id: String,
    },
    /// Let nobody but its owner and administrators make tunnels through an agent
    Unshare {
        /// The agent's name
        client_id: String,
    },
    /// Hand an agent over to another account
    Owner {
        /// The agent's name
        client_id: String,
        /// The account that gets it; rotate the token if its owner before may not connect as it any more
        #[arg(value_name = "NAME")]
        user: String,
    },
    /// List the agents
    List,
    /// Remove an agent that no tunnel needs; a running server ends its session
    Remove {
        /// The agent's name
        client_id: String,
    },
    /// Make another token for an agent and print it; a running server ends the session of the old one
    Rotate {
        /// The agent's name
        client_id: String,
    },
}

impl AgentCommand {
    pub async fn carry_out(self, data: &DataArgs) -> Result<(), AdminError> {
        match self {
            Self::Add { client_id, owner } => add(&client_id, owner.as_deref(), data).await,
            Self::List => list(data).await,
            Self::Share { client_id } => share(&client_id, true, data).await,
            Self::Unshare { client_id } => share(&client_id, false, data).await,
            Self::Owner { client_id, user } => hand_over(&client_id, &user, data).await,
            Self::Remove { client_id } => {
                let store = open(data)?;
                identity::remove(&store, &client_id).await?;
                done(&store, Action::RemoveAgent, &client_id).await?;
                eprintln!("removed the agent `{client_id}`");
                Ok(())
            }
            Self::Rotate { client_id } => {
                let store = open(data)?;
                let token = identity::rotate(&store, &client_id).await?;
                eprintln!("made another token for the agent `{client_id}`; the old one is void");
                // First of all the token, which exists nowhere else.
                print(&token)?;
                done(&store, Action::RotateAgent, &client_id).await
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
    // First of all the token, which exists nowhere else.
    print(&token)?;
    done(&store, Action::EnrolAgent, client_id).await
}

async fn share(client_id: &str, shared: bool, data: &DataArgs) -> Result<(), AdminError> {
    let detail = format!("shared {shared}");
    change(client_id, detail, data, move |row| AgentRow { shared, ..row }).await?;
    let with = if shared { "everybody" } else { "nobody" };
    eprintln!("the agent `{client_id}` is shared with {with}");
    Ok(())
}

async fn hand_over(client_id: &str, username: &str, data: &DataArgs) -> Result<(), AdminError> {
    let owner_id = account(&open(data)?, username).await?.id;
    change(client_id, format!("owner {username}"), data, move |row| AgentRow { owner_id, ..row }).await?;
    eprintln!("the agent `{client_id}` belongs to `{username}`");
    Ok(())
}

/// Change whose an agent is, or who may use it.
async fn change(
    client_id: &str,
    detail: String,
    data: &DataArgs,
    after: impl FnOnce(AgentRow) -> AgentRow + Send + 'static,
) -> Result<(), AdminError> {
    let name = client_id.to_owned();
    let work = move |c: &mut Connection| {
        let row = after(agents::find(c, &name)?.ok_or(StoreError::Missing)?);
        agents::set_owner_shared(c, &row.client_id, &row.owner_id, row.shared)
    };
    let changed = changed(&open(data)?, Action::ShareAgent, client_id, Some(detail), work).await;
    Ok(changed.map_err(|error| identity::refused(error, client_id))?)
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
