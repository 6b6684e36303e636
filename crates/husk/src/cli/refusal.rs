// SPDX-License-Identifier: Apache-2.0
//! A command line that clap refuses, in husk's words.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::refusal_status;
use crate::failure::Failure;

/// Options of other container programs that people will type, why husk does not take them, and what to do instead.
const FOREIGN: &[(&[&str], &str, &str)] = &[
    (
        &["--privileged"],
        "husk has no switch that gives everything away at once",
        "say what is needed: --cap-add, --device, --userns=host, --share",
    ),
    (
        &["-d", "--detach"],
        "a container of husk runs in the foreground",
        "leave it to the shell, away from the terminal: husk run ... </dev/null &",
    ),
    (
        &["-p", "--publish", "-P", "--publish-all", "--expose"],
        "a container has a network of its own with loopback alone, so there is nothing to publish",
        "--network=host gives it the host's network",
    ),
    (&["--entrypoint"], "a root file system has no entry point", "write the command after ROOTFS"),
    (
        &["--cpu-quota", "--cpu-period"],
        "husk says it in processors",
        "a quota of 50000 in a period of 100000 is --cpus 0.5",
    ),
    (
        &["--kernel-memory", "--memory-swappiness", "--oom-kill-disable"],
        "no kernel of today has such a limit on cgroup v2",
        "--memory and --memory-swap limit memory",
    ),
    (&["--security-opt"], "husk has an option for each", "--allow-setuid, --hardened, --cap-add, --cap-drop"),
    (
        &["--group-add"],
        "supplementary groups are those of the container's /etc/group",
        "--user USER:GROUP sets the group",
    ),
    (&["--volumes-from", "--volume-driver"], "husk has no named volumes", "-v ./DIR:DST shows a directory"),
    (
        &["--add-host", "--dns"],
        "husk writes no /etc/hosts and no resolv.conf",
        "edit the files in ROOTFS, or -v ./hosts:/etc/hosts",
    ),
    (
        &["--restart", "--pull", "--platform", "--gpus"],
        "husk has nothing like it",
        "`husk run --help` lists the options",
    ),
];

/// What a person is told about an error of clap's.
pub(super) fn failure_of(error: &clap::Error, line: &[OsString]) -> Failure {
    let (problem, hint) = words_of(error);
    let help = format!("`{} --help` lists what there is", command_of(line));
    Failure {
        doing: "reading the command line".to_owned(),
        problem,
        hints: vec![hint.unwrap_or(help)],
        status: refusal_status(line),
    }
}

fn words_of(error: &clap::Error) -> (String, Option<String>) {
    let text = |kind| context(error, kind).unwrap_or_default();
    // clap says `--name <NAME>` where the option is meant.
    let argument = text(ContextKind::InvalidArg);
    let option = argument.split(' ').next().unwrap_or_default().trim_end_matches('=');
    match error.kind() {
        ErrorKind::UnknownArgument if option.starts_with('-') => unknown_option(error, option),
        ErrorKind::UnknownArgument => (format!("{argument}: one word too many"), None),
        ErrorKind::InvalidSubcommand => {
            let suggested = context(error, ContextKind::SuggestedSubcommand);
            let problem = format!("there is no command {}", text(ContextKind::InvalidSubcommand));
            (problem, suggested.map(|suggested| format!("did you mean {suggested}?")))
        }
        ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_empty() => {
            (format!("{option}: a value is missing: {argument}"), None)
        }
        ErrorKind::InvalidValue => {
            let valid = text(ContextKind::ValidValue);
            (format!("{option} {}: the choice is {valid}", text(ContextKind::InvalidValue)), None)
        }
        ErrorKind::TooManyValues => (
            format!("{option}={}: it takes no value", text(ContextKind::InvalidValue)),
            Some(format!("write {option}")),
        ),
        ErrorKind::ArgumentConflict if option.is_empty() => ("a word is one too many".to_owned(), None),
        ErrorKind::ArgumentConflict => {
            let prior = text(ContextKind::PriorArg);
            (format!("{option} and {} exclude each other", prior.split(' ').next().unwrap_or_default()), None)
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            (format!("{option} {}: {why}", text(ContextKind::InvalidValue)), None)
        }
        ErrorKind::MissingRequiredArgument => {
            (format!("{} is missing", argument.trim_matches(['<', '>'])), None)
        }
        ErrorKind::InvalidUtf8 => ("a word is not valid UTF-8 where only text makes sense".to_owned(), None),
        _ => {
            let message = error.to_string();
            let first = message.lines().next().unwrap_or_default();
            (first.trim_start_matches("error: ").to_owned(), None)
        }
    }
}

fn unknown_option(error: &clap::Error, option: &str) -> (String, Option<String>) {
    if let Some((_, why, instead)) = FOREIGN.iter().find(|(names, ..)| names.contains(&option)) {
        return (format!("{option}: {why}"), Some((*instead).to_owned()));
    }
    let suggested = context(error, ContextKind::SuggestedArg);
    (format!("{option}: unknown option"), suggested.map(|suggested| format!("did you mean {suggested}?")))
}

/// Whether `typed` is `word` by a slip of a finger: a letter is missing, one too many or another one, or two have changed places.
pub(crate) fn is_slip(typed: &str, word: &str) -> bool {
    let (typed, word): (Vec<_>, Vec<_>) = (typed.chars().collect(), word.chars().collect());
    let same = typed.iter().zip(&word).take_while(|(one, other)| one == other).count();
    let (typed, word) = (&typed[same..], &word[same..]);
    match (typed, word) {
        ([], []) => false,
        ([_, rest @ ..], _) if rest == word => true,
        (_, [_, rest @ ..]) if rest == typed => true,
        ([a, b, rest @ ..], [c, d, other @ ..]) if (a, b) == (d, c) => rest == other,
        ([_, rest @ ..], [_, other @ ..]) => rest == other,
        _ => false,
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    error.get(kind).map(|value| match value {
        ContextValue::Strings(words) => words.join(", "),
        other => other.to_string(),
    })
}

/// The command that a line is of, as far as it can be told: `husk explain run`.
fn command_of(line: &[OsString]) -> String {
    let words = || line.iter().skip(1).filter_map(|word| word.to_str());
    let known: &[&str] = match words().next() {
        Some("run") => &["run"],
        Some("explain") => &["explain", "run"],
        Some("step") => &["step", "run"],
        Some("rootfs") => &["rootfs", "new"],
        Some("see") => &["see"],
        Some("diff") => &["diff"],
        Some("doctor") => &["doctor"],
        Some("why") => &["why", "run"],
        Some("learn") => &["learn"],
        _ => &[],
    };
    let typed = words().zip(known).take_while(|(word, known)| word == *known).count();
    std::iter::once("husk").chain(known[..typed].iter().copied()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::is_slip;

    #[test]
    fn a_slip_is_of_one_letter_or_of_two_that_are_swapped() {
        for typed in ["rum", "ru", "un", "rn", "runn", "rrun", "urn", "rnu", "bun"] {
            assert!(is_slip(typed, "run"), "{typed}");
        }
        for typed in ["run", "", "r", "ran1", "nur", "web", "running"] {
            assert!(!is_slip(typed, "run"), "{typed}");
        }
    }
}
