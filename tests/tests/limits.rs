// SPDX-License-Identifier: Apache-2.0
//! The limits of `husk run`: what they do to a container that goes beyond them, on cgroup v1 and v2 alike, and what is said where
//! they cannot be had.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use husk_tests::{Caller, Output, Place, Running, Signal, is_root, note_skip, skip, until};

fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Root, or whoever has a part of the tree; `None` says so.
fn limiter<'p>(place: &'p Place, test: &str) -> Option<Caller<'p>> {
    if is_root() {
        return Some(place.root());
    }
    let caller = place.ordinary();
    let tried = caller.husk(["run", "-q", "--pids-limit", "9"]).args(["--", "/bin/true"]).run();
    if tried.code() == 0 {
        return Some(caller);
    }
    note_skip(test, "no part of the cgroup tree is this user's");
    None
}

/// A name for a container that no other test has.
fn name(place: &Place, of: &str) -> String {
    format!("{of}{}", place.path().file_name().expect("a name").to_string_lossy().replace("husk-test", ""))
}

/// The cgroups below `/sys/fs/cgroup` whose name ends like this.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let ours = entry.file_name().to_string_lossy().ends_with(&format!("-{name}"));
                if ours && entry.file_name().to_string_lossy().starts_with("husk-") {
                    found.push(entry.path());
                }
                left.push(entry.path());
            }
        }
    }
    found
}

/// What a file of the container's cgroup says, whichever hierarchy has it.
fn value(name: &str, file: &str) -> Option<String> {
    let path = cgroups(name).into_iter().map(|path| path.join(file)).find(|path| path.exists())?;
    Some(fs::read_to_string(path).expect("a file of a cgroup").trim().to_owned())
}

/// A container that has said that it is there.
fn started(caller: &Caller<'_>, options: &[&str], root: &Path, name: &str) -> Running {
    let options: Vec<_> = ["-q", "--name", name].iter().chain(options).copied().collect();
    let mut running = caller.shell(&options, root, "echo there; exec sleep 100").start();
    running.wait_for("there");
    running
}

#[test]
fn more_memory_than_the_limit_is_killed_and_told() {
    let place = Place::new();
    let Some(caller) = limiter(&place, "more_memory_than_the_limit_is_killed_and_told") else { return };
    let root = caller.root("box");
    let takes = |options: &[&str], amount: &str| {
        let command = caller.husk(["run", "-q"]).args(options).arg(&root);
        command.args(["dd", "if=/dev/zero", "of=/dev/null", "count=1", &format!("bs={amount}")]).run()
    };
    let swapless = ["-m", "64m", "--memory-swap", "64m"];
    takes(&swapless, "8M").succeeds();
    let output = takes(&swapless, "200M");
    output.exits(137);
    output.says("the kernel killed ").says("for want of memory: its own limit of 64 MiB was reached");
    output.says("(--memory, cgroup /sys/fs/cgroup/").says("hint: give it more: --memory 128m");
    // A process that the command can do without.
    let script = "dd if=/dev/zero of=/dev/null bs=200M count=1; echo goes on";
    let command = caller.husk(["run", "-q"]).args(swapless).arg(&root).args(["sh", "-c", script]);
    let output = command.run();
    output.says("was reached");
    if is_v2() {
        // memory.oom.group: half a container is none.
        output.exits(137);
    } else {
        output.succeeds();
        assert!(output.stdout.contains("goes on"), "{output}");
    }
    // At length.
    let command = caller.husk(["why", "run", "-q"]).args(swapless).arg(&root);
    let output = command.args(["dd", "if=/dev/zero", "of=/dev/null", "count=1", "bs=200M"]).run();
    output
        .exits(137)
        .says("its own limit of 64 MiB was reached")
        .says("cure     give it more: --memory 128m");
}

#[test]
fn more_processes_than_the_limit_are_refused() {
    let place = Place::new();
    let Some(caller) = limiter(&place, "more_processes_than_the_limit_are_refused") else { return };
    let root = caller.root("box");
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; echo all of them";
    let output = caller.run(&["-q", "--pids-limit", "4"], &root, script);
    output.says("can't fork");
    assert!(!output.stdout.contains("all of them"), "{output}");
    for enough in ["9", "-1", "0"] {
        caller.run(&["-q", "--pids-limit", enough], &root, script).succeeds().prints("all of them\n");
    }
}

#[test]
fn a_container_has_a_limit_of_processes_without_asking() {
    let place = Place::new();
    let Some(caller) = limiter(&place, "a_container_has_a_limit_of_processes_without_asking") else { return };
    let root = caller.root("box");
    let name = name(&place, "plain");
    let running = started(&caller, &[], &root, &name);
    assert_eq!(value(&name, "pids.max").as_deref(), Some("1024"));
    // On version 1 every hierarchy costs time, so it is in no other.
    assert_eq!(cgroups(&name).len(), 1, "{:?}", cgroups(&name));
    if is_v2() && value(&name, "memory.events").is_some() {
        assert_eq!(value(&name, "memory.oom.group").as_deref(), Some("1"));
    }
    running.signal(Signal::TERM);
    running.finish();
    assert_eq!(cgroups(&name), [""; 0].map(PathBuf::from));
    let running = started(&caller, &["--pids-limit=-1"], &root, &name);
    assert_eq!(cgroups(&name), [""; 0].map(PathBuf::from), "nothing is limited, so there is nothing to make");
    running.signal(Signal::TERM);
    running.finish();
}

/// What a process has used of the processors, as part of the time since `begin`.
fn part_used(pid: u32, begin: Instant) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields = stat.rsplit_once(") ").expect("a name").1.split(' ');
    // In clock ticks of 10 ms: in user mode, and in the kernel.
    let used: f64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks")).sum();
    used / 100.0 / begin.elapsed().as_secs_f64()
}

/// Counted in the kernel's own periods, so that it does not matter how busy the machine is.
#[test]
fn a_loop_gets_its_part_of_a_processor() {
    let place = Place::new();
    let Some(caller) = limiter(&place, "a_loop_gets_its_part_of_a_processor") else { return };
    let root = caller.root("box");
    let looping = |cpus: &str, is_so: &dyn Fn(u64, u64, f64) -> bool| {
        let name = name(&place, "loop");
        let options = ["-q", "--name", &name, "--cpus", cpus];
        let mut running = caller.shell(&options, &root, "echo there; while :; do :; done").start();
        running.wait_for("there");
        let (pid, begin) = (running.container(), Instant::now());
        until(&format!("what a loop gets with --cpus {cpus}"), || {
            let stat = value(&name, "cpu.stat").expect("a file of its cgroup");
            let count = |what: &str| {
                let line = stat.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(' '));
                line.expect("a count").parse::<u64>().expect("a number")
            };
            is_so(count("nr_periods"), count("nr_throttled"), part_used(pid, begin))
        });
        running.signal(Signal::TERM);
        running.finish();
    };
    // What runs over its share, because a clock tick comes late, goes without for so long afterwards: a tenth it is in the end, and
    // not at each moment.
    looping("0.1", &|_, throttled, part| throttled > 5 && part < 0.15);
    // One loop needs no more than one processor.
    looping("2", &|periods, throttled, _| periods >= 10 && throttled < periods / 2);
}

#[test]
fn a_container_is_on_its_processors_and_nodes() {
    let place = Place::new();
    let test = "a_container_is_on_its_processors_and_nodes";
    let Some(caller) = limiter(&place, test) else { return };
    let root = caller.root("box");
    let script = "grep -E '^(Cpus|Mems)_allowed_list' /proc/self/status";
    let on_all = caller.inside(&["-q"], &root, script);
    if on_all.contains("Cpus_allowed_list:\t0\n") {
        skip!(test, "this machine has one processor");
    }
    let on_one = caller.inside(&["-q", "--cpuset-cpus", "0", "--cpuset-mems", "0"], &root, script);
    assert_eq!(on_one, "Cpus_allowed_list:\t0\nMems_allowed_list:\t0\n");
    // What is no processor here is refused in the words of whoever asked; version 2 takes what is there of it.
    if !is_v2() {
        let output = caller.run(&["-q", "--cpuset-cpus", "0,200"], &root, script);
        output.exits(125).says("--cpuset-cpus").says("the kernel knows no such number");
    }
}

#[test]
fn every_limit_is_in_its_file() {
    let place = Place::new();
    let Some(caller) = limiter(&place, "every_limit_is_in_its_file") else { return };
    let root = caller.root("box");
    let name = name(&place, "files");
    let options = [
        "--memory=100m",
        "--memory-reservation=50m",
        "--cpus=1.5",
        "--cpu-shares=2048",
        "--pids-limit=77",
        "--cpuset-cpus=0",
    ];
    let running = started(&caller, &options, &root, &name);
    let mib = 1024 * 1024;
    let (full, half, twice) = ((100 * mib).to_string(), (50 * mib).to_string(), (200 * mib).to_string());
    let expected: &[(&str, &str)] = match is_v2() {
        true => &[
            ("memory.max", &full),
            ("memory.low", &half),
            ("memory.swap.max", &full),
            ("cpu.max", "150000 100000"),
            ("cpu.weight", "174"),
            ("pids.max", "77"),
            ("cpuset.cpus", "0"),
        ],
        false => &[
            ("memory.limit_in_bytes", &full),
            ("memory.soft_limit_in_bytes", &half),
            ("memory.memsw.limit_in_bytes", &twice),
            ("cpu.cfs_quota_us", "150000"),
            ("cpu.cfs_period_us", "100000"),
            ("cpu.shares", "2048"),
            ("pids.max", "77"),
            ("cpuset.cpus", "0"),
        ],
    };
    for (file, text) in expected {
        // Without swap in the kernel the files of swap are not there, and that was not asked for.
        if let Some(value) = value(&name, file) {
            assert_eq!(value, *text, "{file}");
        } else {
            assert!(file.contains("swap") || file.contains("memsw"), "{file} is not there");
        }
    }
    // As others see it.
    let seen = caller.husk(["see", "--json"]).arg(&name).run();
    let seen = seen.succeeds().stdout.clone();
    assert!(seen.contains(&full) && seen.contains("77"), "{seen}");
    running.signal(Signal::TERM);
    running.finish();
    assert_eq!(cgroups(&name), [""; 0].map(PathBuf::from));
}

/// The disk that holds a directory: its node, and its number.
fn disk(directory: &Path) -> Option<PathBuf> {
    let device = fs::metadata(directory).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let link = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let whole = if link.join("partition").exists() { link.parent()?.to_owned() } else { link };
    let node = Path::new("/dev").join(whole.file_name()?);
    node.exists().then_some(node)
}

#[test]
fn a_disk_is_written_to_no_faster_than_allowed() {
    let place = Place::new();
    let test = "a_disk_is_written_to_no_faster_than_allowed";
    let Some(caller) = limiter(&place, test) else { return };
    let root = caller.root("box");
    let Some(disk) = disk(&root) else {
        skip!(test, "the test's files are on no block device that can be seen")
    };
    let written = |options: &[&str]| {
        let begin = Instant::now();
        let script = "dd if=/dev/zero of=/file bs=256k count=8 oflag=direct 2>&1";
        let output = caller.run(&[&["-q"], options].concat(), &root, script);
        output.succeeds();
        begin.elapsed()
    };
    let limit = format!("{}:512k", disk.display());
    let slow = written(&["--device-write-bps", &limit]);
    assert!(slow > Duration::from_millis(2500), "2 MiB at 512 KiB a second took {slow:?}");
    let limit = format!("{}:2", disk.display());
    let slow = written(&["--device-write-iops", &limit]);
    assert!(slow > Duration::from_millis(2500), "8 writes at 2 a second took {slow:?}");
    // The disk is faster than that. Once is enough to show it, and a busy one may take long at times.
    until("2 MiB in less", || written(&[]) < Duration::from_millis(2500));
}

#[test]
fn a_limit_that_makes_no_sense_is_named() {
    let place = Place::new();
    let caller = if is_root() { place.root() } else { place.ordinary() };
    let root = caller.root("box");
    for (options, why, hint) in [
        (&["-m", "lots"][..], "--memory lots: a size is a number of bytes", "512m"),
        (&["--memory-swap", "1g"], "--memory-swap 1g: it counts memory and swap together", "--memory 512m"),
        (&["-m", "1g", "--memory-swap", "1m"], "never less than --memory", "the same value"),
        (&["--cpus", "0"], "--cpus 0: a number of processors", "0.01"),
        // Also what looks like an option is the value.
        (&["--cpus", "-1"], "--cpus -1: a number of processors", ""),
        (&["--memory", "-1"], "--memory -1: a size is a number of bytes", "512m"),
        (&["--memory-reservation", "-1m"], "--memory-reservation -1m: a size is", "512m"),
        (&["--cpuset-cpus", "-1"], "--cpuset-cpus -1: processors are numbers", ""),
        (&["--cpuset-mems", "-1"], "--cpuset-mems -1: memory nodes are numbers", ""),
        (&["--io-weight", "-1"], "--io-weight -1: a weight is a number", ""),
        (&["--cpu-shares", "-1"], "--cpu-shares -1: a share is", "2048"),
        (&["--cpu-shares", "1"], "--cpu-shares 1: a share is", "2048"),
        (&["--cpuset-cpus", "a"], "--cpuset-cpus a: processors are numbers", ""),
        (&["--pids-limit", "some"], "--pids-limit some: a number of processes", ""),
        (&["--io-weight", "1"], "--io-weight 1: a weight is a number from 10 to 1000", ""),
        (&["--device-read-bps", "/dev/null:1m"], "/dev/null is no block device", "lsblk"),
        (&["--device-read-iops", "/dev/vda"], "it takes a block device, a colon and a rate", "/dev/sda:1000"),
        (&["--cgroup-parent", "../x"], "--cgroup-parent ../x: a cgroup is named without `..`", "/a/b"),
        (&["--cpu-quota", "1"], "--cpu-quota: husk says it in processors", "--cpus 0.5"),
    ] {
        let output = caller.run(&[&["-q"], options].concat(), &root, "true");
        output.exits(125).says(why).says(hint);
    }
}

/// That a limit was refused: named by its option, with the reason and a way out.
fn refused(output: &Output, option: &str) {
    output.exits(125).says(option);
}

#[test]
fn without_a_part_of_the_tree_only_what_was_asked_for_fails() {
    let place = Place::new();
    let test = "without_a_part_of_the_tree_only_what_was_asked_for_fails";
    let caller = place.ordinary();
    let root = caller.root("box");
    let name = name(&place, "nobodys");
    if caller.husk(["run", "-q", "-m", "64m", "--", "/bin/true"]).run().code() == 0 {
        skip!(test, "this user has a part of the cgroup tree");
    }
    let running = started(&caller, &[], &root, &name);
    assert_eq!(cgroups(&name), [""; 0].map(PathBuf::from));
    running.signal(Signal::TERM);
    running.finish();
    for (option, of) in [("-m", "--memory"), ("--pids-limit", "--pids-limit"), ("--cpus", "--cpus")] {
        let number = if option == "-m" { "64m" } else { "2" };
        let output = caller.run(&["-q", option, number], &root, "true");
        refused(&output, of);
        output.says("make the cgroup /sys/fs/cgroup/").says("not yours to divide");
        let told = caller.husk(["why", "run", "-q", option, number]).arg(&root).args(["true"]).run();
        told.exits(125).says("not yours to divide").says("because");
        if is_v2() {
            output.says("systemd-run --user --scope");
            told.says("cure");
        } else {
            output.says("as root");
        }
    }
    // Nothing of version 1 can be given to a user.
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let told =
        if mounts.contains(" - cgroup2 ") { "delegation" } else { "version 1 cannot be given to a user" };
    let doctor = caller.husk(["doctor", "cgroups"]).run();
    assert!(doctor.stdout.contains(told), "{doctor}");
}

/// An ordinary user in a login, whose own cgroup is root's, and whose systemd answers; `None` says what is missing.
fn login<'p>(place: &'p Place, test: &str) -> Option<Caller<'p>> {
    let caller = place.ordinary();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.trim().trim_start_matches("0::/");
    let above = Path::new("/sys/fs/cgroup").join(own);
    let is_roots =
        above.parent().is_some_and(|above| fs::metadata(above).is_ok_and(|found| found.uid() == 0));
    let bus = format!("/run/user/{}/bus", caller.uid());
    if is_root() || !is_v2() || !is_roots || !Path::new(&bus).exists() {
        note_skip(test, "takes a user's login by systemd, on cgroup v2 alone");
        return None;
    }
    Some(caller)
}

/// The cgroup of the scope that a husk has asked the user's systemd for.
fn scope_of(caller: &Caller<'_>, husk: u32, name: &str) -> PathBuf {
    let uid = caller.uid();
    let manager = format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service");
    Path::new(&manager).join(format!("app.slice/husk-{husk}-{name}.scope"))
}

fn units(caller: &Caller<'_>, name: &str) -> String {
    let runtime = format!("/run/user/{}", caller.uid());
    let systemctl = caller.command("systemctl").env("XDG_RUNTIME_DIR", runtime);
    let pattern = format!("husk-*-{name}.scope");
    let output = systemctl.args(["--user", "list-units", "--all", "--plain", "--no-legend", &pattern]).run();
    output.succeeds().stdout.clone()
}

/// That systemd has taken the scope away, with all that was in it.
#[track_caller]
fn is_gone(caller: &Caller<'_>, scope: &Path, name: &str) {
    until("systemd takes the scope away", || !scope.exists() && units(caller, name).is_empty());
}

#[test]
fn in_a_login_limits_are_set_in_a_scope() {
    let place = Place::new();
    let Some(caller) = login(&place, "in_a_login_limits_are_set_in_a_scope") else { return };
    let root = caller.root("box");
    let name = name(&place, "login");
    let options = ["-m", "64m", "--cpus", "1.5", "--pids-limit", "77"];
    for signal in [Signal::TERM, Signal::KILL] {
        let running = started(&caller, &options, &root, &name);
        let scope = scope_of(&caller, running.pid(), &name);
        assert_eq!(cgroups(&name), [scope.join(format!("husk-{}-{name}", running.pid()))]);
        let values = ["memory.max", "cpu.max", "pids.max"].map(|file| value(&name, file).expect("a file"));
        assert_eq!(values, ["67108864", "150000 100000", "77"]);
        let husk = fs::read_to_string(format!("/proc/{}/cgroup", running.pid())).expect("a cgroup");
        assert!(husk.trim().ends_with(&format!("-{name}.scope/husk")), "{husk}");
        running.signal(signal);
        running.finish();
        is_gone(&caller, &scope, &name);
    }
}

/// The sockets that husk connects to on its way to a command, if it is started through these words.
fn connections(caller: &Caller<'_>, through: &[&str], options: &[&str], root: &Path) -> Vec<String> {
    let trace = caller.home().join("trace");
    let path = trace.to_str().expect("text");
    let strace = ["strace", "-f", "-e", "trace=connect", "-o", path];
    let traced = caller.clone().through(through.iter().chain(&strace));
    // Who is traced gains no privilege from newuidmap.
    traced.run(&[&["-q", "--userns", "single"], options].concat(), root, "true").succeeds();
    let text = fs::read_to_string(&trace).expect("a trace");
    text.lines().filter(|line| line.contains("connect(")).map(str::to_owned).collect()
}

#[test]
fn in_a_login_nobody_is_asked_for_what_was_not_asked_for() {
    let place = Place::new();
    let test = "in_a_login_nobody_is_asked_for_what_was_not_asked_for";
    let Some(caller) = login(&place, test) else { return };
    let root = caller.root("box");
    assert_eq!(connections(&caller, &[], &[], &root), [""; 0]);
    let asked = connections(&caller, &[], &["-m", "64m"], &root);
    assert!(asked.iter().all(|line| line.contains("/bus")) && !asked.is_empty(), "{asked:?}");
    // Where the cgroup can be made, systemd is not asked for one.
    let runtime = format!("XDG_RUNTIME_DIR=/run/user/{}", caller.uid());
    let scope = ["env", &runtime, "systemd-run", "--user", "--scope", "--quiet", "-p", "Delegate=yes", "--"];
    assert_eq!(connections(&caller, &scope, &["-m", "64m"], &root), [""; 0]);
}

#[test]
fn in_a_login_the_plan_has_the_scope_and_the_script_makes_it() {
    let place = Place::new();
    let test = "in_a_login_the_plan_has_the_scope_and_the_script_makes_it";
    let Some(caller) = login(&place, test) else { return };
    let root = caller.root("box");
    let name = name(&place, "script");
    let options = ["-m", "64m", "--name", &name];
    let told = caller.husk(["explain", "run"]).args(options).arg(&root).arg("true").run();
    let unit = format!("husk-<pid>-{name}.scope");
    let step = format!("have the user's systemd make the scope {unit} in app.slice around husk");
    let told = told.succeeds().stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(&step) && told.contains(&format!("{unit}/husk-<pid>-{name}")), "{told}");
    let script = caller.husk(["run", "--as-shell"]).args(options).arg(&root);
    let script = script.args(["sh", "-c", "echo there; read end; exit 0"]).run().succeeds().stdout.clone();
    let path = caller.home().join("script");
    fs::write(&path, &script).expect("a file");
    let mut running = caller.command("bash").arg(&path).start();
    running.wait_for("there");
    assert_eq!(value(&name, "memory.max").as_deref(), Some("67108864"), "{script}");
    let scope = scope_of(&caller, running.pid(), &name);
    assert!(scope.exists(), "{:?}", cgroups(&name));
    running.finish().succeeds();
    is_gone(&caller, &scope, &name);
}

#[test]
fn in_a_login_without_a_bus_the_way_out_is_said() {
    let place = Place::new();
    let Some(caller) = login(&place, "in_a_login_without_a_bus_the_way_out_is_said") else { return };
    let root = caller.root("box");
    let run = |options: &[&str]| {
        let run = caller.husk(["run", "-q"]).args(options).arg(&root).arg("true");
        run.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus").run()
    };
    run(&[]).succeeds();
    let refused = run(&["-m", "64m"]);
    refused.exits(125).says("--memory").says("not yours to divide").says("systemd-run --user --scope");
    // A cgroup that was named is not looked for elsewhere.
    let named = caller.run(&["-q", "-m", "64m", "--cgroup-parent", "/user.slice"], &root, "true");
    named.exits(125).says("not yours to divide");
}

/// Part of a v2 tree: `/NAME/user` is the ordinary user's, `/NAME` is root's and gives these controllers on. Goes with its owner.
struct Delegated(PathBuf);

impl Delegated {
    fn new(place: &Place, controllers: &str, user: u32) -> Self {
        let top = Path::new("/sys/fs/cgroup").join(name(place, "delegated"));
        let users = top.join("user");
        fs::create_dir(&top).expect("a cgroup");
        fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +memory +pids").expect("controllers");
        fs::write(top.join("cgroup.subtree_control"), controllers).expect("controllers");
        for directory in [users.clone(), users.join("own")] {
            fs::create_dir(&directory).expect("a cgroup");
            for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
                std::os::unix::fs::chown(directory.join(file), Some(user), Some(user)).expect("chown");
            }
        }
        Self(top)
    }

    /// The words that start a command in it, as the user.
    fn through(&self, user: u32) -> Vec<String> {
        let script = format!(
            "echo 0 > {}/user/own/cgroup.procs && exec setpriv --reuid {user} --regid {user} --clear-groups \"$@\"",
            self.0.display()
        );
        ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for directory in ["user/own", "user", ""] {
            let _ = fs::remove_dir(self.0.join(directory));
        }
    }
}

#[test]
fn a_controller_that_is_not_delegated_is_named() {
    let place = Place::new();
    let test = "a_controller_that_is_not_delegated_is_named";
    if !is_root() || !is_v2() {
        skip!(test, "takes root, and cgroup v2 alone");
    }
    let ordinary = place.ordinary();
    let root = ordinary.root("box");
    let part = Delegated::new(&place, "+memory +pids", ordinary.uid());
    let caller = ordinary.clone().through(part.through(ordinary.uid()));
    // What is delegated is used, without asking too.
    caller.run(&["-q", "-m", "64m"], &root, "true").succeeds();
    caller.run(&["-q"], &root, "true").succeeds();
    let level = format!("the controller cpu ends at {}", part.0.display());
    let output = caller.run(&["-q", "--cpus", "1"], &root, "true");
    output.exits(125).says(&format!("--cpus: {level}")).says("Delegate=cpu cpuset io memory pids");
    let told = caller.husk(["why", "run", "-q", "--cpus", "1"]).arg(&root).args(["true"]).run();
    told.exits(125).says(&level).says("because").says("here     ").says("cure     ");
    let doctor = caller.husk(["doctor", "cgroups"]).run();
    let doctor = format!("{}{}", doctor.stdout, doctor.stderr);
    let level = part.0.strip_prefix("/sys/fs/cgroup").expect("below the mount").display();
    assert!(doctor.contains(&format!("/{level} does not give cpu")), "{doctor}");
    assert!(doctor.contains("Delegate=cpu cpuset io memory pids"), "{doctor}");
}

/// The cgroup that a user's systemd has, with memory and pids alone, and somebody who listens where its bus would be.
struct Manager {
    made: Vec<PathBuf>,
    socket: PathBuf,
    _listener: UnixListener,
}

impl Manager {
    fn new(place: &Place, user: u32) -> Self {
        let mut made = Vec::new();
        let mut level = PathBuf::from("/sys/fs/cgroup");
        for below in ["user.slice".to_owned(), format!("user-{user}.slice"), format!("user@{user}.service")] {
            fs::write(level.join("cgroup.subtree_control"), "+memory +pids").expect("controllers");
            level.push(below);
            if !level.exists() {
                fs::create_dir(&level).expect("a cgroup");
                made.push(level.clone());
            }
        }
        let socket = place.path().join("bus");
        let listener = UnixListener::bind(&socket).expect("a socket");
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("chmod");
        Self { made, socket, _listener: listener }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        for cgroup in self.made.iter().rev() {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

#[test]
fn a_controller_that_the_users_systemd_was_not_given_is_named() {
    let place = Place::new();
    let test = "a_controller_that_the_users_systemd_was_not_given_is_named";
    if !is_root() || !is_v2() {
        skip!(test, "takes root, and cgroup v2 alone");
    }
    let caller = place.ordinary();
    let root = caller.root("box");
    let manager = Manager::new(&place, caller.uid());
    let bus = format!("unix:path={}", manager.socket.display());
    let level = "--cpus: the controller cpu ends at /sys/fs/cgroup";
    for (words, status) in [(["run", "-q", "--cpus", "1"], 125), (["explain", "run", "--cpus", "1"], 1)] {
        let output = caller.husk(words).arg(&root).arg("true").env("DBUS_SESSION_BUS_ADDRESS", &bus).run();
        output.exits(status).says(level).says("your systemd").says("Delegate=cpu cpuset io memory pids");
    }
    // What it was given is planned.
    let told = caller.husk(["explain", "run", "-m", "64m"]).arg(&root).arg("true");
    let told = told.env("DBUS_SESSION_BUS_ADDRESS", &bus).run();
    assert!(told.succeeds().stdout.contains("have the user's systemd make the scope"), "{told}");
}

#[test]
fn a_cgroup_can_be_made_in_another() {
    let place = Place::new();
    let test = "a_cgroup_can_be_made_in_another";
    if !is_root() {
        skip!(test, "only root may use the top of the tree");
    }
    let caller = place.root();
    let root = caller.root("box");
    let (name, parent) = (name(&place, "inner"), name(&place, "outer"));
    let path = format!("/{parent}/deep");
    let running = started(&caller, &["--cgroup-parent", &path, "-m", "64m"], &root, &name);
    let made = cgroups(&name);
    assert!(!made.is_empty() && made.iter().all(|made| made.to_string_lossy().contains(&path)), "{made:?}");
    running.signal(Signal::KILL);
    running.finish().exits(137);
    let gone = || {
        let all =
            ["", "memory/", "pids/"].map(|of| Path::new("/sys/fs/cgroup").join(format!("{of}{parent}")));
        all.iter().all(|path| !path.exists())
    };
    until("what was made above it goes", gone);
}
