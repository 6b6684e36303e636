// SPDX-License-Identifier: Apache-2.0

//! Assertions that may fail, and why. A row counts only where the reference fails the same
//! assertion, or failed for the same reason before it got there; that of a race counts whatever the reference did, if the
//! program says what it says when it has lost.

/// Whose doing it is that an assertion cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The machine that this runs on: its kernel, its privileges.
    Machine,
    /// The suite: it is older than the specification, or has a fault.
    Suite,
    /// The suite: who comes first is for the scheduler to say.
    Race,
    /// The engines, which rely on something else than the specification says.
    Engines,
}

impl Kind {
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Machine => "the machine forbids it (and runc fails it too)",
            Self::Suite => "the suite is mistaken (and runc fails it too)",
            Self::Race => "the suite has lost a race",
            Self::Engines => "engines rely on the contrary (and runc fails it too)",
        }
    }
}

/// One row: a program, how the names of its assertions begin, what it says then, and why they fail.
pub(super) struct Excuse {
    program: &'static str,
    assertion: &'static str,
    said: &'static str,
    pub(super) kind: Kind,
    pub(super) reason: &'static str,
}

const fn machine(program: &'static str, assertion: &'static str, reason: &'static str) -> Excuse {
    Excuse { program, assertion, said: "", kind: Kind::Machine, reason }
}

const fn suite(program: &'static str, assertion: &'static str, reason: &'static str) -> Excuse {
    Excuse { program, assertion, said: "", kind: Kind::Suite, reason }
}

const fn engines(program: &'static str, assertion: &'static str, reason: &'static str) -> Excuse {
    Excuse { program, assertion, said: "", kind: Kind::Engines, reason }
}

const fn race(
    program: &'static str,
    assertion: &'static str,
    said: &'static str,
    reason: &'static str,
) -> Excuse {
    Excuse { program, assertion, said, kind: Kind::Race, reason }
}

const NO_WEIGHT: &str = "the kernel has no blkio.leaf_weight since Linux 5.0";
const NO_HUGETLB: &str = "there is no hugetlb controller among the v1 hierarchies";
const NO_NET: &str = "there are no net_cls and net_prio controllers among the v1 hierarchies";
const NO_KMEM: &str = "the kernel takes no memory.kmem.limit_in_bytes since Linux 5.16";
const NO_RESOURCE: &str = "CAP_SYS_RESOURCE is missing, and nobody gives a capability that he lacks";
const NO_UNIFIED: &str = "the suite reads the files of cgroup v1 alone";
const DEFAULT_DEVICES: &str =
    "it counts the rows of devices.list, where those for the default devices come first";
const AT_CREATE: &str =
    "the specification calls prestart hooks at create since 1.0.2, with the status `creating`";
const POSTSTART: &str = "a poststart hook that fails is an error since 1.3, and the container is stopped, where the suite wants a warning";
const BESIDE: &str = "it wants the process to have written before the hook does, and they run at the same time once the process is executed";
const NOT_STOPPED: &str = "runc deletes a container that was created and never started";

const ENDED: &str =
    "it kills a `true` that may have ended by itself, and killing a container that has stopped is an error";

static EXCUSES: &[Excuse] = &[
    race("pidfile", "create with", "is stopped", ENDED),
    race("poststart", "the program ends well", "MUST be called after the user-specified process", BESIDE),
    machine("linux_cgroups_blkio", "", NO_WEIGHT),
    machine("linux_cgroups_relative_blkio", "", NO_WEIGHT),
    machine("linux_cgroups_hugetlb", "", NO_HUGETLB),
    machine("linux_cgroups_relative_hugetlb", "", NO_HUGETLB),
    machine("linux_cgroups_network", "", NO_NET),
    machine("linux_cgroups_relative_network", "", NO_NET),
    machine("linux_cgroups_memory", "memory kernel is set correctly", NO_KMEM),
    machine("linux_cgroups_relative_memory", "memory kernel is set correctly", NO_KMEM),
    machine("linux_mount_label", "", "the kernel has no SELinux"),
    machine("linux_process_apparmor_profile", "", "the kernel has no AppArmor, or not the profile"),
    machine("process_capabilities", "", NO_RESOURCE),
    suite("linux_cgroups_devices", "devices c 10:229", DEFAULT_DEVICES),
    suite("linux_cgroups_relative_devices", "devices c 10:229", DEFAULT_DEVICES),
    suite("hooks", "", "it awaits words that its own hooks do not print"),
    suite("start", "exit status 1", "it creates a container without a process, and asks that it start"),
    suite("hooks_stdin", "the state of the container MUST be passed to \"prestart\"", AT_CREATE),
    suite("prestart", "", AT_CREATE),
    suite("misc_props", "implementations that are reading", "its bundle lacks the command that it names"),
    suite("poststart_fail", "", POSTSTART),
    suite("process_rlimits", "has expected soft RLIMIT_NOFILE", "programs in Go raise that limit themselves"),
    engines("delete", "attempting to `delete`", NOT_STOPPED),
    engines(
        "process_capabilities_fail",
        "",
        "an unknown capability is a warning since 1.1.0, so that configurations last",
    ),
];

/// Why the assertion of the program may fail with what it said, if it may.
pub(super) fn find(program: &str, assertion: &str, said: &str, is_unified: bool) -> Option<&'static Excuse> {
    static UNIFIED: Excuse = suite("linux_cgroups", "", NO_UNIFIED);
    if is_unified && program.starts_with(UNIFIED.program) {
        return Some(&UNIFIED);
    }
    EXCUSES.iter().find(|excuse| {
        excuse.program == program && assertion.starts_with(excuse.assertion) && said.contains(excuse.said)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_for_its_program_and_assertion_alone() {
        let kind =
            |program, assertion, unified| find(program, assertion, "", unified).map(|excuse| excuse.kind);
        assert_eq!(
            kind("linux_cgroups_memory", "memory kernel is set correctly (2)", false),
            Some(Kind::Machine)
        );
        assert_eq!(kind("linux_cgroups_memory", "memory kernelTCP is set correctly", false), None);
        assert_eq!(
            kind("linux_cgroups_memory", "memory kernelTCP is set correctly", true),
            Some(Kind::Suite)
        );
        assert_eq!(kind("state", "anything", true), None);
        let race = |said| find("pidfile", "create with '--pid-file' option works", said, false).is_some();
        assert!(race("container not running: \"a\" is stopped") && !race("wrong pid 1, expected 2"));
    }
}
