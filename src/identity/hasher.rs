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
