//! AuditLog: writes down who did what, in the order in which it was told.
//!
//! Started by [Server](crate::server), which builds another if it panics; ends with the server. An entry is stored when
//! [`Record`] answers; what comes while the database writes goes into the next transaction. A database that takes
//! nothing makes no call fail: the entry then stands in the log.

use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::clock::{now_ms, rfc3339};
use crate::store::models::AuditRow;
use crate::store::{Store, StoreError, audit};
use crate::supervision::ChildGuard;

/// Entries that wait for the database; more go to the log alone.
const MOST_WAITING: usize = 4096;
/// The most characters of an object or a detail: what people sent is kept, but not all that they send.
const TEXT_LIMIT: usize = 200;
/// How long a call waits for its entry before it answers anyway.
pub const RECORD_LIMIT: Duration = Duration::from_secs(10);

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// The policy, a password or a limit refused it.
    Denied,
    /// It could not be done.
    Failed,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// Who did what to which object, from where, and how it ended. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of an account, `agent NAME`, or `-` for somebody unknown.
    pub actor: String,
    /// Like `tunnel.create`.
    pub action: &'static str,
    /// Name or id of what it was done to.
    pub object: Option<String>,
    pub address: Option<String>,
    pub outcome: Outcome,
    pub detail: Option<String>,
}

impl Entry {
    fn into_row(self) -> AuditRow {
        AuditRow {
            // Given by the database's transaction.
            id: 0,
            at: now_ms(),
            actor: shortened(&self.actor),
            action: self.action.to_owned(),
            object: self.object.as_deref().map(shortened),
            address: self.address,
            outcome: self.outcome.as_str().to_owned(),
            detail: self.detail.as_deref().map(shortened),
        }
    }
}

/// The beginning of a text, without what would break a line or a terminal.
fn shortened(text: &str) -> String {
    text.chars().take(TEXT_LIMIT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Write this down. Answers when it is stored, or in the log because the database took nothing.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Record(pub Entry);

/// See the module's documentation.
pub struct AuditLog {
    store: Store,
    waiting: Vec<(AuditRow, oneshot::Sender<()>)>,
    writing: bool,
    _guard: ChildGuard<&'static str>,
}

impl AuditLog {
    pub fn new(store: Store, guard: ChildGuard<&'static str>) -> Self {
        Self { store, waiting: Vec::new(), writing: false, _guard: guard }
    }

    /// Store what waits; when that is done, what came meanwhile.
    fn write(&mut self, ctx: &mut Context<Self>) {
        if self.writing || self.waiting.is_empty() {
            return;
        }
        self.writing = true;
        let (rows, callers): (Vec<AuditRow>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().unzip();
        let store = self.store.clone();
        let write = async move {
            let stored = rows.clone();
            (store.run(move |c| audit::append(c, stored)).await, rows)
        };
        ctx.spawn(write.into_actor(self).map(move |(written, rows), log, ctx| {
            if let Err(error) = written {
                rows.iter().for_each(|row| only_logged(row, &error));
            }
            for caller in callers {
                // One that has left needs no answer.
                let _ = caller.send(());
            }
            log.writing = false;
            log.write(ctx);
        }));
    }
}

fn only_logged(row: &AuditRow, error: &StoreError) {
    let at = rfc3339(row.at);
    let AuditRow { actor, action, object, address, outcome, detail, .. } = row;
    tracing::error!(at, actor, action, object, address, outcome, detail, %error, "an audit entry is not stored");
}

impl Actor for AuditLog {
    type Context = Context<Self>;
}

impl Handler<Record> for AuditLog {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Record(entry): Record, ctx: &mut Self::Context) -> Self::Result {
        let row = entry.into_row();
        if self.waiting.len() >= MOST_WAITING {
            only_logged(&row, &StoreError::Unavailable("too many entries wait for the database".into()));
            return Box::pin(std::future::ready(()));
        }
        let (stored, answer) = oneshot::channel();
        self.waiting.push((row, stored));
        self.write(ctx);
        // A log that ended has written what it could.
        Box::pin(async move { drop(answer.await) })
    }
}
