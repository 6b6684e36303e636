// SPDX-License-Identifier: Apache-2.0
//! What a profile means, call by call: the one source of both the program and its explanation.

use husk_spec::oci::{Action, Arch, Seccomp, Syscall};

use crate::abi::{AUDIT_X86_64, Abi, X32_BIT};
use crate::action::Outcome;
use crate::bpf::MAX_INSTRUCTIONS;
use crate::calls::Call;
use crate::condition::Condition;
use crate::error::SeccompError;
use crate::rules::{Rule, RuleOrigin, Rules};

/// A profile, resolved for one machine.
#[derive(Debug)]
pub(crate) struct Policy {
    /// The machine's own ABI first.
    pub(crate) abis: Vec<AbiPolicy>,
    pub(crate) default: Outcome,
    /// Names that no ABI here knows.
    pub(crate) unknown: Vec<RuleOrigin>,
    /// Whether calls beyond the last one of the profile get [`Outcome::NEWER`].
    answers_newer: bool,
}

/// The rules for one ABI.
#[derive(Debug)]
pub(crate) struct AbiPolicy {
    pub(crate) abi: &'static Abi,
    /// By number, ascending.
    pub(crate) calls: Vec<(u32, Rules)>,
    /// The largest number of a call that the profile names.
    pub(crate) last: Option<u32>,
}

/// What decides about a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decision<'a> {
    /// These rules, and the default if none of them holds.
    Rules(&'a AbiPolicy, &'a [Rule]),
    Default,
    /// The profile is older than the call; the number is the last one that it knows.
    Newer(u32),
    /// The profile is not for this architecture.
    Foreign,
}

impl Policy {
    pub(crate) fn new(profile: &Seccomp, native: Arch) -> Result<Self, SeccompError> {
        let default = Outcome::new(profile.default_action, profile.default_errno_ret);
        if profile.default_action == Action::Notify {
            return Err(SeccompError::NotifyByDefault);
        }
        let abis = abis(native, &profile.architectures)?;
        let mut unknown = Vec::new();
        let mut added: Vec<_> = abis.into_iter().map(Added::new).collect();
        for (syscall, rule) in profile.syscalls.iter().enumerate() {
            let outcome = Outcome::new(rule.action, rule.errno_ret);
            let alternatives = alternatives(syscall, rule)?;
            for (name, call) in rule.names.iter().enumerate() {
                let origin = RuleOrigin { syscall, name };
                check_name(rule, call, origin)?;
                let Some(call) = Call::named(call) else {
                    unknown.push(origin);
                    continue;
                };
                for abi in &mut added {
                    abi.see(call);
                    // runc leaves out rules that say what the default says, even where they would override others.
                    if outcome != default {
                        alternatives.iter().for_each(|conditions| abi.add(call, conditions, outcome, origin));
                    }
                }
            }
        }
        let abis = added.into_iter().map(Added::finish).collect::<Result<_, _>>()?;
        let answers_newer = !matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace);
        Ok(Self { abis, default, unknown, answers_newer })
    }

    /// What decides about the call `number` of the architecture `audit` (`AUDIT_ARCH_*`).
    pub(crate) fn decision(&self, audit: u32, number: u32) -> Decision<'_> {
        let mut abis = self.abis.iter().filter(|policy| policy.abi.audit == audit);
        let Some(first) = abis.next() else {
            return Decision::Foreign;
        };
        let second = abis.next();
        let of_its_kind =
            |policy: &&AbiPolicy| audit != AUDIT_X86_64 || policy.abi.is_x32() == (number & X32_BIT != 0);
        let own = Some(first).filter(of_its_kind).or(second.filter(of_its_kind));
        if let Some(last) = own.and_then(|policy| policy.newer(number)).filter(|_| self.answers_newer) {
            return Decision::Newer(last);
        }
        // Of the two ABIs with one AUDIT_ARCH, the one that the profile does not name is foreign. But -1 is how a tracer
        // skips a call: it must not end the process (seccomp(2)).
        let foreign = audit == AUDIT_X86_64
            && second.is_none()
            && first.abi.is_x32() != (number >= X32_BIT)
            && (first.abi.is_x32() || number != u32::MAX);
        if foreign {
            return Decision::Foreign;
        }
        let found = [Some(first), second].into_iter().flatten().find_map(|policy| policy.rules(number));
        found.map_or(Decision::Default, |(policy, rules)| Decision::Rules(policy, rules))
    }
}

impl AbiPolicy {
    fn rules(&self, number: u32) -> Option<(&Self, &[Rule])> {
        let at = self.calls.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some((self, self.calls[at].1.get()))
    }

    /// The last call that the profile names, if this one comes after it. On s390, a call that the kernel does not know is
    /// seen as number 0.
    fn newer(&self, number: u32) -> Option<u32> {
        let unknown_to_kernel = matches!(self.abi.arch, Arch::S390 | Arch::S390x) && number == 0;
        self.last.filter(|last| number > *last || unknown_to_kernel)
    }
}

/// The machine's ABI, and those of the profile.
fn abis(native: Arch, named: &[Arch]) -> Result<Vec<&'static Abi>, SeccompError> {
    let known = |arch| Abi::of(arch).ok_or(SeccompError::UnknownArch(arch));
    let machine = known(native)?;
    let mut abis = vec![machine];
    for &arch in named {
        let abi = known(arch)?;
        if abi.big_endian != machine.big_endian {
            return Err(SeccompError::ByteOrder { arch, native });
        }
        if abis.iter().all(|other| other.arch != arch) {
            abis.push(abi);
        }
    }
    Ok(abis)
}

fn check_name(rule: &Syscall, name: &str, origin: RuleOrigin) -> Result<(), SeccompError> {
    match name {
        "" => Err(SeccompError::EmptyName { origin }),
        "write" if rule.action == Action::Notify => Err(SeccompError::NotifyForWrite { origin }),
        _ => Ok(()),
    }
}

/// The conditions of a rule: all of them together, or each on its own if one argument has two of them, as runc has it.
fn alternatives(syscall: usize, rule: &Syscall) -> Result<Vec<Vec<Condition>>, SeccompError> {
    let mut conditions = Vec::with_capacity(rule.args.len());
    for (arg, argument) in rule.args.iter().enumerate() {
        let condition = Condition::new(argument);
        conditions.push(condition.ok_or(SeccompError::ArgumentIndex {
            syscall,
            arg,
            index: argument.index,
        })?);
    }
    let given = conditions.clone();
    conditions.sort_unstable_by_key(|condition| condition.arg);
    let repeated = conditions.windows(2).any(|pair| pair[0].arg == pair[1].arg);
    Ok(if repeated { given.into_iter().map(|condition| vec![condition]).collect() } else { vec![conditions] })
}

/// The rules for one ABI, in the profile's order.
struct Added {
    abi: &'static Abi,
    rules: Vec<(u32, Call, Rule)>,
    last: u32,
}

impl Added {
    fn new(abi: &'static Abi) -> Self {
        Self { abi, rules: Vec::new(), last: 0 }
    }

    fn see(&mut self, call: Call) {
        self.last = self.last.max(call.number(self.abi).unwrap_or(0));
    }

    fn add(&mut self, call: Call, conditions: &[Condition], outcome: Outcome, origin: RuleOrigin) {
        let at_width = |condition: &Condition| condition.at_width(self.abi.wide);
        if let Some((multiplexer, number)) = call.multiplexed(self.abi) {
            // The arguments behind the first are one pointer to the real ones; libseccomp compares them all the same.
            let others = conditions.iter().filter(|condition| condition.arg != 0).filter_map(at_width);
            let conditions = std::iter::once(Condition::equal(0, number)).chain(others);
            let conditions = conditions.filter_map(|condition| condition.at_width(self.abi.wide)).collect();
            self.rules.push((multiplexer, call, Rule { conditions, outcome, origin }));
        }
        if let Some(number) = call.number(self.abi) {
            let conditions = conditions.iter().filter_map(at_width).collect();
            self.rules.push((number, call, Rule { conditions, outcome, origin }));
        }
    }

    fn finish(mut self) -> Result<AbiPolicy, SeccompError> {
        self.rules.sort_by_key(|(number, ..)| *number);
        let mut calls: Vec<(u32, Rules)> = Vec::with_capacity(self.rules.len());
        for (number, call, rule) in self.rules {
            if calls.last().is_none_or(|(last, _)| *last != number) {
                calls.push((number, Rules::default()));
            }
            let (second, second_outcome) = (rule.origin, rule.outcome);
            let Some((_, rules)) = calls.last_mut() else { continue };
            if rules.get().len() > MAX_INSTRUCTIONS {
                return Err(SeccompError::TooLong);
            }
            rules.add(rule, self.abi.wide).map_err(|first| SeccompError::Conflict {
                call: call.name().into(),
                first: first.origin,
                first_outcome: first.outcome,
                second,
                second_outcome,
            })?;
        }
        Ok(AbiPolicy { abi: self.abi, calls, last: (self.last != 0).then_some(self.last) })
    }
}
