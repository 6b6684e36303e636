// SPDX-License-Identifier: Apache-2.0
//! `/dev`, `/proc`, `/sys`, `/tmp` and `/run`: what is there, what works, and what is hidden.
#![forbid(unsafe_code)]

use std::fs;

use husk_tests::Place;

#[test]
fn dev_has_what_a_program_needs_and_nothing_else() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero\n";
        assert_eq!(caller.inside(&[], &root, "echo $(ls -A /dev)"), expected, "{caller}");
        let numbers = "cd /dev; stat -L -c '%n %t:%T %a' null zero full random urandom tty ptmx";
        let expected = "null 1:3 666\nzero 1:5 666\nfull 1:7 666\nrandom 1:8 666\nurandom 1:9 666\ntty 5:0 666\nptmx 5:2 666\n";
        assert_eq!(caller.inside(&[], &root, numbers), expected, "{caller}");
        let links = "cd /dev; for link in fd stdin stdout stderr ptmx; do readlink $link; done";
        let expected = "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n";
        assert_eq!(caller.inside(&[], &root, links), expected, "{caller}");
    }
}

#[test]
fn the_devices_work() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let script = "echo gone > /dev/null; cat /dev/null
            head -c 4 /dev/zero | od -An -tx1
            (echo x > /dev/full) 2>&1 | grep -o 'No space left on device'
            test $(head -c 64 /dev/random | wc -c) = 64 && test $(head -c 64 /dev/urandom | wc -c) = 64 && echo random
            echo piped | cat /dev/stdin; echo piped | cat /dev/fd/0";
        let output = caller.run(&[], &root, script);
        let expected = " 00 00 00 00\nNo space left on device\nrandom\npiped\npiped\n";
        output.succeeds().prints(expected);
        caller.run(&[], &root, "echo > /dev/tty").exits(1).says("No such device or address");
        caller
            .run(&["-t"], &root, "echo on the terminal > /dev/tty")
            .succeeds()
            .prints("on the terminal\r\n");
        caller.run(&[], &root, "mknod /dev/disk b 254 0").exits(1).says("Operation not permitted");
    }
}

#[test]
fn terminals_are_an_instance_of_its_own() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        assert_eq!(caller.inside(&[], &root, "ls /dev/pts"), "ptmx\n", "{caller}");
        assert_eq!(
            caller.inside(&["-t"], &root, "echo $(ls /dev/pts); tty"),
            "0 ptmx\r\n/dev/pts/0\r\n",
            "{caller}"
        );
        let console = caller.inside(&["-t"], &root, "stat -c %t /dev/console /dev/pts/0");
        assert_eq!(console, "88\r\n88\r\n", "{caller}: the console is the terminal");
    }
}

/// The options of the mount at `point`, of the mount itself and of its file system.
fn options(mountinfo: &str, point: &str) -> (String, String) {
    let line = mountinfo.lines().find(|line| line.split(' ').nth(4) == Some(point));
    let line = line.unwrap_or_else(|| panic!("no mount at {point}:\n{mountinfo}"));
    let (mount, file_system) = line.split_once(" - ").expect("a separator");
    (mount.split(' ').nth(5).expect("options").to_owned(), file_system.to_owned())
}

#[test]
fn mounts_have_the_attributes_that_keep_them_harmless() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let info = caller.inside(&[], &root, "cat /proc/self/mountinfo");
        for (point, attributes, kind) in [
            ("/proc", "rw,nosuid,nodev,noexec", "proc proc rw"),
            ("/sys", "ro,nosuid,nodev,noexec", "sysfs sysfs"),
            ("/dev", "rw,nosuid,noexec", "tmpfs tmpfs rw,size=64k,mode=755"),
            ("/dev/pts", "rw,nosuid,noexec", "devpts devpts rw"),
            ("/dev/shm", "rw,nosuid,nodev,noexec", "tmpfs tmpfs rw,size=65536k"),
            ("/dev/mqueue", "rw,nosuid,nodev,noexec", "mqueue mqueue rw"),
            ("/dev/null", "rw,nosuid,noexec", "devtmpfs"),
            ("/tmp", "rw,nosuid,nodev", "tmpfs tmpfs rw,size=65536k"),
            ("/run", "rw,nosuid,nodev", "tmpfs tmpfs rw,size=65536k,mode=755"),
        ] {
            let (found, file_system) = options(&info, point);
            assert_eq!(found, format!("{attributes},relatime"), "{caller}: {point}");
            assert!(file_system.starts_with(kind), "{caller}: {point}: {file_system}");
        }
        let modes = "stat -c '%n %a %u' /tmp /run /dev /dev/shm /dev/pts";
        let expected = "/tmp 1777 0\n/run 755 0\n/dev 755 0\n/dev/shm 1777 0\n/dev/pts 755 0\n";
        assert_eq!(caller.inside(&[], &root, modes), expected, "{caller}");
        let run = "cp /bin/busybox /dev/shm/b && /dev/shm/b true";
        caller.run(&[], &root, run).exits(126).says("Permission denied");
        caller.inside(
            &[],
            &root,
            "cp /bin/busybox /tmp/true && /tmp/true && cp /bin/busybox /run/true && /run/true",
        );
        let full =
            caller.run(&[], &root, "dd if=/dev/zero of=/dev/shm/x bs=1M count=65; stat -c %s /dev/shm/x");
        full.says("No space left on device").prints("67108864\n");
    }
}

#[test]
fn masked_paths_are_empty() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let script = "for path in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats \
            /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats /sys/dev/block \
            /sys/devices/virtual/powercap /sys/firmware /sys/fs/selinux; do
            if [ -d $path ]; then echo $path $(ls -A $path | wc -l); elif [ -e $path ]; then echo $path $(wc -c < $path); fi
            done";
        let output = caller.inside(&[], &root, script);
        let mut lines = output.lines().peekable();
        assert!(lines.peek().is_some(), "{caller}: there is nothing to hide here");
        assert!(lines.all(|line| line.ends_with(" 0")), "{caller}: {output}");
        // The harmless twin: what they hide is really there.
        let there =
            fs::read_to_string("/proc/interrupts").or_else(|_| fs::read_to_string("/proc/timer_list"));
        assert!(there.is_ok_and(|text| text.len() > 10), "the host has something to hide");
        caller.run(&[], &root, "touch /proc/acpi/x").exits(1);
    }
}

#[test]
fn read_only_paths_refuse_writes() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        for script in [
            "echo x > /proc/sys/kernel/hostname",
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
            "test -e /proc/sysrq-trigger || echo Read-only file system >&2; echo b > /proc/sysrq-trigger",
            "rmdir /proc/sys/kernel",
            "touch /sys/x",
            "echo 1 > /sys/class/net/lo/mtu",
        ] {
            let output = caller.run(&[], &root, script);
            assert_ne!(output.code(), 0, "{caller}: {output}");
            output.says("Read-only file system");
        }
        // The harmless twin: it is the mount that refuses, not the parameter.
        let value = |options: &[&str]| caller.inside(options, &root, "cat /proc/sys/net/ipv4/ip_forward");
        // What a new network namespace begins with is the machine's own value.
        let other = if value(&[]) == "0\n" { "1" } else { "0" };
        let set = format!("net.ipv4.ip_forward={other}");
        assert_eq!(value(&["--sysctl", &set]), format!("{other}\n"), "{caller}");
    }
}
