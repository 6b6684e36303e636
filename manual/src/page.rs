// SPDX-License-Identifier: Apache-2.0
//! One man page: the sections that clap_mangen makes of a command, and the words that the help has at its end, which are laid out as
//! man(7) wants them.

use std::fmt::Write;
use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// Paragraphs of the help that are sections of a page.
const SECTIONS: [&str; 2] = [EXAMPLES, "Exit status:"];
/// The one whose lines stay lines.
const EXAMPLES: &str = "Examples:";

/// What a command's page is called: `husk-run`.
pub(crate) fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// The commands below it that people are told of.
pub(crate) fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set())
}

/// The pages that go with a program's: its own, and those of the other programs themselves.
pub(crate) fn related<'c>(program: &'c Command, programs: &'c [Command]) -> Vec<&'c str> {
    let mut pages = Vec::new();
    collect(program, &mut pages);
    let others = programs.iter().map(Command::get_name).filter(|name| *name != program.get_name());
    pages.extend(others);
    pages
}

fn collect<'c>(command: &'c Command, pages: &mut Vec<&'c str>) {
    pages.push(name(command));
    subcommands(command).for_each(|below| collect(below, pages));
}

/// The page of `command`, which is `program` or below it; `related` pages are named in the end.
pub(crate) fn page(program: &Command, command: &Command, related: &[&str]) -> io::Result<String> {
    let man = Man::new(command.clone().subcommand_help_heading("COMMANDS"));
    let mut text = title(program, command).into_bytes();
    Roff::new().control("SH", ["NAME"]).text([roman(summary(command))]).to_writer(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if subcommands(command).next().is_some() {
        man.render_subcommands_section(&mut text)?;
    }
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut text)?;
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    closing(&after).to_writer(&mut text)?;
    see_also(command, related).to_writer(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok(with_code_in_bold(&with_one_preamble(&text)))
}

/// Without a date: the same source makes the same page. clap_mangen would leave the empty date out, and the rest in its place.
fn title(program: &Command, command: &Command) -> String {
    let version = program.get_version().unwrap_or_default();
    let (title, source) = (name(command).to_uppercase(), program.get_name());
    format!(".TH \"{title}\" 1 \"\" \"{source} {version}\" \"Manual of {source}\"\n")
}

/// `husk-run - run a command in a container`: one line, which whatis(1) reads.
fn summary(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let end = about.find([':', '.']).unwrap_or(about.len());
    let program = format!("{} ", command.get_name());
    let phrase = about[..end].strip_prefix(&program).unwrap_or(&about[..end]).replace('\n', " ");
    format!("{} - {}", name(command), with_first(&phrase, char::to_ascii_lowercase))
}

fn with_first(text: &str, change: fn(&char) -> char) -> String {
    let mut letters = text.chars();
    letters.next().map(|letter| change(&letter)).into_iter().chain(letters).collect()
}

/// Each section comes with the definition of the apostrophe, which one page needs once.
fn with_one_preamble(page: &str) -> String {
    let is_preamble = |line: &&str| line.starts_with(".ie ") || line.starts_with(".el ");
    let preamble = page.lines().filter(is_preamble).take(2);
    let rest = page.lines().filter(|line| !is_preamble(line));
    preamble.chain(rest).flat_map(|line| [line, "\n"]).collect()
}

/// What stands at the end of the help, as sections: notes, unless a paragraph says what it is.
fn closing(help: &str) -> Roff {
    let mut roff = Roff::new();
    let mut section = "";
    for paragraph in help.split("\n\n").map(str::trim_end).filter(|paragraph| !paragraph.is_empty()) {
        let found = SECTIONS.into_iter().find(|section| paragraph.starts_with(section));
        let (title, body) = match found {
            Some(title) => (title, paragraph[title.len()..].trim_start_matches(['\n', ' '])),
            None => ("Notes:", paragraph),
        };
        match title == section {
            true => roff.control("PP", []),
            false => roff.control("SH", [title.trim_end_matches(':').to_uppercase().as_str()]),
        };
        section = title;
        if title == EXAMPLES {
            roff.control("nf", []);
            for line in body.lines() {
                roff.text([roman(line.trim())]);
            }
            roff.control("fi", []);
        } else {
            roff.text([roman(with_first(body, char::to_ascii_uppercase))]);
        }
    }
    roff
}

fn see_also(command: &Command, related: &[&str]) -> Roff {
    let others = related.iter().filter(|page| **page != name(command));
    let line = others.map(|page| format!("{page}(1)")).collect::<Vec<_>>().join(", ");
    let mut roff = Roff::new();
    if !line.is_empty() {
        roff.control("SH", ["SEE ALSO"]).text([roman(line)]);
    }
    roff
}

/// Help texts mark code with backticks, which man would print as opening quotes.
fn with_code_in_bold(page: &str) -> String {
    page.lines().fold(String::with_capacity(page.len()), |mut text, line| {
        let mut parts: Vec<_> = line.split('`').collect();
        // A code that goes on in the next line is closed here and opened there, which bold does not need.
        let last = parts.pop().unwrap_or_default();
        for (index, part) in parts.into_iter().enumerate() {
            let _ = write!(text, "{part}\\f{}", if index % 2 == 0 { 'B' } else { 'R' });
        }
        text.push_str(last);
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_bold() {
        assert_eq!(with_code_in_bold("a `b c` d `e`\n"), "a \\fBb c\\fR d \\fBe\\fR\n");
    }

    #[test]
    fn paragraphs_that_say_what_they_are_become_sections() {
        let roff =
            closing("One.\n\nTwo.\n\nExamples:\n  husk run\n  husk see\n\nExit status: the command's.\n")
                .render();
        let expected = ".SH NOTES\nOne.\n.PP\nTwo.\n.SH EXAMPLES\n.nf\nhusk run\nhusk see\n.fi\n.SH \"EXIT STATUS\"\nThe command\\*(Aqs.\n";
        assert!(roff.ends_with(expected), "{roff}");
    }
}
