//! The table for people: a row for each measure; for each subject its value and its ratios; then the goals.

use super::goals::Judged;
use super::report::Report;
use super::results::Row;

const ABSENT: &str = "–";
const GAP: &str = "  ";

/// A column: its two headings, and its cells.
struct Column {
    subject: String,
    heading: String,
    cells: Vec<String>,
    /// The first column of a subject stands a little apart.
    is_first: bool,
}

/// Renders the table, the goals and the notes.
pub fn render<M: Row>(report: &Report<M>) -> String {
    let measured = |row: &M| report.subjects.iter().any(|name| report.results.median(*row, name).is_some());
    let rows: Vec<M> = report.rows.iter().copied().filter(measured).collect();
    let mut columns = vec![labels(&rows)];
    for subject in &report.subjects {
        columns.extend(columns_of(subject, &rows, report));
    }
    let (goals, notes) = (goal_lines(&report.goals), note_lines(report.results.notes()));
    format!("\n{}\n{goals}{notes}", lines(&columns, rows.len()))
}

/// At most three digits that mean something.
fn number(value: Option<f64>) -> String {
    match value {
        None => ABSENT.to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

fn labels<M: Row>(rows: &[M]) -> Column {
    let cells = rows.iter().map(|row| format!("{}, {}", row.label(), row.unit())).collect();
    Column { subject: String::new(), heading: String::new(), cells, is_first: false }
}

fn columns_of<M: Row>(subject: &str, rows: &[M], report: &Report<M>) -> Vec<Column> {
    let results = report.results;
    let values = rows.iter().map(|row| number(results.median(*row, subject))).collect();
    let heading = String::new();
    let mut columns = vec![Column { subject: subject.to_owned(), heading, cells: values, is_first: true }];
    // A base is compared only with the bases before it: socat with direct, direct with none.
    let bases = report.bases.iter().take_while(|base| **base != subject).filter(|base| report.subjects.contains(base));
    for base in bases {
        let cells = rows.iter().map(|row| number(results.ratio(*row, subject, base))).collect();
        columns.push(Column { subject: String::new(), heading: format!("× {base}"), cells, is_first: false });
    }
    columns
}

fn lines(columns: &[Column], rows: usize) -> String {
    let mut text = String::new();
    line(&mut text, columns, |column| &column.subject);
    line(&mut text, columns, |column| &column.heading);
    for row in 0..rows {
        line(&mut text, columns, |column| &column.cells[row]);
    }
    text
}

fn line<'a>(text: &mut String, columns: &'a [Column], cell: impl Fn(&'a Column) -> &'a String) {
    let mut line = String::new();
    for (index, column) in columns.iter().enumerate() {
        let width = column_width(column);
        let content = cell(column);
        if index == 0 {
            line += &format!("{content:<width$}");
            continue;
        }
        line += if column.is_first { "    " } else { GAP };
        line += &format!("{content:>width$}");
    }
    *text += line.trim_end();
    text.push('\n');
}

fn column_width(column: &Column) -> usize {
    let heads = [&column.subject, &column.heading];
    heads.into_iter().chain(&column.cells).map(|cell| cell.chars().count()).max().unwrap_or(0)
}

fn goal_lines<M: Row>(goals: &[Judged<M>]) -> String {
    if goals.iter().all(|judged| judged.ratio.is_none()) {
        return "goals of dockway: not measured\n".to_owned();
    }
    let mut text = "goals of dockway\n".to_owned();
    for judged in goals {
        text += &format!("  {:<12}  {:<42}  {}\n", judged.verdict(), judged.wanted(), number(judged.ratio));
    }
    text
}

fn note_lines(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = notes.iter().map(|note| format!("  {note}\n")).collect();
    format!("\nnotes\n{}", lines.concat())
}
