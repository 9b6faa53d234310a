//! Passwords that people try, as the AttemptLimiter counts them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::{AttemptLimiter, network};

/// Somebody wants to try a password. It counts as a failure from now on; the answer is how long to wait before it is
/// verified. The error is the number of seconds after which to ask again.
#[derive(Debug, Message)]
#[rtype(result = "Result<Duration, u64>")]
pub struct BeginSignIn {
    /// A name that an account can have, whether one has it or not.
    pub account: String,
    pub address: IpAddr,
}

/// A password that was tried was no failure. A wrong one needs no word.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EndSignIn {
    pub account: String,
    pub address: IpAddr,
    pub end: SignInEnd,
}

/// How trying a password ended otherwise than with a wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInEnd {
    Succeeded,
    /// It was not verified, because the server could not.
    Undecided,
}

impl Handler<BeginSignIn> for AttemptLimiter {
    type Result = Result<Duration, u64>;

    fn handle(&mut self, BeginSignIn { account, address }: BeginSignIn, _: &mut Self::Context) -> Self::Result {
        let now = Instant::now();
        self.sign_ins.may_try(address, now)?;
        let wait = self.pace.reserve(&account, network(address), now)?;
        self.sign_ins.failed(address, now);
        Ok(wait)
    }
}

impl Handler<EndSignIn> for AttemptLimiter {
    type Result = ();

    fn handle(&mut self, EndSignIn { account, address, end }: EndSignIn, _: &mut Self::Context) {
        // Whoever has an account must not clear what the address did to other accounts by signing in.
        self.sign_ins.take_back(address);
        match end {
            SignInEnd::Succeeded => self.pace.succeeded(&account, network(address)),
            SignInEnd::Undecided => self.pace.take_back(&account, network(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MOST_FAILURES, MayNote, MayTry};
    use super::*;
    use crate::supervision::ChildGuard;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn begin(account: &str, from: &str) -> BeginSignIn {
        BeginSignIn { account: account.into(), address: address(from) }
    }

    fn end(account: &str, from: &str, end: SignInEnd) -> EndSignIn {
        EndSignIn { account: account.into(), address: address(from), end }
    }

    #[actix::test]
    async fn passwords_are_counted_by_address_apart_from_tokens() {
        let limiter = AttemptLimiter::new(ChildGuard::detached()).start();
        for n in 0..MOST_FAILURES {
            let answer = limiter.send(begin(&format!("user-{n}"), "192.0.2.1")).await.unwrap();
            assert_eq!(answer, Ok(Duration::ZERO));
        }
        let refused = limiter.send(begin("alice", "192.0.2.1")).await.unwrap();
        assert!(matches!(refused, Err(1..=60)), "{refused:?}");
        assert_eq!(limiter.send(begin("alice", "192.0.2.2")).await.unwrap(), Ok(Duration::ZERO));
        assert_eq!(limiter.send(MayTry(address("192.0.2.1"))).await.unwrap(), Ok(()));
        limiter.send(end("user-0", "192.0.2.1", SignInEnd::Succeeded)).await.unwrap();
        assert_eq!(limiter.send(begin("alice", "192.0.2.1")).await.unwrap(), Ok(Duration::ZERO), "one was taken back");
        assert!(limiter.send(begin("bob", "192.0.2.1")).await.unwrap().is_err(), "and only one");
    }

    #[actix::test]
    async fn what_is_written_down_is_counted_apart_and_stops_nobody() {
        let limiter = AttemptLimiter::new(ChildGuard::detached()).start();
        for n in 0..MOST_FAILURES * 2 {
            assert_eq!(limiter.send(MayNote(address("192.0.2.1"))).await.unwrap(), n < MOST_FAILURES, "{n}");
        }
        assert!(limiter.send(MayNote(address("192.0.2.2"))).await.unwrap());
        assert_eq!(limiter.send(begin("alice", "192.0.2.1")).await.unwrap(), Ok(Duration::ZERO));
        assert_eq!(limiter.send(MayTry(address("192.0.2.1"))).await.unwrap(), Ok(()));
    }

    #[actix::test]
    async fn one_network_waits_as_one() {
        let limiter = AttemptLimiter::new(ChildGuard::detached()).start();
        assert_eq!(limiter.send(begin("alice", "2001:db8::1")).await.unwrap(), Ok(Duration::ZERO));
        assert!(limiter.send(begin("alice", "2001:db8::2")).await.unwrap().unwrap() > Duration::ZERO);
        limiter.send(end("alice", "2001:db8::3", SignInEnd::Succeeded)).await.unwrap();
        assert_eq!(limiter.send(begin("alice", "2001:db8::1")).await.unwrap(), Ok(Duration::ZERO));
        limiter.send(end("alice", "2001:db8::1", SignInEnd::Undecided)).await.unwrap();
        assert_eq!(limiter.send(begin("alice", "2001:db8::1")).await.unwrap(), Ok(Duration::ZERO));
    }
}
