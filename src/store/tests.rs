//! Opening, locking, watching: on real files.

use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;

use super::testing::{self, user};
use super::*;

fn refused(url: &str) -> String {
    match Store::open(url) {
        Err(StoreError::Unavailable(reason)) => reason,
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("{url} was opened"),
    }
}

#[test]
fn a_database_outlives_its_store() {
    let database = testing::database();
    database.store.run_now(|c| users::insert(c, &user("alice"))).unwrap();
    let again = Store::open(&database.url()).unwrap();
    assert_eq!(again.run_now(users::count).unwrap(), 1);
    assert_eq!(again.installation_id(), database.store.installation_id());
    assert_ne!(again.installation_id(), testing::database().store.installation_id());
}

#[test]
fn its_file_and_directory_are_made() {
    let directory = tempfile::tempdir().unwrap();
    let nested = directory.path().join("a/b/with space?x=1#y/dockway.db");
    Store::open(&format!("sqlite://{}", nested.display())).unwrap();
    assert!(nested.is_file());
    Store::open(&format!("sqlite:{}", nested.display())).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&nested), mode(nested.parent().unwrap())), (0o600, 0o700), "nobody else reads it");
}

#[test]
fn what_is_no_database_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().display();
    assert!(refused(&format!("sqlite://{root}")).contains("is a directory"));

    let garbage = directory.path().join("garbage.db");
    std::fs::write(&garbage, [0x5a; 8192]).unwrap();
    let reason = refused(&format!("sqlite://{}", garbage.display()));
    assert!(reason.contains("is not a SQLite database") && reason.contains("garbage.db"), "{reason}");
    assert_eq!(std::fs::read(&garbage).unwrap(), vec![0x5a; 8192], "it is left as it was");

    assert!(
        refused(&format!("sqlite://{}/below/dockway.db", garbage.display()))
            .contains("cannot make the directory of the database")
    );
    assert!(refused("postgres://somewhere/x").contains("only sqlite://"));
    assert!(refused("sqlite::memory:").contains("names no file"));
    assert!(refused("sqlite://").contains("names no file"));
}

#[test]
fn many_open_a_new_database_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/dockway.db", directory.path().display());
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || Store::open(&url).map(|store| store.installation_id().to_owned()))
        })
        .collect();
    let ids: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn connections_are_set_up() {
    use diesel::prelude::*;

    #[derive(QueryableByName)]
    struct Value {
        #[diesel(sql_type = diesel::sql_types::Text)]
        value: String,
    }

    let database = testing::database();
    let read = |query: &'static str| {
        let value: Value = database.store.run_now(|c| Ok(diesel::sql_query(query).get_result(c)?)).unwrap();
        value.value
    };
    assert_eq!(read("SELECT journal_mode AS value FROM pragma_journal_mode"), "wal");
    assert_eq!(read("SELECT CAST(timeout AS TEXT) AS value FROM pragma_busy_timeout"), "5000");
    assert_eq!(read("SELECT CAST(foreign_keys AS TEXT) AS value FROM pragma_foreign_keys"), "1");
    assert_eq!(read("SELECT CAST(synchronous AS TEXT) AS value FROM pragma_synchronous"), "1");
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let database = testing::database();
    let failed: Result<(), _> = database.store.run_now(|c| {
        write_transaction(c, |c| {
            users::insert(c, &user("alice"))?;
            Err(StoreError::Missing)
        })
    });
    assert!(matches!(failed, Err(StoreError::Missing)));
    assert_eq!(database.store.run_now(users::count).unwrap(), 0);
}

#[test]
fn a_locked_database_is_unavailable_and_recovers() {
    let database = testing::database();
    let other = Store::open(&database.url()).unwrap();
    let (locked, is_locked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        other.run_now(|c| {
            write_transaction(c, |_| {
                locked.send(()).unwrap();
                released.recv().unwrap();
                Ok(())
            })
        })
    });
    is_locked.recv().unwrap();
    let refused = database.store.run_now(|c| users::insert(c, &user("alice")));
    assert!(matches!(refused, Err(StoreError::Unavailable(reason)) if reason.contains("locked")));
    assert_eq!(database.store.run_now(users::count).unwrap(), 0, "reading goes on");
    release.send(()).unwrap();
    holder.join().unwrap().unwrap();
    database.store.run_now(|c| users::insert(c, &user("alice"))).unwrap();
}

#[tokio::test]
async fn a_panicking_query_is_an_error_and_leaves_no_lock() {
    let database = testing::database();
    let panicked: Result<(), _> = database.store.run(|c| write_transaction(c, |_| panic!("on purpose"))).await;
    assert!(matches!(panicked, Err(StoreError::Internal(_))));
    database.store.run(|c| users::insert(c, &user("alice"))).await.unwrap();
}

#[tokio::test]
async fn the_revision_changes_with_every_commit_and_only_then() {
    let database = testing::database();
    let other = Store::open(&database.url()).unwrap();
    let first = database.store.revision().await.unwrap();
    database.store.run(users::count).await.unwrap();
    assert_eq!(database.store.revision().await.unwrap(), first, "reading changes nothing");

    other.run(|c| users::insert(c, &user("alice"))).await.unwrap();
    let second = database.store.revision().await.unwrap();
    assert_ne!(second, first, "another process committed");

    database.store.run(|c| users::insert(c, &user("bob"))).await.unwrap();
    assert_ne!(database.store.clone().revision().await.unwrap(), second, "this one committed");
}
