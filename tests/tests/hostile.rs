// SPDX-License-Identifier: Apache-2.0
//! Root file systems that are out to do harm. Beside each there is a harmless twin that has to work, and all that is outside
//! the root, a canary above all, has to stay as it was.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use husk_tests::{Caller, Command, Output, Outside, Place, copy_program, is_root, skip, write_program};

/// What nobody in a container may see.
const SECRET: &str = "the canary sings";

/// A directory beside the root, open to everybody, so that nothing but husk keeps a container out of it.
struct Canary {
    path: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

impl Canary {
    fn new(caller: &Caller<'_>) -> Self {
        let path = caller.home().join("canary");
        fs::create_dir_all(path.join("directory")).expect("the canary");
        for file in ["secret", "directory/secret", "null", "passwd"] {
            fs::write(path.join(file), format!("{SECRET}\n")).expect("the canary");
            fs::set_permissions(path.join(file), Permissions::from_mode(0o666)).expect("the canary");
        }
        for directory in ["", "directory"] {
            fs::set_permissions(path.join(directory), Permissions::from_mode(0o777)).expect("the canary");
        }
        let before = look(&path);
        Self { path, before }
    }

    #[track_caller]
    fn is_alive(&self, output: &Output) {
        assert_eq!(look(&self.path), self.before, "the canary was touched:\n{output}");
        assert!(!output.stdout.contains(SECRET), "the canary was seen:\n{output}");
    }

    /// Links that lead to `name` in it, from the directory `from` levels below the root.
    fn links(&self, name: &str) -> Vec<PathBuf> {
        let absolute = self.path.join(name);
        let up = "../".repeat(40);
        let relative = format!("{up}{}", absolute.strip_prefix("/").expect("absolute").display());
        vec![
            absolute,
            PathBuf::from(relative),
            PathBuf::from(format!("/proc/1/root{}/{name}", self.path.display())),
        ]
    }
}

/// All that is in a directory, with owner, mode, device, content and time of change.
fn look(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        let about = fs::symlink_metadata(&path).expect("what is in the canary");
        let content =
            if about.is_file() { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let line = format!(
            "{:o} {}:{} {} {}.{} {content}",
            about.mode(),
            about.uid(),
            about.gid(),
            about.rdev(),
            about.ctime(),
            about.ctime_nsec()
        );
        if about.is_dir() {
            todo.extend(fs::read_dir(&path).expect("the canary").flatten().map(|entry| entry.path()));
        }
        seen.insert(path, line);
    }
    seen
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's is text")
}

/// husk, in a mount namespace of its own and with no way to write large files, should it go wrong.
fn contained(caller: &Caller<'_>, command: Command) -> Output {
    let limited = command.through(["prlimit", "--fsize=8388608"]);
    match caller.is_root() {
        true => limited.through(["unshare", "--mount", "--propagation", "private"]).run(),
        false => limited.run(),
    }
}

/// Puts a symbolic link in the place of what is there.
fn put_link(root: &Path, at: &str, to: &Path) {
    let path = root.join(at.trim_start_matches('/'));
    match fs::symlink_metadata(&path) {
        Ok(about) if about.is_dir() => fs::remove_dir_all(&path).expect("a directory of the root"),
        Ok(_) => fs::remove_file(&path).expect("a file of the root"),
        Err(_) => make_directory(path.parent().expect("a directory")),
    }
    symlink(to, &path).expect("a symbolic link");
}

/// Makes a directory and those above it, for everybody to write to.
fn make_directory(path: &Path) {
    if !path.exists() {
        make_directory(path.parent().expect("a directory"));
        fs::create_dir(path).expect("a directory of the root");
    }
    if fs::metadata(path).is_ok_and(|about| about.uid() == rustix::process::geteuid().as_raw()) {
        let _ = fs::set_permissions(path, Permissions::from_mode(0o777));
    }
}

/// A new root with one link in it.
fn root_with(caller: &Caller<'_>, at: &str, to: &Path) -> PathBuf {
    let root = caller.home().join("box");
    if root.exists() {
        fs::remove_dir_all(&root).expect("the root");
    }
    let root = caller.root("box");
    put_link(&root, at, to);
    root
}

/// Looks from inside at the place that was made a link, and tries to write there.
fn poke(at: &str) -> String {
    format!(
        "cat {at} {at}/secret {at}/directory/secret; ls -R {at}/; echo x > {at}/planted; echo x > {at}/secret; \
         mkdir {at}/made; rm {at}/null; echo x > {at}; true"
    )
}

/// Where husk mounts, makes or reads something, and which canary a link there leads to: what is there, and what is not yet.
const PLACES: [(&str, [&str; 2]); 14] = [
    ("/dev", ["", "new"]),
    ("/dev/null", ["null", "new"]),
    ("/dev/pts", ["directory", "new"]),
    ("/dev/console", ["secret", "new"]),
    ("/proc", ["", "new"]),
    ("/proc/sys", ["directory", "new"]),
    ("/sys", ["", "new"]),
    ("/sys/firmware", ["directory", "new"]),
    ("/tmp", ["", "new"]),
    ("/run", ["", "new/deep"]),
    ("/etc", ["", "new"]),
    ("/etc/passwd", ["passwd", "new"]),
    ("/mnt", ["", "new"]),
    ("/srv/a/b", ["directory", "new/deep"]),
];

#[test]
fn links_out_of_the_root_lead_nowhere() {
    let place = Place::new();
    for caller in place.callers() {
        let canary = Canary::new(&caller);
        let volume = caller.home().join("volume");
        fs::create_dir(&volume).expect("a directory");
        fs::write(volume.join("file"), "from the volume\n").expect("a file");
        let volume = format!("{}:", volume.display());
        for (at, names) in PLACES {
            for link in names.iter().flat_map(|name| canary.links(name)) {
                let root = root_with(&caller, at, &link);
                let volumes =
                    [format!("{volume}{at}"), format!("{volume}{at}/x"), format!("{volume}{at}/x/y/z")];
                let file = format!("{volume}{at}").replace(":/", "/file:/");
                let ways: [&[&str]; 7] = [
                    &["-q", "-t"],
                    &["-q", "-w", at],
                    &["-q", "-v", &volumes[0]],
                    &["-q", "-v", &volumes[1]],
                    &["-q", "-v", &volumes[2]],
                    &["-q", "--ephemeral", "-v", &file],
                    &["-q", "-u", "nobody"],
                ];
                // All ways with a plain link, and the most telling ones with the others.
                let all = link.starts_with(&canary.path)
                    && names[0] == link.strip_prefix(&canary.path).map_or("", text);
                for way in
                    ways.iter().enumerate().filter(|(n, _)| all || [0, 4].contains(n)).map(|(_, way)| way)
                {
                    let output = contained(&caller, caller.shell(way, &root, &poke(at)));
                    canary.is_alive(&output);
                    assert!([0, 125, 126, 127].contains(&output.code()), "{output}");
                }
            }
        }
    }
}

#[test]
fn links_within_the_root_work() {
    let place = Place::new();
    for caller in place.callers() {
        let volume = caller.home().join("volume");
        fs::create_dir(&volume).expect("a directory");
        fs::write(volume.join("file"), "from the volume\n").expect("a file");
        let volume = format!("{}:", volume.display());
        for (at, to, there) in [
            ("/var/run", "/run", "/run"),
            ("/var/run", "../run", "/run"),
            ("/srv", "/var/tmp", "/var/tmp"),
            ("/srv", "var/tmp", "/var/tmp"),
            ("/srv", "../../../../var/tmp", "/var/tmp"),
            ("/a/b/c", "/srv", "/srv"),
        ] {
            let root = root_with(&caller, at, Path::new(to));
            if at != "/srv" {
                make_directory(&root.join("srv"));
            }
            for below in ["", "/x", "/x/y"] {
                let volume = format!("{volume}{at}{below}");
                let output = contained(
                    &caller,
                    caller.shell(&["-q", "-v", &volume], &root, &format!("cat {there}{below}/file")),
                );
                output.succeeds().prints("from the volume\n");
            }
        }
        // The container's own file systems go where the links lead, within the root.
        for (at, to) in [("/tmp", "var/tmp"), ("/tmp", "/var/tmp"), ("/run", "/var/log")] {
            let root = root_with(&caller, at, Path::new(to));
            let script = format!("echo x > {at}/file && cat {at}/file && stat -f -c %T {at}/");
            contained(&caller, caller.shell(&["-q"], &root, &script)).prints("x\ntmpfs\n").succeeds();
            assert_eq!(
                fs::read_dir(root.join("var/tmp")).expect("a directory").count(),
                0,
                "it went to a tmpfs"
            );
        }
        // What a link that leads to nothing names is made, in the root.
        let root = root_with(&caller, "/data", Path::new("/nowhere/data"));
        let output = contained(
            &caller,
            caller.shell(&["-q", "-v", &format!("{volume}/data")], &root, "cat /nowhere/data/file"),
        );
        output.succeeds().prints("from the volume\n");
        assert!(!Path::new("/nowhere").exists(), "it was made on the host");
    }
}

#[test]
fn a_proc_that_is_etc_shows_neither_as_the_other() {
    let place = Place::new();
    for caller in place.callers() {
        let canary = Canary::new(&caller);
        let root = root_with(&caller, "/proc", Path::new("/etc"));
        let before = look(&root.join("etc"));
        let output =
            contained(&caller, caller.shell(&["-q"], &root, "echo x > /proc/planted; stat -f -c %T /etc/"));
        canary.is_alive(&output);
        assert_eq!(
            look(&root.join("etc")),
            before,
            "sysctls or nodes were written to the root's /etc:\n{output}"
        );
    }
}

#[test]
fn accounts_that_never_end_are_left_alone() {
    let place = Place::new();
    for caller in place.callers() {
        let canary = Canary::new(&caller);
        let root = caller.root("box");
        let passwd = root.join("etc/passwd");
        let run = |user: &str| {
            let command = caller.husk(["run", "-q", "-u", user]).arg(&root).arg("true");
            contained(&caller, command)
        };
        fs::write(&passwd, "tester:x:0:0::/:/bin/sh\n").expect("a file");
        run("tester").succeeds();
        let hostile: [&dyn Fn(); 6] = [
            &|| mkfifo(&passwd),
            &|| symlink("/dev/zero", &passwd).expect("a link"),
            &|| symlink("/proc/self/fd/0", &passwd).expect("a link"),
            &|| symlink(canary.path.join("passwd"), &passwd).expect("a link"),
            &|| File::create(&passwd).and_then(|file| file.set_len(8 << 40)).expect("a sparse file"),
            &|| fs::create_dir(&passwd).expect("a directory"),
        ];
        for make in hostile {
            match fs::symlink_metadata(&passwd) {
                Ok(about) if about.is_dir() => fs::remove_dir(&passwd).expect("a directory"),
                Ok(_) => fs::remove_file(&passwd).expect("a file"),
                Err(_) => {}
            }
            make();
            run("tester").exits(125).says("there is no user \"tester\"");
            canary.is_alive(&run("0"));
            run("0").succeeds();
        }
        fs::remove_dir(&passwd).expect("a directory");
        // Ids that would be taken for something else: all bits set, too many of them, none, negative, another number's name.
        for id in ["4294967295", "4294967296", "", "-1", "0x0", "+0", " 0", "00000000000000000000000"] {
            fs::write(&passwd, format!("who:x:{id}:{id}::/:/bin/sh\n")).expect("a file");
            let output = caller.husk(["run", "-q", "-u", "who"]).arg(&root).args(["id", "-u"]).run();
            let harmless = output.code() == 125 || (id.trim_start_matches('0').is_empty() && !id.is_empty());
            assert!(harmless, "the id {id:?} was taken for something:\n{output}");
        }
        fs::write(&passwd, "who:x:0:0::/:/bin/sh\n").expect("a file");
        caller.husk(["run", "-q", "-u", "who"]).arg(&root).args(["id", "-u"]).run().prints("0\n");
    }
}

fn mkfifo(path: &Path) {
    Command::new("mkfifo").arg(path).run().succeeds();
    assert!(fs::metadata(path).expect("a FIFO").file_type().is_fifo());
}

/// Exchanges two names for ever (`renameat2(2)`, RENAME_EXCHANGE).
const EXCHANGE: &str = "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <stdio.h>\n\
     int main(int n, char **a) { (void)n; for (;;) renameat2(AT_FDCWD, a[1], AT_FDCWD, a[2], RENAME_EXCHANGE); }\n";

#[test]
fn a_target_that_is_exchanged_all_the_time() {
    let place = Place::new();
    let (source, exchange) = (place.path().join("exchange.c"), place.path().join("exchange"));
    fs::write(&source, EXCHANGE).expect("a file");
    if !Path::new("/usr/bin/cc").exists() {
        skip!("a_target_that_is_exchanged_all_the_time", "there is no C compiler in /usr/bin");
    }
    Command::new("cc").arg("-o").arg(&exchange).arg(&source).run().succeeds();
    for caller in place.callers() {
        let canary = Canary::new(&caller);
        let root = caller.root("box");
        fs::create_dir(root.join("target")).expect("a directory");
        symlink(&canary.path, root.join("other")).expect("a link");
        let volume = caller.home().join("volume");
        fs::create_dir(&volume).expect("a directory");
        fs::write(volume.join("file"), "from the volume\n").expect("a file");
        let outside = Outside::look(&place);
        let _loop = Killed(
            caller
                .command(&exchange)
                .arg(root.join("target"))
                .arg(root.join("other"))
                .process()
                .spawn()
                .expect("the loop starts"),
        );
        let mut ran = 0;
        for number in 0..100 {
            let below = ["/target", "/target/made/deep"][number % 2];
            let option = format!("{}:{below}", volume.display());
            let options = ["-q", "-v", &option];
            let script = format!("cat {below}/file /target/secret /other/secret; echo x > /target/planted");
            let output = contained(&caller, caller.shell(&options, &root, &script));
            canary.is_alive(&output);
            assert!([0, 1, 125].contains(&output.code()), "{output}");
            ran += usize::from(output.code() != 125);
        }
        assert!(ran > 0, "no container came up at all: the test is void");
        drop(_loop);
        outside.is_unchanged(&place);
    }
}

/// A process that is ended with the test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_descriptor_leads_out() {
    let place = Place::new();
    for caller in place.callers() {
        let canary = Canary::new(&caller);
        let root = caller.root("box");
        // Somebody left descriptors open when husk was started: of a directory, of a file.
        let leaking = |command: Command| {
            let script = "exec 5< \"$0\" 9< \"$0\" 8< \"$0/secret\" && exec \"$@\"";
            contained(&caller, command.through(["sh", "-c", script, canary.path.to_str().expect("text")]))
        };
        for init in [&["-q"][..], &["-q", "--init"], &["-q", "-t"]] {
            let script = "cd /proc/self/fd && echo *; cat /proc/*/fd/*/secret /proc/self/fd/[3-9]";
            let output = leaking(caller.shell(init, &root, script));
            canary.is_alive(&output);
            let open = output.stdout.lines().next().unwrap_or_default().trim().to_owned();
            // The shell itself opens the directory to list it.
            assert!(open == "0 1 2 3" || open == "0 1 2", "{output}");
        }
        for number in 3..=23 {
            let directory = format!("/proc/self/fd/{number}");
            let output = leaking(caller.shell(&["-q", "-w", &directory], &root, "pwd; cat secret; ls -a"));
            canary.is_alive(&output);
            // Refused, unless it is a descriptor of husk's own that is of the container's root itself.
            assert!(output.code() == 125 || output.stdout.starts_with("/\n"), "{output}");
            // As a link in the root as well.
            put_link(&root, "/work", Path::new(&directory));
            let output = leaking(caller.shell(&["-q", "-w", "/work"], &root, "pwd -P; cat secret"));
            canary.is_alive(&output);
            assert!(output.code() == 125 || output.stdout.starts_with("/\n"), "{output}");
        }
        contained(&caller, caller.shell(&["-q", "-w", "/proc/self"], &root, "pwd -P")).succeeds();
        contained(&caller, caller.shell(&["-q", "-w", "/etc"], &root, "pwd -P")).prints("/etc\n");
    }
}

#[test]
fn husks_own_file_is_out_of_reach() {
    let place = Place::new();
    for caller in place.callers() {
        // As installed by an ordinary user: the file belongs to whom the container's root is.
        let own = caller.home().join("own-husk");
        copy_program(&place.binary(), &own);
        if is_root() {
            chown(&own, Some(caller.uid()), Some(caller.gid())).expect("chown");
        }
        fs::set_permissions(&own, Permissions::from_mode(0o777)).expect("chmod");
        let before = fs::read(&own).expect("husk");
        let root = caller.root("box");
        for (name, text) in [
            ("script", "#!/proc/self/exe\n"),
            ("with-words", "#!/proc/self/exe run\n"),
            (
                "writer",
                "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9; do for p in /proc/[0-9]*/exe; do echo x >> $p; done; done\n",
            ),
        ] {
            write_program(&root.join(name), text);
        }
        symlink("/proc/self/exe", root.join("link")).expect("a link");
        let ways: [&[&str]; 2] = [&["-q"], &["-q", "--init"]];
        for way in ways {
            for command in ["/proc/self/exe", "/proc/1/exe", "/link", "/script", "/with-words", "/writer"] {
                // It may run, in the container and with its rights; nothing may come of it.
                contained(&caller, caller.command(&own).arg("run").args(way).arg(&root).arg(command));
                assert!(fs::read(&own).expect("husk") == before, "husk's file was changed by {command}");
            }
            // PID 1 of --init is husk's file: it cannot be opened from inside, for reading neither.
            let script = "cat /proc/1/exe > /copy; ls -l /proc/1/exe";
            if way.contains(&"--init") {
                let command = caller.command(&own).arg("run").args(way).arg(&root).args(["sh", "-c", script]);
                contained(&caller, command).says("Permission denied");
                assert_eq!(fs::metadata(root.join("copy")).expect("a file").len(), 0, "husk's file was read");
            }
        }
    }
}

#[test]
fn masked_paths_cannot_be_seen_through() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        // A false /dev/null in the root would show, not hide, were it used as the mask.
        fs::remove_file(root.join("dev/null")).unwrap_or_default();
        fs::create_dir_all(root.join("dev")).expect("a directory");
        fs::write(root.join("dev/null"), "a false null\n").expect("a file");
        let script = "cat /proc/keys /proc/timer_list /proc/interrupts /proc/kcore 2> /dev/null | head -c 100; \
                      ls /proc/acpi /sys/firmware /sys/dev/block 2> /dev/null | grep -v -e : -e '^$'; \
                      umount /proc/keys 2> /dev/null && cat /proc/keys; \
                      umount /proc/acpi 2> /dev/null && ls /proc/acpi; \
                      (echo x > /proc/sysrq-trigger) 2> /dev/null && echo written; \
                      (echo 1 > /proc/sys/kernel/panic) 2> /dev/null && echo written; \
                      (mkdir /sys/x) 2> /dev/null && echo written; true";
        for way in [&["-q"][..], &["-q", "--ephemeral"], &["-q", "--read-only"]] {
            contained(&caller, caller.shell(way, &root, script)).succeeds().prints("");
        }
        // The twin: what is not masked can be read.
        contained(&caller, caller.shell(&["-q"], &root, "grep -c . /proc/uptime")).prints("1\n");
    }
}

#[test]
fn a_device_of_the_hosts_is_never_changed() {
    let place = Place::new();
    let outside = Outside::look(&place);
    for caller in place.callers() {
        let root = caller.root("box");
        let script = "chmod 000 /dev/null; chown 1:1 /dev/null; rm -f /dev/null; mv /dev/zero /dev/x; ln -sf /x /dev/full; true";
        contained(&caller, caller.shell(&["-q"], &root, script)).succeeds();
        fs::remove_dir_all(&root).expect("the root");
    }
    let null = fs::metadata("/dev/null").expect("/dev/null");
    assert_eq!((null.uid(), null.mode() & 0o7777), (0, 0o666));
    assert!(OpenOptions::new().write(true).open("/dev/null").is_ok());
    for caller in ["root", "ordinary"] {
        let _ = fs::remove_dir_all(place.path().join(caller));
    }
    outside.is_unchanged(&place);
}
