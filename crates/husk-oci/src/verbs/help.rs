// SPDX-License-Identifier: Apache-2.0
//! `--help`.

use std::fmt::Write;

use husk_oci::definition::{ABOUT, Flag, GLOBALS, VERBS, Verb};

use crate::failure::Failure;
use crate::output;
use crate::{SUCCESS, Status};

pub(crate) fn help(verb: Option<&'static Verb>) -> Result<Status, Failure> {
    output::product(&verb.map_or_else(all, of_verb))?;
    Ok(SUCCESS)
}

fn all() -> String {
    let mut text = format!("{ABOUT}\n\nusage: husk-oci [FLAG…] VERB [FLAG…] [ARGUMENT…]\n\nVerbs:\n");
    for verb in VERBS {
        let _ = writeln!(text, "  {:<10}  {}", verb.name, verb.help);
    }
    text + "\nFlags before the verb:\n"
        + &flags(GLOBALS.iter())
        + "\nhusk-oci VERB --help tells the flags of a verb.\n"
}

fn of_verb(verb: &'static Verb) -> String {
    let usage = format!("husk-oci {} [FLAG…] {}", verb.name, verb.arguments);
    format!("{}\n\nusage: {}\n\nFlags:\n{}", verb.help, usage.trim_end(), flags(verb.flags()))
}

fn flags<'f>(flags: impl Iterator<Item = &'f Flag>) -> String {
    let rows: Vec<_> = flags.map(|flag| (synopsis(flag), flag.help)).collect();
    let width = rows.iter().map(|(synopsis, _)| synopsis.chars().count()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut text, (synopsis, help)| {
        let _ = writeln!(text, "  {synopsis:<width$}  {help}");
        text
    })
}

/// `-b, --bundle DIR`.
fn synopsis(flag: &Flag) -> String {
    let short = flag.names.iter().find(|name| name.len() == 1);
    let short = short.map_or("    ".to_owned(), |name| format!("-{name}, "));
    let value = flag.value.map_or(String::new(), |value| format!(" {value}"));
    let more = if flag.repeats { " …" } else { "" };
    format!("{short}--{}{value}{more}", flag.names[0])
}
