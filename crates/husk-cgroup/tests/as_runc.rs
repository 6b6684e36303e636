// SPDX-License-Identifier: Apache-2.0
//! The same limits, set by runc and by husk: the files of both cgroups say the same.
#![forbid(unsafe_code)]

mod skip;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use husk_cgroup::device::{self, DEFAULT};
use husk_cgroup::limits::{Hierarchy, files};
use husk_cgroup::{Hierarchies, Place};
use husk_spec::oci::Resources;
use serde_json::{Value, json};

/// Files that say what is set, and not what is used.
const SETTINGS: &[&str] = &[
    "blkio.throttle.read_bps_device",
    "cgroup.freeze",
    "cgroup.max.depth",
    "cgroup.max.descendants",
    "cgroup.subtree_control",
    "cgroup.type",
    "cpu.cfs_burst_us",
    "cpu.cfs_period_us",
    "cpu.cfs_quota_us",
    "cpu.idle",
    "cpu.max",
    "cpu.max.burst",
    "cpu.shares",
    "cpu.weight",
    "cpuset.cpus",
    "cpuset.mems",
    "devices.list",
    "freezer.state",
    "io.max",
    "io.weight",
    "memory.high",
    "memory.limit_in_bytes",
    "memory.low",
    "memory.max",
    "memory.memsw.limit_in_bytes",
    "memory.min",
    "memory.oom.group",
    "memory.soft_limit_in_bytes",
    "memory.swap.max",
    "memory.swappiness",
    "memory.use_hierarchy",
    "pids.max",
];

fn skip(reason: &str) {
    skip::skip("the_files_say_what_they_say_with_runc", reason);
}

fn runc(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("runc");
    command.arg("--root").arg(directory.join("state")).args(args).current_dir(directory).stdin(Stdio::null());
    command.stdout(Stdio::null());
    command.stderr(fs::File::create(directory.join("stderr")).expect("a file"));
    command.output().expect("runc runs")
}

/// Ends the container also when the test fails.
struct Runc<'a> {
    directory: &'a Path,
    id: &'a str,
}

impl Drop for Runc<'_> {
    fn drop(&mut self) {
        runc(self.directory, &["delete", "--force", self.id]);
    }
}

/// A bundle whose root holds one program.
fn bundle(directory: &Path, cgroups_path: &str, resources: &Value) {
    let root = directory.join("rootfs");
    fs::create_dir_all(root.join("proc")).expect("a root");
    // By another process: what this one has open for writing, a child that another test forks has open too, until it executes
    // something, and as long nobody can execute it (ETXTBSY).
    let copied = Command::new("cp").arg("/bin/busybox").arg(root.join("busybox")).status();
    assert!(copied.expect("cp starts").success(), "busybox is static");
    let config = json!({
        "ociVersion": "1.0.2",
        "process": { "args": ["/busybox", "true"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
        "root": { "path": "rootfs" },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": {
            "namespaces": [{ "type": "mount" }, { "type": "pid" }],
            "cgroupsPath": cgroups_path,
            "resources": resources,
        },
    });
    fs::write(directory.join("config.json"), config.to_string()).expect("a config");
}

fn settings(place: &Place) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for directory in place.directories() {
        for name in SETTINGS {
            let Ok(text) = fs::read_to_string(directory.path.join(name)) else { continue };
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            all.insert(format!("{}/{name}", directory.controllers.join(",")), lines);
        }
    }
    all
}

/// What runc did otherwise before the versions that husk follows: a straight line from shares to weights (before 1.3.2), and
/// tun among the devices that it allows (before 1.2).
fn as_later(mut settings: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    for (name, lines) in &mut settings {
        if name.ends_with("/cpu.weight") && lines == &["20"] {
            *lines = vec!["59".to_owned()];
        }
        if name.ends_with("devices.list") {
            lines.retain(|line| line != "c 10:200 rwm");
        }
    }
    settings
}

#[test]
fn the_files_say_what_they_say_with_runc() {
    if !rustix::process::geteuid().is_root() {
        return skip("runc as an ordinary user has no cgroups without systemd");
    }
    if Command::new("runc").arg("--version").output().is_err() || !Path::new("/bin/busybox").exists() {
        return skip("there is no runc or no busybox here");
    }
    let resources = json!({
        "devices": [
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" },
            { "allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm" },
        ],
        "memory": { "limit": 67_108_864, "reservation": 33_554_432, "swap": 100_663_296, "disableOOMKiller": false },
        "cpu": { "shares": 512, "quota": 50_000, "period": 200_000, "cpus": "0", "mems": "0" },
        "pids": { "limit": 77 },
        "blockIO": { "weight": 0 },
    });
    let directory = tempfile::tempdir().expect("a directory");
    let path = |of: &str| format!("/husk-test-{}-{of}", std::process::id());
    bundle(directory.path(), &path("runc"), &resources);
    let id = format!("husk-test-{}", std::process::id());
    let found = Hierarchies::read().expect("hierarchies");
    let place = |of: &str| Place::new(&found, Some(&path(of)), "").expect("a place");

    let theirs = {
        let container = Runc { directory: directory.path(), id: &id };
        if !runc(directory.path(), &["create", &id]).status.success() {
            let stderr = fs::read_to_string(directory.path().join("stderr")).unwrap_or_default();
            return skip(&format!("runc does not make a container here: {}", stderr.trim()));
        }
        let settings = settings(&place("runc"));
        drop(container);
        as_later(settings)
    };

    let resources: Resources = serde_json::from_value(resources).expect("resources");
    let limits = files(&resources, found.version).expect("limits");
    let mut ours = place("husk");
    let result = ours.create(&limits.controllers()).and_then(|()| {
        ours.apply(&limits.writes)?;
        let rules = device::rules(&resources.devices).expect("rules");
        ours.set_devices(&[&rules[..], &DEFAULT].concat())?;
        Ok(settings(&ours))
    });
    ours.remove().expect("nothing is left behind");
    let ours = result.expect("the limits are taken");
    let expected = match found.version {
        Hierarchy::V1 => 15,
        Hierarchy::V2 => 12,
    };
    assert!(theirs.len() >= expected, "there is something to compare: {theirs:?}");
    assert_eq!(ours, theirs);
}
