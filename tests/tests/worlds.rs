// SPDX-License-Identifier: Apache-2.0
//! The worlds that engines run in: what happens there stays there, and nothing is left.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use husk_engines::{Setting, World};
use husk_tests::{PATIENCE, is_root, skip};

const RUNTIME: &str = "/usr/sbin/runc";

/// Set for the process that is to be killed with a world in its hands.
const HOLD: &str = "HUSK_TEST_HOLDS_A_WORLD";

fn missing() -> Option<&'static str> {
    if !is_root() {
        return Some("a world has to be root's");
    }
    let programs = [RUNTIME, "/usr/bin/tini"];
    programs
        .iter()
        .any(|program| !Path::new(program).exists())
        .then_some("cargo xtask setup has not been run")
}

fn world() -> World {
    let setting = Setting { runtime: RUNTIME.into(), ..Setting::default() };
    World::start(&setting).expect("a world")
}

fn output(world: &mut World, typed: &str) -> String {
    world.must(typed).unwrap_or_else(|error| panic!("{error}"))
}

/// The cgroups with names like this.
fn cgroups(name: &str) -> String {
    let found = Command::new("find").args(["/sys/fs/cgroup", "-name", name]).output().expect("find runs");
    String::from_utf8_lossy(&found.stdout).into_owned()
}

#[test]
fn a_world_is_a_machine_of_its_own() {
    if let Some(reason) = missing() {
        skip!("a_world_is_a_machine_of_its_own", "{reason}");
    }
    let mut world = world();
    assert_eq!(output(&mut world, "hostname; cat /proc/1/comm; ip -o link | wc -l"), "engines\ntini\n1\n");
    let marked = format!("husk-test-{}", std::process::id());
    for place in ["/etc", "/var", "/opt", "/run", "/tmp", "/dev/shm"] {
        output(&mut world, &format!("echo here >{place}/{marked} && cat {place}/{marked}"));
        assert!(!Path::new(place).join(&marked).exists(), "{place} is the machine's own");
    }
    for place in ["/usr", "/root", "/"] {
        let outcome = world.run(&format!("touch {place}/{marked}")).expect("an outcome");
        assert!(outcome.status != 0 && outcome.stderr.contains("Read-only"), "{place}: {outcome:?}");
    }
    output(
        &mut world,
        "for file in $(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs); do mkdir ${file%/*}/made; done",
    );
    let name = world.name().to_owned();
    assert!(!cgroups(&name).is_empty(), "its cgroups are below one of its name");
    output(&mut world, "setsid sleep 1000 >/dev/null 2>&1 & mount -t tmpfs x /mnt");
    drop(world);
    assert_eq!(cgroups(&name), "", "with the world its cgroups go");
}

#[test]
fn a_step_says_what_came_of_it() {
    if let Some(reason) = missing() {
        skip!("a_step_says_what_came_of_it", "{reason}");
    }
    let mut world = world();
    let outcome = world.run("echo 'it'\\''s'; echo bad >&2; exit 7").expect("an outcome");
    assert_eq!((outcome.status, &*outcome.stdout, &*outcome.stderr), (7, "it's\n", "bad\n"));
    assert!(world.must("false").is_err());
    assert_eq!(output(&mut world, "cat"), "", "standard input is empty, not the next command");
    assert_eq!(output(&mut world, "await 2 sh -c 'echo x >>n; wc -l <n'"), "2\n");
}

#[test]
fn what_a_case_waits_for_may_take_its_time_and_is_named_when_it_does_not_come() {
    if let Some(reason) = missing() {
        skip!("what_a_case_waits_for_may_take_its_time_and_is_named_when_it_does_not_come", "{reason}");
    }
    let mut world = world();
    // A prompt that takes long, what is typed on the screen a moment later, and then keys.
    let slow = "echo no prompt; sleep 6; printf '/ # '; stty -icanon -echo\n\
                typed=$(dd bs=1 count=4 2>/dev/null); sleep 1; printf %s \"$typed\"; read rest; echo \"[$rest]\"\n\
                sleep 1; printf '/ # '; key=$(dd bs=1 count=1 2>/dev/null); echo \"key $key\"; exit 3\n";
    world.write_file("slow", slow).expect("the world listens");
    let screen = output(&mut world, "terminal 'sh slow' abcd 'see:/ #' key:x");
    assert_eq!(screen, "no prompt\n/ # abcd[]\n/ # key x\nstatus 3\n");
    let fails = |world: &mut World, typed: &str| {
        let outcome = world.run(typed).expect("an outcome");
        assert_eq!(outcome.status, 1, "{typed}: {outcome:?}");
        outcome.stdout
    };
    assert_eq!(fails(&mut world, "PATIENCE=1 await 2 echo 1"), "await: 1 instead of 2: echo 1\n");
    let screen = fails(&mut world, "PATIENCE=1 terminal 'echo up; sleep 100' see:down");
    assert_eq!(screen, "up\nterminal: in vain: the last line is to end with down\n");
    // A daemon that answers, one that does not, and one that has ended.
    assert_eq!(output(&mut world, "sleep 100 & started $! true"), "");
    let unheard = fails(&mut world, "echo why >log; sleep 100 & PATIENCE=1 started $! false");
    assert_eq!(unheard, "started: in vain: false\nwhy\n");
    assert_eq!(fails(&mut world, "true & started $! false"), unheard);
}

#[test]
fn what_was_mounted_before_is_not_left_behind() {
    if let Some(reason) = missing() {
        skip!("what_was_mounted_before_is_not_left_behind", "{reason}");
    }
    let mut world = world();
    assert_eq!(output(&mut world, "left"), "");
    let mount = "mkdir -p rootfs && mount -t tmpfs x rootfs && PATIENCE=0 left";
    assert_eq!(output(&mut world, mount), "/tmp/engines/rootfs\n");
    assert_eq!(output(&mut world, "cut -d' ' -f2 /proc/mounts >mounts && left"), "");
}

#[test]
fn a_killed_harness_leaves_nothing() {
    if let Some(reason) = missing() {
        skip!("a_killed_harness_leaves_nothing", "{reason}");
    }
    if std::env::var_os(HOLD).is_some() {
        let mut world = world();
        output(&mut world, "setsid sleep 1000 >/dev/null 2>&1 & true");
        // Longer than a step may take, and so until it is killed.
        let _ = world.run("sleep 1000");
        return;
    }
    let mut harness = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", "a_killed_harness_leaves_nothing"])
        .env(HOLD, "1")
        .stdout(Stdio::null())
        .spawn()
        .expect("this program runs");
    let pid = harness.id();
    let remains = || cgroups(&format!("husk-engines-{pid}-*"));
    let until = |is_so: &dyn Fn() -> bool, what: &str| {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", remains());
            sleep(Duration::from_millis(20));
        }
    };
    let guard = || {
        let children = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(children).into_iter().flatten().flatten();
        let pids = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        pids.collect::<String>().split_whitespace().next().map(str::to_owned)
    };
    until(&|| !remains().is_empty(), "the world does not come up");
    until(&|| guard().is_some(), "there is no guard");
    let guard = guard().expect("there is a guard");
    harness.kill().expect("it is killed");
    harness.wait().expect("it has ended");
    let begin = Instant::now();
    while !remains().is_empty() || Path::new("/proc").join(&guard).exists() {
        assert!(begin.elapsed() < PATIENCE, "left: {}", remains());
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_world_that_has_ended_is_noticed() {
    if let Some(reason) = missing() {
        skip!("a_world_that_has_ended_is_noticed", "{reason}");
    }
    let mut world = world();
    let error = world.run("kill -9 -1").expect_err("nothing is left to answer").to_string();
    assert!(error.contains("has ended"), "{error}");
}
