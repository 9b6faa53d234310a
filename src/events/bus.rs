//! EventBus: hands each event to everybody who watches.
//!
//! Started by [Server](crate::server), which builds another if it panics; ends with the server. Publishers address it
//! through a [`Publisher`]. Events lie in a ring of [`RING`]; a reader that is slower than that misses the oldest and
//! is told so, and nothing is kept for it.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::{broadcast, watch};

use super::Event;
use crate::supervision::ChildGuard;

/// Events that a reader may be behind.
pub const RING: usize = 256;

/// Something has changed.
#[derive(Message)]
#[rtype(result = "()")]
struct Publish(Event);

/// Watch from now on.
#[derive(Message)]
#[rtype(result = "Subscription")]
pub struct Subscribe;

/// The events from now on. It is closed when the bus has ended: what was missed then is unknown.
pub type Subscription = broadcast::Receiver<Arc<Event>>;

/// See the module's documentation.
pub struct EventBus {
    ring: broadcast::Sender<Arc<Event>>,
    _guard: ChildGuard<&'static str>,
}

impl EventBus {
    pub fn new(guard: ChildGuard<&'static str>) -> Self {
        Self { ring: broadcast::Sender::new(RING), _guard: guard }
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
    type Result = MessageResult<Subscribe>;

    fn handle(&mut self, _: Subscribe, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.ring.subscribe())
    }
}

/// Where events go: the bus of the moment.
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

    /// Watch from now on.
    ///
    /// # Errors
    /// The bus is being replaced.
    pub async fn subscribe(&self) -> Result<Subscription, MailboxError> {
        let bus = self.0.borrow().clone();
        bus.send(Subscribe).await
    }
}
