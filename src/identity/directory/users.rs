//! Accounts: made, changed, removed.

use actix::prelude::*;

use super::super::news::{Event, Subject};
use super::super::role::Role;
use super::{Directory, when_missing};
use crate::clock::now_ms;
use crate::config::Limits;
use crate::error::Error;
use crate::store::models::{OwnLimits, UserRow};
use crate::store::values::new_id;
use crate::store::{Connection, StoreError, sessions, users, write_transaction};

/// An account that is wanted. Its name was checked.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub username: String,
    pub display_name: Option<String>,
    pub email: Option<String>,
    pub role: Role,
    /// None: no sign-in by password.
    pub password_hash: Option<String>,
    pub active: bool,
    pub limits: OwnLimits,
}

/// What a change of an account changes: None leaves a field; `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
pub struct UserChanges {
    pub display_name: Option<Option<String>>,
    pub email: Option<Option<String>>,
    pub role: Option<Role>,
    pub active: Option<bool>,
    /// Ends the account's sessions.
    pub password_hash: Option<String>,
    pub max_tunnels: Option<Option<i32>>,
    pub max_desktops: Option<Option<i32>>,
    pub max_agents: Option<Option<i32>>,
    pub max_tokens: Option<Option<i32>>,
}

#[derive(Message)]
#[rtype(result = "Result<UserRow, Error>")]
pub struct CreateUser(pub NewUser);

#[derive(Message)]
#[rtype(result = "Result<UserRow, Error>")]
pub struct ChangeUser {
    pub user_id: String,
    pub changes: UserChanges,
}

/// Remove an account with its sessions, tokens and links. 409 while it has agents, tunnels or desktops.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct DeleteUser(pub String);

impl NewUser {
    /// Nothing but a name and a role.
    pub fn named(username: String, role: Role) -> Self {
        let (display_name, email, password_hash, limits) = (None, None, None, OwnLimits::default());
        Self { username, display_name, email, role, password_hash, active: true, limits }
    }

    /// The row of a new account with an id of its own.
    pub fn into_row(self) -> UserRow {
        UserRow {
            id: new_id(),
            username: self.username,
            display_name: self.display_name,
            email: self.email,
            password_hash: self.password_hash,
            role: self.role.as_str().to_owned(),
            active: self.active,
            created_at: now_ms(),
            last_sign_in: None,
            limits: self.limits,
        }
    }
}

impl UserChanges {
    fn apply(self, row: UserRow) -> UserRow {
        UserRow {
            display_name: self.display_name.unwrap_or(row.display_name),
            email: self.email.unwrap_or(row.email),
            role: self.role.map_or(row.role, |role| role.as_str().to_owned()),
            active: self.active.unwrap_or(row.active),
            password_hash: self.password_hash.or(row.password_hash),
            limits: OwnLimits {
                max_tunnels: self.max_tunnels.unwrap_or(row.limits.max_tunnels),
                max_desktops: self.max_desktops.unwrap_or(row.limits.max_desktops),
                max_agents: self.max_agents.unwrap_or(row.limits.max_agents),
                max_tokens: self.max_tokens.unwrap_or(row.limits.max_tokens),
            },
            ..row
        }
    }
}

impl Directory {
    /// # Errors
    /// `UserUnknown`.
    pub(super) fn user(&self, id: &str) -> Result<&UserRow, Error> {
        self.snapshot.user(id).map(std::sync::Arc::as_ref).ok_or_else(|| Error::UserUnknown(id.to_owned()))
    }

    pub(super) fn limits_of(&self, user_id: &str) -> Result<Limits, Error> {
        Ok(self.settings.limits.of(self.user(user_id)?))
    }

    /// Whether nobody could administrate any more if this account no longer did.
    pub(super) fn is_last_admin(&self, row: &UserRow) -> bool {
        is_admin(row) && self.snapshot.active_admins() <= 1
    }

    pub(super) fn publish_user(&self, name: &'static str, row: &UserRow) {
        (self.announce)(Event::new(name, &row.id, Subject::User { user_id: row.id.clone() }));
    }
}

fn is_admin(row: &UserRow) -> bool {
    row.active && Role::of_row(&row.role) == Role::Admin
}

impl Handler<CreateUser> for Directory {
    type Result = ResponseActFuture<Self, Result<UserRow, Error>>;

    fn handle(&mut self, CreateUser(new): CreateUser, _: &mut Self::Context) -> Self::Result {
        let row = new.into_row();
        let (stored, taken) = (row.clone(), row.username.clone());
        let prepare = move |_: &Self| Ok(move |c: &mut Connection| users::insert(c, &stored));
        let failed = |error| match error {
            StoreError::Duplicate(_) => Error::UserExists(taken),
            other => other.into(),
        };
        self.change(prepare, failed, move |directory, ()| {
            directory.snapshot.put_user(row.clone());
            directory.publish_user("user.created", &row);
            row
        })
    }
}

impl Handler<ChangeUser> for Directory {
    type Result = ResponseActFuture<Self, Result<UserRow, Error>>;

    fn handle(&mut self, ChangeUser { user_id, changes }: ChangeUser, _: &mut Self::Context) -> Self::Result {
        let (unknown, new_password) = (user_id.clone(), changes.password_hash.is_some());
        let prepare = move |directory: &Self| {
            let before = directory.user(&user_id)?;
            if directory.is_last_admin(before) && !is_admin(&changes.clone().apply(before.clone())) {
                return Err(Error::LastAdmin);
            }
            Ok(move |c: &mut Connection| {
                write_transaction(c, |c| {
                    // Not what is known here: another program may have changed the password a moment ago.
                    let row = changes.apply(users::get(c, &user_id)?);
                    // An account that may not sign in has no sessions that would come back with it.
                    let sign_out = new_password || !row.active;
                    users::update(c, &row)?;
                    if sign_out {
                        sessions::remove_of_user(c, &row.id, None)?;
                    }
                    Ok((row, sign_out))
                })
            })
        };
        self.change(
            prepare,
            when_missing(Error::UserUnknown(unknown)),
            |directory, (row, sign_out): (UserRow, bool)| {
                directory.snapshot.put_user(row.clone());
                if sign_out {
                    directory.snapshot.remove_sessions_of(&row.id, None);
                }
                directory.publish_user("user.changed", &row);
                row
            },
        )
    }
}

impl Handler<DeleteUser> for Directory {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, DeleteUser(user_id): DeleteUser, _: &mut Self::Context) -> Self::Result {
        let id = user_id.clone();
        let prepare = move |directory: &Self| {
            let row = directory.user(&id)?;
            if directory.is_last_admin(row) {
                return Err(Error::LastAdmin);
            }
            Ok(move |c: &mut Connection| users::remove(c, &id))
        };
        let failed = {
            let id = user_id.clone();
            move |error| match error {
                StoreError::Missing => Error::UserUnknown(id),
                StoreError::Owns { agents, tunnels, desktops } => Error::UserInUse { agents, tunnels, desktops },
                other => other.into(),
            }
        };
        self.change(prepare, failed, move |directory, ()| {
            let Some(row) = directory.snapshot.user(&user_id).cloned() else { return };
            directory.snapshot.remove_user(&user_id);
            directory.publish_user("user.deleted", &row);
        })
    }
}
