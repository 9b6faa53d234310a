//! What a browser's bytes mean for the desktop's idleness and for the caller's sign-in.

use std::sync::Arc;

use crate::clock::now_ms;
use crate::desktop::Route;
use crate::gateway::input::InputWatch;
use crate::http::AppState;
use crate::identity::Caller;

/// A desktop is told of use this often at most, in milliseconds.
const ACCESS_STEP_MS: i64 = 2000;
/// And of input.
const INPUT_STEP_MS: i64 = 500;
/// Input keeps the sign-in alive; it is looked this often at most whether that is news. A sign-in may last for as little
/// as a second without use.
const SIGN_IN_STEP_MS: i64 = 500;

/// See the module's documentation. One belongs to each WebSocket.
pub struct UseWatch {
    state: AppState,
    caller: Caller,
    pub route: Arc<Route>,
    input: InputWatch,
    accessed: Step<ACCESS_STEP_MS>,
    did_something: Step<INPUT_STEP_MS>,
    signed_in: Step<SIGN_IN_STEP_MS>,
}

impl UseWatch {
    pub fn new(state: &AppState, caller: &Caller, route: &Arc<Route>) -> Self {
        Self {
            state: state.clone(),
            caller: caller.clone(),
            route: route.clone(),
            input: InputWatch::new(route.kind),
            accessed: Step::default(),
            did_something: Step::default(),
            signed_in: Step::default(),
        }
    }

    /// See what the browser sends.
    pub fn look(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.look_at(bytes, now_ms());
        }
    }

    fn look_at(&mut self, bytes: &[u8], now: i64) {
        if self.accessed.is_due(now) {
            self.route.activity.note_access(now);
        }
        if !self.input.sees_input(bytes) {
            return;
        }
        if self.did_something.is_due(now) {
            self.route.activity.note_input(now);
        }
        if self.signed_in.is_due(now) {
            self.state.note_use(&self.caller, now);
        }
    }
}

/// Lets something happen every `MS` milliseconds at most.
#[derive(Debug, Default)]
struct Step<const MS: i64>(Option<i64>);

impl<const MS: i64> Step<MS> {
    fn is_due(&mut self, now: i64) -> bool {
        // A clock that is set back must not silence it.
        let due = self.0.is_none_or(|last| now < last || now.saturating_sub(last) >= MS);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_kept() {
        let mut step = Step::<100>::default();
        let due: Vec<_> = [0, 50, 99, 100, 150, 200, 20, 60, 120].into_iter().filter(|now| step.is_due(*now)).collect();
        assert_eq!(due, [0, 100, 200, 20, 120]);
    }
}
