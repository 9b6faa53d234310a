//! Agents' tokens: given at enrolment, changed by rotation, shown at login.

use std::sync::Arc;

use super::names::{CLIENT_ID_RULE, is_client_id};
use super::policy::{self, Action, Actor, Decision, Object};
use super::secrets::{AGENT_TOKEN, hash_token, new_token, token_matches};
use super::snapshot::Snapshot;
use crate::clock::now_ms;
use crate::error::{Error, FieldError};
use crate::store::models::AgentRow;
use crate::store::{Store, StoreError, agents};

/// The one answer to every wrong login, so that it tells nothing about which agents there are.
const WRONG_LOGIN: &str = "no agent of this name has this token";

/// What the token of an agent that does not exist is compared with: no token has it as its hash.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Whether this agent has this token and may connect. An unknown agent costs the same work as a wrong token.
///
/// # Errors
/// `Unauthenticated`, the same for each reason; `Forbidden` if its owner's account is not active.
pub fn authenticate_agent(snapshot: &Snapshot, client_id: &str, token: &str) -> Result<Arc<AgentRow>, Error> {
    let found = snapshot.agent(client_id);
    let stored_hash = found.map_or(NO_HASH, |row| row.token_hash.as_str());
    let matches = token_matches(token, stored_hash);
    let row = found.filter(|_| matches).ok_or(Error::Unauthenticated(WRONG_LOGIN))?;
    match may_connect(snapshot, row) {
        Decision::Allow => Ok(row.clone()),
        Decision::Deny(denied) => Err(Error::Forbidden(denied.to_string())),
    }
}

/// Whether an agent whose token was right may be connected.
pub fn may_connect(snapshot: &Snapshot, row: &AgentRow) -> Decision {
    let owner_active = snapshot.user(&row.owner_id).is_some_and(|owner| owner.active);
    let actor = Actor::Agent { client_id: &row.client_id, owner_active };
    policy::may(actor, Action::ConnectAgent, Object::of_agent(row))
}

/// An agent that nobody has stored yet, and its token.
///
/// # Errors
/// `Invalid` for a wrong name.
pub fn make(client_id: &str, owner_id: &str, shared: bool) -> Result<(AgentRow, String), Error> {
    if !is_client_id(client_id) {
        return Err(invalid("client_id", "format", format!("must be {CLIENT_ID_RULE}")));
    }
    let token = new_token(AGENT_TOKEN);
    let row = AgentRow {
        client_id: client_id.to_owned(),
        owner_id: owner_id.to_owned(),
        shared,
        token_hash: hash_token(&token),
        created_at: now_ms(),
        last_seen: None,
        address: None,
        version: None,
    };
    Ok((row, token))
}

/// What it means that the database refused something about an agent.
pub fn refused(error: StoreError, client_id: &str) -> Error {
    match error {
        StoreError::Duplicate(_) => Error::AgentExists(client_id.to_owned()),
        StoreError::InUse { tunnels } => Error::AgentInUse { client_id: client_id.to_owned(), tunnels },
        StoreError::Missing => Error::AgentUnknown(client_id.to_owned()),
        other => other.into(),
    }
}

/// Add an agent, `shared` or its owner's alone. Its token is returned here and nowhere else.
///
/// # Errors
/// `Invalid` for a wrong name or an unknown owner; `AgentExists`; those of the database.
pub async fn enrol(store: &Store, client_id: &str, owner_id: &str, shared: bool) -> Result<(AgentRow, String), Error> {
    let (row, token) = make(client_id, owner_id, shared)?;
    let stored = row.clone();
    match store.run(move |c| agents::insert(c, &stored)).await {
        Ok(()) => Ok((row, token)),
        Err(StoreError::Missing) => Err(invalid("owner", "unknown", "no account has this id".into())),
        Err(other) => Err(refused(other, client_id)),
    }
}

/// Give an agent another token; the old one is void.
///
/// # Errors
/// `AgentUnknown`; those of the database.
pub async fn rotate(store: &Store, client_id: &str) -> Result<String, Error> {
    let token = new_token(AGENT_TOKEN);
    let (name, hash) = (client_id.to_owned(), hash_token(&token));
    let rotated = store.run(move |c| agents::set_token_hash(c, &name, &hash)).await;
    rotated.map(|()| token).map_err(|error| refused(error, client_id))
}

/// Remove an agent and its token.
///
/// # Errors
/// `AgentInUse` while tunnels need it; `AgentUnknown`; those of the database.
pub async fn remove(store: &Store, client_id: &str) -> Result<(), Error> {
    let name = client_id.to_owned();
    store.run(move |c| agents::remove(c, &name)).await.map_err(|error| refused(error, client_id))
}

fn invalid(field: &str, code: &'static str, detail: String) -> Error {
    Error::Invalid(vec![FieldError::new(field, code, detail)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::snapshot::Rows;
    use crate::store::testing::{self, TestDatabase, proxy, user};
    use crate::store::{proxies, users};

    fn database() -> TestDatabase {
        let database = testing::database();
        database.store.run_now(|c| users::insert(c, &user("owner"))).unwrap();
        database
    }

    fn snapshot(database: &TestDatabase) -> Snapshot {
        let (users, agents) = database.store.run_now(|c| Ok((users::list(c)?, agents::list(c)?))).unwrap();
        Snapshot::new(Rows { users, agents, ..Rows::default() }, 0)
    }

    #[tokio::test]
    async fn an_enrolled_agent_logs_in_until_its_token_is_rotated() {
        let database = database();
        let (row, token) = enrol(&database.store, "pc1", "id-of-owner", false).await.unwrap();
        assert!(token.starts_with("dwa_") && !row.token_hash.contains(&token));
        assert_eq!(*authenticate_agent(&snapshot(&database), "pc1", &token).unwrap(), row);

        let rotated = rotate(&database.store, "pc1").await.unwrap();
        assert!(authenticate_agent(&snapshot(&database), "pc1", &token).is_err());
        authenticate_agent(&snapshot(&database), "pc1", &rotated).unwrap();

        remove(&database.store, "pc1").await.unwrap();
        assert!(authenticate_agent(&snapshot(&database), "pc1", &rotated).is_err());
    }

    #[tokio::test]
    async fn every_wrong_login_gets_one_answer() {
        let database = database();
        let (row, token) = enrol(&database.store, "pc1", "id-of-owner", false).await.unwrap();
        let (_, other) = enrol(&database.store, "pc2", "id-of-owner", false).await.unwrap();
        let hash = row.token_hash.as_str();
        for (name, shown) in
            [("pc1", other.as_str()), ("pc1", ""), ("pc1", hash), ("pc3", &token), ("", ""), ("pc1'--", &token)]
        {
            let refused = authenticate_agent(&snapshot(&database), name, shown).unwrap_err();
            assert!(matches!(refused, Error::Unauthenticated(WRONG_LOGIN)), "{name} {shown}");
        }
    }

    #[tokio::test]
    async fn wrong_enrolments_are_told_apart() {
        let database = database();
        enrol(&database.store, "pc1", "id-of-owner", false).await.unwrap();
        assert!(matches!(enrol(&database.store, "pc1", "id-of-owner", false).await, Err(Error::AgentExists(_))));
        for (name, owner, field) in [("pc 1", "id-of-owner", "client_id"), ("pc2", "nobody", "owner")] {
            let Err(Error::Invalid(errors)) = enrol(&database.store, name, owner, false).await else {
                panic!("{name} enrolled")
            };
            assert_eq!(errors[0].field, field);
        }
        assert!(matches!(rotate(&database.store, "pc2").await, Err(Error::AgentUnknown(_))));
        assert!(matches!(remove(&database.store, "pc2").await, Err(Error::AgentUnknown(_))));
        database.store.run_now(|c| proxies::insert(c, &proxy("p1", "pc1", 13389))).unwrap();
        assert!(matches!(remove(&database.store, "pc1").await, Err(Error::AgentInUse { tunnels: 1, .. })));
    }
}
