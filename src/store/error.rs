//! What can go wrong in the database, told apart as far as a caller can act on it.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

use crate::error::Error;

/// An error of the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may work later, or once the disk or the file's mode was mended: busy, full, read-only, unreadable.
    #[error("{0}")]
    Unavailable(String),
    /// A row with this unique value exists: `table.column`.
    #[error("{0} exists already")]
    Duplicate(String),
    /// The row, or one that it refers to, does not exist.
    #[error("there is no such row")]
    Missing,
    /// Tunnels need the row.
    #[error("{tunnels} tunnel(s) need it")]
    InUse { tunnels: usize },
    /// Agents, tunnels and desktops belong to the account.
    #[error("{agents} agent(s), {tunnels} tunnel(s) and {desktops} desktop(s) belong to it")]
    Owns { agents: usize, tunnels: usize, desktops: usize },
    /// Desktops are of this type.
    #[error("{desktops} desktop(s) are of this type")]
    TypeInUse { desktops: usize },
    /// A defect of this program or of its schema.
    #[error("{0}")]
    Internal(String),
}

/// The beginnings of SQLite's messages for states that are not this program's fault, and what they mean.
const OUTSIDE_CAUSES: &[(&str, &str)] = &[
    ("database is locked", "the database is locked by another program"),
    ("database table is locked", "the database is locked by another program"),
    ("database schema is locked", "the database is locked by another program"),
    ("database or disk is full", "the database's disk is full"),
    ("attempt to write a readonly database", "the database is not writable"),
    ("unable to open database file", "the database file cannot be opened for reading and writing"),
    ("disk I/O error", "the database's disk is full or fails"),
    ("file is not a database", "the database file is not a SQLite database"),
    ("database disk image is malformed", "the database file is damaged"),
    ("locking protocol", "the database is locked by another program"),
];

/// What SQLite puts before the column of a violated constraint.
const UNIQUE_PREFIX: &str = "UNIQUE constraint failed: ";

impl StoreError {
    /// Tell an outside cause from a defect by the database's own words.
    pub(super) fn from_message(message: &str) -> Self {
        let cause = OUTSIDE_CAUSES.iter().find(|(begin, _)| message.contains(begin));
        cause.map_or_else(|| Self::Internal(message.to_owned()), |(_, text)| Self::Unavailable((*text).to_owned()))
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::NotFound => Self::Missing,
            DieselError::DatabaseError(kind, information) => from_database(&kind, &*information),
            // A transaction that could not be rolled back: the first error is the one that tells.
            DieselError::RollbackErrorOnCommit { commit_error, .. } => Self::from(*commit_error),
            other => Self::from_message(&other.to_string()),
        }
    }
}

fn from_database(kind: &DatabaseErrorKind, information: &(dyn DatabaseErrorInformation + Send + Sync)) -> StoreError {
    let message = information.message();
    match kind {
        DatabaseErrorKind::UniqueViolation => {
            let column = information.constraint_name().or_else(|| message.strip_prefix(UNIQUE_PREFIX));
            StoreError::Duplicate(column.unwrap_or(message).to_owned())
        }
        DatabaseErrorKind::ForeignKeyViolation => StoreError::Missing,
        _ => StoreError::from_message(message),
    }
}

impl From<diesel::ConnectionError> for StoreError {
    fn from(error: diesel::ConnectionError) -> Self {
        match error {
            diesel::ConnectionError::CouldntSetupConfiguration(inner) => Self::from(inner),
            other => Self::from_message(&other.to_string()),
        }
    }
}

/// A caller handles `Duplicate`, `Missing`, `InUse` and `Owns` itself, since only it knows what they mean; one that reaches
/// this far is a defect.
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => {
                tracing::warn!(reason, "database unavailable");
                Self::Unavailable(format!("{reason}; try again later"))
            }
            other => {
                tracing::error!(error = ?other, "unexpected database error");
                Self::Internal
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database_error(kind: DatabaseErrorKind, message: &str) -> StoreError {
        DieselError::DatabaseError(kind, Box::new(message.to_owned())).into()
    }

    #[test]
    fn outside_causes_are_told_from_defects() {
        for message in ["database is locked", "database or disk is full", "disk I/O error", "file is not a database"] {
            let error = database_error(DatabaseErrorKind::Unknown, message);
            assert!(matches!(error, StoreError::Unavailable(_)), "{message}: {error:?}");
        }
        let defect = database_error(DatabaseErrorKind::Unknown, "no such table: nothing");
        assert!(matches!(defect, StoreError::Internal(_)));
    }

    #[test]
    fn constraints_are_told_apart() {
        let unique = database_error(DatabaseErrorKind::UniqueViolation, "UNIQUE constraint failed: proxies.local_port");
        assert!(matches!(unique, StoreError::Duplicate(column) if column == "proxies.local_port"));
        let reference = database_error(DatabaseErrorKind::ForeignKeyViolation, "FOREIGN KEY constraint failed");
        assert!(matches!(reference, StoreError::Missing));
    }

    #[test]
    fn only_an_outside_cause_is_told_to_the_caller() {
        let busy = Error::from(StoreError::Unavailable("the database's disk is full".into()));
        assert!(busy.to_string().starts_with("the database's disk is full"));
        assert_eq!(busy.code(), "unavailable");
        assert_eq!(Error::from(StoreError::Internal("secret detail".into())).code(), "internal");
    }
}
