// SPDX-License-Identifier: Apache-2.0
//! What a seccomp profile says about a call, in words.

use husk_init::{SockFilter, Step};
use husk_seccomp::{FilterFlags, Outcome, Reason, SeccompData, SeccompError};
use husk_spec::Origin;
use husk_spec::oci::{Action, Arch, Seccomp};

use crate::plan::{Action as PlanAction, Plan};
use crate::{Arena, PlanError};

/// The architecture that this husk is built for, whose calls its child makes.
pub(crate) const NATIVE: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

const ENOSYS: i32 = 38;

/// `BPF_RET | BPF_K` (linux/bpf_common.h).
const RETURN: u16 = 0x06;

/// Where `config.json` has the profile.
const FIELD: &str = "linux.seccomp";

/// What husk's child calls when its filter is on: to set what is left of its privileges, to become the command, and to say why
/// that failed.
const CALLS_UNDER_FILTER: [&str; 11] = [
    "execve",
    "capset",
    "capget",
    "prctl",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "sendmsg",
    "recvfrom",
    "exit_group",
];

/// A system call, as a filter sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u32,
    /// The architecture that it came through, as AUDIT_ARCH_*.
    pub arch: u32,
    /// Its arguments.
    pub args: [u64; 6],
}

/// What a profile says about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The call's name, or its number if it has none.
    pub call: String,
    /// What happens.
    pub action: Option<Action>,
    /// The error that the caller sees, if that happens; else 0.
    pub errno: i32,
    /// Whether the call is made.
    pub passes: bool,
    /// What happens and what says so: `linux.seccomp.syscalls[3].names[0] has SCMP_ACT_KILL_PROCESS for execve`.
    pub words: String,
}

/// What `profile` says about a call.
///
/// # Errors
/// A profile of which no filter can be made.
pub fn verdict(profile: &Seccomp, call: &Call) -> Result<Verdict, SeccompError> {
    let Call { number, arch, args } = *call;
    let data = SeccompData { number, arch, args, ..SeccompData::default() };
    let found = husk_seccomp::explain(profile, NATIVE, &data)?;
    let call = found.call.map_or_else(|| format!("call {number}"), str::to_owned);
    let outcome = found.outcome;
    let words = match found.reason {
        Reason::Rule(place) => format!("{FIELD}.{place} has {outcome} for {call}"),
        Reason::Default { rules: false } => {
            format!("{FIELD}.defaultAction is {outcome}, and no rule is about {call}")
        }
        Reason::Default { rules: true } => {
            format!("{FIELD}.defaultAction is {outcome}, and the conditions of no rule about {call} hold")
        }
        Reason::Newer { .. } => {
            format!("{call} is newer than every call that {FIELD} names, and answered as unknown ({outcome})")
        }
        Reason::Foreign => {
            format!("{call} came through an architecture that {FIELD} does not have: {outcome}")
        }
    };
    let errno = outcome.errno().and_then(|errno| i32::try_from(errno).ok()).unwrap_or_default();
    Ok(Verdict { call, action: outcome.action(), errno, passes: outcome.lets_pass(), words })
}

/// What of the calls that come between filter and command `profile` does not let pass, in words.
pub fn in_the_way(profile: &Seccomp) -> Vec<String> {
    let verdicts = CALLS_UNDER_FILTER.into_iter().filter_map(|call| verdict_by_name(profile, call));
    verdicts.filter(|verdict| !verdict.passes).map(|verdict| verdict.words).collect()
}

/// Why a call of husk's child failed with `errno` when its filter was on, if that is why.
pub fn refused(profile: &Seccomp, call: &str, errno: i32) -> Option<String> {
    CALLS_UNDER_FILTER.contains(&call).then_some(())?;
    let verdict = verdict_by_name(profile, call)?;
    // A call for a tracer, where there is none, is answered with ENOSYS.
    let expected = if verdict.action == Some(Action::Trace) { ENOSYS } else { verdict.errno };
    (!verdict.passes && expected == errno).then_some(verdict.words)
}

fn verdict_by_name(profile: &Seccomp, call: &str) -> Option<Verdict> {
    let (number, arch) = husk_seccomp::call_number(NATIVE, call)?;
    verdict(profile, &Call { number, arch, args: [0; 6] }).ok()
}

/// `plan`, whose filter was made of `profile`, with one that asks whoever has its listener where this one refuses.
///
/// # Errors
/// A profile that notifies somebody already, or that keeps the listener from being sent.
pub(crate) fn tell_refusals<'a>(
    mut plan: Plan<'a>,
    profile: &Seccomp,
    arena: &'a Arena,
) -> Result<Plan<'a>, PlanError> {
    let refuse = |problem: &str| PlanError::Seccomp {
        origin: Origin::Config(FIELD.to_owned()),
        problem: problem.to_owned(),
    };
    if profile.syscalls.iter().any(|rule| rule.action == Action::Notify) {
        return Err(refuse(
            "syscalls: SCMP_ACT_NOTIFY asks an agent, and a filter has one listener: husk cannot be told as well",
        ));
    }
    if husk_seccomp::always_passes(profile, NATIVE, "sendmsg") != Ok(true) {
        return Err(refuse(
            "syscalls: husk can only be told what is refused if sendmsg is allowed: by it the listener is sent",
        ));
    }
    for step in &mut plan.steps {
        if let PlanAction::Child(Step::Seccomp(filter)) = &mut step.action {
            let told: Vec<_> = filter.instructions.iter().map(|instruction| told(*instruction)).collect();
            filter.instructions = arena.slice(&told);
            filter.flags |= FilterFlags::NEW_LISTENER.bits();
        }
    }
    Ok(plan)
}

fn told(instruction: SockFilter) -> SockFilter {
    let refuses = instruction.code == RETURN && !Outcome(instruction.k).lets_pass();
    if refuses { SockFilter { k: Outcome::new(Action::Notify, None).0, ..instruction } } else { instruction }
}
