// SPDX-License-Identifier: Apache-2.0

//! The whole test run, as a person and as CI start it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{cargo, run as run_command, shown};
use crate::{Result, lint, setup, size, workspace};

/// The verb: everything runs, also after a failure; the last lines say what came out.
pub(crate) fn run() -> Result {
    heading("setup");
    setup::ensure();

    heading("build");
    run_command(&mut cargo(&["build", "--workspace"]))?;

    heading("tests");
    let skips = workspace::scratch_directory()?.join("skips");
    let tests = tests(&skips);
    let skips = fs::read_to_string(&skips)?;

    heading("lint");
    let lint = lint::run();

    heading("size");
    let size = size::run();

    heading("result");
    report(tests, &skips, lint, size)
}

fn heading(name: &str) {
    println!("\n== {name}");
}

/// What the test programs said about themselves, added up.
#[derive(Debug, Default, PartialEq)]
struct Totals {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Totals {
    /// Adds a test program's closing line: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse().unwrap_or(0), what)) {
                Some((number, "passed")) => self.passed += number,
                Some((number, "failed")) => self.failed += number,
                Some((number, "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Runs every test. A test that cannot run here appends `SKIP name: reason` to the file named by
/// HUSK_SKIPS, because cargo hides what a passing test prints.
fn tests(skips: &Path) -> Result<Totals> {
    fs::write(skips, "")?;
    let cargo = cargo(&["test", "--workspace", "--no-fail-fast"]);
    // Under nohup, or in a shell's background, signals are ignored, and husk leaves those to be so.
    let mut command = Command::new("env");
    command.arg("--default-signal").arg(cargo.get_program()).args(cargo.get_args());
    command.current_dir(workspace::root());
    command.env("HUSK_SKIPS", skips).stdin(Stdio::null()).stdout(Stdio::piped());
    eprintln!("$ {}", shown(&command));
    let mut child = command.spawn()?;

    let mut totals = Totals::default();
    for line in BufReader::new(child.stdout.take().expect("stdout is piped")).lines() {
        let line = line?;
        println!("{line}");
        totals.add(&line);
    }

    let status = child.wait()?;
    if status.success() {
        return Ok(totals);
    }
    Err(format!("{} failed, {} passed ({status})", totals.failed, totals.passed).into())
}

fn report(tests: Result<Totals>, skips: &str, lint: Result, size: Result) -> Result {
    print!("{skips}");
    let skipped = skips.lines().count();
    let totals = tests.map(|Totals { passed, ignored, .. }| format!("{passed} passed, {ignored} ignored"));
    let ok = |()| "ok".to_string();
    let outcomes = [
        say("tests", totals),
        say("skips", well_formed(skips).map(|()| skipped.to_string())),
        say("lint", lint.map(ok)),
        say("size", size.map(ok)),
    ];
    if outcomes == [true; 4] { Ok(()) } else { Err("failed".into()) }
}

/// Each skip has a name and a reason: `SKIP name: reason`.
fn well_formed(skips: &str) -> Result {
    let has_reason = |line: &str| {
        let parts = line.strip_prefix("SKIP ").and_then(|rest| rest.split_once(": "));
        parts.is_some_and(|(name, reason)| !name.is_empty() && !reason.trim().is_empty())
    };
    match skips.lines().find(|line| !has_reason(line)) {
        None => Ok(()),
        Some(line) => Err(format!("not of the form `SKIP name: reason`: {line}").into()),
    }
}

/// One line of the report, or as many as an error has.
fn say(what: &str, outcome: Result<String>) -> bool {
    match &outcome {
        Ok(result) => println!("{what}: {result}"),
        Err(error) => println!("{what}: failed: {error}"),
    }
    outcome.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_all_test_programs_add_up() {
        let mut totals = Totals::default();
        totals.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured");
        totals.add("test result: FAILED. 2 passed; 4 failed; 0 ignored; 7 filtered out");
        totals.add("test edges::tests::run ... ok");
        assert_eq!(totals, Totals { passed: 5, failed: 4, ignored: 1 });
    }

    #[test]
    fn each_part_can_fail_the_whole() {
        let outcome = |ok: bool| -> Result { if ok { Ok(()) } else { Err("broken".into()) } };
        let all = |tests: bool, skips, lint, size| {
            report(outcome(tests).map(|()| Totals::default()), skips, outcome(lint), outcome(size))
        };
        let skip = "SKIP overlay: no overlay in user namespaces\n";
        assert!(all(true, skip, true, true).is_ok());
        assert!(all(false, skip, true, true).is_err());
        assert!(all(true, "SKIP overlay:\n", true, true).is_err());
        assert!(all(true, skip, false, true).is_err());
        assert!(all(true, skip, true, false).is_err());
    }
}
