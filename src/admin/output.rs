//! What commands print on standard output, and the password that they may be given on standard input.

use std::io::{BufRead, IsTerminal, Write};

use time::OffsetDateTime;
use time::macros::format_description;

use super::AdminError;

/// The most bytes read from standard input for a password.
const LONGEST_INPUT: u64 = 4096;

/// Spaces between two columns.
const GAP: &str = "  ";

/// One line on standard output.
pub fn print(text: &str) -> Result<(), AdminError> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", text.trim_end())?;
    Ok(output.flush()?)
}

/// A table on standard output.
pub fn print_table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> Result<(), AdminError> {
    print(&table(headings, rows))
}

/// Columns as wide as their widest cell; nothing but spaces between them, and none at a line's end. Control characters
/// become question marks, since an agent chooses some of the text and a terminal would obey it.
fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let headings = headings.map(str::to_owned);
    let shown = |cell: &String| cell.replace(char::is_control, "?");
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(shown)).collect();
    let all = || std::iter::once(&headings).chain(&rows);
    let widths: [usize; N] =
        std::array::from_fn(|column| all().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join(GAP).trim_end().to_owned()
    };
    all().map(line).collect::<Vec<_>>().join("\n")
}

/// A time of the database for people: UTC, to the second.
pub fn moment(ms: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    let time = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).ok();
    time.and_then(|time| time.format(format).ok()).unwrap_or_else(|| format!("{ms} ms"))
}

/// What may be missing, as a dash.
pub fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".to_owned())
}

/// The first line of standard input, unless that is a terminal or empty.
pub fn given_password() -> Result<Option<String>, AdminError> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Ok(None);
    }
    first_line(input.lock())
}

fn first_line(input: impl BufRead) -> Result<Option<String>, AdminError> {
    let mut line = String::new();
    input.take(LONGEST_INPUT).read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    Ok(if password.is_empty() { None } else { Some(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let rows = [["a".to_owned(), "long cell".to_owned()], ["ümlaut".to_owned(), "x".to_owned()]];
        assert_eq!(table(["ID", "NAME"], &rows), "ID      NAME\na       long cell\nümlaut  x");
        assert_eq!(table(["ID", "NAME"], &[]), "ID  NAME");
        assert_eq!(table(["ID"], &[["\u{1b}[2Jx\n".to_owned()]]), "ID\n?[2Jx?");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(moment(1_700_000_000_999), "2023-11-14 22:13:20Z");
        assert_eq!(moment(-1), "1969-12-31 23:59:59Z");
        assert_eq!(moment(i64::MAX), format!("{} ms", i64::MAX));
    }

    #[test]
    fn a_password_is_one_line() {
        let cases = [("", None), ("\n", None), ("secret\n", Some("secret")), (" a b \r\nmore", Some(" a b "))];
        for (text, expected) in cases {
            assert_eq!(first_line(text.as_bytes()).unwrap().as_deref(), expected, "{text:?}");
        }
        let endless = "x".repeat(10_000);
        assert_eq!(first_line(endless.as_bytes()).unwrap().unwrap().len(), 4096);
    }
}
