//! AuditLog: writes down who did what, in the order in which it was told.
//!
//! Started by [Server](crate::server), which builds another if it panics; ends with the server. An entry is stored when
//! [`Record`] answers; what comes while the database writes goes into the next transaction. A database that takes
//! nothing makes no call fail: the entry then stands in the log.

use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::secrets::{AGENT_TOKEN, API_TOKEN};
use crate::clock::{now_ms, rfc3339};
use crate::store::models::AuditRow;
use crate::store::{Store, StoreError, audit};
use crate::supervision::ChildGuard;

/// Entries that wait for the database; more go to the log alone.
const MOST_WAITING: usize = 4096;
/// The most characters of an object or a detail: what people sent is kept, but not all that they send.
const TEXT_LIMIT: usize = 200;
/// What begins like a token and goes on for so many characters is one, or a good part of one.
const FEWEST_HIDDEN: usize = 16;
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
    pub const ALL: [Self; 3] = [Self::Ok, Self::Denied, Self::Failed];

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
    pub fn into_row(self) -> AuditRow {
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

/// The beginning of a text, without tokens and without what would break a line or a terminal.
fn shortened(text: &str) -> String {
    let shown = without_tokens(text);
    shown.chars().take(TEXT_LIMIT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Somebody may send a token where its id or a name belongs: what follows its prefix is left out.
fn without_tokens(text: &str) -> String {
    let in_token = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(end) = [AGENT_TOKEN, API_TOKEN].iter().filter_map(|kind| Some(rest.find(kind)? + kind.len())).min() {
        let (before, after) = rest.split_at(end);
        let random = after.find(|c| !in_token(c)).unwrap_or(after.len());
        shown.push_str(before);
        // A name that only begins like a token stays as it is.
        shown.push_str(if random < FEWEST_HIDDEN { &after[..random] } else { "…" });
        rest = &after[random..];
    }
    shown + rest
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use diesel::connection::SimpleConnection;
    use futures_util::future::join_all;
    use tracing::subscriber::DefaultGuard;

    use super::super::secrets::new_token;
    use super::*;
    use crate::store::Connection;
    use crate::store::audit::AuditQuery;
    use crate::store::testing::{TestDatabase, database};

    fn entry(object: &str) -> Entry {
        Entry {
            actor: "alice".into(),
            action: "tunnel.create",
            object: Some(object.into()),
            address: Some("192.0.2.1".into()),
            outcome: Outcome::Ok,
            detail: None,
        }
    }

    fn log(database: &TestDatabase) -> Addr<AuditLog> {
        AuditLog::new(database.store.clone(), ChildGuard::detached()).start()
    }

    fn stored(database: &TestDatabase) -> Vec<AuditRow> {
        let whole = AuditQuery { limit: 10_000, ..AuditQuery::default() };
        database.store.run_now(|c| audit::find(c, &whole)).unwrap()
    }

    /// What this thread logs from now on.
    fn logged() -> (Receiver<Vec<u8>>, DefaultGuard) {
        struct Line(Sender<Vec<u8>>);
        impl std::io::Write for Line {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                // The test may have read enough.
                let _ = self.0.send(bytes.to_vec());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (sender, lines) = channel();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || Line(sender.clone())).finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    #[actix::test]
    async fn an_entry_is_stored_when_it_answers() {
        let database = database();
        let before = now_ms();
        log(&database).send(Record(entry("p1"))).await.unwrap();
        let rows = stored(&database);
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        let expected = AuditRow { id: 1, at: row.at, ..entry("p1").into_row() };
        assert_eq!(*row, expected);
        assert!((before..=now_ms()).contains(&row.at));
    }

    #[actix::test]
    async fn entries_that_come_at_once_are_all_stored_in_their_order() {
        const MANY: usize = 1000;
        let database = database();
        let log = log(&database);
        let answers = join_all((0..MANY).map(|n| log.send(Record(entry(&n.to_string()))))).await;
        assert!(answers.iter().all(Result::is_ok));
        let mut rows = stored(&database);
        rows.reverse();
        let objects: Vec<String> = rows.into_iter().filter_map(|row| row.object).collect();
        assert_eq!(objects, (0..MANY).map(|n| n.to_string()).collect::<Vec<_>>());
    }

    #[actix::test]
    async fn without_a_database_it_answers_and_the_entry_is_logged() {
        let database = database();
        let break_it = |c: &mut Connection| match c {
            Connection::Sqlite(sqlite) => Ok(sqlite.batch_execute("ALTER TABLE audit_log RENAME TO elsewhere")?),
        };
        database.store.run_now(break_it).unwrap();
        let (lines, _guard) = logged();
        log(&database).send(Record(entry("p1"))).await.unwrap();
        let text: String = lines.try_iter().map(|line| String::from_utf8(line).unwrap()).collect();
        for part in ["ERROR", "an audit entry is not stored", "alice", "tunnel.create", "p1", "192.0.2.1", "audit_log"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_people_sent_is_bounded_and_harmless() {
        let long = Entry { actor: "a".repeat(300), detail: Some("ü".repeat(300)), ..entry("line\none\u{1b}[2J\0") };
        let row = long.into_row();
        assert_eq!((row.actor.len(), row.detail.unwrap().chars().count()), (200, 200));
        assert_eq!(row.object.as_deref(), Some("line\u{fffd}one\u{fffd}[2J\u{fffd}"));
    }

    #[test]
    fn tokens_in_the_wrong_place_are_left_out() {
        for kind in [API_TOKEN, AGENT_TOKEN] {
            let token = new_token(kind);
            assert_eq!(shortened(&token), format!("{kind}…"));
            assert_eq!(shortened(&token[..30]), format!("{kind}…"));
            assert_eq!(shortened(&format!("a {token}, {token}!")), format!("a {kind}…, {kind}…!"));
        }
        for text in ["dwa_office", "pc1", "", "dwt_", "0123456789abcdef0123456789abcdef"] {
            assert_eq!(shortened(text), text);
        }
    }
}
