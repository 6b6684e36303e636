// SPDX-License-Identifier: Apache-2.0
//! Each way in which `execve` can fail, made for real: chroot, exec, and what husk makes of the errno.
#![forbid(unsafe_code)]

mod again;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use husk_runtime::rootfs::{self, Recipe};
use husk_runtime::why_exec::{self, ExecProblem};
use rustix::io::Errno;
use tempfile::TempDir;

/// A root to break things in: the host's programs if there is no busybox.
struct Root(TempDir);

impl Root {
    /// None (and a reason) where there is no way in.
    fn new() -> Option<Root> {
        if !again::can_unshare() {
            again::skip("why_exec", "neither root nor user namespaces: no chroot");
            return None;
        }
        let parent = tempfile::tempdir().unwrap();
        let _alone = again::alone();
        rootfs::build(&parent.path().join("root"), &Recipe::Busybox).unwrap();
        Some(Root(parent))
    }

    fn empty() -> Option<Root> {
        let root = Root::new()?;
        fs::remove_dir_all(root.dir()).unwrap();
        fs::create_dir(root.dir()).unwrap();
        Some(root)
    }

    fn dir(&self) -> std::path::PathBuf {
        self.0.path().join("root")
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> &Root {
        let path = self.dir().join(path);
        let _alone = again::alone();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        self
    }

    /// What executing `command` ends in, after these shell commands: the errno, and the problem in words of
    /// Debug and Display.
    fn exec(&self, command: &str, before: &str) -> String {
        let step = format!("{}\n{command}", self.dir().display());
        let output = again::output(&mut again::command("in_a_process_of_its_own", &step, before)).unwrap();
        again::results(&output).remove(0)
    }

    fn check(&self, command: &str, expected: &[&str]) {
        self.check_after(command, "", expected);
    }

    fn check_after(&self, command: &str, before: &str, expected: &[&str]) {
        let said = self.exec(command, before);
        for part in expected {
            assert!(said.contains(part), "{command}: no `{part}` in: {said}");
        }
    }
}

/// What [`again::command`] runs; in the test run proper it does nothing.
#[test]
fn in_a_process_of_its_own() {
    let Some(step) = again::step() else { return };
    let (root, command) = step.split_once('\n').unwrap();
    let directory = fs::File::open(root).unwrap();
    let outside = fs::File::open("/").unwrap();
    std::os::unix::fs::chroot(root).unwrap();
    std::env::set_current_dir("/").unwrap();
    let spawned = Command::new(command).spawn();
    // Back out, for husk looks from outside.
    rustix::process::fchdir(&outside).unwrap();
    std::os::unix::fs::chroot(".").unwrap();
    match spawned {
        Ok(mut child) => again::result(format_args!("ran: {}", child.wait().unwrap())),
        Err(error) => {
            let errno = Errno::from_io_error(&error).unwrap();
            let problem = why_exec::diagnose(directory.as_fd(), b"/", command.as_bytes(), errno);
            again::result(format_args!("{errno:?} {problem:?} | {problem} | {:?}", problem.hint()));
        }
    }
}

/// The benign twin: without it, the others might fail for another reason.
#[test]
fn what_is_all_right_runs() {
    let Some(root) = Root::new() else { return };
    root.check("/bin/true", &["ran: exit status: 0"]);
    root.file("script", "#!/bin/sh\nexit 7\n", 0o755).check("/script", &["ran: exit status: 7"]);
}

#[test]
fn an_empty_root() {
    let Some(root) = Root::empty() else { return };
    assert!(why_exec::is_empty(fs::File::open(root.dir()).unwrap().as_fd()));
    root.check("/bin/sh", &["EmptyRoot", "the root is empty", "husk rootfs new"]);
}

#[test]
fn a_command_that_is_not_there() {
    let Some(root) = Root::new() else { return };
    assert!(!why_exec::is_empty(fs::File::open(root.dir()).unwrap().as_fd()));
    root.check("/bin/nothing", &["NotFound", "has_shell: true", "there is no `/bin/nothing` in the root"]);
    root.check("nothing", &["NotFound", "there is no `nothing` on the PATH"]);
    root.file("here", "", 0o755).check("here", &["NotFound", "there is no `here` on the PATH"]);
    root.check("/etc/passwd/nothing", &["NotADirectory"]);
}

#[test]
fn a_root_without_a_shell() {
    let Some(root) = Root::empty() else { return };
    fs::create_dir(root.dir().join("etc")).unwrap();
    root.check("/bin/sh", &["NotFound", "has_shell: false", "name a command that is"]);
}

#[test]
fn things_that_are_no_programs() {
    let Some(root) = Root::new() else { return };
    root.check("/etc", &["IsDirectory"]);
    root.check("/etc/passwd", &["NotExecutable", "mode 0644", "chmod +x"]);
    root.file("empty", "", 0o755).check("/empty", &["EmptyFile"]);
    root.file("text", "echo hello\n", 0o755).check("/text", &["UnknownFormat", "text: true", "#! line"]);
    root.file("data", b"PK\x03\x04", 0o755).check("/data", &["UnknownFormat", "text: false"]);
    std::os::unix::fs::symlink("loop", root.dir().join("loop")).unwrap();
    root.check("/loop", &["LinkLoop"]);
    assert!(
        again::output(Command::new("mkfifo").args(["-m", "755"]).arg(root.dir().join("fifo")))
            .unwrap()
            .status
            .success()
    );
    root.check("/fifo", &["NotAFile"]);
}

#[test]
fn a_file_that_others_may_execute() {
    let Some(root) = Root::new() else { return };
    root.file("theirs", "#!/bin/sh\n", 0o711);
    root.file("private", "#!/bin/sh\n", 0o700);
    root.file("by-private", "#!/private\n", 0o755);
    let directory = fs::File::open(root.dir()).unwrap();
    let denied = |command: &str| {
        let problem = why_exec::diagnose(directory.as_fd(), b"/etc", command.as_bytes(), Errno::ACCESS);
        format!("{problem:?}")
    };
    assert_eq!(denied("../theirs"), "Denied { command: \"../theirs\", mode: 457 }");
    assert_eq!(denied("/private"), "Denied { command: \"/private\", mode: 448 }");
    assert!(denied("/by-private").starts_with("Interpreter { command: \"/by-private\", problem: Denied"));
}

#[test]
fn a_noexec_mount() {
    let Some(root) = Root::new() else { return };
    let mnt = root.dir().join("mnt");
    let before = format!(
        "mount -t tmpfs -o noexec,size=1m none {0}\nprintf '#!/bin/sh\\n' > {0}/script\nchmod +x {0}/script",
        mnt.display()
    );
    root.check_after("/mnt/script", &before, &["NoexecMount", "mounted noexec"]);
}

/// An ELF file that is nothing but headers, with a `PT_INTERP` if it is to have one.
fn program(machine: u16, loader: &str) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend(2u16.to_le_bytes());
    out.extend(machine.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    for word in [0x1000u64, 64, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    out.extend(3u32.to_le_bytes());
    out.extend(4u32.to_le_bytes());
    let size = loader.len() as u64 + 1;
    for word in [120, 0x1078, 0x1078, size, size, 1] {
        out.extend(word.to_le_bytes());
    }
    out.extend(loader.as_bytes());
    out.push(0);
    out
}

const HOST_MACHINE: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };

#[test]
fn programs_that_cannot_start() {
    let Some(root) = Root::new() else { return };
    root.file("riscv", program(243, "/lib/ld.so"), 0o755);
    root.check("/riscv", &["OtherMachine", "a program for 64-bit RISC-V, and this machine is"]);
    root.file("musl", program(HOST_MACHINE, "/lib/ld-musl-x.so.1"), 0o755);
    root.check("/musl", &["code: 2,", "MissingLoader", "`/lib/ld-musl-x.so.1`", "built for musl", "--add"]);
    root.file("unloadable", program(HOST_MACHINE, "/etc/passwd"), 0o755);
    root.check("/unloadable", &["Interpreter", "NotExecutable", "because of its interpreter"]);
    root.file("cut", &program(HOST_MACHINE, "/lib/ld.so")[..90], 0o755);
    root.check("/cut", &["BrokenElf", "cut short"]);
    let mut object = program(HOST_MACHINE, "/lib/ld.so");
    object[16] = 1;
    root.file("object", object, 0o755).check("/object", &["BrokenElf", "object file"]);
}

#[test]
fn scripts_that_cannot_start() {
    let Some(root) = Root::new() else { return };
    root.file("python", "#!/usr/bin/python3 -u\n", 0o755);
    root.check(
        "/python",
        &["MissingInterpreter", "`#!/usr/bin/python3 -u`", "no `/usr/bin/python3` in the root"],
    );
    root.file("windows", "#!/bin/sh\r\necho\r\n", 0o755);
    root.check("/windows", &["CarriageReturn", "carriage return", "sed -i"]);
    root.file("passwd", "#!/etc/passwd\n", 0o755);
    root.check("/passwd", &["Interpreter", "NotExecutable", "`/etc/passwd`"]);
    root.file("nothing", "#!\n", 0o755).check("/nothing", &["UnknownFormat"]);
}

/// The kernel allows five interpreters, and so does the diagnosis: a chain of five runs, one of six does not.
#[test]
fn chains_of_interpreters() {
    let Some(root) = Root::new() else { return };
    for (script, interpreter) in
        [("1", "/bin/true"), ("2", "/1"), ("3", "/2"), ("4", "/3"), ("5", "/4"), ("6", "/5")]
    {
        root.file(script, format!("#!{interpreter}\n"), 0o755);
    }
    root.check("/5", &["ran: exit status: 0"]);
    root.check("/6", &["code: 40,", "TooManyInterpreters"]);
    for (script, interpreter) in [("a", "/nothing"), ("b", "/a"), ("c", "/b"), ("d", "/c"), ("e", "/d")] {
        root.file(script, format!("#!{interpreter}\n"), 0o755);
    }
    root.check("/e", &["code: 2,", "MissingInterpreter { command: \"/a\""]);
    root.file("self", "#!/self\n", 0o755).check("/self", &["TooManyInterpreters"]);
}

#[test]
fn a_file_open_for_writing() {
    let Some(root) = Root::new() else { return };
    root.file("busy", "#!/bin/sh\n", 0o755);
    let open = fs::OpenOptions::new().append(true).open(root.dir().join("busy")).unwrap();
    let said = root.exec("/busy", "");
    drop(open);
    // Linux 6.11 and 6.12 allowed it.
    assert!(said.contains("code: 26,") && said.contains("Busy {") || said.starts_with("ran:"), "{said}");
}

/// A hostile root: nothing in it leads outside, blocks, or is opened that should not be.
#[test]
fn a_hostile_root() {
    let Some(root) = Root::new() else { return };
    let canary = root.0.path().join("canary");
    fs::write(&canary, "#!/secret\n").unwrap();
    fs::set_permissions(&canary, PermissionsExt::from_mode(0o755)).unwrap();
    let link = |name: &str, target: &Path| std::os::unix::fs::symlink(target, root.dir().join(name)).unwrap();
    link("absolute", &canary);
    link("relative", Path::new("../../../../../../canary"));
    link("magic", Path::new("/proc/self/root"));
    root.file("sneaky", "#!/../../../../../../canary\n", 0o755);
    // From outside, as husk does: a process in the chroot would be held back by that.
    let directory = fs::File::open(root.dir()).unwrap();
    let of = |command: &str| why_exec::diagnose(directory.as_fd(), b"/", command.as_bytes(), Errno::NOENT);
    for command in ["/absolute", "/relative", "/../canary", "../canary"] {
        assert!(matches!(of(command), ExecProblem::NotFound { .. }), "{:?}", of(command));
    }
    assert!(matches!(of("/magic/etc/passwd"), ExecProblem::NotFound { .. }), "{:?}", of("/magic/etc/passwd"));
    assert!(matches!(of("/sneaky"), ExecProblem::MissingInterpreter { .. }), "{:?}", of("/sneaky"));

    let alone = again::alone();
    let sparse = fs::File::create(root.dir().join("sparse")).unwrap();
    sparse.set_len(1 << 35).unwrap();
    fs::set_permissions(root.dir().join("sparse"), PermissionsExt::from_mode(0o755)).unwrap();
    drop(sparse);
    drop(alone);
    root.check("/sparse", &["UnknownFormat", "text: false"]);

    assert!(
        again::output(Command::new("mkfifo").args(["-m", "755"]).arg(root.dir().join("fifo")))
            .unwrap()
            .status
            .success()
    );
    root.file("waits", "#!/fifo\n", 0o755).check("/waits", &["Interpreter", "NotAFile"]);
}
