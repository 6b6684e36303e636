// SPDX-License-Identifier: Apache-2.0
//! Whether the kernel has a system call: asked by a call that cannot do anything.

use rustix::io::{self, Errno};
use syscalls::{Sysno, syscall};

use crate::errno;

/// A system call that husk needs and that not every kernel has, or lets through a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the kernel's")]
pub enum Trial {
    Clone3,
    CloseRange,
    Fsconfig,
    Fsmount,
    Fsopen,
    MountSetattr,
    MoveMount,
    OpenTree,
    Openat2,
    PidfdOpen,
    PidfdSendSignal,
}

impl Trial {
    /// All, as they are named.
    pub const ALL: [Self; 11] = [
        Self::Clone3,
        Self::CloseRange,
        Self::Fsconfig,
        Self::Fsmount,
        Self::Fsopen,
        Self::MountSetattr,
        Self::MoveMount,
        Self::OpenTree,
        Self::Openat2,
        Self::PidfdOpen,
        Self::PidfdSendSignal,
    ];

    /// The call's name, as `strace` prints it.
    pub fn name(self) -> &'static str {
        self.sysno().name()
    }

    fn sysno(self) -> Sysno {
        match self {
            Self::Clone3 => Sysno::clone3,
            Self::CloseRange => Sysno::close_range,
            Self::Fsconfig => Sysno::fsconfig,
            Self::Fsmount => Sysno::fsmount,
            Self::Fsopen => Sysno::fsopen,
            Self::MountSetattr => Sysno::mount_setattr,
            Self::MoveMount => Sysno::move_mount,
            Self::OpenTree => Sysno::open_tree,
            Self::Openat2 => Sysno::openat2,
            Self::PidfdOpen => Sysno::pidfd_open,
            Self::PidfdSendSignal => Sysno::pidfd_send_signal,
        }
    }

    /// Arguments that every kernel refuses: no size, descriptors that are none, flags that do not exist, a range that ends
    /// before it begins.
    fn refused(self) -> [usize; 5] {
        const NONE: usize = usize::MAX;
        const FLAGS: usize = 0xffff_ffff;
        match self {
            Self::Clone3 => [0, 0, 0, 0, 0],
            Self::CloseRange => [1, 0, 0, 0, 0],
            Self::Fsconfig => [NONE, 0xffff, 0, 0, 0],
            Self::Fsmount => [NONE, FLAGS, FLAGS, 0, 0],
            Self::Fsopen => [0, FLAGS, 0, 0, 0],
            Self::MountSetattr => [NONE, 0, FLAGS, 0, 0],
            Self::MoveMount => [NONE, 0, NONE, 0, FLAGS],
            Self::OpenTree => [NONE, 0, FLAGS, 0, 0],
            Self::Openat2 => [NONE, 0, 0, 0, 0],
            Self::PidfdOpen => [NONE, 0, 0, 0, 0],
            Self::PidfdSendSignal => [NONE, 0, 0, FLAGS, 0],
        }
    }

    /// Makes the call with arguments that are refused, and returns how it was refused: `ENOSYS` where the kernel lacks it or
    /// a filter hides it, `None` if it was not refused.
    pub fn errno(self) -> Option<Errno> {
        let [a, b, c, d, e] = self.refused();
        // SAFETY: each row of `refused` is turned down for its sizes, flags or descriptors before anything is looked at, and
        // every pointer in it is null. Nothing is made, closed, signalled, read or written.
        unsafe { syscall!(self.sysno(), a, b, c, d, e) }.map_err(errno).err()
    }
}

/// Which version of Landlock's interface the kernel has (`landlock_create_ruleset(2)`).
///
/// # Errors
/// `ENOSYS` for a kernel without it, `EOPNOTSUPP` for one that has it switched off.
pub fn landlock_abi() -> io::Result<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: usize = 1;
    // SAFETY: with this flag the call takes no pointer, makes nothing and returns a number.
    let version = unsafe { syscall!(Sysno::landlock_create_ruleset, 0, 0, LANDLOCK_CREATE_RULESET_VERSION) }
        .map_err(errno)?;
    Ok(version as u32)
}

/// The name of an error number, `EPERM`; `None` for a number that has none.
pub fn errno_name(errno: Errno) -> Option<&'static str> {
    syscalls::Errno::new(errno.raw_os_error()).name()
}

/// The name of the system call with this number on this machine.
pub fn system_call_name(number: u32) -> Option<&'static str> {
    Sysno::new(number as usize).map(|call| call.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_there_and_refuses() {
        for trial in Trial::ALL {
            let errno = trial.errno();
            let refusals = [Errno::INVAL, Errno::PERM, Errno::FAULT, Errno::BADF, Errno::OPNOTSUPP];
            assert!(errno.is_some_and(|e| refusals.contains(&e)), "{}: {errno:?}", trial.name());
        }
    }

    #[test]
    fn errors_have_names() {
        assert_eq!(errno_name(Errno::PERM), Some("EPERM"));
        assert_eq!(errno_name(Errno::from_raw_os_error(4000)), None);
    }
}
