// SPDX-License-Identifier: Apache-2.0
//! Mounts in the cases between the fields: what covers what, what travels where, and what must not be mounted on.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use husk_tests::oci::{Bundle, SpecChange};
use husk_tests::oci_site;
use rustix::fs::{XattrFlags, getxattr, setxattr};
use serde_json::json;

/// A bundle with `data/file` in its directory, owned by root.
fn with_data<'s>(bundle: Bundle<'s>) -> (Bundle<'s>, String) {
    let data = bundle.path().join("data");
    fs::create_dir(&data).expect("a directory");
    fs::write(data.join("file"), "of the host\n").expect("a file");
    let data = data.display().to_string();
    (bundle, data)
}

/// The line of mountinfo for a mount point, in shell.
fn mountinfo(target: &str) -> String {
    format!("grep ' {target} ' /proc/self/mountinfo")
}

#[test]
fn own_id_maps_need_no_word() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "idmapped mounts")
        || site.is_too_old("crun", (1, 9, 0), "idmapped mounts of this form")
    {
        return;
    }
    let (bundle, data) = with_data(site.bundle());
    chown(Path::new(&data).join("file"), Some(7), Some(8)).expect("chown");
    let bundle = bundle.sh("stat -c '%u %g' /mnt/file").change(|spec| {
        spec.add_mount("/mnt", "bind", &data, &["bind"]);
        let last = spec["mounts"].as_array_mut().expect("mounts").last_mut().expect("one");
        last["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 100}]);
        last["gidMappings"] = json!([{"containerID": 0, "hostID": 5000, "size": 100}]);
    });
    bundle.output().succeeds().prints("1007 5008\n");
}

#[test]
fn the_containers_id_maps_by_a_word() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "idmapped mounts")
        || site.is_too_old("crun", (1, 9, 0), "idmapped mounts of this form")
    {
        return;
    }
    let owner = |options: &[&str]| {
        let (bundle, data) = with_data(site.bundle());
        chown(Path::new(&data).join("file"), Some(7), Some(8)).expect("chown");
        let bundle = bundle.sh("stat -c '%u %g' /mnt/file").change(|spec| {
            spec.add_mount("/mnt", "bind", &data, options);
            spec.add_namespace("user", "");
            spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 200_000, "size": 65_536}]);
            spec["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": 200_000, "size": 65_536}]);
        });
        bundle.output().succeeds().stdout.trim().to_owned()
    };
    assert_eq!(owner(&["bind"]), "65534 65534");
    assert_eq!(owner(&["bind", "idmap"]), "7 8");
    assert_eq!(owner(&["rbind", "ridmap"]), "7 8");
}

#[test]
fn id_maps_without_a_user_namespace_are_refused() {
    let site = oci_site!();
    if site.deviates("crun", "takes the word for nothing") || site.is_too_old("runc", (1, 2, 0), "idmap") {
        return;
    }
    let (bundle, data) = with_data(site.bundle());
    bundle.change(|spec| spec.add_mount("/mnt", "bind", &data, &["bind", "idmap"])).refused();
}

#[test]
fn several_words_of_propagation_apply_in_order() {
    let site = oci_site!();
    if site.deviates("crun", "leaves a shared bind mount private") {
        return;
    }
    let (bundle, data) = with_data(site.bundle());
    site.command("mount").args(["--bind", &data, &data]).run().succeeds();
    site.command("mount").args(["--make-shared", &data]).run().succeeds();
    let bundle = bundle
        .sh(&mountinfo("/mnt"))
        .change(|spec| spec.add_mount("/mnt", "bind", &data, &["bind", "rslave", "shared"]));
    let output = bundle.output();
    let line = &output.succeeds().stdout;
    assert!(line.contains(" shared:") && line.contains(" master:"), "{line}");
}

/// What the host sees at `data/inside` when a container has mounted there, with these words.
fn seen_on_host(bundle: Bundle<'_>, root: &str, option: &str, site: &husk_tests::oci::Site) -> bool {
    let (bundle, data) = with_data(bundle);
    fs::create_dir(Path::new(&data).join("inside")).expect("a directory");
    site.command("mount").args(["--bind", &data, &data]).run().succeeds();
    site.command("mount").args(["--make-shared", &data]).run().succeeds();
    let bundle = bundle
        .sh("mount -t tmpfs tmpfs /mnt/inside && touch /mnt/inside/made && echo mounted; sleep 1000")
        .change(|spec| {
            spec["linux"]["rootfsPropagation"] = json!(root);
            spec.add_mount("/mnt", "bind", &data, &["rbind", option]);
            for set in ["bounding", "effective", "permitted"] {
                spec["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
            }
        });
    let container = bundle.start();
    container.wait_for("mounted");
    let seen =
        site.command("ls").arg(Path::new(&data).join("inside")).run().succeeds().stdout.contains("made");
    container.delete();
    seen
}

#[test]
fn what_is_shared_with_the_host_travels_there_and_nothing_else_does() {
    let site = oci_site!();
    if site.deviates("crun", "leaves a shared bind mount private") {
        return;
    }
    assert!(seen_on_host(site.bundle(), "shared", "rshared", &site));
    assert!(!seen_on_host(site.bundle(), "shared", "rslave", &site));
    if !site.deviates("runc", "cuts only the root mount off from the host where the word is not recursive") {
        assert!(!seen_on_host(site.bundle(), "slave", "rshared", &site));
        assert!(!seen_on_host(site.bundle(), "private", "rshared", &site));
    }
    // Nor has the host got the container's root, or anything mounted in it.
    let mounts = site.command("cat").arg("/proc/self/mountinfo").run();
    assert!(!mounts.succeeds().stdout.contains("/rootfs"), "{mounts}");
}

#[test]
fn a_copy_keeps_owners_modes_links_and_attributes() {
    let site = oci_site!();
    if site.deviates("crun", "copies what is in the directory, but not its mode") {
        return;
    }
    let bundle = site.bundle().sh(
        "cd /data && stat -c '%n %u %g %a' . deep deep/file && readlink link && stat -c '%u %h' link && \
         cat deep/file && sleep 1000",
    );
    let at = |path: &str| bundle.in_root(path);
    fs::create_dir_all(at("data/deep")).expect("directories");
    fs::write(at("data/deep/file"), "copied\n").expect("a file");
    symlink("/nowhere", at("data/link")).expect("a link");
    lchown(at("data/link"), Some(3), Some(4)).expect("chown");
    chown(at("data/deep/file"), Some(1), Some(2)).expect("chown");
    chown(at("data"), Some(5), Some(6)).expect("chown");
    fs::set_permissions(at("data/deep/file"), PermissionsExt::from_mode(0o4644)).expect("chmod");
    fs::set_permissions(at("data/deep"), PermissionsExt::from_mode(0o1705)).expect("chmod");
    fs::set_permissions(at("data"), PermissionsExt::from_mode(0o755)).expect("chmod");
    let attribute = "trusted.kept";
    setxattr(at("data/deep/file"), attribute, b"value", XattrFlags::empty()).expect("an extended attribute");
    let bundle = bundle.change(|spec| spec.add_mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]));
    let container = bundle.start();
    container.wait_for("copied\n");
    let root = if site.runtime().name() == "runc" { ". 0 0 755" } else { ". 5 6 755" };
    let rest = "deep 0 0 1705\ndeep/file 1 2 4644\n/nowhere\n3 1\ncopied\n";
    assert_eq!(container.stdout(), format!("{root}\n{rest}"));
    if !site.deviates("runc", "copies no extended attributes") {
        let mut value = [0; 16];
        let length = getxattr(container.proc("root/data/deep/file"), attribute, &mut value[..]);
        assert_eq!(length.map(|length| &value[..length]), Ok(&b"value"[..]));
    }
    container.delete();
}

#[test]
fn a_read_only_tmpfs_takes_mounts_first() {
    let site = oci_site!();
    if site.deviates("crun", "makes a tmpfs read-only before it mounts in it") {
        return;
    }
    let bundle =
        site.bundle().sh("touch /data/in/x && echo written; touch /data/x 2>/dev/null || echo refused");
    let bundle = bundle.change(|spec| {
        spec.add_mount("/data", "tmpfs", "tmpfs", &["ro", "mode=755"]);
        spec.add_mount("/data/in", "tmpfs", "tmpfs", &["mode=755"]);
    });
    bundle.output().succeeds().prints("written\nrefused\n");
}

#[test]
fn a_remount_changes_what_is_there() {
    let site = oci_site!();
    if site.deviates("crun", "makes a new mount of it") {
        return;
    }
    let options = |remount: &[&str]| {
        site.inside(&format!("{} | cut -d' ' -f6", mountinfo("/mnt")), |spec| {
            spec.add_mount("/mnt", "tmpfs", "tmpfs", &["nosuid", "mode=755"]);
            spec.add_mount("/mnt", "tmpfs", "tmpfs", remount);
        })
    };
    assert_eq!(options(&["remount", "ro", "nosuid"]), "ro,nosuid,relatime");
    let (bundle, data) = with_data(site.bundle());
    let bundle = bundle.sh("touch /mnt/x 2>/dev/null || echo refused; grep -c ' /mnt ' /proc/self/mountinfo");
    let bundle = bundle.change(|spec| {
        spec.add_mount("/mnt", "bind", &data, &["bind"]);
        spec.add_mount("/mnt", "bind", &data, &["bind", "remount", "ro"]);
    });
    if site.is_too_old("runc", (99, 0, 0), "a remount of a bind mount") {
        return;
    }
    bundle.output().succeeds().prints("refused\n1\n");
}

#[test]
fn an_overlay_of_many_layers_has_long_options() {
    let site = oci_site!();
    let bundle = site.bundle().sh("cat /mnt/one /mnt/two; touch /mnt/new");
    let mut lower = Vec::new();
    for (name, letter) in [("one", "a"), ("two", "b")] {
        let layer = bundle.path().join(letter.repeat(200));
        fs::create_dir(&layer).expect("a layer");
        fs::write(layer.join(name), format!("{name}\n")).expect("a file");
        lower.push(layer.display().to_string());
    }
    // The upper layer cannot be on the overlay that this machine may have as its root.
    let scratch = bundle.path().join("scratch");
    fs::create_dir(&scratch).expect("a directory");
    site.command("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&scratch).run().succeeds();
    site.command("mkdir").arg(scratch.join("upper")).arg(scratch.join("work")).run().succeeds();
    let options = [
        format!("lowerdir={}", lower.join(":")),
        format!("upperdir={}", scratch.join("upper").display()),
        format!("workdir={}", scratch.join("work").display()),
    ];
    assert!(options[0].len() > 400);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let bundle = bundle.change(|spec| spec.add_mount("/mnt", "overlay", "overlay", &options));
    bundle.output().succeeds().prints("one\ntwo\n");
    site.command("ls").arg(scratch.join("upper/new")).run().succeeds();
}

#[test]
fn in_proc_only_known_files_are_mounted_on() {
    let site = oci_site!();
    if site.deviates("crun", "mounts anywhere in /proc")
        || site.is_too_old("runc", (1, 2, 0), "that check of a tmpfs")
    {
        return;
    }
    for (target, kind) in [
        ("/proc", "tmpfs"),
        ("/proc/sys", "tmpfs"),
        ("/proc/self/attr", "tmpfs"),
        ("/proc/../proc/1", "tmpfs"),
    ] {
        let bundle = site.bundle().change(|spec| spec.add_mount(target, kind, kind, &[]));
        let refused = bundle.fails();
        assert!(refused.stderr.contains("/proc"), "{target}: {refused}");
    }
    let (bundle, data) = with_data(site.bundle());
    let file = format!("{data}/file");
    let bundle = bundle.sh("cat /proc/uptime /proc/cpuinfo").change(|spec| {
        spec.add_mount("/proc/uptime", "bind", &file, &["bind"]);
        spec.add_mount("/proc/cpuinfo", "bind", &file, &["bind", "ro"]);
    });
    bundle.output().succeeds().prints("of the host\nof the host\n");
}

#[test]
fn no_link_of_the_image_leads_a_mount_into_proc() {
    let site = oci_site!();
    if site.deviates("crun", "mounts anywhere in /proc")
        || site.is_too_old("runc", (1, 2, 0), "that check of a tmpfs")
    {
        return;
    }
    for link in ["/proc", "/proc/self", "proc/sys/kernel", "../../proc/1"] {
        let bundle = site.bundle();
        symlink(link, bundle.in_root("data")).expect("a link");
        bundle.change(|spec| spec.add_mount("/data", "tmpfs", "tmpfs", &[])).fails();
    }
    let bundle = site.bundle().sh(&format!("{} | cut -d' ' -f5", mountinfo("/elsewhere")));
    symlink("elsewhere", bundle.in_root("data")).expect("a link");
    fs::create_dir(bundle.in_root("elsewhere")).expect("a directory");
    let bundle = bundle.change(|spec| spec.add_mount("/data", "tmpfs", "tmpfs", &[]));
    bundle.output().succeeds().prints("/elsewhere\n");
}

#[test]
fn proc_and_sys_are_mounted_on_no_link() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 1, 0), "that check") {
        return;
    }
    for name in ["proc", "sys"] {
        let bundle = site.bundle();
        fs::remove_dir(bundle.in_root(name)).expect("an empty directory");
        fs::create_dir(bundle.in_root("false")).expect("a directory");
        symlink("false", bundle.in_root(name)).expect("a link");
        if site.deviates("crun", "follows the link") {
            return;
        }
        bundle.fails();
    }
}

#[test]
fn what_a_dangling_link_names_is_made() {
    let site = oci_site!();
    if site.deviates("crun", "fails where a link leads to nothing") {
        return;
    }
    let (bundle, data) = with_data(site.bundle());
    let bundle = bundle.sh("cat /run/deep/here/file /other/file2").change(|spec| {
        spec.add_mount("/var/run/deep/here", "bind", &data, &["bind"]);
        spec.add_mount("/var/run2/file2", "bind", &format!("{data}/file"), &["bind"]);
    });
    fs::create_dir_all(bundle.in_root("var")).expect("a directory");
    let _ = fs::remove_dir(bundle.in_root("run"));
    symlink("/run", bundle.in_root("var/run")).expect("a link");
    symlink("../other", bundle.in_root("var/run2")).expect("a link");
    bundle.output().succeeds().prints("of the host\nof the host\n");
}

#[test]
fn links_in_a_circle_are_an_error() {
    let site = oci_site!();
    let bundle = site.bundle().change(|spec| spec.add_mount("/data/x", "tmpfs", "tmpfs", &[]));
    symlink("data2", bundle.in_root("data")).expect("a link");
    symlink("data", bundle.in_root("data2")).expect("a link");
    bundle.fails();
}

#[test]
fn a_directory_on_a_file_is_an_error_that_engines_know() {
    let site = oci_site!();
    let (bundle, data) = with_data(site.bundle());
    fs::write(bundle.in_root("taken"), "").expect("a file");
    let output = bundle.change(|spec| spec.add_mount("/taken", "bind", &data, &["bind"])).refused();
    assert!(output.stderr.to_lowercase().contains("not a directory"), "{output}");
    let (bundle, data) = with_data(site.bundle());
    let file = format!("{data}/file");
    let output = bundle.change(|spec| spec.add_mount("/mnt", "bind", &file, &["bind"])).refused();
    assert!(output.stderr.to_lowercase().contains("not a directory"), "{output}");
}
