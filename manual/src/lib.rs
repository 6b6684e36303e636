// SPDX-License-Identifier: Apache-2.0
//! Man pages and shell completions, made from the definitions of the command lines. A crate of its own, so that neither the programs
//! nor xtask carry what writes them.
#![forbid(unsafe_code)]

mod husk_oci;
mod page;

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate};

/// The command lines that are documented. One that clap does not read can still be declared in its terms, and added here.
pub const PROGRAMS: &[fn() -> Command] = &[husk::definition, husk_oci::definition];

/// Where each shell looks for what completes a program's command line, below `/usr/share`, `/usr/local/share` or
/// `~/.local/share`.
const COMPLETIONS: &[(Shell, &str)] = &[
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

/// Where man(1) looks for pages of section 1, below the same.
const PAGES: &str = "man/man1";

/// Writes all of it below `directory`, in the layout of `/usr/share`.
///
/// # Errors
/// A file cannot be written; the message names it.
pub fn write(directory: &Path) -> io::Result<()> {
    write_programs(PROGRAMS.iter().map(|definition| definition()), directory)
}

fn write_programs(programs: impl Iterator<Item = Command>, directory: &Path) -> io::Result<()> {
    // A command `help`, with one for each command, is only there if it is declared.
    let mut programs: Vec<_> = programs.map(|program| program.disable_help_subcommand(true)).collect();
    // Everything that clap derives: the full names of commands, the options that all have.
    programs.iter_mut().for_each(Command::build);
    for program in &programs {
        let related = page::related(program, &programs);
        write_pages(program, program, &related, &directory.join(PAGES))?;
        for (shell, place) in COMPLETIONS {
            write_completion(*shell, program, &directory.join(place))?;
        }
    }
    Ok(())
}

/// The page of a command, and those of the commands below it.
fn write_pages(program: &Command, command: &Command, related: &[&str], directory: &Path) -> io::Result<()> {
    let page = page::page(program, command, related)?;
    write_file(directory, &format!("{}.1", page::name(command)), &page)?;
    page::subcommands(command).try_for_each(|below| write_pages(program, below, related, directory))
}

fn write_completion(shell: Shell, program: &Command, directory: &Path) -> io::Result<()> {
    use clap_complete::Generator;
    let name = program.get_name();
    // bash-completion looks for the program's bare name.
    let file = if shell == Shell::Bash { name.to_owned() } else { shell.file_name(name) };
    let mut text = Vec::new();
    generate(shell, &mut program.clone(), name, &mut text);
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    let text = match shell {
        Shell::Zsh => with_subcommands_first(&with_names_for_zsh(text, program)),
        _ => text,
    };
    write_file(directory, &file, &text)
}

/// Where a command takes a subcommand or a word of its own in its place, clap_complete has the word first and the subcommand second,
/// and so never finds one. The word goes: there is nothing to complete it with.
fn with_subcommands_first(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut kept = String::new();
    // How often the place of the subcommand is still named.
    let mut named = 0;
    for (index, line) in lines.iter().enumerate() {
        let is_before = lines.get(index + 1).is_some_and(|next| next.starts_with("\":: :_"));
        if line.starts_with("'::") && is_before {
            named = 3;
            continue;
        }
        let is_place = named > 0 && line.contains("$line[2]");
        named -= usize::from(is_place);
        kept += &if is_place { line.replace("$line[2]", "$line[1]") } else { (*line).to_owned() };
        kept.push('\n');
    }
    kept
}

/// In what zsh's `_arguments` reads, a colon ends the name of a value; clap_complete writes names as they are.
fn with_names_for_zsh(text: String, command: &Command) -> String {
    let names = command.get_arguments().filter_map(|argument| argument.get_value_names()).flatten();
    let text = names.filter(|name| name.contains(':')).fold(text, |text, name| {
        text.replace(&format!("]:{name}:"), &format!("]:{}:", name.replace(':', "\\:")))
    });
    command.get_subcommands().fold(text, with_names_for_zsh)
}

fn write_file(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = directory.join(name);
    let written = fs::create_dir_all(directory).and_then(|()| fs::write(&path, text));
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_clap_does_not_read_is_declared_for_its_pages() {
        let create = Command::new("create").about("Create a container");
        let engine = Command::new("husk-engine").version("1").about("Run containers").subcommand(create);
        let directory = tempfile::tempdir().unwrap();
        write_programs([husk::definition(), engine].into_iter(), directory.path()).unwrap();
        let read = |path: &str| fs::read_to_string(directory.path().join(path)).unwrap();
        let page = read("man/man1/husk-engine-create.1");
        assert!(page.contains("\nhusk\\-engine\\-create \\- create a container\n"), "{page}");
        assert!(page.contains("\nhusk\\-engine(1), husk(1)\n"), "{page}");
        assert!(read("man/man1/husk-run.1").contains(", husk\\-engine(1)\n"), "beside the other program");
        for completion in [
            "bash-completion/completions/husk-engine",
            "zsh/site-functions/_husk-engine",
            "fish/vendor_completions.d/husk-engine.fish",
        ] {
            assert!(read(completion).contains("create"), "{completion}");
        }
    }
}
