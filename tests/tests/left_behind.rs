// SPDX-License-Identifier: Apache-2.0
//! Whatever happens, nothing is left: no process, no guard, no mount, no file, no claim on ids.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use husk_tests::{Caller, Outside, Place, Signal, is_root, skip, until};

/// Ways to run a container: with an overlay, a terminal, a small PID 1, and plain.
const WAYS: [&[&str]; 4] = [&["-q"], &["-q", "--ephemeral"], &["-q", "-t"], &["-q", "--init", "--read-only"]];

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's is text")
}

#[test]
fn nothing_after_an_end_of_any_kind() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let before = Outside::look(&place);
        let box_ = text(&root);
        let words: [&[&str]; 8] = [
            &[box_, "true"],
            &[box_, "sh", "-c", "sleep 100 & sleep 100 & exit 3"],
            &[box_, "nothing"],
            &["-w", "/nothing", box_, "true"],
            &["-u", "nobody-here", box_, "true"],
            &["-v", "/nothing:/x", box_, "true"],
            &["--tmpfs", "/etc/passwd", box_, "true"],
            &["--ulimit", "nofile=99999999", box_, "true"],
        ];
        for way in WAYS {
            for words in words {
                caller.husk(["run"]).args(way).args(words).run();
                before.is_unchanged(&place);
            }
        }
    }
}

/// Starts a container, waits, sends husk a signal, and waits for its end.
fn shoot(caller: &Caller<'_>, root: &Path, way: &[&str], signal: Signal, after: Duration) -> i32 {
    let command = caller.husk(["run"]).args(way).arg(root).args(["sleep", "100"]);
    let running = command.start();
    sleep(after);
    running.signal(signal);
    // It ends only when nobody holds its output open any more, so when the container is gone.
    running.finish().code()
}

#[test]
fn nothing_after_a_kill_at_a_random_moment() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let before = Outside::look(&place);
        for number in 0..60_u64 {
            // A sequence that is random enough and the same every time; every eighth one runs already.
            let micros = if number % 8 == 7 { 60_000 } else { (number * 7_919) % 12_000 };
            let way = WAYS[number as usize % WAYS.len()];
            assert_eq!(shoot(&caller, &root, way, Signal::KILL, Duration::from_micros(micros)), 137);
            if number % 10 == 9 {
                before.is_unchanged(&place);
            }
        }
        caller.inside(&["-q"], &root, "true");
    }
}

#[test]
fn nothing_after_an_interrupt_while_starting() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let before = Outside::look(&place);
        for number in 0..40_u64 {
            let (signal, status) =
                [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)][number as usize % 3];
            let way = WAYS[number as usize % 2];
            let code = shoot(&caller, &root, way, signal, Duration::from_micros((number * 7_919) % 12_000));
            assert_eq!(code, status, "after {signal:?}");
        }
        before.is_unchanged(&place);
    }
}

#[test]
fn nothing_after_a_kill_when_the_command_has_another_user_id() {
    if !is_root() {
        skip!(
            "nothing_after_a_kill_when_the_command_has_another_user_id",
            "only root's containers have others"
        );
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("box");
    let before = Outside::look(&place);
    // The kernel forgets the parent-death signal when a process changes its user id: the guard has to end these.
    let su = "echo ready; exec su -s /bin/sh nobody -c 'echo as $(id -u); exec sleep 100'";
    let script = "echo as 5; exec sleep 100";
    for (options, script, awaited) in [
        (&["-q"][..], su, "as 65534"),
        (&["-q", "--init"], su, "as 65534"),
        (&["-q", "--allow-setuid"], su, "as 65534"),
        (&["-q", "-u", "5"], script, "as 5"),
    ] {
        let mut running = caller.shell(options, &root, script).start();
        running.wait_for(awaited);
        running.signal(Signal::KILL);
        running.finish().exits(137);
        before.is_unchanged(&place);
    }
}

#[test]
fn nothing_after_a_kill_in_any_system_call() {
    if !Path::new("/usr/bin/strace").exists() {
        skip!("nothing_after_a_kill_in_any_system_call", "strace is not in /usr/bin");
    }
    let place = Place::new();
    let caller = &place.callers()[0];
    let root = caller.root("box");
    let trace = caller.home().join("trace");
    let traced = |words: &[&str]| {
        let command = caller.husk(["run", "-q"]).arg(&root).args(["sleep", "0.2"]);
        command.through(["strace", "-qq", "-o"].iter().chain(words))
    };
    traced(&[text(&trace)]).run().succeeds();
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for line in fs::read_to_string(&trace).expect("a trace").lines() {
        let name = line.split('(').next().unwrap_or_default();
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    for expected in ["clone3", "waitid", "sendto", "ppoll"] {
        assert!(calls.contains_key(expected), "husk's calls are not seen: {calls:?}");
    }
    let before = Outside::look(&place);
    let mut kills = 0;
    for (call, count) in calls.iter().filter(|(call, _)| *call != "execve" && *call != "exit_group") {
        // The first of its kind, one in the middle and the last.
        let mut moments = vec![1, count.div_ceil(2), *count];
        moments.dedup();
        for moment in moments {
            let inject = format!("inject={call}:signal=KILL:when={moment}");
            let code = traced(&["/dev/null", "-e", &inject]).run().code();
            // Killed, or done before it came to that call so often.
            assert!(code == 137 || code == 0, "{call} {moment}: {code}");
            kills += usize::from(code == 137);
        }
        before.is_unchanged(&place);
    }
    assert!(kills > calls.len() / 2, "{kills} kills of {calls:?}");
    caller.inside(&["-q"], &root, "true");
}

#[test]
fn no_claim_on_ids_is_left() {
    if !is_root() {
        skip!("no_claim_on_ids_is_left", "only root's containers claim ids");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("box");
    // Claims are abstract sockets, which belong to a network namespace: in a new one there are no others' claims.
    let script = "claims() { until [ \"$(grep -c husk/ids /proc/net/unix)\" = $1 ]; do sleep 0.01; done; }; \
                  for signal in KILL TERM; do \"$@\" & claims 1; kill -$signal $!; wait $!; claims 0; done 2> /dev/null";
    let command = caller.husk(["run", "-q"]).arg(&root).args(["sleep", "100"]);
    command.through(["unshare", "--net", "sh", "-c", script, "sh"]).run().succeeds();
}

#[test]
fn a_name_can_be_used_again_at_once() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        for _ in 0..3 {
            let mut running = caller.shell(&["-q", "--name", "same"], &root, "hostname; sleep 100").start();
            running.wait_for("same");
            running.signal(Signal::KILL);
            running.finish().exits(137);
        }
    }
}

/// The cgroups of a container of that name, of all hierarchies, each with the process that made it.
fn cgroups(name: &str) -> Vec<(u32, PathBuf)> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = left.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let words = entry.file_name().to_string_lossy().into_owned();
            let maker = words.strip_prefix("husk-").and_then(|rest| rest.strip_suffix(name));
            if let Some(Ok(pid)) = maker.and_then(|pid| pid.strip_suffix('-')).map(str::parse) {
                found.push((pid, entry.path()));
            }
            left.push(entry.path());
        }
    }
    found
}

/// A name that no other test's container has.
fn name(place: &Place) -> String {
    place.path().file_name().expect("a name").to_string_lossy().replace("husk-test", "killed")
}

/// Waits until a container of that name has no cgroup.
#[track_caller]
fn all_cgroups_go(name: &str) {
    until("its cgroups go", || cgroups(name).is_empty());
}

const NOBODY_LIMITS: &str = "only root can be sure to have cgroups of its own";

#[test]
fn no_cgroup_after_a_kill() {
    if !is_root() {
        skip!("no_cgroup_after_a_kill", "{NOBODY_LIMITS}");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("box");
    let name = name(&place);
    let options = ["-q", "-m", "64m", "--name", &name];
    // Once the guard stands, it removes what there is, without anybody's help.
    for way in [&[][..], &["-t"], &["--init"], &["--share=pid"]] {
        let options = [&options, way].concat();
        let mut running = caller.shell(&options, &root, "echo there; exec sleep 100").start();
        running.wait_for("there");
        assert!(!cgroups(&name).is_empty(), "{way:?}");
        running.signal(Signal::KILL);
        running.finish().exits(137);
        all_cgroups_go(&name);
    }
    // Before that, the next run does.
    for number in 0..60_u64 {
        let micros = Duration::from_micros((number * 7_919) % 9_000);
        assert_eq!(shoot(&caller, &root, &options, Signal::KILL, micros), 137);
        if number % 10 == 9 {
            caller.husk(["run"]).args(options).arg(&root).arg("true").run().succeeds();
            all_cgroups_go(&name);
        }
    }
}

/// A cgroup in which only this test makes others, so that no other test's runs clean up in it. Goes with its owner.
struct Parent(String);

impl Parent {
    fn new(name: &str) -> Self {
        let parent = Self(format!("/{name}"));
        parent.directories().iter().for_each(|directory| fs::create_dir(directory).expect("a cgroup"));
        parent
    }

    fn directories(&self) -> Vec<PathBuf> {
        let all =
            ["", "/memory", "/pids"].map(|of| Path::new("/sys/fs/cgroup").join(of.trim_start_matches('/')));
        let mounted = all.iter().filter(|mount| mount.join("cgroup.procs").exists());
        mounted.map(|mount| mount.join(&self.0[1..])).collect()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        self.directories().iter().for_each(|directory| drop(fs::remove_dir(directory)));
    }
}

#[test]
fn no_cgroup_after_a_kill_of_husk_and_its_guard() {
    let test = "no_cgroup_after_a_kill_of_husk_and_its_guard";
    if !is_root() {
        skip!(test, "{NOBODY_LIMITS}");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("box");
    let name = name(&place);
    let own = Parent::new(&format!("parent-of-{name}"));
    let options = ["-q", "-m", "64m", "--cgroup-parent", &own.0, "--name", &name];
    let mut running = caller.shell(&options, &root, "echo there; exec sleep 100").start();
    running.wait_for("there");
    let husk = running.pid();
    let made = cgroups(&name);
    assert!(made.iter().all(|(maker, _)| *maker == husk) && !made.is_empty(), "{husk}: {made:?}");
    // The guard is husk's child that is in no cgroup of the container's.
    let children = fs::read_to_string(format!("/proc/{husk}/task/{husk}/children")).expect("children");
    let inside = made.iter().flat_map(|(_, path)| fs::read_to_string(path.join("cgroup.procs")));
    let inside: Vec<String> =
        inside.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let guards: Vec<_> =
        children.split_whitespace().filter(|pid| !inside.contains(&(*pid).to_owned())).collect();
    assert_eq!(guards.len(), 1, "{children}: {inside:?}");
    // Another run beside it leaves what is in use alone.
    caller
        .husk(["run", "-q", "-m", "64m", "--cgroup-parent", &own.0])
        .arg(&root)
        .arg("true")
        .run()
        .succeeds();
    assert_eq!(cgroups(&name), made);
    for pid in guards {
        let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(pid, Signal::KILL).expect("the guard is killed");
    }
    running.signal(Signal::KILL);
    running.finish().exits(137);
    assert_eq!(cgroups(&name), made, "nobody is there to remove it");
    // The kernel takes the container's processes away after husk, which is waited for.
    let is_in_use =
        |path: &PathBuf| fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|text| !text.is_empty());
    until("the container's processes go", || !made.iter().any(|(_, path)| is_in_use(path)));
    caller
        .husk(["run", "-q", "-m", "64m", "--cgroup-parent", &own.0])
        .arg(&root)
        .arg("true")
        .run()
        .succeeds();
    all_cgroups_go(&name);
}

#[test]
fn cgroups_that_a_container_has_made_go_too() {
    if !is_root() {
        skip!("cgroups_that_a_container_has_made_go_too", "{NOBODY_LIMITS}");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("box");
    let name = name(&place);
    for signal in [Signal::TERM, Signal::KILL] {
        let options = ["-q", "-m", "64m", "--name", &name];
        let mut running = caller.shell(&options, &root, "echo there; exec sleep 100").start();
        running.wait_for("there");
        for (_, path) in cgroups(&name) {
            // As deep and wide as somebody inside could, who has been given a part of it.
            for below in ["a/b/c/d/e", "a/b/f", "g", "h/i"] {
                fs::create_dir_all(path.join(below)).expect("a cgroup below");
            }
        }
        running.signal(signal);
        running.finish();
        all_cgroups_go(&name);
    }
}
