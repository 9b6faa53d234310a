//! How a parent learns of a child's end, and what it does then.
//!
//! A child holds a [`ChildGuard`]; however it ends, the guard's `Drop` runs (also while a panic unwinds, when
//! `stopped()` may not) and sends the parent a [`ChildDown`] with the cause and the child's estate: what outlives it.
//! The parent asks [`Intensity`] whether to build another from its factory, and [`Backoff`] when.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use actix::{Message, Recipient};

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It was done, or was told to stop.
    Returned,
    Failed(String),
    Panicked,
}

/// A child has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ChildDown<K: Send, E: Send = ()> {
    pub key: K,
    pub cause: Cause,
    /// What the child leaves behind for its successor.
    pub estate: E,
}

/// Tells the parent of its holder's end. `E` is what a successor takes over.
pub struct ChildGuard<K: Clone + Send + 'static, E: Default + Send + 'static = ()> {
    key: K,
    parent: Recipient<ChildDown<K, E>>,
    failure: Option<String>,
    pub estate: E,
}

impl<K: Clone + Send + 'static, E: Default + Send + 'static> ChildGuard<K, E> {
    pub fn new(key: K, parent: Recipient<ChildDown<K, E>>, estate: E) -> Self {
        Self { key, parent, failure: None, estate }
    }

    /// The child is about to stop because of an error.
    pub fn fail(&mut self, reason: impl Into<String>) {
        self.failure = Some(reason.into());
    }

    /// Report to another parent from now on.
    pub fn set_parent(&mut self, parent: Recipient<ChildDown<K, E>>) {
        self.parent = parent;
    }

    /// Does the parent still live?
    pub fn has_parent(&self) -> bool {
        self.parent.connected()
    }
}

#[cfg(test)]
impl ChildGuard<&'static str> {
    /// For an actor that a test starts by itself: nobody hears of its end.
    pub fn detached() -> Self {
        /// Nobody.
        struct Nobody;
        impl actix::Actor for Nobody {
            type Context = actix::Context<Self>;
        }
        impl actix::Handler<ChildDown<&'static str>> for Nobody {
            type Result = ();
            fn handle(&mut self, _: ChildDown<&'static str>, _: &mut Self::Context) {}
        }
        Self::new("detached", actix::AsyncContext::address(&actix::Context::<Nobody>::new()).recipient(), ())
    }
}

impl<K: Clone + Send + 'static, E: Default + Send + 'static> Drop for ChildGuard<K, E> {
    #[expect(clippy::disallowed_methods, reason = "a death notice: one for each child")]
    fn drop(&mut self) {
        let cause = match self.failure.take() {
            _ if std::thread::panicking() => Cause::Panicked,
            Some(reason) => Cause::Failed(reason),
            None => Cause::Returned,
        };
        let estate = std::mem::take(&mut self.estate);
        self.parent.do_send(ChildDown { key: self.key.clone(), cause, estate });
    }
}

/// Restarts within a window of time: more than `limit` of them and the child stays down.
#[derive(Debug)]
pub struct Intensity {
    limit: usize,
    window: Duration,
    restarts: VecDeque<Instant>,
}

/// What a parent does about a child's end.
#[derive(Debug, PartialEq, Eq)]
pub enum Restart {
    Now,
    /// It ended as it should.
    No,
    /// Too often: something is wrong that a restart does not mend.
    GiveUp,
}

impl Intensity {
    pub fn new(limit: usize, window: Duration) -> Self {
        Self { limit, window, restarts: VecDeque::new() }
    }

    /// Decide about an end at `now`, and count it.
    pub fn decide(&mut self, cause: &Cause, now: Instant) -> Restart {
        if *cause == Cause::Returned {
            return Restart::No;
        }
        while self.restarts.front().is_some_and(|first| now - *first >= self.window) {
            self.restarts.pop_front();
        }
        if self.restarts.len() >= self.limit {
            return Restart::GiveUp;
        }
        self.restarts.push_back(now);
        Restart::Now
    }
}

/// Pauses that double from `base` to `cap`.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempt: u32,
}

impl Backoff {
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempt: 0 }
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.base.saturating_mul(1 << self.attempt.min(20)).min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        pause
    }

    /// The next pause with full jitter: anything between `base` and twice the plain pause, up to `cap`, so that many
    /// clients of one restarted server do not come back in step. `random` is uniform in 0..=u32::MAX.
    pub fn next_jittered(&mut self, random: u32) -> Duration {
        let ceiling = (self.next_pause() * 2).min(self.cap);
        let share = f64::from(random) / f64::from(u32::MAX);
        self.base + (ceiling - self.base).mul_f64(share)
    }

    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use actix::prelude::*;
    use tokio::sync::mpsc;

    use super::*;

    type Down = ChildDown<&'static str, Vec<u8>>;

    /// Hands on what it is told.
    struct Parent(mpsc::Sender<Down>);

    impl Actor for Parent {
        type Context = Context<Self>;
    }

    impl Handler<Down> for Parent {
        type Result = ();

        fn handle(&mut self, down: Down, _: &mut Self::Context) {
            self.0.try_send(down).unwrap();
        }
    }

    struct Child(ChildGuard<&'static str, Vec<u8>>);

    impl Actor for Child {
        type Context = Context<Self>;
    }

    /// How the child is to end.
    #[derive(Message)]
    #[rtype(result = "()")]
    enum End {
        Stop,
        Fail,
        Panic,
        /// Nobody addresses it any more.
        Forget,
        /// A panic after an error was noted is a panic.
        FailAndPanic,
    }

    impl Handler<End> for Child {
        type Result = ();

        fn handle(&mut self, end: End, ctx: &mut Self::Context) {
            self.0.estate.push(2);
            if matches!(end, End::Fail | End::FailAndPanic) {
                self.0.fail("the disk is full");
            }
            match end {
                End::Stop | End::Fail => ctx.stop(),
                End::Forget => {}
                End::Panic | End::FailAndPanic => panic!("a test asked for it"),
            }
        }
    }

    /// A child that ends in this way, and what its parent learns of it.
    async fn learned(end: End) -> (Cause, Vec<u8>) {
        let (sender, mut learned) = mpsc::channel(2);
        let parent = Parent(sender).start();
        let child = Child(ChildGuard::new("child", parent.clone().recipient(), vec![1])).start();
        let panics = matches!(end, End::Panic | End::FailAndPanic);
        assert_eq!(child.send(end).await.is_err(), panics);
        drop(child);
        let down = learned.recv().await.unwrap();
        assert_eq!(down.key, "child");
        drop(parent);
        assert!(learned.recv().await.is_none(), "it is told once");
        (down.cause, down.estate)
    }

    #[actix::test]
    async fn return_error_and_panic_are_told_apart_and_the_estate_comes_with_each() {
        let failed = Cause::Failed("the disk is full".into());
        let estate = vec![1, 2];
        assert_eq!(learned(End::Stop).await, (Cause::Returned, estate.clone()));
        assert_eq!(learned(End::Forget).await, (Cause::Returned, estate.clone()));
        assert_eq!(learned(End::Fail).await, (failed, estate.clone()));
        assert_eq!(learned(End::Panic).await, (Cause::Panicked, estate.clone()));
        assert_eq!(learned(End::FailAndPanic).await, (Cause::Panicked, estate));
    }

    #[actix::test]
    async fn a_child_that_has_another_parent_tells_that_one() {
        let ((first, mut told_first), (second, mut told_second)) = (mpsc::channel(1), mpsc::channel(1));
        let (first, second) = (Parent(first).start(), Parent(second).start());
        let mut guard = ChildGuard::new("child", first.clone().recipient(), Vec::new());
        assert!(guard.has_parent());
        guard.set_parent(second.recipient());
        drop(first);
        let told = tokio::time::timeout(Duration::from_secs(10), told_first.recv()).await;
        assert!(told.expect("the first parent is not held any more").is_none());
        let child = Child(guard).start();
        assert!(child.send(End::Panic).await.is_err());
        assert_eq!(told_second.recv().await.unwrap().cause, Cause::Panicked);
    }

    #[test]
    fn an_end_in_order_is_not_restarted() {
        let mut intensity = Intensity::new(1, Duration::from_secs(60));
        assert_eq!(intensity.decide(&Cause::Returned, Instant::now()), Restart::No);
    }

    #[test]
    fn more_than_the_limit_within_the_window_gives_up_until_it_has_passed() {
        let (mut intensity, start) = (Intensity::new(2, Duration::from_secs(60)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(intensity.decide(&Cause::Panicked, at(0)), Restart::Now);
        assert_eq!(intensity.decide(&Cause::Failed("x".into()), at(1)), Restart::Now);
        assert_eq!(intensity.decide(&Cause::Panicked, at(59)), Restart::GiveUp);
        assert_eq!(intensity.decide(&Cause::Panicked, at(60)), Restart::Now);
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_start_over_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let pauses: Vec<_> = (0..8).map(|_| backoff.next_pause().as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        (0..100).for_each(|_| assert_eq!(backoff.next_pause(), Duration::from_secs(30)));
        backoff.reset();
        assert_eq!(backoff.next_pause(), Duration::from_millis(500));
    }

    #[test]
    fn jitter_stays_between_base_and_ceiling() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        assert_eq!(backoff.next_jittered(u32::MAX), Duration::from_secs(1));
        assert_eq!(backoff.next_jittered(0), Duration::from_millis(500));
        assert_eq!(backoff.next_jittered(u32::MAX), Duration::from_secs(4));
        (0..10).for_each(|_| assert!(backoff.next_jittered(u32::MAX) <= Duration::from_secs(30)));
    }
}
