//! The rounds: each measure is taken of one subject after the other, and each round begins with another subject, so
//! that a machine that grows slower or faster meanwhile does the same to all of them.

use super::subject::Subject;

/// Measures all subjects as often as there are rounds; afterwards they stand in their first order again.
pub fn in_rounds(name: &str, subjects: &mut [Subject], rounds: u32, mut measure: impl FnMut(&mut [Subject])) {
    for round in 0..rounds as usize {
        eprintln!("{name}, round {} of {rounds}", round + 1);
        subjects.rotate_left(usize::from(round > 0));
        measure(subjects);
    }
    let turned = rounds.saturating_sub(1) as usize % subjects.len().max(1);
    subjects.rotate_right(turned);
}
