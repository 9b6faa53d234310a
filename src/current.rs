//! The actor of the moment: whoever asks one that may be replaced after a panic holds a [`Current`].

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};
use tokio::sync::watch;

use crate::error::Error;

/// Where the actor of the moment can be reached: a new one takes its place after a panic.
pub type Current<A> = watch::Receiver<Addr<A>>;

/// Send an actor a message and await its answer.
///
/// # Errors
/// `Unavailable` while the actor is being replaced.
pub async fn ask<A, M>(actor: &Current<A>, message: M) -> Result<M::Result, Error>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    A::Context: ToEnvelope<A, M>,
{
    let address = actor.borrow().clone();
    let answer = address.send(message).await;
    answer.map_err(|_| Error::Unavailable("a part of the server restarts; try again".into()))
}
