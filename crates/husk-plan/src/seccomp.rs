// SPDX-License-Identifier: Apache-2.0
//! What a seccomp profile says about a call, in words.

use husk_seccomp::{Reason, SeccompData, SeccompError, Verdict};
use husk_spec::oci::{Action, Arch, Seccomp};

/// The architecture that this husk is built for, whose calls its child makes.
pub(crate) const NATIVE: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

const ENOSYS: u32 = 38;

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

/// What `profile` says about a call, and where: `linux.seccomp.syscalls[3] has SCMP_ACT_KILL_PROCESS for execve`.
///
/// # Errors
/// A profile of which no filter can be made.
pub fn verdict(profile: &Seccomp, data: &SeccompData) -> Result<(Verdict, String), SeccompError> {
    let verdict = husk_seccomp::explain(profile, NATIVE, data)?;
    let call = verdict.call.map_or_else(|| format!("call {}", data.number), str::to_owned);
    let outcome = verdict.outcome;
    let words = match verdict.reason {
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
    Ok((verdict, words))
}

/// What of the calls that come between filter and command `profile` does not let pass, in words.
pub fn in_the_way(profile: &Seccomp) -> Vec<String> {
    let refusal = |call: &str| {
        let (number, arch) = husk_seccomp::call_number(NATIVE, call)?;
        let (verdict, words) =
            verdict(profile, &SeccompData { number, arch, ..SeccompData::default() }).ok()?;
        (!verdict.outcome.lets_pass()).then_some(words)
    };
    CALLS_UNDER_FILTER.into_iter().filter_map(refusal).collect()
}

/// Why a call of husk's child failed with `errno` when its filter was on, if that is why.
pub fn refused(profile: &Seccomp, call: &str, errno: i32) -> Option<String> {
    CALLS_UNDER_FILTER.contains(&call).then_some(())?;
    let (number, arch) = husk_seccomp::call_number(NATIVE, call)?;
    let (verdict, words) = verdict(profile, &SeccompData { number, arch, ..SeccompData::default() }).ok()?;
    // A call for a tracer, where there is none, is answered with ENOSYS.
    let traced = (verdict.outcome.action() == Some(Action::Trace)).then_some(ENOSYS);
    (verdict.outcome.errno().or(traced) == u32::try_from(errno).ok()).then_some(words)
}
