// SPDX-License-Identifier: Apache-2.0
//! Long text in short lines.

use unicode_width::UnicodeWidthStr;

/// What is left of a line for its words at least; with less, they go on further to the left.
const ROOM: usize = 20;

/// Where they go on then.
const LEFT: usize = 4;

/// Text that begins in this column of a screen so many columns wide: broken between words, and each line set in as the first
/// is. Words in a pair of backticks are a command, which stays in one line to be copied. As it is where the width is not known.
pub(crate) fn hanging(text: &str, column: usize, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let indent = if column + ROOM <= width { column } else { LEFT.min(column) };
    let mut lines = String::new();
    let mut at = column;
    for (index, word) in words(text).enumerate() {
        if index > 0 && at + 1 + word.width() > width {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            at = indent;
        } else if index > 0 {
            lines.push(' ');
            at += 1;
        }
        lines += word;
        at += word.width();
    }
    lines
}

/// What stands between spaces, but for those in backticks.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut in_command = false;
    text.split(move |c: char| {
        in_command ^= c == '`';
        c == ' ' && !in_command
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_set_in_as_the_first() {
        let text = "one two three four five six seven";
        assert_eq!(hanging(text, 6, Some(26)), "one two three four\n      five six seven");
        assert_eq!(hanging(text, 16, Some(26)), "one two\n    three four five six\n    seven");
        assert_eq!(hanging(text, 6, None), text);
        assert_eq!(hanging("type `a b c d` to go on", 2, Some(22)), "type `a b c d` to go\n  on");
        assert_eq!(hanging("type `a b c d` now", 2, Some(12)), "type\n  `a b c d`\n  now");
        assert_eq!(
            hanging("a/long/word/that/fits/nowhere x", 2, Some(10)),
            "a/long/word/that/fits/nowhere\n  x"
        );
    }
}
