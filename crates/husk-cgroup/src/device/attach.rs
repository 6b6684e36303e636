// SPDX-License-Identifier: Apache-2.0
//! Puts device rules into force: the effects.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use husk_sys::{
    attach_device_program, attached_device_programs, detach_device_program, load_device_program,
    program_by_id, program_name,
};
use rustix::io::{self, Errno};

use super::Rule;
use super::program::program;

/// The name of husk's programs, by which an update finds the one to replace.
const NAME: &[u8] = b"husk_devices";

/// More programs than the kernel attaches to a cgroup (`BPF_CGROUP_MAX_PROGS`).
const MOST: usize = 64;

/// What the kernel did not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceProgramError {
    /// The program was refused by the verifier: a fault of husk.
    #[error("the kernel does not take the program for the device rules: {errno}: {log}")]
    Verifier {
        /// What `bpf(2)` said.
        errno: Errno,
        /// The last line of the verifier's log.
        log: String,
    },
    /// A call failed.
    #[error("{call}: {errno}")]
    Call {
        /// What was tried.
        call: &'static str,
        /// What `bpf(2)` said. `EPERM` is missing privilege: it takes `CAP_BPF` and `CAP_NET_ADMIN` outside of any user
        /// namespace.
        errno: Errno,
    },
}

impl DeviceProgramError {
    /// Whether privilege is missing, as it always is for an ordinary user.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Call { errno: Errno::PERM, .. })
    }
}

fn call<T>(result: io::Result<T>, call: &'static str) -> Result<T, DeviceProgramError> {
    result.map_err(|errno| DeviceProgramError::Call { call, errno })
}

/// Makes `rules` those of a cgroup of version 2. If husk has a program there already, the new one takes its place in one
/// step: no access in between is decided by neither or by both. Programs of others stay, and all must allow.
///
/// # Errors
/// See [`DeviceProgramError`].
pub fn attach(cgroup: BorrowedFd<'_>, rules: &[Rule]) -> Result<(), DeviceProgramError> {
    let new = load(rules)?;
    let mut old = ours(cgroup)?.into_iter();
    let first = old.next();
    let attached = attach_device_program(cgroup, new.as_fd(), first.as_ref().map(AsFd::as_fd));
    call(attached, "bpf(BPF_PROG_ATTACH)")?;
    for program in old {
        call(detach_device_program(cgroup, program.as_fd()), "bpf(BPF_PROG_DETACH)")?;
    }
    Ok(())
}

fn load(rules: &[Rule]) -> Result<OwnedFd, DeviceProgramError> {
    let program = program(rules);
    match load_device_program(&program, NAME, &mut []) {
        Err(Errno::INVAL | Errno::ACCESS) => {}
        result => return call(result, "bpf(BPF_PROG_LOAD)"),
    }
    let mut log = vec![0; 1 << 20];
    load_device_program(&program, NAME, &mut log).map_err(|errno| {
        let text = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default());
        let log = text.lines().last().unwrap_or_default().to_owned();
        DeviceProgramError::Verifier { errno, log }
    })
}

/// husk's programs on the cgroup itself.
fn ours(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, DeviceProgramError> {
    let mut ids = [0; MOST];
    let count = call(attached_device_programs(cgroup, &mut ids), "bpf(BPF_PROG_QUERY)")?;
    let mut ours = Vec::new();
    for id in &ids[..count] {
        let program = match program_by_id(*id) {
            Err(Errno::NOENT) => continue,
            result => call(result, "bpf(BPF_PROG_GET_FD_BY_ID)")?,
        };
        let name = call(program_name(program.as_fd()), "bpf(BPF_OBJ_GET_INFO_BY_FD)")?;
        if name.starts_with(NAME) {
            ours.push(program);
        }
    }
    Ok(ours)
}
