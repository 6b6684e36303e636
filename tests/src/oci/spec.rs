// SPDX-License-Identifier: Apache-2.0
//! The configuration that a test starts from.

use serde_json::{Value, json};

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// The configuration that `spec` of the usual runtimes writes, without a terminal, without limits (raising one takes
/// CAP_SYS_RESOURCE), with a writable root, and with the cgroup given.
pub fn default_spec(cgroup: &str) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "test",
        "mounts": [
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"])
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": kind, "source": source, "options": options})
}

/// Changes that many tests make to a configuration.
pub trait SpecChange {
    /// One more mount, after the others.
    fn add_mount(&mut self, destination: &str, kind: &str, source: &str, options: &[&str]);

    /// The options of the mount that is there already.
    fn mount_options(&mut self, destination: &str, options: &[&str]);

    /// One more namespace; `path` is empty for a new one.
    fn add_namespace(&mut self, kind: &str, path: &str);

    /// One namespace less.
    fn remove_namespace(&mut self, kind: &str);

    /// A capability more in the bounding, effective and permitted sets.
    fn add_capability(&mut self, name: &str);
}

impl SpecChange for Value {
    fn add_mount(&mut self, destination: &str, kind: &str, source: &str, options: &[&str]) {
        list(&mut self["mounts"]).push(mount(destination, kind, source, options));
    }

    fn mount_options(&mut self, destination: &str, options: &[&str]) {
        let mount = list(&mut self["mounts"]).iter_mut().find(|mount| mount["destination"] == destination);
        mount.expect("such a mount")["options"] = json!(options);
    }

    fn add_namespace(&mut self, kind: &str, path: &str) {
        let namespace = match path {
            "" => json!({"type": kind}),
            path => json!({"type": kind, "path": path}),
        };
        list(&mut self["linux"]["namespaces"]).push(namespace);
    }

    fn remove_namespace(&mut self, kind: &str) {
        list(&mut self["linux"]["namespaces"]).retain(|namespace| namespace["type"] != kind);
    }

    fn add_capability(&mut self, name: &str) {
        for set in ["bounding", "effective", "permitted"] {
            list(&mut self["process"]["capabilities"][set]).push(json!(name));
        }
    }
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut().expect("an array")
}
