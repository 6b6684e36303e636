// SPDX-License-Identifier: Apache-2.0
//! The kit of the OCI tests itself: it has to fail where a test relies on it to, and to leave nothing.
#![forbid(unsafe_code)]

use std::path::Path;

use husk_tests::oci_site;
use serde_json::json;

#[test]
fn a_container_is_driven_from_create_to_delete() {
    let site = oci_site!();
    let bundle = site.bundle().sh("echo in; echo err >&2; hostname; exit 3");
    let output = bundle.change(|spec| spec["hostname"] = json!("inside")).output();
    output.exits(3).prints("in\ninside\n").says("err");
}

#[test]
fn what_a_test_leaves_is_ended_and_removed() {
    let site = oci_site!();
    let running = site.bundle().sh("echo up; sleep 1000").start();
    let created = site.bundle().create();
    running.wait_for("up");
    site.command("mount")
        .args(["-t", "tmpfs", "mine"])
        .arg(site.path().join("c0/rootfs/mnt"))
        .run()
        .succeeds();
    let pids = [running.pid(), created.pid()].map(|pid| format!("/proc/{pid}"));
    let (path, cgroup) = (site.path().to_owned(), site.cgroup().clone());
    assert!(path.exists() && cgroup.exists() && pids.iter().all(|pid| Path::new(pid).exists()));
    drop(site);
    assert!(!path.exists(), "the directory");
    assert!(!cgroup.exists(), "the cgroups: {:?}", cgroup.directories());
    assert!(!pids.iter().any(|pid| Path::new(pid).exists()), "the processes");
}

#[test]
fn a_create_that_fails_is_noticed() {
    let site = oci_site!();
    let bundle = site.bundle().change(|spec| spec["root"]["path"] = json!("nothing"));
    assert_ne!(bundle.refused().code(), 0);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bundle.create())).is_err());
}
