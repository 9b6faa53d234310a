//! What changed, told to whoever watches: the dashboard over a WebSocket, scripts by server-sent events.
//!
//! Publishers send an [`Event`](crate::identity::news::Event) to the [`EventBus`]; each reader takes them from a ring at its own pace, through a
//! [`Feed`] that lets it see only what the policy allows. A [`live_session`] brings them to a WebSocket, [`sse`] puts
//! them into an answer's body.

mod bus;
mod feed;
mod item;
pub mod live_session;
pub mod sse;

pub use bus::{EventBus, MOST_STREAMS, Publisher};
pub use feed::{Feed, Stop, wait_until};
pub use item::{Ended, Item};

#[cfg(test)]
mod tests;
