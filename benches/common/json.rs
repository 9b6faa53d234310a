//! Everything that was measured, for programs.

use super::Outcome;
use super::goals::Judged;
use super::report::Report;
use super::results::Row;
use serde_json::{Map, Value, json};

/// Renders all values of all rounds, the medians, the ratios and the goals.
pub fn render<M: Row>(report: &Report<M>) -> Outcome<String> {
    let measures: Vec<Value> = report.rows.iter().map(|row| measure(*row, report)).collect();
    let document = json!({
        "processors": std::thread::available_parallelism()?.get(),
        "rounds": report.rounds,
        "window_s": report.window.as_secs_f64(),
        "subjects": report.subjects,
        "measures": measures,
        "goals": report.goals.iter().map(goal).collect::<Vec<_>>(),
        "notes": report.results.notes(),
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn measure<M: Row>(row: M, report: &Report<M>) -> Value {
    let subjects = report.subjects.iter();
    let by_subject: Map<String, Value> =
        subjects.map(|subject| ((*subject).to_owned(), values(row, subject, report))).collect();
    json!({ "measure": row.label(), "unit": row.unit(), "subjects": by_subject })
}

fn values<M: Row>(row: M, subject: &str, report: &Report<M>) -> Value {
    let results = report.results;
    let ratios: Map<String, Value> =
        report.bases.iter().map(|base| ((*base).to_owned(), json!(results.ratio(row, subject, base)))).collect();
    json!({ "median": results.median(row, subject), "rounds": results.rounds(row, subject), "ratio_to": ratios })
}

fn goal<M: Row>(judged: &Judged<M>) -> Value {
    json!({ "wanted": judged.wanted(), "ratio": judged.ratio, "verdict": judged.verdict() })
}
