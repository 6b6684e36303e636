// SPDX-License-Identifier: Apache-2.0
//! husk's own program file, which no container may write (CVE-2019-5736): its command is `/proc/self/exe`, and so husk's program runs on
//! inside; another container opens its file through /proc, and writes when nobody executes it any more.
#![forbid(unsafe_code)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use husk_tests::{Caller, Command, Place, is_root, skip};
use rustix::process::Signal;

/// Holds on to the program of process $1 if that is file $2, says so, and writes to it as soon as that works.
const ATTACKER: &str = r#"
exec 9< /proc/$1/exe || exit 3
[ "$(busybox stat -L -c %i /proc/self/fd/9)" = "$2" ] || { echo another; exit 4; }
echo holding
for i in $(busybox seq 40); do
    (echo planted > /proc/self/fd/9) 2>/dev/null && echo written && exit
    busybox usleep 50000
done
echo failed
"#;

/// The process that has become husk's program in a container that process `husk` makes.
fn wait_for_command(husk: u32) -> String {
    let inside = (0..500).find_map(|_| {
        sleep(Duration::from_millis(20));
        let children = fs::read_to_string(format!("/proc/{husk}/task/{husk}/children")).unwrap_or_default();
        let is_command = |pid: &&str| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.starts_with(b"/proc/self/exe\0")
        };
        children.split_whitespace().find(is_command).map(str::to_owned)
    });
    inside.expect("the program runs in the container")
}

/// The writing end of a pipe that is full, and the reading one.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let size = rustix::pipe::fcntl_getpipe_size(&writer).expect("its size");
    writer.write_all(&vec![b'.'; size as usize]).expect("it can be filled");
    (reader, writer)
}

/// Copies a program, by another process: what this one has open to write, others that it starts may hold open a moment longer.
fn copy(program: &Path, to: &Path) {
    Command::new("cp").arg("--remove-destination").args([program, to]).run().succeeds();
}

/// Whether a container with `options` can write to the husk that made it, from another one with them.
fn is_written(place: &Place, root: &Path, options: &[&str]) -> bool {
    let own = place.path().join("own-husk");
    copy(&place.binary(), &own);
    let before = fs::metadata(&own).expect("the copy");
    // A pipe that is full, so that the program stays.
    let (reader, writer) = full_pipe();
    let mut victim =
        Command::new(&own).arg("run").arg("-q").args(options).arg(root).arg("/proc/self/exe").process();
    let victim =
        victim.arg("--help").stdin(Stdio::null()).stdout(Stdio::from(writer)).stderr(Stdio::null()).spawn();
    let mut victim = victim.expect("husk starts");
    let inside = wait_for_command(victim.id());
    let attacker = Command::new(place.binary()).args(["run", "-q", "--pid=host"]).args(options).arg(root);
    let attacker =
        attacker.args(["/bin/sh", "-c", ATTACKER, "sh", &inside, &before.ino().to_string()]).start();
    sleep(Duration::from_millis(300));
    drop(reader);
    let _ = victim.wait();
    let told = attacker.finish();
    let written = fs::read(&own).expect("the copy").starts_with(b"planted");
    assert!(written == told.stdout.contains("written"), "{told}");
    written
}

#[test]
fn a_container_with_the_hosts_ids_cannot_write_husk() {
    let test = "a_container_with_the_hosts_ids_cannot_write_husk";
    if !is_root() {
        skip!(test, "only root's ids are those that own husk");
    }
    let place = Place::new();
    let root = place.root().root("root");
    assert!(!is_written(&place, &root, &["--userns=host"]));
}

/// A copy of husk that is this caller's, as after `cargo install`.
fn own_husk(place: &Place, caller: &Caller<'_>) -> PathBuf {
    let own = caller.home().join("own-husk");
    copy(&place.binary(), &own);
    chown(&own, Some(caller.uid()), Some(caller.gid())).expect("chown of a copy");
    own
}

/// An ordinary user's containers have the ids that own the file. What is left to them is not run; and what joins another's namespaces
/// runs from elsewhere, since somebody may wait there.
#[test]
fn a_container_of_a_user_who_owns_husk_cannot_write_it() {
    let place = Place::new();
    let caller = place.ordinary();
    let root = caller.root("box");
    let own = own_husk(&place, &caller);
    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let file = identity(&own).expect("the copy");
    fs::write(root.join("bin/own-script"), "#!/proc/self/exe --help\n").expect("a script");
    fs::set_permissions(root.join("bin/own-script"), fs::Permissions::from_mode(0o755)).expect("chmod");
    symlink("/proc/self/exe", root.join("bin/own-link")).expect("a link");
    let run = |words: &[&str]| caller.command(&own).args(["run", "-q"]).args(words).run();
    let path = root.to_str().expect("text");
    for command in ["/proc/self/exe", "/bin/own-script", "/bin/own-link"] {
        // What has ended when husk looks has left nothing.
        let (_reader, writer) = full_pipe();
        let mut husk = caller.command(&own).args(["run", "-q", path, command, "--help"]).process();
        let output =
            husk.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().expect("husk starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(126), "{command}: {said}");
        assert!(said.contains("husk's own program file"), "{said}");
    }
    run(&["--init", path, "/bin/true"]).succeeds();
    // By a mount of its own the container has it because somebody wants that.
    let volume = format!("{}:/bin/husk", own.display());
    assert!(run(&["-v", &volume, path, "/bin/husk", "--version"]).succeeds().stdout.starts_with("husk "));

    // Joined, the program runs on, from a copy: a pipe that is full holds it.
    let mut first = caller
        .command(&own)
        .args(["run", "-q"])
        .arg(&root)
        .args(["sh", "-c", "echo up; exec sleep 1000"])
        .start();
    first.wait_for("up");
    let inside = first.container();
    let (reader, writer) = full_pipe();
    let joins = ["user", "pid"].map(|kind| format!("--join={kind}={inside}"));
    let second = caller.command(&own).args(["run", "-q"]).args(&joins).arg(&root);
    let mut second = second.args(["/proc/self/exe", "--help"]).process();
    let mut second =
        second.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null()).spawn().expect("husk starts");
    let program = wait_for_command(second.id());
    assert_ne!(identity(Path::new(&format!("/proc/{program}/exe"))).expect("a program"), file);
    drop(reader);
    let _ = second.wait();
    first.signal(Signal::KILL);
    first.finish();
}
