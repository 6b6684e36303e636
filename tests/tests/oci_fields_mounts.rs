// SPDX-License-Identifier: Apache-2.0
//! `mounts` of config.json: kinds, order, sources, and each option.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use husk_tests::oci::{Bundle, Site, SpecChange};
use husk_tests::oci_site;
use serde_json::{Value, json};

/// What mountinfo says of a mount point: its own options, those after ` - ` of its file system, and what is between.
#[derive(Debug)]
struct Mount {
    options: Vec<String>,
    propagation: String,
    kind: String,
    of_file_system: Vec<String>,
}

/// The last mount at `target` in a text of mountinfo.
fn mount_at(mountinfo: &str, target: &str) -> Mount {
    let line = mountinfo.lines().rev().find(|line| line.split(' ').nth(4) == Some(target));
    let line = line.unwrap_or_else(|| panic!("nothing is mounted at {target}:\n{mountinfo}"));
    let (own, of_file_system) = line.split_once(" - ").expect("a separator");
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    let own: Vec<_> = own.split(' ').collect();
    let behind: Vec<_> = of_file_system.split(' ').collect();
    Mount {
        options: list(own[5]),
        propagation: own[6..].join(" "),
        kind: behind[0].into(),
        of_file_system: list(behind[2]),
    }
}

impl Mount {
    fn has(&self, option: &str) -> bool {
        self.options.iter().chain(&self.of_file_system).any(|own| own == option)
    }
}

/// A tmpfs on /mnt with these options, as the container sees it.
#[track_caller]
fn tmpfs(site: &Site, options: &[&str]) -> Mount {
    let said =
        site.inside("cat /proc/self/mountinfo", |spec| spec.add_mount("/mnt", "tmpfs", "tmpfs", options));
    mount_at(&said, "/mnt")
}

/// A bundle that has `data` in its directory, with a file, and a mount in `data/below`; bound on /mnt.
fn bound<'s>(site: &'s Site, options: &[&str]) -> Bundle<'s> {
    let bundle = site.bundle();
    let data = bundle.path().join("data");
    fs::create_dir_all(data.join("below")).expect("a directory");
    fs::write(data.join("file"), "of the host\n").expect("a file");
    site.command("mount").args(["-t", "tmpfs", "tmpfs"]).arg(data.join("below")).run().succeeds();
    site.command("touch").arg(data.join("below/deep")).run().succeeds();
    let source = data.display().to_string();
    bundle.change(|spec| spec.add_mount("/mnt", "bind", &source, options))
}

#[test]
fn mounts_the_default_ones() {
    let site = oci_site!();
    let said = site.inside("cat /proc/self/mountinfo", |_| ());
    for (target, kind) in [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
        ("/sys", "sysfs"),
    ] {
        assert_eq!(mount_at(&said, target).kind, kind, "{target}");
    }
    assert!(mount_at(&said, "/sys").has("ro"));
    assert!(mount_at(&said, "/dev/shm").has("noexec"));
}

#[test]
fn mounts_in_their_order() {
    let site = oci_site!();
    let bundle = site.bundle().sh("ls /mnt/a; test -e /mnt/hidden || echo hidden");
    let said = bundle.change(|spec| {
        spec.add_mount("/mnt/hidden", "tmpfs", "tmpfs", &[]);
        spec.add_mount("/mnt", "tmpfs", "tmpfs", &[]);
        spec.add_mount("/mnt/a/b", "tmpfs", "tmpfs", &[]);
    });
    said.output().succeeds().prints("b\nhidden\n");
}

#[test]
fn mounts_destination_is_made() {
    let site = oci_site!();
    let output = bound(&site, &["rbind"]).change(|spec| {
        let source = spec["mounts"].as_array().expect("mounts").last().expect("one")["source"].clone();
        let file = format!("{}/file", source.as_str().expect("text"));
        spec.add_mount("/new/directory", "bind", source.as_str().expect("text"), &["bind"]);
        spec.add_mount("/new/file", "bind", &file, &["bind"]);
    });
    let output = output.sh("cat /new/directory/file /new/file; test -f /new/file").output();
    output.succeeds().prints("of the host\nof the host\n");
}

#[test]
fn mounts_destination_through_a_link_stays_in_the_root() {
    let site = oci_site!();
    for (name, target) in [("absolute", "/mnt"), ("up", "../../../../../../mnt")] {
        let bundle = site.bundle().sh("touch /mnt/x && grep -c ' /mnt ' /proc/self/mountinfo");
        symlink(target, bundle.in_root(name)).expect("a link");
        let before = fs::read_dir("/mnt").expect("/mnt").count();
        let bundle = bundle.change(|spec| spec.add_mount(&format!("/{name}"), "tmpfs", "tmpfs", &[]));
        bundle.output().succeeds().prints("1\n");
        assert_eq!(fs::read_dir("/mnt").expect("/mnt").count(), before, "the host's /mnt");
    }
}

#[test]
fn mounts_bind_and_rbind() {
    let site = oci_site!();
    let script = "cat /mnt/file; ls /mnt/below";
    bound(&site, &["bind"]).sh(script).output().succeeds().prints("of the host\n");
    bound(&site, &["rbind"]).sh(script).output().succeeds().prints("of the host\ndeep\n");
    let bundle = bound(&site, &["rbind"]).sh("echo inside > /mnt/file");
    bundle.output().succeeds();
    assert_eq!(fs::read_to_string(bundle.path().join("data/file")).expect("the file"), "inside\n");
}

#[test]
fn mounts_bind_source_relative_to_the_bundle() {
    let site = oci_site!();
    let bundle =
        site.bundle().sh("cat /mnt/file").change(|spec| spec.add_mount("/mnt", "bind", "own", &["bind"]));
    fs::create_dir(bundle.path().join("own")).expect("a directory");
    fs::write(bundle.path().join("own/file"), "relative\n").expect("a file");
    bundle.output().succeeds().prints("relative\n");
}

#[test]
fn mounts_source_that_is_missing_is_refused() {
    let site = oci_site!();
    let bundle = site.bundle().change(|spec| spec.add_mount("/mnt", "bind", "/nothing/here", &["bind"]));
    assert!(bundle.refused().stderr.contains("/nothing/here"));
}

#[test]
fn mounts_options_of_the_mount() {
    let site = oci_site!();
    for option in ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"] {
        assert!(tmpfs(&site, &[option]).has(option), "{option}");
    }
    let strict = tmpfs(&site, &["strictatime"]);
    assert!(!strict.has("relatime") && !strict.has("noatime"), "{strict:?}");
    if !site.deviates("runc", "hands `defaults` on to the file system") {
        assert!(tmpfs(&site, &["defaults"]).has("rw"));
    }
}

#[test]
fn mounts_options_that_overrule_earlier_ones() {
    let site = oci_site!();
    if site.deviates("crun", "does not let a later option overrule an earlier one") {
        return;
    }
    let pairs =
        [("ro", "rw"), ("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec"), ("noatime", "atime")];
    for (set, cleared) in pairs {
        assert!(!tmpfs(&site, &[set, cleared]).has(set), "{set},{cleared}");
        assert!(tmpfs(&site, &[cleared, set]).has(set), "{cleared},{set}");
    }
    assert!(!tmpfs(&site, &["nodiratime", "diratime"]).has("nodiratime"));
    assert!(!tmpfs(&site, &["sync", "async"]).has("sync"));
}

#[test]
fn mounts_options_of_the_file_system() {
    let site = oci_site!();
    assert!(tmpfs(&site, &["sync"]).has("sync"));
    assert!(tmpfs(&site, &["dirsync"]).has("dirsync"));
    let sized = tmpfs(&site, &["size=128k", "mode=700", "uid=12", "gid=34", "nr_inodes=99"]);
    for option in ["size=128k", "mode=700", "uid=12", "gid=34", "nr_inodes=99"] {
        assert!(sized.has(option), "{option}: {sized:?}");
    }
    site.bundle().change(|spec| spec.add_mount("/mnt", "tmpfs", "tmpfs", &["nonsense=1"])).fails();
}

#[test]
fn mounts_options_nosymfollow() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "nosymfollow")
        || site.deviates("crun", "cannot make a tmpfs with nosymfollow")
    {
        return;
    }
    assert!(tmpfs(&site, &["nosymfollow"]).has("nosymfollow"));
    assert!(!tmpfs(&site, &["nosymfollow", "symfollow"]).has("nosymfollow"));
}

#[test]
fn mounts_options_of_a_bind() {
    let site = oci_site!();
    for option in ["ro", "nosuid", "nodev", "noexec", "noatime"] {
        let output = bound(&site, &["rbind", option]).sh("cat /proc/self/mountinfo").output();
        let text = &output.succeeds().stdout;
        assert!(mount_at(text, "/mnt").has(option), "{option}");
        assert!(
            !mount_at(text, "/mnt/below").options.iter().any(|own| own == option && own == "ro"),
            "{option} is not recursive"
        );
    }
    bound(&site, &["rbind", "ro"]).sh("touch /mnt/below/x; touch /mnt/x 2>&1; true").output().succeeds();
    let bundle = bound(&site, &["bind", "ro"]).sh("echo inside > /mnt/file");
    assert_ne!(bundle.output().code(), 0);
}

#[test]
fn mounts_options_recursive() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "recursive mount options") {
        return;
    }
    for (option, plain) in [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnoatime", "noatime"),
    ] {
        if option == "rnoatime"
            && site.deviates("crun", "asks the kernel for rnoatime in a way that it refuses")
        {
            continue;
        }
        let output = bound(&site, &["rbind", option]).sh("cat /proc/self/mountinfo").output();
        for target in ["/mnt", "/mnt/below"] {
            let mount = mount_at(&output.succeeds().stdout, target);
            assert!(mount.options.iter().any(|own| own == plain), "{option} at {target}: {mount:?}");
        }
    }
    let file_systems = [("tmpfs", "tmpfs"), ("proc", "proc"), ("cgroup", "cgroup")];
    for (kind, source) in
        file_systems.into_iter().filter(|_| !site.deviates("runc", "has them for bind mounts alone"))
    {
        let new =
            site.bundle().change(|spec| spec.add_mount("/mnt", kind, source, &["rw", "rro", "rnoexec"]));
        let output = new.sh("cat /proc/self/mountinfo").output();
        let mount = mount_at(&output.succeeds().stdout, "/mnt");
        assert!(
            ["ro", "noexec"].iter().all(|word| mount.options.iter().any(|own| own == word)),
            "{kind}: {mount:?}"
        );
    }
    if site.deviates("crun", "does not let a later option overrule an earlier one") {
        return;
    }
    let remount = |spec: &mut Value| spec.add_mount("/mnt", "", "", &["remount", "bind", "rro"]);
    site.bundle().change(remount).fails();
    let output = bound(&site, &["rbind", "rro", "rrw"]).sh("touch /mnt/below/x").output();
    output.succeeds();
}

#[test]
fn mounts_options_propagation() {
    let site = oci_site!();
    if site.deviates("crun", "leaves a shared bind mount private") {
        return;
    }
    // The root is a slave or private, so that what is shared inside is so by its option.
    for (option, mark) in [("rshared", "shared:"), ("shared", "shared:"), ("rprivate", ""), ("private", "")] {
        let output = bound(&site, &["rbind", option]).sh("cat /proc/self/mountinfo").output();
        let mount = mount_at(&output.succeeds().stdout, "/mnt");
        assert!(
            mount.propagation.starts_with(mark) && (mark.is_empty() == mount.propagation.is_empty()),
            "{option}: {mount:?}"
        );
    }
    let output = bound(&site, &["bind", "unbindable"]).sh("cat /proc/self/mountinfo").output();
    assert_eq!(mount_at(&output.succeeds().stdout, "/mnt").propagation, "unbindable");
    let bundle = bound(&site, &["rbind", "rslave"])
        .sh("cat /proc/self/mountinfo; echo ready; read x < /mnt/fifo; ls /mnt/late");
    let data = bundle.path().join("data");
    site.command("mkfifo").arg(data.join("fifo")).run().succeeds();
    fs::create_dir(data.join("late")).expect("a directory");
    site.command("mount").arg("--bind").arg(&data).arg(&data).run().succeeds();
    site.command("mount").arg("--make-shared").arg(&data).run().succeeds();
    let container = bundle.start();
    container.wait_for("ready");
    assert!(
        mount_at(&container.stdout(), "/mnt").propagation.starts_with("master:"),
        "{}",
        container.stdout()
    );
    site.command("mount").args(["-t", "tmpfs", "tmpfs"]).arg(data.join("late")).run().succeeds();
    site.command("touch").arg(data.join("late/came")).run().succeeds();
    fs::write(data.join("fifo"), "go\n").expect("a fifo");
    assert!(container.finish().succeeds().stdout.ends_with("came\n"));
}

#[test]
fn mounts_options_tmpcopyup() {
    let site = oci_site!();
    if site.deviates("crun", "copies what is in the directory, but not its mode") {
        return;
    }
    let bundle = site.bundle().sh("cat /data/file; stat -c %a /data; touch /data/new; ls /data");
    fs::create_dir(bundle.in_root("data")).expect("a directory");
    fs::write(bundle.in_root("data/file"), "copied\n").expect("a file");
    fs::set_permissions(bundle.in_root("data"), PermissionsExt::from_mode(0o751)).expect("chmod");
    let bundle = bundle.change(|spec| spec.add_mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]));
    bundle.output().succeeds().prints("copied\n751\nfile\nnew\n");
    assert!(!bundle.in_root("data/new").exists());
}

#[test]
fn mounts_tmpfs_takes_the_mode_of_the_directory() {
    let site = oci_site!();
    if site.deviates("crun", "gives a tmpfs the kernel's mode 1777") {
        return;
    }
    let bundle = site
        .bundle()
        .sh("stat -c %a /data; grep -c ' /data ' /proc/self/mountinfo")
        .change(|spec| spec.add_mount("/data", "tmpfs", "tmpfs", &[]));
    fs::create_dir(bundle.in_root("data")).expect("a directory");
    fs::set_permissions(bundle.in_root("data"), PermissionsExt::from_mode(0o710)).expect("chmod");
    bundle.output().succeeds().prints("710\n1\n");
}

fn idmapped(bundle: Bundle<'_>, options: &[&str]) -> String {
    let source = bundle.path().join("data").display().to_string();
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let bundle = bundle.sh("stat -c '%u %g' /idmapped/file").change(|spec| {
        spec.add_mount("/idmapped", "bind", &source, options);
        let last = spec["mounts"].as_array_mut().expect("mounts").last_mut().expect("one");
        last["uidMappings"] = mapping.clone();
        last["gidMappings"] = mapping;
    });
    bundle.output().succeeds().stdout.clone()
}

#[test]
fn mounts_options_idmap() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "idmapped mounts")
        || site.is_too_old("crun", (1, 9, 0), "idmapped mounts of this form")
    {
        return;
    }
    for options in [["bind", "idmap"], ["rbind", "ridmap"]] {
        let bundle = site.bundle();
        fs::create_dir(bundle.path().join("data")).expect("a directory");
        fs::write(bundle.path().join("data/file"), "").expect("a file");
        assert_eq!(idmapped(bundle, &options), "100000 100000\n", "{options:?}");
    }
}

#[test]
fn mounts_of_cgroups_show_the_containers_own() {
    let site = oci_site!();
    let said = site.inside("cat /proc/self/mountinfo", |_| ());
    let mount = mount_at(
        &said,
        if husk_tests::oci::is_unified() { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/memory" },
    );
    assert!(mount.kind.starts_with("cgroup") && mount.has("ro"), "{mount:?}");
    let bundle = site
        .bundle()
        .sh("cat /sys/fs/cgroup/memory/cgroup.procs 2>/dev/null || cat /sys/fs/cgroup/cgroup.procs");
    let bundle = bundle.change(|spec: &mut Value| spec.add_namespace("cgroup", ""));
    let pids = bundle.output().succeeds().stdout.clone();
    assert!(pids.lines().next() == Some("1") && pids.lines().count() <= 2, "{pids:?}");
}

#[test]
fn mounts_beyond_the_root_are_mounted_in_it() {
    let site = oci_site!();
    let bundle = site.bundle().sh("grep -c ' /escape ' /proc/self/mountinfo");
    let bundle = bundle.change(|spec| spec.add_mount("/../../../../escape", "tmpfs", "tmpfs", &[]));
    bundle.output().succeeds().prints("1\n");
    assert!(!Path::new("/escape").exists());
}
