//! The values of all rounds, their medians and their ratios.

use super::Outcome;
use super::subject::Subject;
use std::collections::BTreeMap;

/// One row of a table.
pub trait Row: Copy + Ord + 'static {
    /// What the row is called.
    fn label(self) -> &'static str;
    /// The unit of its values.
    fn unit(self) -> &'static str;
}

/// What was measured, and what went wrong meanwhile.
pub struct Results<M> {
    values: BTreeMap<(M, String), Vec<Option<f64>>>,
    notes: Vec<String>,
}

impl<M> Default for Results<M> {
    fn default() -> Self {
        Self { values: BTreeMap::new(), notes: Vec::new() }
    }
}

impl<M: Row> Results<M> {
    /// Adds the value of one round; `None` when it failed, so that the rounds of two subjects stay paired.
    pub fn record(&mut self, measure: M, subject: &str, value: Option<f64>) {
        self.values.entry((measure, subject.to_owned())).or_default().push(value.filter(|value| value.is_finite()));
    }

    /// Keeps a remark for the end of the table, and says it at once.
    pub fn note(&mut self, note: String) {
        eprintln!("note: {note}");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The value of a measure that succeeded; otherwise a remark that says why it did not. What was measured while a
    /// process of the subject ended is no value either.
    pub fn value_or_note<T>(&mut self, subject: &mut Subject, measure: M, outcome: Outcome<T>) -> Option<T> {
        let reason = match (outcome, subject.obituary()) {
            (Ok(value), None) => return Some(value),
            (Ok(_), Some(obituary)) => obituary,
            (Err(error), None) => error.to_string(),
            (Err(error), Some(obituary)) => format!("{error}; {obituary}"),
        };
        self.note(format!("{}, {}: {reason}", subject.name, measure.label()));
        None
    }

    /// The remarks, each once.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The values of all rounds.
    pub fn rounds(&self, measure: M, subject: &str) -> &[Option<f64>] {
        self.values.get(&(measure, subject.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// The median over the rounds.
    pub fn median(&self, measure: M, subject: &str) -> Option<f64> {
        median(self.rounds(measure, subject).iter().copied().flatten().collect())
    }

    /// The median over the rounds of the quotient within each round: what slows a whole round down cancels out.
    pub fn ratio(&self, measure: M, subject: &str, base: &str) -> Option<f64> {
        let pairs = self.rounds(measure, subject).iter().zip(self.rounds(measure, base));
        let ratios = pairs.filter_map(|(value, base)| Some((*value)? / (*base)?));
        median(ratios.filter(|ratio| ratio.is_finite()).collect())
    }
}

/// The middle value; of an even number, the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some((values[middle - 1] + upper) / 2.0) }
}
