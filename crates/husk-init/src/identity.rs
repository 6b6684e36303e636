// SPDX-License-Identifier: Apache-2.0
//! Who the process is and what it may do: applied in the only order in which each step still has the right to do it, then
//! read back.

use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid, getgid, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set, capability_is_in_bounding_set,
    clear_ambient_capability_set, configure_capability_in_ambient_set, no_new_privs,
    remove_capability_from_bounding_set, set_capabilities, set_thread_res_gid, set_thread_res_uid,
};

use crate::call::{At, Call, Fault};
use crate::step::{Privileges, ProcessCapabilities};

/// The bounding set as the kernel has it; ends at the first number that is no capability to it.
fn bounding_set() -> CapabilitySet {
    let mut set = CapabilitySet::empty();
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) => set |= capability,
            Ok(false) => {}
            Err(_) => break,
        }
    }
    set
}

/// Carries out [`crate::Step::BoundingSet`].
pub(crate) fn bound(keep: CapabilitySet) -> Result<(), Fault> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            Err(Errno::INVAL) => break, // the kernel knows none from here on
            Err(errno) => return Err(Fault { call: Call::Prctl, errno }),
        }
    }
    Ok(())
}

/// Carries out [`crate::Step::Groups`].
pub(crate) fn set_groups(groups: &[u32]) -> Result<(), Fault> {
    husk_sys::setgroups(groups).at(Call::Setgroups)
}

pub(crate) fn set_gid(gid: u32) -> Result<(), Fault> {
    let gid = Gid::from_raw(gid);
    set_thread_res_gid(gid, gid, gid).at(Call::Setresgid)
}

pub(crate) fn set_uid(uid: u32) -> Result<(), Fault> {
    let uid = Uid::from_raw(uid);
    set_thread_res_uid(uid, uid, uid).at(Call::Setresuid)
}

/// Carries out [`crate::Step::Capabilities`].
pub(crate) fn set_capability_sets(sets: &ProcessCapabilities) -> Result<(), Fault> {
    clear_ambient_capability_set().at(Call::Prctl)?;
    let ProcessCapabilities { effective, permitted, inheritable, ambient } = *sets;
    set_capabilities(None, CapabilitySets { effective, permitted, inheritable }).at(Call::Capset)?;
    for capability in each(ambient) {
        configure_capability_in_ambient_set(capability, true).at(Call::Prctl)?;
    }
    Ok(())
}

fn each(set: CapabilitySet) -> impl Iterator<Item = CapabilitySet> {
    (0..64).map(|number| CapabilitySet::from_bits_retain(1 << number)).filter(move |one| set.contains(*one))
}

/// The ambient set as the kernel has it.
fn ambient_set() -> CapabilitySet {
    let all = CapabilitySet::from_bits_retain(u64::MAX);
    let is_in = |one: &CapabilitySet| capability_is_in_ambient_set(*one).unwrap_or(false);
    each(all).filter(is_in).fold(CapabilitySet::empty(), |set, one| set | one)
}

/// Carries out [`crate::Step::Verify`]: what a bug, a kernel or a security module made of our requests must be what the
/// plan says, or nothing runs.
pub(crate) fn verify(planned: &Privileges) -> Result<(), Fault> {
    let sets = capabilities(None).at(Call::Capget)?;
    let real = Privileges {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        capabilities: ProcessCapabilities {
            effective: sets.effective,
            permitted: sets.permitted,
            inheritable: sets.inheritable,
            ambient: if planned.capabilities.ambient.is_empty() && sets.inheritable.is_empty() {
                // Nothing can be ambient that is not inheritable.
                CapabilitySet::empty()
            } else {
                ambient_set()
            },
        },
        bounding: bounding_set(),
        no_new_privileges: no_new_privs().at(Call::Prctl)?,
    };
    let consistent = getuid() == geteuid() && getgid() == getegid();
    if consistent && real == *planned {
        Ok(())
    } else {
        Err(Fault { call: Call::ReadBack, errno: Errno::PERM })
    }
}
