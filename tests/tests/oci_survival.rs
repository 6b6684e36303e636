// SPDX-License-Identifier: Apache-2.0
//! After any event and one `delete --force` nothing of a container is left, and its id can be used again: no process, mount, cgroup,
//! state or temporary file.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use husk_tests::oci::{Bundle, Cgroup, Site};
use husk_tests::{Command, Output, PATIENCE, contained_site, until};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use serde_json::{Value, json};

/// Set to look at every system call instead of some.
const FULL: &str = "HUSK_FULL_SWEEP";

/// What there is of a test's beside itself. A contained test has its process for itself, and whatever a runtime leaves behind is
/// inherited by it.
struct Before<'s> {
    site: &'s Site,
    processes: BTreeSet<i32>,
    mounts: String,
    files: BTreeSet<PathBuf>,
    /// Whether cgroups are looked at. The state alone names a container's, so that one whose state is lost stays.
    cgroups: bool,
}

impl<'s> Before<'s> {
    fn look(site: &'s Site) -> Self {
        Self { site, processes: processes(), mounts: mounts(site), files: files(site.path()), cgroups: true }
    }

    /// Fails the test unless all that is there was there before.
    #[track_caller]
    fn is_all_there_is(&self, after: &str) {
        let until = Instant::now() + PATIENCE;
        let more = || &processes() - &self.processes;
        while !more().is_empty() && Instant::now() < until {
            sleep(Duration::from_millis(2));
        }
        let left: Vec<_> = more().into_iter().map(|pid| (pid, name(pid))).collect();
        assert!(left.is_empty(), "{after}: processes are left: {left:?}");
        assert_eq!(mounts(self.site), self.mounts, "{after}: mounts are left");
        let left: Vec<_> =
            fs::read_dir(self.site.root()).into_iter().flatten().flatten().map(|e| e.path()).collect();
        assert!(left.is_empty(), "{after}: states are left: {left:?}");
        let new: Vec<_> = files(self.site.path()).difference(&self.files).cloned().collect();
        assert!(new.is_empty(), "{after}: files are left: {new:?}");
        if !self.cgroups {
            return;
        }
        let cgroups: Vec<_> =
            (0..20).map(|n| self.site.cgroup_of(&format!("c{n}"))).filter(Cgroup::exists).collect();
        assert!(cgroups.is_empty(), "{after}: cgroups are left: {cgroups:?}");
    }
}

fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().chars().take(60).collect()
}

/// Takes orphans that have ended off the kernel's list, as whoever calls a runtime has to: a pid namespace does not end before its
/// last process is off it. `child` is waited for by somebody else.
fn reap(child: u32) {
    let own = getpid().as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of_threads = threads.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let all = of_threads.fold(children, |all, some| all + " " + &some);
    for pid in all
        .split_whitespace()
        .filter_map(|pid| pid.parse::<i32>().ok())
        .filter(|pid| pid.unsigned_abs() != child)
    {
        let _ = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
    }
}

/// The processes below this one. Those that have ended are taken off the list of the kernel's first.
fn processes() -> BTreeSet<i32> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let mut fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
        let (state, parent) =
            (fields.next().expect("a state").to_owned(), fields.next().and_then(|f| f.parse::<i32>().ok()));
        all.push((pid, parent.expect("a parent"), state));
    }
    let own = getpid().as_raw_nonzero().get();
    let mut found = BTreeSet::from([own]);
    loop {
        let more: Vec<_> =
            all.iter().filter(|(pid, parent, _)| found.contains(parent) && !found.contains(pid)).collect();
        if more.is_empty() {
            break;
        }
        for (pid, parent, state) in
            more.into_iter().map(|(pid, parent, state)| (*pid, *parent, state.as_str())).collect::<Vec<_>>()
        {
            if parent == own && state == "Z" {
                let _ = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
            }
            found.insert(pid);
        }
    }
    found.into_iter().filter(|pid| !name(*pid).is_empty()).collect()
}

/// The mounts of the site's namespace.
fn mounts(site: &Site) -> String {
    site.command("cat").arg("/proc/self/mountinfo").run().succeeds().stdout.clone()
}

/// Every file of the site's but those in bundles' roots and in the state directory, which is looked at by itself.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.ends_with("rootfs") || path.ends_with("state") {
            continue;
        }
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => seen.extend(files(&path)),
            false if path.ends_with("pid") => {}
            false => drop(seen.insert(path)),
        }
    }
    seen
}

/// Runs a command with nothing on its standard streams; the test fails if it takes too long.
#[track_caller]
fn finish(command: &Command) -> ExitStatus {
    let child = command.process().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    wait(child.expect("it starts"), &command.shown(), false)
}

#[track_caller]
fn wait(mut child: Child, shown: &str, reaping: bool) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if reaping {
            reap(child.id());
        }
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => return status,
            None if Instant::now() > until => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("it hangs: {shown}");
            }
            None => sleep(Duration::from_millis(1)),
        }
    }
}

/// As [`finish`], with what it has said.
#[track_caller]
fn said(site: &Site, command: &Command) -> Output {
    let file = site.path().join("said");
    let out = fs::File::create(&file).expect("a file");
    let mut process = command.process();
    process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
    let status = wait(process.spawn().expect("it starts"), &command.shown(), true);
    let stderr = fs::read_to_string(&file).expect("a file");
    fs::remove_file(&file).expect("a file");
    assert!(!stderr.contains("panicked"), "{}:\n{stderr}", command.shown());
    Output { command: command.shown(), status, stdout: String::new(), stderr }
}

/// The words of a verb that is to be killed.
type Words = Vec<String>;

fn words(words: &[&str]) -> Words {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The runtime under strace.
fn traced(site: &Site, flags: &[&str], verb: &Words) -> Command {
    let strace = site.command("strace").args(["-qq"]).args(flags).arg(site.runtime().path());
    strace.args(site.globals(&site.root())).args(verb)
}

/// The system calls that the runtime makes for a verb: each one's name, and how often it has come by then.
fn calls(site: &Site, verb: &Words) -> Vec<(String, usize)> {
    let trace = site.path().join("trace");
    assert!(finish(&traced(site, &["-o", text(&trace)], verb)).success(), "{verb:?}");
    let lines = fs::read_to_string(&trace).expect("a trace");
    fs::remove_file(&trace).expect("a file");
    let mut counts = BTreeMap::new();
    let names = lines.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name.to_owned());
    let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    names
        .filter(is_name)
        .map(|name| {
            let count = counts.entry(name.clone()).or_insert(0);
            *count += 1;
            (name, *count)
        })
        .collect()
}

/// Kills the runtime at system calls of a verb, each time after `prepare`, and looks at what is left.
fn sweep(site: &Site, bundle: &Bundle<'_>, verb: &Words, stride: usize, prepare: &dyn Fn()) {
    bundle.write();
    let delete = || said(site, &site.oci(["delete", "--force", bundle.id()]));
    // Who has to wait on a busy machine looks again and again: the shortest way is swept.
    let trace = || {
        prepare();
        let calls = calls(site, verb);
        delete().succeeds();
        calls
    };
    let calls = [trace(), trace(), trace()].into_iter().min_by_key(Vec::len).expect("three");
    let count = calls.len();
    let before = Before::look(site);
    let stride = if std::env::var_os(FULL).is_some() { 1 } else { stride };
    let mut killed = 0;
    for (number, (name, nth)) in calls.iter().enumerate().skip(1).step_by(stride) {
        prepare();
        let inject = format!("inject={name}:signal=SIGKILL:when={nth}");
        let status = finish(&traced(site, &["-o", "/dev/null", "-e", &inject], verb));
        killed += usize::from(status.signal() == Some(9) || status.code() == Some(137));
        let what = format!("{verb:?} killed at {name} number {nth}, system call {number} of {count}");
        // Whoever looks meanwhile is not disturbed by it.
        said(site, &site.oci(["state", bundle.id()]));
        said(site, &site.oci(["list"])).succeeds();
        assert_eq!(delete().code(), 0, "{what}: {}", delete());
        before.is_all_there_is(&what);
        let again =
            said(site, &site.oci(["run", "--bundle"]).arg(site.path().join("again")).arg(bundle.id()));
        assert_eq!(again.code(), 0, "{what}: the id cannot be used again:\n{again}");
        before.is_all_there_is(&format!("{what}, and another container"));
    }
    // Calls by which it waited that time do not come each time.
    assert!(
        killed * 2 > count / stride,
        "{verb:?}: killed {killed} times only in {count} calls: the test is void"
    );
}

/// A bundle for [`sweep`] to use an id again.
fn again(site: &Site, bundle: &Bundle<'_>) {
    let directory = site.path().join("again");
    fs::create_dir_all(&directory).expect("a directory");
    let mut spec = bundle.spec.clone();
    spec["root"]["path"] = json!(bundle.in_root(""));
    spec["process"]["args"] = json!(["true"]);
    spec["hooks"] = json!({});
    fs::write(directory.join("config.json"), spec.to_string()).expect("a file");
}

fn hooks(spec: &mut Value) {
    let hook = json!([{"path": "/bin/true"}]);
    spec["hooks"] = json!({
        "createRuntime": hook, "createContainer": hook, "startContainer": hook, "poststart": hook, "poststop": hook
    });
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's is text")
}

#[test]
fn the_runtime_killed_at_a_system_call_of_create() {
    let site = contained_site!();
    for hooked in [false, true] {
        let bundle = site.bundle().sh("sleep 100").change(|spec| {
            if hooked {
                hooks(spec);
                spec["hooks"]["startContainer"] = json!([]);
                spec["hooks"]["createContainer"] = json!([{"path": "/bin/true"}]);
            }
        });
        again(&site, &bundle);
        let pid_file = bundle.path().join("pid");
        let create =
            words(&["create", "--bundle", text(bundle.path()), "--pid-file", text(&pid_file), bundle.id()]);
        // The pid file is the caller's, and stays.
        sweep(&site, &bundle, &create, if hooked { 5 } else { 3 }, &|| drop(fs::remove_file(&pid_file)));
    }
}

#[test]
fn the_runtime_killed_at_a_system_call_of_start() {
    let site = contained_site!();
    let bundle = site.bundle().sh("sleep 100").change(|spec| {
        hooks(spec);
        spec["hooks"]["startContainer"] = json!([{"path": "/bin/true"}]);
    });
    again(&site, &bundle);
    let create = site.oci(["create", "--bundle", text(bundle.path()), bundle.id()]);
    sweep(&site, &bundle, &words(&["start", bundle.id()]), 3, &|| assert!(finish(&create).success()));
}

#[test]
fn the_runtime_killed_at_a_system_call_of_exec() {
    let site = contained_site!();
    let bundle = site.bundle().sh("sleep 100");
    again(&site, &bundle);
    let run = site.oci(["run", "--detach", "--bundle", text(bundle.path()), bundle.id()]);
    for flags in [&[][..], &["--detach"]] {
        let exec =
            [&["exec"], flags, &[bundle.id(), "sleep", if flags.is_empty() { "0" } else { "50" }]].concat();
        sweep(&site, &bundle, &words(&exec), 7, &|| assert!(finish(&run).success()));
    }
}

#[test]
fn the_runtime_killed_at_a_system_call_of_delete() {
    let site = contained_site!();
    let bundle = site.bundle().sh("sleep 100").change(hooks);
    let bundle = bundle.change(|spec| spec["hooks"]["startContainer"] = json!([]));
    let bundle = bundle.change(|spec| spec["hooks"]["createContainer"] = json!([]));
    again(&site, &bundle);
    let run = site.oci(["run", "--detach", "--bundle", text(bundle.path()), bundle.id()]);
    sweep(&site, &bundle, &words(&["delete", "--force", bundle.id()]), 3, &|| {
        assert!(finish(&run).success())
    });
}

#[test]
fn the_runtime_dies_with_whoever_called_it() {
    let site = contained_site!();
    let bundle = site.bundle().sh("sleep 100");
    bundle.write();
    let before = Before::look(&site);
    for number in 0..40_u64 {
        let create = site.command("setpriv").args(["--pdeathsig", "KILL"]).arg(site.runtime().path());
        let create = create.arg("--root").arg(site.root()).args([
            "create",
            "--bundle",
            text(bundle.path()),
            bundle.id(),
        ]);
        let mut caller = create.through(["sh", "-c", "\"$@\" & wait", "sh"]).process();
        let caller = caller.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut caller = caller.spawn().expect("a shell starts");
        sleep(Duration::from_micros(2_000 + number * 7_919 % 30_000));
        let _ = caller.kill();
        let _ = caller.wait();
        // The runtime, inherited by this process, may need a moment to die; where its caller died before setpriv(1) had asked for
        // the signal it does not, and makes its container.
        let until = Instant::now() + PATIENCE;
        loop {
            said(&site, &site.oci(["delete", "--force", bundle.id()])).succeeds();
            if processes() == before.processes || Instant::now() > until {
                break;
            }
            sleep(Duration::from_millis(5));
        }
        said(&site, &site.oci(["delete", "--force", bundle.id()])).succeeds();
        before.is_all_there_is(&format!("death number {number}"));
    }
}

#[test]
fn init_dies_before_it_is_started() {
    let site = contained_site!();
    let before = Before::look(&site);
    let bundle = site.bundle().sh("sleep 100");
    let container = bundle.create();
    kill_process(Pid::from_raw(container.pid() as i32).expect("a process"), Signal::KILL)
        .expect("it is there");
    container.wait();
    assert_eq!(container.state()["pid"], 0);
    assert_eq!(container.status(), "stopped");
    container.verb("start").run().exits(1);
    container.verb("kill").run().exits(1).says("container not running");
    container.verb("exec").arg("true").run().exits(255);
    container.verb("delete").run().succeeds();
    container.verb("delete").run().exits(1).says("container does not exist");
    fs::remove_dir_all(bundle.path()).expect("the bundle");
    before.is_all_there_is("an init that died");
    // A signal that would end it, while it waits.
    for signal in ["TERM", "INT", "KILL", "HUP"] {
        let container = site.bundle().sh("sleep 100").create();
        container.kill(signal);
        container.wait();
        assert_eq!(container.status(), "stopped", "{signal}");
        container.verb("delete").run().succeeds();
    }
}

/// Who is in the background, and whose parent is in no shell's job, may not change the terminal's settings (`tcsetattr(3)`, EIO).
#[test]
fn a_run_that_may_not_have_its_terminal_leaves_nothing() {
    let site = contained_site!();
    if site.deviates("crun", "goes on without it") {
        return;
    }
    let before = Before::look(&site);
    let bundle = site.bundle().sh("sleep 100").change(|spec| spec["process"]["terminal"] = json!(true));
    bundle.write();
    let oci = site.oci([""; 0]).shown();
    let oci = oci.split(" -- ").nth(1).expect("the runtime's own words").to_owned();
    let run = format!("{oci} run --bundle {} {}", text(bundle.path()), bundle.id());
    let [go, told] = ["go", "told"].map(|name| bundle.path().join(name));
    // A job of its own, whose first process is gone before the runtime begins.
    let orphaned = format!(
        "until [ -e {} ]; do sleep 0.01; done; {run} </dev/tty >/dev/tty 2>&1; echo $? >{1}.new; mv {1}.new {1}",
        text(&go),
        text(&told)
    );
    let session = format!(
        "set -m; (sh -c '{orphaned}' &) & wait; : >{}; until [ -e {} ]; do sleep 0.01; done",
        text(&go),
        text(&told)
    );
    let output = said(&site, &site.command("script").args(["-qec", &session, "/dev/null"]));
    let status = fs::read_to_string(&told).expect("it has ended");
    assert_eq!(status.trim(), "1", "{output}");
    fs::remove_dir_all(bundle.path()).expect("the bundle");
    before.is_all_there_is("a run that may not have its terminal");
}

/// Ends what hooks have left behind: who has come since, with these words in the command line.
#[track_caller]
fn end_left_behind(since: &Before<'_>, words: &str) {
    let line = |pid: &i32| {
        String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default())
            .replace('\0', " ")
    };
    until("what hooks have left behind is ended", || {
        let left: Vec<_> =
            (&processes() - &since.processes).into_iter().filter(|pid| line(pid).contains(words)).collect();
        for pid in &left {
            let _ = kill_process(Pid::from_raw(*pid).expect("a process"), Signal::KILL);
        }
        left.is_empty()
    });
}

#[test]
fn hooks_that_misbehave() {
    let site = contained_site!();
    let kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"];
    let hooked = |kind: &str, script: &str, timeout: Option<u32>| {
        let bundle = site.bundle().sh("echo up; sleep 100").change(|spec| {
            let mut hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script]});
            if let Some(timeout) = timeout {
                hook["timeout"] = json!(timeout);
            }
            spec["hooks"] = json!({kind: [hook]});
        });
        bundle.write();
        // Whoever waits for a `sleep 1000` hangs.
        let output =
            said(&site, &site.oci(["run", "--detach", "--bundle", text(bundle.path()), bundle.id()]));
        (output, bundle)
    };
    for kind in kinds {
        let before = Before::look(&site);
        let gone = |bundle: &Bundle<'_>, what: &str| {
            said(&site, &site.oci(["delete", "--force", bundle.id()])).succeeds();
            fs::remove_dir_all(bundle.path()).expect("the bundle");
            before.is_all_there_is(&format!("{kind}: {what}"));
        };
        let fails = |output: &Output, words: &[&str]| {
            output.exits(1);
            words.iter().for_each(|word| {
                output.says(word);
            });
        };
        // The twin.
        let (output, bundle) = hooked(kind, "exit 0", Some(30));
        output.succeeds();
        gone(&bundle, "a hook that works");
        let (output, bundle) = hooked(kind, "sleep 1000; true", Some(1));
        fails(&output, &[kind]);
        gone(&bundle, "a hook that hangs");
        let (output, bundle) = hooked(kind, "echo the reason >&2; exit 3", None);
        fails(&output, &[&format!("hooks.{kind}[0]"), "exit status 3", "the reason"]);
        gone(&bundle, "a hook that fails");
        let (output, bundle) = hooked(kind, "(sleep 1000; echo late) & exit 0", None);
        output.succeeds();
        // What is in the container goes with it, the rest is the hook's own.
        said(&site, &site.oci(["delete", "--force", bundle.id()])).succeeds();
        end_left_behind(&before, "sleep 1000");
        gone(&bundle, "a hook that leaves somebody behind");
        let (output, bundle) = hooked(kind, "yes 0123456789 | head -c 1048576; exit 4", None);
        fails(&output, &["exit status 4"]);
        assert!(output.stderr.len() < 8192, "{kind}: the error has {} bytes", output.stderr.len());
        gone(&bundle, "a hook that prints a megabyte");
    }
}

#[test]
fn a_state_directory_with_little_room() {
    let site = contained_site!();
    let bundle = site.bundle().sh("sleep 100");
    bundle.write();
    let root = site.path().join("small");
    fs::create_dir(&root).expect("a directory");
    let before = Before::look(&site);
    let oci = |words: &[&str]| site.bare_oci(site.globals(&root)).args(words);
    let (mut made, mut failed) = (0, 0);
    let mut options: Vec<String> = (1..12).map(|blocks| format!("size={}", blocks * 4096)).collect();
    options.extend((1..9).map(|inodes| format!("nr_inodes={inodes}")));
    options.push("ro".to_owned());
    for option in options {
        site.command("mount")
            .args(["-t", "tmpfs", "-o", &format!("mode=755,{option}"), "small"])
            .arg(&root)
            .run()
            .succeeds();
        let create = said(&site, &oci(&["create", "--bundle", text(bundle.path()), "x"]));
        match create.code() {
            0 => made += 1,
            1 => failed += 1,
            _ => panic!("{option}: {create}"),
        }
        assert!(create.code() == 0 || create.stderr.contains(text(&root)), "{option}: {create}");
        let start = said(&site, &oci(&["start", "x"]));
        assert_eq!(start.code(), create.code(), "{option}: {start}");
        said(&site, &oci(&["delete", "--force", "x"])).succeeds();
        let left = site.command("ls").args(["-A"]).arg(&root).run();
        assert_eq!(left.stdout, "", "{option}");
        site.command("umount").arg(&root).run().succeeds();
        before.is_all_there_is(&option);
    }
    assert!(made > 0 && failed > 0, "made {made}, failed {failed}: the test is void");
    // Not there, and not possible.
    for root in ["/proc/husk", text(&bundle.path().join("config.json")), "/dev/null/x"] {
        let create = site.bare_oci(["--root", root, "create", "--bundle", text(bundle.path()), "x"]);
        said(&site, &create).exits(1);
        said(&site, &site.bare_oci(["--root", root, "state", "x"])).exits(1);
    }
    let before = Before { cgroups: false, ..before };
    // Taken away underneath.
    said(&site, &site.oci(["run", "--detach", "--bundle", text(bundle.path()), bundle.id()])).succeeds();
    let pid: i32 = state(&site, bundle.id())["pid"].as_i64().expect("a pid") as i32;
    fs::remove_dir_all(site.root()).expect("the state");
    said(&site, &site.oci(["state", bundle.id()])).exits(1).says("container does not exist");
    said(&site, &site.oci(["delete", "--force", bundle.id()])).succeeds();
    kill_process(Pid::from_raw(pid).expect("a process"), Signal::KILL)
        .expect("nothing but the state was gone");
    before.is_all_there_is("a state that was taken away");
}

fn state(site: &Site, id: &str) -> Value {
    serde_json::from_str(&site.oci(["state", id]).run().succeeds().stdout).expect("JSON")
}

#[test]
fn eight_creates_of_one_id_have_one_winner() {
    let site = contained_site!();
    let bundle = site.bundle().sh("sleep 100");
    bundle.write();
    let before = Before::look(&site);
    for round in 0..8 {
        let create = site.oci(["create", "--bundle", text(bundle.path()), bundle.id()]);
        let children: Vec<_> = (0..8)
            .map(|_| {
                create
                    .process()
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("it starts")
            })
            .collect();
        let won = children
            .into_iter()
            .map(|child| wait(child, "create", false))
            .filter(ExitStatus::success)
            .count();
        assert_eq!(won, 1, "round {round}");
        assert_eq!(state(&site, bundle.id())["status"], "created");
        said(&site, &create).exits(1).says("exists");
        said(&site, &site.oci(["start", bundle.id()])).succeeds();
        said(&site, &site.oci(["start", bundle.id()])).exits(1);
        said(&site, &site.oci(["delete", "--force", bundle.id()])).succeeds();
        before.is_all_there_is(&format!("round {round}"));
    }
}

/// Bundles that share the root of one.
fn bundles(site: &Site, of: &Bundle<'_>, count: usize) -> Vec<(String, PathBuf)> {
    let make = |number: usize| {
        let (id, directory) = (format!("n{number}"), site.path().join(format!("n{number}")));
        let mut spec = of.spec.clone();
        spec["root"]["path"] = json!(of.in_root(""));
        spec["linux"]["cgroupsPath"] = json!(site.cgroups_path(&id));
        fs::create_dir(&directory).expect("a directory");
        fs::write(directory.join("config.json"), spec.to_string()).expect("a file");
        (id, directory)
    };
    (0..count).map(make).collect()
}

#[test]
fn callers_that_know_nothing_of_each_other() {
    let site = contained_site!();
    let bundle = site.bundle().sh("sleep 100");
    let all = bundles(&site, &bundle, 3);
    let before = Before::look(&site);
    let oci = |words: &[&str]| site.oci(words);
    let verbs: Vec<Command> = all
        .iter()
        .flat_map(|(id, directory)| {
            [
                oci(&["create", "--bundle", text(directory), id]),
                oci(&["start", id]),
                oci(&["kill", id, "KILL"]),
                oci(&["delete", id]),
                oci(&["state", id]),
                oci(&["exec", id, "true"]),
                oci(&["create", "--bundle", text(directory), id]),
                oci(&["start", id]),
                oci(&["delete", "--force", id]),
                oci(&["list"]),
            ]
        })
        .collect();
    const LEAST: usize = 50;
    let until = Instant::now() + Duration::from_secs(6);
    let done = AtomicUsize::new(0);
    // A busy machine takes longer for as many.
    let goes_on =
        |now: Instant| now < until || done.load(Ordering::Relaxed) <= LEAST && now < until + PATIENCE;
    scope(|scope| {
        for seed in 1..=6_usize {
            let (verbs, done, goes_on) = (&verbs, &done, &goes_on);
            scope.spawn(move || {
                let mut number = seed;
                while goes_on(Instant::now()) {
                    number = number
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let status = finish(&verbs[(number >> 33) % verbs.len()]);
                    assert!(
                        matches!(status.code(), Some(0 | 1 | 137 | 255)),
                        "{status}: {}",
                        verbs[(number >> 33) % verbs.len()].shown()
                    );
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(done.into_inner() > LEAST, "the test is void");
    for (id, _) in &all {
        said(&site, &site.oci(["delete", "--force", id])).succeeds();
    }
    before.is_all_there_is("several callers");
}

#[test]
fn two_hundred_containers_sixteen_at_a_time() {
    let site = contained_site!();
    let bundle = site.bundle().sh("sleep 100");
    let all = bundles(&site, &bundle, 200);
    let before = Before::look(&site);
    let lives: Vec<[Command; 4]> = all
        .iter()
        .map(|(id, directory)| {
            [
                site.oci(["create", "--bundle", text(directory), id]),
                site.oci(["start", id]),
                site.oci(["kill", id, "KILL"]),
                site.oci(["delete", "--force", id]),
            ]
        })
        .collect();
    let next = AtomicUsize::new(0);
    scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(life) = lives.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for call in life {
                        assert!(finish(call).success(), "{}", call.shown());
                    }
                }
            });
        }
    });
    before.is_all_there_is("two hundred containers");
}

/// A process of the test's that has nothing to do with any container.
struct Bystander(Child);

impl Bystander {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").process().spawn().expect("sleep starts"))
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_none()
    }

    fn start_time(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("a process");
        stat.rsplit_once(')')
            .expect("a name")
            .1
            .split_whitespace()
            .nth(19)
            .expect("a time")
            .parse()
            .expect("a number")
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A container whose state was changed after its process had ended.
fn with_state(site: &Site, change: impl FnOnce(&mut Value)) -> String {
    let bundle = site.bundle().sh("sleep 100");
    let container = bundle.start();
    container.kill("KILL");
    container.wait();
    let file = site.root().join(bundle.id()).join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&file).expect("a state")).expect("JSON");
    change(&mut state);
    fs::write(&file, state.to_string()).expect("a state");
    bundle.id().to_owned()
}

#[test]
fn a_stranger_is_never_signalled() {
    let site = contained_site!();
    if site.deviates("runc", "has another state file") || site.deviates("crun", "has another state file") {
        return;
    }
    let mut bystander = Bystander::start();
    let (pid, start_time) = (bystander.0.id(), bystander.start_time());
    let boot = |state: &mut Value| state["init"]["bootId"] = json!("01234567-89ab-cdef-0123-456789abcdef");
    let strangers: [&dyn Fn(&mut Value); 3] = [
        // Before a reboot: the same numbers by chance.
        &|state| {
            state["init"]["pid"] = json!(pid);
            state["init"]["startTime"] = json!(start_time);
            boot(state);
        },
        // The process id is another's by now.
        &|state| state["init"]["pid"] = json!(pid),
        &|state| {
            state["init"]["pid"] = json!(pid);
            state["init"]["startTime"] = json!(start_time + 1);
        },
    ];
    for stranger in strangers {
        let id = with_state(&site, stranger);
        assert_eq!(state(&site, &id)["status"], "stopped");
        assert_eq!(state(&site, &id)["pid"], 0);
        site.oci(["kill", &id, "KILL"]).run().exits(1).says("container not running");
        site.oci(["exec", &id, "true"]).run().exits(255);
        site.oci(["delete", &id]).run().succeeds();
        let id = with_state(&site, stranger);
        site.oci(["delete", "--force", &id]).run().succeeds();
        assert!(bystander.is_alive(), "a stranger was signalled");
    }
    // The control: were it the container's process, it would be.
    let id = with_state(&site, |state| {
        state["init"]["pid"] = json!(pid);
        state["init"]["startTime"] = json!(start_time);
    });
    assert_eq!(state(&site, &id)["status"], "running");
    site.oci(["kill", &id, "KILL"]).run().succeeds();
    until("the control is signalled: else the test is void", || !bystander.is_alive());
    site.oci(["delete", "--force", &id]).run().succeeds();
}

#[test]
fn a_state_that_is_damaged() {
    let site = contained_site!();
    if site.deviates("runc", "has another state file") || site.deviates("crun", "has another state file") {
        return;
    }
    let mut bystander = Bystander::start();
    let pid = bystander.0.id();
    let texts = [
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "\0\0\0\0".repeat(1000),
        "[".repeat(200_000),
        format!("{{\"init\": {{\"pid\": {pid}}}}}"),
        "\u{feff}{}".to_owned(),
    ];
    let before = Before::look(&site);
    let damage = |make: &dyn Fn(&Path)| {
        let bundle = site.bundle().sh("sleep 100");
        let container = bundle.start();
        container.kill("KILL");
        container.wait();
        make(&site.root().join(bundle.id()));
        let id = bundle.id();
        for words in [&["state", id][..], &["kill", id], &["start", id], &["list"], &["exec", id, "true"]] {
            let output = said(&site, &site.oci(words));
            // A state that says of no process that it is the container's is that of one that has stopped.
            assert!(["list", "state"].contains(&words[0]) || output.code() != 0, "{output}");
        }
        said(&site, &site.oci(["delete", "--force", id])).succeeds();
        fs::remove_dir_all(bundle.path()).expect("the bundle");
        before.is_all_there_is("a damaged state");
    };
    for text in &texts {
        damage(&|directory| fs::write(directory.join("state.json"), text).expect("a file"));
    }
    for pid in [json!(0), json!(-1), json!(-9), json!(i32::MAX), json!(i32::MIN)] {
        damage(&|directory| {
            let file = directory.join("state.json");
            let mut state: Value = serde_json::from_slice(&fs::read(&file).expect("a state")).expect("JSON");
            state["init"]["pid"] = pid.clone();
            fs::write(&file, state.to_string()).expect("a file");
        });
    }
    damage(&|directory| fs::remove_file(directory.join("state.json")).expect("a file"));
    damage(&|directory| {
        fs::remove_file(directory.join("state.json")).expect("a file");
        std::os::unix::fs::symlink("/dev/zero", directory.join("state.json")).expect("a link");
    });
    // Without both nobody can say where its cgroup was.
    let before_that = Before::look(&site);
    let bundle = site.bundle().sh("sleep 100");
    let container = bundle.start();
    container.kill("KILL");
    container.wait();
    for file in ["state.json", "config.json"] {
        fs::remove_file(site.root().join(bundle.id()).join(file)).expect("a file");
    }
    said(&site, &site.oci(["delete", "--force", bundle.id()])).succeeds();
    fs::remove_dir_all(bundle.path()).expect("the bundle");
    Before { cgroups: false, ..before_that }.is_all_there_is("no state and no configuration");
    assert!(bystander.is_alive());
}

#[test]
fn a_state_that_is_damaged_while_the_container_runs() {
    let site = contained_site!();
    if site.deviates("runc", "has another state file") || site.deviates("crun", "has another state file") {
        return;
    }
    let before = Before::look(&site);
    let script = format!("cat > {}/heard", text(site.path()));
    let poststop = |spec: &mut Value| {
        spec["hooks"] = json!({"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
        spec["annotations"] = json!({"org.example.word": "kept"});
    };
    for damaged in ["{", "", "\0\0\0\0", "[]"] {
        let bundle = site.bundle().sh("sleep 100 & sleep 100").change(poststop);
        let container = bundle.start();
        fs::write(site.root().join(bundle.id()).join("state.json"), damaged).expect("a file");
        said(&site, &site.oci(["delete", bundle.id()])).exits(1).says("damaged").says("delete --force");
        container.delete();
        assert!(!site.cgroup().exists(), "the cgroup above was made for it");
        let heard = fs::read(site.path().join("heard")).expect("the hook has run");
        let heard: Value = serde_json::from_slice(&heard).expect("JSON");
        assert_eq!([&heard["id"], &heard["status"]], [bundle.id(), "stopped"]);
        assert_eq!(
            [&heard["bundle"], &heard["annotations"]["org.example.word"]],
            [text(bundle.path()), "kept"]
        );
        fs::remove_file(site.path().join("heard")).expect("a file");
        fs::remove_dir_all(bundle.path()).expect("the bundle");
        before.is_all_there_is("a running container with a damaged state");
    }

    // A relative path counts from the cgroup of whoever made it, so that what is found there may be another's; unless it is known
    // what was made.
    let relative =
        site.bundle().sh("sleep 100").change(|spec| spec["linux"]["cgroupsPath"] = json!("husk-relative"));
    let container = relative.start();
    let directory = site.root().join(relative.id());
    let undo = fs::read(directory.join("undo.json")).expect("what is to be undone");
    for file in ["state.json", "undo.json"] {
        fs::write(directory.join(file), "{").expect("a file");
    }
    let pid = container.pid().to_string();
    said(&site, &site.oci(["delete", "--force", relative.id()])).exits(1).says(&pid).says("end it");
    assert!(Path::new("/proc").join(&pid).exists(), "somebody's process was killed");
    fs::write(directory.join("undo.json"), undo).expect("a file");
    container.delete();
    fs::remove_dir_all(relative.path()).expect("the bundle");
    before.is_all_there_is("a relative path");
}

#[test]
fn few_descriptors() {
    let site = contained_site!();
    let bundle = site.bundle().sh("sleep 100");
    bundle.write();
    let before = Before::look(&site);
    let limited = |number: u32, words: &[&str]| {
        let limit = format!("--nofile={number}:{number}");
        let command =
            site.command("prlimit").arg(limit).arg(site.runtime().path()).arg("--root").arg(site.root());
        said(&site, &command.args(words))
    };
    let mut made = 0;
    for number in (3..=24).chain([32, 48, 64]) {
        let what = format!("{number} descriptors");
        let create = limited(number, &["create", "--bundle", text(bundle.path()), bundle.id()]);
        assert!([0, 1].contains(&create.code()), "{what}: {create}");
        if create.code() == 0 {
            made += 1;
            let start = limited(number, &["start", bundle.id()]);
            assert!([0, 1].contains(&start.code()), "{what}: {start}");
        }
        said(&site, &site.oci(["delete", "--force", bundle.id()])).succeeds();
        before.is_all_there_is(&what);
        said(&site, &site.oci(["run", "--detach", "--bundle", text(bundle.path()), bundle.id()])).succeeds();
        let exec = limited(number, &["exec", bundle.id(), "true"]);
        assert!([0, 255].contains(&exec.code()), "{what}: {exec}");
        let delete = limited(number, &["delete", "--force", bundle.id()]);
        assert!([0, 1].contains(&delete.code()), "{what}: {delete}");
        said(&site, &site.oci(["delete", "--force", bundle.id()])).succeeds();
        before.is_all_there_is(&what);
    }
    assert!(made > 5, "{made} containers came up: the test is void");
}

#[test]
fn a_state_directory_of_somebody_elses_is_refused() {
    let site = contained_site!();
    if site.deviates("runc", "does not look") || site.deviates("crun", "does not look") {
        return;
    }
    let bundle = site.bundle();
    bundle.write();
    let root = site.path().join("theirs");
    fs::create_dir(&root).expect("a directory");
    let run = || {
        said(
            &site,
            &site.bare_oci(["--root", text(&root), "run", "--bundle", text(bundle.path()), bundle.id()]),
        )
    };
    run().succeeds();
    std::os::unix::fs::chown(&root, Some(1000), Some(1000)).expect("chown");
    run().exits(1).says("belongs to");
    std::os::unix::fs::chown(&root, Some(0), Some(0)).expect("chown");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).expect("chmod");
    run().exits(1).says("everybody may write");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o1777)).expect("chmod");
    run().exits(1).says("everybody may write");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("chmod");
    run().succeeds();
}
