//! Keeps one session to the server alive: connects, waits for the session's end, pauses, connects again.

use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::allow::AllowList;
use super::connect::{ConnectError, Connector};
use super::session::{Session, Stop};
use crate::link::websocket::LinkEnd;
use crate::supervision::Backoff;
use crate::wire::codes::SessionClose;

/// Pauses between attempts, with full jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A session that lasted this long shows that all is well again.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// Two agents with one token must not chase each other.
const REPLACED_PAUSE: Duration = Duration::from_secs(30);
/// A graceful stop lets channels finish for this long.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Run until a signal comes.
pub async fn run(connector: Connector, allow: AllowList) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be caught");
            return ExitCode::FAILURE;
        }
    };
    let allow = Rc::new(allow);
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let pause = tokio::select! {
            () = signals.any() => return ExitCode::SUCCESS,
            link = connector.connect() => match link {
                Ok(link) => {
                    tracing::info!(server = %connector.server(), "connected");
                    let (ended, end) = oneshot::channel();
                    let began = Instant::now();
                    let session = Session::new(link, connector.version(), allow.clone(), ended).start();
                    let Some(end) = session_end(&session, end, &mut signals).await else {
                        return ExitCode::SUCCESS;
                    };
                    pause_after(&end, began.elapsed(), &mut backoff)
                }
                Err(error) => pause_after_failure(&error, &mut backoff),
            }
        };
        tokio::select! {
            () = signals.any() => return ExitCode::SUCCESS,
            () = sleep(pause) => {}
        }
    }
}

/// Wait for the session's end. None after a signal: the session was stopped in order.
async fn session_end(
    session: &Addr<Session>,
    mut end: oneshot::Receiver<LinkEnd>,
    signals: &mut Signals,
) -> Option<LinkEnd> {
    tokio::select! {
        ended = &mut end => return Some(ended.unwrap_or_else(|_| LinkEnd::Lost("the session panicked".into()))),
        () = signals.any() => {}
    }
    tracing::info!("stopping: open connections may finish");
    // The session may have ended in this moment; then there is nothing to stop.
    let _ = session.send(Stop).await;
    tokio::select! {
        _ = timeout(DRAIN_LIMIT, end) => {}
        () = signals.any() => {}
    }
    None
}

fn pause_after(end: &LinkEnd, lasted: Duration, backoff: &mut Backoff) -> Duration {
    if lasted >= STABLE_AFTER {
        backoff.reset();
    }
    let random = random();
    let mut pause = backoff.next_jittered(random);
    if matches!(end, LinkEnd::ClosedByPeer { code: SessionClose::REPLACED, .. }) {
        pause = REPLACED_PAUSE + LONGEST_PAUSE.mul_f64(f64::from(random) / f64::from(u32::MAX));
    }
    tracing::warn!(%end, pause_s = pause.as_secs_f32(), "the session has ended, the next attempt follows");
    pause
}

fn pause_after_failure(error: &ConnectError, backoff: &mut Backoff) -> Duration {
    let pause = backoff.next_jittered(random());
    tracing::warn!(%error, pause_s = pause.as_secs_f32(), "not connected, the next attempt follows");
    pause
}

/// Without a source of randomness the pause is the longest of its step.
fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}
