//! `dockway admin token …`

use std::time::Duration;

use clap::Subcommand;

use super::output::{moment, or_dash, print, print_table};
use super::trail::changed;
use super::{AdminError, account, open};
use crate::clock::now_ms;
use crate::config::cli::DataArgs;
use crate::config::parse;
use crate::identity::names::{LONGEST_LABEL, is_label};
use crate::identity::policy::{self, Action, Actor, Decision, Means, Object};
use crate::identity::{Role, Scope, ScopeSet, secrets};
use crate::store::models::{TokenRow, UserRow};
use crate::store::values::new_id;
use crate::store::{StoreError, tokens};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make an API token and print it
    Create {
        /// The account that it acts for
        #[arg(long, value_name = "NAME")]
        user: String,
        /// What it is for
        #[arg(long, value_name = "LABEL")]
        name: String,
        /// What it may be used for: tunnels:read, tunnels:write, desktops:read, desktops:write or admin; may be repeated
        /// [default: everything that the account may do]
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// How long it works, like 12h or 30d [default: until it is removed]
        #[arg(long, value_name = "TIME", value_parser = parse::duration)]
        expires: Option<Duration>,
    },
    /// List the API tokens, without what makes them work
    List,
    /// Remove the API token with this id
    Remove {
        /// Its id, as `list` shows it
        id: String,
    },
}

impl TokenCommand {
    pub async fn carry_out(self, data: &DataArgs) -> Result<(), AdminError> {
        match self {
            Self::Create { user, name, scopes, expires } => create(&user, name, scopes, expires, data).await,
            Self::List => list(data).await,
            Self::Remove { id } => remove(&id, data).await,
        }
    }
}

async fn create(
    username: &str,
    name: String,
    scopes: Vec<Scope>,
    expires: Option<Duration>,
    data: &DataArgs,
) -> Result<(), AdminError> {
    if !is_label(&name) {
        let rule = format!("1 to {LONGEST_LABEL} characters, without control characters");
        return Err(AdminError::Wrong(format!("the name of a token must have {rule}")));
    }
    let store = open(data)?;
    let user = account(&store, username).await?;
    let role = Role::of_row(&user.role);
    let mut wanted: ScopeSet = scopes.into_iter().collect();
    if wanted.is_empty() {
        wanted = policy::default_scopes(role);
    }
    // As its owner could make it in the dashboard.
    let owner = Actor::Person { user_id: &user.id, role, by: Means::Session };
    let token = Object::Token { owner_id: &user.id, scopes: wanted };
    if let Decision::Deny(denied) = policy::may(owner, Action::CreateToken, token) {
        return Err(AdminError::Wrong(format!("`{username}` cannot have a token with the scopes {wanted}: {denied}")));
    }
    let token = secrets::new_token(secrets::API_TOKEN);
    let now = now_ms();
    let row = TokenRow {
        id: new_id(),
        user_id: user.id,
        name,
        token_hash: secrets::hash_token(&token),
        scopes: wanted.to_string(),
        created_at: now,
        expires_at: expires.map(|life| end_of(now, life)),
        last_used: None,
    };
    let told = format!("made the token {} for `{username}` with the scopes {}", row.id, row.scopes);
    let (id, detail) = (row.id.clone(), format!("for {username}, scopes {}", row.scopes));
    changed(&store, Action::CreateToken, &id, Some(detail), move |c| tokens::insert(c, &row)).await?;
    eprintln!("{told}; it is shown this once");
    print(&token)
}

/// When something that begins now ends, in milliseconds since 1970.
fn end_of(now: i64, life: Duration) -> i64 {
    now.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX))
}

async fn list(data: &DataArgs) -> Result<(), AdminError> {
    let tokens = open(data)?.run(tokens::list).await?;
    let rows: Vec<_> = tokens.into_iter().map(cells).collect();
    print_table(["ID", "USER", "NAME", "SCOPES", "CREATED", "EXPIRES", "LAST USED"], &rows)
}

fn cells((token, user): (TokenRow, UserRow)) -> [String; 7] {
    [
        token.id,
        user.username,
        token.name,
        token.scopes,
        moment(token.created_at),
        or_dash(token.expires_at.map(moment)),
        or_dash(token.last_used.map(moment)),
    ]
}

async fn remove(id: &str, data: &DataArgs) -> Result<(), AdminError> {
    let wanted = id.to_owned();
    match changed(&open(data)?, Action::RevokeToken, id, None, move |c| tokens::remove(c, &wanted)).await {
        Ok(()) => {
            eprintln!("removed the token {id}");
            Ok(())
        }
        Err(StoreError::Missing) => Err(AdminError::Wrong(format!("no token has the id `{id}`"))),
        Err(other) => Err(other.into()),
    }
}
