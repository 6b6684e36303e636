// SPDX-License-Identifier: Apache-2.0
//! The names and numbers of calls.

mod table;

use husk_spec::oci::Arch;

use crate::abi::Abi;
use table::CALLS;

const COLUMNS: usize = 14;
const NONE: u16 = u16::MAX;
/// How the table writes the private calls of 32-bit ARM, and where they are.
const ARM_PRIVATE: u16 = 0xf000;
const ARM_PRIVATE_BASE: u32 = 0x000f_0000;

/// A call that some ABI has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call(&'static (&'static str, [u16; COLUMNS]));

impl Call {
    pub(crate) fn named(name: &str) -> Option<Self> {
        CALLS.binary_search_by_key(&name, |(name, _)| name).ok().map(|at| Self(&CALLS[at]))
    }

    pub(crate) fn name(self) -> &'static str {
        self.0.0
    }

    /// Its number there, if the ABI has it.
    pub(crate) fn number(self, abi: &Abi) -> Option<u32> {
        match self.0.1[abi.column] {
            NONE => None,
            private if private >= ARM_PRIVATE => Some(ARM_PRIVATE_BASE + u32::from(private - ARM_PRIVATE)),
            number => Some(abi.base + u32::from(number)),
        }
    }

    /// Through which call it goes as well, and as what number, where the ABI has that (`linux/net.h`, `linux/ipc.h`).
    pub(crate) fn multiplexed(self, abi: &Abi) -> Option<(u32, u64)> {
        let multiplexers = abi.multiplexers?;
        let find = |names: &[(&str, u64)]| names.iter().find(|(name, _)| *name == self.0.0).map(|(_, n)| *n);
        let socket = find(SOCKET_CALLS).map(|number| (multiplexers.socketcall, number));
        socket.or_else(|| find(IPC_CALLS).map(|number| (multiplexers.ipc, number)))
    }
}

/// The name of a call; none for a number that no call has.
pub fn call_name(audit_arch: u32, number: u32) -> Option<&'static str> {
    let abi = Abi::of_call(audit_arch, number)?;
    CALLS.iter().map(Call).find(|call| call.number(abi) == Some(number)).map(|call| call.0.0)
}

/// The number of a call and AUDIT_ARCH_* of the architecture; none if the architecture has no such call or is not known.
pub fn call_number(arch: Arch, name: &str) -> Option<(u32, u32)> {
    let abi = Abi::of(arch)?;
    Call::named(name)?.number(abi).map(|number| (number, abi.audit))
}

const SOCKET_CALLS: &[(&str, u64)] = &[
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

const IPC_CALLS: &[(&str, u64)] = &[
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];
