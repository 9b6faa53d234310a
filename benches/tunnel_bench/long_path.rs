//! The long path: one stream over a round trip of 50 ms, on a path that carries `--path-gbit` each way.
//!
//! The path has a width because on a machine of few cores an endless one would measure how the cores are shared between
//! the relay, the tunnel and the two ends, and not whether the tunnel fills the path. Besides, the largest window of the
//! protocol, 64 MiB, carries 10.7 Gbit/s over 50 ms, less than an endless loopback.
//!
//! ```text
//! direct    client → delay → remote
//! dockway   client → server → delay → agent → remote     (the agent connects through the delay)
//! ```
//! A tunnel whose windows do not grow falls far behind here.

use super::Results;
use super::delay::Path;
use super::dockway::Dockway;
use super::measure::{Direction, Measure};
use super::options::Pace;
use super::remote::Remote;
use super::subject::Subjects;
use super::throughput::Transfer;
use super::{delay, round_trip};
use crate::common::Outcome;
use crate::common::subject::Subject;
use crate::common::window::Window;
use std::time::Duration;

/// What the relay adds to each way.
const ONE_WAY: Duration = Duration::from_millis(25);
/// Ping-pongs that show how long the path really is.
const PING_PONGS: usize = 20;

const MILLISECONDS_PER_SECOND: f64 = 1e3;
const BITS_PER_GIGABIT: f64 = 1e9;

/// Measures `direct` and `dockway`, as far as they are subjects of this run.
pub fn measure_all(subjects: &Subjects, remote: &Remote, path_gigabits: f64, pace: &Pace, results: &mut Results) {
    let bits_per_second = (path_gigabits > 0.0).then_some(path_gigabits * BITS_PER_GIGABIT);
    let path = Path { delay: ONE_WAY, bits_per_second };
    let mut far = far_subjects(subjects, remote, path, results);
    if far.is_empty() {
        return;
    }
    for round in 0..pace.long_rounds {
        eprintln!("long path, round {} of {}", round + 1, pace.long_rounds);
        for (measure, direction) in [(Measure::LongUp, Direction::Up), (Measure::LongDown, Direction::Down)] {
            for subject in &mut far {
                measure_throughput(subject, measure, direction, remote, pace, results);
            }
        }
        for subject in &mut far {
            measure_round_trip(subject, remote, results);
        }
        far.rotate_left(1);
    }
}

/// What can be set up; the rest becomes a remark, because the rounds before this are worth their table.
fn far_subjects(subjects: &Subjects, remote: &Remote, path: Path, results: &mut Results) -> Vec<Subject> {
    let direct = subjects.names().contains(&"direct").then(|| far_direct(remote, path));
    let dockway = subjects.dockway.as_ref().map(|dockway| far_dockway(dockway, remote, path));
    let mut far = Vec::new();
    for outcome in direct.into_iter().chain(dockway) {
        match outcome {
            Ok(subject) => far.push(subject),
            Err(error) => results.note(format!("long path: {error}; left out")),
        }
    }
    far
}

fn far_direct(remote: &Remote, path: Path) -> Outcome<Subject> {
    let address = delay::start(remote.address(), path)?;
    Ok(Subject::direct(address))
}

fn far_dockway(dockway: &Dockway, remote: &Remote, path: Path) -> Outcome<Subject> {
    let delayed_server = delay::start(dockway.server_address(), path)?;
    dockway.start_tunnel("bench-far", delayed_server, remote.address())
}

fn measure_throughput(
    subject: &mut Subject,
    measure: Measure,
    direction: Direction,
    remote: &Remote,
    pace: &Pace,
    results: &mut Results,
) {
    let half = pace.long_transfer / 2;
    let address = subject.address;
    let window = Window { warm_up: half, window: half, processes: None };
    let transfer = Transfer { address, streams: 1, direction, window };
    let outcome = transfer.run(remote);
    let throughput = results.value_or_note(subject, measure, outcome);
    results.record(measure, &subject.name, throughput.map(|counted| counted.gigabits_per_second()));
}

fn measure_round_trip(subject: &mut Subject, remote: &Remote, results: &mut Results) {
    let outcome = round_trip::measure(subject.address, PING_PONGS);
    remote.settle();
    let value = results.value_or_note(subject, Measure::LongRoundTrip, outcome);
    let milliseconds = value.map(|time| time.as_secs_f64() * MILLISECONDS_PER_SECOND);
    results.record(Measure::LongRoundTrip, &subject.name, milliseconds);
}
