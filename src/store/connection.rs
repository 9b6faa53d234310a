//! One type for a connection to any backend. SQLite is the only one yet; PostgreSQL joins as a second variant.

use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::query_dsl::RunQueryDsl;
use diesel::r2d2::{CustomizeConnection, Error as PoolError};
use diesel::sqlite::SqliteConnection;

use super::StoreError;
use super::values::random_bytes;

/// A connection; the rest of the crate calls it `store::Connection`. Queries are written against it and not against a
/// backend. (Under that name here it would clash with diesel's trait, which the derive brings into scope.)
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    Sqlite(SqliteConnection),
}

/// How each SQLite connection is set up. With WAL, NORMAL survives a crash of the program and keeps the file sound.
const SQLITE_SETUP: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA synchronous = NORMAL;
    PRAGMA foreign_keys = ON;
";
/// How long a new file may be busy with other programs that open it too.
const WAL_LIMIT: Duration = Duration::from_secs(5);

/// Set up a fresh connection.
pub(super) fn set_up(connection: &mut AnyConnection) -> diesel::QueryResult<()> {
    match connection {
        AnyConnection::Sqlite(sqlite) => sqlite.batch_execute(SQLITE_SETUP),
    }
}

/// Let readers go on while one writes (WAL); the file remembers it. Several programs that do this to a new file at once
/// wait for each other's locks, so each attempt is short and lets go of its own.
pub(super) fn use_wal(connection: &mut AnyConnection) -> diesel::QueryResult<()> {
    let AnyConnection::Sqlite(sqlite) = connection;
    let begun = Instant::now();
    for attempt in 1.. {
        // Of different length, or those who collided once would collide again.
        let patience = 10 + u64::from(random_bytes::<1>()[0]) % (attempt * 10);
        let switched = sqlite
            .batch_execute(&format!("PRAGMA busy_timeout = {patience}"))
            .and_then(|()| sqlite.batch_execute("PRAGMA journal_mode = WAL"));
        match switched {
            Err(error) if begun.elapsed() < WAL_LIMIT && error.to_string().contains("locked") => {}
            switched => return switched,
        }
    }
    Ok(())
}

/// SQLite counts there what other connections have committed to the file.
pub(super) fn data_version(connection: &mut AnyConnection) -> diesel::QueryResult<i64> {
    #[derive(diesel::QueryableByName)]
    struct Version {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        data_version: i64,
    }

    match connection {
        AnyConnection::Sqlite(sqlite) => {
            let version: Version = diesel::sql_query("PRAGMA data_version").get_result(sqlite)?;
            Ok(version.data_version)
        }
    }
}

/// Sets up what the pool opens.
#[derive(Debug)]
pub(super) struct SetUp;

impl CustomizeConnection<AnyConnection, PoolError> for SetUp {
    fn on_acquire(&self, connection: &mut AnyConnection) -> Result<(), PoolError> {
        set_up(connection).map_err(PoolError::QueryError)
    }
}

/// A transaction that will write. It takes SQLite's write lock at once and so waits its turn; one that began by reading
/// would fail as soon as another had written meanwhile. Within another one it is a part of that, whose work must then
/// end with the same error.
///
/// # Errors
/// Those of `work`, with nothing changed, and those of the database.
pub fn write_transaction<T>(
    connection: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if is_in_transaction(connection)? {
        return work(connection);
    }
    match connection {
        AnyConnection::Sqlite(sqlite) => AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE")?,
    }
    match work(connection) {
        Ok(value) => {
            AnyConnection::commit_transaction(connection)?;
            Ok(value)
        }
        Err(error) => {
            // The pool throws a connection away whose transaction is still open; the first error is the one that tells.
            if let Err(second) = AnyConnection::rollback_transaction(connection) {
                tracing::warn!(error = %second, "cannot roll back");
            }
            Err(error)
        }
    }
}

fn is_in_transaction(connection: &mut AnyConnection) -> diesel::QueryResult<bool> {
    match connection {
        AnyConnection::Sqlite(sqlite) => {
            let status = AnsiTransactionManager::transaction_manager_status_mut(sqlite);
            Ok(status.transaction_depth()?.is_some())
        }
    }
}
