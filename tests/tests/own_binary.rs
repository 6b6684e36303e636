// SPDX-License-Identifier: Apache-2.0
//! husk's own program file, which no container may write (CVE-2019-5736): its command is `/proc/self/exe`, and so husk's program runs on
//! inside; another container opens its file through /proc, and writes when nobody executes it any more.
#![forbid(unsafe_code)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use husk_tests::{Command, Place, copy_program, descendant, is_root, skip};

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

/// Whether a container with `options` can write to the husk that made it, from another one with them.
fn is_written(place: &Place, root: &Path, options: &[&str]) -> bool {
    let own = place.path().join("own-husk");
    let _ = fs::remove_file(&own);
    copy_program(&place.binary(), &own);
    let before = fs::metadata(&own).expect("the copy");
    // A pipe that is full, so that the program stays.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let size = rustix::pipe::fcntl_getpipe_size(&writer).expect("its size");
    writer.write_all(&vec![b'.'; size as usize]).expect("it can be filled");
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
