// SPDX-License-Identifier: Apache-2.0
//! What to do about a failed step: one table, by call, errno and circumstance.

use husk_init::Step;
use husk_plan::survey::Survey;
use husk_plan::{Action, HostStep};
use husk_spec::Capabilities;
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

/// A reason why user namespaces may be refused: the kernel parameter, the value that refuses, and the cure.
const SWITCHES: &[(&str, &str, &str)] = &[
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "user namespaces are switched off on this host; as root: sysctl user.max_user_namespaces=15000",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are for root alone on this host; as root: sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces of ordinary users on this host; as root: sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0, or install a profile for husk with the rule `userns,`",
    ),
];

/// The calls of the child's that root of a new user namespace may always do, unless something else forbids it.
const NEEDS_CAPABILITY: &[&str] = &[
    "fsopen",
    "ioctl(SIOCSIFFLAGS)",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "setgroups",
    "sethostname",
    "setns",
    "setresgid",
    "setresuid",
    "unshare",
];

fn switched_off() -> Option<&'static str> {
    switched_off_by(|file| std::fs::read_to_string(file).ok())
}

/// The cure for what switches user namespaces off on a host that has been looked at.
pub(crate) fn switched_off_in(survey: &Survey) -> Option<&'static str> {
    switched_off_by(|file| survey.switch(file.strip_prefix("/proc/sys/")?).map(str::to_owned))
}

fn switched_off_by(value: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let refuses = |file, refusing| value(file).is_some_and(|value| value.trim() == refusing);
    SWITCHES.iter().find(|(file, refusing, _)| refuses(file, *refusing)).map(|(_, _, cure)| *cure)
}

/// What to do about `call` having failed with `errno` in a step that does `action`.
pub(crate) fn for_step(action: &Action<'_>, call: &str, errno: Errno) -> Option<String> {
    let hint = match (action, call, errno) {
        (
            Action::Host(HostStep::Clone { .. }) | Action::Child(Step::Namespaces(_)),
            _,
            Errno::PERM | Errno::ACCESS | Errno::NOSPC | Errno::USERS,
        ) => {
            switched_off().unwrap_or(
                "new namespaces are refused here; inside another container, that one must allow them (for Docker: \
                 --security-opt seccomp=unconfined, or --privileged)",
            )
        }
        (Action::Host(HostStep::Clone { .. }), _, Errno::NOSYS) => {
            "a seccomp filter hides clone3, as inside another container: that one must allow it (for Docker: --security-opt \
             seccomp=unconfined, or --privileged)"
        }
        (Action::Host(HostStep::Clone { .. }), _, Errno::AGAIN | Errno::NOMEM) => {
            "no process could be made: look at `ulimit -u`, the pids limit of the cgroup and at free memory"
        }
        (Action::Host(HostStep::MapIds(_)), _, Errno::PERM) => switched_off().unwrap_or(
            "the ids are not yours to map: they must be your own, or in your ranges of /etc/subuid and /etc/subgid",
        ),
        (Action::Host(HostStep::MapTree { .. }), "mount_setattr", Errno::INVAL) => {
            "its file system, or one mounted below it, cannot be idmapped: give `noidmap` or `bind` with the volume, or \
             use --userns=host"
        }
        (Action::Host(HostStep::PrepareResourceGroup(_)), "open", Errno::NOENT) => {
            "a closID without a schema names a group that is there already: make it first, or give limits"
        }
        (Action::Host(HostStep::PrepareResourceGroup(_)), "mkdirat", Errno::NOSPC) => {
            "the processor has no class of service left: take a resource group away, or share one by closID"
        }
        (Action::Host(HostStep::MoveDevice { .. }), "netlink(RTM_GETLINK)", Errno::NODEV) => {
            "there is no such device in the network namespace that husk-oci is in: `ip link` shows those that are"
        }
        (Action::Host(HostStep::MoveDevice { .. }), "netlink(RTM_NEWLINK)", Errno::EXIST) => {
            "the container's network namespace has a device of that name already: give it another, with `name`"
        }
        (Action::Host(HostStep::MoveDevice { .. }), "netlink(RTM_NEWLINK)", Errno::INVAL) => {
            "the driver of this device does not let it leave its network namespace"
        }
        (Action::Host(HostStep::OomScoreAdj(_)), "write", Errno::ACCESS) => {
            "below what it was given, that takes CAP_SYS_RESOURCE in the machine's own user namespace: /proc/self/oom_score_adj of \
             the caller is what can be had, or more"
        }
        (Action::Host(HostStep::Join { .. }) | Action::Child(Step::JoinCgroupNamespace), "setns", Errno::PERM) => {
            "only who has CAP_SYS_ADMIN in the user namespace that owns it may enter: join that too, --join user=PID, \
             or run as root"
        }
        (
            Action::Host(HostStep::Join { .. }) | Action::Child(Step::JoinCgroupNamespace),
            "setns",
            Errno::INVAL,
        ) => {
            "the file stands for a namespace of another kind, or one that husk is in already"
        }
        (Action::Host(HostStep::Join { .. } | HostStep::OpenCgroupNamespace { .. }), "open", Errno::NOENT) => {
            "there is no process with that id, or no such namespace"
        }
        (Action::Host(HostStep::Join { .. } | HostStep::OpenCgroupNamespace { .. }), "open", Errno::ACCESS) => {
            "you may only enter namespaces of processes of your own, or as root"
        }
        (Action::Child(Step::Mount { filesystem, .. }), "fsmount" | "fsconfig", Errno::PERM)
            if filesystem.kind == c"proc" || filesystem.kind == c"sysfs" =>
        {
            "parts of the /proc or /sys that husk sees are hidden under other mounts, as in a container, and then the kernel \
             allows no new one: unmount those (for Docker: --security-opt systempaths=unconfined), or use --share pid, \
             --share net"
        }
        (Action::Child(Step::Sysctl { .. }), "openat2", Errno::XDEV) => {
            "something is mounted on top of /proc/sys, as in another container: unmount it (for Docker: --security-opt \
             systempaths=unconfined)"
        }
        // A new group has none (sched-rt-group.rst).
        (Action::Child(Step::EnterCgroup | Step::AwaitCgroup), "write", Errno::INVAL) => {
            "a process of real-time scheduling may only enter a cgroup of version 1 that has time for it: run this without (chrt \
             --other 0 COMMAND), or, with husk-oci, give the container linux.resources.cpu.realtimeRuntime"
        }
        (Action::Child(Step::Gid(0) | Step::Uid(0)), "setresgid" | "setresuid", Errno::INVAL) => {
            "the user namespace maps no id 0, and its root sets the container up: map containerID 0 in linux.uidMappings and \
             linux.gidMappings, to an id that owns nothing if need be"
        }
        (Action::Child(Step::OpenProc), _, _) => "husk needs the host's /proc: mount -t proc proc /proc",
        (Action::Child(Step::PivotRoot), _, Errno::INVAL) => {
            "this host runs from its initramfs, which cannot be pivoted away from: use --chroot"
        }
        (Action::Child(Step::MakeDirectory { .. } | Step::MakeFile { .. }), _, Errno::ROFS) => {
            "the root is read-only and has no such mount point: make it where the root can be written, or use --ephemeral"
        }
        (Action::Child(Step::MakeDirectory { .. } | Step::MakeFile { .. }), _, Errno::ACCESS) => {
            "the root is not yours to write to and has no such mount point: use --ephemeral, or make it as its owner"
        }
        (Action::Child(Step::Mount { .. } | Step::MountByText { .. } | Step::Bind { .. }), "fstatfs", Errno::MEDIUMTYPE) => {
            "a symbolic link in the root leads from there into /proc, where nothing else may be mounted: take the link away"
        }
        (Action::Child(Step::Seccomp(_)), "seccomp", Errno::ACCESS) => {
            "without noNewPrivileges a filter of system calls needs CAP_SYS_ADMIN: set process.noNewPrivileges"
        }
        (Action::Child(Step::Seccomp(_)), "seccomp", Errno::INVAL) => {
            "this kernel has no filters of system calls, or not all the flags of linux.seccomp.flags"
        }
        (Action::Child(Step::Seccomp(_)), "seccomp", Errno::BUSY) => {
            "a filter with SCMP_ACT_NOTIFY is on already, as inside another container: there can be one listener"
        }
        (Action::Child(Step::Capabilities(sets)), "capset", Errno::PERM) => return not_had(sets.permitted),
        (Action::Child(Step::Rlimit { .. }), _, Errno::PERM) => {
            "a hard limit can only be raised with CAP_SYS_RESOURCE: ask for no more than `ulimit -H` shows"
        }
        (Action::Child(Step::WorkingDirectory(_)), _, Errno::NOENT) => {
            "make the directory in the root first, or mount a volume there"
        }
        (Action::Child(Step::MakeNode { .. }), _, Errno::PERM) => "device nodes need CAP_MKNOD on the host",
        (Action::Child(Step::Overlay(_)), _, Errno::INVAL | Errno::NODEV) => {
            "the kernel refuses this root as the lower layer of an overlay: its file system cannot be one, or there are mounts \
             below it that you may not leave out; run without --ephemeral, or use another root"
        }
        // AppArmor lets the namespace be made, and then denies every capability in it.
        (Action::Child(_), call, Errno::ACCESS | Errno::PERM) if NEEDS_CAPABILITY.contains(&call) => switched_off()?,
        (_, _, Errno::MFILE | Errno::NFILE) => "too many open files: look at `ulimit -n`",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Which of the capabilities that a process was to have nobody can give it, since this one has them not.
fn not_had(asked: CapabilitySet) -> Option<String> {
    let missing = asked - rustix::thread::capabilities(None).ok()?.permitted;
    (!missing.is_empty()).then(|| {
        format!(
            "nobody can give what he has not, and husk was started without {}: ask for less, or give it to the caller",
            Capabilities::from_bits(missing.bits())
        )
    })
}
