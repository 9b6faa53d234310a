//! `dockway admin user …`

use clap::Subcommand;

use super::output::{given_password, moment, or_dash, print, print_table};
use super::trail::changed;
use super::{AdminError, account, account_changes, open};
use crate::config::cli::DataArgs;
use crate::identity::Role;
use crate::identity::directory::NewUser;
use crate::identity::first_start::FIRST_ADMIN;
use crate::identity::names::{EMAIL_RULE, LONGEST_LABEL, USERNAME_RULE, is_email, is_label, is_reserved, is_username};
use crate::identity::policy::Action;
use crate::identity::{passwords, secrets};
use crate::store::models::UserRow;
use crate::store::{Connection, StoreError, sessions, users, write_transaction};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add an account; its password comes from standard input, or is made and printed
    Add {
        /// The account's name: 1 to 32 of a-z, 0-9, `.` and `-`; it never changes
        name: String,
        /// admin or user
        #[arg(long, default_value = "user")]
        role: Role,
        /// What people call its owner
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        /// Its owner's e-mail address
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
    },
    /// Change an account's password and sign it out; the new one comes from standard input, or is made and printed
    Passwd {
        /// The account's name
        name: String,
    },
    /// Let an account sign in again, and its tokens and agents in
    Enable {
        /// The account's name
        name: String,
    },
    /// Sign an account out everywhere and let neither it nor its tokens and agents in
    Disable {
        /// The account's name
        name: String,
    },
    /// Make an account an administrator or a user
    Role {
        /// The account's name
        name: String,
        /// admin or user
        role: Role,
    },
    /// Remove an account that has neither agents nor tunnels
    Remove {
        /// The account's name
        name: String,
    },
    /// List the accounts
    List,
}

impl UserCommand {
    pub async fn carry_out(self, data: &DataArgs) -> Result<(), AdminError> {
        match self {
            Self::Add { name, role, display_name, email } => add(name, role, display_name, email, data).await,
            Self::Passwd { name } => change_password(&name, data).await,
            Self::Enable { name } => account_changes::enable(&name, data).await,
            Self::Disable { name } => account_changes::disable(&name, data).await,
            Self::Role { name, role } => account_changes::set_role(&name, role, data).await,
            Self::Remove { name } => account_changes::remove(&name, data).await,
            Self::List => list(data).await,
        }
    }
}

async fn add(
    name: String,
    role: Role,
    display_name: Option<String>,
    email: Option<String>,
    data: &DataArgs,
) -> Result<(), AdminError> {
    check(&name, display_name.as_deref(), email.as_deref())?;
    let store = open(data)?;
    let password = Password::given_or_made()?;
    let password_hash = Some(passwords::hash(&password.text)?);
    let row = NewUser { display_name, email, password_hash, ..NewUser::named(name.clone(), role) }.into_row();
    let detail = format!("role {role}");
    match changed(&store, Action::CreateUser, &name, Some(detail), move |c| users::insert(c, &row)).await {
        Err(StoreError::Duplicate(_)) => return Err(AdminError::Wrong(format!("an account called `{name}` exists"))),
        other => other?,
    }
    eprintln!("added the account `{name}` with the role {role}");
    password.tell()
}

/// As the API takes them, except for the name `admin`, which is made here.
fn check(name: &str, display_name: Option<&str>, email: Option<&str>) -> Result<(), AdminError> {
    if !is_username(name) {
        return Err(AdminError::Wrong(format!("`{name}` is no name for an account: it must be {USERNAME_RULE}")));
    }
    if is_reserved(name) && name != FIRST_ADMIN {
        return Err(AdminError::Wrong(format!("`{name}` is a name that nobody may take")));
    }
    if display_name.is_some_and(|text| !is_label(text)) {
        let rule = format!("1 to {LONGEST_LABEL} characters, without control characters");
        return Err(AdminError::Wrong(format!("a display name must have {rule}")));
    }
    if email.is_some_and(|text| !is_email(text)) {
        return Err(AdminError::Wrong(format!("an e-mail address must have {EMAIL_RULE}")));
    }
    Ok(())
}

async fn change_password(name: &str, data: &DataArgs) -> Result<(), AdminError> {
    let store = open(data)?;
    let user = account(&store, name).await?;
    let password = Password::given_or_made()?;
    let hash = passwords::hash(&password.text)?;
    let change = move |c: &mut Connection| {
        write_transaction(c, |c| {
            users::set_password_hash(c, &user.id, &hash)?;
            // Who knew the old one may be signed in.
            sessions::remove_of_user(c, &user.id, None)
        })
    };
    store.run(change).await?;
    eprintln!("changed the password of `{name}` and signed it out everywhere");
    password.tell()
}

async fn list(data: &DataArgs) -> Result<(), AdminError> {
    let users = open(data)?.run(users::list).await?;
    let rows: Vec<_> = users.into_iter().map(cells).collect();
    print_table(["NAME", "ROLE", "ACTIVE", "DISPLAY NAME", "EMAIL", "CREATED", "LAST SIGN-IN"], &rows)
}

fn cells(user: UserRow) -> [String; 7] {
    [
        user.username,
        user.role,
        if user.active { "yes" } else { "no" }.to_owned(),
        or_dash(user.display_name),
        or_dash(user.email),
        moment(user.created_at),
        or_dash(user.last_sign_in.map(moment)),
    ]
}

/// A password, and whether its owner has yet to be told.
struct Password {
    text: String,
    made: bool,
}

impl Password {
    fn given_or_made() -> Result<Self, AdminError> {
        let given = given_password()?;
        let made = given.is_none();
        Ok(Self { text: given.unwrap_or_else(secrets::generate_password), made })
    }

    fn tell(&self) -> Result<(), AdminError> {
        if self.made { print(&self.text) } else { Ok(()) }
    }
}
