//! What Dockway's tunnels are to reach, as ratios to other subjects of the same run.

use super::measure::Measure;
use crate::common::goals::{Bound, Goal};

/// Every goal, in the order in which they are listed.
pub const GOALS: [Goal<Measure>; 12] = [
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
