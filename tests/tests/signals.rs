// SPDX-License-Identifier: Apache-2.0
//! Signals on their way to the command, exit statuses on their way back, and the small PID 1.
#![forbid(unsafe_code)]

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use husk_tests::{Outside, Place, Signal, is_idle, until};
use rustix::process::{Pid, kill_process};

const FORWARDED: [(Signal, &str); 8] = [
    (Signal::HUP, "HUP"),
    (Signal::INT, "INT"),
    (Signal::QUIT, "QUIT"),
    (Signal::TERM, "TERM"),
    (Signal::USR1, "USR1"),
    (Signal::USR2, "USR2"),
    (Signal::ALARM, "ALRM"),
    (Signal::WINCH, "WINCH"),
];

#[test]
fn signals_reach_the_command() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        for options in [&["-q"][..], &["-q", "--init"]] {
            let traps: String =
                FORWARDED.iter().map(|(_, name)| format!("trap 'echo got {name}' {name}; ")).collect();
            let script = format!("{traps} echo ready; while [ ! -e /stop ]; do sleep 0.02; done; exit 9");
            let _ = fs::remove_file(root.join("stop"));
            let mut running = caller.shell(options, &root, &script).start();
            running.wait_for("ready");
            for (signal, name) in FORWARDED {
                running.signal(signal);
                running.wait_for(&format!("got {name}"));
            }
            fs::write(root.join("stop"), "").expect("a file in the root");
            running.finish().exits(9);
        }
    }
}

#[test]
fn a_signal_that_nobody_handles_ends_the_container() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let before = Outside::look(&place);
        let cases = [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129), (Signal::QUIT, 131)];
        for (signal, status) in cases {
            for options in [&["-q"][..], &["-q", "--init"]] {
                // The kernel drops it on its way to a PID 1 without a handler: husk does what it would have done.
                let script = "echo ready; exec sleep 100";
                let mut running = caller.shell(options, &root, script).start();
                running.wait_for("ready");
                sleep(Duration::from_millis(20));
                running.signal(signal);
                running.finish().exits(status);
            }
        }
        before.is_unchanged(&place);
    }
}

#[test]
fn a_signal_that_is_ignored_ends_nothing() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let script = "trap '' TERM INT; echo ready; read line; echo $line";
        let mut running = caller.shell(&["-q"], &root, script).start();
        running.wait_for("ready");
        running.signal(Signal::TERM);
        running.signal(Signal::INT);
        sleep(Duration::from_millis(100));
        running.write("still here\n");
        running.finish().succeeds().prints("ready\nstill here\n");
    }
}

#[test]
fn a_signal_that_husk_was_started_to_ignore_ends_nothing() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let script = "echo ready; read line; echo $line";
        // As nohup does it, and a shell without job control for what runs in its background.
        let ignoring = ["env", "--ignore-signal=HUP,INT,QUIT"];
        for options in [&["-q"][..], &["-q", "--init"]] {
            let mut running = caller.shell(options, &root, script).through(ignoring).start();
            running.wait_for("ready");
            for signal in [Signal::HUP, Signal::INT, Signal::QUIT] {
                running.signal(signal);
            }
            sleep(Duration::from_millis(100));
            running.write("still here\n");
            running.finish().succeeds().prints("ready\nstill here\n");
        }
    }
}

#[test]
fn exit_statuses_pass() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        for options in [&["-q"][..], &["-q", "--init"], &["-q", "-t"]] {
            for status in [0, 1, 2, 125, 126, 127, 128, 200, 255] {
                caller.run(options, &root, &format!("exit {status}")).exits(status);
            }
            // A child of the command's, and the command itself under --init, die of real signals.
            caller.run(options, &root, "sh -c 'kill -TERM $$'; exit $?").exits(143);
        }
        caller.run(&["-q", "--init"], &root, "kill -KILL $$").exits(137);
        caller.run(&["-q", "--init"], &root, "kill -SEGV $$").exits(139);
    }
}

#[test]
fn the_small_pid_1_reaps_orphans() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        // Each child has a child and leaves it: two hundred orphans, of which none may stay, be it as a zombie.
        let script = "echo me $$; i=0; while [ $i -lt 200 ]; do (sleep 0.01 &) ; i=$((i + 1)); done; \
                      while cat /proc/[0-9]*/stat 2>/dev/null | grep -q '(sleep)'; do sleep 0.1; done; exit 5";
        let output = caller.run(&["-q", "--init"], &root, script);
        output.exits(5).prints("me 2\n");
        // The twin: a shell as PID 1 that waits for nothing has them all.
        let script = "echo me $$; (sleep 0.01 &); exec sh -c 'exec 3<&0; sleep 0.3 <&3; :' ";
        caller.run(&["-q"], &root, script).succeeds().prints("me 1\n");
        // It forwards to the command alone, ends with it, and what the command has left ends too.
        let output = caller.run(&["-q", "--init"], &root, "sleep 100 & exit 7");
        output.exits(7);
    }
}

#[test]
fn two_thousand_signals_do_not_wear_it_down() {
    let place = Place::new();
    let callers = place.callers();
    for caller in &callers {
        let root = caller.root("box");
        let before = Outside::look(&place);
        for options in [&["-q"][..], &["-q", "--init"], &["-q", "-t"]] {
            let script = "trap : USR1 USR2; trap 'exit 33' TERM; echo ready; while :; do sleep 0.05; done";
            let mut running = caller.shell(options, &root, script).start();
            running.wait_for("ready");
            let husk = Pid::from_raw(i32::try_from(running.pid()).expect("a pid")).expect("not zero");
            for number in 0..2_000 {
                let signal = [Signal::USR1, Signal::USR2, Signal::WINCH, Signal::ALARM][number % 3];
                kill_process(husk, signal).expect("husk runs");
            }
            until("husk sleeps while nothing happens", || is_idle(running.pid()));
            running.signal(Signal::TERM);
            running.finish().exits(33);
        }
        before.is_unchanged(&place);
    }
}

#[test]
fn a_stopped_husk_goes_on() {
    let place = Place::new();
    let caller = &place.callers()[0];
    let root = caller.root("box");
    let mut running = caller.shell(&["-q"], &root, "echo ready; read line; echo $line").start();
    running.wait_for("ready");
    running.signal(Signal::STOP);
    sleep(Duration::from_millis(50));
    running.write("after\n");
    running.signal(Signal::CONT);
    running.finish().succeeds().prints("ready\nafter\n");
}
