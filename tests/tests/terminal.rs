// SPDX-License-Identifier: Apache-2.0
//! Terminals and pipes: a real terminal, typed into and looked at, and streams that are to stay as they are.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use husk_tests::{Caller, Outside, Place, Signal, Terminal, descendant, is_idle, skip, until};
use rustix::process::{Pid, kill_process};

/// The prompt of a container's root.
const INSIDE: &str = "/ #";
const HOST: &str = "HOST>";

/// Leaves a test that needs a terminal where there is none to have.
macro_rules! needs_terminal {
    ($name:literal) => {
        if !Terminal::is_possible() {
            skip!($name, "tmux is not in /usr/bin");
        }
    };
}

/// The husk that runs in the terminal: the child of its shell. Its own children have the same name.
#[track_caller]
fn husk_in(terminal: &Terminal<'_, '_>) -> Pid {
    let device = fs::metadata(terminal.device()).expect("the terminal").rdev();
    for _ in 0..500 {
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // pid (name) state parent group session terminal …
            let Some((before, after)) = stat.split_once(" (husk) ") else { continue };
            let its_terminal = after.split(' ').nth(4).and_then(|number| number.parse().ok());
            if its_terminal == Some(device) {
                return Pid::from_raw(before.parse().expect("a number")).expect("not zero");
            }
        }
        sleep(Duration::from_millis(10));
    }
    panic!("no husk in the terminal:\n{}", terminal.screen());
}

/// Starts a shell in a container and waits for its prompt.
#[track_caller]
fn enter(terminal: &Terminal<'_, '_>, options: &str) {
    terminal.type_line(&format!("../husk run -q {options} box"));
    // Its shell asks for the position of the cursor, and a slow answer may be seen behind the prompt.
    terminal.wait_for(INSIDE);
}

/// A shell at a stop is in the foreground, and hands the terminal back without a word.
#[test]
fn a_shell_at_a_stop_leaves_no_trace_on_the_terminal() {
    needs_terminal!("a_shell_at_a_stop_leaves_no_trace_on_the_terminal");
    let place = Place::new();
    for caller in place.callers() {
        caller.root("box");
        let terminal = Terminal::new(&caller);
        for stage in ["namespaces", "pivot"] {
            terminal.type_line(&format!("../husk step run -q --until {stage} box true"));
            terminal.wait_for("go on;");
            terminal.type_line("s");
            terminal.wait_for(&format!("{stage} #"));
            terminal.type_line("sleep 1000");
            sleep(Duration::from_millis(300));
            terminal.press("C-c");
            terminal.type_line("echo still-$((40 + 2)); exit");
            terminal.wait_for("still-42\nEnter: go on;");
            terminal.type_line("q");
            terminal.wait_for_prompt(HOST);
            assert!(!terminal.history().contains("process group"), "{}", terminal.history());
            terminal.clear();
        }
    }
}

/// An error is broken between words where the terminal ends, and a command in it stays whole.
#[test]
fn an_error_fits_the_terminal() {
    needs_terminal!("an_error_fits_the_terminal");
    let place = Place::new();
    let caller = place.ordinary();
    let terminal = Terminal::new(&caller);
    terminal.resize(60, 24);
    terminal.type_line("clear; ../husk why nobody-knows-this-one");
    terminal.wait_for("and tells");
    let screen = terminal.screen();
    for line in [
        "husk: looking for a failure: none of a container",
        "      nobody-knows-this-one is known, and none of that name",
        "      runs",
        "  hint: of an engine's container that has ended only the",
        "        engine knows; husk why run --bundle DIR runs its OCI",
        "        bundle again, and tells",
    ] {
        assert!(screen.lines().any(|shown| shown.trim_end() == line), "{line:?} in\n{screen}");
    }
}

#[test]
fn a_prompt_on_a_terminal_of_its_own() {
    needs_terminal!("a_prompt_on_a_terminal_of_its_own");
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let terminal = Terminal::new(&caller);
        enter(&terminal, "");
        terminal.type_line(
            "(tty; stat -L -c '%d' /proc/self/fd/0 /proc/self/fd/2 /dev/console) > /s; mv /s /seen",
        );
        let seen = terminal.file(&root.join("seen"));
        let devpts = fs::metadata(terminal.device()).expect("the terminal").dev().to_string();
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines[0], "/dev/pts/0", "{seen}");
        assert_eq!(lines.len(), 4, "{seen}");
        assert!(!lines[1..].contains(&&*devpts), "the caller's own terminal is inside: {seen}, {devpts}");
        // What is written to the console and to /dev/tty is on the screen.
        terminal.type_line("echo con''sole > /dev/console; echo the t''ty > /dev/tty");
        terminal.wait_for("console");
        terminal.wait_for("the tty");
        terminal.type_line("exit 3");
        terminal.wait_for_prompt(HOST);
        terminal.type_line("echo status=$?");
        terminal.wait_for("status=3");
    }
}

#[test]
fn job_control_works() {
    needs_terminal!("job_control_works");
    let place = Place::new();
    for caller in place.callers() {
        caller.root("box");
        for init in ["", "--init"] {
            let terminal = Terminal::new(&caller);
            enter(&terminal, init);
            terminal.type_line("sleep 100 &");
            terminal.type_line("jobs; echo list''ed");
            terminal.wait_for("listed");
            terminal.wait_for("Running");
            terminal.type_line("clear; fg");
            terminal.wait_for_screen("sleep 100");
            terminal.press("C-z");
            terminal.wait_for("Stopped");
            terminal.type_line("clear; fg; echo status=$?; echo still $((40 + 2))");
            terminal.wait_for_screen("sleep 100");
            terminal.press("C-c");
            terminal.wait_for_prompt(INSIDE);
            // Control-C ended the job, and not the shell; the rest of its line is given up as by any shell.
            terminal.type_line("jobs; echo pid $$ alive''");
            terminal.wait_for("alive");
            assert!(!terminal.screen().contains("Stopped"), "{}", terminal.screen());
            terminal.type_line("exit");
            terminal.wait_for_prompt(HOST);
        }
    }
}

#[test]
fn the_size_follows() {
    needs_terminal!("the_size_follows");
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let terminal = Terminal::new(&caller);
        enter(&terminal, "");
        terminal.type_line("stty size > /size");
        assert_eq!(terminal.file(&root.join("size")), "30 100\n");
        let script = "trap 'stty size > /resized' WINCH; echo rea''dy; while :; do sleep 0.1; done";
        terminal.type_line(&format!("sh -c \"{script}\""));
        terminal.wait_for("ready");
        terminal.resize(77, 22);
        assert_eq!(terminal.file(&root.join("resized")), "22 77\n");
    }
}

#[test]
fn a_command_without_a_shell_is_interrupted() {
    needs_terminal!("a_command_without_a_shell_is_interrupted");
    let place = Place::new();
    for caller in place.callers() {
        caller.root("box");
        let terminal = Terminal::new(&caller);
        for command in ["sleep 100", "sleep 100 | cat", "sh -c 'sleep 100; true'"] {
            for init in ["", "--init"] {
                terminal.clear();
                terminal.type_line(&format!("../husk run -q {init} box {command}"));
                husk_in(&terminal);
                sleep(Duration::from_millis(150));
                terminal.press("C-c");
                terminal.wait_for_prompt(HOST);
                if !command.contains('|') {
                    terminal.type_line("echo status=$?");
                    terminal.wait_for("status=130");
                }
            }
        }
    }
}

/// How a container may end.
fn endings() -> [(&'static str, Option<Signal>); 7] {
    [
        ("box sh -c 'stty raw -echo; exit 3'", None),
        ("box nothing", None),
        ("nowhere", None),
        ("--workdir /nowhere box", None),
        ("box sleep 100", Some(Signal::TERM)),
        ("box sh -c 'stty raw -echo; sleep 100'", Some(Signal::KILL)),
        ("--init box sleep 100", Some(Signal::KILL)),
    ]
}

#[test]
fn the_terminal_is_restored_whatever_happens() {
    needs_terminal!("the_terminal_is_restored_whatever_happens");
    let place = Place::new();
    for caller in place.callers() {
        caller.root("box");
        let terminal = Terminal::new(&caller);
        let before = terminal.settings();
        let outside = Outside::look(&place);
        for (words, signal) in endings() {
            terminal.clear();
            terminal.type_line(&format!("../husk run -q {words}"));
            if let Some(signal) = signal {
                let husk = husk_in(&terminal);
                // Long enough for the terminal to be raw.
                sleep(Duration::from_millis(200));
                kill_process(husk, signal).expect("husk runs");
            }
            terminal.wait_for_prompt(HOST);
            // The guard needs a moment. The shell leaves the settings alone.
            until(&format!("restored after husk run {words}, {signal:?}"), || terminal.settings() == before);
            outside.is_unchanged(&place);
        }
    }
}

#[test]
fn a_terminal_that_is_closed_ends_the_container() {
    needs_terminal!("a_terminal_that_is_closed_ends_the_container");
    let place = Place::new();
    for caller in place.callers() {
        caller.root("box");
        let outside = Outside::look(&place);
        for command in ["", "sleep 100", "sh -c 'while :; do echo; done'"] {
            let terminal = Terminal::new(&caller);
            terminal.type_line(&format!("../husk run -q box {command}"));
            husk_in(&terminal);
            sleep(Duration::from_millis(150));
            terminal.close();
            let _ = fs::remove_file(caller.home().join("tmux.sock"));
            outside.is_unchanged(&place);
        }
    }
}

#[test]
fn raw_programs_get_every_key() {
    needs_terminal!("raw_programs_get_every_key");
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let terminal = Terminal::new(&caller);
        let raw = "stty raw -echo; echo rea''dy; dd bs=1 count=5 of=/keys 2>/dev/null; echo >> /keys";
        // Also when husk is late to hear of the terminal: by then the command has made it raw.
        let late = "strace -qq -o /dev/null -e inject=recvmsg:delay_enter=200000 ";
        let late = if Path::new("/usr/bin/strace").exists() { late } else { "" };
        for through in ["", late] {
            terminal.clear();
            let _ = fs::remove_file(root.join("keys"));
            terminal.type_line(&format!("{through}../husk run -q box sh -c \"{raw}\""));
            terminal.wait_for("ready");
            for key in ["Escape", "C-c", "C-z", "C-d", "x"] {
                terminal.press(key);
            }
            assert_eq!(terminal.file(&root.join("keys")), "\u{1b}\u{3}\u{1a}\u{4}x\n");
            terminal.wait_for_prompt(HOST);
        }
        terminal.type_line("../husk run -q box vi /note");
        terminal.wait_for("~");
        terminal.press("i");
        terminal.type_line("written in vi");
        terminal.press("Escape");
        // With a key right after it, it would be the beginning of an arrow key.
        sleep(Duration::from_millis(500));
        terminal.type_line(":wq");
        assert_eq!(terminal.file(&root.join("note")), "written in vi\n\n");
        terminal.wait_for_prompt(HOST);
    }
}

#[test]
fn a_pipe_beside_a_terminal_stays_a_pipe() {
    needs_terminal!("a_pipe_beside_a_terminal_stays_a_pipe");
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let terminal = Terminal::new(&caller);
        let before = terminal.settings();
        fs::write(root.join("data"), noise()).expect("data");
        // Out of it, with the terminal as standard input; into it, with the terminal as standard output.
        terminal.type_line("../husk run -q box cat /data | md5sum > out; md5sum < box/data > there");
        let there = terminal.file(&caller.home().join("there"));
        assert_eq!(terminal.file(&caller.home().join("out")), there);
        terminal.type_line("cat box/data | ../husk run -q box md5sum");
        terminal.wait_for(there.trim());
        // A reader that goes away ends it.
        terminal.clear();
        terminal.type_line("../husk run -q box yes | head -1; echo it is o''ver");
        terminal.wait_for("it is over");
        // What is typed is echoed once, and once by cat; Control-D is the end.
        terminal.clear();
        // Not cat itself: busybox's uses sendfile(2), and with that Linux keeps the pipe locked while it waits for the terminal.
        let copy = "echo ready''; while read line; do echo \\$line; done";
        terminal.type_line(&format!("../husk run -q box sh -c \"{copy}\" | cat; echo it is o''ver"));
        terminal.wait_for("\nready");
        terminal.type_line("xyzzy");
        terminal.wait_for("xyzzy\nxyzzy");
        terminal.press("C-d");
        terminal.wait_for("it is over");
        assert_eq!(terminal.screen().matches("xyzzy").count(), 2, "{}", terminal.screen());
        assert_eq!(terminal.settings(), before);
    }
}

#[test]
fn the_callers_terminal_is_out_of_reach() {
    needs_terminal!("the_callers_terminal_is_out_of_reach");
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let terminal = Terminal::new(&caller);
        // With no standard stream on it, the caller's terminal would still be the session's.
        let script = "(: < /dev/tty) 2> /dev/null && echo open > /seen || echo refused > /seen";
        terminal.type_line(&format!("../husk run -q box sh -c '{script}' < /dev/null > /dev/null 2>&1"));
        assert_eq!(terminal.file(&root.join("seen")), "refused\n");
        // The twin: a terminal of its own can be opened.
        terminal.type_line("../husk run -q box sh -c '(: < /dev/tty) && echo open > /own'");
        assert_eq!(terminal.file(&root.join("own")), "open\n");
    }
}

#[test]
fn in_the_background_husk_waits_to_be_brought_back() {
    needs_terminal!("in_the_background_husk_waits_to_be_brought_back");
    let place = Place::new();
    let caller = &place.callers()[0];
    caller.root("box");
    let terminal = Terminal::new(caller);
    let before = terminal.settings();
    terminal.type_line("../husk run -q box sh &");
    husk_in(&terminal);
    sleep(Duration::from_millis(200));
    terminal.type_line("echo still the host''s");
    terminal.wait_for("still the hosts");
    terminal.type_line("fg");
    terminal.type_line("echo pid $$ ins''ide");
    terminal.wait_for("pid 1 inside");
    terminal.type_line("exit");
    terminal.wait_for_prompt(HOST);
    assert_eq!(terminal.settings(), before);
}

/// Whose job it was has gone: nobody can bring it to the foreground, and the kernel does not stop it but refuses.
#[test]
fn in_the_background_of_nobody_husk_says_so() {
    needs_terminal!("in_the_background_of_nobody_husk_says_so");
    let place = Place::new();
    let caller = &place.callers()[0];
    caller.root("box");
    let terminal = Terminal::new(caller);
    let before = terminal.settings();
    terminal.type_line("sh -c '(sleep 0.3; ../husk run -q box sh; echo status=$?) </dev/tty &' &");
    terminal.wait_for("status=125");
    let said = terminal.history().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("tcsetattr of the terminal on standard input: Input/output error"), "{said}");
    assert!(
        said.contains("it is in the background, and nobody is left to bring it to the foreground"),
        "{said}"
    );
    assert_eq!(terminal.settings(), before);
}

/// Ten megabytes that no two chunks of are alike, with every byte in them.
fn noise() -> Vec<u8> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..10_000_000 / 8).flat_map(|_| next()).collect()
}

/// `sh -c SCRIPT` of the host's, in the caller's home, with husk as `../husk` and a root as `box`.
fn sh(caller: &Caller<'_>, script: &str) -> husk_tests::Output {
    caller.command("sh").args(["-c", script]).run()
}

#[test]
fn ten_megabytes_pass_unchanged_both_ways() {
    let place = Place::new();
    for caller in place.callers() {
        caller.root("box");
        fs::write(caller.home().join("noise"), noise()).expect("data");
        for init in ["", "--init"] {
            let script = format!("cat noise | ../husk run -q {init} box cat | cmp - noise && echo same");
            sh(&caller, &script).prints("same\n").succeeds();
        }
        sh(&caller, "../husk run -q box cat < noise > copy; cmp noise copy && echo same").prints("same\n");
    }
}

#[test]
fn streams_that_are_closed_or_full() {
    let place = Place::new();
    for caller in place.callers() {
        caller.root("box");
        let run = |options: &str, rest: &str| sh(&caller, &format!("../husk run -q {options} box {rest}"));
        run("", "cat <&-").succeeds().prints("");
        run("", "echo lost >&-").succeeds().prints("");
        run("", "sh -c 'echo seen; echo lost >&2' 2>&-").succeeds().prints("seen\n");
        run("", "true <&- >&- 2>&-").succeeds();
        run("", "echo x > /dev/full").exits(1).says("No space left on device");
        run("", "yes | head -1").prints("y\n");
        run("", "nothing 2> /dev/full").exits(127);
        run("", "nothing 2>&-").exits(127);
        // Output that a background process of the container holds open ends with the container.
        run("", "sh -c 'sleep 100 & echo x' | cat").prints("x\n");
    }
}

#[test]
fn a_terminal_where_there_is_none() {
    let place = Place::new();
    for caller in place.callers() {
        caller.root("box");
        let run = |before: &str, rest: &str| sh(&caller, &format!("{before} ../husk run -q -t box {rest}"));
        run("", "tty < /dev/null").succeeds().prints("/dev/pts/0\r\n");
        run("", "sh -c 'tty <&2; exit 7' < /dev/null").exits(7).prints("/dev/pts/0\r\n");
        run("printf 'a line\\n' |", "sh -c 'stty -echo; cat'").succeeds();
        // The end of the input is the end, also in the midst of a line.
        for input in ["", "a line\\n", "half a line", "two\\nlines"] {
            let output = run(&format!("printf '{input}' |"), "cat");
            output.succeeds();
            let typed = input.replace("\\n", "\r\n");
            assert!(output.stdout.ends_with(&typed), "{output}");
        }
        // All of a long output comes, and a reader that goes away ends the command.
        run("", "sh -c 'seq 100000' < /dev/null | tail -1").prints("100000\r\n");
        run("", "yes < /dev/null | head -1").prints("y\r\n");
        run("", "cat <&-").succeeds();
    }
}

/// Whoever reads learns that the input has ended, also the second one, and one that has changed the terminal meanwhile.
#[test]
fn an_input_that_has_ended_stays_so() {
    let place = Place::new();
    // A user's further ids own a terminal that the user may not open.
    for caller in place.callers().into_iter().chain(place.with_subordinate_ids().ok()) {
        caller.root("box");
        let run = |options: &str, script: &str| {
            let words =
                format!("timeout -s KILL 20 ../husk run -q -t {options} box sh -c '{script}' < /dev/null");
            sh(&caller, &words)
        };
        run("", "cat; cat; echo both").succeeds().prints("both\r\n");
        // What is typed between the two is a key like others, and may be shown as one.
        let output = run("", "sleep 0.3; stty sane; cat; stty raw; stty sane; cat; echo all");
        assert!(output.succeeds().stdout.ends_with("all\r\n"), "{output}");
        // A prompt reads keys and not lines.
        let users = if caller.has_many_ids() { &["", "--user 7"][..] } else { &[""] };
        for options in users {
            let output = run(options, "sleep 0.3; sh -i; echo so it is $?");
            assert!(output.succeeds().stdout.ends_with("so it is 0\r\n"), "{output}");
        }
        // Who does not read is told once; who has read, and reads keys, once more, which is not to be echoed.
        let output = run(
            "",
            "sleep 0.7; stty -icanon -echo min 0 time 0; dd bs=100 count=1 2>/dev/null | od -An -tx1",
        );
        assert_eq!(output.succeeds().stdout.lines().next().map(str::trim), Some("00"), "{output}");
    }
}

#[test]
fn a_reader_that_stops_does_not_spin() {
    let place = Place::new();
    let caller = &place.callers()[0];
    let root = caller.root("box");
    let command = caller.husk(["run", "-q", "-t"]).arg(&root).args(["sleep", "100"]);
    // The terminal's output has no reader, its input has ended: nothing is left to do but to wait.
    let mut process = command.process();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut child = process.stdin(Stdio::null()).stdout(writer).spawn().expect("husk starts");
    descendant(child.id(), "sleep 100");
    until("husk sleeps while nothing happens", || is_idle(child.id()));
    kill_process(Pid::from_child(&child), Signal::TERM).expect("husk runs");
    let status = child.wait().expect("husk ends");
    assert_eq!(status.code(), Some(143));
}
