// SPDX-License-Identifier: Apache-2.0
//! The only place of husk that prints.
#![expect(clippy::print_stderr, reason = "this module prints for all others")]

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::StyledStr;
use husk_plan::explain::{Explanation, Table};
use husk_plan::shell::Script;
use husk_plan::{Plan, in_words};
use husk_runtime::why::Story;

use crate::cli::Format;
use crate::explanation;
use crate::failure::{COMMAND_FAILED, Failure};
use crate::view::lines::hanging;

/// Prints what was asked for, such as a help text, on standard output.
pub(crate) fn text(text: &StyledStr) -> ExitCode {
    let rendered = if colour(&io::stdout()) { text.ansi().to_string() } else { text.to_string() };
    // A reader that has gone (`husk --help | head -1`) is no failure; a full disk is.
    match io::stdout().write_all(rendered.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("husk: writing to standard output: {}", in_words(e));
            ExitCode::from(COMMAND_FAILED)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Prints a line that is a command's result on standard output.
pub(crate) fn line(line: &str) -> ExitCode {
    text(&StyledStr::from(format!("{line}\n")))
}

/// Prints a view that was drawn for this [`Screen`].
pub(crate) fn view(view: &str) -> ExitCode {
    text(&StyledStr::from(view.to_owned()))
}

/// What standard output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Whether colours are wanted.
    pub(crate) colour: bool,
    /// Columns and rows, if it is a terminal.
    pub(crate) size: Option<(usize, usize)>,
}

/// The columns of a stream, if it is a terminal that knows them.
fn columns(stream: &(impl IsTerminal + rustix::fd::AsFd)) -> Option<usize> {
    let size = stream.is_terminal().then(|| rustix::termios::tcgetwinsize(stream).ok()).flatten();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The columns of standard output, if it is a terminal that knows them.
pub(crate) fn columns_of_stdout() -> Option<usize> {
    columns(&io::stdout())
}

impl Screen {
    pub(crate) fn of_stdout() -> Self {
        let size =
            io::stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
        // A serial line says 0 by 0, which is not known.
        let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        Self { colour: colour(&io::stdout()), size: size.filter(|(columns, rows)| *columns > 0 && *rows > 0) }
    }
}

/// Draws over what was drawn before, as far as it fits the screen. `false` if nobody can see it any more.
pub(crate) fn redraw(view: &str, rows: usize) -> bool {
    let mut drawing = String::from("\x1b[H");
    for line in view.lines().take(rows.saturating_sub(1)) {
        drawing.extend([line, "\x1b[K\n"]);
    }
    drawing.push_str("\x1b[J");
    io::stdout().write_all(drawing.as_bytes()).and_then(|()| io::stdout().flush()).is_ok()
}

/// Prints text in place of the line that the cursor is in. `false` if nobody can see it any more.
pub(crate) fn say(text: &str) -> bool {
    let text = format!("\r\x1b[K{text}");
    io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()).is_ok()
}

/// Prints `failure` on standard error and gives the exit status that it leads to.
pub(crate) fn failure(failure: &Failure) -> ExitCode {
    let (red, yellow, off) =
        if colour(&io::stderr()) { ("\x1b[1;31m", "\x1b[33m", "\x1b[0m") } else { ("", "", "") };
    let Failure { doing, problem, hints, status } = failure;
    let columns = columns(&io::stderr());
    let mut message = format!("{red}husk:{off} {}\n", broken(&format!("{doing}: {problem}"), 6, columns));
    for hint in hints {
        message += &format!("  {yellow}hint:{off} {}\n", broken(hint, HINT, columns));
    }
    // In one write, so that lines of other processes do not come between. If it fails there is nobody left to tell.
    let _ = io::stderr().write_all(message.as_bytes());
    ExitCode::from(*status)
}

/// The column in which a hint begins.
const HINT: usize = 8;

/// Text from a column on, broken at the terminal's width. What has lines of its own, such as the words of a program, keeps them.
fn broken(text: &str, column: usize, columns: Option<usize>) -> String {
    let lines = text.split('\n').enumerate();
    let lines = lines.map(|(number, line)| hanging(line, if number == 0 { column } else { 0 }, columns));
    lines.collect::<Vec<_>>().join("\n")
}

/// Prints the rows of a story on standard error, each with its word set apart.
pub(crate) fn story(story: &Story) {
    let text = painted(story, Paint::of(&io::stderr()), columns(&io::stderr()));
    let _ = io::stderr().write_all(text.as_bytes());
}

/// The rows of a story, for standard output.
pub(crate) fn rows(story: &Story, columns: Option<usize>) -> String {
    painted(story, Paint::of(&io::stdout()), columns)
}

fn painted(story: &Story, paint: Paint, columns: Option<usize>) -> String {
    let row = |(word, text): &(&str, String)| {
        let colour = if *word == "cure" { paint.yellow } else { paint.dim };
        // What is there to be copied stays one line, and a call its own.
        let text = match *word {
            "cure" | "call" | "kernel" => text.clone(),
            _ => hanging(text, 11, columns),
        };
        format!("  {colour}{word:8}{} {text}\n", paint.off)
    };
    story.rows.iter().map(row).collect()
}

/// Prints a sentence on standard error.
pub(crate) fn told(sentence: &str) {
    let sentence = broken(sentence, 0, columns(&io::stderr()));
    let _ = io::stderr().write_all(format!("{sentence}\n").as_bytes());
}

/// Prints what to do about what was told.
pub(crate) fn hint(hint: &str) {
    let paint = Paint::of(&io::stderr());
    let hint = broken(hint, HINT, columns(&io::stderr()));
    let _ = io::stderr().write_all(format!("  {}hint:{} {hint}\n", paint.yellow, paint.off).as_bytes());
}

/// Prints something worth knowing that stops nothing.
pub(crate) fn note(note: &str) {
    let note = broken(note, 12, columns(&io::stderr()));
    let _ = io::stderr().write_all(format!("husk: note: {note}\n").as_bytes());
}

/// Says at a stop what is true now, on standard error, since the command's output is on the other.
pub(crate) fn stop(stage: &str, is_true: &str, pid: i32) {
    let (bold, off) = if colour(&io::stderr()) { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let is_true = format!("{is_true}  [process {pid}]");
    let is_true = hanging(&is_true, stage.len() + 2, columns(&io::stderr()));
    let text = format!("{bold}{stage}{off}: {is_true}\n");
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Asks a question on the same line as the answer.
pub(crate) fn question(question: &str) {
    let _ = io::stderr().write_all(question.as_bytes());
}

/// Shows a command that husk runs as a person could.
pub(crate) fn typed(line: &str) {
    let _ = io::stderr().write_all(format!("$ {line}\n").as_bytes());
}

/// Prints a plan on standard error, before the output of the command itself.
pub(crate) fn plan(plan: &Plan<'_>) {
    let text =
        Explanation { plan, colour: colour(&io::stderr()), costs: None, width: columns(&io::stderr()) }
            .to_string();
    // Nothing hangs on it.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints a plan that was asked for on standard output, with what its steps cost if they were carried out.
pub(crate) fn explanation(plan: &Plan<'_>, format: Format, uid: u32, costs: Option<&[Duration]>) -> ExitCode {
    text(&StyledStr::from(match format {
        Format::Text => {
            Explanation { plan, colour: colour(&io::stdout()), costs, width: columns(&io::stdout()) }
                .to_string()
        }
        Format::Json => explanation::json(plan, costs),
        Format::Sh => Script { plan, uid }.to_string(),
        Format::Md => Table { plan, costs }.to_string(),
    }))
}

/// The escape sequences of a terminal, all empty where nobody sees colours.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paint {
    pub(crate) bold: &'static str,
    pub(crate) dim: &'static str,
    pub(crate) red: &'static str,
    pub(crate) yellow: &'static str,
    pub(crate) green: &'static str,
    pub(crate) off: &'static str,
}

impl Paint {
    const COLOUR: Self = Self {
        bold: "\x1b[1m",
        dim: "\x1b[2m",
        red: "\x1b[1;31m",
        yellow: "\x1b[33m",
        green: "\x1b[32m",
        off: "\x1b[0m",
    };

    /// With colours, or without.
    pub(crate) fn new(colour: bool) -> Self {
        if colour { Self::COLOUR } else { Self::default() }
    }

    fn of(stream: &impl IsTerminal) -> Self {
        Self::new(colour(stream))
    }
}

/// Prints what `write` makes of a command's result on standard output.
pub(crate) fn paint(write: impl FnOnce(Paint) -> String) -> ExitCode {
    text(&StyledStr::from(write(Paint::of(&io::stdout()))))
}

fn colour(stream: &impl IsTerminal) -> bool {
    wants_colour(stream.is_terminal(), |name| std::env::var_os(name))
}

/// <https://no-color.org> first, then <https://bixense.com/clicolors>, then whether somebody is looking.
fn wants_colour(terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    if set("NO_COLOR") {
        return false;
    }
    let forced = set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    forced || (terminal && variable("TERM").is_some_and(|term| term != "dumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour_with(terminal: bool, environment: &[(&str, &str)]) -> bool {
        wants_colour(terminal, |name| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn colour_is_for_terminals_that_can_and_people_who_want() {
        assert!(colour_with(true, &[("TERM", "xterm")]));
        assert!(!colour_with(false, &[("TERM", "xterm")]));
        assert!(!colour_with(true, &[("TERM", "dumb")]));
        assert!(!colour_with(true, &[]));
        assert!(!colour_with(true, &[("TERM", "xterm"), ("NO_COLOR", "1")]));
        assert!(colour_with(true, &[("TERM", "xterm"), ("NO_COLOR", "")]));
        assert!(colour_with(false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!colour_with(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!colour_with(false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    }
}
