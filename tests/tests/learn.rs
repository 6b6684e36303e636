// SPDX-License-Identifier: Apache-2.0
//! The lessons, as a person goes through them: husk in one terminal, and in another whatever it says is to be typed.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use husk_tests::{Caller, Outside, PATIENCE, Place, Terminal, copy_program, is_root, note_skip, skip, until};

/// How many lessons there are.
const LESSONS: usize = 15;

/// Leaves a test that needs a terminal where there is none to have.
macro_rules! needs_terminal {
    ($name:literal) => {
        if !Terminal::is_possible() {
            skip!($name, "tmux is not in /usr/bin");
        }
        if !Path::new("/usr/bin/busybox").exists() {
            skip!($name, "busybox is not in /usr/bin");
        }
    };
}

/// Two terminals on one desk.
struct Desk<'c, 'p> {
    husk: Terminal<'c, 'p>,
    hands: Terminal<'c, 'p>,
    directory: PathBuf,
}

/// A lesson as it stands on the screen.
#[derive(Debug, PartialEq, Eq)]
struct Lesson {
    number: usize,
    commands: Vec<String>,
}

impl<'c, 'p> Desk<'c, 'p> {
    /// With `husk learn` started in a new directory of the caller's; the other terminal is elsewhere, as it may well be.
    fn new(caller: &'c Caller<'p>) -> Self {
        let husk = Terminal::new(caller);
        let hands = husk.beside();
        let directory = caller.home().join("my lessons");
        husk.type_line("mkdir 'my lessons' && cd 'my lessons' && clear && ../../husk learn");
        let desk = Self { husk, hands, directory };
        desk.husk.wait_for("watching");
        desk
    }

    fn tree(&self) -> PathBuf {
        self.directory.join("mycontainer")
    }

    /// The last lesson that husk has begun.
    fn lesson(&self) -> Option<Lesson> {
        let history = self.husk.history();
        let heading = |line: &str| line.split_once(&format!(" of {LESSONS}  "))?.0.parse::<usize>().ok();
        let lines: Vec<&str> = history.lines().collect();
        let (from, number) =
            lines.iter().enumerate().rev().find_map(|(at, line)| Some((at, heading(line)?)))?;
        let is_command = |line: &&&str| line.starts_with("      ") && !line.starts_with("       ");
        let commands = lines[from..].iter().filter(is_command).map(|line| line.trim().to_owned()).collect();
        Some(Lesson { number, commands })
    }

    #[track_caller]
    fn wait_for_lesson(&self, is_meant: impl Fn(&Lesson) -> bool) -> Lesson {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(lesson) = self.lesson().filter(&is_meant) {
                return lesson;
            }
            assert!(
                Instant::now() < until,
                "husk does not go on:\n{}\n-- the other terminal\n{}",
                self.husk.history(),
                self.hands.history()
            );
            sleep(Duration::from_millis(50));
        }
    }

    /// Types what stands on husk's screen, a line at a time, each when the shell is ready for it.
    #[track_caller]
    fn obey(&self, lesson: &Lesson) {
        assert!(!lesson.commands.is_empty(), "nothing to type:\n{}", self.husk.history());
        lesson.commands.iter().for_each(|command| self.type_by_hand(command));
    }

    #[track_caller]
    fn type_by_hand(&self, line: &str) {
        self.wait_until_ready(0);
        let before = self.hands.history().lines().count();
        self.hands.type_line(line);
        // Some lines start another shell; what is typed before it reads may be lost.
        self.wait_until_ready(before);
    }

    /// Waits for a prompt below this many lines.
    #[track_caller]
    fn wait_until_ready(&self, lines: usize) {
        let is_ready = |text: &str| text.lines().count() > lines && text.ends_with(['>', '#']);
        until("a prompt", || is_ready(&self.hands.history()));
    }

    /// What a command prints in the container, read through a file in it.
    #[track_caller]
    fn inside(&self, command: &str) -> String {
        self.type_by_hand(&format!("({command}) > /answer.new; busybox mv /answer.new /answer"));
        let answer = self.tree().join("answer");
        let text = self.hands.file(&answer);
        fs::remove_file(answer).expect("the answer");
        text
    }

    /// Does the lessons from `first` to `last`.
    #[track_caller]
    fn learn(&self, first: usize, last: usize) {
        let mut next = first;
        while next <= last {
            let lesson = self.wait_for_lesson(|lesson| lesson.number >= next && !lesson.commands.is_empty());
            self.obey(&lesson);
            if lesson.number == 5 {
                assert!(self.hands.screen().contains("\n0\n"), "{}", self.hands.screen());
                self.husk.press("Enter");
            }
            if lesson.number == 9 {
                assert!(self.hands.screen().contains("\nsag\n"), "{}", self.hands.screen());
                self.husk.press("Enter");
            }
            next = lesson.number + 1;
        }
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        self.wait_while(text, || sleep(Duration::from_millis(50)));
    }

    /// Asks for hints until this one comes: what was typed on the other terminal may take a while to show.
    #[track_caller]
    fn ask_for(&self, hint: &str) {
        self.wait_while(hint, || {
            sleep(Duration::from_millis(600));
            self.husk.type_line("h");
            sleep(Duration::from_millis(600));
        });
    }

    #[track_caller]
    fn wait_while(&self, text: &str, next: impl Fn()) {
        let until = Instant::now() + PATIENCE;
        // The screen wraps lines between words.
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        while !flat(&self.husk.history()).contains(text) {
            assert!(
                Instant::now() < until,
                "{text:?} does not come:\n{}\n-- the other terminal\n{}",
                self.husk.history(),
                self.hands.history()
            );
            next();
        }
    }
}

/// Root where nothing that goes wrong can harm the machine, with mounts as systemd shares them; and an ordinary user.
fn people(place: &Place) -> Vec<Caller<'_>> {
    fn safe(caller: Caller<'_>) -> Caller<'_> {
        if caller.is_root() { caller.contained_with_shared_mounts() } else { caller }
    }
    place.callers().into_iter().map(safe).collect()
}

#[test]
fn who_does_what_husk_says_has_a_container_in_the_end() {
    needs_terminal!("who_does_what_husk_says_has_a_container_in_the_end");
    let place = Place::new();
    let people = people(&place);
    let before = Outside::look(&place);
    for caller in &people {
        let desk = Desk::new(caller);
        desk.learn(1, LESSONS);
        desk.wait_for("It has what a container needs.");
        desk.wait_for("you have made it");
        desk.husk.wait_for_prompt("HOST>");

        let typed = desk.hands.history();
        for complaint in ["not found", "No such", "ermitted", "denied", "nvalid", "cannot", "usage", "Usage"]
        {
            assert!(!typed.contains(complaint), "{caller}: not every line worked:\n{typed}");
        }

        // A container indeed, as its inside has it, whatever husk says.
        assert_eq!(desk.inside("echo $$"), "1\n", "{caller}");
        assert_eq!(desk.inside("hostname"), "sag\n", "{caller}");
        assert_eq!(desk.inside("ls / | busybox grep -v answer"), "bin\nmine\nmore\nold\nproc\n", "{caller}");
        assert_eq!(desk.inside("ls /old /proc/1/root/old | busybox wc -l"), "3\n", "{caller}: two headings");
        assert_eq!(desk.inside("busybox grep -c : /proc/net/dev"), "1\n", "{caller}: only lo");
        assert_eq!(desk.inside("busybox id -u"), "0\n", "{caller}");
        let map = desk.inside("echo $(cat /proc/self/uid_map)");
        match caller.is_root() {
            true => assert_eq!(map, "0 0 4294967295\n"),
            false => assert_eq!(map, format!("0 {} 1\n", caller.uid())),
        }
        let mounts = desk.inside("cat /proc/self/mountinfo");
        assert!(!mounts.contains("shared:") && mounts.lines().count() == 3, "{caller}: {mounts}");

        // husk sees the same.
        desk.husk.type_line("../../husk learn --check > check.new; echo $? >> check.new; mv check.new check");
        let graded = desk.husk.file(&desk.directory.join("check"));
        let passed = graded.lines().filter(|line| line.trim_start().starts_with("passed")).count();
        let own_users = usize::from(!caller.is_root());
        assert!(passed >= 9 + own_users && graded.ends_with("needs.\n0\n"), "{caller}: {graded}");

        desk.type_by_hand("exit");
        assert!(desk.hands.screen().ends_with("HOST>"), "{}", desk.hands.screen());
        drop(desk);
        fs::remove_dir_all(caller.home().join("my lessons")).expect("the directory, without a mount in it");
    }
    before.is_unchanged(&place);
}

#[test]
fn a_wrong_step_gets_a_hint() {
    needs_terminal!("a_wrong_step_gets_a_hint");
    let place = Place::new();
    for caller in &people(&place) {
        let desk = Desk::new(caller);
        // In another directory; husk says so by itself after a while.
        desk.type_by_hand("mkdir -p other/mycontainer/bin && cd other");
        desk.wait_for("hint There is a new directory");
        desk.husk.type_line("s");
        desk.wait_for("it cannot be passed over");
        desk.learn(1, 3);

        let lesson = desk.wait_for_lesson(|lesson| lesson.number == 4 && !lesson.commands.is_empty());
        let right = lesson.commands.concat();
        for (wrong, hint) in [
            (
                right.replace("--fork --mount-proc", ""),
                "only its children will be, which is what --fork is for",
            ),
            (right.replace("--pid", "").replace("--mount-proc", ""), "but none for process numbers"),
            (right.replace("--uts --ipc", ""), "but shares uts and ipc with the host"),
            (right.replace("--mount-proc", ""), "--mount-proc was left out"),
            (format!("cd /; {right}"), "but it is in /, and the lessons are in"),
        ] {
            assert_ne!(wrong, right, "the lesson has changed");
            desk.hands.type_line(&wrong);
            desk.ask_for(hint);
            desk.type_by_hand("exit");
        }
        assert_eq!(desk.lesson().map(|lesson| lesson.number), Some(4), "{}", desk.husk.history());
        if let Some(as_root) = (!caller.is_root()).then(|| as_root(&place)).flatten() {
            desk.hands.type_line(&format!("{} --uts --fork sleep 1000", as_root.display()));
            desk.ask_for("is an unshare of root's, and husk may not look into it");
            desk.hands.press("C-c");
            desk.hands.wait_for_prompt("HOST>");
        }
        desk.type_by_hand(&format!("cd '{}'", desk.directory.display()));
        desk.type_by_hand(&right);
        desk.wait_for_lesson(|lesson| lesson.number == 5);
    }
}

/// An `unshare` that makes its caller root, as `sudo unshare` does.
fn as_root(place: &Place) -> Option<PathBuf> {
    let path = place.path().join("unshare");
    if !is_root() {
        note_skip("a_wrong_step_gets_a_hint: sudo", "only root can make a program set-user-id");
        return None;
    }
    copy_program(Path::new("/usr/bin/unshare"), &path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).expect("chmod");
    let works = place.ordinary().command(&path).args(["--uts", "true"]).run().code() == 0;
    if !works {
        note_skip(
            "a_wrong_step_gets_a_hint: sudo",
            "set-user-id programs have no effect in the temporary directory",
        );
    }
    works.then_some(path)
}

/// A loader is not there in a root that has one program only.
#[test]
fn a_busybox_that_cannot_start_gets_a_hint() {
    needs_terminal!("a_busybox_that_cannot_start_gets_a_hint");
    let place = Place::new();
    let caller = place.callers().remove(0);
    let desk = Desk::new(&caller);
    desk.learn(1, 1);
    desk.wait_for_lesson(|lesson| lesson.number == 2);
    desk.type_by_hand("echo no program > mycontainer/bin/busybox");
    desk.wait_for("no program that this machine can start");
    desk.type_by_hand("cp /bin/sh mycontainer/bin/busybox");
    desk.wait_for("nobody may execute it: chmod +x mycontainer/bin/busybox");
    desk.type_by_hand("chmod +x mycontainer/bin/busybox");
    desk.wait_for("This busybox cannot start without /lib");
    assert_eq!(desk.lesson().map(|lesson| lesson.number), Some(2));
    desk.learn(2, 2);
    desk.wait_for_lesson(|lesson| lesson.number == 3);
}

#[test]
fn it_goes_on_where_one_stopped() {
    needs_terminal!("it_goes_on_where_one_stopped");
    let place = Place::new();
    for caller in &people(&place) {
        let desk = Desk::new(caller);
        desk.learn(1, 6);
        desk.wait_for_lesson(|lesson| lesson.number == 7);
        desk.husk.type_line("q");
        desk.husk.wait_for_prompt("HOST>");
        let again = |options: &str| {
            // What the last one said must not be taken for what this one says.
            desk.husk.type_line("cd; clear; printf '\\033[3J'");
            desk.husk.wait_for_screen("HOST>");
            desk.husk.type_line(&format!("../husk learn {options}"));
            desk.husk.wait_for("watching");
        };
        again("");
        desk.wait_for("Going on where you stopped");
        assert_eq!(desk.wait_for_lesson(|_| true).number, 7, "{}", desk.husk.history());
        desk.learn(7, 7);
        desk.wait_for_lesson(|lesson| lesson.number == 8);

        // The container ends. What it was built on is there, and what is to be built again is asked for again.
        desk.type_by_hand("exit");
        desk.wait_for("gone The shell in mycontainer is gone");
        desk.wait_for_lesson(|lesson| lesson.number == 7);
        desk.type_by_hand("exit");
        desk.wait_for("gone The container has ended");
        desk.wait_for_lesson(|lesson| lesson.number == 4);
        desk.learn(4, 7);
        desk.wait_for_lesson(|lesson| lesson.number == 8);
        desk.husk.type_line("q");
        desk.husk.wait_for_prompt("HOST>");

        // From the beginning, in the directory where husk is started.
        again("--restart");
        assert_eq!(desk.wait_for_lesson(|_| true).number, 1, "{}", desk.husk.history());
        let first = desk.wait_for_lesson(|_| true).commands.concat();
        assert!(first.starts_with(&format!("cd {}mkdir", caller.home().display())), "{first}");
    }
}

#[test]
fn grades_good_and_bad() {
    let place = Place::new();
    for caller in place.callers() {
        // A plain process.
        let mut plain = caller.command("sh").args(["-c", "echo up; read end"]).start();
        plain.wait_for("up\n");
        let check = |name: &str| caller.husk(["learn", "--check", name]).run();
        let graded = check(&plain.pid().to_string());
        graded.exits(1);
        for missing in
            ["own processes", "own mounts", "own root", "own /proc", "private mounts", "old root gone"]
        {
            assert!(has(&graded.stdout, "missing", missing), "{caller}: {missing}: {graded}");
        }
        assert!(graded.stdout.ends_with("It lacks something that a container needs.\n"), "{graded}");

        // husk's own.
        let root = caller.root("root");
        let name = format!("graded-{caller}-{}", std::process::id());
        let mut container = caller.shell(&["-q", "--name", &name], &root, "echo up; read end").start();
        container.wait_for("up\n");
        let graded = check(&name);
        graded.exits(0);
        for passed in
            ["own processes", "own root", "own /proc", "private mounts", "old root gone", "own network"]
        {
            assert!(has(&graded.stdout, "passed", passed), "{caller}: {passed}: {graded}");
        }
        for passed in ["own users", "few capabilities", "no new rights"] {
            assert!(has(&graded.stdout, "passed", passed), "{caller}: {passed}: {graded}");
        }
        assert!(has(&graded.stdout, "missing", "filtered calls"), "{caller}: {graded}");

        // One that was made by hand, with as much as the classic commands give it, and one with less.
        let user: &[&str] = if caller.is_root() { &[] } else { &["--user", "--map-root-user"] };
        let tree = root.display();
        let chroot = format!(
            "mount -t proc proc {tree}/proc && exec /usr/sbin/chroot {tree} /bin/sh -c 'echo up; read end'"
        );
        for (options, script, code, rows) in [
            (
                &["--pid", "--uts", "--ipc", "--mount", "--fork", "--mount-proc"][..],
                &chroot[..],
                0,
                [("passed", "own root"), ("passed", "own /proc"), ("missing", "old root gone")],
            ),
            (
                &["--pid", "--uts", "--mount", "--fork"],
                "echo up; read end",
                1,
                [("missing", "own IPC"), ("missing", "own /proc"), ("missing", "own root")],
            ),
        ] {
            let command = caller.command("unshare").args(user).args(options);
            let mut by_hand = command.args(["sh", "-c", script]).start();
            by_hand.wait_for("up\n");
            let graded = check(&by_hand.container().to_string());
            graded.exits(code);
            for (outcome, row) in rows {
                assert!(has(&graded.stdout, outcome, row), "{caller}: {row}: {graded}");
            }
            by_hand.write("\n");
            by_hand.finish();
        }
        if caller.is_root() {
            let ordinary = place.ordinary();
            let blind = ordinary.husk(["learn", "--check", &name]).run();
            blind.exits(1).says("only root may see: sudo husk learn --check");
            assert!(has(&blind.stdout, "?", "own mounts"), "{blind}");
        }
        container.write("\n");
        container.finish().succeeds();
        plain.write("\n");
        plain.finish();
    }
}

/// Whether a row of the grading begins like this.
fn has(graded: &str, outcome: &str, name: &str) -> bool {
    graded.lines().any(|line| line.starts_with(&format!("  {outcome:7}  {name}  ")))
}

#[test]
fn what_cannot_be_is_said() {
    let place = Place::new();
    for caller in place.callers() {
        caller
            .husk(["learn"])
            .run()
            .exits(1)
            .says("have to be a terminal")
            .says("hint: `husk learn --check`");
        caller
            .husk(["learn", "--check", "no-such"])
            .run()
            .exits(1)
            .says("there is no container with this name");
        caller.husk(["learn", "web"]).run().exits(1).says("--check");
    }
}
