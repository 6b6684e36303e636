// SPDX-License-Identifier: Apache-2.0
//! Scopes of a real systemd, the machine's for root, the user's own for others.
#![forbid(unsafe_code)]

mod skip;
mod until;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use husk_cgroup::Place;
use husk_cgroup::limits::{Hierarchy, Limits, files};
use husk_cgroup::systemd::{Scope, SystemdError};
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

fn limits(resources: Value) -> Limits {
    let resources: Resources = serde_json::from_value(resources).expect("resources");
    files(&resources, Hierarchy::V2).expect("limits")
}

/// A process that waits to be moved, and the scope around it. Both end with the value.
struct Scoped {
    process: Child,
    scope: Scope,
}

impl Scoped {
    fn new(name: &str) -> Self {
        let user = !rustix::process::geteuid().is_root();
        let path = format!(":husk-test-{}:{name}", std::process::id());
        let process = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().expect("sleep");
        Self { process, scope: Scope::new(Some(&path), "", user).expect("a scope") }
    }

    fn description(&self) -> String {
        format!("process {} of a test", self.pid())
    }

    fn pid(&self) -> i32 {
        self.process.id() as i32
    }

    fn start(&self, limits: &Limits) -> Result<Place, SystemdError> {
        let place = self.scope.start(self.pid(), limits, &self.description())?;
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
    }
}

fn value(place: &Place, file: &str) -> String {
    let path = place.directories()[0].path.join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim().to_owned()
}

#[test]
fn a_scope_has_its_limits_also_after_a_reload_and_an_update() {
    if !is_here("a_scope_has_its_limits_also_after_a_reload_and_an_update") {
        return;
    }
    let scoped = Scoped::new("limits");
    let first = limits(json!({
        "memory": { "limit": 67_108_864, "reservation": 33_554_432 },
        "cpu": { "shares": 512, "quota": 50_000, "period": 200_000 },
        "pids": { "limit": 33 },
    }));
    let place = scoped.start(&first).expect("it starts");
    assert!(place.has(scoped.pid()));
    assert!(place.directories()[0].path.ends_with(&scoped.scope.unit), "{place:?}");
    let check = |what: &str, memory: &str, pids: &str| {
        let found =
            ["memory.max", "memory.low", "cpu.weight", "cpu.max", "pids.max"].map(|f| value(&place, f));
        assert_eq!(found, [memory, "33554432", "59", "50000 200000", pids], "{what}");
    };
    check("at first", "67108864", "33");
    scoped.systemctl(&["daemon-reload"]);
    check("after a reload", "67108864", "33");
    let later = limits(json!({ "memory": { "limit": 134_217_728 }, "pids": { "limit": 44 } }));
    scoped.scope.update(&place, &later).expect("an update");
    check("after an update", "134217728", "44");
    scoped.systemctl(&["daemon-reload"]);
    check("after an update and a reload", "134217728", "44");
    assert_eq!(scoped.systemctl(&["show", "-p", "TasksMax", "--value", &scoped.scope.unit]), "44");
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
    scoped.start(&Limits::default()).expect("systemd takes it for a process");
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
    let first = Scoped::new("taken");
    let second = Scoped::new("taken");
    let place = first.start(&Limits::default()).expect("it starts");
    let error = second.start(&Limits::default()).expect_err("an error").to_string();
    assert!(
        error.starts_with("systemd refuses StartTransientUnit: ") && error.contains("UnitExists"),
        "{error}"
    );
    assert!(place.has(first.pid()) && !place.has(second.pid()));
}

#[test]
fn without_systemd_the_error_says_where_it_was_looked_for() {
    if Path::new("/run/systemd/system").is_dir() {
        return skip("without_systemd_the_error_says_where_it_was_looked_for", "systemd runs here");
    }
    let scoped = Scoped::new("none");
    let error = scoped.start(&Limits::default()).expect_err("an error").to_string();
    let expected = ["connecting to systemd through /run/", "the systemd driver needs cgroup v2"];
    assert!(expected.iter().any(|text| error.starts_with(text)), "{error}");
}
