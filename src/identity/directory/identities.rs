//! What OpenID providers call people: sign-in, linked to an account, taken apart again.

use actix::prelude::*;

use super::super::names::free_username;
use super::super::role::Role;
use super::users::NewUser;
use super::{Directory, when_missing};
use crate::clock::now_ms;
use crate::error::Error;
use crate::store::models::{IdentityRow, UserRow};
use crate::store::{Connection, StoreError, identities, users, write_transaction};

/// What a provider has proved about somebody.
#[derive(Debug, Clone)]
pub struct ProvenIdentity {
    /// Name of the provider in the settings.
    pub provider: String,
    pub subject: String,
    /// What the name of a new account is made from.
    pub wanted_name: String,
    pub display_name: Option<String>,
    pub email: Option<String>,
    /// Whether the provider's groups make this person an administrator; None: they have no say.
    pub admin: Option<bool>,
}

/// Find the account that this identity belongs to, or make one if `sign_up` says so.
#[derive(Message)]
#[rtype(result = "Result<UserRow, Error>")]
pub struct SignInByProvider {
    pub identity: ProvenIdentity,
    pub sign_up: bool,
}

/// Let this identity sign in to an account whose owner has proved to be there too.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct LinkIdentity {
    pub user_id: String,
    pub provider: String,
    pub subject: String,
}

/// Take an account and a provider apart. Refused if nobody could sign in any more.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct UnlinkIdentity {
    pub user_id: String,
    pub provider: String,
}

/// What a sign-in means for the accounts.
enum Arrival {
    Known(UserRow),
    New(UserRow, IdentityRow),
}

impl Directory {
    fn arrival(&self, identity: ProvenIdentity, sign_up: bool) -> Result<Arrival, Error> {
        if let Some(user) = self.snapshot.user_of_identity(&identity.provider, &identity.subject) {
            if !user.active {
                return Err(Error::Forbidden("this account is not active; ask an administrator".into()));
            }
            return Ok(Arrival::Known(self.with_role(UserRow::clone(user), identity.admin)));
        }
        if !sign_up {
            return Err(Error::NoAccount(identity.provider));
        }
        let taken = |name: &str| self.snapshot.user_named(name).is_some();
        let role = if identity.admin == Some(true) { Role::Admin } else { Role::User };
        let user = NewUser {
            display_name: identity.display_name,
            email: identity.email,
            ..NewUser::named(free_username(&identity.wanted_name, taken), role)
        };
        let user = user.into_row();
        let row = IdentityRow {
            provider: identity.provider,
            subject: identity.subject,
            user_id: user.id.clone(),
            created_at: now_ms(),
        };
        Ok(Arrival::New(user, row))
    }

    /// The role follows the provider's groups, but the last administrator stays one.
    fn with_role(&self, mut user: UserRow, admin: Option<bool>) -> UserRow {
        match admin {
            Some(true) => user.role = Role::Admin.as_str().to_owned(),
            Some(false) if self.is_last_admin(&user) => {
                tracing::warn!(username = user.username, "the provider's groups would demote the last administrator");
            }
            Some(false) => user.role = Role::User.as_str().to_owned(),
            None => {}
        }
        user
    }
}

impl Handler<SignInByProvider> for Directory {
    type Result = ResponseActFuture<Self, Result<UserRow, Error>>;

    fn handle(&mut self, message: SignInByProvider, _: &mut Self::Context) -> Self::Result {
        let prepare = move |directory: &Self| {
            let arrival = directory.arrival(message.identity, message.sign_up)?;
            Ok(move |c: &mut Connection| {
                write_transaction(c, |c| match arrival {
                    Arrival::Known(user) => {
                        // Not what is known here: another program may have changed the account a moment ago.
                        let user = UserRow { role: user.role, ..users::get(c, &user.id)? };
                        users::update(c, &user)?;
                        Ok(Arrival::Known(user))
                    }
                    Arrival::New(user, identity) => {
                        users::insert(c, &user).and_then(|()| identities::insert(c, &identity))?;
                        Ok(Arrival::New(user, identity))
                    }
                })
            })
        };
        let failed = |error| match error {
            // Another program took the name, which is noticed soon.
            StoreError::Duplicate(_) => Error::Unavailable("the accounts have just changed; sign in again".into()),
            other => other.into(),
        };
        self.change(prepare, failed, |directory, arrival| match arrival {
            Arrival::Known(user) => {
                directory.snapshot.put_user(user.clone());
                user
            }
            Arrival::New(user, identity) => {
                directory.snapshot.put_user(user.clone());
                directory.snapshot.put_identity(identity);
                directory.publish_user("user.created", &user);
                user
            }
        })
    }
}

impl Handler<LinkIdentity> for Directory {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, link: LinkIdentity, _: &mut Self::Context) -> Self::Result {
        let row = IdentityRow {
            provider: link.provider.clone(),
            subject: link.subject,
            user_id: link.user_id,
            created_at: now_ms(),
        };
        let prepare = move |directory: &Self| {
            directory.user(&row.user_id)?;
            let owner = directory.snapshot.user_of_identity(&row.provider, &row.subject);
            let again = owner.is_some_and(|owner| owner.id == row.user_id);
            Ok(move |c: &mut Connection| {
                if again {
                    return Ok(None);
                }
                identities::insert(c, &row)?;
                Ok(Some(row))
            })
        };
        let failed = move |error| match error {
            StoreError::Duplicate(_) => Error::AlreadyLinked(link.provider),
            other => other.into(),
        };
        self.change(prepare, failed, |directory, row: Option<IdentityRow>| {
            row.into_iter().for_each(|row| directory.snapshot.put_identity(row));
        })
    }
}

impl Handler<UnlinkIdentity> for Directory {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, UnlinkIdentity { user_id, provider }: UnlinkIdentity, _: &mut Self::Context) -> Self::Result {
        let (id, name, unknown) = (user_id.clone(), provider.clone(), provider.clone());
        let prepare = move |directory: &Self| {
            let linked = directory.snapshot.providers_of(&id);
            if !linked.contains(&name) {
                return Err(Error::NotLinked(name));
            }
            if directory.user(&id)?.password_hash.is_none() && linked.len() == 1 {
                return Err(Error::OnlySignIn);
            }
            Ok(move |c: &mut Connection| identities::remove(c, &id, &name))
        };
        self.change(prepare, when_missing(Error::NotLinked(unknown)), move |directory, ()| {
            directory.snapshot.remove_identity(&user_id, &provider)
        })
    }
}
