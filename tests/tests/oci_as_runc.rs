// SPDX-License-Identifier: Apache-2.0
//! The same configuration under runc and under the runtime that is tested: every file of both cgroups that says what is set says the
//! same.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;

use husk_tests::oci::{Cgroup, Site, is_unified};
use husk_tests::oci_site;
use serde_json::{Value, json};

/// Files that say what is used, what has happened, and who is in it.
const COUNTS: &[&str] = &[
    "cgroup.controllers",
    "cgroup.event_control",
    "cgroup.events",
    "cgroup.procs",
    "cgroup.stat",
    "cgroup.threads",
    "cpuset.effective_cpus",
    "cpuset.effective_mems",
    "cpuset.memory_pressure",
    "memory.failcnt",
    "memory.oom_control",
    "memory.pressure_level",
    "misc.current",
    "net_prio.prioidx",
    "pids.events",
    "pids.current",
    "rdma.current",
    "tasks",
];

/// And families of such.
const COUNTING: &[&str] = &[
    "usage",
    "stat",
    ".events",
    ".current",
    "pressure",
    "failcnt",
    "peak",
    "io_service",
    "io_merged",
    "io_queued",
    "io_wait",
    "bfq.io",
    "bfq.time",
    "bfq.sectors",
    "bfq.avg",
    "bfq.group",
    "bfq.idle",
    "bfq.dequeue",
    "bfq.empty",
    "blkio.time",
    "blkio.sectors",
    "effective",
    "numa",
    "swap.high.events",
];

fn says_what_is_set(name: &str) -> bool {
    !COUNTS.contains(&name) && !COUNTING.iter().any(|part| name.contains(part))
}

/// What stands in each file, its lines in order; by hierarchy and file.
fn settings(cgroup: &Cgroup) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for directory in cgroup.directories() {
        let hierarchy = directory
            .ancestors()
            .find(|path| path.parent().is_some_and(|above| above == Path::new("/sys/fs/cgroup")));
        let hierarchy =
            hierarchy.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let hierarchy = if is_unified() { String::new() } else { hierarchy };
        for entry in fs::read_dir(&directory).expect("a cgroup").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !says_what_is_set(&name) || entry.path().is_dir() {
                continue;
            }
            let Ok(text) = fs::read_to_string(entry.path()) else { continue };
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            all.insert(format!("{hierarchy}/{name}"), lines);
        }
    }
    all
}

/// What runc did otherwise in versions before those that are followed: a straight line from shares to weights (before 1.3.2), tun
/// among the devices (before 1.2).
fn as_later(mut settings: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    for (name, lines) in &mut settings {
        if name.ends_with("/cpu.weight") && lines == &["20"] {
            *lines = vec!["59".to_owned()];
        }
        // The same value, in the kernel's coarser scale.
        if name.ends_with("/cpu.weight.nice") {
            lines.clear();
        }
        if name.ends_with("devices.list") {
            lines.retain(|line| line != "c 10:200 rwm");
        }
    }
    settings
}

/// Quotas that leave a container's start most of its time: it is in the cgroup by then.
fn resources() -> Value {
    json!({
        "devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"},
            {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm"}
        ],
        "memory": {"limit": 67_108_864, "reservation": 33_554_432, "swap": 100_663_296, "disableOOMKiller": false},
        "cpu": {"shares": 512, "quota": 150_000, "period": 200_000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 77}
    })
}

/// The files of runc's container, which has ended by then; `None`, with a skip, if it makes none here.
fn by_runc(site: &Site, resources: &Value, update: Option<&Path>) -> Option<BTreeMap<String, Vec<String>>> {
    let bundle = site.bundle().sh("sleep 1000").change(|spec| spec["linux"]["resources"] = resources.clone());
    bundle.write();
    let root = site.path().join("runc");
    let runc = |words: &[&str]| site.command("runc").args(site.globals(&root)).args(words);
    let path = bundle.path().to_str().expect("a path");
    let mut create = runc(&["create", "--bundle", path, bundle.id()]).process();
    let stderr = fs::File::create(bundle.path().join("stderr")).expect("a file");
    let status = create.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).status();
    let made = status.is_ok_and(|status| status.success());
    let updated = update.is_none_or(|file| {
        let file = file.to_str().expect("a path");
        runc(&["update", "--resources", file, bundle.id()]).run().code() == 0
    });
    let found = settings(&site.cgroup_of(bundle.id()));
    runc(&["delete", "--force", bundle.id()]).run();
    if !made || !updated {
        let said = fs::read_to_string(bundle.path().join("stderr")).unwrap_or_default();
        site.note(&format!("runc makes no such container here: {}", said.trim()));
        return None;
    }
    Some(as_later(found))
}

fn by_ours(site: &Site, resources: &Value, update: Option<&Path>) -> BTreeMap<String, Vec<String>> {
    let bundle = site.bundle().sh("sleep 1000").change(|spec| spec["linux"]["resources"] = resources.clone());
    let container = bundle.create();
    if let Some(file) = update {
        site.oci(["update", "--resources"]).arg(file).arg(container.id()).run().succeeds();
    }
    let found = settings(&container.cgroup());
    container.delete();
    as_later(found)
}

#[track_caller]
fn compare(site: &Site, resources: &Value, update: Option<&Value>) {
    let file = site.path().join("update.json");
    let update = update.map(|value| {
        fs::write(&file, value.to_string()).expect("a file");
        file.as_path()
    });
    let Some(theirs) = by_runc(site, resources, update) else { return };
    let ours = by_ours(site, resources, update);
    assert!(theirs.len() > 20, "there is something to compare: {theirs:?}");
    let both: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
    let differences: Vec<_> = both
        .into_iter()
        // Only husk-oci has a container in version 2 also where that has no controllers, and in hierarchies that runc does not know:
        // misc before 1.2.
        .filter(|name| {
            !name.starts_with("unified/") && (!name.starts_with("misc/") || theirs.contains_key(*name))
        })
        .filter(|name| theirs.get(*name) != ours.get(*name))
        .map(|name| format!("{name}: runc {:?}, ours {:?}", theirs.get(name), ours.get(name)))
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

fn has_runc(site: &Site) -> bool {
    let has = site.command("runc").arg("--version").run().code() == 0;
    if !has {
        site.note("there is no runc here");
    }
    has
}

#[test]
fn files_of_a_container_with_limits() {
    let site = oci_site!();
    if has_runc(&site) {
        compare(&site, &resources(), None);
    }
}

#[test]
fn files_of_a_container_without_limits() {
    let site = oci_site!();
    if has_runc(&site) {
        compare(&site, &json!({"devices": [{"allow": false, "access": "rwm"}]}), None);
    }
}

#[test]
fn files_after_an_update() {
    let site = oci_site!();
    if !has_runc(&site) {
        return;
    }
    // 1024 shares are a weight of 39 on runc's old line, and of 100 on the new curve.
    let shares = if is_unified() { 512 } else { 1024 };
    let update = json!({
        "memory": {"limit": 33_554_432, "swap": 50_331_648},
        "cpu": {"shares": shares, "quota": 80_000, "period": 100_000},
        "pids": {"limit": 55}
    });
    compare(&site, &resources(), Some(&update));
}
