// SPDX-License-Identifier: Apache-2.0
//! Roots that are really built, and really run.
#![forbid(unsafe_code)]

mod again;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use husk_runtime::rootfs::{self, Built, Error, Note, Recipe, Source};
use tempfile::TempDir;

fn parent() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn build(dir: &Path, recipe: &Recipe) -> Built {
    let _alone = again::alone();
    rootfs::build(dir, recipe).unwrap_or_else(|e| panic!("{e}"))
}

fn host(add: &[&str]) -> Recipe {
    Recipe::Host { add: add.iter().map(|&name| name.to_owned()).collect() }
}

fn host_has_busybox() -> bool {
    let found = Path::new("/usr/bin/busybox").exists() || Path::new("/bin/busybox").exists();
    if !found {
        again::skip("rootfs", "no busybox on this host");
    }
    found
}

fn entries(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What a script says that runs in the root; None (and a reason) where there is no way in.
fn run(root: &Path, script: &str) -> Option<String> {
    if !again::can_unshare() {
        again::skip("rootfs", "neither root nor user namespaces: no chroot");
        return None;
    }
    let mut command = Command::new("unshare");
    if !again::is_root() {
        command.arg("-r");
    }
    let output = command
        .arg("chroot")
        .arg(root)
        .args(["/bin/sh", "-c", script])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = again::output(output).unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn mode(path: PathBuf) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_busybox_root_runs() {
    let parent = parent();
    let root = parent.path().join("root");
    if !host_has_busybox() {
        return;
    }
    let built = build(&root, &Recipe::Busybox);
    let Source::Busybox { applets, .. } = built.source else { panic!("{built:?}") };
    assert_eq!(entries(&root.join("bin")).len(), applets + 1);
    assert_eq!(fs::read_link(root.join("bin/sh")).unwrap(), Path::new("busybox"));
    assert_eq!(mode(root.clone()), 0o755);
    assert_eq!((mode(root.join("tmp")), mode(root.join("root"))), (0o1777, 0o700));
    assert_eq!(fs::metadata(&root).unwrap().uid(), rustix::process::geteuid().as_raw());

    let script = "printf '#!/usr/bin/env sh\\necho from env\\n' > /tmp/s; chmod +x /tmp/s; /tmp/s; id -un; id -gn nobody; ls /";
    if let Some(said) = run(&root, script) {
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..3], ["from env", "root", "nogroup"]);
        assert_eq!(lines[3..].iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), entries(&root));
    }
}

#[test]
fn a_minimal_root_has_exactly_what_it_says() {
    let parent = parent();
    let root = parent.path().join("root");
    if !host_has_busybox() {
        return;
    }
    let built = build(&root, &Recipe::Minimal);
    let Source::Busybox { is_static, applets: 4, .. } = built.source else { panic!("{built:?}") };
    assert_eq!(entries(&root.join("bin")), ["busybox", "echo", "ls", "ps", "sh"].map(str::to_owned).into());
    assert!(entries(&root.join("proc")).is_empty());
    if is_static {
        assert_eq!(entries(&root), ["bin", "proc"].map(str::to_owned).into());
        assert!(built.notes.is_empty() && built.libraries.is_empty());
    }
    if let Some(said) = run(&root, "ls /bin | wc -l 2>/dev/null; echo done") {
        assert!(said.ends_with("done\n"));
    }
}

#[test]
fn a_root_of_the_hosts_programs_runs() {
    let parent = parent();
    let root = parent.path().join("root");
    // Not in /tmp, where this checkout may be: what is added from there would be hidden.
    let elsewhere = tempfile::tempdir_in("/var/tmp").unwrap();
    let script = elsewhere.path().join("greet");
    {
        let _alone = again::alone();
        fs::write(&script, "#!/bin/sh\necho hello\n").unwrap();
    }
    fs::set_permissions(&script, PermissionsExt::from_mode(0o4755)).unwrap();
    let built = build(&root, &host(&["cut", script.to_str().unwrap()]));
    let Source::Host { programs } = &built.source else { panic!("{built:?}") };
    assert!(programs.contains(&script));
    assert!(!built.notes.iter().any(|note| matches!(note, Note::Incomplete { .. })), "{:?}", built.notes);
    let added = root.join(script.strip_prefix("/").unwrap());
    assert_eq!(mode(added), 0o755, "set-user-id bits stay behind");

    let all =
        "for p in ls cat id ps mount grep sed cut; do $p --version >/dev/null || echo $p does not run; done";
    let script = format!("{all}; {}; id -un; ls -ld /tmp; echo a:b | cut -d: -f2", script.display());
    if let Some(said) = run(&root, &script) {
        // ps without /proc mounted says so, and nothing of libraries
        let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("ps ")).collect();
        assert_eq!(lines[..2], ["hello", "root"]);
        assert!(lines[2].starts_with("drwxrwxrwt") && lines[2].contains(" root "), "{said}");
        assert_eq!(lines[3..], ["b"]);
    }
}

#[test]
fn a_program_that_is_not_there_is_named_and_nothing_is_left() {
    let parent = parent();
    let error = rootfs::build(&parent.path().join("root"), &host(&["no-such-program"])).unwrap_err();
    assert!(matches!(&error, Error::NoSuchProgram(name) if name == "no-such-program"), "{error}");
    let error = rootfs::build(&parent.path().join("root"), &host(&["/etc"])).unwrap_err();
    assert!(matches!(error, Error::NotAFile(_)), "{error}");
    let error = rootfs::build(&parent.path().join("root"), &host(&["/proc/cpuinfo"])).unwrap_err();
    assert!(matches!(error, Error::Hidden { .. }), "{error}");
    assert!(entries(parent.path()).is_empty());
}

#[test]
fn directories_that_cannot_be_used_are_refused() {
    let parent = parent();
    let at = |name: &str| parent.path().join(name);
    fs::create_dir_all(at("full/of")).unwrap();
    fs::write(at("file"), "").unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let refused = |name: &str| rootfs::build(&at(name), &host(&[])).unwrap_err();
    assert!(matches!(refused("full"), Error::NotEmpty(_)));
    assert!(matches!(refused("file"), Error::NotADirectory(_)));
    assert!(matches!(refused("dangling"), Error::NotADirectory(_)));
    assert!(matches!(refused("missing/root"), Error::NoParent(dir) if dir == at("missing")));
    assert!(matches!(refused("file/root"), Error::NoParent(_)));
    assert!(refused("full").hint().is_some_and(|hint| hint.contains("full/root")));
    assert_eq!(entries(parent.path()), ["dangling", "file", "full"].map(str::to_owned).into());
}

#[test]
fn an_empty_directory_is_used_also_through_a_link() {
    let parent = parent();
    let dir = parent.path().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    symlink("dir", parent.path().join("link")).unwrap();
    let built = build(&parent.path().join("link"), &host(&[]));
    assert_eq!(built.dir, dir.canonicalize().unwrap());
    assert_eq!(mode(dir), 0o755);
    assert_eq!(entries(parent.path()), ["dir", "link"].map(str::to_owned).into());
}

/// What [`again::command`] runs; in the test run proper it does nothing.
#[test]
fn in_a_process_of_its_own() {
    match again::step().as_deref() {
        None => {}
        Some("default") => {
            let expected = rootfs::default_root_path().unwrap();
            let before = expected.exists();
            let root = rootfs::ensure_default_root().unwrap();
            assert_eq!(root.path, expected);
            again::result(format_args!("{before} {} {}", root.built.is_some(), root.path.display()));
        }
        Some("default-path") => again::result(rootfs::default_root_path().unwrap().display()),
        Some("default-foreign") => again::result(rootfs::ensure_default_root().unwrap_err()),
        Some(dir) => {
            let error = rootfs::build(Path::new(dir), &host(&[])).unwrap_err();
            let hint = error.hint().unwrap_or_default();
            let left = entries(Path::new(dir).parent().unwrap());
            again::result(format_args!("{error} | {hint} | {left:?}"));
        }
    }
}

/// What building in a directory says after these shell commands have made it unusable.
fn failure(dir: &Path, before: &str) -> Option<String> {
    if !again::can_unshare() {
        again::skip("rootfs", "neither root nor user namespaces: no mounts to try");
        return None;
    }
    let output =
        again::output(&mut again::command("in_a_process_of_its_own", dir.to_str().unwrap(), before)).unwrap();
    again::results(&output).pop()
}

#[test]
fn a_full_file_system_is_named_and_left_clean() {
    let parent = parent();
    let dir = parent.path().display();
    for options in ["size=2m", "nr_inodes=30"] {
        let before = format!("mount -t tmpfs -o {options} none {dir}");
        let Some(said) = failure(&parent.path().join("root"), &before) else { return };
        assert!(said.contains("No space left") && said.contains("df -i"), "{said}");
        assert!(said.starts_with("cannot ") && said.contains(&format!("{dir}/root/")), "{said}");
        assert!(said.ends_with("{}"), "something is left: {said}");
    }
}

#[test]
fn a_read_only_parent_is_named() {
    let parent = parent();
    let before = format!("mount -t tmpfs -o ro none {}", parent.path().display());
    let Some(said) = failure(&parent.path().join("root"), &before) else { return };
    assert!(said.contains("Read-only file system") && said.contains("name a directory on another"), "{said}");
}

#[test]
fn a_mount_point_is_refused() {
    let parent = parent();
    let dir = parent.path().join("root");
    fs::create_dir(&dir).unwrap();
    let Some(said) = failure(&dir, &format!("mount -t tmpfs none {}", dir.display())) else { return };
    assert!(said.contains("is a mount point") && said.ends_with("{\"root\"}"), "{said}");
}

#[test]
fn the_current_directory_is_refused() {
    let parent = parent();
    let dir = parent.path().join("root");
    fs::create_dir(&dir).unwrap();
    let Some(said) = failure(&dir, &format!("cd {}", dir.display())) else { return };
    assert!(said.contains("is the current directory") && said.contains("husk rootfs new root"), "{said}");
}

#[test]
fn the_default_root_is_built_once_and_looking_for_it_builds_nothing() {
    if !again::can_unshare() {
        return again::skip("rootfs", "neither root nor user namespaces");
    }
    let data = parent();
    let run = |step| {
        let mut command = again::command("in_a_process_of_its_own", step, "");
        command.env("XDG_DATA_HOME", data.path()).stdout(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let path = again::results(&run("default-path").wait_with_output().unwrap()).remove(0);
    assert!(path.starts_with(data.path().join("husk/root-").to_str().unwrap()), "{path}");
    assert!(entries(data.path()).is_empty());

    let racers: Vec<_> = (0..6).map(|_| run("default")).collect();
    let said: Vec<String> =
        racers.into_iter().flat_map(|racer| again::results(&racer.wait_with_output().unwrap())).collect();
    assert!(said.iter().all(|line| line.ends_with(&path)), "{said:?}");
    assert_eq!(said.iter().filter(|line| line.contains(" true ")).count(), 1, "one builds: {said:?}");
    assert_eq!(entries(&data.path().join("husk")).len(), 1);

    let inode = fs::metadata(&path).unwrap().ino();
    assert!(again::results(&run("default").wait_with_output().unwrap())[0].starts_with("true false "));
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "what is there stays");

    fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    let said = again::results(&run("default-foreign").wait_with_output().unwrap());
    assert!(said[0].contains("can be changed by others"), "{said:?}");
}
