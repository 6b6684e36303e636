// SPDX-License-Identifier: Apache-2.0
//! `linux.namespaces`, the id mappings, `linux.timeOffsets` and `linux.netDevices` of config.json.
#![forbid(unsafe_code)]

use std::fs;

use husk_tests::Running;
use husk_tests::oci::{Site, SpecChange};
use husk_tests::oci_site;
use serde_json::{Value, json};

/// Names of the specification, and of the kernel's files in /proc/PID/ns.
const KINDS: [(&str, &str); 6] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
];

const LINK: &str = "readlink /proc/self/ns/";

fn own(file: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{file}")).expect("a namespace").display().to_string()
}

/// No host name where there is no namespace for it, and no sysfs where the network is the host's.
fn without_what_needs_it(spec: &mut Value, kind: &str) {
    spec.remove_namespace(kind);
    if kind == "uts" {
        spec.as_object_mut().expect("an object").remove("hostname");
    }
}

/// A process that holds new namespaces, and the path of one of them.
fn holder(site: &Site, flag: &str) -> Running {
    let mut holder = site.command("unshare").args([flag, "--fork", "sh", "-c", "echo up; read end"]).start();
    holder.wait_for("up");
    holder
}

#[test]
fn linux_namespaces_new() {
    let site = oci_site!();
    for (kind, file) in KINDS {
        let said = site.inside(&format!("{LINK}{file}"), |spec| {
            spec.remove_namespace(kind);
            spec.add_namespace(kind, "");
        });
        assert!(said.starts_with(&format!("{file}:[")) && said != own(file), "{kind}: {said}");
    }
    assert_eq!(site.inside("echo $$; ls /sys/class/net", |_| ()), "1\nlo");
}

#[test]
fn linux_namespaces_absent_is_the_runtimes() {
    let site = oci_site!();
    for (kind, file) in
        [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup"), ("user", "user")]
    {
        let said = site.inside(&format!("{LINK}{file}"), |spec| without_what_needs_it(spec, kind));
        assert_eq!(said, own(file), "{kind}");
    }
    let bundle = site.bundle().sh("echo $$; sleep 1000").change(|spec| spec.remove_namespace("pid"));
    let container = bundle.start();
    container.wait_for("\n");
    assert_eq!(container.stdout().trim(), container.pid().to_string());
    container.delete();
}

#[test]
fn linux_namespaces_joined_by_path() {
    let site = oci_site!();
    for (kind, file, flag) in [
        ("network", "net", "--net"),
        ("ipc", "ipc", "--ipc"),
        ("uts", "uts", "--uts"),
        ("cgroup", "cgroup", "--cgroup"),
    ] {
        let holder = holder(&site, flag);
        let path = format!("/proc/{}/ns/{file}", holder.pid());
        let expected = fs::read_link(&path).expect("a namespace").display().to_string();
        let said = site.inside(&format!("{LINK}{file}"), |spec| {
            without_what_needs_it(spec, kind);
            spec.add_namespace(kind, &path);
        });
        assert_eq!(said, expected, "{kind}");
    }
}

#[test]
fn linux_namespaces_pid_joined_by_path() {
    let site = oci_site!();
    let holder = holder(&site, "--pid");
    let path = format!("/proc/{}/ns/pid_for_children", holder.pid());
    let expected = fs::read_link(&path).expect("a namespace").display().to_string();
    let said = site.inside("echo $$; readlink /proc/self/ns/pid", |spec| {
        spec.remove_namespace("pid");
        spec.add_namespace("pid", &path);
    });
    let (pid, link) = said.split_once('\n').expect("two lines");
    assert_eq!(link, expected);
    assert_ne!(pid, "1", "it is not the first there");
}

#[test]
fn linux_namespaces_of_the_wrong_kind_are_refused() {
    let site = oci_site!();
    if site.deviates("crun", "joins whatever namespace the path leads to") {
        return;
    }
    for (kind, file) in [("network", "uts"), ("ipc", "net"), ("pid", "ipc")] {
        let path = format!("/proc/self/ns/{file}");
        let bundle = site.bundle().change(|spec| {
            spec.remove_namespace(kind);
            spec.add_namespace(kind, &path);
        });
        bundle.refused();
    }
}

#[test]
fn linux_namespaces_that_cannot_be() {
    let site = oci_site!();
    let refused = |change: &dyn Fn(&mut Value)| {
        let bundle = site.bundle();
        bundle.change(|spec| change(spec)).refused();
    };
    refused(&|spec| spec.add_namespace("weather", ""));
    refused(&|spec| {
        spec.remove_namespace("network");
        spec.add_namespace("network", "/nothing/here");
    });
    if !site.deviates("crun", "takes a namespace twice") {
        refused(&|spec| spec.add_namespace("ipc", ""));
    }
}

fn mapped(spec: &mut Value) {
    spec.add_namespace("user", "");
    spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 200_000, "size": 65_536}]);
    spec["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": 300_000, "size": 65_536}]);
}

#[test]
fn linux_uid_and_gid_mappings() {
    let site = oci_site!();
    let bundle = site
        .bundle()
        .sh("echo $(cat /proc/self/uid_map /proc/self/gid_map); id -u; sleep 1000")
        .change(mapped);
    let container = bundle.start();
    container.wait_for("\n0\n");
    assert_eq!(container.stdout(), "0 200000 65536 0 300000 65536\n0\n");
    let status = fs::read_to_string(container.proc("status")).expect("the status of init");
    assert!(status.contains("Uid:\t200000\t200000"), "{status}");
    assert!(status.contains("Gid:\t300000\t300000"), "{status}");
    container.delete();
}

#[test]
fn linux_uid_and_gid_mappings_with_a_user_inside() {
    let site = oci_site!();
    let bundle = site.bundle().sh("id -u; id -g; touch /dev/shm/x && stat -c %u /dev/shm/x").change(mapped);
    let bundle = bundle.change(|spec| spec["process"]["user"] = json!({"uid": 1000, "gid": 1001}));
    bundle.output().succeeds().prints("1000\n1001\n1000\n");
}

#[test]
fn linux_uid_mappings_of_several_ranges() {
    let site = oci_site!();
    let said = site.inside("while read a b c; do echo $a $b $c; done < /proc/self/uid_map", |spec| {
        mapped(spec);
        spec["linux"]["uidMappings"] = json!([
            {"containerID": 0, "hostID": 200_000, "size": 1000}, {"containerID": 1000, "hostID": 400_000, "size": 5}
        ]);
    });
    assert_eq!(said, "0 200000 1000\n1000 400000 5");
}

#[test]
fn linux_namespaces_user_joined_by_path() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "joining a user namespace") {
        return;
    }
    let mut holder = site.command("unshare").args(["--user", "sh", "-c", "echo up; read end"]).start();
    holder.wait_for("up");
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{}/{map}", holder.pid()), "0 200000 65536").expect("a map");
    }
    let path = format!("/proc/{}/ns/user", holder.pid());
    let expected = fs::read_link(&path).expect("a namespace").display().to_string();
    let said = site.inside("readlink /proc/self/ns/user; id -u", |spec| spec.add_namespace("user", &path));
    assert_eq!(said, format!("{expected}\n0"));
}

#[test]
fn linux_namespaces_user_without_mappings_is_refused() {
    let site = oci_site!();
    let own = fs::read_to_string("/proc/self/uid_map").expect("the host's");
    let mappings_alone = site.inside("cat /proc/self/uid_map", |spec| {
        spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 200_000, "size": 65_536}]);
    });
    assert_eq!(mappings_alone.trim_end(), own.trim_end(), "they say nothing without a user namespace");
    if site.deviates("crun", "maps by itself when no mappings are given") {
        return;
    }
    site.bundle().change(|spec| spec.add_namespace("user", "")).refused();
}

#[test]
fn linux_uid_mappings_without_0_are_refused_with_the_reason() {
    let site = oci_site!();
    if site.deviates("crun", "sets a container up as whoever is mapped") {
        return;
    }
    let refused = site.bundle().change(|spec| {
        mapped(spec);
        let map = json!([{"containerID": 1000, "hostID": 200_000, "size": 10}]);
        (spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]) = (map.clone(), map);
        spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    });
    let output = refused.refused();
    assert!(output.stderr.contains("maps no id 0") || site.runtime().name() != "husk-oci", "{output}");
}

#[test]
fn linux_time_offsets() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "time namespaces")
        || site.is_too_old("crun", (1, 9, 0), "time namespaces")
    {
        return;
    }
    let uptime =
        |text: &str| text.split('.').next().and_then(|text| text.parse::<u64>().ok()).expect("seconds");
    let own = uptime(&fs::read_to_string("/proc/uptime").expect("the host's"));
    let said = site.inside("cat /proc/uptime /proc/self/timens_offsets", |spec| {
        spec.add_namespace("time", "");
        spec["linux"]["timeOffsets"] = json!({
            "boottime": {"secs": 1_000_000, "nanosecs": 5}, "monotonic": {"secs": 2_000_000, "nanosecs": 7}
        });
    });
    let inside = uptime(&said);
    let offsets: Vec<_> = said.split_whitespace().skip(2).collect();
    assert_eq!(offsets.join(" "), "monotonic 2000000 7 boottime 1000000 5");
    assert!((1_000_000..1_000_030).contains(&(inside - own)), "{own} outside, {inside} inside");
    site.bundle().change(|spec| spec["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1}})).refused();
}

#[test]
fn linux_net_devices() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 4, 0), "linux.netDevices")
        || site.is_too_old("crun", (1, 24, 0), "linux.netDevices")
    {
        return;
    }
    let bundle = site.bundle().sh("cat /sys/class/net/inner/address").change(|spec| {
        spec["linux"]["netDevices"] = json!({"husk0": {"name": "inner"}});
    });
    bundle.write();
    // The device is made in a network namespace of the test's, which is the runtime's then.
    let script = "ip link add husk0 type dummy || ip link add husk0 type veth || exit 77; ip link set husk0 address 02:00:00:00:00:07; exec \"$@\"";
    let run = site.command("unshare").args(["--net", "sh", "-c", script, "sh"]).arg(site.runtime().path());
    let output = run
        .arg("--root")
        .arg(site.root())
        .args(["run", "--bundle"])
        .arg(bundle.path())
        .arg(bundle.id())
        .run();
    if output.code() == 77 {
        return site.note("this kernel makes neither dummy nor veth network devices");
    }
    output.succeeds().prints("02:00:00:00:00:07\n");
}
