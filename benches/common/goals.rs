//! What Dockway is to reach, as ratios to other subjects of the same run.

use super::results::{Results, Row};

/// On which side of the wanted ratio the measured one must lie.
#[derive(Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A wanted ratio.
pub struct Goal<M> {
    pub measure: M,
    pub bound: Bound,
    /// The subject that Dockway is compared with.
    pub base: &'static str,
}

/// A goal and what was measured.
pub struct Judged<M: 'static> {
    pub goal: &'static Goal<M>,
    /// `None` when one of the two subjects was not measured.
    pub ratio: Option<f64>,
}

impl<M: Row> Judged<M> {
    /// Whether the goal was measured and reached.
    pub fn is_reached(&self) -> bool {
        match (self.goal.bound, self.ratio) {
            (Bound::AtLeast(wanted), Some(ratio)) => ratio >= wanted,
            (Bound::AtMost(wanted), Some(ratio)) => ratio <= wanted,
            (_, None) => false,
        }
    }

    /// The verdict as one word or two.
    pub fn verdict(&self) -> &'static str {
        match self.ratio {
            None => "not measured",
            Some(_) if self.is_reached() => "ok",
            Some(_) => "MISSED",
        }
    }

    /// What is wanted, such as `1 stream up ≥ 0.8 × socat`.
    pub fn wanted(&self) -> String {
        let (sign, wanted) = match self.goal.bound {
            Bound::AtLeast(wanted) => ('≥', wanted),
            Bound::AtMost(wanted) => ('≤', wanted),
        };
        format!("{} {sign} {wanted} × {}", self.goal.measure.label(), self.goal.base)
    }
}

/// Judges all goals.
pub fn judge<M: Row>(goals: &'static [Goal<M>], results: &Results<M>) -> Vec<Judged<M>> {
    let ratio_of = |goal: &Goal<M>| results.ratio(goal.measure, "dockway", goal.base);
    goals.iter().map(|goal| Judged { goal, ratio: ratio_of(goal) }).collect()
}
