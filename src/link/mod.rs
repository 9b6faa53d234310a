//! Bytes between sockets and the protocol, the same on the server and on the agent.
//!
//! A [`Link`] is the WebSocket of a session; a [`Leg`] is the TCP socket of a channel; a [`Switchboard`] joins a link
//! to its channels by the messages in [`messages`]. None of them is an actor: AgentSession and UserChannel on the
//! server, Session and Channel on the agent own one each and poll it.

pub mod buffer;
pub mod leg;
pub mod messages;
pub mod outbox;
pub mod socket;
pub mod switchboard;
pub mod websocket;

pub use leg::Leg;
pub use switchboard::Switchboard;
pub use websocket::Link;
