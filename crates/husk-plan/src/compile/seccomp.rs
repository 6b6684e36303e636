// SPDX-License-Identifier: Apache-2.0
//! The filter of system calls.

use std::collections::BTreeSet;

use husk_init::{SockFilter, SyscallFilter};
use husk_seccomp::{Filter, Outcome};
use husk_spec::oci::Seccomp;
use husk_spec::{Given, Lifetime, Origin};

use super::Compiler;
use crate::PlanError;
use crate::plan::Note;
use crate::seccomp::NATIVE;

impl<'a> Compiler<'a, '_> {
    /// The filter of the process, if it is to have one.
    pub(super) fn filter(&mut self) -> Result<Option<(SyscallFilter<'a>, Origin)>, PlanError> {
        let Some(Given { value: profile, origin }) = &self.config.process.seccomp else { return Ok(None) };
        let refuse = |problem: String| PlanError::Seccomp { origin: origin.clone(), problem };
        let filter = husk_seccomp::compile(profile, NATIVE).map_err(|error| refuse(error.to_string()))?;
        check_listener(profile, &filter).map_err(refuse)?;
        if filter.notify && self.config.lifetime == Lifetime::Attached {
            let problem = "syscalls: whoever answers SCMP_ACT_NOTIFY is served by an engine's runtime alone: run it with husk-oci";
            return Err(refuse(problem.to_owned()));
        }
        self.notes.extend(notes(profile, &filter, origin));
        let instruction =
            |i: &husk_seccomp::Instruction| SockFilter { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
        let instructions: Vec<_> = filter.instructions.iter().map(instruction).collect();
        let names: BTreeSet<_> = profile.syscalls.iter().flat_map(|rule| &rule.names).collect();
        let filter = SyscallFilter {
            instructions: self.arena.slice(&instructions),
            flags: filter.flags.bits(),
            rules: profile.syscalls.len(),
            calls: names.len(),
            default: Outcome::new(profile.default_action, profile.default_errno_ret).0,
        };
        Ok(Some((filter, origin.clone())))
    }
}

/// The listener leaves the container's process by a call that the filter decides about already.
fn check_listener(profile: &Seccomp, filter: &Filter) -> Result<(), String> {
    if !filter.notify {
        return Ok(());
    }
    if profile.listener_path.is_none() {
        return Err("listenerPath: missing: SCMP_ACT_NOTIFY needs the socket of whoever answers".to_owned());
    }
    match husk_seccomp::always_passes(profile, NATIVE, "sendmsg") {
        Ok(true) => Ok(()),
        Ok(false) => Err(
            "syscalls: with SCMP_ACT_NOTIFY, sendmsg has to be allowed without conditions: the listener's \
                          descriptor is sent by it; add a rule"
                .to_owned(),
        ),
        Err(error) => Err(error.to_string()),
    }
}

/// What of the profile has no effect.
fn notes(profile: &Seccomp, filter: &Filter, origin: &Origin) -> Vec<Note> {
    let unknown = filter.unknown_calls.iter().filter_map(|place| {
        let name = profile.syscalls.get(place.syscall)?.names.get(place.name)?;
        Some(format!("{origin}.{place}: no system call has the name {name:?}: it is passed over"))
    });
    let unheard = profile
        .listener_path
        .as_ref()
        .filter(|_| !filter.notify)
        .map(|_| format!("{origin}.listenerPath: no rule has SCMP_ACT_NOTIFY: nothing is sent there"));
    unknown.chain(unheard).map(|what| Note { what, cure: None }).collect()
}
