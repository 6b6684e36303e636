// SPDX-License-Identifier: Apache-2.0
//! Devices in the cases between the fields: kinds, owners, user namespaces, and images that have something at their places.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::symlink;

use husk_tests::oci::SpecChange;
use husk_tests::oci_site;
use serde_json::{Value, json};

fn no_dev(spec: &mut Value) {
    let mounts = spec["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| !mount["destination"].as_str().expect("text").starts_with("/dev"));
}

fn user_namespace(spec: &mut Value) {
    spec.add_namespace("user", "");
    for map in ["uidMappings", "gidMappings"] {
        spec["linux"][map] = json!([{"containerID": 0, "hostID": 200_000, "size": 65_536}]);
    }
}

const OF_ALL_KINDS: &str =
    "stat -c '%n %F %t:%T %a %u:%g' /dev/deep/block /dev/char /dev/unbuffered /dev/fifo";

#[test]
fn devices_of_all_kinds() {
    let site = oci_site!();
    let said = site.inside(OF_ALL_KINDS, |spec| {
        spec["linux"]["devices"] = json!([
            {"path": "/dev/deep/block", "type": "b", "major": 7, "minor": 200, "fileMode": 0o640, "uid": 3, "gid": 4},
            {"path": "/dev/char", "type": "c", "major": 1, "minor": 3, "fileMode": 0o7},
            {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 5},
            {"path": "/dev/fifo", "type": "p", "fileMode": 0o622, "uid": 1}
        ]);
        let rules = spec["linux"]["resources"]["devices"].as_array_mut().expect("rules");
        rules.push(json!({"allow": true, "type": "b", "major": 7, "minor": 200, "access": "m"}));
    });
    let expected = "/dev/deep/block block special file 7:c8 640 3:4\n/dev/char character special file 1:3 7 0:0\n\
                    /dev/unbuffered character special file 1:5 666 0:0\n/dev/fifo fifo 0:0 622 1:0";
    if site.deviates("crun", "knows no device of type u") {
        return;
    }
    assert_eq!(said, expected);
}

#[test]
fn devices_in_a_user_namespace_are_the_hosts() {
    let site = oci_site!();
    let binds = "binds a FIFO of the host's instead of making one";
    if site.deviates("runc", binds) || site.deviates("crun", binds) {
        return;
    }
    let script = "stat -c '%n %F %t:%T' /dev/null /dev/kmsg /dev/fifo; echo x > /dev/null && echo works";
    let said = site.inside(script, |spec| {
        user_namespace(spec);
        spec["linux"]["devices"] = json!([
            {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11},
            {"path": "/dev/fifo", "type": "p", "fileMode": 0o622}
        ]);
    });
    let expected = "/dev/null character special file 1:3\n/dev/kmsg character special file 1:b\n/dev/fifo fifo 0:0\nworks";
    assert_eq!(said, expected);
}

#[test]
fn an_image_without_a_mount_on_dev_gets_its_devices() {
    let site = oci_site!();
    if site.deviates("crun", "needs a /dev in the image") {
        return;
    }
    let bundle = site.bundle().sh("stat -c '%F %t:%T' /dev/null; readlink /dev/fd; readlink /dev/ptmx");
    let _ = fs::remove_dir_all(bundle.in_root("dev"));
    let bundle = bundle.change(no_dev);
    bundle.output().succeeds().prints("character special file 1:3\n/proc/self/fd\npts/ptmx\n");
    // And again, with the nodes of the first time in the image.
    bundle.output().succeeds().prints("character special file 1:3\n/proc/self/fd\npts/ptmx\n");
}

#[test]
fn a_link_at_a_devices_place_leads_nowhere() {
    let site = oci_site!();
    for user in [false, true] {
        let canary = site.path().join("canary");
        fs::write(&canary, "alive").expect("a file");
        for target in ["canary", "/etc/canary", "../../../../../../../etc/passwd"] {
            let target = if target == "canary" { canary.display().to_string() } else { target.to_owned() };
            let bundle = site.bundle().change(no_dev);
            let bundle = if user { bundle.change(user_namespace) } else { bundle };
            fs::create_dir_all(bundle.in_root("dev")).expect("a directory");
            symlink(&target, bundle.in_root("dev/null")).expect("a link");
            let before = fs::read("/etc/passwd").expect("a file");
            // Whether that is refused or made in the root, the host is as it was.
            let _ = bundle.create_with(&[], &[]).map(|container| container.delete());
            assert_eq!(fs::read_to_string(&canary).expect("the canary"), "alive", "{target}");
            assert_eq!(fs::read("/etc/passwd").expect("a file"), before, "{target}");
        }
        let twin = site.bundle().sh("echo x > /dev/null && echo works");
        let twin = if user { twin.change(user_namespace) } else { twin };
        twin.output().succeeds().prints("works\n");
    }
}

#[test]
fn a_node_of_another_kind_is_not_taken_for_the_device() {
    let site = oci_site!();
    if site.deviates("runc", "takes whatever is there") || site.deviates("crun", "takes whatever is there") {
        return;
    }
    let bundle = site.bundle().change(no_dev);
    fs::create_dir_all(bundle.in_root("dev")).expect("a directory");
    fs::write(bundle.in_root("dev/null"), "").expect("a file");
    bundle.fails();
}
