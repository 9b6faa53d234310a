//! `dockway admin user enable`, `disable`, `role` and `remove`. The last active administrator stays one.

use super::trail::entry;
use super::{AdminError, open};
use crate::config::cli::DataArgs;
use crate::error::Error;
use crate::identity::Role;
use crate::identity::policy::Action;
use crate::store::models::UserRow;
use crate::store::{Connection, StoreError, audit, sessions, users, write_transaction};

pub async fn enable(name: &str, data: &DataArgs) -> Result<(), AdminError> {
    change(name, "active true".into(), data, |row| UserRow { active: true, ..row }).await?;
    eprintln!("`{name}` may sign in again");
    Ok(())
}

pub async fn disable(name: &str, data: &DataArgs) -> Result<(), AdminError> {
    change(name, "active false".into(), data, |row| UserRow { active: false, ..row }).await?;
    eprintln!("`{name}` is signed out everywhere and may not sign in");
    Ok(())
}

pub async fn set_role(name: &str, role: Role, data: &DataArgs) -> Result<(), AdminError> {
    let with_role = move |row| UserRow { role: role.as_str().to_owned(), ..row };
    change(name, format!("role {role}"), data, with_role).await?;
    eprintln!("`{name}` has the role {role}");
    Ok(())
}

pub async fn remove(name: &str, data: &DataArgs) -> Result<(), AdminError> {
    let work = |c: &mut Connection, row: UserRow| {
        users::remove(c, &row.id)?;
        audit::append(c, vec![entry(Action::DeleteUser, &row.username, None)])
    };
    with_account(name, data, |_| None, work).await?;
    eprintln!("removed the account `{name}`");
    Ok(())
}

/// Change an account. One that may not sign in afterwards has no sessions that would come back with it.
async fn change(
    name: &str,
    detail: String,
    data: &DataArgs,
    after: impl FnOnce(UserRow) -> UserRow + Clone + Send + 'static,
) -> Result<(), AdminError> {
    let becomes = after.clone();
    let work = move |c: &mut Connection, before: UserRow| {
        let row = after(before);
        users::update(c, &row)?;
        if !row.active {
            sessions::remove_of_user(c, &row.id, None)?;
        }
        audit::append(c, vec![entry(Action::ChangeUser, &row.username, Some(detail))])
    };
    with_account(name, data, move |row| Some(becomes(row)), work).await
}

/// What came of a change.
enum Outcome {
    Done,
    NoAccount,
    LastAdmin,
}

/// Do `work` with an account in one transaction, unless there is no active administrator `after`wards.
async fn with_account(
    name: &str,
    data: &DataArgs,
    after: impl FnOnce(UserRow) -> Option<UserRow> + Send + 'static,
    work: impl FnOnce(&mut Connection, UserRow) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), AdminError> {
    let wanted = name.to_owned();
    let whole = move |c: &mut Connection| {
        write_transaction(c, |c| {
            let all = users::list(c)?;
            let Some(row) = all.iter().find(|row| row.username == wanted).cloned() else {
                return Ok(Outcome::NoAccount);
            };
            let others = all.iter().any(|other| other.id != row.id && is_admin(other));
            if is_admin(&row) && !others && !after(row.clone()).is_some_and(|row| is_admin(&row)) {
                return Ok(Outcome::LastAdmin);
            }
            work(c, row).map(|()| Outcome::Done)
        })
    };
    match open(data)?.run(whole).await {
        Ok(Outcome::Done) => Ok(()),
        Ok(Outcome::NoAccount) => Err(AdminError::Wrong(format!("no account is called `{name}`"))),
        Ok(Outcome::LastAdmin) => Err(Error::LastAdmin.into()),
        Err(StoreError::Owns { agents, tunnels, desktops }) => {
            Err(Error::UserInUse { agents, tunnels, desktops }.into())
        }
        Err(other) => Err(other.into()),
    }
}

fn is_admin(row: &UserRow) -> bool {
    row.active && Role::of_row(&row.role) == Role::Admin
}
