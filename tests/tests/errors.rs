// SPDX-License-Identifier: Apache-2.0
//! Every way to fail that a person meets: what husk says, what it advises, and its exit status. Each test makes the situation
//! for real.
#![forbid(unsafe_code)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use husk_tests::{
    Caller, Command, Output, Outside, Place, cannot_filter, is_root, note_skip, refusing, skip,
};

/// husk's own failure; a command that cannot be executed; one that is not there.
const OWN: i32 = 125;
const CANNOT_EXECUTE: i32 = 126;
const NOT_THERE: i32 = 127;

const UID: &str = "54321";

/// What `husk run WORDS` of `caller` has to say: one message and its hint, nothing on standard output, and nothing is left.
#[track_caller]
fn fails(place: &Place, caller: &Caller<'_>, words: &[&str], status: i32, message: &str, hint: &str) {
    let before = Outside::look(place);
    let output = caller.husk(["run", "--quiet"]).args(words).run();
    told(&output, status, message, hint);
    before.is_unchanged(place);
}

#[track_caller]
fn told(output: &Output, status: i32, message: &str, hint: &str) {
    output.exits(status).prints("");
    let lines: Vec<&str> = output.stderr.lines().filter(|line| !line.starts_with("husk: note:")).collect();
    let expected = if hint.is_empty() { 1 } else { 2 };
    assert_eq!(lines.len(), expected, "one message, one hint:\n{output}");
    assert!(lines[0].starts_with("husk: ") && lines[0].contains(message), "expected: {message}\n{output}");
    if !hint.is_empty() {
        let said = lines[1].strip_prefix("  hint: ");
        assert!(said.is_some_and(|said| said.contains(hint)), "expected the hint: {hint}\n{output}");
    }
}

fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, content).expect("a file in the root");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the mode of a file in the root");
}

/// Executes a file of this content in a busybox root, for every caller.
#[track_caller]
fn executing(content: impl AsRef<[u8]>, mode: u32, status: i32, message: &str, hint: &str) {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        write(&root.join("thing"), &content, mode);
        fails(&place, &caller, &[text(&root), "/thing"], status, message, hint);
        // The twin: nothing is wrong with the root itself.
        caller.run(&["--quiet"], &root, "echo ok").prints("ok\n").succeeds();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's is text")
}

#[test]
fn no_such_root() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.home().join("nowhere");
        let message = format!("no such root: {}", root.display());
        let hint = format!("husk rootfs new {}", root.display());
        fails(&place, &caller, &[text(&root), "ls"], OWN, &message, &hint);
        fails(&place, &caller, &["nowhere"], OWN, &message, &hint);
    }
}

#[test]
fn a_root_that_is_a_file() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.home().join("file");
        write(&root, "", 0o644);
        fails(
            &place,
            &caller,
            &[text(&root)],
            OWN,
            "file is not a directory",
            "the first word after the options",
        );
    }
}

#[test]
fn an_empty_root() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.home().join("empty");
        fs::create_dir(&root).expect("a directory");
        let hint = format!("fill it: husk rootfs new {}", root.display());
        fails(&place, &caller, &[text(&root)], OWN, "empty is empty", &hint);
        assert_eq!(fs::read_dir(&root).expect("the root").count(), 0, "nothing was made in it");
    }
}

#[test]
fn a_root_that_cannot_be_read() {
    let place = Place::new();
    let caller = place.ordinary();
    if caller.is_root() {
        skip!("a_root_that_cannot_be_read", "root can read everything");
    }
    let root = caller.root("box");
    fs::set_permissions(&root, Permissions::from_mode(0o000)).expect("chmod");
    let output = caller.husk(["run", "--quiet"]).arg(&root).run();
    fs::set_permissions(&root, Permissions::from_mode(0o755)).expect("chmod");
    told(&output, OWN, "box: Permission denied", "must be readable for you");
}

#[test]
fn no_shell_in_the_root() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        fs::remove_file(root.join("bin/sh")).expect("the shell is a link");
        let hint = "name a command that is there";
        fails(&place, &caller, &[text(&root)], NOT_THERE, "there is no `/bin/sh` in the root", hint);
        caller.husk(["run", "-q"]).arg(&root).args(["echo", "ok"]).run().prints("ok\n");
    }
}

#[test]
fn a_command_that_is_not_there() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let root_text = text(&root);
        let hint = "run /bin/sh in it to see what there is";
        let message = "there is no `nothing` on the PATH of the root";
        fails(&place, &caller, &[root_text, "nothing"], NOT_THERE, message, hint);
        fails(&place, &caller, &[root_text, "/bin/no"], NOT_THERE, "there is no `/bin/no` in the root", hint);
        let message = "cannot run `/etc/passwd/x`: a part of the path is a file";
        fails(&place, &caller, &[root_text, "/etc/passwd/x"], NOT_THERE, message, "name a program");
        fs::remove_file(root.join("bin/sh")).expect("the shell is a link");
        let hint = "there is no /bin/sh in it either";
        fails(&place, &caller, &[root_text, "nothing"], NOT_THERE, "there is no `nothing` on the PATH", hint);
    }
}

#[test]
fn a_binary_for_another_machine() {
    let other: u16 = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
    let name = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86-64" };
    let place = Place::new();
    let caller = &place.callers()[0];
    let mut busybox = fs::read(caller.root("donor").join("bin/busybox")).expect("busybox");
    busybox[18..20].copy_from_slice(&other.to_le_bytes());
    let message = format!("cannot run `/thing`: it is a program for {name}");
    executing(busybox, 0o755, CANNOT_EXECUTE, &message, "take a root made for");
}

#[test]
fn a_binary_that_was_cut_short() {
    let place = Place::new();
    let caller = &place.callers()[0];
    let busybox = fs::read(caller.root("donor").join("bin/busybox")).expect("busybox");
    executing(&busybox[..40], 0o755, CANNOT_EXECUTE, "cannot run `/thing`: ", "it may have been cut short");
}

#[test]
fn a_missing_dynamic_linker() {
    let Some(program) = ["/bin/ls", "/bin/cat", "/usr/bin/env"].iter().find_map(|path| {
        let program = fs::read(path).ok()?;
        program.windows(4).any(|bytes| bytes == b"/ld-").then_some(program)
    }) else {
        skip!("a_missing_dynamic_linker", "no program of this machine's is dynamic");
    };
    let message = "cannot run `/thing`: it needs the dynamic linker `/lib";
    executing(program, 0o755, CANNOT_EXECUTE, message, "husk rootfs new DIR --from host --add PROGRAM");
}

#[test]
fn a_script_whose_interpreter_is_missing() {
    let message = "its first line is `#!/usr/bin/perl -w`, and there is no `/usr/bin/perl` in the root";
    executing("#!/usr/bin/perl -w\n", 0o755, CANNOT_EXECUTE, message, "install it in the root");
}

#[test]
fn a_script_with_a_carriage_return() {
    let message = "cannot run `/thing`: its first line, `#!/bin/sh\\r`, ends in a carriage return";
    executing("#!/bin/sh\r\necho\r\n", 0o755, CANNOT_EXECUTE, message, "sed -i 's/\\r$//' /thing");
}

#[test]
fn the_advice_on_a_carriage_return_helps() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        write(&root.join("a script"), "#!/bin/sh\r\necho fixed\n", 0o755);
        let run = || caller.husk(["run", "-q"]).arg(&root).arg("/a script").run();
        let output = run();
        let advice = output.stderr.split("in the root: ").nth(1).expect("advice").trim().to_owned();
        caller.run(&["-q"], &root, &advice).succeeds();
        run().prints("fixed\n").succeeds();
    }
}

#[test]
fn a_script_without_a_first_line() {
    let message = "cannot run `/thing`: it is text without a #! line";
    executing("echo hello\n", 0o755, CANNOT_EXECUTE, message, "run it as: /bin/sh /thing");
}

#[test]
fn a_file_that_is_not_executable() {
    let message = "cannot run `/thing`: it is not executable (mode 0644)";
    executing("#!/bin/sh\n", 0o644, CANNOT_EXECUTE, message, "in the root: chmod +x /thing");
}

#[test]
fn an_empty_file() {
    executing("", 0o755, CANNOT_EXECUTE, "cannot run `/thing`: the file is empty", "copy the file again");
}

#[test]
fn a_directory_as_command() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let message = "cannot run `/bin`: it is a directory";
        fails(&place, &caller, &[text(&root), "/bin"], CANNOT_EXECUTE, message, "name a program");
    }
}

#[test]
fn a_program_in_a_place_mounted_noexec() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let volume = format!("{}:/mnt:noexec", root.join("bin").display());
        let words = ["-v", &volume, text(&root), "/mnt/busybox"];
        let message = "cannot run `/mnt/busybox`: its file system is mounted noexec";
        fails(&place, &caller, &words, CANNOT_EXECUTE, message, "mount that file system with exec");
    }
}

/// `husk run -q ROOT true` of a person who cannot have user namespaces.
fn refused(root: &Path, place: &Place, calls: &str, sysctl: Option<(&str, &str)>) -> Output {
    refusing(place, place.root().husk(["run", "-q"]).arg(root).arg("true"), calls, sysctl).run()
}

const CLONE3: u32 = 435;
const MOUNT_SETATTR: u32 = 442;
const EPERM: u32 = 1;
const EACCES: u32 = 13;
const ENOSYS: u32 = 38;

#[test]
fn user_namespaces_refused_by_a_filter_as_in_a_container() {
    if let Some(why) = cannot_filter() {
        skip!("user_namespaces_refused_by_a_filter_as_in_a_container", "{why}");
    }
    let place = Place::new();
    let root = place.root().root("box");
    let message = "clone3: Operation not permitted";
    let hint = "inside another container, that one must allow them";
    told(&refused(&root, &place, &format!("{CLONE3}={EPERM}"), None), OWN, message, hint);
    let hint = "a seccomp filter hides clone3";
    let output = refused(&root, &place, &format!("{CLONE3}={ENOSYS}"), None);
    told(&output, OWN, "clone3: Function not implemented", hint);
    refused(&root, &place, "", None).succeeds();
}

#[test]
fn user_namespaces_for_root_alone_as_on_old_debian() {
    if let Some(why) = cannot_filter() {
        skip!("user_namespaces_for_root_alone_as_on_old_debian", "{why}");
    }
    let place = Place::new();
    let root = place.root().root("box");
    let calls = format!("{CLONE3}={EPERM}");
    let output = refused(&root, &place, &calls, Some(("unprivileged_userns_clone", "0")));
    told(&output, OWN, "clone3: Operation not permitted", "sysctl kernel.unprivileged_userns_clone=1");
    let output = refused(&root, &place, &calls, Some(("unprivileged_userns_clone", "1")));
    assert!(!output.stderr.contains("sysctl"), "switched on is no reason:\n{output}");
}

#[test]
fn user_namespaces_restricted_by_apparmor() {
    if let Some(why) = cannot_filter() {
        skip!("user_namespaces_restricted_by_apparmor", "{why}");
    }
    let place = Place::new();
    let root = place.root().root("box");
    let sysctl = Some(("apparmor_restrict_unprivileged_userns", "1"));
    // One way: no namespace at all. The other: one without capabilities in it.
    let output = refused(&root, &place, &format!("{CLONE3}={EACCES}"), sysctl);
    told(&output, OWN, "clone3: Permission denied", "AppArmor restricts user namespaces");
    let output = refused(&root, &place, &format!("{MOUNT_SETATTR}={EACCES}"), sysctl);
    told(&output, OWN, "mount_setattr: Permission denied", "or install a profile for husk");
}

#[test]
fn user_namespaces_switched_off_by_sysctl() {
    let place = Place::new();
    let caller = place.ordinary();
    let root = caller.root("box");
    // The limit counts for whoever is below; here that is a user namespace of the test's own.
    let unshare = |script: &str| -> Output {
        let words = ["unshare", "--user", "--map-root-user", "sh", "-c"];
        caller
            .husk(["run", "-q"])
            .arg(&root)
            .args(["echo", "ok"])
            .through([script, "sh"])
            .through(words)
            .run()
    };
    unshare("exec \"$@\"").succeeds().prints("ok\n");
    let output = unshare("echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"");
    told(&output, OWN, "clone3: No space left on device", "sysctl user.max_user_namespaces=");
}

#[test]
fn nested_as_root_of_a_user_namespace_runs() {
    let place = Place::new();
    let caller = place.ordinary();
    let root = caller.root("box");
    for options in [&["--user"][..], &["--user", "--mount"]] {
        let words = ["unshare", "--map-root-user"].iter().chain(options).copied();
        let command = caller.husk(["run", "-q"]).arg(&root).args(["id", "-u"]);
        command.through(words).run().succeeds().prints("0\n");
    }
}

#[test]
fn no_subordinate_ids() {
    let place = Place::new();
    let caller = place.ordinary();
    let root = caller.root("box");
    if caller.has_many_ids() {
        skip!("no_subordinate_ids", "this user has some");
    }
    // It runs, and says what is missing and what that costs.
    let output = caller.run(&[], &root, "id -u; echo $$");
    output.succeeds().prints("0\n1\n");
    output.says("husk: note: only your own ids are mapped, so -u and chown to others fail inside: ");
    assert_eq!(caller.run(&["--quiet"], &root, "true").stderr, "", "--quiet says nothing");
    let message = "--user: user id 5 is not mapped in the container's user namespace, which has 0 alone";
    fails(&place, &caller, &["-u", "5", text(&root), "id"], OWN, message, "usermod --add-subuids");
}

#[test]
fn an_id_beyond_those_of_the_container() {
    if !is_root() {
        skip!("an_id_beyond_those_of_the_container", "an ordinary user's ids are another test's");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("box");
    let message = "user id 70000 is not mapped in the container's user namespace, which has 0 to 65535";
    fails(&place, &caller, &["-u", "70000", text(&root), "id"], OWN, message, "--userns=host has all ids");
    caller.inside(&["--userns=host", "-u", "70000"], &root, "id -u");
    for odd in ["4294967295", "4294967296", "-1", "1e3", " 5", "0x10"] {
        let output = caller.husk(["run", "-q", &format!("--user={odd}")]).arg(&root).arg("id").run();
        output.exits(OWN).prints("");
    }
}

#[test]
fn proc_over_mounted_so_that_a_new_one_is_refused() {
    if !is_root() {
        skip!("proc_over_mounted_so_that_a_new_one_is_refused", "only root can mount over the host's /proc");
    }
    let place = Place::new();
    let root = place.root().root("box");
    let before = Outside::look(&place);
    let user = format!("setpriv --reuid {UID} --regid {UID} --clear-groups");
    for who in ["", &user] {
        // On /proc/fs, which exists everywhere; a tmpfs, not an empty directory of proc's own, is what hides it.
        let mount = "mount -t tmpfs -o size=64k tmpfs /proc/fs";
        let over = |mount: &str, options: &[&str]| {
            let script = format!("{mount} && exec {who} \"$@\"");
            let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
            let command = place.root().husk(["run", "-q"]).args(options).arg(&root).args(["echo", "ok"]);
            command.through(words).run()
        };
        over("true", &[]).succeeds().prints("ok\n");
        let message = "cannot mount a new proc on /proc";
        told(&over(mount, &[]), OWN, message, "are hidden under other mounts, as in a container");
        over(mount, &["--share=pid"]).succeeds().prints("ok\n");
        let mount = "mount --bind -o ro /proc/sys /proc/sys";
        let message = "openat2: Invalid cross-device link";
        told(&over(mount, &["--share=pid"]), OWN, message, "something is mounted on top of /proc/sys");
    }
    before.is_unchanged(&place);
}

#[test]
fn a_source_that_is_not_there() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let source = caller.home().join("nowhere");
        let message = format!("there is no {} on the host", source.display());
        let hint = format!("make it first: mkdir -p {}", source.display());
        let root = text(&root);
        fails(&place, &caller, &["-v", "./nowhere:/x", root, "ls"], OWN, &message, &hint);
        let mount = format!("type=bind,src={},dst=/x", source.display());
        fails(&place, &caller, &["--mount", &mount, root, "ls"], OWN, &message, &hint);
        let device = ["--device", "/dev/husk-nothing", root, "ls"];
        fails(&place, &caller, &device, OWN, "there is no /dev/husk-nothing on the host", "ls /dev");
        assert!(!Path::new(root).join("x").exists(), "nothing was made for a mount that cannot be");
    }
}

#[test]
fn a_target_of_another_kind_than_its_source() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let words = ["-v", "/etc/passwd:/bin", text(&root), "ls"];
        fails(
            &place,
            &caller,
            &words,
            OWN,
            "is a file on the host, and /bin a directory in the root",
            "same kind",
        );
    }
}

#[test]
fn a_working_directory_that_is_not_there() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let words = ["-w", "/nowhere", text(&root), "ls"];
        let message = "cannot change to /nowhere";
        fails(&place, &caller, &words, OWN, message, "make the directory in the root first");
    }
}

#[test]
fn options_that_are_wrong() {
    let place = Place::new();
    let caller = &place.callers()[0];
    let root = caller.root("box");
    let cases: &[(&[&str], &str, &str)] = &[
        (&["--bogus"], "--bogus: unknown option", "`husk run --help`"),
        (&["--hostnam", "x"], "--hostnam: unknown option", "did you mean --hostname?"),
        (&["--privileged"], "--privileged: husk has no switch that gives everything away", "--cap-add"),
        (&["--umask", "9"], "--umask 9: a mask is an octal number from 0 to 0777", ""),
        (&["--umask", "-1"], "--umask -1: a mask is an octal number from 0 to 0777", ""),
        (&["--ulimit", "-1"], "--ulimit -1: there is no limit in it", "nofile=1024"),
        (&["--user", "-1"], "--user -1: a user is a name or a number", ""),
        (&["-e", "=x"], "--env =x: the variable has no name", "NAME=VALUE"),
        (
            &["-u", "nobody-here"],
            "there is no user \"nobody-here\" in the container's /etc/passwd",
            "use a number",
        ),
        (&["-w", "x"], "--workdir x: a place in the container begins with /", ""),
        (&["-v", "/x"], "there is no DST", "SRC:DST"),
        (&["-v", "/etc:/../x"], "write the place without ..", ""),
        (&["--name", "../x"], "a name is a letter or digit, then", ""),
        (&["--name", "a\u{202e}b"], "--name a\\u{202e}b: a name is a letter or digit, then", ""),
        (&["--ulimit", "nofile=5:2"], "the soft limit is above the hard one", ""),
        (&["--cap-add", "SYS_MAGIC"], "unknown capability", ""),
        (
            &["--read-only", "--ephemeral"],
            "nothing can be written, so there is nothing to throw away",
            "--ephemeral",
        ),
        (&["--share", "uts", "--hostname", "x"], "the host name would change there too", "leave one"),
        (&["--env-file", "/nowhere"], "reading --env-file /nowhere: No such file", "NAME=VALUE lines"),
        (&["--join", "net=1x"], "--join", ""),
    ];
    for (options, message, hint) in cases {
        let output = caller.husk(["run", "-q"]).args(*options).arg(&root).arg("true").run();
        output.exits(OWN).prints("");
        output.says(message).says(hint);
        assert!(output.stderr.starts_with("husk: "), "{output}");
        assert!(output.stderr.lines().count() <= 2, "{output}");
        assert!(!output.stderr.contains('\u{202e}'), "{output}");
    }
    caller.husk(["run"]).arg("").run().exits(OWN).says("ROOTFS: the word is empty");
    caller.husk(["run"]).arg(&root).arg("").run().exits(OWN).says("COMMAND: the word is empty");
}

#[test]
fn a_message_comes_in_one_piece_and_without_colour_in_a_pipe() {
    let place = Place::new();
    let caller = &place.callers()[0];
    let plain = caller.husk(["run", "nowhere"]).env("TERM", "xterm").run();
    assert!(!plain.stderr.contains('\u{1b}'), "{plain}");
    let coloured = caller.husk(["run", "nowhere"]).env("CLICOLOR_FORCE", "1").run();
    coloured.says("\u{1b}[1;31mhusk:\u{1b}[0m planning ");
}

#[test]
fn a_name_from_a_hostile_root_moves_no_cursor() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let script = "#!/\u{1b}[2J\u{1b}]0;owned\u{7}\n";
        write(&root.join("thing"), script, 0o755);
        let output = caller.husk(["run", "-q"]).arg(&root).arg("/thing").run();
        output.exits(CANNOT_EXECUTE).says("\\u{1b}[2J");
        assert!(!output.stderr.contains(['\u{1b}', '\u{7}']), "{output}");
    }
}

#[test]
fn too_few_descriptors_or_processes() {
    let there = PathBuf::from("/usr/bin/prlimit").exists();
    if !there {
        note_skip("too_few_descriptors_or_processes", "prlimit is not installed");
        return;
    }
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let before = Outside::look(&place);
        let limited = |limit: &str| -> Command {
            caller.husk(["run", "-q"]).arg(&root).args(["echo", "ok"]).through(["prlimit", limit])
        };
        for files in 3..40 {
            let output = limited(&format!("--nofile={files}:{files}")).run();
            let ok = output.code() == 0 && output.stdout == "ok\n";
            assert!(ok || (output.code() == OWN && output.stdout.is_empty()), "{output}");
            assert!(ok || output.stderr.starts_with("husk: ") || files < 4, "{output}");
        }
        limited("--nofile=40:40").run().succeeds();
        before.is_unchanged(&place);
    }
}
