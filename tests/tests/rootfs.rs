// SPDX-License-Identifier: Apache-2.0
//! `husk rootfs new`.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use husk_tests::Place;

/// The paths below a directory, with links as `name -> target`.
fn tree(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(above) = open.pop() {
        for entry in fs::read_dir(&above).expect("a directory").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(directory).expect("below").display().to_string();
            match fs::read_link(&path) {
                Ok(target) => found.insert(format!("{name} -> {}", target.display())),
                Err(_) => found.insert(name),
            };
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            }
        }
    }
    found
}

#[test]
fn minimal_is_exactly_what_is_built_by_hand() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.new_root("root", &["--minimal"]);
        let tree: Vec<_> = tree(&root).into_iter().collect();
        let expected = [
            "bin",
            "bin/busybox",
            "bin/echo -> busybox",
            "bin/ls -> busybox",
            "bin/ps -> busybox",
            "bin/sh -> busybox",
            "proc",
        ];
        assert_eq!(tree, expected, "{caller}");
        assert_eq!(caller.inside(&[], &root, "/bin/echo $$; /bin/ls /bin/sh"), "1\n/bin/sh\n", "{caller}");
    }
}

#[test]
fn the_default_has_every_applet_and_the_files_that_programs_look_for() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let found = tree(&root);
        for path in [
            "bin/busybox",
            "etc/passwd",
            "etc/group",
            "etc/hosts",
            "etc/resolv.conf",
            "proc",
            "sys",
            "dev",
            "tmp",
            "run",
            "root",
        ] {
            assert!(found.contains(path), "{caller}: {path} in {found:#?}");
        }
        let applets = caller.inside(
            &[],
            &root,
            "busybox --list | while read name; do [ -e /bin/$name ] || echo $name; done",
        );
        assert_eq!(applets, "", "{caller}: applets without a link");
        let accounts = caller.inside(
            &[],
            &root,
            "head -1 /etc/passwd; head -1 /etc/group; grep localhost /etc/hosts | head -1",
        );
        assert!(accounts.starts_with("root:x:0:0:root:/root:/bin/sh\nroot:x:0:"), "{caller}: {accounts}");
        assert!(accounts.contains("127.0.0.1"), "{caller}: {accounts}");
    }
}

#[test]
fn the_hosts_own_programs_run_in_it() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.new_root("root", &["--from", "host"]);
        let run = |words: &[&str]| caller.husk(["run", "--name", "box"]).arg(&root).args(words).run();
        run(&["sh", "-c", "echo $$"]).succeeds().prints("1\n");
        assert!(run(&["ls", "/"]).succeeds().stdout.contains("proc\n"), "{caller}");
        assert!(run(&["ps"]).succeeds().stdout.contains("PID"), "{caller}");
        run(&["echo", "word"]).succeeds().prints("word\n");
        run(&["hostname"]).succeeds().prints("box\n");
        assert!(run(&["mount"]).succeeds().stdout.contains("proc on /proc type proc"), "{caller}");
        run(&["cat", "/proc/sys/kernel/hostname"]).succeeds().prints("box\n");
        assert!(run(&["id"]).succeeds().stdout.starts_with("uid=0(root) gid=0(root)"), "{caller}");
        run(&["sha256sum", "/etc/passwd"]).exits(127);
        let more =
            caller.new_root("more", &["--from", "host", "--add", "sha256sum", "--add", "/usr/bin/cut"]);
        let words = ["/bin/sh", "-c", "echo | sha256sum | cut -c1-8"];
        caller.husk(["run"]).arg(&more).args(words).run().succeeds().prints("01ba4719\n");
    }
}

#[test]
fn a_directory_that_is_not_empty_stays_as_it_is() {
    let place = Place::new();
    for caller in place.callers() {
        let directory = caller.home().join("full");
        fs::create_dir(&directory).expect("a directory");
        fs::write(directory.join("mine"), "").expect("a file");
        let output = caller.husk(["rootfs", "new"]).arg(&directory).run();
        assert_ne!(output.code(), 0, "{caller}: {output}");
        output.says("full");
        assert_eq!(tree(&directory), BTreeSet::from(["mine".to_owned()]), "{caller}");
        let file = directory.join("mine");
        assert_ne!(
            caller.husk(["rootfs", "new"]).arg(&file).run().code(),
            0,
            "{caller}: a file is no directory"
        );
    }
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let place = Place::new();
    for caller in place.callers() {
        let before = tree(caller.home());
        for words in [
            &["rootfs", "new", "box", "--from", "host", "--add", "no-such-program"][..],
            &["rootfs", "new", "no/such/parent/box"],
            &["rootfs", "new", "box", "--minimal", "--from", "host"],
            &["rootfs", "new"],
        ] {
            let output = caller.husk(words).run();
            assert_ne!(output.code(), 0, "{caller}: {output}");
            assert!(!output.stderr.is_empty(), "{caller}: {output}");
            assert_eq!(tree(caller.home()), before, "{caller}: {output}");
        }
        // A disk that is full, as far as this process goes: no file may be larger than 64 KiB.
        let small = ["sh", "-c", "ulimit -f 64; trap '' XFSZ; exec \"$@\"", "sh"];
        let output = caller.husk(["rootfs", "new", "box"]).through(small).run();
        assert_ne!(output.code(), 0, "{caller}: {output}");
        assert_eq!(tree(caller.home()), before, "{caller}: {output}");
        assert!(caller.root("box").join("bin/busybox").exists(), "{caller}: the harmless twin");
    }
}
