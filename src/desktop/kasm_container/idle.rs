//! When a desktop that nobody uses is warned of and stopped, and when it was last used.

use std::time::Duration;

use actix::prelude::*;

use super::KasmContainer;
use crate::clock::now_ms;
use crate::desktop::Status;
use crate::desktop::idle::{Idleness, Verdict, reason};
use crate::desktop::messages::{Accessed, IdleWarning};

/// Its use is told to the supervisor this often at most.
const ACCESS_INTERVAL: Duration = Duration::from_secs(30);
/// The longest timer; a limit beyond it is looked at in between.
const LONGEST_TIMER: Duration = Duration::from_secs(24 * 3600);
/// A desktop that cannot be stopped since the engine is away is looked at again.
const STOP_RETRY: Duration = Duration::from_secs(30);

/// Waits for idleness while the desktop is ready.
#[derive(Default)]
pub(super) struct IdleWatch {
    timer: Option<SpawnHandle>,
    /// The time that the last warning was for.
    warned: Option<i64>,
    /// The time that the supervisor was last told.
    published: Option<i64>,
}

impl IdleWatch {
    pub fn published(&mut self, stop_at: Option<i64>) {
        self.published = stop_at;
    }
}

impl KasmContainer {
    fn idleness(&self) -> Option<Idleness> {
        let limit = self.desktop_type.as_ref()?.idle_limit_s?;
        Some(Idleness::new(limit, self.run.since, self.run.activity.input()))
    }

    /// When it is stopped unless somebody uses it, in milliseconds since 1970.
    pub(super) fn idle_stop_at(&self) -> Option<i64> {
        self.idleness().map(Idleness::stop_at)
    }

    pub(super) fn watch_idleness(&mut self, ctx: &mut Context<Self>) {
        self.end_idleness(ctx);
        self.look_at_idleness(ctx);
    }

    pub(super) fn end_idleness(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.idle.timer.take() {
            ctx.cancel_future(timer);
        }
        self.idle.warned = None;
    }

    fn look_at_idleness(&mut self, ctx: &mut Context<Self>) {
        self.idle.timer = None;
        let Some(idleness) = self.idleness() else { return };
        let pause = match idleness.look(self.idle.warned, now_ms()) {
            Verdict::Look(pause) => Duration::from_millis(pause),
            Verdict::Warn { stop_at, look } => {
                self.warn_of_idleness(stop_at);
                Duration::from_millis(look)
            }
            Verdict::Stop => match self.stop_idle(ctx) {
                true => return,
                false => STOP_RETRY,
            },
        };
        let look = |container: &mut Self, ctx: &mut Context<Self>| container.look_at_idleness(ctx);
        self.idle.timer = Some(ctx.run_later(pause.min(LONGEST_TIMER), look));
    }

    /// Whether that has begun.
    fn stop_idle(&mut self, ctx: &mut Context<Self>) -> bool {
        let limit = self.desktop_type.as_ref().and_then(|known| known.idle_limit_s).unwrap_or_default();
        self.stop(Some(reason(limit)), ctx).is_ok()
    }

    #[expect(clippy::disallowed_methods, reason = "one for each idle desktop")]
    fn warn_of_idleness(&mut self, stop_at: i64) {
        self.idle.warned = Some(stop_at);
        self.parent.idle.do_send(IdleWarning { id: self.row.id.clone(), stop_at });
        if self.idle.published != Some(stop_at) {
            self.publish_again();
        }
    }

    pub(super) fn gather_accesses(&self, ctx: &mut Context<Self>) {
        ctx.run_interval(ACCESS_INTERVAL, |container, _| {
            container.tell_accessed();
            let is_ready = container.status() == Status::Ready;
            if is_ready && container.idle.published != container.idle_stop_at() {
                container.publish_again();
            }
        });
    }

    /// Tell when it was last used, if that has changed.
    #[expect(clippy::disallowed_methods, reason = "one in half a minute for each desktop that is used")]
    pub(super) fn tell_accessed(&mut self) {
        let at = self.run.activity.accessed();
        if at <= self.run.told {
            return;
        }
        self.run.told = at;
        self.row.last_accessed = Some(at);
        self.saving.note_access(at);
        self.parent.accessed.do_send(Accessed { id: self.row.id.clone(), at });
    }
}
