//! Agents: enrolled, shared or handed over, given another token, removed.

use actix::prelude::*;

use super::super::agents as enrolment;
use super::super::limits::{self, Limited};
use super::super::news::{Event, Subject};
use super::super::secrets::{AGENT_TOKEN, hash_token, new_token};
use super::Directory;
use crate::error::Error;
use crate::store::models::AgentRow;
use crate::store::{Connection, agents};

/// Add an agent; its token is in the answer and nowhere else.
#[derive(Message)]
#[rtype(result = "Result<(AgentRow, String), Error>")]
pub struct EnrolAgent {
    pub client_id: String,
    pub owner_id: String,
    pub shared: bool,
}

/// Share an agent, take it back, or hand it over.
#[derive(Message)]
#[rtype(result = "Result<AgentRow, Error>")]
pub struct ChangeAgent {
    pub client_id: String,
    pub owner_id: Option<String>,
    pub shared: Option<bool>,
}

/// Give an agent another token; the old one is void when this answers.
#[derive(Message)]
#[rtype(result = "Result<(AgentRow, String), Error>")]
pub struct RotateAgent(pub String);

#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct RemoveAgent(pub String);

impl Directory {
    fn agent(&self, client_id: &str) -> Result<AgentRow, Error> {
        let found = self.snapshot.agent(client_id).ok_or_else(|| Error::AgentUnknown(client_id.to_owned()))?;
        Ok(AgentRow::clone(found))
    }

    /// Whether a person may have one more agent.
    fn has_room(&self, owner_id: &str) -> Result<(), Error> {
        let present = self.snapshot.agents().filter(|agent| agent.owner_id == owner_id).count();
        limits::check(Limited::Agents, self.limits_of(owner_id)?.agents, present)
    }

    fn agent_changed(&mut self, row: AgentRow) -> AgentRow {
        self.snapshot.put_agent(row.clone());
        self.publish_agent("agent.changed", &row);
        row
    }

    fn publish_agent(&self, name: &'static str, row: &AgentRow) {
        (self.announce)(Event::new(name, &row.client_id, Subject::of_agent(row)));
    }
}

impl Handler<EnrolAgent> for Directory {
    type Result = ResponseActFuture<Self, Result<(AgentRow, String), Error>>;

    fn handle(&mut self, new: EnrolAgent, _: &mut Self::Context) -> Self::Result {
        let (row, token) = match enrolment::make(&new.client_id, &new.owner_id, new.shared) {
            Ok(made) => made,
            Err(error) => return Box::pin(actix::fut::ready(Err(error))),
        };
        let stored = row.clone();
        let prepare = move |directory: &Self| {
            directory.has_room(&stored.owner_id)?;
            Ok(move |c: &mut Connection| agents::insert(c, &stored))
        };
        let failed = move |error| enrolment::refused(error, &new.client_id);
        self.change(prepare, failed, move |directory, ()| {
            directory.snapshot.put_agent(row.clone());
            directory.publish_agent("agent.created", &row);
            (row, token)
        })
    }
}

impl Handler<ChangeAgent> for Directory {
    type Result = ResponseActFuture<Self, Result<AgentRow, Error>>;

    fn handle(&mut self, change: ChangeAgent, _: &mut Self::Context) -> Self::Result {
        let name = change.client_id.clone();
        let prepare = move |directory: &Self| {
            let mut row = directory.agent(&change.client_id)?;
            if let Some(owner_id) = change.owner_id.filter(|owner_id| *owner_id != row.owner_id) {
                directory.has_room(&owner_id)?;
                row.owner_id = owner_id;
            }
            row.shared = change.shared.unwrap_or(row.shared);
            Ok(move |c: &mut Connection| {
                agents::set_owner_shared(c, &row.client_id, &row.owner_id, row.shared)?;
                Ok(row)
            })
        };
        self.change(prepare, move |error| enrolment::refused(error, &name), Self::agent_changed)
    }
}

impl Handler<RotateAgent> for Directory {
    type Result = ResponseActFuture<Self, Result<(AgentRow, String), Error>>;

    fn handle(&mut self, RotateAgent(client_id): RotateAgent, _: &mut Self::Context) -> Self::Result {
        let token = new_token(AGENT_TOKEN);
        let (name, token_hash) = (client_id.clone(), hash_token(&token));
        let prepare = move |directory: &Self| {
            let row = AgentRow { token_hash, ..directory.agent(&client_id)? };
            Ok(move |c: &mut Connection| {
                agents::set_token_hash(c, &row.client_id, &row.token_hash)?;
                Ok(row)
            })
        };
        self.change(
            prepare,
            move |error| enrolment::refused(error, &name),
            |directory, row| (directory.agent_changed(row), token),
        )
    }
}

impl Handler<RemoveAgent> for Directory {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, RemoveAgent(client_id): RemoveAgent, _: &mut Self::Context) -> Self::Result {
        let name = client_id.clone();
        let prepare = move |directory: &Self| {
            let row = directory.agent(&client_id)?;
            Ok(move |c: &mut Connection| agents::remove(c, &row.client_id).map(|()| row))
        };
        self.change(
            prepare,
            move |error| enrolment::refused(error, &name),
            |directory, row: AgentRow| {
                directory.snapshot.remove_agent(&row.client_id);
                directory.publish_agent("agent.deleted", &row);
            },
        )
    }
}
