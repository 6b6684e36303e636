// SPDX-License-Identifier: Apache-2.0
//! husk's own program file, which no container may write (CVE-2019-5736): its command is `/proc/self/exe`, and so husk's program runs on
//! inside; another container opens its file through /proc, and writes when nobody executes it any more.
#![forbid(unsafe_code)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use husk_tests::{Caller, Command, Place, copy_program, descendant, is_root, skip};
use rustix::process::Signal;

/// Holds on to the program of process $1 if that is file $2, says so, and writes to it as soon as that works.
const ATTACKER: &str = r#"
(: < /proc/$1/exe) 2>/dev/null || { echo refused; exit 3; }
exec 9< /proc/$1/exe
[ "$(busybox stat -L -c %i /proc/self/fd/9)" = "$2" ] || { echo another; exit 4; }
echo holding
for i in $(busybox seq 40); do
    (echo planted > /proc/self/fd/9) 2>/dev/null && echo written && exit
    busybox usleep 50000
done
echo failed
"#;

/// The writing end of a pipe that is full, and the reading one.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let size = rustix::pipe::fcntl_getpipe_size(&writer).expect("its size");
    writer.write_all(&vec![b'.'; size as usize]).expect("it can be filled");
    (reader, writer)
}

/// Whether a container with `options` can write to the husk that made it, from another one with them.
fn is_written(place: &Place, root: &Path, options: &[&str]) -> bool {
    let own = place.path().join("own-husk");
    let _ = fs::remove_file(&own);
    copy_program(&place.binary(), &own);
    let before = fs::metadata(&own).expect("the copy");
    // A pipe that is full, so that the program stays.
    let (reader, writer) = full_pipe();
    let mut victim =
        Command::new(&own).arg("run").arg("-q").args(options).arg(root).arg("/proc/self/exe").process();
    let victim =
        victim.arg("--help").stdin(Stdio::null()).stdout(Stdio::from(writer)).stderr(Stdio::null()).spawn();
    let mut victim = victim.expect("husk starts");
    let inside = descendant(victim.id(), "/proc/self/exe ").to_string();
    let attacker = Command::new(place.binary()).args(["run", "-q", "--pid=host"]).args(options).arg(root);
    let mut attacker =
        attacker.args(["/bin/sh", "-c", ATTACKER, "sh", &inside, &before.ino().to_string()]).start();
    attacker.wait_for("\n");
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
    copy_program(&place.binary(), &own);
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
    let program = descendant(second.id(), "/proc/self/exe ");
    assert_ne!(identity(Path::new(&format!("/proc/{program}/exe"))).expect("a program"), file);
    drop(reader);
    let _ = second.wait();
    first.signal(Signal::KILL);
    first.finish();
}
