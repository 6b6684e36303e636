// SPDX-License-Identifier: Apache-2.0

//! A terminal's screen, as tmux captures it: text with the sequences that set how it looks.

/// How a letter looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) bold: bool,
    pub(super) dim: bool,
    /// One of the terminal's eight colours, if not the usual one.
    pub(super) colour: Option<u8>,
}

/// Letters of one look that stand side by side.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The column that it begins in, from 0.
    pub(super) column: usize,
    pub(super) style: Style,
    pub(super) text: String,
}

/// The rows of a screen, without the empty ones at its end. Every letter is taken for one column wide.
pub(super) fn parse(captured: &str) -> Vec<Vec<Run>> {
    let mut style = Style::default();
    let mut rows: Vec<_> = captured.lines().map(|line| row(line, &mut style)).collect();
    while rows.last().is_some_and(Vec::is_empty) {
        rows.pop();
    }
    rows
}

fn row(line: &str, style: &mut Style) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut column = 0;
    let mut rest = line;
    while !rest.is_empty() {
        if let Some((codes, after)) = rest.strip_prefix("\x1b[").and_then(|rest| rest.split_once('m')) {
            codes.split(';').for_each(|code| *style = styled(*style, code));
            rest = after;
            continue;
        }
        let end = rest.find('\x1b').filter(|end| *end > 0).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        let width = text.chars().count();
        match runs.last_mut() {
            Some(last) if last.style == *style => last.text += text,
            _ => runs.push(Run { column, style: *style, text: text.to_owned() }),
        }
        column += width;
        rest = after;
    }
    if let Some(last) = runs.last_mut() {
        last.text.truncate(last.text.trim_end().len());
    }
    runs.retain(|run| !run.text.is_empty());
    runs
}

/// What a code of "select graphic rendition" (ECMA-48, 8.3.117) makes of a style; codes that husk and a prompt do not use change
/// nothing.
fn styled(style: Style, code: &str) -> Style {
    match code.parse() {
        Ok(0) | Err(_) => Style::default(),
        Ok(1) => Style { bold: true, ..style },
        Ok(2) => Style { dim: true, ..style },
        Ok(22) => Style { bold: false, dim: false, ..style },
        Ok(code @ 30..=37) => Style { colour: Some(code - 30), ..style },
        Ok(39) => Style { colour: None, ..style },
        Ok(_) => style,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(column: usize, style: Style, text: &str) -> Run {
        Run { column, style, text: text.into() }
    }

    #[test]
    fn looks_go_on_until_they_are_ended() {
        let plain = Style::default();
        let bold = Style { bold: true, ..plain };
        let green = Style { colour: Some(2), ..bold };
        let rows = parse("a\x1b[1mb\x1b[32mc\nd\x1b[0m e  \n\n");
        let expected = [
            vec![run(0, plain, "a"), run(1, bold, "b"), run(2, green, "c")],
            vec![run(0, green, "d"), run(1, plain, " e")],
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn several_codes_and_none_are_read() {
        let dim = Style { dim: true, ..Style::default() };
        assert_eq!(parse("\x1b[0;1;22;2mx\x1b[my"), [[run(0, dim, "x"), run(1, Style::default(), "y")]]);
    }
}
