//! What Dockway's gateway is to reach, as ratios to other subjects of the same run.

use super::measure::Measure;
use crate::common::goals::{Bound, Goal};

/// Every goal, in the order in which they are listed.
pub const GOALS: [Goal<Measure>; 4] = [
    Goal { measure: Measure::Requests, bound: Bound::AtLeast(0.7), base: "nginx" },
    Goal { measure: Measure::StreamUp, bound: Bound::AtLeast(1.0), base: "haproxy" },
    Goal { measure: Measure::StreamDown, bound: Bound::AtLeast(1.0), base: "haproxy" },
    Goal { measure: Measure::RoundTrip, bound: Bound::AtMost(1.1), base: "nginx" },
];
