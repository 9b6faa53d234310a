//! While the database is away: who is known stays known, and nothing changes.

use std::sync::mpsc;

use futures_util::future::join_all;

use super::super::{ChangeUser, CloseSession, CreateUser, DeleteUser, NewUser, NoteUse, OpenSession, UserChanges};
use super::rig::{Rig, account, code, id};
use crate::identity::{Credential, Role};
use crate::store::testing::execute;
use crate::store::{Store, users, write_transaction};

/// Holds the database's lock until it is dropped.
struct Lock {
    release: Option<mpsc::Sender<()>>,
    holder: Option<std::thread::JoinHandle<()>>,
}

impl Lock {
    fn take(url: &str) -> Self {
        let other = Store::open(url).unwrap();
        let ((locked, is_locked), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
        let holder = std::thread::spawn(move || {
            let held = other.run_now(|c| {
                write_transaction(c, |_| {
                    locked.send(()).unwrap();
                    // Ends when the sender is dropped.
                    let _ = released.recv();
                    Ok(())
                })
            });
            held.unwrap();
        });
        is_locked.recv().unwrap();
        Self { release: Some(release), holder: Some(holder) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.release.take();
        let _ = self.holder.take().map(std::thread::JoinHandle::join);
    }
}

#[actix::test]
async fn the_known_stay_known_and_changes_are_unavailable() {
    let rig = Rig::start(&["root", "alice"]).await;
    let opened = rig.tell(OpenSession::for_tests(&id("alice"))).await.unwrap();
    let session = Credential::of_cookie(&opened.id);
    let Credential::Session(hash) = session.clone() else { panic!("a session") };
    let users = |rig: &Rig| rig.snapshot().users().map(|row| (**row).clone()).collect::<Vec<_>>();
    let before = users(&rig);

    let lock = Lock::take(&rig.database.url());
    let new = NewUser::named("bob".into(), Role::User);
    let changes = UserChanges { active: Some(false), ..UserChanges::default() };
    // One after another, since each has its turn: two are enough to see that the first gives its turn back.
    let created = rig.tell(CreateUser(new.clone())).await;
    assert_eq!(code(created), "unavailable");
    assert_eq!(code(rig.tell(ChangeUser { user_id: id("alice"), changes }).await), "unavailable");
    rig.tell(NoteUse(session.clone())).await;
    assert_eq!(users(&rig), before);
    assert_eq!(rig.name_at(&session, 0).as_deref(), Some("alice"));

    drop(lock);
    let done = join_all([
        Box::pin(async { code(rig.tell(CreateUser(new)).await) }) as futures_util::future::LocalBoxFuture<'_, _>,
        Box::pin(async { code(rig.tell(CloseSession(hash)).await) }),
        Box::pin(async { code(rig.tell(DeleteUser(id("alice"))).await) }),
    ]);
    assert_eq!(done.await, ["ok"; 3]);
    assert_eq!(users(&rig).len(), 2);
}

#[actix::test]
async fn one_that_starts_while_nothing_can_be_read_reads_later_and_answers_meanwhile() {
    let mut rig = Rig::start(&["root", "alice"]).await;
    let opened = rig.tell(OpenSession::for_tests(&id("alice"))).await.unwrap();
    let session = Credential::of_cookie(&opened.id);
    execute(&rig.database.store, "ALTER TABLE sessions RENAME TO away");
    rig.replace().await;
    assert_eq!(rig.name_at(&session, 0).as_deref(), Some("alice"), "what was published stays");
    assert_eq!(code(rig.tell(OpenSession::for_tests(&id("root"))).await), "internal");
    let renamed = UserChanges { display_name: Some(Some("Alice".into())), ..UserChanges::default() };
    let refused = code(rig.tell(ChangeUser { user_id: id("alice"), changes: renamed }).await);
    assert_eq!(refused, "internal", "nothing is changed by somebody who cannot see what is");

    execute(&rig.database.store, "ALTER TABLE away RENAME TO sessions");
    rig.database.store.run_now(|c| users::insert(c, &account("bob"))).unwrap();
    rig.until("bob", |snapshot| snapshot.user_named("bob").is_some()).await;
    assert_eq!(rig.name_at(&session, 0).as_deref(), Some("alice"));
}
