//! What a container wrote, made fit to be shown: no escape sequences, no control characters, no secret. Pure.

/// The longest reason of a failure, in bytes.
const LONGEST_REASON: usize = 4096;
/// Log lines that a reason quotes.
pub const REASON_LINES: u32 = 20;
/// The characters of one line that are kept.
const LONGEST_LINE: usize = 2000;

/// Text without escape sequences and control characters but line ends and tabs; the password, wherever it stands, as
/// `***`.
pub fn clean(text: &str, password: Option<&str>) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut line = 0;
    while let Some(character) = characters.next() {
        line = if character == '\n' { 0 } else { line + 1 };
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            // A program that draws over its own line wrote several.
            '\r' if characters.peek() != Some(&'\n') => cleaned.push('\n'),
            '\n' => cleaned.push('\n'),
            '\t' => cleaned.push(' '),
            other if other.is_control() || is_direction(other) || line > LONGEST_LINE => {}
            other => cleaned.push(other),
        }
    }
    match password {
        Some(password) if !password.is_empty() => cleaned.replace(password, "***"),
        _ => cleaned,
    }
}

/// Characters that turn the text's direction, so that it reads as something that it is not.
const fn is_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Pass over what follows ESC: a control sequence to its final byte, a string to its end, or one character.
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.next() {
        Some('[') => {
            // What is no part of a sequence ends it and stays.
            while characters.next_if(|character| matches!(character, ' '..='?')).is_some() {}
            let _ = characters.next_if(|character| matches!(character, '@'..='~'));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(character) = characters.next_if(|character| *character != '\n') {
                if character == '\u{7}' {
                    return;
                }
                if character == '\u{1b}' {
                    let _ = characters.next_if_eq(&'\\');
                    return;
                }
            }
        }
        Some('(' | ')' | '#' | '%') => {
            let _ = characters.next_if(|character| *character != '\n');
        }
        _ => {}
    }
}

/// A reason: what happened, and below it the last lines of the log, shortened from their beginning.
pub fn reason(sentence: &str, log: &str) -> String {
    let mut sentence = sentence.replace('\n', " ");
    truncate(&mut sentence, LONGEST_REASON / 2);
    let lines: Vec<_> = log.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let mut room = LONGEST_REASON - sentence.len();
    let fits = |line: &&&str| {
        room = room.saturating_sub(line.len() + 1);
        room > 0
    };
    let last: Vec<_> = lines.iter().rev().take(REASON_LINES as usize).take_while(fits).copied().collect();
    last.into_iter().rev().fold(sentence, |reason, line| reason + "\n" + line)
}

/// The log lines that a reason quotes.
pub fn quoted(reason: &str) -> &str {
    reason.split_once('\n').map_or("", |(_, lines)| lines)
}

fn truncate(text: &mut String, length: usize) {
    let end = (0..=length.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_and_controls_are_dropped() {
        for (raw, shown) in [
            ("plain\nlines\n", "plain\nlines\n"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]0;title\u{1b}\\text", "text"),
            ("\u{1b}]0;unended\nnext", "\nnext"),
            ("\u{1b}(Bx\u{1b}", "x"),
            ("\u{1b}[31", ""),
            ("\u{1b}[3é", "é"),
            ("10%\r20%\r\nend", "10%\n20%\nend"),
            ("a\u{0}b\u{7f}c\u{9b}d\u{202e}e\tf", "abcde f"),
            ("the password is hunter2", "the password is ***"),
            ("hun\u{1b}[1mter2", "***"),
        ] {
            assert_eq!(clean(raw, Some("hunter2")), shown, "{raw:?}");
        }
        assert_eq!(clean("abc", Some("")), "abc");
        assert_eq!(clean(&"x".repeat(5000), None).len(), LONGEST_LINE);
    }

    #[test]
    fn a_reason_quotes_the_last_lines_and_stays_short() {
        assert_eq!(reason("it ended", ""), "it ended");
        assert_eq!(reason("it\nended", "one\n\ntwo  \n"), "it ended\none\ntwo");
        let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let shown = reason("it ended", &many);
        assert_eq!(shown.lines().count(), 21);
        assert!(shown.ends_with("line 99") && quoted(&shown).starts_with("line 80"));
        let wide: String = (0..20).map(|n| format!("{n}{}\n", "é".repeat(400))).collect();
        let shown = reason(&"é".repeat(4000), &wide);
        assert!(shown.len() <= LONGEST_REASON && shown.contains("\n19é"), "{}", shown.len());
        assert_eq!(quoted("no lines"), "");
    }

    proptest! {
        #[test]
        fn nothing_that_controls_a_terminal_remains(text in "[\u{0}-\u{9f}\u{202e}é]{0,200}") {
            let cleaned = clean(&text, None);
            prop_assert!(cleaned.chars().all(|one| one == '\n' || !one.is_control()));
            prop_assert!(reason("x", &cleaned).len() <= LONGEST_REASON);
        }
    }
}
