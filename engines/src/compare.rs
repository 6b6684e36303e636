// SPDX-License-Identifier: Apache-2.0
//! A case with one runtime beside the same case with another.

use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use crate::normal::normal;
use crate::{Case, Outcome, Result, Step, World};

/// What came out of a case with one runtime.
#[derive(Clone, Debug)]
pub struct Trial {
    outcomes: Vec<Outcome>,
    /// Cgroups, mounts and processes of containers that are gone.
    left: String,
    /// How often the engine called the runtime, and how.
    calls: String,
    /// How long it took.
    pub took: Duration,
}

impl Trial {
    /// Plays a case in a world where its engine runs, and clears away what it has made.
    pub fn of(case: &Case, world: &mut World) -> Result<Self> {
        let begin = Instant::now();
        world.must(": >/tmp/engines/calls && chmod 666 /tmp/engines/calls")?;
        let mut outcomes = Vec::new();
        for step in case.steps {
            let outcome = world.run(step.typed)?;
            // What follows would wait for the same thing again.
            let was_ended = was_ended(step, &outcome);
            outcomes.push(outcome);
            if was_ended {
                break;
            }
        }
        let calls = world.must("cat /tmp/engines/calls")?;
        world.run(case.engine.clearing())?;
        Ok(Self { outcomes, left: world.must("left")?, calls, took: begin.elapsed() })
    }

    /// How the engine called the runtime, a line for each call.
    pub fn calls(&self) -> String {
        normal(&self.calls)
    }

    /// The first step that did not do what it is for, and what it said.
    fn failure(&self, case: &Case) -> Option<String> {
        let mut steps = case.steps.iter().zip(&self.outcomes);
        let (step, outcome) = steps.find(|(step, outcome)| !is_as_expected(step, outcome))?;
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        let said = said.trim_end().lines().rev().take(4).collect::<Vec<_>>();
        let said = said.into_iter().rev().collect::<Vec<_>>().join(" | ");
        Some(format!("{}: {}: {said}", step.typed, end(step, outcome)))
    }

    /// As it is compared.
    fn transcript(&self, case: &Case) -> Vec<String> {
        let mut lines = Vec::new();
        for (step, outcome) in case.steps.iter().zip(&self.outcomes) {
            lines.extend(step.typed.lines().map(|line| format!("$ {line}")));
            lines.extend(normal(&outcome.stdout).lines().map(String::from));
            lines.extend(normal(&outcome.stderr).lines().map(|line| format!("stderr: {line}")));
            lines.push(end(step, outcome));
        }
        lines.extend(self.left.lines().map(|line| format!("left behind: {line}")));
        lines
    }
}

fn end(step: &Step, outcome: &Outcome) -> String {
    let why = if was_ended(step, outcome) { ": it took too long, and was ended" } else { "" };
    format!("exit status {}{why}", outcome.status)
}

fn was_ended(step: &Step, outcome: &Outcome) -> bool {
    outcome.status == Outcome::TOO_LONG && step.exits != Outcome::TOO_LONG
}

fn is_as_expected(step: &Step, outcome: &Outcome) -> bool {
    outcome.status == step.exits && outcome.stdout.contains(step.shows)
}

/// What a machine may forbid, and what an old runc lacks, by the words that show it. A reference that fails in any other way makes the case
/// fail: it is the case that is wrong.
const FORBIDDEN: &[(&str, &str)] = &[
    (
        "unable to apply caps: operation not permitted",
        "all capabilities are asked for, and this machine's bounding set lacks some",
    ),
    ("65534 /i/file", "this runc has no mounts with an id map, which came with 1.2"),
];

/// What the comparison says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No difference.
    Same,
    /// The machine does not let the reference do what the case is about: nothing can be compared.
    ReferenceCannot {
        /// What the machine forbids.
        reason: &'static str,
        /// Whether it lets the tested one.
        tested_can: bool,
    },
    /// The reference does not do what the case is about, and the machine is not known to be the reason.
    ReferenceFails(String),
    /// A difference, line by line.
    Differs(String),
    /// An engine did it without calling the runtime: the case shows nothing.
    NotCalled,
}

impl Verdict {
    /// Whether the run fails by it.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::ReferenceFails(_) | Self::Differs(_) | Self::NotCalled)
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("same"),
            Self::ReferenceCannot { reason, tested_can } => {
                let tested = if *tested_can { "the tested one can" } else { "nor can the tested one" };
                write!(f, "runc cannot here: {reason}; {tested}")
            }
            Self::ReferenceFails(said) => write!(f, "THE REFERENCE FAILS: {said}"),
            Self::Differs(lines) => write!(f, "DIFFERS\n{lines}"),
            Self::NotCalled => {
                f.write_str("NOT CALLED: the engine did without the runtime, so the case shows nothing")
            }
        }
    }
}

/// Compares a case's outcomes.
pub fn judge(case: &Case, reference: &Trial, tested: &Trial) -> Verdict {
    if let Some(said) = reference.failure(case) {
        return match FORBIDDEN.iter().find(|(words, _)| said.contains(words)) {
            Some((_, reason)) => {
                Verdict::ReferenceCannot { reason, tested_can: tested.failure(case).is_none() }
            }
            None => Verdict::ReferenceFails(said),
        };
    }
    if reference.calls.is_empty() || tested.calls.is_empty() {
        return Verdict::NotCalled;
    }
    let mut expected = reference.transcript(case);
    let tested = tested.transcript(case);
    // Who cleans up more does no harm.
    expected.retain(|line| !line.starts_with("left behind: ") || tested.contains(line));
    match difference(&expected, &tested) {
        None => Verdict::Same,
        Some(lines) => Verdict::Differs(lines),
    }
}

/// How many equal lines are shown around a difference.
const AROUND: usize = 2;

/// Lines that differ: `-` the reference's, `+` the tested one's; `None` if there are none.
fn difference(reference: &[String], tested: &[String]) -> Option<String> {
    if reference == tested {
        return None;
    }
    let marked = marked(reference, tested);
    let is_near = |index: usize| {
        let near = marked[index.saturating_sub(AROUND)..(index + AROUND + 1).min(marked.len())].iter();
        near.clone().any(|(mark, _)| *mark != ' ')
    };
    // What was typed stays: a difference without its command says little.
    let shown =
        marked.iter().enumerate().filter(|(index, (_, line))| is_near(*index) || line.starts_with("$ "));
    Some(shown.map(|(_, (mark, line))| format!("    {mark} {line}\n")).collect())
}

/// Both texts as one, by their longest common subsequence.
fn marked<'a>(reference: &'a [String], tested: &'a [String]) -> Vec<(char, &'a str)> {
    let (rows, columns) = (reference.len(), tested.len());
    let mut common = vec![vec![0_u32; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row][column] = match reference[row] == tested[column] {
                true => common[row + 1][column + 1] + 1,
                false => common[row + 1][column].max(common[row][column + 1]),
            };
        }
    }
    let (mut row, mut column, mut lines) = (0, 0, Vec::new());
    while row < rows || column < columns {
        if row < rows && column < columns && reference[row] == tested[column] {
            lines.push((' ', reference[row].as_str()));
            (row, column) = (row + 1, column + 1);
        } else if column == columns || row < rows && common[row + 1][column] >= common[row][column + 1] {
            lines.push(('-', reference[row].as_str()));
            row += 1;
        } else {
            lines.push(('+', tested[column].as_str()));
            column += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;
    use crate::case::{does, exits, shows};

    const CASE: Case =
        Case { name: "case", engine: Engine::Docker, steps: &[shows("one", "1"), exits(3, "two")] };

    fn trial(outcomes: [(i32, &str); 2], calls: &str) -> Trial {
        let outcome =
            |(status, stdout): (i32, &str)| Outcome { status, stdout: stdout.into(), stderr: String::new() };
        Trial {
            outcomes: outcomes.map(outcome).into(),
            left: String::new(),
            calls: calls.into(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn equal_outcomes_are_the_same() {
        let good = trial([(0, "1\n"), (3, "")], "create\n");
        assert_eq!(judge(&CASE, &good, &good.clone()), Verdict::Same);
    }

    #[test]
    fn a_difference_in_output_status_or_remains_fails() {
        let good = trial([(0, "a\n1\nb\n"), (3, "")], "create\n");
        let Verdict::Differs(lines) = judge(&CASE, &good, &trial([(0, "a\n2\nb\n"), (3, "")], "create\n"))
        else {
            panic!("a difference in the output");
        };
        assert_eq!(
            lines.lines().filter(|line| line.starts_with("    - 1") || line.starts_with("    + 2")).count(),
            2
        );
        assert!(judge(&CASE, &good, &trial([(0, "a\n1\nb\n"), (4, "")], "create\n")).is_failure());
        let untidy = Trial { left: "/sys/fs/cgroup/x\n".into(), ..good.clone() };
        assert!(judge(&CASE, &good, &untidy).is_failure());
    }

    #[test]
    fn what_took_too_long_is_said() {
        let good = trial([(0, "1\n"), (3, "")], "create\n");
        let slow = trial([(0, "1\n"), (Outcome::TOO_LONG, "")], "create\n");
        let Verdict::Differs(lines) = judge(&CASE, &good, &slow) else { panic!("a difference in the end") };
        assert!(lines.contains("    + exit status 124: it took too long, and was ended\n"), "{lines}");
    }

    #[test]
    fn what_the_reference_cannot_do_is_neither_hidden_nor_passed() {
        let good = trial([(0, "1\n"), (3, "")], "create\n");
        let bad = trial([(1, "runc: unable to apply caps: operation not permitted\n"), (3, "")], "create\n");
        let Verdict::ReferenceCannot { reason, tested_can } = judge(&CASE, &bad, &good) else {
            panic!("it cannot")
        };
        assert!(reason.contains("bounding set") && tested_can);
        assert!(judge(&CASE, &good, &bad).is_failure());
        let wrong = trial([(0, "2"), (3, "")], "create\n");
        assert_eq!(
            judge(&CASE, &wrong, &wrong.clone()),
            Verdict::ReferenceFails("one: exit status 0: 2".into())
        );
    }

    #[test]
    fn a_case_that_never_reaches_the_runtime_fails() {
        let good = trial([(0, "1\n"), (3, "")], "");
        assert_eq!(judge(&CASE, &good, &good.clone()), Verdict::NotCalled);
        assert_eq!(does("x").exits, 0);
    }
}
