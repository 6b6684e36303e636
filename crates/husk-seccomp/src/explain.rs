// SPDX-License-Identifier: Apache-2.0
//! Which rule decides about a call.

use husk_spec::oci::{Arch, Seccomp};

use crate::action::Outcome;
use crate::bpf::SeccompData;
use crate::calls::{call_name, call_number};
use crate::error::SeccompError;
use crate::policy::{Decision, Policy};
use crate::rules::RuleOrigin;

/// What happens at a call, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What happens.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The call's name, if it has one.
    pub call: Option<&'static str>,
}

/// Why something happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// This rule says so.
    Rule(RuleOrigin),
    /// No rule is about the call, or the conditions of none hold: `defaultAction`.
    Default {
        /// Whether there are rules about the call, whose conditions do not hold.
        rules: bool,
    },
    /// The call's number is greater than that of every call that the profile names, so that the profile may be older than
    /// the call: it is answered as by a kernel that does not have it.
    Newer {
        /// The number of the last call that it names.
        last: u32,
    },
    /// The filter is not for the architecture that the call came through.
    Foreign,
}

/// Says what a profile does about a call on a machine of the architecture `native`, and by which rule.
///
/// # Errors
/// As [`crate::compile`].
pub fn explain(profile: &Seccomp, native: Arch, data: &SeccompData) -> Result<Verdict, SeccompError> {
    let policy = Policy::new(profile, native)?;
    let (outcome, reason) = match policy.decision(data.arch, data.number) {
        Decision::Foreign => (Outcome::FOREIGN, Reason::Foreign),
        Decision::Newer(last) => (Outcome::NEWER, Reason::Newer { last }),
        Decision::Default => (policy.default, Reason::Default { rules: false }),
        Decision::Rules(_, rules) => {
            let holds = |conditions: &[crate::condition::Condition]| {
                conditions.iter().all(|condition| condition.holds(&data.args))
            };
            match rules.iter().find(|rule| holds(&rule.conditions)) {
                Some(rule) => (rule.outcome, Reason::Rule(rule.origin)),
                None => (policy.default, Reason::Default { rules: true }),
            }
        }
    };
    Ok(Verdict { outcome, reason, call: call_name(data.arch, data.number) })
}

/// Whether a profile lets a call of the machine's own ABI pass whatever its arguments are. False also for a name that there
/// is no call of.
///
/// # Errors
/// As [`crate::compile`].
pub fn always_passes(profile: &Seccomp, native: Arch, call: &str) -> Result<bool, SeccompError> {
    let policy = Policy::new(profile, native)?;
    let Some((number, audit)) = call_number(native, call) else { return Ok(false) };
    Ok(match policy.decision(audit, number) {
        Decision::Foreign | Decision::Newer(_) => false,
        Decision::Default => policy.default.lets_pass(),
        Decision::Rules(_, rules) => {
            let decided = rules.iter().any(|rule| rule.conditions.is_empty());
            rules.iter().all(|rule| rule.outcome.lets_pass()) && (decided || policy.default.lets_pass())
        }
    })
}
