//! Wall-clock time as the database and the API have it: milliseconds since 1970 UTC, shown as RFC 3339.

use std::time::{SystemTime, UNIX_EPOCH};

use time::format_description::{BorrowedFormatItem, well_known::Rfc3339};
use time::{OffsetDateTime, macros::format_description};

/// Three digits of a second always, so that texts sort as times do.
const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Milliseconds since 1970 UTC; 0 on a machine whose clock stands before that.
pub fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// `2026-02-03T04:05:06.007Z`. A time outside the years -9999 to 9999 is shown as 1970.
pub fn rfc3339(ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    // The format writes nothing that a UTC time lacks, so formatting does not fail.
    time.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(FORMAT).unwrap_or_default()
}

/// Read a time as RFC 3339 writes it, in any time zone: milliseconds since 1970 UTC, what is finer cut off.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc_with_milliseconds() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_770_091_506_007, "2026-02-03T04:05:06.007Z"),
            (i64::MAX, "1970-01-01T00:00:00.000Z"),
            (i64::MIN, "1970-01-01T00:00:00.000Z"),
        ];
        for (ms, text) in table {
            assert_eq!(rfc3339(ms), text);
        }
    }

    #[test]
    fn times_are_read_in_any_zone() {
        let table = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-02-03T04:05:06.007Z", Some(1_770_091_506_007)),
            ("2026-02-03T05:35:06.0079+01:30", Some(1_770_091_506_007)),
            ("1969-12-31T23:59:59.9999Z", Some(-1)),
            ("2026-02-03T04:05:06", None),
            ("2026-02-03", None),
            ("2026-02-30T00:00:00Z", None),
            ("2026-02-03T04:05:06 01:00", None),
            ("1770091506", None),
            ("", None),
        ];
        for (text, ms) in table {
            assert_eq!(parse_rfc3339(text), ms, "{text}");
        }
        assert_eq!(parse_rfc3339(&rfc3339(1_770_091_506_007)), Some(1_770_091_506_007));
    }

    #[test]
    fn now_is_after_this_was_written() {
        assert!(now_ms() > 1_770_000_000_000);
    }
}
