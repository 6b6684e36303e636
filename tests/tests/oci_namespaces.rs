// SPDX-License-Identifier: Apache-2.0
//! Namespaces that a container enters: that they are what they are said to be, and that the host's own are left alone.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::chown;

use husk_tests::oci::{Site, SpecChange, is_unified};
use husk_tests::oci_site;
use husk_tests::{Output, Running};
use serde_json::{Value, json};

/// A process in new namespaces.
fn holder(site: &Site, flags: &[&str]) -> Running {
    let mut holder = site.command("unshare").args(flags).args(["sh", "-c", "echo up; read end"]).start();
    holder.wait_for("up");
    holder
}

fn replace(spec: &mut Value, kind: &str, path: &str) {
    spec.remove_namespace(kind);
    spec.add_namespace(kind, path);
}

#[test]
fn a_file_of_another_kind_is_refused_with_both_kinds() {
    let site = oci_site!();
    if site.deviates("crun", "joins whatever namespace the path leads to") {
        return;
    }
    let holder = holder(&site, &["--net", "--uts"]);
    let path = format!("/proc/{}/ns/uts", holder.pid());
    let output = site.bundle().change(|spec| replace(spec, "network", &path)).refused();
    if site.runtime().name() == "husk-oci" {
        assert!(output.stderr.contains(&path), "{output}");
        assert!(output.stderr.contains("is a UTS namespace, not a network namespace"), "{output}");
        for (kind, named) in [("network", "a network namespace"), ("ipc", "an IPC namespace")] {
            let output = site.bundle().change(|spec| replace(spec, kind, "/etc/passwd")).refused();
            output.says(&format!("/etc/passwd is no namespace, not {named}"));
        }
    }
}

#[test]
fn the_hosts_namespace_by_its_path_is_the_hosts() {
    let site = oci_site!();
    for kind in [("ipc", "ipc"), ("pid", "pid")] {
        let path = format!("/proc/self/ns/{}", kind.1);
        let own = fs::read_link(&path).expect("a namespace").display().to_string();
        let path = format!("/proc/{}/ns/{}", std::process::id(), kind.1);
        let said =
            site.inside(&format!("readlink /proc/self/ns/{}", kind.1), |spec| replace(spec, kind.0, &path));
        assert_eq!(said, own);
    }
}

#[test]
fn nothing_is_set_in_the_hosts_namespaces() {
    let site = oci_site!();
    if site.deviates("crun", "sets it in whatever namespace it is in") {
        return;
    }
    let network = format!("/proc/{}/ns/net", std::process::id());
    let forward = |spec: &mut Value| spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    let before = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("a parameter");
    site.bundle().change(|spec| replace(spec, "network", &network)).change(forward).fails();
    site.bundle().change(|spec| spec.remove_namespace("network")).change(forward).fails();
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("a parameter"), before);
    site.bundle().change(|spec| spec.remove_namespace("uts")).refused();
    if !site.deviates("runc", "renames the host where the path of its UTS namespace is given") {
        // In a UTS namespace of the test's own, should it be renamed all the same.
        let holder = holder(&site, &["--uts"]);
        let bundle = site.bundle().change(|spec| replace(spec, "uts", "/proc/self/ns/uts"));
        bundle.write();
        let uts = format!("--uts=/proc/{}/ns/uts", holder.pid());
        let run = site.command("nsenter").args([&uts, "--"]).arg(site.runtime().path()).arg("--root");
        let output = run.arg(site.root()).args(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
        assert_ne!(output.code(), 0, "{output}");
        assert!(output.stderr.contains("rename the host"), "{output}");
    }
}

#[test]
fn kernel_parameters_by_either_separator() {
    let site = oci_site!();
    let said = site.inside("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni", |spec| {
        spec["linux"]["sysctl"] = json!({"net/ipv4/ip_forward": "1", "kernel.shmmni": "111"});
    });
    assert_eq!(said, "1\n111");
}

fn mapped(site: &Site) -> Running {
    let holder = holder(site, &["--user"]);
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{}/{map}", holder.pid()), "0 200000 65536").expect("a map");
    }
    holder
}

#[test]
fn the_maps_of_a_joined_user_namespace_must_be_those_given() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "joining a user namespace")
        || site.deviates("crun", "does not compare them")
    {
        return;
    }
    let holder = mapped(&site);
    let path = format!("/proc/{}/ns/user", holder.pid());
    let maps = |first: u32| {
        let path = path.clone();
        move |spec: &mut Value| {
            spec.add_namespace("user", &path);
            for map in ["uidMappings", "gidMappings"] {
                spec["linux"][map] = json!([{"containerID": 0, "hostID": first, "size": 65_536}]);
            }
        }
    };
    site.bundle().sh("id -u").change(maps(200_000)).output().succeeds().prints("0\n");
    let output = site.bundle().change(maps(300_000)).refused();
    assert!(output.stderr.contains("200000") && output.stderr.contains("300000"), "{output}");
}

#[test]
fn a_user_namespace_is_entered_by_a_file_outside_of_proc() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "joining a user namespace") {
        return;
    }
    let holder = mapped(&site);
    let file = site.path().join("user");
    fs::write(&file, "").expect("a file");
    let path = format!("/proc/{}/ns/user", holder.pid());
    site.command("mount").args(["--bind", &path]).arg(&file).run().succeeds();
    let file = file.display().to_string();
    let bundle = site.bundle().sh("id -u; id -g").change(|spec| {
        spec.add_namespace("user", &file);
        spec["process"]["user"] = json!({"uid": 1000, "gid": 1001});
    });
    bundle.output().succeeds().prints("1000\n1001\n");
}

#[test]
fn a_time_namespace_needs_no_offsets() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "time namespaces")
        || site.is_too_old("crun", (1, 9, 0), "time namespaces")
    {
        return;
    }
    let own = fs::read_link("/proc/self/ns/time").expect("a namespace").display().to_string();
    let said = site.inside("readlink /proc/self/ns/time", |spec| spec.add_namespace("time", ""));
    assert_ne!(said, own);
    let holder = holder(&site, &["--time", "--fork"]);
    let path = format!("/proc/{}/ns/time_for_children", holder.pid());
    let expected = fs::read_link(&path).expect("a namespace").display().to_string();
    let said = site.inside("readlink /proc/self/ns/time", |spec| spec.add_namespace("time", &path));
    assert_eq!(said, expected);
}

/// A container of an ordinary user who is root of a user namespace already: so Podman calls its runtime for one.
fn of_a_users_root(site: &Site, user: &str) -> Output {
    let all =
        "cat /proc/self/uid_map; test -c /dev/null && echo $?; find /sys/fs/cgroup -name tasks | grep -c .";
    let bundle = site.bundle().sh(all).change(|spec| {
        spec["linux"]["cgroupsPath"] = Value::Null;
        // Group 5 is not theirs.
        spec.mount_options("/dev/pts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
    });
    bundle.write();
    let own = site.path().join("own");
    fs::create_dir_all(&own).expect("a directory");
    chown(&own, Some(1000), Some(1000)).expect("chown by root");
    let runtime = format!("XDG_RUNTIME_DIR={}", own.display());
    let run =
        ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "unshare", "--user", "--map-root-user"];
    let command = site.command(run[0]).args(&run[1..]).args(["--mount", "env", user, &runtime]);
    let command = command.arg(site.runtime().path()).args(["run", "--bundle"]).arg(bundle.path());
    command.arg("rootless").run()
}

#[test]
fn root_of_a_users_namespace_is_an_ordinary_user() {
    let site = oci_site!();
    let output = of_a_users_root(&site, "USER=ana");
    let said = &output.succeeds().stdout;
    let mut lines = said.lines();
    assert!(lines.next().is_some_and(|map| map.split_whitespace().eq(["0", "1000", "1"])), "{said}");
    assert_eq!(lines.next(), Some("0"), "{said}");
    let own = is_unified() || lines.next().is_some_and(|hierarchies| hierarchies != "0");
    assert!(own, "the cgroups that it is in are shown: {said}");
    if !site.deviates("crun", "takes nobody for root of a system in a user namespace") {
        let output = of_a_users_root(&site, "USER=root");
        assert!(!output.status.success(), "{output}");
        assert!(output.stderr.contains("/run/"), "{output}");
    }
}

/// Linux 6.15 takes mounts on a root that is attached nowhere; before, such a container would mount on the host.
#[test]
fn a_container_in_the_hosts_mount_namespace_leaves_that_as_it_is() {
    let site = oci_site!();
    for runtime in ["runc", "crun"] {
        if site.deviates(runtime, "mounts in the caller's namespace, and leaves it all there") {
            return;
        }
    }
    let script = "readlink /proc/self/ns/mnt; echo word >/dev/null && echo written; grep -c . /proc/filesystems >/dev/null && \
                  echo proc; ls /sys/fs/cgroup >/dev/null && echo cgroups; touch /x 2>/dev/null || echo read-only; \
                  touch /volume/new && echo volume; mount -t tmpfs none /mnt 2>/dev/null || echo refused; \
                  cd /; cd ../../..; ls -d rootfs 2>/dev/null; echo ready; exec sleep 1000";
    let bundle = site.bundle().sh(script).change(|spec| {
        spec.remove_namespace("mount");
        let linux = spec["linux"].as_object_mut().expect("linux");
        linux.retain(|key, _| !["maskedPaths", "readonlyPaths", "rootfsPropagation"].contains(&key.as_str()));
        spec["root"]["readonly"] = json!(true);
        let sets = spec["process"]["capabilities"].as_object_mut().expect("sets");
        for name in ["bounding", "effective", "permitted"] {
            sets[name]
                .as_array_mut()
                .expect("a set")
                .extend([json!("CAP_SYS_ADMIN"), json!("CAP_SYS_CHROOT")]);
        }
        let volume =
            json!({"destination": "/volume", "type": "bind", "source": "volume", "options": ["bind"]});
        spec["mounts"].as_array_mut().expect("mounts").push(volume);
    });
    let volume = bundle.path().join("volume");
    fs::create_dir_all(&volume).expect("a directory");
    let mounts = || site.command("cat").arg("/proc/self/mountinfo").run().succeeds().stdout.clone();
    let before = mounts();
    let old = bundle.create_with(&[], &[]);
    let container = match old {
        Ok(container) => container,
        Err(output) => {
            output.exits(1).says("would mount on the host");
            return site.note("before Linux 6.15 it is refused");
        }
    };
    container.start();
    container.wait_for("ready\n");
    assert_eq!(mounts(), before, "while it runs");
    let own = site.command("readlink").arg("/proc/self/ns/mnt").run().succeeds().stdout.clone();
    let expected = format!("{own}written\nproc\ncgroups\nread-only\nvolume\nrefused\nready\n");
    assert_eq!(container.stdout(), expected, "{}", container.stderr());
    container.exec(&["sh", "-c", "ls /volume"]).succeeds().prints("new\n");
    container.delete();
    assert_eq!(mounts(), before, "afterwards");
    assert!(volume.join("new").exists());
}

#[test]
fn an_exec_has_the_containers_root_where_the_mount_namespace_is_anothers() {
    let site = oci_site!();
    for runtime in ["runc", "crun"] {
        if site.deviates(runtime, "gives such an exec the root of the namespace") {
            return;
        }
    }
    let holder = holder(&site, &["--mount"]);
    let path = format!("/proc/{}/ns/mnt", holder.pid());
    let bundle = site.bundle().sh("echo own >/mark; echo ready; exec sleep 1000").change(|spec| {
        replace(spec, "mount", &path);
        let linux = spec["linux"].as_object_mut().expect("linux");
        linux.retain(|key, _| !["maskedPaths", "readonlyPaths", "rootfsPropagation"].contains(&key.as_str()));
    });
    let Ok(container) = bundle.create_with(&[], &[]) else {
        return site.note("before Linux 6.15 it is refused");
    };
    container.start();
    container.wait_for("ready\n");
    container.exec(&["cat", "/mark"]).succeeds().prints("own\n");
    container.exec(&["readlink", "/proc/self/ns/mnt"]).succeeds();
    container.delete();
}
