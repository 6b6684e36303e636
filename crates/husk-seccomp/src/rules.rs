// SPDX-License-Identifier: Apache-2.0
//! The rules about one call, in the order in which they are asked. The first whose conditions hold decides.

use std::cmp::Ordering;
use std::fmt::{self, Display};

use crate::action::Outcome;
use crate::condition::{Condition, Step};

/// Where a rule stands in the profile: `syscalls[syscall].names[name]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleOrigin {
    /// The index in `syscalls`.
    pub syscall: usize,
    /// The index in its `names`.
    pub name: usize,
}

impl Display for RuleOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "syscalls[{}].names[{}]", self.syscall, self.name)
    }
}

/// What happens if all conditions hold; they are of different arguments, and sorted by them.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) outcome: Outcome,
    pub(crate) origin: RuleOrigin,
}

/// The rules about one call.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

impl Rules {
    pub(crate) fn get(&self) -> &[Rule] {
        &self.0
    }

    /// Adds the next rule of the profile, where libseccomp would have it.
    ///
    /// # Errors
    /// The rule that it contradicts: one whose conditions begin with all of the new rule's, with another outcome.
    pub(crate) fn add(&mut self, rule: Rule, wide: bool) -> Result<(), Rule> {
        if self.0.iter().any(|old| old.conditions.is_empty()) {
            return Ok(());
        }
        if rule.conditions.is_empty() {
            self.0 = vec![rule];
            return Ok(());
        }
        for old in &self.0 {
            let equal = old.conditions == rule.conditions;
            if equal && old.outcome == rule.outcome || !equal && rule.conditions.starts_with(&old.conditions)
            {
                return Ok(());
            }
            if old.conditions.starts_with(&rule.conditions) && old.outcome != rule.outcome {
                return Err(old.clone());
            }
        }
        self.0.retain(|old| !old.conditions.starts_with(&rule.conditions));
        let place = self.place(&rule, wide);
        self.0.insert(place, rule);
        Ok(())
    }

    /// libseccomp keeps rules that begin alike together, and sorts what begins differently; what it cannot sort comes in
    /// the order of the profile.
    fn place(&self, rule: &Rule, wide: bool) -> usize {
        let mut begun_alike = 0;
        for (place, old) in self.0.iter().enumerate() {
            let (alike, order) = compare(old, rule, wide);
            if alike < begun_alike || order == Ordering::Greater {
                return place;
            }
            begun_alike = alike;
        }
        self.0.len()
    }
}

/// How many comparisons two rules share at their beginning, and in which order the first ones are that they do not.
fn compare(a: &Rule, b: &Rule, wide: bool) -> (usize, Ordering) {
    let mut alike = 0;
    for (a, b) in steps(a, wide).zip(steps(b, wide)) {
        if !a.is_shared_with(&b) {
            return (alike, a.order(&b));
        }
        alike += 1;
    }
    (alike, Ordering::Equal)
}

fn steps(rule: &Rule, wide: bool) -> impl Iterator<Item = Step> {
    rule.conditions.iter().flat_map(move |condition| condition.steps(wide))
}
