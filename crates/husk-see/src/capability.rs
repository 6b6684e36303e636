// SPDX-License-Identifier: Apache-2.0
//! Sets of capabilities.

use std::fmt;

/// In the kernel's order (`include/uapi/linux/capability.h`).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities, one bit each (`capabilities(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// Every capability that has a name.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// The names of its members, without `CAP_`; a number for one that is newer than this table.
    pub fn names(self) -> Vec<String> {
        let name = |bit: usize| NAMES.get(bit).map_or_else(|| bit.to_string(), |name| (*name).to_owned());
        (0..64).filter(|bit| self.0 >> bit & 1 == 1).map(name).collect()
    }

    /// The set of these names, as [`Self::names`] gives them. Others are passed over.
    pub fn of_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let bit = |name: &str| NAMES.iter().position(|known| *known == name).or_else(|| name.parse().ok());
        let bits = names.into_iter().filter_map(bit).filter(|bit| *bit < 64);
        Self(bits.fold(0, |set, bit| set | 1 << bit))
    }

    /// The members that `other` lacks.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// In words: `none`, `all`, `all but SYS_RESOURCE`, or the names.
impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = Self::ALL.without(*self);
        match (self.0.count_ones(), missing.0.count_ones()) {
            (0, _) => f.write_str("none"),
            (_, 0) => f.write_str("all"),
            (_, 1..=5) => write!(f, "all but {}", missing.names().join(" ")),
            _ => f.write_str(&self.names().join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_in_words() {
        assert_eq!(CapabilitySet(0).to_string(), "none");
        assert_eq!(CapabilitySet(0x1ff_ffff_ffff).to_string(), "all");
        assert_eq!(CapabilitySet(0x1ff_feff_ffff).to_string(), "all but SYS_RESOURCE");
        assert_eq!(CapabilitySet(0b1011).to_string(), "CHOWN DAC_OVERRIDE FOWNER");
        assert_eq!(CapabilitySet(1 << 63).to_string(), "63");
    }

    #[test]
    fn names_can_be_read_back() {
        let set = CapabilitySet(1 << 63 | 0b1010_0001);
        assert_eq!(CapabilitySet::of_names(set.names().iter().map(String::as_str)), set);
        assert_eq!(CapabilitySet::of_names(["", "CAP_X", "64"]), CapabilitySet(0));
    }
}
