// SPDX-License-Identifier: Apache-2.0
//! The root: where writes go, what is mounted in it, and that there is no way out.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use husk_tests::Place;

/// A line for everything below `directory`: path, mode, owner, size and times.
fn listing(directory: &Path) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let data = fs::symlink_metadata(&path).expect("a file that was listed");
        let (uid, gid, mode) = (data.uid(), data.gid(), data.mode());
        let time = (data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec());
        lines.insert(format!("{} {mode:o} {uid}:{gid} {} {time:?}", path.display(), data.len()));
        if data.is_dir() {
            open.extend(fs::read_dir(path).expect("a directory").flatten().map(|entry| entry.path()));
        }
    }
    lines
}

#[test]
fn writes_go_to_the_directory_and_files_keep_their_owners() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let script =
            "mkdir -p /srv/new && echo text > /srv/new/file && stat -c %u:%g /srv/new/file /etc/passwd";
        assert_eq!(caller.inside(&[], &root, script), "0:0\n0:0\n", "{caller}");
        let file = root.join("srv/new/file");
        let data = fs::metadata(&file).expect("the file is on the disk");
        assert_eq!((data.uid(), data.gid()), (caller.uid(), caller.gid()), "{caller}");
        assert_eq!(data.mode() & 0o7777, 0o644, "{caller}: the usual umask");
        assert_eq!(fs::read_to_string(&file).expect("text"), "text\n", "{caller}");

        let chown = caller.run(&[], &root, "chown 1000:100 /srv/new/file && stat -c %u:%g /srv/new/file");
        if caller.is_root() {
            chown.succeeds().prints("1000:100\n");
            let data = fs::metadata(&file).expect("the file");
            assert_eq!((data.uid(), data.gid()), (1000, 100), "on the disk as inside");
            std::os::unix::fs::chown(&file, Some(77), Some(78)).expect("chown on the host");
            assert_eq!(caller.inside(&[], &root, "stat -c %u:%g /srv/new/file"), "77:78\n");
            std::os::unix::fs::chown(&file, Some(70_000), Some(0)).expect("chown on the host");
            assert_eq!(
                caller.inside(&[], &root, "stat -c %u /srv/new/file"),
                "65534\n",
                "an id it does not have"
            );
        } else if !caller.has_many_ids() {
            chown.exits(1).says("Invalid argument");
        }
    }
}

#[test]
fn what_is_ephemeral_leaves_the_directory_as_it_was() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        caller.inside(&[], &root, "mkdir -p /lower/deep && echo old > /lower/deep/file && echo old > /top");
        let before = listing(&root);
        let script =
            "set -e; stat -c %a /; echo new > /top; touch /added; rm -r /lower; mkdir /lower; ls -A /lower
            echo again > /lower/file; cat /lower/file; rm /bin/ls; mv /etc /etc2; cat /top; ls /etc2 | wc -l
            chmod 700 /home; ls / > /dev/null || echo no ls";
        let output = caller.run(&["--ephemeral"], &root, script);
        assert!(output.succeeds().stdout.starts_with("755\nagain\nnew\n"), "{caller}: {output}");
        assert_eq!(listing(&root), before, "{caller}");
        let next =
            caller.inside(&["--ephemeral"], &root, "cat /top /lower/deep/file; test -e /added; echo $?");
        assert_eq!(next, "old\nold\n1\n", "{caller}: the next container starts from the directory");
        assert_eq!(listing(&root), before, "{caller}");
    }
}

#[test]
fn what_is_read_only_refuses_writes() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        caller.inside(&[], &root, "true");
        let before = listing(&root);
        for script in
            ["touch /new", "rm /etc/passwd", "mkdir /srv", "echo x >> /etc/hosts", "chmod 700 /home"]
        {
            let output = caller.run(&["--read-only"], &root, script);
            output.says("Read-only file system");
            assert_ne!(output.code(), 0, "{caller}: {output}");
        }
        caller.inside(&["--read-only"], &root, "touch /tmp/x /run/x /dev/shm/x && echo x > /dev/null");
        assert_eq!(listing(&root), before, "{caller}");
        caller.run(&["--read-only", "--ephemeral"], &root, "true").exits(125);
    }
}

#[test]
fn with_nothing_prepared_there_is_a_root() {
    let place = Place::new();
    for caller in place.callers() {
        let run = |script: &str| caller.husk(["run", "--", "/bin/sh", "-c", script]).run();
        assert!(!caller.data_home().join("husk").exists());
        let first = run("echo $$; touch /new /etc/new; rm /etc/passwd; ls /new");
        first.succeeds().prints("1\n/new\n").says("built the default root in");
        let before = listing(&caller.data_home().join("husk"));
        assert!(before.len() > 100, "{caller}: {before:#?}");
        let second = run("ls /new /etc/new; cat /etc/passwd | head -1; mount | head -1 | cut -d' ' -f1,5");
        assert_eq!(second.stdout, "root:x:0:0:root:/root:/bin/sh\noverlay overlay\n", "{caller}: {second}");
        assert!(!second.stderr.contains("built"), "{caller}: once is enough: {second}");
        assert_eq!(listing(&caller.data_home().join("husk")), before, "{caller}: it never changes");
        let shell = caller.husk(["run"]).input("echo from a shell\n").run();
        shell.succeeds().prints("from a shell\n");
        run("exit 7").exits(7);
    }
}

/// The mount points in `mountinfo`, in the kernel's order.
fn mount_points(mountinfo: &str) -> Vec<String> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
}

#[test]
fn nothing_of_the_hosts_mounts_is_left() {
    let place = Place::new();
    let expected = [
        "/",
        "/dev",
        "/dev/full",
        "/dev/mqueue",
        "/dev/null",
        "/dev/pts",
        "/dev/random",
        "/dev/shm",
        "/dev/tty",
        "/dev/urandom",
        "/dev/zero",
        "/proc",
        "/run",
        "/sys",
        "/tmp",
    ];
    // Whether these are there to be hidden depends on the machine.
    let hidden = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/bus",
        "/proc/fs",
        "/proc/interrupts",
        "/proc/irq",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/sys",
        "/proc/sysrq-trigger",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/dev/block",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
        "/sys/fs/selinux",
    ];
    for caller in place.callers() {
        let root = caller.root("root");
        for options in [&[][..], &["--ephemeral"], &["--read-only"], &["--monotonic=5"], &["--init"]] {
            let info = caller.inside(options, &root, "cat /proc/self/mountinfo");
            let mut points = mount_points(&info);
            points.sort();
            points.retain(|point| !hidden.contains(&point.as_str()));
            assert_eq!(points, expected, "{caller} {options:?}: {info}");
            let top = info.lines().find(|line| line.contains(" / / ") || line.split(' ').nth(4) == Some("/"));
            let overlay = options.contains(&"--ephemeral");
            assert_eq!(top.expect("a root").contains("overlay"), overlay, "{caller} {options:?}: {info}");
        }
        let small = mount_points(&caller.inside(&["--hardened"], &root, "cat /proc/self/mountinfo"));
        assert!(!small.iter().any(|point| point.starts_with("/sys")), "{caller}: {small:?}");
        caller.run(&["--hardened"], &root, "cat /proc/uptime").exits(1);
    }
}

#[test]
fn there_is_no_way_up_from_the_root() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        fs::write(root.join("marker"), "").unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        for options in [&[][..], &["--ephemeral"], &["--chroot"], &["--read-only"]] {
            let script = "cd / && cd .. && cd ../.. && pwd && ls -d marker && ls -d /../../marker && ls /proc/1/root/marker
                test $(stat -c %i /) = $(stat -c %i /..) && echo the same";
            let expected = "/\nmarker\n/../../marker\n/proc/1/root/marker\nthe same\n";
            caller.run(options, &root, script).succeeds().prints(expected);
        }
    }
}

#[test]
fn the_root_has_the_modes_that_it_had() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o711)).expect("chmod");
        for options in [&[][..], &["--ephemeral"]] {
            assert_eq!(caller.inside(options, &root, "stat -c %a /"), "711\n", "{caller} {options:?}");
        }
        assert_eq!(
            caller.inside(&["--umask", "077"], &root, "umask; touch /f; stat -c %a /f"),
            "0077\n600\n"
        );
    }
}
