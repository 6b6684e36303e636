// SPDX-License-Identifier: Apache-2.0
//! `husk why`: each cause that it knows, made for real; the end of a command; the last failure, afterwards.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use husk_tests::{Caller, Output, Outside, Place, cannot_filter, is_root, refusing, skip, write_program};

/// The rows of the story that have this word before them.
fn rows<'o>(output: &'o Output, word: &str) -> Vec<&'o str> {
    let text = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let of_word = |line: &'o str| line.strip_prefix("  ")?.strip_prefix(word)?.strip_prefix(' ');
    text.lines().filter_map(of_word).map(str::trim_start).collect()
}

#[track_caller]
fn tells(output: &Output, word: &str, text: &str) {
    assert!(rows(output, word).iter().any(|row| row.contains(text)), "expected {word}: {text}\n{output}");
}

fn why(caller: &Caller<'_>, words: &[&str]) -> Output {
    caller.husk(["why", "run", "--quiet"]).args(words).run()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's is text")
}

/// Where the last failures of a caller are kept.
fn failures(caller: &Caller<'_>) -> PathBuf {
    caller.data_home().join("husk/failures")
}

#[test]
fn programs_that_cannot_be_executed() {
    let other: u16 = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let before = Outside::look(&place);
        let mut foreign = fs::read(root.join("bin/busybox")).expect("busybox");
        foreign[18..20].copy_from_slice(&other.to_le_bytes());
        let cases: [(&[u8], &str, &str, &str); 3] = [
            (&foreign, "ENOEXEC (Exec format error)", "it is a program for", "take a root made for"),
            (
                b"#!/bin/sh\r\n",
                "ENOENT (No such file or directory)",
                "carriage return",
                "sed -i 's/\\r$//' /thing",
            ),
            (
                b"#!/usr/bin/perl\n",
                "ENOENT",
                "there is no `/usr/bin/perl` in the root",
                "install it in the root",
            ),
        ];
        for (content, errno, message, cure) in cases {
            write_program(&root.join("thing"), content);
            let output = why(&caller, &[text(&root), "/thing", "it's"]);
            output.exits(126).prints("").says(message);
            tells(&output, "step", "stage exec, by the container's first process");
            tells(&output, "call", "execve(\"/thing\", [\"/thing\", \"it's\"], <environment> /* ");
            tells(&output, "call", &format!(" = -1 {errno}"));
            tells(&output, "cure", cure);
        }
        let writer = File::options().append(true).open(root.join("thing")).expect("the file, for writing");
        let output = why(&caller, &[text(&root), "/thing"]);
        drop(writer);
        output.exits(126).says("it is open for writing");
        tells(&output, "call", "ETXTBSY (Text file busy)");
        before.is_unchanged(&place);
    }
}

#[test]
fn a_missing_dynamic_linker() {
    let Some(program) = ["/bin/ls", "/bin/cat"].iter().find_map(|path| {
        let program = fs::read(path).ok()?;
        program.windows(4).any(|bytes| bytes == b"/ld-").then_some(program)
    }) else {
        skip!("a_missing_dynamic_linker", "no program of this machine's is dynamic");
    };
    let place = Place::new();
    let caller = &place.callers()[0];
    let root = caller.root("box");
    write_program(&root.join("thing"), program);
    let output = why(caller, &[text(&root), "/thing"]);
    output.exits(126).says("it needs the dynamic linker `/lib");
    tells(&output, "cure", "husk rootfs new DIR --from host");
}

#[test]
fn what_cannot_be_planned() {
    let place = Place::new();
    for caller in place.callers() {
        let output = why(&caller, &["nowhere"]);
        output.exits(125).says("no such root");
        tells(&output, "stage", "nothing has been touched");
        tells(&output, "cure", "husk rootfs new");
    }
    let caller = place.ordinary();
    if caller.ranges().is_none() {
        let root = caller.root("box");
        let output = why(&caller, &["-u", "5", text(&root), "id"]);
        output.exits(125).says("user id 5 is not mapped");
        tells(&output, "because", "--user");
        tells(&output, "here", "subuid: there is no range for");
        tells(&output, "cure", "usermod --add-subuids 100000-165535");
    }
}

#[test]
fn a_step_with_its_call() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let output = why(&caller, &["-w", "/nowhere", text(&root), "ls"]);
        output.exits(125);
        tells(&output, "step", "stage identity, by the container's first process");
        tells(&output, "because", "--workdir");
        let call = "openat2(</>, \"/nowhere\", {flags=O_PATH|O_DIRECTORY|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}, 24)";
        assert_eq!(rows(&output, "call"), [format!("{call} = -1 ENOENT (No such file or directory)")]);
        tells(&output, "cure", "make the directory in the root first");
    }
}

#[test]
fn over_mounted_proc() {
    if !is_root() {
        skip!("over_mounted_proc", "only root can mount over the host's /proc");
    }
    let place = Place::new();
    let root = place.root().root("box");
    let script = "mount -t tmpfs -o size=64k tmpfs /proc/fs && exec \"$@\"";
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
    let output = place.root().husk(["why", "run", "-q"]).arg(&root).arg("true").through(words).run();
    output.exits(125);
    tells(
        &output,
        "call",
        "fsmount(<proc>, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC) = -1 EPERM",
    );
    tells(&output, "here", "new-proc: no new /proc in a user namespace, because /proc/fs hides");
    tells(&output, "cure", "umount /proc/fs");
}

#[test]
fn a_file_system_that_cannot_be_idmapped() {
    if !is_root() {
        skip!("a_file_system_that_cannot_be_idmapped", "an ordinary user's volumes are not idmapped");
    }
    let place = Place::new();
    let root = place.root().root("box");
    let volume = place.root().home().join("volume");
    fs::create_dir_all(volume.join("below")).expect("directories");
    let script = format!("mount -t sysfs none {}/below && exec \"$@\"", volume.display());
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
    let option = format!("{}:/mnt", volume.display());
    let command = place.root().husk(["why", "run", "-q", "-v", &option]).arg(&root).arg("true");
    let output = command.through(words).run();
    output.exits(125);
    tells(&output, "step", "by husk, on the host");
    tells(
        &output,
        "call",
        "{attr_set=MOUNT_ATTR_IDMAP, userns_fd=<the container's user namespace>}, 32) = -1 EINVAL",
    );
    tells(&output, "cure", "noidmap");
}

const CLONE3: u32 = 435;
const MOUNT_SETATTR: u32 = 442;

#[test]
fn user_namespaces_that_are_refused() {
    if let Some(why) = cannot_filter() {
        skip!("user_namespaces_that_are_refused", "{why}");
    }
    let place = Place::new();
    let root = place.root().root("box");
    let told = |calls: &str, sysctl| {
        let command = place.root().husk(["why", "run", "-q"]).arg(&root).arg("true");
        refusing(&place, command, calls, sysctl).run()
    };
    let output = told(&format!("{CLONE3}=1"), Some(("unprivileged_userns_clone", "0")));
    output.exits(125);
    tells(&output, "call", "clone3({flags=CLONE_PIDFD|CLONE_NEWUSER|CLONE_NEWNS|");
    tells(&output, "call", "= -1 EPERM (Operation not permitted)");
    tells(&output, "here", "userns-clone: kernel.unprivileged_userns_clone is 0");
    tells(&output, "cure", "sysctl kernel.unprivileged_userns_clone=1");
    let output = told(&format!("{CLONE3}=38"), None);
    tells(&output, "here", "clone3: not there: a seccomp filter hides it");
    let sysctl = Some(("apparmor_restrict_unprivileged_userns", "1"));
    let output = told(&format!("{MOUNT_SETATTR}=13"), sysctl);
    tells(&output, "here", "apparmor-userns: kernel.apparmor_restrict_unprivileged_userns is 1");
    tells(&output, "cure", "install a profile for husk");
    told("", None).succeeds().says("nothing failed");
}

#[test]
fn user_namespaces_switched_off() {
    let place = Place::new();
    let caller = place.ordinary();
    let root = caller.root("box");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let words = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"];
    let output = caller.husk(["why", "run", "-q"]).arg(&root).arg("true").through(words).run();
    output.exits(125);
    tells(&output, "call", "= -1 ENOSPC (No space left on device)");
    tells(&output, "here", "max-namespaces: user.max_user_namespaces is 0");
    assert_eq!(rows(&output, "cure").iter().filter(|cure| cure.contains("15000")).count(), 2, "{output}");
}

#[test]
fn the_end_of_a_command_that_ran() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let root = text(&root);
        let output = why(&caller, &[root, "echo", "ok"]);
        output
            .succeeds()
            .prints("ok\n")
            .says("nothing failed: the command ran, and ended with exit status 0");
        why(&caller, &[root, "sh", "-c", "exit 3"]).exits(3).says("chose to end with exit status 3");
        let output = why(&caller, &[root, "sh", "-c", "sh -c 'kill -SEGV $$'; exit $?"]);
        output.exits(139);
        tells(&output, "status", "139 is 128 + 11: what a shell says when signal 11 (SIGSEGV)");
        tells(&output, "means", "memory that is not its own");
        assert!(!failures(&caller).exists(), "none of these is a failure");
        // With the host's pid namespace the command is no PID 1, which no signal of its own would end.
        let output = why(&caller, &["--share=pid", "--name=killed", root, "sh", "-c", "kill -KILL $$"]);
        output.exits(137);
        tells(&output, "signal", "signal 9 (SIGKILL)");
        let last = caller.husk(["why"]).run();
        last.succeeds();
        tells(&last, "signal", "signal 9 (SIGKILL)");
        why(&caller, &["--", "true"]).succeeds().says("nothing failed");
    }
}

#[test]
fn the_last_failure_afterwards() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        caller.husk(["why"]).run().exits(1).says("looking for a failure: none is known");
        caller.run(&["-q", "--name", "fine"], &root, "exit 7").exits(7);
        assert!(!failures(&caller).exists(), "a start that succeeds leaves nothing");
        let run = |name: &str, directory: &str| {
            let words = ["run", "-q", "--name", name, "-w", directory];
            caller.husk(words).arg(&root).env("SECRET", "shibboleth").args(["true"]).run().exits(125).clone()
        };
        let said = run("first", "/one");
        run("second", "/two");
        let last = caller.husk(["why"]).run();
        last.succeeds();
        tells(&last, "call", "openat2(</>, \"/two\", ");
        let first = caller.husk(["why", "first"]).run();
        tells(&first, "call", "openat2(</>, \"/one\", ");
        let sentence = said.stderr.lines().next().expect("a message");
        assert!(first.stdout.contains(sentence), "what husk run said is in it:\n{first}");
        caller.husk(["why", "third"]).run().exits(1).says("none of a container third is known");
        let file = failures(&caller).join("first");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&failures(&caller)), mode(&file)), (0o700, 0o600));
        assert!(
            !fs::read_to_string(file).expect("text").contains("shibboleth"),
            "no value of the environment"
        );
    }
}

/// A memory cgroup with a limit, made and removed by root.
struct Limited(PathBuf);

impl Limited {
    fn new(place: &Place) -> Option<Self> {
        let name = place.path().file_name()?;
        let (parent, limit) =
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
                .into_iter()
                .find(|(parent, _)| Path::new(parent).join("cgroup.procs").exists())?;
        let cgroup = Self(Path::new(parent).join(name));
        fs::create_dir(&cgroup.0).ok()?;
        fs::write(cgroup.0.join(limit), "67108864").ok()?;
        Some(cgroup)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).expect("the cgroup is empty again");
    }
}

#[test]
fn memory_that_ran_out_and_whose_limit_it_was() {
    let place = Place::new();
    let limited = if is_root() { Limited::new(&place) } else { None };
    let Some(limited) = limited else {
        skip!(
            "memory_that_ran_out_and_whose_limit_it_was",
            "needs root and a memory cgroup that can be divided"
        );
    };
    let caller = place.root();
    let root = caller.root("box");
    let script = format!("echo 0 > {}/cgroup.procs && exec \"$@\"", limited.0.display());
    let run = |command: &[&str]| {
        let command = caller.husk(["why", "run", "-q"]).arg(&root).args(command);
        command.through(["sh", "-c", &script, "sh"]).run()
    };
    run(&["true"]).succeeds().says("nothing failed");
    let output = run(&["dd", "if=/dev/zero", "of=/dev/null", "bs=400M", "count=1"]);
    output.exits(137);
    tells(
        &output,
        "memory",
        &format!("ran out in the cgroup {}, whose limit is 67108864 bytes", limited.0.display()),
    );
    tells(&output, "cure", "give it more");
    // The twin: killed, with memory enough.
    let output = run(&["sh", "-c", "sh -c 'kill -KILL $$'; exit $?"]);
    output.exits(137);
    tells(&output, "memory", "no: no process of husk's cgroup was killed");
}
