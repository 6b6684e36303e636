// SPDX-License-Identifier: Apache-2.0
//! Whatever happens, nothing is left: no process, no guard, no mount, no file, no claim on ids.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use husk_tests::{Caller, Outside, Place, Signal, is_root, skip};

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
    let script = "for signal in KILL TERM; do \"$@\" & husk=$!; sleep 0.2; grep -c husk/ids /proc/net/unix; \
                  kill -$signal $husk; wait $husk; done 2> /dev/null; sleep 0.2; grep -c husk/ids /proc/net/unix";
    let command = caller.husk(["run", "-q"]).arg(&root).args(["sleep", "100"]);
    let output = command.through(["unshare", "--net", "sh", "-c", script, "sh"]).run();
    output.prints("1\n1\n0\n");
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
