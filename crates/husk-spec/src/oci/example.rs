// SPDX-License-Identifier: Apache-2.0
//! The configuration that `spec` writes for a person to begin with.

use super::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, NamespaceKind, Process, Resources, Rlimit,
    Root, Spec, User, VERSION,
};

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// Destination, type, source and options.
const MOUNTS: [(&str, &str, &str, &[&str]); 7] = [
    ("/proc", "proc", "proc", &[]),
    ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ),
    ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
];

const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// The configuration that `runc spec` writes, in its order, with husk's name and version. It has no ambient capabilities:
/// runc 1.1 lists some, but as none is inheritable they have no effect. `cgroup_namespace`: as runc has one where
/// the host's cgroups are version 2 alone.
pub fn example(cgroup_namespace: bool) -> Spec {
    use NamespaceKind as Kind;
    let mut kinds = vec![Kind::Pid, Kind::Network, Kind::Ipc, Kind::Uts, Kind::Mount];
    kinds.extend(cgroup_namespace.then_some(Kind::Cgroup));
    let rule = DeviceRule { access: "rwm".to_owned(), ..DeviceRule::default() };
    Spec {
        oci_version: VERSION.to_owned(),
        process: Some(process()),
        root: Some(Root { path: "rootfs".to_owned(), readonly: true }),
        hostname: Some("husk".to_owned()),
        mounts: MOUNTS.map(mount).into(),
        linux: Some(Linux {
            resources: Some(Resources { devices: vec![rule], ..Resources::default() }),
            namespaces: kinds.into_iter().map(|kind| Namespace { kind, path: None }).collect(),
            masked_paths: texts(&MASKED),
            readonly_paths: texts(&READ_ONLY),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}

fn process() -> Process {
    let capabilities = || texts(&CAPABILITIES);
    Process {
        terminal: true,
        user: User::default(),
        args: texts(&["sh"]),
        env: texts(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]),
        cwd: "/".to_owned(),
        capabilities: Some(Capabilities {
            bounding: capabilities(),
            effective: capabilities(),
            permitted: capabilities(),
            ..Capabilities::default()
        }),
        rlimits: crate::Resource::all()
            .filter(|resource| resource.name() == "nofile")
            .map(|kind| Rlimit { kind, soft: 1024, hard: 1024 })
            .collect(),
        no_new_privileges: true,
        ..Process::default()
    }
}

fn mount((destination, kind, source, options): (&str, &str, &str, &[&str])) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: texts(options),
        ..Mount::default()
    }
}

/// `spec` for a user without privilege, as `runc spec --rootless` changes it: a user namespace with `uid` and `gid` of
/// the host as its root, the host's network and /sys, no limits, and no options that need another id.
pub fn rootless(mut spec: Spec, uid: u32, gid: u32) -> Spec {
    let linux = spec.linux.get_or_insert_default();
    linux.namespaces.retain(|one| !matches!(one.kind, NamespaceKind::Network | NamespaceKind::User));
    linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    linux.uid_mappings = vec![IdMapping { inside: 0, outside: uid, size: 1 }];
    linux.gid_mappings = vec![IdMapping { inside: 0, outside: gid, size: 1 }];
    linux.resources = None;
    for one in &mut spec.mounts {
        if one.destination == "/sys" {
            // A new sysfs needs a network namespace of one's own.
            *one = mount(("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]));
        }
        one.options.retain(|word| !word.starts_with("uid=") && !word.starts_with("gid="));
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::super::validate;
    use super::*;

    #[test]
    fn it_is_valid() {
        for cgroup_namespace in [false, true] {
            assert_eq!(validate(&example(cgroup_namespace)), Ok(vec![]));
            assert_eq!(validate(&rootless(example(cgroup_namespace), 1000, 1000)), Ok(vec![]));
        }
    }

    #[test]
    fn a_cgroup_namespace_is_asked_for() {
        let has = |spec: Spec| {
            spec.linux.is_some_and(|l| l.namespaces.iter().any(|n| n.kind == NamespaceKind::Cgroup))
        };
        assert!(!has(example(false)) && has(example(true)) && has(rootless(example(true), 1, 1)));
    }
}
