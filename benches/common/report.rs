//! The end of a run: the table, the file for programs, and whether the goals were reached.

use super::goals::Judged;
use super::options::CommonOptions;
use super::results::{Results, Row};
use super::{Outcome, json, table};
use std::time::Duration;

/// Everything that was measured.
pub struct Report<'a, M: Row> {
    /// The subjects, in the order of the columns.
    pub subjects: Vec<&'a str>,
    /// All rows, in the order of the table.
    pub rows: &'a [M],
    /// The subjects that others are compared with.
    pub bases: &'a [&'a str],
    pub rounds: u32,
    pub window: Duration,
    pub results: &'a Results<M>,
    pub goals: Vec<Judged<M>>,
}

impl<M: Row> Report<'_, M> {
    /// Prints the table, writes the file that was asked for; false when `--check` was given and a goal was not shown
    /// to be reached.
    pub fn publish(&self, options: &CommonOptions) -> Outcome<bool> {
        print!("{}", table::render(self));
        if let Some(file) = &options.json {
            std::fs::write(file, json::render(self)?)
                .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        }
        Ok(!options.check || self.goals.iter().all(Judged::is_reached))
    }
}
