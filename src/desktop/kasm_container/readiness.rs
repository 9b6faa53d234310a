//! Ready is not "running": an authenticated request for the entry was answered below 400.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::{Instant, sleep};

use super::KasmContainer;
use super::work::{Failure, Outcome, Task, at_once};
use crate::config::DesktopReach;
use crate::desktop::engine::{Engine, EngineError, Inspected};
use crate::desktop::state::{Effect, Event};
use crate::desktop::{DesktopType, Status};
use crate::store::models::ContainerRow;
use crate::supervision::Backoff;
use crate::upstream::{Client, Upstream};

/// Pauses between requests for the entry.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long one request may take, and how large its answer may be. The last one has its second too, so that the reason
/// tells what is wrong with the desktop and not that time was up.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// A question that the engine answered with an error is asked again after this.
const LOOK_RETRY: Duration = Duration::from_secs(5);
/// The reason of a desktop whose container is not there.
pub(super) const REMOVED: &str = "its container was removed through the container engine";

/// What the requests have come to.
pub(super) enum Probed {
    Answered(Inspected),
    Ended(Inspected),
    /// There is no such container.
    Missing,
    /// What was wrong with the last attempt.
    Unanswered(String),
}

/// Asks for the entry until it is answered.
struct Probe {
    engine: Arc<dyn Engine>,
    client: Client,
    container_id: String,
    network: String,
    /// Where it is reached through a port of the host; else its address is the engine's to tell.
    upstream: Option<Upstream>,
    of_address: Box<dyn Fn(std::net::Ipv4Addr) -> Upstream>,
    target: String,
    limit: Duration,
}

impl Probe {
    async fn run(self) -> Probed {
        let deadline = Instant::now() + self.limit;
        let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let inspected = match self.engine.inspect(&self.container_id, &self.network).await {
                Ok(None) => return Probed::Missing,
                Ok(Some(ended)) if !ended.running => return Probed::Ended(ended),
                Ok(Some(inspected)) => inspected,
                Err(error) => return Probed::Unanswered(error.to_string()),
            };
            let problem = match self.ask_all(&inspected, deadline, &mut pauses).await {
                Ok(()) => return Probed::Answered(inspected),
                Err(problem) => problem,
            };
            if Instant::now() >= deadline {
                return Probed::Unanswered(problem);
            }
        }
    }

    /// A round of requests. The engine is looked at between rounds, in case it could not tell of a death.
    async fn ask_all(&self, inspected: &Inspected, deadline: Instant, pauses: &mut Backoff) -> Result<(), String> {
        const ROUND: usize = 10;
        let upstream = self.upstream.clone().or_else(|| inspected.address.map(&*self.of_address));
        let mut problem = "it has no address in its network".to_owned();
        for _ in 0..ROUND {
            if let Some(upstream) = &upstream {
                match self.ask(upstream, deadline).await {
                    Ok(()) => return Ok(()),
                    Err(said) => problem = said,
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            sleep(pauses.next_pause().min(left)).await;
            if left.is_zero() || upstream.is_none() {
                break;
            }
        }
        Err(problem)
    }

    async fn ask(&self, upstream: &Upstream, deadline: Instant) -> Result<(), String> {
        let (host, left) = (upstream.address.to_string(), deadline.saturating_duration_since(Instant::now()));
        let answer =
            self.client.get(upstream, &self.target, &host, MOST_BYTES, left.clamp(SHORTEST_LIMIT, REQUEST_LIMIT)).await;
        match answer {
            Ok(fetched) if fetched.status < 400 => Ok(()),
            Ok(fetched) => Err(format!("it answers with the status {}", fetched.status)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl KasmContainer {
    pub(super) fn probe(&self, known: &DesktopType) -> Task {
        let Some(container_id) = self.row.container_id.clone() else {
            return at_once(Outcome::Probed(Probed::Missing));
        };
        // With an address that nobody uses: only what the engine says counts.
        let of_row = ContainerRow { address: None, ..self.row.clone() };
        let port = known.port;
        let (scheme, authorization) = (known.scheme, self.authorization(known));
        let probe = Probe {
            engine: self.means.engine.clone(),
            client: self.means.client.clone(),
            container_id,
            network: self.identity().network(),
            upstream: self.upstream(&of_row),
            of_address: Box::new(move |address| Upstream {
                scheme,
                address: SocketAddr::new(address.into(), port),
                authorization: authorization.clone(),
            }),
            target: self.entry_target(),
            limit: self.means.config.ready_limit,
        };
        Box::pin(async move { Outcome::Probed(probe.run().await) })
    }

    pub(super) fn probed(&mut self, probed: Probed, ctx: &mut Context<Self>) {
        match probed {
            Probed::Answered(inspected) => {
                self.row.address = inspected.address.map(|address| address.to_string());
                if self.status() == Status::Ready {
                    self.row.reason = None;
                }
                self.happen(Event::Answered, ctx);
            }
            Probed::Ended(ended) => self.died(ended.exit_code, ended.out_of_memory, ctx),
            Probed::Missing => self.removed(Event::Destroyed, ctx),
            // It may have work of its owner in it: only who owns it stops it.
            Probed::Unanswered(said) if self.status() == Status::Ready => {
                self.row.reason = Some(format!("it runs, but does not answer: {said}"));
            }
            Probed::Unanswered(said) => {
                let limit = self.means.config.ready_limit.as_secs_f64();
                let said = format!("the desktop did not answer well within {limit} s: {said}");
                self.give_up(Failure::Said(said), ctx);
            }
        }
    }

    /// Somebody removed the container.
    pub(super) fn removed(&mut self, event: Event, ctx: &mut Context<Self>) {
        self.row.reason = Some(REMOVED.to_owned());
        self.happen(event, ctx);
    }

    /// Ask the engine whether the container of the row runs; one of the same name is of an earlier start.
    pub(super) fn look_again(&self) -> Task {
        let Some(container_id) = self.row.container_id.clone() else {
            return at_once(Outcome::Looked(Ok(None)));
        };
        let (engine, network) = (self.means.engine.clone(), self.identity().network());
        let join = self.means.config.reach == DesktopReach::Network;
        Box::pin(async move {
            let found = engine.inspect(&container_id, &network).await;
            if join && matches!(&found, Ok(Some(found)) if found.running) {
                // This server may run in another container than the one that started it.
                match engine.join_network(&network).await {
                    Err(error @ EngineError::Unavailable(_)) => return Outcome::Looked(Err(error)),
                    Err(error) => tracing::warn!(network, %error, "the desktop's network cannot be joined"),
                    Ok(()) => {}
                }
            }
            Outcome::Looked(found)
        })
    }

    /// From here on the gateway may try.
    pub(super) fn has_joined(&mut self) {
        if !std::mem::replace(&mut self.joined, true) {
            self.publish_again();
        }
    }

    pub(super) fn looked(&mut self, found: Result<Option<Inspected>, EngineError>, ctx: &mut Context<Self>) {
        self.looked = found.is_ok();
        // A first start that was on its way begins again; what has been ready is started again as it is.
        let was_ready = self.row.started_at.is_some() && matches!(self.status(), Status::Starting | Status::Ready);
        match found {
            Ok(Some(found)) if found.running => self.happen(Event::FoundRunning, ctx),
            Ok(Some(found)) if was_ready => self.died(found.exit_code, found.out_of_memory, ctx),
            Ok(Some(_)) => self.happen(Event::FoundEnded, ctx),
            Ok(None) if self.status() == Status::Ready => self.removed(Event::FoundNothing, ctx),
            Ok(None) => self.happen(Event::FoundNothing, ctx),
            // The engine's return is told.
            Err(EngineError::Unavailable(_)) => {}
            Err(error) => {
                tracing::warn!(desktop = self.row.id, %error, "the engine does not tell how the desktop is");
                ctx.run_later(LOOK_RETRY, |container, ctx| {
                    if container.work.is_idle() && container.status().is_up() && !container.looked {
                        container.ask(Effect::LookAgain, ctx);
                        container.advance(ctx);
                    }
                });
            }
        }
    }
}
