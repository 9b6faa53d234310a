//! PasswordHasher: the only one that runs argon2 while the server serves, at most [`AT_ONCE`] at a time.
//!
//! Started by [Server](crate::server), which builds another if it panics; ends with the server. Whoever comes while
//! [`MOST_WAITING`] wait is told to come back: strangers who guess passwords take neither the processor nor memory.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::Semaphore;

use super::passwords;
use crate::config::Secret;
use crate::error::{Error, FieldError};
use crate::supervision::ChildGuard;

/// Runs of argon2 at one time; each takes a processor and 19 MiB.
const AT_ONCE: usize = 2;
/// Runs that wait for their turn.
const MOST_WAITING: usize = 64;
/// What a password is compared with when there is no account, or none with a password: a hash that nobody knows the
/// password of, made with the parameters of every other.
const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$ZG9ja3dheS1ub2JvZHk$7ZoP9nJ3WyoFn2WcEK9wpiCRnAmu6Jb1yzhKr3q3lJk";

/// Is this the password with this hash? Without a hash it is not, after the same work.
#[derive(Message)]
#[rtype(result = "Result<bool, Error>")]
pub struct VerifyPassword {
    pub password: Secret,
    pub stored_hash: Option<String>,
}

/// Check a new password against the rules and hash it.
#[derive(Message)]
#[rtype(result = "Result<String, Error>")]
pub struct HashPassword(pub Secret);

/// How many runs of argon2 there were, for tests that count work.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "usize")]
pub struct Runs;

/// Take every place, so that the hasher is as busy as it can be until the answer is dropped.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "tokio::sync::OwnedSemaphorePermit")]
pub struct Hold;

/// See the module's documentation.
pub struct PasswordHasher {
    turn: Arc<Semaphore>,
    /// Held by each run from when it is asked for.
    places: Arc<Semaphore>,
    #[cfg(test)]
    runs: usize,
    _guard: ChildGuard<&'static str>,
}

impl PasswordHasher {
    pub fn new(guard: ChildGuard<&'static str>) -> Self {
        Self {
            turn: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + MOST_WAITING)),
            #[cfg(test)]
            runs: 0,
            _guard: guard,
        }
    }

    /// Do some work in its turn, on a thread that may block.
    fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> ResponseFuture<Result<T, Error>> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let busy = "too many people sign in at this moment; try again";
            return Box::pin(std::future::ready(Err(Error::Unavailable(busy.into()))));
        };
        #[cfg(test)]
        {
            self.runs += 1;
        }
        let turn = self.turn.clone();
        Box::pin(async move {
            // The semaphore is never closed.
            let permit = turn.acquire_owned().await.map_err(|_| Error::Internal)?;
            let done = tokio::task::spawn_blocking(move || {
                // Whoever asked may have left: the turn ends with the work all the same.
                let _held = (place, permit);
                work()
            });
            done.await.map_err(|_| Error::Internal)
        })
    }
}

impl Actor for PasswordHasher {
    type Context = Context<Self>;
}

impl Handler<VerifyPassword> for PasswordHasher {
    type Result = ResponseFuture<Result<bool, Error>>;

    fn handle(&mut self, message: VerifyPassword, _: &mut Self::Context) -> Self::Result {
        let VerifyPassword { password, stored_hash } = message;
        self.run(move || {
            let matches = passwords::verify(&password.0, stored_hash.as_deref().unwrap_or(NOBODYS_HASH));
            matches && stored_hash.is_some()
        })
    }
}

impl Handler<HashPassword> for PasswordHasher {
    type Result = ResponseFuture<Result<String, Error>>;

    fn handle(&mut self, HashPassword(password): HashPassword, _: &mut Self::Context) -> Self::Result {
        if let Err(error) = passwords::check(&password.0) {
            let invalid = Error::Invalid(vec![FieldError::new("password", "format", error.to_string())]);
            return Box::pin(std::future::ready(Err(invalid)));
        }
        let hashed = self.run(move || passwords::hash(&password.0));
        Box::pin(async move {
            hashed.await?.map_err(|error| {
                tracing::error!(%error, "a password is not hashed");
                Error::Internal
            })
        })
    }
}

#[cfg(test)]
impl Handler<Runs> for PasswordHasher {
    type Result = usize;

    fn handle(&mut self, _: Runs, _: &mut Self::Context) -> usize {
        self.runs
    }
}

#[cfg(test)]
impl Handler<Hold> for PasswordHasher {
    type Result = MessageResult<Hold>;

    fn handle(&mut self, _: Hold, _: &mut Self::Context) -> Self::Result {
        let all = u32::try_from(AT_ONCE + MOST_WAITING).unwrap();
        MessageResult(self.places.clone().try_acquire_many_owned(all).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use argon2::password_hash::{Error as HashError, PasswordHash, PasswordVerifier};
    use argon2::{Argon2, Params};
    use futures_util::future::join_all;

    use super::*;

    #[test]
    fn nobodys_hash_is_as_much_work_as_any_other() {
        let nobody = PasswordHash::new(NOBODYS_HASH).unwrap();
        let made = passwords::hash("correct horse").unwrap();
        let made = PasswordHash::new(&made).unwrap();
        assert_eq!((nobody.algorithm, nobody.version), (made.algorithm, made.version));
        assert_eq!(Params::try_from(&nobody).unwrap(), Params::try_from(&made).unwrap());
        assert_eq!(nobody.hash.unwrap().len(), made.hash.unwrap().len());
        // Anything but a wrong password would mean that argon2 did not come to its end.
        let answer = Argon2::default().verify_password(b"correct horse", &nobody);
        assert_eq!(answer, Err(HashError::Password));
        let salt = nobody.salt.unwrap().decode_b64(&mut [0; 64]).unwrap().len();
        assert!(salt >= argon2::MIN_SALT_LEN, "{salt}");
    }

    #[actix::test]
    async fn two_run_at_once_some_wait_and_the_rest_is_told_to_come_back() {
        let mut hasher = PasswordHasher::new(ChildGuard::detached());
        let running = Arc::new(AtomicUsize::new(0));
        let (started, starts) = mpsc::channel();
        let mut gates = Vec::new();
        let mut runs: Vec<_> = (0..AT_ONCE + MOST_WAITING)
            .map(|_| {
                let (gate, opened) = mpsc::channel::<()>();
                gates.push(gate);
                let (running, started) = (running.clone(), started.clone());
                hasher.run(move || {
                    started.send(running.fetch_add(1, Ordering::SeqCst) + 1).unwrap();
                    // Until its gate is dropped.
                    let _ = opened.recv();
                    running.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for run in &mut runs {
            assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        for _ in 0..AT_ONCE {
            starts.recv().unwrap();
        }
        assert_eq!(hasher.turn.available_permits(), 0, "nobody else has a turn");
        let refused = hasher.run(|| ()).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "the queue is full");
        drop(gates);
        assert!(join_all(runs).await.iter().all(Result::is_ok));
        let most = starts.try_iter().max().unwrap();
        assert!(most <= AT_ONCE, "{most} ran at once");
        hasher.run(|| ()).await.unwrap();
    }
}
