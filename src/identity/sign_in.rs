//! How a name and a password become a session: the pace of attempts, the password's hash, the Directory.
//!
//! Whatever is wrong, the answer is the same after the same work: an account that is unknown, not active or without a
//! password is compared with a hash of nobody's.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::attempts::{AttemptLimiter, BeginSignIn, EndSignIn, SignInEnd};
use super::directory::{Directory, LookAgain, OpenSession, OpenedSession, Proof};
use super::hasher::{PasswordHasher, VerifyPassword};
use super::names::is_username;
use super::snapshot::Snapshot;
use crate::config::Secret;
use crate::current::{Current, ask};
use crate::error::Error;

/// What stands for every name that no account can have.
const IMPOSSIBLE_NAME: &str = "";

/// Whom a sign-in asks.
pub struct SignIn {
    pub attempts: Current<AttemptLimiter>,
    pub hasher: Current<PasswordHasher>,
    pub directory: Current<Directory>,
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
}

/// Somebody says who they are.
pub struct Claim {
    /// As it was sent: any text.
    pub username: String,
    pub password: Secret,
    pub address: IpAddr,
}

/// The account whose password was right.
#[derive(Debug)]
pub struct Proven {
    pub user_id: String,
    /// The hash that the password was compared with.
    pub verified_hash: String,
}

impl SignIn {
    /// Begin a session for whoever the claim proves. `replaces` is the hash of the session that the browser had.
    ///
    /// # Errors
    /// `WrongPassword`, `TooManyAttempts`, `Unavailable`.
    pub async fn open(&self, claim: Claim, replaces: Option<String>) -> Result<OpenedSession, Error> {
        let Proven { user_id, verified_hash } = self.prove(claim).await?;
        ask(&self.directory, OpenSession { user_id, proof: Proof::Password { verified_hash }, replaces }).await?
    }

    /// Verify a password, when its turn has come.
    ///
    /// # Errors
    /// `WrongPassword`, `TooManyAttempts`, `Unavailable`.
    pub async fn prove(&self, claim: Claim) -> Result<Proven, Error> {
        let Claim { username, password, address } = claim;
        let account = if is_username(&username) { username } else { IMPOSSIBLE_NAME.to_owned() };
        let begun = ask(&self.attempts, BeginSignIn { account: account.clone(), address }).await?;
        let wait = begun.map_err(|retry_after_s| Error::TooManyAttempts { retry_after_s })?;
        tokio::time::sleep(wait).await;
        let verified = self.verify(&account, password).await;
        let end = match &verified {
            Ok(_) => SignInEnd::Succeeded,
            Err(Error::WrongPassword) => return verified,
            Err(_) => SignInEnd::Undecided,
        };
        ask(&self.attempts, EndSignIn { account, address, end }).await?;
        verified
    }

    async fn verify(&self, account: &str, password: Secret) -> Result<Proven, Error> {
        // What `dockway admin` changed a moment ago counts: this costs little beside the hash.
        ask(&self.directory, LookAgain).await?;
        let user = self.snapshot.borrow().user_named(account).filter(|user| user.active).cloned();
        let stored_hash = user.as_ref().and_then(|user| user.password_hash.clone());
        let verify = VerifyPassword { password, stored_hash: stored_hash.clone() };
        match (ask(&self.hasher, verify).await??, user, stored_hash) {
            (true, Some(user), Some(verified_hash)) => Ok(Proven { user_id: user.id.clone(), verified_hash }),
            _ => Err(Error::WrongPassword),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::future::join_all;

    use super::*;
    use crate::config::TunnelConfig;
    use crate::http::AppState;
    use crate::identity::directory::{ChangeUser, Ping, UserChanges};
    use crate::identity::hasher::{Hold, Runs};
    use crate::identity::passwords;
    use crate::server::tests::{plan, start_tree};
    use crate::store::models::UserRow;
    use crate::store::testing::{TestDatabase, database, user};
    use crate::store::{sessions, users};

    const RIGHT: &str = "correct horse";

    /// With `alice`, `bob` who is not active, and `carol` who has no password.
    async fn state() -> (AppState, TestDatabase) {
        let database = database();
        let password_hash = Some(passwords::hash(RIGHT).unwrap());
        let rows = [
            UserRow { password_hash: password_hash.clone(), ..user("alice") },
            UserRow { password_hash, active: false, ..user("bob") },
            user("carol"),
        ];
        database.store.run_now(|c| rows.iter().try_for_each(|row| users::insert(c, row))).unwrap();
        let (state, _) = start_tree(plan(database.store.clone(), TunnelConfig::for_tests(20_000..=20_010)));
        state.tell(Ping).await.unwrap();
        (state, database)
    }

    fn claim(username: &str, password: &str, last_byte: u8) -> Claim {
        let address = Ipv4Addr::new(192, 0, 2, last_byte).into();
        Claim { username: username.into(), password: Secret(password.into()), address }
    }

    async fn runs(state: &AppState) -> usize {
        ask(&state.hasher, Runs).await.unwrap()
    }

    #[actix::test]
    async fn whoever_is_named_the_answer_and_the_work_are_the_same() {
        let (state, _database) = state().await;
        let long = "a".repeat(200);
        let names = ["alice", "nobody", "bob", "carol", "Alice", "no such name", "' OR 1=1 --", long.as_str()];
        for (row, name) in (0..).zip(names) {
            let before = runs(&state).await;
            let password = if name == "alice" { "wrong horse" } else { RIGHT };
            let answer = state.sign_in().open(claim(name, password, row), None).await;
            assert!(matches!(answer, Err(Error::WrongPassword)), "{name}: {answer:?}");
            assert_eq!(runs(&state).await, before + 1, "{name}");
        }
    }

    #[actix::test]
    async fn a_right_password_begins_a_session_in_place_of_the_one_before() {
        let (state, database) = state().await;
        let first = state.sign_in().open(claim("alice", RIGHT, 1), None).await.unwrap();
        let hash = crate::identity::secrets::hash_token(&first.id);
        let second = state.sign_in().open(claim("alice", RIGHT, 1), Some(hash)).await.unwrap();
        assert_ne!(first.id, second.id);
        let stored = database.store.run_now(sessions::list).unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!((stored[0].id_hash.len(), stored[0].method.as_str()), (64, "password"));
        assert!(!stored[0].id_hash.contains(&second.id), "only its hash is stored");
    }

    #[actix::test]
    async fn what_is_known_when_the_turn_comes_counts() {
        let (state, _database) = state().await;
        let sign_in = state.sign_in();
        for _ in 0..3 {
            let begin = BeginSignIn { account: "alice".into(), address: claim("alice", RIGHT, 1).address };
            ask(&sign_in.attempts, begin).await.unwrap().unwrap();
        }
        // This one waits for those before.
        let waiting = actix::spawn(async move { sign_in.open(claim("alice", RIGHT, 1), None).await });
        let changes = UserChanges { active: Some(false), ..UserChanges::default() };
        // She is an administrator, and not the last one.
        state.tell(ChangeUser { user_id: user("alice").id, changes }).await.unwrap().unwrap();
        assert!(matches!(waiting.await.unwrap(), Err(Error::WrongPassword)));
    }

    #[actix::test]
    async fn a_busy_server_says_so_and_counts_no_failure() {
        let (state, _database) = state().await;
        let held = ask(&state.hasher, Hold).await.unwrap();
        for _ in 0..3 {
            let answer = state.sign_in().open(claim("alice", RIGHT, 1), None).await;
            assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
        }
        drop(held);
        let begin = BeginSignIn { account: "alice".into(), address: Ipv4Addr::new(192, 0, 2, 1).into() };
        let wait = ask(&state.attempts, begin).await.unwrap().unwrap();
        assert!(wait.is_zero(), "{wait:?}");
    }

    #[actix::test]
    async fn many_guesses_at_once_are_refused_but_for_a_few() {
        let (state, _database) = state().await;
        let before = runs(&state).await;
        let sign_in = state.sign_in();
        let name = |n: u8| if n < 3 { "nobody".to_owned() } else { format!("nobody-{n}") };
        let guesses = (0..40).map(|n| sign_in.open(claim(&name(n), "wrong horse", 1), None));
        let answers = join_all(guesses).await;
        let refused = answers.iter().filter(|answer| matches!(answer, Err(Error::TooManyAttempts { .. }))).count();
        assert_eq!((refused, runs(&state).await - before), (30, 10), "ten failures of one address, however they come");
        sign_in.open(claim("alice", RIGHT, 2), None).await.unwrap();
    }
}
