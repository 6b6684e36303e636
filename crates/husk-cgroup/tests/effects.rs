// SPDX-License-Identifier: Apache-2.0
//! Real cgroups: what limits do to processes, and that nothing is left. The same tests run on version 1, hybrid and
//! version 2, as root and as a user with a cgroup of his own (`cargo xtask test-v2`).
#![forbid(unsafe_code)]

mod container;
mod skip;
mod until;

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use container::{Container, End, is_machines, run};
use husk_cgroup::device::{Access, DEFAULT, Kind, Rule};
use husk_cgroup::limits::{Hierarchy, files};
use husk_cgroup::{CgroupError, OomEvent, Place};
use husk_spec::oci::{Cpu, Memory, Pids, Resources};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::process::{Signal, kill_process};
use skip::skip;
use until::until;

const M: i64 = 1 << 20;
const KILLED: End = End::Signal(9);

fn memory(limit: i64, swap: i64) -> Resources {
    let memory = Memory { limit: Some(limit), swap: Some(swap), ..Memory::default() };
    Resources { memory: Some(memory), ..Resources::default() }
}

fn pids(limit: i64) -> Resources {
    Resources { pids: Some(Pids { limit: Some(limit) }), ..Resources::default() }
}

fn cpu(cpu: Cpu) -> Resources {
    Resources { cpu: Some(cpu), ..Resources::default() }
}

#[track_caller]
fn set(place: &Place, resources: &Resources) {
    place.apply(&files(resources, place.version()).expect("limits").writes).expect("limits are taken");
}

fn value(place: &Place, controller: &str, v1: &str, v2: &str) -> String {
    let name = if place.version() == Hierarchy::V1 { v1 } else { v2 };
    let path = place.directory(controller).expect("a directory").path.join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim().to_owned()
}

#[test]
fn more_memory_than_the_limit_is_killed_and_told() {
    let test = "more_memory_than_the_limit_is_killed_and_told";
    let Some(container) = Container::new(test, &["memory"]) else { return };
    set(&container.place, &memory(64 * M, -1));
    // Without swap it is memory alone that counts, with it there is no end to it: so both.
    set(&container.place, &memory(32 * M, 32 * M));
    assert_eq!(container.shell("head -c 1000000 /dev/zero | tail -c 500000").wait(), End::Exit(0));
    assert_eq!(container.place.oom_kills(), Some(0));

    let mut watch = container.place.watch_oom().expect("it can be watched");
    assert_eq!(container.shell("exec tail /dev/zero").wait(), KILLED);
    let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&timeout)).expect("poll");
    assert_eq!((ready, watch.take()), (1, OomEvent::Oom));
    assert_eq!(container.place.oom_kills(), Some(1));
}

/// As in a scope of systemd's, which is taken away by others as soon as it is empty.
#[test]
fn a_kill_for_memory_is_known_when_the_cgroup_has_gone() {
    let test = "a_kill_for_memory_is_known_when_the_cgroup_has_gone";
    let is_known = |script: &str, kill: bool| {
        let container = Container::new(test, &["memory"])?;
        if container.place.version() == Hierarchy::V2 {
            skip(
                test,
                "on version 2 the cgroup above counts, and there is none here: tests of systemd's scopes",
            );
            return None;
        }
        set(&container.place, &memory(32 * M, 32 * M));
        let watch = container.place.watch_scope();
        let running = container.shell(script);
        if kill {
            kill_process(running.pid, Signal::KILL).expect("one's own child");
        }
        assert_eq!(running.wait(), KILLED);
        assert_eq!(watch.kills_of_killed().is_some(), !kill, "as long as it is there, it is asked");
        until("it can be removed", || container.place.remove().is_ok() && !container.place.exists());
        assert_eq!(watch.kills(), None);
        let directory = container.place.directory("memory").map(|directory| directory.path.clone());
        Some((watch.kills_of_killed(), directory))
    };
    let Some((kills, directory)) = is_known("exec tail /dev/zero", false) else { return };
    let limit = kills.and_then(|kills| kills.limit).expect("it was killed for its limit");
    assert_eq!((limit.is_own, limit.bytes, Some(limit.directory)), (true, 32 << 20, directory));
    // The harmless twin: somebody else kills it.
    assert_eq!(is_known("exec sleep 100", true).and_then(|(kills, _)| kills), None);
}

#[test]
fn memory_limits_go_up_and_down_in_any_order() {
    let test = "memory_limits_go_up_and_down_in_any_order";
    let Some(container) = Container::new(test, &["memory"]) else { return };
    for (limit, swap) in [(32, 64), (128, 256), (64, 64), (256, 256), (16, 32)] {
        set(&container.place, &memory(limit * M, swap * M));
        let set = value(&container.place, "memory", "memory.limit_in_bytes", "memory.max");
        assert_eq!(set, (limit * M).to_string());
    }
    set(&container.place, &memory(-1, -1));
    let open = value(&container.place, "memory", "memory.limit_in_bytes", "memory.max");
    assert!(["max", "9223372036854771712"].contains(&open.as_str()), "{open}");
}

#[test]
fn one_process_too_many_is_refused() {
    let test = "one_process_too_many_is_refused";
    let Some(container) = Container::new(test, &["pids"]) else { return };
    // Long enough that all are there at once, however slowly they come.
    let script = "sleep 5 & sleep 5 & sleep 5 & wait";
    set(&container.place, &pids(4));
    assert_eq!(container.shell(script).wait(), End::Exit(0));
    set(&container.place, &pids(3));
    let end = container.shell(script).wait();
    assert!(matches!(end, End::Exit(1..)), "the fork is refused: {end:?}");
    set(&container.place, &pids(-1));
    assert_eq!(value(&container.place, "pids", "pids.max", "pids.max"), "max");
}

/// Counted in the kernel's own periods, so that it does not matter how busy the machine is.
#[test]
fn a_quota_holds_a_loop_back() {
    let Some(container) = Container::new("a_quota_holds_a_loop_back", &["cpu", "cpuacct"]) else { return };
    let stats = || container.place.stats().expect("statistics").cpu;
    let _loop = container.shell("while :; do :; done");
    until("it has run", || stats().usage.total > 50_000_000);
    assert_eq!(stats().throttling.throttled_periods, 0);

    set(&container.place, &cpu(Cpu { quota: Some(1_000), period: Some(20_000), ..Cpu::default() }));
    let (before, start) = (stats(), Instant::now());
    // A twentieth of the time. What runs over its share, because a clock tick comes late, goes without for so long afterwards:
    // so it holds in the end, and not at each moment.
    until("it is held back", || {
        let now = stats();
        let used = now.usage.total - before.usage.total;
        let periods = now.throttling.throttled_periods - before.throttling.throttled_periods;
        periods >= 10 && used < start.elapsed().as_nanos() as u64 / 20 * 3 / 2
    });
}

#[test]
fn quota_and_period_change_together() {
    let Some(container) = Container::new("quota_and_period_change_together", &["cpu"]) else { return };
    for (quota, period) in [(50_000, 100_000), (1_000, 1_000), (900_000, 1_000_000), (2_000, 50_000)] {
        set(&container.place, &cpu(Cpu { quota: Some(quota), period: Some(period), ..Cpu::default() }));
    }
    assert!(
        ["2000", "2000 50000"]
            .contains(&value(&container.place, "cpu", "cpu.cfs_quota_us", "cpu.max").as_str())
    );
    set(&container.place, &cpu(Cpu { shares: Some(512), ..Cpu::default() }));
    assert!(["512", "59"].contains(&value(&container.place, "cpu", "cpu.shares", "cpu.weight").as_str()));
}

/// Version 2 has both in one file; version 1 in two.
#[test]
fn what_an_update_does_not_name_of_a_quota_stays() {
    let Some(container) = Container::new("what_an_update_does_not_name_of_a_quota_stays", &["cpu"]) else {
        return;
    };
    let update = |cpu: Cpu| {
        let mut resources = Resources { cpu: Some(cpu), ..Resources::default() };
        container.place.complete(&mut resources);
        let limits = files(&resources, container.place.version());
        container.place.update(&limits.expect("limits"), None).expect("limits are taken");
        match container.place.version() {
            Hierarchy::V1 => ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
                .map(|name| value(&container.place, "cpu", name, ""))
                .join(" "),
            Hierarchy::V2 => value(&container.place, "cpu", "", "cpu.max").replace("max", "-1"),
        }
    };
    let quota = |quota| Cpu { quota: Some(quota), ..Cpu::default() };
    // Engines send 0 for what they do not mean.
    let period = |period| Cpu { period: Some(period), quota: Some(0), ..Cpu::default() };
    assert_eq!(update(period(80_000)), "-1 80000");
    assert_eq!(update(quota(20_000)), "20000 80000");
    assert_eq!(update(period(50_000)), "20000 50000");
    assert_eq!(update(Cpu { shares: Some(512), ..Cpu::default() }), "20000 50000");
    assert_eq!(update(quota(-1)), "-1 50000");
}

fn device(allow: bool, minor: u32, access: &str) -> Rule {
    let access = Access::parse(access).expect("access");
    Rule { allow, kind: Some(Kind::Character), major: Some(1), minor: Some(minor), access }
}

/// /dev/full is 1:7, /dev/zero 1:5.
#[test]
fn devices_are_denied_and_allowed_while_it_runs() {
    let test = "devices_are_denied_and_allowed_while_it_runs";
    let Some(container) = Container::new(test, &["devices"]) else { return };
    let opens = |device: &str| container.shell(&format!(": < {device}")).wait() == End::Exit(0);
    let rules: Vec<_> = DEFAULT.into_iter().filter(|rule| rule.minor != Some(7)).collect();
    match container.place.set_devices(&rules) {
        Err(error) if is_machines(&error).is_some() => return skip(test, &error.to_string()),
        result => result.expect("rules are taken"),
    }
    assert!(opens("/dev/zero") && !opens("/dev/full"));
    container.place.set_devices(&DEFAULT).expect("more is allowed");
    assert!(opens("/dev/zero") && opens("/dev/full"));
    let reading = [&rules[..], &[device(true, 7, "r")]].concat();
    container.place.set_devices(&reading).expect("reading is allowed");
    assert!(opens("/dev/full"));
    assert!(matches!(container.shell(": > /dev/full").wait(), End::Exit(1..)), "writing is not");
    container.place.set_devices(&[]).expect("nothing is allowed");
    assert!(!opens("/dev/zero") && !opens("/dev/full"));
}

#[test]
fn a_device_that_is_allowed_all_the_time_is_so_also_while_rules_change() {
    let test = "a_device_that_is_allowed_all_the_time_is_so_also_while_rules_change";
    let Some(container) = Container::new(test, &["devices"]) else { return };
    match container.place.set_devices(&DEFAULT) {
        Err(error) if is_machines(&error).is_some() => return skip(test, &error.to_string()),
        result => result.expect("rules are taken"),
    }
    let opening = container.shell("while : < /dev/zero; do :; done");
    let more = [&DEFAULT[..], &[device(true, 11, "r")]].concat();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        container.place.set_devices(&more).expect("rules are taken");
        container.place.set_devices(&DEFAULT).expect("rules are taken");
    }
    container.place.kill().expect("it dies");
    assert_eq!(opening.wait(), KILLED, "it has not ended by itself");
}

#[test]
fn what_is_frozen_stands_still() {
    let test = "what_is_frozen_stands_still";
    let Some(container) = Container::new(test, &["freezer"]) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("count");
    let _counting = container.shell(&format!("while :; do echo x; sleep 0.01; done > {}", file.display()));
    let length = || fs::metadata(&file).map_or(0, |file| file.len());
    until("it counts", || length() > 4);
    assert!(!container.place.is_frozen().expect("a state"));
    container.place.freeze().expect("it freezes");
    assert!(container.place.is_frozen().expect("a state"));
    let stopped = length();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(length(), stopped);
    container.place.thaw().expect("it thaws");
    assert!(!container.place.is_frozen().expect("a state"));
    until("it counts again", || length() > stopped);
    container.place.freeze().expect("it freezes");
    container.place.kill().expect("also the frozen die");
}

#[test]
fn who_is_paused_stays_so_when_signalled() {
    let Some(container) = Container::new("who_is_paused_stays_so_when_signalled", &["freezer"]) else {
        return;
    };
    let process = container.shell("exec sleep 60");
    until("it runs", || container.place.pids().is_ok_and(|pids| pids == [process.pid.as_raw_pid()]));
    container.place.freeze().expect("it freezes");
    container.place.signal_all(Signal::TERM).expect("it is signalled");
    assert!(container.place.is_frozen().expect("a state"));
    container.place.thaw().expect("it thaws");
    assert_eq!(process.wait(), End::Signal(15));
}

#[test]
fn what_is_frozen_from_above_is_not_thawed_below() {
    let test = "what_is_frozen_from_above_is_not_thawed_below";
    let Some(container) = Container::new(test, &["freezer"]) else { return };
    let process = container.shell(&format!("{} exec sleep 60", moves(&below_each(&container, "below"))));
    let below = place_below(&container, "below");
    until("it is below", || below.has(process.pid.as_raw_pid()));
    container.place.freeze().expect("it freezes");
    let error = below.thaw().expect_err("an error");
    assert!(matches!(error, CgroupError::Freezer { wanted: "thawed", .. }), "{error}");
}

#[test]
fn a_fork_bomb_is_removed() {
    let Some(container) = Container::new("a_fork_bomb_is_removed", &["pids"]) else { return };
    set(&container.place, &pids(60));
    let _bomb = container.shell("f() { f & f & sleep 60; }; f & exec sleep 60");
    until("it has grown", || container.place.pids().expect("a list").len() > 20);
    container.place.kill().expect("all of it dies");
    assert!(container.place.pids().expect("a list").is_empty());
    container.place.remove().expect("its cgroups go");
    assert!(!container.place.exists());
}

#[test]
fn a_signal_reaches_all_and_no_others() {
    let Some(container) = Container::new("a_signal_reaches_all_and_no_others", &[]) else { return };
    let other = Container::new("a_signal_reaches_all_and_no_others", &[]).expect("another");
    let running = [container.shell("sleep 60 & wait"), container.shell("exec sleep 60")];
    let outside = other.shell("exec sleep 60");
    until("they run", || container.place.pids().expect("a list").len() == 3);
    assert!(container.place.has(running[0].pid.as_raw_pid()));
    assert!(!container.place.has(outside.pid.as_raw_pid()));
    container.place.signal_all(Signal::TERM).expect("all are signalled");
    for process in running {
        assert_eq!(process.wait(), End::Signal(15));
    }
    assert_eq!(other.place.pids().expect("a list"), [outside.pid.as_raw_pid()]);
}

/// As on a host where the controller freezer is not mounted.
#[test]
fn without_a_freezer_all_are_signalled_and_none_is_paused() {
    let test = "without_a_freezer_all_are_signalled_and_none_is_paused";
    let Some(container) = Container::new(test, &[]) else { return };
    if container.place.version() == Hierarchy::V2 {
        return skip(test, "version 2 always has a freezer");
    }
    let mut saved = serde_json::to_value(&container.place).expect("JSON");
    let directories = saved["directories"].as_array_mut().expect("a list");
    directories.retain(|directory| directory["controllers"] != serde_json::json!(["freezer"]));
    let place: Place = serde_json::from_value(saved).expect("a place");
    assert!(matches!(place.freeze(), Err(CgroupError::NoFreezer)));
    let running = [container.shell("exec sleep 60"), container.shell("exec sleep 60")];
    until("they run", || place.pids().expect("a list").len() == 2);
    place.signal_all(Signal::TERM).expect("all are signalled");
    for process in running {
        assert_eq!(process.wait(), End::Signal(15));
    }
}

/// Makes a cgroup below a container's in each hierarchy.
fn below_each(container: &Container, name: &str) -> Vec<PathBuf> {
    let directories = container.place.directories().iter();
    let below: Vec<_> = directories.map(|directory| directory.path.join(name)).collect();
    below.iter().for_each(|path| fs::create_dir_all(path).expect("a cgroup below"));
    below
}

/// Words of a shell that moves itself there.
fn moves(cgroups: &[PathBuf]) -> String {
    // A new cpuset of version 1 has no processors, and takes nobody.
    let open = cgroups.iter().filter(|path| !path.join("cpuset.cpu_exclusive").exists());
    open.map(|path| format!("echo 0 > {}/cgroup.procs && ", path.display())).collect()
}

#[test]
fn processes_and_cgroups_below_are_found_and_removed() {
    let test = "processes_and_cgroups_below_are_found_and_removed";
    let Some(container) = Container::new(test, &[]) else { return };
    let below = below_each(&container, "below/deeper");
    let process = container.shell(&format!("{} exec sleep 60", moves(&below)));
    let pid = process.pid.as_raw_pid();
    until("it is below", || {
        let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        own.contains("below/deeper")
    });
    assert!(container.place.has(pid));
    assert_eq!(container.place.pids().expect("a list"), [pid]);
    let beside = container.place.beside(pid).open().expect("it can be opened");
    assert_eq!(run(&beside, "exit 3").wait(), End::Exit(3));
    container.place.kill().expect("it dies");
    assert_eq!(process.wait(), KILLED);
    container.place.remove().expect("all of it goes");
    assert!(!container.place.exists());
}

/// Names of this test process's cgroups, in every hierarchy.
fn left(place: &Place, name: &str) -> Vec<PathBuf> {
    let above = |path: &Path| path.parent().map(Path::to_owned);
    let entries =
        place.directories().iter().filter_map(|directory| fs::read_dir(above(&directory.path)?).ok());
    let paths = entries.flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().contains(name))).collect()
}

#[test]
fn fifty_containers_leave_nothing() {
    let test = "fifty_containers_leave_nothing";
    let Some(first) = Container::new(test, &[]) else { return };
    let mut names = Vec::new();
    for _ in 0..50 {
        let container = Container::new(test, &[]).expect("another");
        assert_eq!(container.shell("exit 0").wait(), End::Exit(0));
        let path = &container.place.directories()[0].path;
        names.push(path.file_name().expect("a name").to_string_lossy().into_owned());
    }
    for name in names {
        let found: Vec<_> =
            left(&first.place, &name).into_iter().filter(|path| path.ends_with(&name)).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn directories_above_go_with_the_last_container() {
    let test = "directories_above_go_with_the_last_container";
    let Some(_possible) = Container::new(test, &[]) else { return };
    let deep = |name: &str| {
        let found = husk_cgroup::Hierarchies::read().expect("hierarchies");
        let top = if rustix::process::geteuid().is_root() { "/" } else { "" };
        let path = format!("{top}husk-test-{}-deep/a/{name}", std::process::id());
        let mut place = Place::new(&found, Some(&path), "").expect("a place");
        place.create(&[]).expect("it can be made");
        place
    };
    let (one, two) = (deep("one"), deep("two"));
    let above: Vec<_> = one
        .directories()
        .iter()
        .map(|directory| directory.path.ancestors().nth(2).expect("two above").to_owned())
        .collect();
    // As it is after the state was written and read again.
    let saved = serde_json::to_string(&one).expect("JSON");
    serde_json::from_str::<Place>(&saved).expect("a place").remove().expect("the first goes");
    assert!(two.exists() && above.iter().all(|path| path.is_dir()));
    two.remove().expect("the second goes");
    // Those above were made for the first, which found them in use: they go when nobody is left who made them.
    one.remove().expect("what is gone is no error");
    assert!(above.iter().all(|path| !path.exists()), "{above:?}");
}

#[test]
fn a_cgroup_with_processes_is_not_taken_over() {
    let test = "a_cgroup_with_processes_is_not_taken_over";
    let Some(container) = Container::new(test, &[]) else { return };
    let process = container.shell("exec sleep 60");
    until("it runs", || container.place.pids().is_ok_and(|pids| pids == [process.pid.as_raw_pid()]));
    let error = container.place.clone().create(&[]).expect_err("an error");
    assert!(matches!(error, CgroupError::Occupied { .. }), "{error}");
    assert!(container.place.exists(), "what was there before is still there");
}

/// Nor one below which there are some: they would be in the new container's limits, and die with it.
#[test]
fn a_cgroup_with_processes_below_is_not_taken_over() {
    let test = "a_cgroup_with_processes_below_is_not_taken_over";
    let Some(container) = Container::new(test, &[]) else { return };
    let process = container.shell(&format!("{} exec sleep 60", moves(&below_each(&container, "below"))));
    let pid = process.pid.as_raw_pid();
    until("it is below", || {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|own| own.contains("/below"))
    });
    let error = container.place.clone().create(&[]).expect_err("an error");
    assert!(matches!(&error, CgroupError::Occupied { pid: found, .. } if *found == pid), "{error}");
    assert!(container.place.has(pid), "it is still there");
    container.place.kill().expect("it dies");
    assert_eq!(process.wait(), KILLED);
    container.place.clone().create(&[]).expect("one that nobody is in is no obstacle");
}

#[test]
fn a_frozen_cgroup_is_refused() {
    let test = "a_frozen_cgroup_is_refused";
    let Some(container) = Container::new(test, &["freezer"]) else { return };
    container.place.freeze().expect("it freezes");
    let error = container.place.clone().create(&[]).expect_err("an error");
    let file = if container.place.version() == Hierarchy::V1 { "freezer.state" } else { "cgroup.freeze" };
    let path = container.place.directory("freezer").expect("a directory").path.join(file);
    assert!(matches!(error, CgroupError::Frozen(_)), "{error}");
    assert!(error.to_string().contains(&format!("> {}", path.display())), "{error}");
    // Who is made below stands still as well.
    let mut below = place_below(&container, "below");
    let error = below.create(&[]).expect_err("an error");
    assert!(matches!(error, CgroupError::Frozen(_)), "{error}");
    assert!(!below.exists());
    container.place.thaw().expect("it thaws");
    below.create(&[]).expect("it can be made");
    below.remove().expect("it goes");
}

/// On version 1 each cgroup has a freezing of its own, and who is frozen does not die.
#[test]
fn who_is_frozen_below_dies_as_well() {
    let test = "who_is_frozen_below_dies_as_well";
    let Some(container) = Container::new(test, &["freezer"]) else { return };
    let process = container.shell(&format!("{} exec sleep 60", moves(&below_each(&container, "below"))));
    let below = place_below(&container, "below");
    until("it is below", || below.has(process.pid.as_raw_pid()));
    below.freeze().expect("it freezes");
    container.place.kill().expect("it dies");
    assert_eq!(process.wait(), KILLED);
    container.place.remove().expect("its cgroups go");
    assert!(!below.exists());
}

/// Deeper than a path can be long.
#[test]
fn nobody_hides_in_a_cgroup_far_below() {
    const DEPTH: usize = 2500;
    let test = "nobody_hides_in_a_cgroup_far_below";
    let Some(container) = Container::new(test, &["freezer"]) else { return };
    let top = &container.place.directory("freezer").expect("a directory").path;
    let open = |above: BorrowedFd<'_>, name: &str, flags: OFlags| {
        openat(above, name, flags | OFlags::CLOEXEC, Mode::empty()).expect("it can be opened")
    };
    let mut lowest = open(CWD, top.to_str().expect("UTF-8"), OFlags::DIRECTORY);
    for _ in 0..DEPTH {
        mkdirat(&lowest, "d", Mode::from_raw_mode(0o755)).expect("a cgroup below");
        lowest = open(lowest.as_fd(), "d", OFlags::DIRECTORY);
    }
    let process = container.shell("exec sleep 60");
    let pid = process.pid.as_raw_pid();
    let procs = open(lowest.as_fd(), "cgroup.procs", OFlags::WRONLY);
    rustix::io::write(&procs, pid.to_string().as_bytes()).expect("it moves");
    drop((procs, lowest));
    assert_eq!(container.place.pids().expect("a list"), [pid]);
    container.place.kill().expect("it dies");
    assert_eq!(process.wait(), KILLED);
    container.place.remove().expect("all of it goes");
    assert!(!container.place.exists());
}

#[test]
fn what_cannot_be_had_leaves_nothing() {
    let test = "what_cannot_be_had_leaves_nothing";
    let Some(_possible) = Container::new(test, &[]) else { return };
    let mut place = Container::place();
    if place.version() == Hierarchy::V1 {
        return skip(test, "only version 2 passes controllers down");
    }
    let error = place.create(&["no-such-controller"]).expect_err("an error");
    assert!(error.to_string().starts_with("the controller no-such-controller ends at "), "{error}");
    assert!(!place.exists());
}

/// A place below another container's, by its path from the top.
fn place_below(container: &Container, name: &str) -> Place {
    let directory = &container.place.directories()[0];
    let path = directory.path.strip_prefix(&directory.mount).expect("it is below the mount");
    let found = husk_cgroup::Hierarchies::read().expect("hierarchies");
    Place::new(&found, Some(&format!("/{}/{name}", path.display())), "").expect("a place")
}

#[test]
fn processes_in_the_way_of_a_controller_are_named() {
    let test = "processes_in_the_way_of_a_controller_are_named";
    let Some(container) = Container::new(test, &[]) else { return };
    if container.place.version() == Hierarchy::V1 {
        return skip(test, "only version 2 passes controllers down");
    }
    let _process = container.shell("exec sleep 60");
    let mut place = place_below(&container, "deeper");
    // Without controllers it may be there.
    place.create(&[]).expect("it can be made");
    place.remove().expect("it goes");
    let error = place.create(&["memory"]).expect_err("an error").to_string();
    let level = container.place.directories()[0].path.display();
    let expected = format!("the controller memory ends at {level}: it has processes in it");
    assert!(error.starts_with(&expected), "{error}");
    assert!(!place.exists());
}

#[test]
fn a_threaded_cgroup_is_refused() {
    let test = "a_threaded_cgroup_is_refused";
    let Some(container) = Container::new(test, &[]) else { return };
    if container.place.version() == Hierarchy::V1 {
        return skip(test, "only version 2 has threaded cgroups");
    }
    let threads = container.place.directories()[0].path.join("threads");
    fs::create_dir(&threads).expect("a cgroup");
    fs::write(threads.join("cgroup.type"), "threaded").expect("it becomes threaded");
    let mut place = place_below(&container, "whole");
    let error = place.create(&[]).expect_err("an error");
    assert!(matches!(error, CgroupError::Threaded(_)), "{error}");
    assert!(!place.exists());
}

#[test]
fn a_delegated_cgroup_changes_owner_and_its_limits_do_not() {
    use std::os::unix::fs::MetadataExt;
    let test = "a_delegated_cgroup_changes_owner_and_its_limits_do_not";
    let Some(container) = Container::new(test, &[]) else { return };
    if container.place.version() == Hierarchy::V1 || !rustix::process::geteuid().is_root() {
        return skip(test, "it takes version 2, and root");
    }
    container.place.delegate(1234).expect("it is given away");
    let path = &container.place.directories()[0].path;
    let owner = |path: PathBuf| fs::metadata(path).expect("a file").uid();
    for file in ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        assert_eq!(owner(path.join(file)), 1234, "{file}");
    }
    assert_eq!(owner(path.clone()), 1234);
    for file in ["cgroup.freeze", "cgroup.max.depth", "cgroup.kill"] {
        assert_eq!(owner(path.join(file)), 0, "{file}");
    }
}

#[test]
fn an_update_below_what_is_used_is_refused() {
    let test = "an_update_below_what_is_used_is_refused";
    let Some(container) = Container::new(test, &["memory"]) else { return };
    let _process = container.shell("exec sleep 60");
    until("it runs", || container.place.stats().is_ok_and(|stats| stats.memory.usage.usage > 8192));
    let mut resources = memory(4096, 4096);
    if let Some(memory) = &mut resources.memory {
        memory.check_before_update = Some(true);
    }
    let limits = files(&resources, container.place.version()).expect("limits");
    let error = container.place.update(&limits, None).expect_err("an error");
    let expected = match container.place.version() {
        Hierarchy::V1 => matches!(error, CgroupError::Write { .. }),
        Hierarchy::V2 => matches!(error, CgroupError::InUse { limit: 4096, .. }),
    };
    assert!(expected, "{error}");
    assert!(!container.place.pids().expect("a list").is_empty(), "it lives");
}

#[test]
fn a_refused_limit_names_field_file_and_value() {
    let test = "a_refused_limit_names_field_file_and_value";
    let Some(container) = Container::new(test, &["cpuset"]) else { return };
    let resources = cpu(Cpu { cpus: "9999".to_owned(), ..Cpu::default() });
    let limits = files(&resources, container.place.version()).expect("limits");
    let error = container.place.apply(&limits.writes).expect_err("an error").to_string();
    assert!(error.starts_with("linux.resources.cpu.cpus: writing \"9999\" to /sys/fs/cgroup/"), "{error}");
    assert!(error.contains("/cpuset.cpus: "), "{error}");
}

#[test]
fn statistics_count() {
    let Some(container) = Container::new("statistics_count", &["memory", "pids", "cpu"]) else { return };
    set(&container.place, &pids(20));
    set(&container.place, &memory(64 * M, 64 * M));
    let _process = container.shell("sleep 60 & wait");
    until("they run", || container.place.pids().is_ok_and(|pids| pids.len() == 2));
    let stats = container.place.stats().expect("statistics");
    assert_eq!((stats.pids.current, stats.pids.limit), (2, 20));
    assert_eq!(stats.memory.usage.limit, 64 * M as u64);
    assert!(stats.memory.usage.usage > 0 && stats.memory.raw.len() > 10, "{stats:?}");
    assert!(stats.cpu.usage.total > 0, "{stats:?}");
    container.place.kill().expect("they die");
    container.place.remove().expect("it goes");
    let error = container.place.stats().expect_err("an error");
    assert_eq!(error.errno(), Some(rustix::io::Errno::NOENT));
}
