// SPDX-License-Identifier: Apache-2.0
//! What a container is unless somebody says otherwise. The only place for it.

use std::path::{Path, PathBuf};

use husk_spec::{
    BindIdmap, BindMount, Capabilities, Capability, Device, FilesystemMount, Given, Mount, MountFlags,
    Namespace, Namespaces, Origin, Propagation, Resource, Rlimit, UserNamespace,
};
use rustix::mount::MountAttrFlags as Attr;

use super::namespaces::owns_user_namespace;

/// The default command.
pub(super) const COMMAND: &str = "/bin/sh";

/// Where a container's programs are.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The terminal's type where the caller names none, as in Docker.
pub(super) const TERM: &str = "xterm";

const NOSUID_NODEV: Attr = Attr::MOUNT_ATTR_NOSUID.union(Attr::MOUNT_ATTR_NODEV);
const NOSUID_NOEXEC: Attr = Attr::MOUNT_ATTR_NOSUID.union(Attr::MOUNT_ATTR_NOEXEC);
const DATA_ONLY: Attr = NOSUID_NODEV.union(Attr::MOUNT_ATTR_NOEXEC);
const READ_ONLY_DATA: Attr = DATA_ONLY.union(Attr::MOUNT_ATTR_RDONLY);

/// What Docker and Podman hide, together: what lets the host be attacked, mapped or listened to.
const MASKED_PATHS: [&str; 14] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

/// What Docker and Podman make read-only, together, without what is hidden.
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

const CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL"];

pub(super) fn masked_paths() -> Vec<PathBuf> {
    MASKED_PATHS.iter().map(PathBuf::from).collect()
}

pub(super) fn readonly_paths() -> Vec<PathBuf> {
    READONLY_PATHS.iter().map(PathBuf::from).collect()
}

pub(super) fn devices() -> Vec<Given<Device>> {
    let device =
        |path: &&str| Device { source: PathBuf::from(path), target: PathBuf::from(path), node: None };
    DEVICES.iter().map(|path| Given::default(device(path), "devices")).collect()
}

pub(super) fn links() -> Vec<Given<(PathBuf, PathBuf)>> {
    let link = |(path, target): &(&str, &str)| (PathBuf::from(path), PathBuf::from(target));
    LINKS.iter().map(|pair| Given::default(link(pair), "/dev links")).collect()
}

/// The capabilities of a container's root.
pub(super) fn capabilities(namespaces: &Namespaces) -> Given<Capabilities> {
    let known = |name: &&str| name.parse::<Capability>().expect("the table has names of capabilities");
    let mut set: Capabilities = CAPABILITIES.iter().map(known).collect();
    if !owns_user_namespace(namespaces) {
        return Given::default(set, "capabilities");
    }
    // Inside its own user namespace only, where it has power over the container's own namespaces alone.
    set.insert(known(&"SYS_ADMIN"));
    Given::default(set, "capabilities; SYS_ADMIN over its own namespaces, so that it can set its host name")
}

/// No core dumps: they would go where the host's core pattern says.
pub(super) fn rlimits() -> Vec<Given<Rlimit>> {
    let core = Rlimit { resource: Resource::CORE, soft: Some(0), hard: Some(0) };
    vec![Given::default(core, "no core dumps")]
}

/// Instead of CAP_NET_RAW and CAP_NET_BIND_SERVICE: in a network of its own anybody may ping and use low ports.
pub(super) const NETWORK_SYSCTLS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 65535")];

/// The mounts of a container, parents first.
pub(super) fn mounts(namespaces: &Namespaces, hardened: bool, notes: &mut Vec<String>) -> Vec<Given<Mount>> {
    let mut mounts = vec![
        proc(namespaces, hardened),
        new("/dev", "tmpfs", NOSUID_NOEXEC, &[("mode", "755"), ("size", "64k")]),
        new(
            "/dev/pts",
            "devpts",
            NOSUID_NOEXEC,
            &[("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")],
        ),
        shm(namespaces),
    ];
    // mqueue shows the queues of an IPC namespace, and only the user namespace that owns that one may mount it.
    if namespaces.ipc.value == Namespace::New {
        mounts.push(new("/dev/mqueue", "mqueue", DATA_ONLY, &[]));
    }
    if !hardened {
        mounts.extend(sys(namespaces, notes));
    }
    mounts.push(new("/tmp", "tmpfs", NOSUID_NODEV, &[("mode", "1777"), ("size", "64m")]));
    mounts.push(new("/run", "tmpfs", NOSUID_NODEV, &[("mode", "755"), ("size", "64m")]));
    mounts
}

fn new(target: &'static str, kind: &str, set: Attr, options: &[(&str, &str)]) -> Given<Mount> {
    let option =
        |(name, value): &(&str, &str)| ((*name).to_owned(), (!value.is_empty()).then(|| (*value).to_owned()));
    let mount = FilesystemMount {
        kind: kind.to_owned(),
        source: None,
        target: PathBuf::from(target),
        options: options.iter().map(option).collect(),
        flags: MountFlags::set(set),
        propagation: Vec::new(),
        copy_up: false,
        keep_mode: false,
    };
    Given::default(Mount::Filesystem(mount), target)
}

/// The host's own, because the container has no right to a new one.
fn hosts(path: &str, set: Attr, origin: Origin) -> Given<Mount> {
    let mount = BindMount {
        source: PathBuf::from(path),
        target: PathBuf::from(path),
        recursive: true,
        idmap: BindIdmap::Off,
        flags: MountFlags::NONE,
        recursive_flags: MountFlags::set(set),
        propagation: vec![(Propagation::Private, true)],
        shared_with_host: false,
    };
    Given { value: Mount::Bind(mount), origin }
}

/// Only the user namespace that owns a pid namespace may mount a proc of it.
fn proc(namespaces: &Namespaces, hardened: bool) -> Given<Mount> {
    let pid = &namespaces.pid;
    if pid.value == Namespace::Host && namespaces.user.value != UserNamespace::Host {
        let reason = format!("{}: only the host can mount a /proc of its processes", pid.origin);
        return hosts("/proc", DATA_ONLY, Origin::Because(reason));
    }
    new("/proc", "proc", DATA_ONLY, if hardened { &[("subset", "pid")] } else { &[] })
}

/// Shared memory belongs with the IPC namespace.
fn shm(namespaces: &Namespaces) -> Given<Mount> {
    match namespaces.ipc.value {
        Namespace::Host => {
            let reason = format!("{}: the host's shared memory", namespaces.ipc.origin);
            hosts("/dev/shm", DATA_ONLY, Origin::Because(reason))
        }
        _ => new("/dev/shm", "tmpfs", DATA_ONLY, &[("mode", "1777"), ("size", "64m")]),
    }
}

/// Only the user namespace that owns a network namespace may mount a sysfs of it.
fn sys(namespaces: &Namespaces, notes: &mut Vec<String>) -> Option<Given<Mount>> {
    let network = &namespaces.network;
    match network.value {
        Namespace::Host if namespaces.user.value != UserNamespace::Host => {
            let reason = format!("{}: only the host can mount a /sys of its network", network.origin);
            Some(hosts("/sys", READ_ONLY_DATA, Origin::Because(reason)))
        }
        Namespace::Join(_) if owns_user_namespace(namespaces) => {
            notes.push(format!(
                "no /sys: it shows a network, and {} is not the container's own; --join user as well gives it",
                network.origin
            ));
            None
        }
        _ => Some(new("/sys", "sysfs", READ_ONLY_DATA, &[])),
    }
}

/// Whether nodes and links are to be made in the `/dev` of these mounts: not in a directory of the host's.
pub(super) fn makes_dev(mounts: &[Given<Mount>]) -> bool {
    let is_own = |mount: &Given<Mount>| matches!(&mount.value, Mount::Filesystem(new) if new.target == Path::new("/dev"));
    mounts.iter().any(is_own)
}
