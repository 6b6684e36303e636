// SPDX-License-Identifier: Apache-2.0
//! What of the host is shown in a container: volumes, bind mounts, devices; and file systems in memory.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;

use husk_tests::{Caller, Place, is_root, skip};

/// A directory of the caller's with a file `text` and a directory `below` with a file.
fn volume(caller: &Caller<'_>, name: &str) -> PathBuf {
    let directory = caller.home().join(name);
    fs::create_dir_all(directory.join("below")).expect("a directory");
    fs::write(directory.join("text"), format!("of {name}\n")).expect("a file");
    fs::write(directory.join("below/file"), "").expect("a file");
    if is_root() {
        for path in ["", "text", "below", "below/file"] {
            chown(directory.join(path), Some(caller.uid()), Some(caller.gid())).expect("chown");
        }
    }
    directory
}

#[test]
fn volumes_are_the_hosts_files() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let data = volume(&caller, "data");
        let text = data.join("text");
        let (data, text) = (data.to_str().expect("text"), text.to_str().expect("text"));
        let see = "cat /v/text && ls /v/below && echo new > /v/new";
        assert_eq!(caller.inside(&["-v", &format!("{data}:/v")], &root, see), "of data\nfile\n", "{caller}");
        let new = fs::metadata(format!("{data}/new")).expect("written to the host");
        assert_eq!((new.uid(), new.gid()), (caller.uid(), caller.gid()), "{caller}");
        assert_eq!(
            caller.inside(&["-v", "./data:/v"], &root, "cat /v/text"),
            "of data\n",
            "{caller}: relative"
        );
        let mount = format!("type=bind,src={data},dst=/deep/er/v");
        assert_eq!(
            caller.inside(&["--mount", &mount], &root, "cat /deep/er/v/text"),
            "of data\n",
            "{caller}"
        );

        let file = format!("{text}:/etc/file:ro");
        assert_eq!(caller.inside(&["-v", &file], &root, "cat /etc/file"), "of data\n", "{caller}: a file");
        let over = format!("{text}:/etc/passwd");
        assert_eq!(
            caller.inside(&["-v", &over], &root, "cat /etc/passwd"),
            "of data\n",
            "{caller}: over a file"
        );

        for options in ["ro", "readonly=true"] {
            let option = match options {
                "ro" => format!("--volume={data}:/v:ro"),
                _ => format!("--mount=type=bind,source={data},target=/v,{options}"),
            };
            caller.run(&[&option], &root, "touch /v/x").exits(1).says("Read-only file system");
        }
        let flags =
            caller.inside(&["-v", &format!("{data}:/v:noexec")], &root, "grep ' /v ' /proc/self/mountinfo");
        assert!(flags.contains("/v rw,nosuid,nodev,noexec,relatime"), "{caller}: {flags}");
    }
}

#[test]
fn volumes_lie_in_one_another_in_any_order() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        volume(&caller, "outer");
        volume(&caller, "inner");
        let options = ["-v", "./inner:/v/below", "--tmpfs", "/v/below/below", "-v", "./outer:/v"];
        let see = "cat /v/text /v/below/text; ls /v/below/below; touch /v/below/below/x";
        assert_eq!(caller.inside(&options, &root, see), "of outer\nof inner\n", "{caller}");
        let (outer, inner) = (caller.home().join("outer"), caller.home().join("inner"));
        assert!(outer.join("below/file").exists() && !inner.join("below/x").exists(), "{caller}");
        caller.run(&["-v", "./outer:/v", "-v", "./inner:/v"], &root, "true").exits(125).says("--volume");
    }
}

#[test]
fn volumes_keep_their_owners() {
    if !is_root() {
        skip!("volumes_keep_their_owners", "only root can give files to others");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("root");
    let data = volume(&caller, "data");
    chown(data.join("text"), Some(1000), Some(100)).expect("chown");
    assert_eq!(
        caller.inside(&["-v", "./data:/v"], &root, "stat -c %u:%g /v/text /v/below"),
        "1000:100\n0:0\n"
    );
    caller.inside(&["-v", "./data:/v"], &root, "chown 7:8 /v/text; touch /v/mine; chown 0:9 /v/mine");
    let owner =
        |name: &str| fs::metadata(data.join(name)).map(|data| (data.uid(), data.gid())).expect("a file");
    assert_eq!((owner("text"), owner("mine")), ((7, 8), (0, 9)), "on the disk as inside");
    let plain = ["-v", "./data:/v:noidmap"];
    assert_eq!(caller.inside(&plain, &root, "stat -c %u /v/below"), "65534\n", "without, they are nobody's");
    caller.run(&plain, &root, "touch /v/x").exits(1).says("Permission denied");
}

#[test]
fn a_volume_reaches_through_the_roots_own_links() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        volume(&caller, "data");
        caller.inside(
            &[],
            &root,
            "rm -rf /var/run && ln -s /run /var/run && ln -s ../../../srv /up && mkdir /srv",
        );
        let see = |target: &str, path: &str| {
            let option = format!("./data:{target}");
            assert_eq!(
                caller.inside(&["-v", &option], &root, &format!("cat {path}/text")),
                "of data\n",
                "{caller}"
            );
        };
        see("/var/run/data", "/run/data");
        see("/up", "/srv");
        see("/up/deeper", "/srv/deeper");
    }
}

#[test]
fn a_source_that_is_not_there_is_an_error() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        volume(&caller, "data");
        for (option, value) in [
            ("--volume", "./none:/v"),
            ("--mount", "type=bind,src=/no/such/place,dst=/v"),
            ("--device", "/dev/none"),
        ] {
            let output = caller.run(&[option, value], &root, "true");
            output.exits(125).says(option);
            assert!(output.stderr.contains("none") || output.stderr.contains("/no/such/place"), "{output}");
        }
        for value in ["named:/v", "./data", "./data:v", "./data:/", "./data:/v:what", ":/v", "./data:/../v"] {
            caller.run(&["-v", value], &root, "true").exits(125).says("--volume");
        }
        caller.run(&["-v", "./data:/etc/passwd"], &root, "true").exits(125).says("/etc/passwd");
        assert!(!root.join("v").exists(), "{caller}: nothing was begun");
    }
}

#[test]
fn file_systems_in_memory_are_as_large_as_asked() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let info = |option: &[&str], target: &str| {
            let script = format!("stat -c %a {target}; grep ' {target} ' /proc/self/mountinfo");
            caller.inside(option, &root, &script)
        };
        let found = info(&["--tmpfs", "/mem"], "/mem");
        assert!(
            found.starts_with("1777\n") && found.contains("/mem rw,nosuid,nodev,noexec,relatime"),
            "{found}"
        );
        let found = info(&["--tmpfs", "/mem:size=1m,mode=0700,exec"], "/mem");
        assert!(found.starts_with("700\n") && found.contains("/mem rw,nosuid,nodev,relatime"), "{found}");
        assert!(found.contains("size=1024k"), "{caller}: {found}");
        let found = info(&["--mount", "type=tmpfs,dst=/mem,tmpfs-size=2m,tmpfs-mode=755"], "/mem");
        assert!(found.starts_with("755\n") && found.contains("size=2048k"), "{caller}: {found}");
        let found = info(&["--tmpfs", "/tmp:size=3m"], "/tmp");
        assert!(
            found.contains("size=3072k") && found.lines().count() == 2,
            "{caller}: in place of the default: {found}"
        );
        caller.inside(&["--tmpfs", "/mem"], &root, "touch /mem/x");
        assert_eq!(
            fs::read_dir(root.join("mem")).expect("the mount point").count(),
            0,
            "{caller}: gone with it"
        );
    }
}

#[test]
fn devices_are_shown_where_asked() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let option = ["--device", "/dev/zero:/dev/x"];
        assert_eq!(
            caller.inside(&option, &root, "head -c 3 /dev/x | od -An -tx1"),
            " 00 00 00\n",
            "{caller}"
        );
        assert_eq!(caller.inside(&option, &root, "stat -c %t:%T /dev/x"), "1:5\n", "{caller}");
        let option = ["--device=/dev/full:/dev/deep/er/full"];
        assert_eq!(caller.inside(&option, &root, "stat -c %t:%T /dev/deep/er/full"), "1:7\n", "{caller}");
        caller.run(&["--device=/etc/passwd"], &root, "true").exits(125).says("--device");
    }
}
