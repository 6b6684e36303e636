// SPDX-License-Identifier: Apache-2.0
//! Scopes of a real systemd, the machine's for root, the user's own for others.
#![forbid(unsafe_code)]

mod skip;
mod until;

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use husk_cgroup::limits::{Hierarchy, Limits, files};
use husk_cgroup::systemd::{Asked, Scope, SystemdError};
use husk_cgroup::{CgroupError, Hierarchies, Place};
use husk_spec::oci::Resources;
use serde_json::{Value, json};
use skip::skip;
use until::until;

/// Whether there is a systemd to talk to.
fn is_here(test: &str) -> bool {
    let here = Path::new("/run/systemd/system").is_dir();
    if !here {
        skip(test, "systemd does not run here");
    }
    here
}

fn version() -> Hierarchy {
    Hierarchies::read().expect("hierarchies").version
}

fn limits(resources: Value) -> Limits {
    let resources: Resources = serde_json::from_value(resources).expect("resources");
    files(&resources, version()).expect("limits")
}

/// A process that waits to be moved, and the scope around it. Both end with the value.
struct Scoped {
    process: Child,
    scope: Scope,
    /// What is made beside it on version 1.
    beside: Option<Place>,
}

impl Scoped {
    fn new(name: &str) -> Self {
        Self::of(name, Command::new("sleep").arg("60").stdin(Stdio::null()))
    }

    /// With a process that needs 200 MiB of memory once it is sent a line.
    fn waiting(name: &str) -> Self {
        let script = "read line; exec dd if=/dev/zero of=/dev/null count=1 bs=200M 2>/dev/null";
        Self::of(name, Command::new("sh").args(["-c", script]).stdin(Stdio::piped()))
    }

    fn of(name: &str, command: &mut Command) -> Self {
        let user = !rustix::process::geteuid().is_root();
        let path = format!(":husk-test-{}:{name}", std::process::id());
        let process = command.spawn().expect("it starts");
        let scope = Scope::new(Some(&path), "", user).expect("a scope");
        let place = scope.place(&Hierarchies::read().expect("hierarchies"));
        Self { process, scope, beside: place.map(|place| place.beside_systemd()) }
    }

    fn description(&self) -> String {
        format!("process {} of a test", self.pid())
    }

    fn pid(&self) -> i32 {
        self.process.id() as i32
    }

    fn start(&mut self, limits: &Limits) -> Result<Place, SystemdError> {
        if let Some(beside) = &mut self.beside {
            beside.create(&[])?;
            for directory in beside.directories() {
                let procs = directory.path.join("cgroup.procs");
                fs::write(procs, self.process.id().to_string()).expect("it goes in");
            }
        }
        let asked = Asked { limits, devices: None };
        let place = self.scope.start(self.pid(), &asked, &self.description(), self.beside.clone())?;
        place.apply(&limits.writes)?;
        Ok(place)
    }

    fn systemctl(&self, args: &[&str]) -> String {
        let mut command = Command::new("systemctl");
        if self.scope.user {
            command.arg("--user");
        }
        let output = command.args(args).output().expect("systemctl");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Scoped {
    fn drop(&mut self) {
        let _ = self.scope.stop();
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(beside) = &self.beside {
            let _ = beside.remove_unless_used();
        }
    }
}

fn value(place: &Place, file: &str) -> String {
    let controller = file.split('.').next().unwrap_or_default();
    let path = place.directory(controller).expect("a controller").path.join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim().to_owned()
}

#[test]
fn a_scope_has_its_limits_also_after_a_reload_and_an_update() {
    if !is_here("a_scope_has_its_limits_also_after_a_reload_and_an_update") {
        return;
    }
    let mut scoped = Scoped::new("limits");
    let first = limits(json!({
        "memory": { "limit": 67_108_864, "reservation": 33_554_432 },
        "cpu": { "shares": 512, "quota": 50_000, "period": 200_000 },
        "pids": { "limit": 33 },
    }));
    let place = scoped.start(&first).expect("it starts");
    assert!(place.has(scoped.pid()));
    assert!(place.directories().iter().all(|one| one.path.ends_with(&scoped.scope.unit)), "{place:?}");
    let expected: [(&str, &str); 4] = match version() {
        Hierarchy::V2 => [
            ("memory.low", "33554432"),
            ("cpu.weight", "59"),
            ("cpu.max", "50000 200000"),
            ("cpu.max", "50000 200000"),
        ],
        Hierarchy::V1 => [
            ("memory.soft_limit_in_bytes", "33554432"),
            ("cpu.shares", "512"),
            ("cpu.cfs_quota_us", "50000"),
            ("cpu.cfs_period_us", "200000"),
        ],
    };
    let limit = if version() == Hierarchy::V2 { "memory.max" } else { "memory.limit_in_bytes" };
    let check = |what: &str, memory: &str, pids: &str| {
        assert_eq!([limit, "pids.max"].map(|file| value(&place, file)), [memory, pids], "{what}");
        assert_eq!(expected.map(|(file, _)| value(&place, file)), expected.map(|(_, value)| value), "{what}");
    };
    check("at first", "67108864", "33");
    scoped.systemctl(&["daemon-reload"]);
    check("after a reload", "67108864", "33");
    let later = limits(json!({ "memory": { "limit": 134_217_728 }, "pids": { "limit": 44 } }));
    scoped.scope.update(&place, &Asked { limits: &later, devices: None }).expect("an update");
    check("after an update", "134217728", "44");
    scoped.systemctl(&["daemon-reload"]);
    check("after an update and a reload", "134217728", "44");
    assert_eq!(scoped.systemctl(&["show", "-p", "TasksMax", "--value", &scoped.scope.unit]), "44");
}

/// The number of a disk, `MAJOR:MINOR`; limits are for whole ones.
fn disk() -> Option<String> {
    let has_device = |entry: &fs::DirEntry| entry.path().join("device").exists();
    let disk = fs::read_dir("/sys/block").ok()?.flatten().find(has_device)?;
    Some(fs::read_to_string(disk.path().join("dev")).ok()?.trim().to_owned())
}

#[test]
fn limits_of_input_and_output_and_idleness_outlast_a_reload() {
    const NAME: &str = "limits_of_input_and_output_and_idleness_outlast_a_reload";
    if !is_here(NAME) {
        return;
    }
    if version() == Hierarchy::V1 {
        return skip(NAME, "these are properties of version 2");
    }
    let Some(disk) = disk() else { return skip(NAME, "there is no disk") };
    let (major, minor) = disk.split_once(':').expect("two numbers");
    let rate = |rate: u64| {
        let number = |text: &str| text.parse::<u64>().expect("a number");
        json!([{"major": number(major), "minor": number(minor), "rate": rate}])
    };
    let mut scoped = Scoped::new("io");
    let first = limits(json!({
        "blockIO": {"weight": 500, "throttleReadBpsDevice": rate(1_048_576)},
        "cpu": {"idle": 1},
    }));
    let place = scoped.start(&first).expect("it starts");
    let has_bfq = place.directory("io").is_some_and(|io| io.path.join("io.bfq.weight").exists());
    let (weight, number) = if has_bfq { ("io.bfq.weight", "500") } else { ("io.weight", "4950") };
    let check = |what: &str, weighs: &str, io: &str, idle: &str| {
        let found = [weight, "io.max", "cpu.idle"].map(|file| value(&place, file));
        assert_eq!(found, [format!("default {weighs}"), format!("{disk} {io}"), idle.to_owned()], "{what}");
    };
    let io = "rbps=1048576 wbps=max riops=max wiops=max";
    check("at first", number, io, "1");
    scoped.systemctl(&["daemon-reload"]);
    check("after a reload", number, io, "1");
    let later = limits(json!({
        "blockIO": {"weight": 100, "throttleWriteIOPSDevice": rate(77)},
        "cpu": {"idle": 0},
    }));
    scoped.scope.update(&place, &Asked { limits: &later, devices: None }).expect("an update");
    let (number, io) = (if has_bfq { "100" } else { "910" }, "rbps=1048576 wbps=max riops=max wiops=77");
    check("after an update", number, io, "0");
    scoped.systemctl(&["daemon-reload"]);
    check("after an update and a reload", number, io, "0");
    assert_eq!(value(&place, "cpu.weight"), "100");
    let idle = limits(json!({"cpu": {"idle": 1}}));
    scoped.scope.update(&place, &Asked { limits: &idle, devices: None }).expect("idle again");
    check("idle again", number, io, "1");
    let told = scoped.systemctl(&["show", "-p", "IOReadBandwidthMax", "--value", &scoped.scope.unit]);
    assert_eq!(told, format!("/dev/block/{disk} 1048576"));
}

/// systemd says of a property that it does not know that the whole unit cannot be made.
#[test]
fn what_systemd_is_too_old_to_know_it_is_not_told() {
    const NAME: &str = "what_systemd_is_too_old_to_know_it_is_not_told";
    if !is_here(NAME) {
        return;
    }
    if version() == Hierarchy::V1 {
        return skip(NAME, "these are properties of version 2");
    }
    let mut scoped = Scoped::new("older");
    let place = scoped.start(&limits(json!({"unified": {"memory.zswap.max": "8192"}}))).expect("it starts");
    assert_eq!(value(&place, "memory.zswap.max"), "8192");
    let later = limits(json!({"unified": {"memory.zswap.max": "4096"}, "memory": {"limit": 67_108_864}}));
    scoped.scope.update(&place, &Asked { limits: &later, devices: None }).expect("an update");
    assert_eq!(value(&place, "memory.zswap.max"), "4096");
    scoped.systemctl(&["daemon-reload"]);
    assert_eq!(value(&place, "memory.zswap.max"), "4096");
}

#[test]
fn a_stopped_scope_is_gone_and_its_name_is_free() {
    if !is_here("a_stopped_scope_is_gone_and_its_name_is_free") {
        return;
    }
    let mut scoped = Scoped::new("again");
    for round in 0..3 {
        let place = scoped.start(&Limits::default()).unwrap_or_else(|error| panic!("{round}: {error}"));
        assert_eq!(place.pids().expect("a list"), [scoped.pid()]);
        scoped.scope.stop().expect("it stops");
        until("its cgroup is gone", || !place.exists());
        scoped.process.wait().expect("systemd has ended it");
        scoped.process = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().expect("sleep");
    }
    scoped.scope.stop().expect("what is gone is no error");
}

/// As when whoever asked was killed before systemd had read it: systemd sees nobody leave a scope that nobody ever was in.
#[test]
fn a_scope_around_a_dead_process_is_known_by_its_description() {
    if !is_here("a_scope_around_a_dead_process_is_known_by_its_description") {
        return;
    }
    let mut scoped = Scoped::new("dead");
    scoped.process.kill().expect("it can be killed");
    // It stays a zombie, as long as nobody waits for it.
    let stat = format!("/proc/{}/stat", scoped.pid());
    until("it is dead", || fs::read_to_string(&stat).is_ok_and(|text| text.contains(") Z ")));
    match (version(), scoped.start(&Limits::default())) {
        (Hierarchy::V2, started) => drop(started.expect("systemd takes it for a process")),
        // Version 1 says of the dead that they are at the top.
        (Hierarchy::V1, started) => {
            assert!(
                matches!(started, Err(SystemdError::Cgroup(CgroupError::Elsewhere { .. }))),
                "{started:?}"
            );
        }
    }
    scoped.scope.stop_if(&scoped.description()).expect("it stops");
    let state = |scoped: &Scoped| scoped.systemctl(&["is-active", &scoped.scope.unit]);
    assert_eq!(state(&scoped), "inactive");

    scoped.process.wait().expect("a dead process");
    scoped.process = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().expect("sleep");
    scoped.start(&Limits::default()).expect("the name is free");
    scoped.scope.stop_if("another's").expect("nothing is done");
    assert_eq!(state(&scoped), "active");
    scoped.scope.stop_if(&scoped.description()).expect("it stops");
    assert_eq!(state(&scoped), "inactive");
    scoped.scope.stop_if(&scoped.description()).expect("what is gone is no error");
}

#[test]
fn a_name_that_is_taken_is_refused() {
    if !is_here("a_name_that_is_taken_is_refused") {
        return;
    }
    let mut first = Scoped::new("taken");
    let mut second = Scoped::new("taken");
    let place = first.start(&Limits::default()).expect("it starts");
    let error = second.start(&Limits::default()).expect_err("an error").to_string();
    match version() {
        Hierarchy::V2 => {
            assert!(error.starts_with("systemd refuses StartTransientUnit: "), "{error}");
            assert!(error.contains("UnitExists"), "{error}");
        }
        // What is made beside it comes first.
        Hierarchy::V1 => assert!(error.contains("has processes in it already"), "{error}"),
    }
    assert!(place.has(first.pid()) && !place.has(second.pid()));
}

#[test]
fn without_systemd_the_error_says_where_it_was_looked_for() {
    if Path::new("/run/systemd/system").is_dir() {
        return skip("without_systemd_the_error_says_where_it_was_looked_for", "systemd runs here");
    }
    let user = !rustix::process::geteuid().is_root();
    let scope = Scope::new(None, "husk-test-none", user).expect("a scope");
    let (limits, found) = (Limits::default(), Hierarchies::read().expect("hierarchies"));
    let asked = Asked { limits: &limits, devices: None };
    assert_eq!(Scope::refused(&found, user).is_some(), user && found.version == Hierarchy::V1);
    let error = scope.start(std::process::id() as i32, &asked, "none", None).expect_err("an error");
    let error = error.to_string();
    let expected = ["connecting to systemd through /run/", "for an ordinary user's systemd"];
    assert!(expected.iter().any(|text| error.starts_with(text)), "{error}");
}

/// What the kernel has counted in a scope goes with it, and systemd takes it away as soon as it is empty.
#[test]
fn a_kill_for_memory_is_known_when_the_scope_is_gone() {
    if !is_here("a_kill_for_memory_is_known_when_the_scope_is_gone") {
        return;
    }
    let limits = limits(json!({ "memory": { "limit": 33_554_432, "swap": 33_554_432 } }));
    let killed_in_scope = |name: &str, kill: &dyn Fn(&mut Child)| {
        let mut scoped = Scoped::waiting(name);
        let place = scoped.start(&limits).expect("it starts");
        let watch = place.watch_scope();
        kill(&mut scoped.process);
        let status = scoped.process.wait().expect("one's own child");
        assert_eq!(status.signal(), Some(9), "{name}");
        until("the scope is gone", || !place.exists());
        assert_eq!(watch.kills(), None, "{name}: it cannot be asked any more");
        (watch.kills_of_killed(), place)
    };
    let (kills, place) = killed_in_scope("memory", &|process| {
        process.stdin.take().expect("it is piped").write_all(b"\n").expect("it reads");
    });
    let limit = kills.expect("it was killed for want of memory").limit.expect("a limit");
    assert!(limit.is_own && limit.bytes == 33_554_432, "{limit:?}");
    assert_eq!(limit.directory, place.directory("memory").expect("a controller").path);
    // The harmless twin.
    let (kills, _) = killed_in_scope("otherwise", &|process| process.kill().expect("one's own child"));
    assert_eq!(kills, None, "somebody else has killed it");
}
