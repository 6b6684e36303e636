// SPDX-License-Identifier: Apache-2.0
//! The runtime's own program file, which no container may write (CVE-2019-5736). The attacks are the published ones: let the
//! runtime's program run on inside as the container's command, open its file through /proc, wait until nobody executes it, write.
#![forbid(unsafe_code)]

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use husk_tests::oci::{Bundle, Site, SpecChange};
use husk_tests::{Command, PATIENCE, contained_site, copy_program, until, write_program};
use serde_json::json;

/// What an attacker leaves in the runtime's place.
const PLANTED: &str = "#!/bin/sh\n: planted\n";

/// Opens every program file in /proc that is not the container's own busybox, and holds on to it; writes to it as soon as that
/// works, through the descriptor and through the link, until somebody makes /stop.
const ATTACKER: &str = r#"
write() { printf '#!/bin/sh\n: planted\n' > "$1"; }
try() {
    exec 9< "$1" || return
    [ "$(stat -L -c %i /proc/self/fd/9)" = "$(stat -L -c %i /bin/busybox)" ] && return
    echo holding "$1"
    for i in $(seq 40); do
        for m in /proc/self/fd/9 "$1"; do write "$m" && echo written && return; done
        usleep 50000
    done
    echo gave up
}
echo up
until [ -e /stop ]; do
    for p in /proc/[0-9]*/exe /proc/[0-9]*/map_files/*; do [ -e /stop ] || (try "$p"); done 2> /dev/null
done
echo over
"#;

/// A copy of the runtime, for an attack to spoil.
struct Own<'s> {
    site: &'s Site,
    path: PathBuf,
    before: Vec<u8>,
}

impl<'s> Own<'s> {
    fn copy(site: &'s Site, mode: u32) -> Self {
        let path = site.path().join("runtime");
        copy_program(site.runtime().path(), &path);
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        let before = fs::read(&path).expect("the copy");
        Self { site, path, before }
    }

    fn oci(&self, words: &[&str]) -> Command {
        self.oci_under(&[], words)
    }

    /// As [`Self::oci`], with a program before it that executes it.
    fn oci_under(&self, program: &[&str], words: &[&str]) -> Command {
        let runtime = self.path.to_str().expect("text");
        let (first, rest) = program.split_first().map_or((runtime, Vec::new()), |(first, rest)| {
            (*first, rest.iter().copied().chain([runtime]).collect())
        });
        self.site.command(first).args(rest).arg("--root").arg(self.site.root()).args(words)
    }

    fn is_written(&self) -> bool {
        fs::read(&self.path).expect("the copy") != self.before
    }
}

/// A process whose standard output and error are pipes that are full: whoever writes there waits until it is dropped.
struct Stuck {
    child: Child,
    _readers: [std::io::PipeReader; 2],
}

impl Stuck {
    fn start(command: &Command) -> Self {
        let full = || {
            let (reader, mut writer) = std::io::pipe().expect("a pipe");
            let size = rustix::pipe::fcntl_getpipe_size(&writer).expect("the size of a pipe");
            writer.write_all(&vec![b'.'; size as usize]).expect("a pipe can be filled");
            (reader, Stdio::from(writer))
        };
        let ((one, stdout), (two, stderr)) = (full(), full());
        let child = command.process().stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
        Self { child: child.expect("the runtime starts"), _readers: [one, two] }
    }

    /// Lets it go on: its writes fail now.
    fn release(self) {
        let Self { mut child, _readers } = self;
        drop(_readers);
        let _ = child.wait();
    }
}

/// Waits until it is so, where it need not come.
fn comes_within(patience: Duration, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !is_so() && Instant::now() < end {
        sleep(Duration::from_millis(5));
    }
}

/// How long the runtime's program may take to be seen inside. The file of [`elf`] does not lead to it.
fn patience_for(command: &str) -> Duration {
    if command == "/elf" { Duration::from_secs(2) } else { PATIENCE }
}

/// An ELF file without code of its own, whose interpreter is `interpreter`.
fn elf(interpreter: &str) -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let name = [interpreter.as_bytes(), b"\0"].concat();
    let (headers, size) = (64 + 2 * 56, 64 + 2 * 56 + name.len() as u64);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [3u16, machine] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    for long in [headers as u64, 64, 0] {
        file.extend(long.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for (kind, flags, offset, length) in [(3u32, 4u32, headers as u64, name.len() as u64), (1, 5, 0, size)] {
        file.extend(kind.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for long in [offset, offset, offset, length, length, 0x1000] {
            file.extend(long.to_le_bytes());
        }
    }
    file.extend(name);
    file
}

fn program(bundle: &Bundle<'_>, name: &str, bytes: &[u8]) {
    write_program(&bundle.in_root(name), bytes);
}

/// A container with an attacker in it, made by `own`.
fn attacked<'s>(own: &Own<'s>, change: impl FnOnce(Bundle<'s>) -> Bundle<'s>) -> (Bundle<'s>, Vec<String>) {
    let bundle = change(own.site.bundle().sh(ATTACKER));
    program(&bundle, "script", b"#!/proc/self/exe\n");
    program(&bundle, "script-with-words", b"#!/proc/self/exe create\n");
    program(&bundle, "elf", &elf("/proc/self/exe"));
    std::os::unix::fs::symlink("/proc/self/exe", bundle.in_root("link")).expect("a link");
    bundle.write();
    let log = bundle.path().join("log");
    let run = own.oci(&["run", "--detach", "--bundle", bundle.path().to_str().expect("text"), bundle.id()]);
    let out = || Stdio::from(File::options().append(true).create(true).open(&log).expect("a log"));
    let status = run.process().stdin(Stdio::null()).stdout(out()).stderr(out()).status();
    let text = || fs::read_to_string(&log).unwrap_or_default();
    assert!(status.expect("the runtime starts").success(), "{}", text());
    until("the attacker is up", || text().contains("up\n"));
    let commands = ["/proc/self/exe", "/link", "/script", "/script-with-words", "/elf"];
    (bundle, commands.map(str::to_owned).into())
}

fn log(bundle: &Bundle<'_>) -> String {
    fs::read_to_string(bundle.path().join("log")).unwrap_or_default()
}

/// Lets the attack end, and takes the container away.
fn end(own: &Own<'_>, bundle: &Bundle<'_>) {
    fs::write(bundle.in_root("stop"), "").expect("a file");
    until("the attacker ends", || log(bundle).contains("over\n"));
    own.site.oci(["delete", "--force", bundle.id()]).run().succeeds();
}

/// Lets the attack go on until it has got hold of a file and has tried for as long as it does, or has had time enough.
fn attack(own: &Own<'_>, bundle: &Bundle<'_>, command: &str) {
    let held = log(bundle).matches("holding").count();
    let stuck = Stuck::start(&own.oci(&["exec", bundle.id(), command]));
    comes_within(patience_for(command), || log(bundle).matches("holding").count() > held);
    stuck.release();
    comes_within(Duration::from_secs(1), || own.is_written());
}

fn try_all(own: &Own<'_>, bundle: &Bundle<'_>, commands: &[String]) {
    for command in commands {
        attack(own, bundle, command);
        assert!(!own.is_written(), "{command} led to the runtime's file:\n{}", log(bundle));
    }
    assert!(
        log(bundle).contains("holding"),
        "the attacker never saw the runtime: the test is void\n{}",
        log(bundle)
    );
}

#[test]
fn a_container_with_the_hosts_ids_cannot_write_the_runtime() {
    let site = contained_site!();
    let own = Own::copy(&site, 0o755);
    let (bundle, commands) = attacked(&own, |bundle| bundle);
    try_all(&own, &bundle, &commands);
    // The twin: the container works, and so does the runtime.
    own.oci(&["exec", bundle.id(), "echo", "fine"]).run().succeeds().prints("fine\n");
    end(&own, &bundle);
}

#[test]
fn nor_one_that_may_look_into_other_processes() {
    let site = contained_site!();
    let own = Own::copy(&site, 0o755);
    let (bundle, commands) = attacked(&own, |bundle| {
        bundle.change(|spec| {
            for name in ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SYS_ADMIN"] {
                spec.add_capability(name);
            }
        })
    });
    try_all(&own, &bundle, &commands);
    // A process on its way in can be seen by this one, and its file be opened before it is the command.
    for _ in 0..30 {
        own.oci(&["exec", bundle.id(), "true"]).run().succeeds();
        assert!(!own.is_written(), "an exec led to the runtime's file:\n{}", log(&bundle));
    }
    end(&own, &bundle);
}

#[test]
fn the_attack_itself_works_on_a_program_that_is_not_protected() {
    let site = contained_site!();
    let own = Own::copy(&site, 0o755);
    let (bundle, _) = attacked(&own, |bundle| bundle);
    // A program of the container's own takes the runtime's part.
    let victim = bundle.in_root("victim");
    copy_program(site.runtime().path(), &victim);
    let stuck = Stuck::start(&own.oci(&["exec", bundle.id(), "/victim"]));
    until("the attacker gets hold of it", || log(&bundle).contains("holding"));
    stuck.release();
    let is_written = || fs::read(&victim).is_ok_and(|bytes| bytes == PLANTED.as_bytes());
    until("the attacker writes to it", is_written);
    end(&own, &bundle);
}

#[test]
fn the_command_of_the_container_itself_leads_to_it_neither() {
    let site = contained_site!();
    let own = Own::copy(&site, 0o755);
    for command in ["/proc/self/exe", "/script", "/elf"] {
        let bundle = site.bundle().args(&[command]);
        program(&bundle, "script", b"#!/proc/self/exe\n");
        program(&bundle, "elf", &elf("/proc/self/exe"));
        bundle.write();
        let path = bundle.path().to_str().expect("text");
        let stuck = Stuck::start(&own.oci(&["run", "--bundle", path, bundle.id()]));
        // The host's root is the container's root: what the host cannot write, the container cannot.
        let mut seen = false;
        comes_within(patience_for(command), || {
            seen = pid_of(&site, bundle.id()).is_some_and(|pid| is_unwritable(pid, &own));
            seen
        });
        assert!(
            seen || command == "/elf",
            "{command}: the runtime's program does not run inside, or its file can be written"
        );
        stuck.release();
        assert!(!own.is_written(), "{command}");
        site.oci(["delete", "--force", bundle.id()]).run().succeeds();
    }
}

fn pid_of(site: &Site, id: &str) -> Option<i64> {
    let output = site.oci(["state", id]).run();
    serde_json::from_str::<serde_json::Value>(&output.stdout).ok()?["pid"].as_i64().filter(|pid| *pid > 0)
}

/// Whether the process runs the runtime's program, from a place where the same file cannot be opened for writing: not because it
/// is being executed, but because it is read-only.
fn is_unwritable(pid: i64, own: &Own<'_>) -> bool {
    let path = format!("/proc/{pid}/exe");
    let same =
        fs::metadata(&path).is_ok_and(|file| file.ino() == fs::metadata(&own.path).expect("the copy").ino());
    let error = File::options().write(true).truncate(true).open(&path).err();
    same && error.is_some_and(|error| error.kind() == std::io::ErrorKind::ReadOnlyFilesystem)
}

#[test]
fn it_costs_little_and_nothing_from_a_read_only_mount() {
    let site = contained_site!();
    if site.deviates("runc", "always copies itself") || site.deviates("crun", "always copies itself") {
        return;
    }
    let own = Own::copy(&site, 0o755);
    let shifted = |bundle: Bundle<'_>| -> u32 {
        fs::set_permissions(bundle.path(), Permissions::from_mode(0o755)).expect("chmod");
        bundle.write();
        executions(&own, &bundle)
    };
    let with_ids = |first: u32| {
        let bundle = site.bundle();
        chown_all(&bundle.in_root(""), first);
        bundle.change(|spec| {
            spec.add_namespace("user", "");
            let map = json!([{"containerID": 0, "hostID": first, "size": 65536}]);
            spec["linux"]["uidMappings"] = map.clone();
            spec["linux"]["gidMappings"] = map;
            spec["linux"]["namespaces"].as_array_mut().expect("a list").retain(|n| n["type"] != "cgroup");
        })
    };
    assert_eq!(shifted(site.bundle()), 2, "the host's ids can write");
    // Whoever the container's ids are: to ask for them would take longer.
    assert_eq!(shifted(with_ids(200_000)), 2, "root always goes there");
    // Nor is it for nothing that the first run does something else before.
    let before = calls_before_the_second(&own, &site.bundle());
    assert!(before.len() <= 9, "{before:?}");
    // From a read-only mount it goes on as it is.
    let mount = |words: &[&str]| site.command("mount").args(words).arg(&own.path).run().succeeds().clone();
    let path = own.path.to_str().expect("text").to_owned();
    mount(&["--bind", &path]);
    mount(&["-o", "remount,bind,ro"]);
    assert_eq!(shifted(site.bundle()), 1, "a read-only mount");
}

/// The system calls of the runtime's first run, until the second begins.
fn calls_before_the_second(own: &Own<'_>, bundle: &Bundle<'_>) -> Vec<String> {
    bundle.write();
    let trace = own.site.path().join("calls");
    let path = bundle.path().to_str().expect("text");
    let strace = ["strace", "-q", "-o", trace.to_str().expect("text")];
    own.oci_under(&strace, &["run", "--bundle", path, bundle.id()]).run().succeeds();
    let text = fs::read_to_string(&trace).expect("a trace");
    let first = text.lines().skip(1).take_while(|line| !line.starts_with("execveat("));
    first.map(|line| line.split('(').next().unwrap_or_default().to_owned()).collect()
}

/// How often the runtime's program is executed to run the bundle's `true`, not counting that.
fn executions(own: &Own<'_>, bundle: &Bundle<'_>) -> u32 {
    let trace = own.site.path().join("trace");
    let path = bundle.path().to_str().expect("text");
    let strace = ["strace", "-q", "-e", "trace=execve,execveat", "-o", trace.to_str().expect("text")];
    own.oci_under(&strace, &["run", "--bundle", path, bundle.id()]).run().succeeds();
    let text = fs::read_to_string(&trace).expect("a trace");
    text.lines().filter(|line| line.starts_with("exec") && line.ends_with(" = 0")).count() as u32
}

fn chown_all(path: &Path, id: u32) {
    std::os::unix::fs::lchown(path, Some(id), Some(id)).expect("chown");
    if fs::symlink_metadata(path).expect("a file").is_dir() {
        for entry in fs::read_dir(path).expect("a directory").flatten() {
            chown_all(&entry.path(), id);
        }
    }
}

#[test]
fn without_the_right_to_mount_it_is_a_sealed_copy() {
    let site = contained_site!();
    if site.runtime().name() != "husk-oci" {
        site.note("runc and crun choose other ways");
        return;
    }
    let own = Own::copy(&site, 0o755);
    let trace = site.path().join("trace");
    let bundle = site.bundle();
    bundle.write();
    let path = bundle.path().to_str().expect("text");
    // Of the first attempt, before anything else, and of the one that says why there is none.
    let inject = "inject=open_tree:error=EPERM:when=1..2";
    let calls = "trace=open_tree,memfd_create,execveat";
    let strace = ["strace", "-q", "-e", calls, "-e", inject, "-o", trace.to_str().expect("text")];
    own.oci_under(&strace, &["run", "--bundle", path, bundle.id()]).run().succeeds();
    let text = fs::read_to_string(&trace).expect("a trace");
    let refused = text.lines().filter(|line| line.contains("EPERM")).count();
    assert!(refused == 2 && text.contains("memfd_create(") && text.contains("execveat("), "{text}");
}

#[test]
fn a_file_with_capabilities_is_refused() {
    let site = contained_site!();
    let own = Own::copy(&site, 0o755);
    if site.deviates("runc", "does not look") || site.deviates("crun", "does not look") {
        return;
    }
    let ordinary = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    let version = || own.oci_under(&ordinary, &["--version"]).run();
    version().succeeds();
    Command::new("setcap").arg("cap_sys_admin+ep").arg(&own.path).run().succeeds();
    version().exits(1).says("file capabilities");
    Command::new("setcap").arg("-r").arg(&own.path).run().succeeds();
    version().succeeds();
    fs::set_permissions(&own.path, Permissions::from_mode(0o4755)).expect("chmod");
    version().exits(1).says("set-user-id");
}
