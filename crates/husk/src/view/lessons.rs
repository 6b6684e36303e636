// SPDX-License-Identifier: Apache-2.0
//! How the lessons of `husk learn` look, and its grading.

use crate::learn::{Lesson, Mark, Outcome, Say, holds, title};
use crate::output::{Paint, Screen};
use crate::view::lines::hanging;

/// No line of text is longer, however wide the terminal: long lines are hard to read.
const WIDEST: usize = 88;

const INDENT: &str = "  ";

/// Draws for one screen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lessons {
    width: usize,
    paint: Paint,
}

impl Lessons {
    /// For this screen.
    pub(crate) fn new(screen: Screen) -> Self {
        let columns = screen.size.map_or(80, |(columns, _)| columns);
        Self { width: columns.saturating_sub(2).clamp(30, WIDEST), paint: Paint::new(screen.colour) }
    }

    /// One thing that is said.
    pub(crate) fn say(self, say: &Say) -> String {
        let Paint { green, yellow, red, off, .. } = self.paint;
        match say {
            Say::Task { lesson, text, commands } => {
                self.heading(*lesson) + &self.text(text) + &self.commands(commands)
            }
            Say::Done(text) => self.marked(&format!("{green}done{off}  "), "done  ".len(), text),
            Say::Already(lesson, text) => self.heading(*lesson) + &self.text(text),
            Say::Hint(text) => {
                self.marked(&format!("{yellow}hint{off}  "), "hint  ".len(), std::slice::from_ref(text))
            }
            Say::Lost(text) => {
                self.marked(&format!("{red}gone{off}  "), "gone  ".len(), std::slice::from_ref(text))
            }
            Say::End => String::new(),
        }
    }

    /// What the keys do, at the foot of a lesson.
    pub(crate) fn keys(self, by_eye: bool) -> String {
        let Paint { dim, off, .. } = self.paint;
        let enter = if by_eye { "Enter: I have seen it   h: hint" } else { "Enter: hint" };
        format!("{INDENT}{dim}watching ...  [{enter}   s: skip   q: quit]{off} ")
    }

    /// Paragraphs, each wrapped.
    pub(crate) fn text(self, paragraphs: &[String]) -> String {
        paragraphs.iter().map(|paragraph| wrapped(paragraph, "", self.width)).collect::<Vec<_>>().concat()
    }

    /// A grading.
    pub(crate) fn grading(self, subject: &str, marks: &[Mark]) -> String {
        let Paint { bold, off, .. } = self.paint;
        let (needed, wanted): (Vec<&Mark>, Vec<&Mark>) = marks.iter().partition(|mark| mark.needed);
        let rows = |marks: &[&Mark]| marks.iter().map(|mark| self.row(mark)).collect::<String>();
        let verdict = match holds(marks) {
            true => "It has what a container needs.",
            false => "It lacks something that a container needs.",
        };
        format!(
            "{subject}\n\n{bold}what a container needs{off}\n{}\n{bold}what it should have besides{off}\n{}\n{verdict}\n",
            rows(&needed),
            rows(&wanted)
        )
    }

    fn row(self, mark: &Mark) -> String {
        let Paint { green, red, yellow, dim, off, .. } = self.paint;
        let Mark { name, needed, outcome, found, advice } = mark;
        let (colour, word) = match (outcome, needed) {
            (Outcome::Passed, _) => (green, "passed"),
            (Outcome::Missing, true) => (red, "missing"),
            (Outcome::Missing, false) => (yellow, "missing"),
            (Outcome::Unknown, _) => (yellow, "?"),
        };
        let row = format!("  {colour}{word:7}{off}  {name:16}  {found}\n");
        match outcome {
            Outcome::Missing => format!("{row}{:29}{dim}{advice}{off}\n", ""),
            _ => row,
        }
    }

    fn heading(self, lesson: Lesson) -> String {
        let Paint { bold, off, .. } = self.paint;
        format!("\n{bold}{} of {}  {}{off}\n", lesson.number(), Lesson::ALL.len(), title(lesson))
    }

    fn commands(self, commands: &[String]) -> String {
        let Paint { bold, off, .. } = self.paint;
        // Never wrapped: what is copied has to stay one line.
        let lines: String = commands.iter().map(|command| format!("      {bold}{command}{off}\n")).collect();
        format!("\n{lines}\n")
    }

    fn marked(self, mark: &str, width: usize, paragraphs: &[String]) -> String {
        let text: String =
            paragraphs.iter().map(|text| wrapped(text, &" ".repeat(width), self.width)).collect();
        let first = text.strip_prefix(&*format!("{INDENT}{:width$}", "")).unwrap_or(&text);
        format!("{INDENT}{mark}{first}")
    }
}

/// A paragraph in lines of at most `width` columns, as far as its words allow it.
fn wrapped(paragraph: &str, indent: &str, width: usize) -> String {
    let indent = format!("{INDENT}{indent}");
    format!("{indent}{}\n", hanging(paragraph, indent.len(), Some(width)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words_and_commands_are_not() {
        let lessons = Lessons { width: 30, paint: Paint::default() };
        let done = lessons.say(&Say::Done(vec!["one two three four five six".into(), "seven".into()]));
        assert_eq!(
            done,
            "  done  one two three four\n          five six\n          seven\n"
                .replace("          ", "        ")
        );
        let command = "a command that is longer than the screen is wide".to_owned();
        let task = Say::Task { lesson: Lesson::Tree, text: vec!["Do it:".into()], commands: vec![command] };
        let expected = "\n1 of 15  A directory to live in\n  Do it:\n\n      a command that is longer than the screen is wide\n\n";
        assert_eq!(lessons.say(&task), expected);
        assert!(wrapped("an extraordinarylongwordthatfitsnowhere x", "", 20).lines().count() == 3);
    }
}
