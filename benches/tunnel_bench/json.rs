//! Everything that was measured, for programs.

use super::Outcome;
use super::goals::Judged;
use super::measure::Measure;
use super::options::Pace;
use super::results::Results;
use super::table::BASES;
use serde_json::{Map, Value, json};

/// Renders all values of all rounds, the medians, the ratios and the goals.
pub fn render(subjects: &[&str], pace: &Pace, results: &Results, goals: &[Judged]) -> Outcome<String> {
    let measures: Vec<Value> = Measure::ALL.into_iter().map(|row| measure(row, subjects, results)).collect();
    let document = json!({
        "processors": std::thread::available_parallelism()?.get(),
        "rounds": pace.rounds,
        "window_s": pace.window.as_secs_f64(),
        "subjects": subjects,
        "measures": measures,
        "goals": goals.iter().map(goal).collect::<Vec<_>>(),
        "notes": results.notes(),
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn measure(row: Measure, subjects: &[&str], results: &Results) -> Value {
    let by_subject: Map<String, Value> =
        subjects.iter().map(|subject| ((*subject).to_owned(), values(row, subject, results))).collect();
    json!({ "measure": row.label(), "unit": row.unit(), "subjects": by_subject })
}

fn values(row: Measure, subject: &str, results: &Results) -> Value {
    let ratios: Map<String, Value> =
        BASES.iter().map(|base| ((*base).to_owned(), json!(results.ratio(row, subject, base)))).collect();
    json!({ "median": results.median(row, subject), "rounds": results.rounds(row, subject), "ratio_to": ratios })
}

fn goal(judged: &Judged) -> Value {
    json!({ "wanted": judged.wanted(), "ratio": judged.ratio, "verdict": judged.verdict() })
}
