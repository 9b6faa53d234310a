//! What commands change is written to the audit log too.

use super::AdminError;
use crate::identity::audit::{Entry, Outcome};
use crate::identity::policy::Action;
use crate::store::models::AuditRow;
use crate::store::{Connection, Store, StoreError, audit, write_transaction};

/// Who it was, as far as this program knows.
const ACTOR: &str = "command line";

/// What stands in the audit log about something that was done.
pub fn entry(action: Action, object: &str, detail: Option<String>) -> AuditRow {
    let entry = Entry {
        actor: ACTOR.into(),
        action: action.as_str(),
        object: Some(object.to_owned()),
        address: None,
        outcome: Outcome::Ok,
        detail,
    };
    entry.into_row()
}

/// Change something and write down that it was changed: both, or neither.
///
/// # Errors
/// Those of `work`; those of the database.
pub async fn changed<T: Send + 'static>(
    store: &Store,
    action: Action,
    object: &str,
    detail: Option<String>,
    work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let row = entry(action, object, detail);
    let both = move |c: &mut Connection| {
        write_transaction(c, |c| {
            let done = work(c)?;
            audit::append(c, vec![row])?;
            Ok(done)
        })
    };
    store.run(both).await
}

/// Write down what was done by somebody who could not do it in the same transaction.
///
/// # Errors
/// Those of the database.
pub async fn done(store: &Store, action: Action, object: &str) -> Result<(), AdminError> {
    let row = entry(action, object, None);
    Ok(store.run(move |c| audit::append(c, vec![row])).await?)
}
