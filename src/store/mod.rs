//! The database. The only place that names diesel; knows nothing of actix.
//!
//! It holds what should be. Queries are plain functions over a [`Connection`], grouped by table; [`Store`] lends them
//! one from its pool, away from the threads that serve sockets. Only SQL that PostgreSQL would take too.

pub mod agents;
pub mod audit;
mod connection;
pub mod containers;
pub mod desktop_types;
mod error;
pub mod identities;
pub mod models;
pub mod proxies;
mod schema;
pub mod sessions;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
pub mod tokens;
pub mod users;
pub mod values;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::Connection as _;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::sqlite::SqliteConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

pub use connection::{AnyConnection as Connection, write_transaction};
pub use error::StoreError;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// How many queries run at once.
const POOL_SIZE: u32 = 4;

/// How long a query waits for its turn.
const POOL_TIMEOUT: Duration = Duration::from_secs(5);

type ConnectionPool = Pool<ConnectionManager<Connection>>;

/// The open database. Clones share it.
#[derive(Clone)]
pub struct Store {
    pool: ConnectionPool,
    /// A pool of one, kept for good and never written through: `revision` compares values of one connection only, and
    /// a connection does not see its own commits there.
    watcher: ConnectionPool,
    installation_id: Arc<str>,
}

impl Store {
    /// Open the database at `sqlite:PATH` or `sqlite://PATH`, made if missing with the directory that it stands in,
    /// and bring its tables up to date. Blocks.
    ///
    /// # Errors
    /// `Unavailable`, saying what is wrong with the file: not writable, locked, not a database, on a full disk.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let path = sqlite_path(url)?;
        let opened = make_file(&path).and_then(|()| Self::open_path(&path));
        opened.map_err(|error| name_file(error, &path))
    }

    fn open_path(path: &str) -> Result<Self, StoreError> {
        // By itself first, since the pool would retry for seconds and forget why it failed.
        let mut first = Connection::Sqlite(SqliteConnection::establish(path)?);
        connection::use_wal(&mut first)?;
        connection::set_up(&mut first)?;
        let installation_id = write_transaction(&mut first, |c| {
            c.run_pending_migrations(MIGRATIONS).map_err(|error| StoreError::from_message(&error.to_string()))?;
            let id = settings::installation_id(c)?;
            settings::prove_writable(c)?;
            Ok(id)
        })?;
        let pool = build_pool(path, POOL_SIZE)?;
        let watcher = build_pool(path, 1)?;
        Ok(Self { pool, watcher, installation_id: installation_id.into() })
    }

    /// Do some work on a connection, on a thread that may block.
    ///
    /// # Errors
    /// Those of `work`; `Unavailable` if no connection is free for 5 s; `Internal` if `work` panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        on_blocking_thread(move || store.run_now(work)).await
    }

    /// The same at once, for a thread that may block.
    ///
    /// # Errors
    /// As for `run`.
    pub fn run_now<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut connection = self.pool.get().map_err(from_pool)?;
        work(&mut connection)
    }

    /// A number that is another one whenever a connection of this or of another process has committed. Only its being
    /// the same or not means anything, and only within this `Store` and its clones.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn revision(&self) -> Result<i64, StoreError> {
        let store = self.clone();
        on_blocking_thread(move || {
            let mut connection = store.watcher.get().map_err(from_pool)?;
            Ok(connection::data_version(&mut connection)?)
        })
        .await
    }

    /// The id of this installation, made once: it labels what belongs to this database outside of it.
    pub fn installation_id(&self) -> &str {
        &self.installation_id
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StoreError::Internal(format!("a query did not end: {error}"))))
}

fn build_pool(path: &str, size: u32) -> Result<ConnectionPool, StoreError> {
    Pool::builder()
        .max_size(size)
        .connection_timeout(POOL_TIMEOUT)
        .max_lifetime(None)
        .idle_timeout(None)
        .connection_customizer(Box::new(connection::SetUp))
        .build(ConnectionManager::new(path))
        .map_err(from_pool)
}

fn from_pool(error: diesel::r2d2::PoolError) -> StoreError {
    StoreError::Unavailable(format!("no database connection is free: {error}"))
}

/// The absolute path that a URL names, so that SQLite cannot take it for a URL of its own.
fn sqlite_path(url: &str) -> Result<String, StoreError> {
    let rest = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    let rest = rest.ok_or_else(|| StoreError::Unavailable("only sqlite:// databases for now".into()))?;
    if rest.is_empty() || rest == ":memory:" {
        return Err(StoreError::Unavailable(format!("`{url}` names no file; write sqlite://PATH")));
    }
    let absolute = std::path::absolute(rest).map_err(|error| StoreError::Unavailable(format!("{rest}: {error}")))?;
    // `rest` was UTF-8; the working directory before it may be none.
    absolute.into_os_string().into_string().map_err(|_| StoreError::Unavailable(format!("{rest}: not UTF-8")))
}

/// Make what is missing, for nobody but this account: the file holds hashes of secrets, and SQLite gives its mode to
/// the files that it puts beside it. An existing file is not touched: closing it here would drop the locks that SQLite
/// holds on it in this process.
fn make_file(path: &str) -> Result<(), StoreError> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

    let path = Path::new(path);
    if path.is_dir() {
        return Err(StoreError::Unavailable("the database file is a directory".into()));
    }
    let unavailable =
        |what: &str, error: std::io::Error| StoreError::Unavailable(format!("cannot make {what}: {error}"));
    if let Some(directory) = path.parent() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| unavailable("the directory of the database", error))?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(unavailable("the database file", error)),
        _ => Ok(()),
    }
}

/// Say at the start which file an error is about.
fn name_file(error: StoreError, path: &str) -> StoreError {
    match error {
        StoreError::Unavailable(reason) => StoreError::Unavailable(format!("{reason} ({path})")),
        StoreError::Internal(reason) => StoreError::Internal(format!("{reason} ({path})")),
        other => other,
    }
}

/// A change by primary key touched its row, or there was none.
fn one_row(changed: usize) -> Result<(), StoreError> {
    if changed == 0 { Err(StoreError::Missing) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
