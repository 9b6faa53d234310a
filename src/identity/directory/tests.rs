//! The Directory in its tree, over a real database.

mod agents;
mod changes;
mod outage;
mod rig;
mod sessions;
mod users;

use actix::prelude::*;

use super::Directory;

/// Panic while this is handled.
#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

impl Handler<Panic> for Directory {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a test asked the directory to");
    }
}

/// Do now what is done every few seconds.
#[derive(Message)]
#[rtype(result = "()")]
enum Now {
    StoreUses,
    Sweep,
}

impl Handler<Now> for Directory {
    type Result = ();

    fn handle(&mut self, now: Now, ctx: &mut Self::Context) {
        match now {
            Now::StoreUses => self.store_uses(ctx),
            Now::Sweep => self.sweep(ctx),
        }
    }
}
