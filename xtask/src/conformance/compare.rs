// SPDX-License-Identifier: Apache-2.0

//! A runtime's assertions beside those of the reference.

use super::excuse::{self, Excuse, Kind};
use super::tap::{Assertion, Outcome};

/// What came of one assertion under the runtime, next to the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// Passed where the reference fails.
    Better,
    Skipped,
    /// It fails for a known reason, and so does the reference, or luck decides.
    Excused(Kind, &'static str),
    /// Both fail, and it is nobody's fault but the runtimes'.
    BothFail,
    /// Failed, skipped or missing where the reference passes; failed where the reference has no such assertion.
    Worse(&'static str),
}

impl Verdict {
    /// Whether the runtime fails by it.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::BothFail | Self::Worse(_))
    }
}

/// One assertion with its verdict, and what the runtime and the reference said.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) remark: String,
    pub(super) reference: String,
}

/// Every assertion that either of the two made.
pub(super) fn compare(program: &str, ours: &[Assertion], theirs: &[Assertion], is_unified: bool) -> Vec<Row> {
    let named = |list: &'_ [Assertion], name: &str| list.iter().find(|a| a.name == name).cloned();
    let mut rows: Vec<Row> = ours
        .iter()
        .map(|own| {
            let their = named(theirs, &own.name);
            let excuse = || excuse::find(program, &own.name, &own.remark, is_unified);
            let race = || excuse().filter(|excuse| excuse.kind == Kind::Race);
            let verdict = match (own.outcome, their.as_ref().map(|a| a.outcome)) {
                (Outcome::Passed, Some(Outcome::Failed)) => Verdict::Better,
                (Outcome::Passed, _) => Verdict::Passed,
                (Outcome::Skipped, Some(Outcome::Passed)) => {
                    Verdict::Worse("skipped where the reference passes")
                }
                (Outcome::Skipped, _) => Verdict::Skipped,
                (Outcome::Failed, Some(Outcome::Failed)) => match excuse() {
                    Some(excuse) => Verdict::Excused(excuse.kind, excuse.reason),
                    None => Verdict::BothFail,
                },
                (Outcome::Failed, Some(_)) => match race() {
                    Some(excuse) => Verdict::Excused(excuse.kind, excuse.reason),
                    None => Verdict::Worse("failed where the reference does not"),
                },
                (Outcome::Failed, None) => {
                    let stopped = |excuse: &&Excuse| stopped_by(program, theirs, excuse, is_unified);
                    match race().or_else(|| excuse().filter(stopped)) {
                        Some(excuse) => Verdict::Excused(excuse.kind, excuse.reason),
                        None => Verdict::Worse("failed, and the reference has no such assertion"),
                    }
                }
            };
            let reference = their.map(|a| a.remark).unwrap_or_default();
            Row { name: own.name.clone(), verdict, remark: own.remark.clone(), reference }
        })
        .collect();
    let missing =
        theirs.iter().filter(|their| their.outcome == Outcome::Passed && named(ours, &their.name).is_none());
    rows.extend(missing.map(|their| Row {
        name: their.name.clone(),
        verdict: Verdict::Worse("missing where the reference passes"),
        remark: String::new(),
        reference: their.remark.clone(),
    }));
    rows
}

/// Whether the reference failed for this reason, so that it did not get as far as the runtime.
fn stopped_by(program: &str, theirs: &[Assertion], excuse: &Excuse, is_unified: bool) -> bool {
    let same = |their: &Assertion| {
        let found = excuse::find(program, &their.name, &their.remark, is_unified);
        found.is_some_and(|own| std::ptr::eq(own, excuse))
    };
    theirs.iter().any(|their| their.outcome == Outcome::Failed && same(their))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rows: &[(&str, Outcome)]) -> Vec<Assertion> {
        let row = |(name, outcome): &(&str, Outcome)| Assertion {
            name: (*name).into(),
            outcome: *outcome,
            remark: String::new(),
        };
        rows.iter().map(row).collect()
    }

    fn verdicts(program: &str, ours: &[(&str, Outcome)], theirs: &[(&str, Outcome)]) -> Vec<Verdict> {
        compare(program, &list(ours), &list(theirs), false).into_iter().map(|row| row.verdict).collect()
    }

    #[test]
    fn each_way_to_be_worse_is_a_failure() {
        use Outcome::{Failed, Passed, Skipped};
        let ours = [("a", Failed), ("b", Skipped), ("d", Failed), ("e", Failed)];
        let found = verdicts("state", &ours, &[("a", Passed), ("b", Passed), ("c", Passed), ("e", Failed)]);
        assert_eq!(found.len(), 5);
        assert!(found.iter().all(Verdict::is_failure), "{found:?}");
    }

    #[test]
    fn what_is_no_worse_is_no_failure() {
        use Outcome::{Failed, Passed, Skipped};
        let found = verdicts(
            "state",
            &[("a", Passed), ("b", Passed), ("c", Skipped)],
            &[("a", Failed), ("b", Passed)],
        );
        assert_eq!(found, [Verdict::Better, Verdict::Passed, Verdict::Skipped]);
    }

    #[test]
    fn an_excuse_counts_only_where_the_reference_fails_too() {
        use Outcome::{Failed, Passed};
        let found = verdicts("linux_mount_label", &[("a", Failed)], &[("a", Failed)]);
        assert!(matches!(found[..], [Verdict::Excused(Kind::Machine, _)]), "{found:?}");
        let found = verdicts("linux_mount_label", &[("a", Failed)], &[("earlier", Failed)]);
        assert!(!found[0].is_failure(), "the reference did not get as far: {found:?}");
        let found = verdicts("linux_mount_label", &[("a", Failed)], &[("earlier", Passed)]);
        assert!(found[0].is_failure(), "{found:?}");
        let found = verdicts("linux_mount_label", &[("a", Failed)], &[("a", Passed)]);
        assert!(found[0].is_failure(), "{found:?}");
    }

    #[test]
    fn a_race_may_be_lost_whatever_the_reference_does() {
        use Outcome::{Failed, Passed};
        let (own, its) = ("create with '--pid-file' option works", "container not running: \"a\" is stopped");
        let lost = |remark: &str| {
            let own = Assertion { name: own.into(), outcome: Failed, remark: remark.into() };
            let theirs = [&list(&[(&own.name, Passed)])[..], &list(&[(&own.name, Failed)]), &[]];
            theirs.map(|theirs| {
                compare("pidfile", std::slice::from_ref(&own), theirs, false)[0].verdict.is_failure()
            })
        };
        assert_eq!(lost(its), [false; 3]);
        assert_eq!(lost("wrong pid 1, expected 2"), [true; 3], "it is another failure");
    }
}
