// SPDX-License-Identifier: Apache-2.0
//! `root`, `hostname`, `domainname`, and those fields of `linux` that concern the root file system and the kernel.
#![forbid(unsafe_code)]

use std::fs;

use husk_tests::oci::SpecChange;
use husk_tests::oci_site;
use serde_json::json;

#[test]
fn root_path() {
    let site = oci_site!();
    let bundle = site.bundle().sh("cat /mark");
    fs::write(bundle.in_root("mark"), "here\n").expect("a file");
    bundle.output().succeeds().prints("here\n");
    let absolute = bundle.path().join("rootfs").display().to_string();
    bundle.change(|spec| spec["root"]["path"] = json!(absolute)).output().succeeds().prints("here\n");
    for wrong in ["nothing", "config.json"] {
        site.bundle().change(|spec| spec["root"]["path"] = json!(wrong)).refused();
    }
}

#[test]
fn root_path_of_no_root_is_named_with_its_field() {
    let site = oci_site!();
    if ["runc", "crun"].into_iter().any(|name| site.deviates(name, "has no paths in its errors")) {
        return;
    }
    let refused = |path: &str| {
        let bundle = site.bundle().change(|spec| spec["root"]["path"] = json!(path));
        fs::write(bundle.path().join("file"), "").expect("a file");
        bundle.refused()
    };
    let missing = refused("nowhere");
    missing
        .says("root.path: no such root: ")
        .says("/nowhere (make one: husk rootfs new ")
        .says("from the bundle");
    assert!(!missing.stderr.contains("husk run"), "{missing}");
    let file = refused("file");
    file.says("root.path: the root ")
        .says("/file is not a directory (name the directory of a root file system");
}

#[test]
fn root_is_all_there_is() {
    let site = oci_site!();
    let said = site.inside("ls /; cd ../../..; pwd; awk '{print $5}' /proc/self/mountinfo", |_| ());
    assert!(!said.contains("rootfs") && said.contains("\n/\n/\n"), "{said}");
    assert!(!said.contains("/tmp/husk"), "no mount of the host's is seen: {said}");
}

#[test]
fn root_readonly() {
    let site = oci_site!();
    let script = "touch /x 2> /dev/null; echo $?; touch /dev/shm/x; echo $?";
    assert_eq!(site.inside(script, |spec| spec["root"]["readonly"] = json!(true)), "1\n0");
    assert_eq!(site.inside(script, |spec| spec["root"]["readonly"] = json!(false)), "0\n0");
}

#[test]
fn hostname() {
    let site = oci_site!();
    let own = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    assert_eq!(site.inside("hostname", |spec| spec["hostname"] = json!("some-name")), "some-name");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").expect("a name"), own, "the host's");
    site.bundle().change(|spec| spec.remove_namespace("uts")).refused();
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").expect("a name"), own, "the host's");
}

#[test]
fn domainname() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "domainname") || site.is_too_old("crun", (1, 9, 0), "domainname") {
        return;
    }
    let said =
        site.inside("cat /proc/sys/kernel/domainname", |spec| spec["domainname"] = json!("example.org"));
    assert_eq!(said, "example.org");
}

#[test]
fn linux_rootfs_propagation() {
    let site = oci_site!();
    // A slave has a master only where the host's mounts are shared.
    site.command("mount").args(["--make-rshared", "/"]).run().succeeds();
    for (propagation, mark) in
        [("shared", "shared:"), ("slave", "master:"), ("private", "-"), ("unbindable", "unbindable")]
    {
        if propagation == "unbindable" && site.deviates("runc", "makes the root unbindable and then binds it")
        {
            continue;
        }
        let said = site.inside("awk '$5 == \"/\" {print $7}' /proc/self/mountinfo", |spec| {
            spec["linux"]["rootfsPropagation"] = json!(propagation);
        });
        let is_so = said.starts_with(mark);
        let reason = format!("does not make the root {propagation}");
        assert!(
            is_so || site.deviates("runc", &reason) || site.deviates("crun", &reason),
            "{propagation}: {said}"
        );
    }
    if !site.deviates("crun", "takes any word for it") {
        site.bundle().change(|spec| spec["linux"]["rootfsPropagation"] = json!("sideways")).fails();
    }
}

#[test]
fn the_root_follows_the_host_also_with_ids_of_its_own() {
    let site = oci_site!();
    site.command("mount").args(["--make-rshared", "/"]).run().succeeds();
    let ids = json!([{"containerID": 0, "hostID": 200_000, "size": 65_536}]);
    for own_ids in [false, true] {
        let said = site.inside("awk '$5 == \"/\" {print $7}' /proc/self/mountinfo", |spec| {
            if own_ids {
                spec.add_namespace("user", "");
                (spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]) = (ids.clone(), ids.clone());
            }
        });
        let is_so = said.starts_with("master:");
        assert!(is_so || site.deviates("crun", "makes the root private"), "own ids {own_ids}: {said}");
    }
}

#[test]
fn linux_masked_paths() {
    let site = oci_site!();
    let bundle =
        site.bundle().sh("cat /secret; ls /hidden; wc -c < /proc/cpuinfo; echo end").change(|spec| {
            spec["linux"]["maskedPaths"] = json!(["/secret", "/hidden", "/proc/cpuinfo", "/not/there"]);
        });
    fs::write(bundle.in_root("secret"), "secret").expect("a file");
    fs::create_dir(bundle.in_root("hidden")).expect("a directory");
    fs::write(bundle.in_root("hidden/file"), "secret").expect("a file");
    bundle.output().succeeds().prints("0\nend\n");
    site.bundle()
        .sh("grep -q . /proc/cpuinfo")
        .change(|spec| spec["linux"]["maskedPaths"] = json!([]))
        .output()
        .succeeds();
}

#[test]
fn linux_readonly_paths() {
    let site = oci_site!();
    let script = "touch /kept/x 2> /dev/null; echo $?; echo 1 2> /dev/null > /file; echo $?; cat /kept/y";
    let bundle = site.bundle().sh(script).change(|spec| {
        spec["linux"]["readonlyPaths"] = json!(["/kept", "/file", "/proc/sys", "/not/there"]);
    });
    fs::create_dir(bundle.in_root("kept")).expect("a directory");
    fs::write(bundle.in_root("kept/y"), "readable\n").expect("a file");
    fs::write(bundle.in_root("file"), "").expect("a file");
    let output = bundle.output();
    assert_eq!(output.succeeds().stdout, "1\n1\nreadable\n");
    if site.deviates("crun", "loses the options of what is mounted below") {
        return;
    }
    let script = "touch /mnt/x 2> /dev/null; echo $?; touch /mnt/below/x; echo $?; touch /mnt/kept/x 2> /dev/null; echo $?";
    let bundle = site.bundle().sh(script).change(|spec| {
        spec["linux"]["readonlyPaths"] = json!(["/mnt"]);
        spec.add_mount("/mnt/below", "tmpfs", "tmpfs", &[]);
        spec.add_mount("/mnt/kept", "tmpfs", "tmpfs", &["ro"]);
    });
    bundle.output().succeeds().prints("1\n0\n1\n");
}

#[test]
fn linux_sysctl() {
    let site = oci_site!();
    let own = fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").expect("a setting");
    let said = site.inside(
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ping_group_range",
        |spec| {
            spec["linux"]["sysctl"] = json!({
                "net.ipv4.ip_forward": "1", "kernel.msgmax": "65000", "net.ipv4.ping_group_range": "0 100"
            });
        },
    );
    assert_eq!(said, "1\n65000\n0\t100");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").expect("a setting"), own);
    for outside in ["vm.swappiness", "kernel.pid_max"] {
        site.bundle().change(|spec| spec["linux"]["sysctl"] = json!({outside: "50"})).fails();
    }
    let no_network = site.bundle().change(|spec| {
        spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
        spec.remove_namespace("network");
    });
    no_network.fails();
}

#[test]
fn linux_personality() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "linux.personality") {
        return;
    }
    if !cfg!(target_arch = "x86_64") {
        return site.note("which 32-bit personality there is depends on the processor: tried on x86_64");
    }
    assert_eq!(
        site.inside("uname -m", |spec| spec["linux"]["personality"] = json!({"domain": "LINUX32"})),
        "i686"
    );
    assert_eq!(
        site.inside("uname -m", |spec| spec["linux"]["personality"] = json!({"domain": "LINUX"})),
        "x86_64"
    );
    site.bundle().change(|spec| spec["linux"]["personality"] = json!({"domain": "VMS"})).fails();
}

#[test]
fn linux_mount_label_without_selinux() {
    let site = oci_site!();
    if fs::metadata("/sys/fs/selinux").is_ok() {
        return site.note("this kernel has SELinux: how a label takes effect is tried by the engines' cases");
    }
    if site.deviates("crun", "leaves a label out where the kernel has no SELinux") {
        return;
    }
    let label = "system_u:object_r:container_file_t:s0";
    site.bundle().change(|spec| spec["linux"]["mountLabel"] = json!(label)).fails();
}

#[test]
fn linux_intel_rdt_without_the_hardware() {
    let site = oci_site!();
    if fs::metadata("/sys/fs/resctrl/schemata").is_ok() {
        return site.note("this machine has resctrl mounted, and the test would change it");
    }
    if site.deviates("runc", "leaves intelRdt out where there is none")
        || site.deviates("crun", "leaves intelRdt out where there is none")
    {
        return;
    }
    let rdt = json!({"closID": "husk-test", "l3CacheSchema": "L3:0=f"});
    site.bundle().change(|spec| spec["linux"]["intelRdt"] = rdt).fails();
}

#[test]
fn linux_memory_policy() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 4, 0), "linux.memoryPolicy")
        || site.is_too_old("crun", (1, 25, 0), "linux.memoryPolicy")
    {
        return;
    }
    let said = site.inside("head -1 /proc/self/numa_maps", |spec| {
        spec["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0"});
    });
    assert_eq!(said.split(' ').nth(1), Some("bind:0"), "{said}");
    site.bundle().change(|spec| spec["linux"]["memoryPolicy"] = json!({"mode": "MPOL_SOMEWHERE"})).fails();
}

#[test]
fn linux_default_devices_and_links() {
    let site = oci_site!();
    let script = "for d in null zero full random urandom tty; do stat -c '%n %a %t:%T' /dev/$d; done
                  for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done";
    let said = site.inside(script, |_| ());
    let expected = "/dev/null 666 1:3\n/dev/zero 666 1:5\n/dev/full 666 1:7\n/dev/random 666 1:8\n/dev/urandom 666 1:9\n\
                    /dev/tty 666 5:0\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.ends_with("pts/ptmx"), "{said}");
}

#[test]
fn linux_devices() {
    let site = oci_site!();
    let said = site.inside("stat -c '%n %F %a %u %g %t:%T' /dev/mine /dev/deep/block /dev/pipe", |spec| {
        spec["linux"]["devices"] = json!([
            {"path": "/dev/mine", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 3, "gid": 4},
            {"path": "/dev/deep/block", "type": "b", "major": 8, "minor": 0, "fileMode": 0o600},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622}
        ]);
    });
    let expected = "/dev/mine character special file 640 3 4 a:e5\n/dev/deep/block block special file 600 0 0 8:0\n\
                    /dev/pipe fifo 622 0 0 0:0";
    assert_eq!(said, expected);
    if site.deviates("crun", "takes a device of any type, and one without a path") {
        return;
    }
    let unknown_type = json!({"path": "/dev/x", "type": "z", "major": 1, "minor": 3});
    let no_path = json!({"type": "c", "major": 1, "minor": 3});
    for wrong in [unknown_type, no_path] {
        if wrong.get("path").is_none() && site.deviates("runc", "takes a device without a path") {
            continue;
        }
        site.bundle().change(|spec| spec["linux"]["devices"] = json!([wrong])).fails();
    }
}
