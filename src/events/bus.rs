//! EventBus: hands each event to everybody who watches.
//!
//! Started by [Server](crate::server), which builds another if it panics; ends with the server. Publishers address it
//! through a [`Publisher`]. Events lie in a ring of [`RING`]; a reader that is slower than that misses the oldest and
//! is told so, and nothing is kept for it. It also counts who watches, so that one person holds no more than
//! [`MOST_STREAMS`] streams.

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::{broadcast, watch};

use crate::error::Error;
use crate::identity::news::Event;
use crate::supervision::ChildGuard;

/// Events that a reader may be behind.
pub const RING: usize = 256;
/// One person watches over at most so many streams at a time.
pub const MOST_STREAMS: u32 = 20;

/// Something has changed.
#[derive(Message)]
#[rtype(result = "()")]
struct Publish(Event);

/// Watch from now on.
#[derive(Message)]
#[rtype(result = "Result<Subscription, Error>")]
struct Subscribe {
    user_id: String,
}

/// A stream of this person has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Left(String);

/// The events from now on, and the place that they take.
pub struct Subscription {
    /// Closed when the bus has ended: what was missed then is unknown.
    pub events: broadcast::Receiver<Arc<Event>>,
    _place: Place,
}

/// Gives the place back when it is dropped.
struct Place {
    user_id: String,
    bus: Addr<EventBus>,
}

impl Drop for Place {
    #[expect(clippy::disallowed_methods, reason = "a death notice: one for each stream")]
    fn drop(&mut self) {
        self.bus.do_send(Left(std::mem::take(&mut self.user_id)));
    }
}

/// See the module's documentation.
pub struct EventBus {
    ring: broadcast::Sender<Arc<Event>>,
    /// How many streams each person has; nobody has none.
    watching: HashMap<String, u32>,
    _guard: ChildGuard<&'static str>,
}

impl EventBus {
    pub fn new(guard: ChildGuard<&'static str>) -> Self {
        Self { ring: broadcast::Sender::new(RING), watching: HashMap::new(), _guard: guard }
    }
}

impl Actor for EventBus {
    type Context = Context<Self>;
}

impl Handler<Publish> for EventBus {
    type Result = ();

    fn handle(&mut self, Publish(event): Publish, _: &mut Self::Context) {
        // Nobody watches: nobody misses it.
        let _ = self.ring.send(Arc::new(event));
    }
}

impl Handler<Subscribe> for EventBus {
    type Result = Result<Subscription, Error>;

    fn handle(&mut self, Subscribe { user_id }: Subscribe, ctx: &mut Self::Context) -> Self::Result {
        let present = self.watching.get(&user_id).copied().unwrap_or(0);
        if present >= MOST_STREAMS {
            return Err(Error::LimitReached { kind: "event streams", limit: MOST_STREAMS });
        }
        self.watching.insert(user_id.clone(), present + 1);
        Ok(Subscription { events: self.ring.subscribe(), _place: Place { user_id, bus: ctx.address() } })
    }
}

impl Handler<Left> for EventBus {
    type Result = ();

    fn handle(&mut self, Left(user_id): Left, _: &mut Self::Context) {
        match self.watching.get_mut(&user_id) {
            Some(streams) if *streams > 1 => *streams -= 1,
            _ => drop(self.watching.remove(&user_id)),
        }
    }
}

/// Where events go, and where they come from: the bus of the moment.
#[derive(Clone)]
pub struct Publisher(watch::Receiver<Addr<EventBus>>);

impl Publisher {
    pub fn new(bus: watch::Receiver<Addr<EventBus>>) -> Self {
        Self(bus)
    }

    /// Tell whoever watches. One that is lost with a bus that panics makes its readers start over.
    #[expect(clippy::disallowed_methods, reason = "the bus waits for nobody: it only puts the event into its ring")]
    pub fn publish(&self, event: Event) {
        self.0.borrow().do_send(Publish(event));
    }

    /// Watch from now on, on behalf of this person.
    ///
    /// # Errors
    /// `LimitReached`; or `Unavailable` if there will be no bus again. One that is being replaced is waited for.
    pub async fn subscribe(&self, user_id: &str) -> Result<Subscription, Error> {
        let mut buses = self.0.clone();
        loop {
            let bus = buses.borrow_and_update().clone();
            if let Ok(answer) = bus.send(Subscribe { user_id: user_id.to_owned() }).await {
                return answer;
            }
            buses.changed().await.map_err(|_| Error::Unavailable("the server stops".into()))?;
        }
    }
}

#[cfg(test)]
impl Handler<crate::tunnel::tests::Panic> for EventBus {
    type Result = ();

    fn handle(&mut self, _: crate::tunnel::tests::Panic, _: &mut Self::Context) {
        panic!("a test asked the bus to");
    }
}

#[cfg(test)]
impl Publisher {
    /// Make the bus of the moment panic.
    pub async fn panic(&self) {
        let bus = self.0.borrow().clone();
        assert!(bus.send(crate::tunnel::tests::Panic).await.is_err(), "it panicked");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::identity::news::Subject;

    /// A bus, and what replaces it.
    fn bus() -> (Publisher, watch::Sender<Addr<EventBus>>) {
        let (sender, receiver) = watch::channel(EventBus::new(ChildGuard::detached()).start());
        (Publisher::new(receiver), sender)
    }

    fn event(n: usize) -> Event {
        Event::new("tunnel.changed", &n.to_string(), Subject::Tunnel { owner_id: "id".into() })
    }

    #[actix::test]
    async fn a_person_has_so_many_streams_and_no_more() {
        let (publisher, _bus) = bus();
        let mut held = Vec::new();
        for _ in 0..MOST_STREAMS {
            held.push(publisher.subscribe("ann").await.unwrap());
        }
        let refused = publisher.subscribe("ann").await.err().unwrap();
        assert!(matches!(refused, Error::LimitReached { limit: MOST_STREAMS, .. }), "{refused}");
        publisher.subscribe("bob").await.unwrap();
        held.pop();
        // The notice of the end lies before this question in the bus's mailbox.
        held.push(publisher.subscribe("ann").await.unwrap());
        assert!(publisher.subscribe("ann").await.is_err());
    }

    #[actix::test]
    async fn who_is_slower_than_the_ring_is_told_so() {
        let (publisher, _bus) = bus();
        let mut subscription = publisher.subscribe("ann").await.unwrap();
        (0..RING + 10).for_each(|n| publisher.publish(event(n)));
        publisher.subscribe("bob").await.unwrap();
        assert_eq!(subscription.events.recv().await, Err(broadcast::error::RecvError::Lagged(10)));
        assert_eq!(subscription.events.recv().await.unwrap().id, "10");
    }

    #[actix::test]
    async fn a_bus_that_is_being_replaced_is_waited_for() {
        let (publisher, buses) = bus();
        publisher.panic().await;
        let waiting = publisher.subscribe("ann");
        let replace = async { buses.send_replace(EventBus::new(ChildGuard::detached()).start()) };
        let (subscribed, _) = tokio::join!(timeout(Duration::from_secs(10), waiting), replace);
        let mut subscription = subscribed.expect("in time").unwrap();
        publisher.publish(event(1));
        assert_eq!(subscription.events.recv().await.unwrap().id, "1");
    }
}
