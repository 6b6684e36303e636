// SPDX-License-Identifier: Apache-2.0
//! husk-oci's command line in clap's terms, from the definition that the program itself reads.

use clap::{Arg, ArgAction, Command, ValueHint};
use husk_oci::definition::{ABOUT, Flag, GLOBALS, VERBS, Verb};

/// The names of the first arguments after the flags; the last takes all that follow.
const MANY: &str = "COMMAND [ARG…]";

/// The program.
pub(crate) fn definition() -> Command {
    Command::new("husk-oci")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .subcommand_required(true)
        .args(GLOBALS.iter().map(argument))
        .subcommands(VERBS.iter().map(verb))
}

fn verb(verb: &'static Verb) -> Command {
    let command = Command::new(verb.name).about(verb.help).disable_help_flag(true);
    positional(command.args(verb.flags().map(argument)), verb)
}

/// `ID [SIGNAL]`, `ID [COMMAND [ARG…]]`.
fn positional(mut command: Command, verb: &'static Verb) -> Command {
    for (index, word) in verb.arguments.split(' ').filter(|word| !word.is_empty()).enumerate() {
        let name = word.trim_matches(['[', ']']);
        if name.ends_with('…') {
            continue;
        }
        let is_last_of_many = verb.arguments.contains(MANY) && word.contains("COMMAND");
        let argument = Arg::new(name).value_name(name).required(index == 0);
        command = command.arg(match is_last_of_many {
            true => argument.num_args(1..).trailing_var_arg(true).value_hint(ValueHint::CommandWithArguments),
            false => argument,
        });
    }
    command
}

fn argument(flag: &'static Flag) -> Arg {
    let argument = Arg::new(flag.names[0]).long(flag.names[0]).help(flag.help);
    let short = flag.names.iter().find(|name| name.len() == 1).and_then(|name| name.chars().next());
    let argument = short.into_iter().fold(argument, Arg::short);
    match flag.value {
        None => argument.action(ArgAction::SetTrue),
        Some(value) => {
            let action = if flag.repeats { ArgAction::Append } else { ArgAction::Set };
            argument.action(action).value_name(value).value_hint(hint(value))
        }
    }
}

fn hint(value: &str) -> ValueHint {
    match value {
        "DIR" => ValueHint::DirPath,
        "FILE" | "SOCKET" => ValueHint::FilePath,
        _ => ValueHint::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_takes_the_definition() {
        definition().debug_assert();
    }

    #[test]
    fn every_verb_and_flag_is_there() {
        let program = definition();
        let longs = |command: &Command| -> Vec<String> {
            command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)).collect()
        };
        assert_eq!(longs(&program), GLOBALS.iter().map(|flag| flag.names[0]).collect::<Vec<_>>());
        for verb in VERBS {
            let command = program.find_subcommand(verb.name).expect(verb.name);
            assert_eq!(
                longs(command),
                verb.flags().map(|flag| flag.names[0]).collect::<Vec<_>>(),
                "{}",
                verb.name
            );
        }
    }

    #[test]
    fn what_the_program_takes_clap_takes() {
        for line in [
            "husk-oci --root /r create --bundle /b c",
            "husk-oci exec -e A=1 -e B=2 c ls -l",
            "husk-oci kill --all c 9",
            "husk-oci features",
        ] {
            let parsed = definition().try_get_matches_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err(line));
        }
    }
}
