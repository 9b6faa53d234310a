//! What Dockway is to reach, as ratios to other subjects of the same run.

use super::measure::Measure;
use super::results::Results;

/// On which side of the wanted ratio the measured one must lie.
#[derive(Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A wanted ratio.
pub struct Goal {
    pub measure: Measure,
    pub bound: Bound,
    /// The subject that Dockway is compared with.
    pub base: &'static str,
}

/// Every goal, in the order in which they are listed.
const GOALS: [Goal; 12] = [
    Goal { measure: Measure::OneUp, bound: Bound::AtLeast(0.8), base: "socat" },
    Goal { measure: Measure::OneDown, bound: Bound::AtLeast(0.8), base: "socat" },
    Goal { measure: Measure::EightUp, bound: Bound::AtLeast(0.7), base: "socat" },
    Goal { measure: Measure::EightDown, bound: Bound::AtLeast(0.7), base: "socat" },
    Goal { measure: Measure::RoundTrip, bound: Bound::AtMost(1.1), base: "socat" },
    Goal { measure: Measure::CpuOneUp, bound: Bound::AtMost(1.2), base: "socat" },
    Goal { measure: Measure::CpuOneDown, bound: Bound::AtMost(1.2), base: "socat" },
    Goal { measure: Measure::CpuEightUp, bound: Bound::AtMost(1.2), base: "socat" },
    Goal { measure: Measure::CpuEightDown, bound: Bound::AtMost(1.2), base: "socat" },
    Goal { measure: Measure::Connects, bound: Bound::AtLeast(0.2), base: "direct" },
    Goal { measure: Measure::LongUp, bound: Bound::AtLeast(0.6), base: "direct" },
    Goal { measure: Measure::LongDown, bound: Bound::AtLeast(0.6), base: "direct" },
];

/// A goal and what was measured.
pub struct Judged {
    pub goal: &'static Goal,
    /// `None` when one of the two subjects was not measured.
    pub ratio: Option<f64>,
}

impl Judged {
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
pub fn judge(results: &Results) -> Vec<Judged> {
    let ratio_of = |goal: &Goal| results.ratio(goal.measure, "dockway", goal.base);
    GOALS.iter().map(|goal| Judged { goal, ratio: ratio_of(goal) }).collect()
}
