// SPDX-License-Identifier: Apache-2.0
//! Containers whose cgroups systemd makes: what is not so with the runtime's own. Where there is no systemd, the refusal.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Instant;

use husk_tests::oci::{Bundle, Cgroup, Container, Site, is_unified};
use husk_tests::{Command, Place, oci_site, until};
use serde_json::{Value, json};

/// Whether scopes can be had; else it is said as a skip.
fn has_scopes(site: &Site) -> bool {
    let has = Path::new("/run/systemd/system").is_dir();
    if !has {
        site.note("scopes take a systemd that runs");
    }
    has
}

/// A name that no other unit has.
fn name(site: &Site) -> String {
    site.cgroup().path().trim_matches(['/', '.']).replace(".slice", "").replace('-', "")
}

/// A bundle whose cgroup is the scope `NAME-ID.scope` in `system.slice`.
fn bundle<'s>(site: &'s Site, script: &str) -> (Bundle<'s>, String) {
    let bundle = site.bundle().sh(script);
    let path = format!(":{}:{}", name(site), bundle.id());
    let unit = format!("{}-{}.scope", name(site), bundle.id());
    (bundle.change(|spec| spec["linux"]["cgroupsPath"] = json!(path)), unit)
}

#[track_caller]
fn create<'s>(bundle: &Bundle<'s>) -> Container<'s> {
    bundle.create_with(&["--systemd-cgroup"], &[]).unwrap_or_else(|output| panic!("{output}"))
}

fn cgroup(unit: &str) -> Cgroup {
    Cgroup::new(&format!("system.slice/{unit}"))
}

/// Whether there is a cgroup by which systemd knows the unit.
fn has_scope(unit: &str) -> bool {
    cgroup(unit).directory("systemd").exists()
}

/// What a file says, which has one name on version 1 and another on version 2.
fn read(unit: &str, v1: &str, v2: &str) -> String {
    let file = if is_unified() { v2 } else { v1 };
    let controller = v1.split('.').next().unwrap_or_default();
    cgroup(unit).read(controller, file).unwrap_or_else(|| panic!("{unit}: no {file}"))
}

/// Quota and period.
fn bandwidth(unit: &str) -> String {
    match is_unified() {
        true => read(unit, "", "cpu.max"),
        false => format!("{} {}", read(unit, "cpu.cfs_quota_us", ""), read(unit, "cpu.cfs_period_us", "")),
    }
}

fn systemctl(words: &[&str]) -> String {
    Command::new("systemctl").args(words).run().stdout.trim_end().to_owned()
}

/// The names of units, also those that have failed, that begin with this test's name.
fn units(site: &Site) -> String {
    systemctl(&["list-units", "--all", "--plain", "--no-legend", &format!("{}-*", name(site))])
}

/// Version 2 beside version 1, where systemd runs without it.
fn is_empty_v2(line: &str) -> bool {
    line == "0::/" && !is_unified() && !Path::new("/sys/fs/cgroup/unified").exists()
}

#[test]
fn limits_are_systemds_too_and_outlast_a_reload() {
    let site = oci_site!();
    if !has_scopes(&site) {
        return;
    }
    let (bundle, unit) = bundle(&site, "sleep 1000");
    let bundle = bundle.change(|spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 67_108_864});
        spec["linux"]["resources"]["pids"] = json!({"limit": 33});
        spec["linux"]["resources"]["cpu"] = json!({"quota": 12_345, "period": 50_000});
    });
    let container = create(&bundle);
    container.start();
    let values = || {
        let memory = read(&unit, "memory.limit_in_bytes", "memory.max");
        [memory, read(&unit, "pids.max", "pids.max"), bandwidth(&unit)]
    };
    let first = ["67108864", "33", "12345 50000"];
    assert_eq!(values(), first);
    systemctl(&["daemon-reload"]);
    // systemd keeps quotas in percent, and writes what it keeps.
    let rounded = ["67108864", "33", "12500 50000"];
    assert!(values() == first || values() == rounded, "{:?}", values());
    let limits = site.path().join("limits.json");
    fs::write(&limits, r#"{"memory": {"limit": 33554432}, "pids": {"limit": 44}}"#).expect("a file");
    // As engines do it: without the flag.
    site.oci(["update", "--resources"]).arg(&limits).arg(container.id()).run().succeeds();
    assert_eq!(values()[..2], ["33554432", "44"]);
    systemctl(&["daemon-reload"]);
    assert_eq!(values()[..2], ["33554432", "44"]);
    assert_eq!(systemctl(&["show", "-p", "TasksMax", "--value", &unit]), "44");
    assert_eq!(systemctl(&["show", "-p", "Delegate", "--value", &unit]), "yes");
    container.delete();
    assert!(!cgroup(&unit).exists());
    assert_eq!(units(&site), "");
}

/// systemd writes all that it knows of whenever it is told something, and its quotas are in percent.
#[test]
fn an_update_leaves_the_other_limits_as_they_are() {
    let site = oci_site!();
    if !has_scopes(&site) || site.deviates("runc", "leaves what systemd has rounded") {
        return;
    }
    if site.deviates("crun", "leaves what systemd has rounded") {
        return;
    }
    let (bundle, unit) = bundle(&site, "sleep 1000");
    let bundle = bundle.change(|spec| {
        spec["linux"]["resources"]["cpu"] = json!({"quota": 12_345, "period": 50_000, "shares": 512});
        spec["linux"]["resources"]["memory"] = json!({"reservation": 33_554_432});
    });
    let container = create(&bundle);
    container.start();
    let update = |limits: &str| {
        let file = site.path().join("limits.json");
        fs::write(&file, limits).expect("a file");
        site.oci(["update", "--resources"]).arg(&file).arg(container.id()).run().succeeds();
    };
    let others = || {
        let shares = read(&unit, "cpu.shares", "cpu.weight");
        [shares, read(&unit, "memory.soft_limit_in_bytes", "memory.low")]
    };
    let before = others();
    update(r#"{"pids": {"limit": 44}}"#);
    assert_eq!(
        (read(&unit, "pids.max", "pids.max").as_str(), bandwidth(&unit).as_str()),
        ("44", "12345 50000")
    );
    assert_eq!(others(), before);
    if !is_unified() {
        // On version 2 the two are one file.
        update(r#"{"cpu": {"period": 60000}}"#);
        assert_eq!(bandwidth(&unit), "12345 60000");
        update(r#"{"cpu": {"quota": 23456}}"#);
        assert_eq!(bandwidth(&unit), "23456 60000");
        systemctl(&["daemon-reload"]);
        let (quota, rounded) = ("23456 60000", "24000 60000");
        assert!([quota, rounded].contains(&bandwidth(&unit).as_str()), "{}", bandwidth(&unit));
    }
    assert_eq!(others(), before);
    container.delete();
}

/// What was told to systemd before a file is refused is taken back, so that a reload brings nothing of it.
#[test]
fn a_refused_update_is_forgotten_by_systemd() {
    let site = oci_site!();
    if !has_scopes(&site) || site.deviates("runc", "leaves what it had written") {
        return;
    }
    if site.deviates("crun", "leaves what it had written") {
        return;
    }
    let (bundle, unit) = bundle(&site, "sleep 1000");
    let bundle = bundle.change(|spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 67_108_864});
        spec["linux"]["resources"]["cpu"] = json!({"quota": 12_000, "period": 50_000});
    });
    let container = create(&bundle);
    container.start();
    let files = || {
        let memory = read(&unit, "memory.limit_in_bytes", "memory.max");
        let list = if is_unified() { String::new() } else { read(&unit, "devices.list", "") };
        let mut devices: Vec<_> = list.lines().map(str::to_owned).collect();
        devices.sort_unstable();
        let share = read(&unit, "cpu.shares", "cpu.weight");
        (memory, read(&unit, "pids.max", "pids.max"), share, bandwidth(&unit), devices)
    };
    let properties = || {
        let names = "MemoryMax,MemoryLimit,TasksMax,CPUQuotaPerSecUSec,AllowedCPUs,DevicePolicy";
        systemctl(&["show", "-p", names, &unit])
    };
    let before = (files(), properties());
    // No kernel knows so many nodes; systemd takes the number.
    let asked = json!({
        "memory": {"limit": 33_554_432},
        "pids": {"limit": 44},
        "cpu": {"idle": 1, "quota": 20_000, "period": 40_000, "cpus": "0", "mems": "1023"},
        "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw"}],
    });
    let update = container.verb_with("update", ["--resources", "-"]).input(asked.to_string()).run();
    update.exits(1).says("mems");
    assert_eq!(files(), before.0);
    systemctl(&["daemon-reload"]);
    assert_eq!(files(), before.0, "after a reload");
    // What was not set at all is now set to what it was.
    let without = |text: &str| {
        let is_other = |line: &&str| !line.starts_with("TasksMax") && !line.starts_with("AllowedCPUs");
        text.lines().filter(is_other).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without(&properties()), without(&before.1));
    assert_eq!(container.status(), "running");
    container.delete();
    assert_eq!(units(&site), "");
}

/// On version 1 the list of devices is systemd's to write, and without a word it would allow all.
#[test]
fn devices_stay_denied_whatever_systemd_writes() {
    let site = oci_site!();
    if !has_scopes(&site) {
        return;
    }
    let log = "if echo x > /dev/log0; then echo allowed; else echo denied; fi 2>/dev/null";
    for (rules, expected) in [
        (json!([{"allow": false, "access": "rwm"}]), "denied\n"),
        (
            json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw"}]),
            "allowed\n",
        ),
        (json!([{"allow": true, "access": "rwm"}]), "allowed\n"),
    ] {
        let (bundle, unit) = bundle(
            &site,
            "while :; do for i in 1 2 3 4 5 6 7 8; do echo x > /dev/null || exit 9; done; sleep 0.01; done",
        );
        let bundle = bundle.change(|spec| {
            spec["linux"]["resources"]["devices"] = rules.clone();
            spec["linux"]["devices"] = json!([{"path": "/dev/log0", "type": "c", "major": 1, "minor": 11}]);
        });
        let container = create(&bundle);
        container.start();
        let list = || match is_unified() {
            true => String::new(),
            false => {
                let text = read(&unit, "devices.list", "");
                let mut lines: Vec<_> = text.lines().collect();
                lines.sort_unstable();
                lines.join("; ")
            }
        };
        let first = list();
        container.exec(&["sh", "-c", log]).prints(expected);
        site.oci(["update", "--pids-limit", "50", container.id()]).run().succeeds();
        assert_eq!(list(), first, "after an update");
        assert_eq!(container.status(), "running", "it was never without /dev/null");
        container.exec(&["sh", "-c", log]).prints(expected);
        container.delete();

        let bundle = bundle.sh("sleep 1000");
        let container = create(&bundle);
        systemctl(&["daemon-reload"]);
        let all_of_both = |list: String| list.replace("b *:* rwm; c *:* rwm", "a *:* rwm");
        assert_eq!(all_of_both(list()), all_of_both(first), "after a reload");
        container.start();
        container.exec(&["sh", "-c", log]).prints(expected);
        container.delete();
        assert!(!cgroup(&unit).exists());
    }
}

#[test]
fn devices_that_are_denied_of_what_is_allowed_are_refused_on_version_1() {
    let site = oci_site!();
    if !has_scopes(&site)
        || site.deviates("runc", "has systemd allow all")
        || site.deviates("crun", "says nothing")
    {
        return;
    }
    if is_unified() {
        return site.note("on v2 systemd allows nothing that others deny");
    }
    let (bundle, unit) = bundle(&site, "true");
    let bundle = bundle.change(|spec| {
        spec["linux"]["resources"]["devices"] = json!([
            {"allow": true, "access": "rwm"},
            {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwm"}
        ]);
    });
    let refused = bundle.create_with(&["--systemd-cgroup"], &[]).expect_err("a refusal");
    refused.exits(1).says("linux.resources.devices: on cgroup v1");
    assert!(!cgroup(&unit).exists());
    assert_eq!(units(&site), "");
}

#[test]
fn annotations_are_properties_of_the_scope() {
    let site = oci_site!();
    if !has_scopes(&site) || site.deviates("crun", "knows no Sec for USec") {
        return;
    }
    let annotate = |name: &'static str, value: &'static str| {
        move |spec: &mut Value| {
            spec["annotations"][format!("org.systemd.property.{name}")] = json!(value);
        }
    };
    let (bundle, unit) = bundle(&site, "sleep 1000");
    let bundle = bundle
        .change(annotate("TimeoutStopUSec", "uint64 123000000"))
        .change(annotate("RuntimeMaxSec", "3600"))
        .change(annotate("CollectMode", "'inactive'"))
        .change(annotate("Documentation", "['https://example.org/a', 'https://example.org/b']"));
    let container = create(&bundle);
    let is = |property: &str| systemctl(&["show", "-p", property, "--value", &unit]);
    assert_eq!(is("TimeoutStopUSec"), "2min 3s");
    assert_eq!(is("RuntimeMaxUSec"), "1h");
    assert_eq!(is("CollectMode"), "inactive");
    assert_eq!(is("Documentation"), "https://example.org/a https://example.org/b");
    container.delete();
    let bundle = bundle.change(annotate("TimeoutStopUSec", "soon"));
    let refused = bundle.create_with(&["--systemd-cgroup"], &[]).expect_err("a refusal");
    refused.exits(1).says("annotations[\"org.systemd.property.TimeoutStopUSec\"]");
    assert_eq!(units(&site), "");
}

#[test]
fn every_verb_finds_the_scope_without_being_told() {
    let site = oci_site!();
    if !has_scopes(&site) {
        return;
    }
    let (bundle, unit) = bundle(&site, "echo up; while :; do sleep 1; done");
    for private in [false, true] {
        let bundle = &bundle;
        let changed = bundle.spec.clone();
        let bundle = site.bundle().change(|spec| {
            *spec = changed;
            spec["root"]["path"] = json!(bundle.in_root(""));
            if private {
                let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("an array");
                namespaces.push(json!({"type": "cgroup"}));
            }
        });
        let container = create(&bundle);
        container.start();
        container.wait_for("up");
        let text = fs::read_to_string(container.proc("cgroup")).expect("cgroups");
        let path = format!("/system.slice/{unit}");
        assert!(text.lines().all(|line| line.ends_with(&path) || is_empty_v2(line)), "{text}");
        let seen = container.exec(&["cat", "/proc/self/cgroup"]);
        let expected = if private { text.replace(&path, "/") } else { text.clone() };
        seen.succeeds().prints(&expected);
        let pids = container.verb_with("ps", ["--format", "json"]).run();
        let pids: Vec<u32> = serde_json::from_str(&pids.succeeds().stdout).expect("JSON");
        assert!(pids.contains(&container.pid()), "{pids:?}");
        let stats = container.verb_with("events", ["--stats"]).run();
        assert!(stats.succeeds().stdout.contains("\"pids\":{\"current\":"), "{stats}");
        container.verb("pause").run().succeeds();
        let frozen = read(&unit, "freezer.self_freezing", "cgroup.freeze");
        assert_eq!((container.status().as_str(), frozen.as_str()), ("paused", "1"));
        container.verb("resume").run().succeeds();
        assert_eq!(container.status(), "running");
        container.verb_with("kill", ["--all"]).arg("KILL").run().succeeds();
        container.wait();
        container.verb("delete").run().succeeds();
        assert!(!cgroup(&unit).exists());
        assert_eq!(units(&site), "");
    }
}

#[test]
fn a_scope_of_another_containers_is_left_alone() {
    let site = oci_site!();
    if !has_scopes(&site) {
        return;
    }
    let (first, unit) = bundle(&site, "exit 0");
    let old = create(&first);
    old.start();
    old.wait();
    until("systemd takes the empty scope away", || !has_scope(&unit));
    // Another container has the name by now.
    let changed = first.spec.clone();
    let second = site.bundle().change(|spec| *spec = changed).sh("sleep 1000");
    let second = second.change(|spec| spec["root"]["path"] = json!(first.in_root("")));
    let young = create(&second);
    young.start();
    // And a third wants it, too.
    let changed = second.spec.clone();
    let third = site.bundle().change(|spec| *spec = changed);
    let refused = third.create_with(&["--systemd-cgroup"], &[]).expect_err("the name is taken");
    let is_said = |reason| refused.stderr.contains(reason);
    assert!(is_said("UnitExists") || !is_unified() && is_said("has processes in it already"), "{refused}");
    assert_eq!(young.status(), "running", "what failed has taken nothing of it along");
    old.verb_with("delete", ["--force"]).run().succeeds();
    assert_eq!(young.status(), "running", "nor has the delete of whoever had the name before");
    young.delete();
    assert_eq!(units(&site), "");
}

#[test]
fn killed_for_memory_leaves_no_unit_that_has_failed() {
    let site = oci_site!();
    if !has_scopes(&site) {
        return;
    }
    let (bundle, unit) = bundle(&site, "dd if=/dev/zero of=/dev/null bs=190M count=1; kill -9 $$");
    let bundle = bundle.change(|spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 33_554_432, "swap": 33_554_432});
    });
    let container = create(&bundle);
    container.start();
    container.wait();
    container.verb("delete").run().succeeds();
    assert!(!cgroup(&unit).exists());
    until("no unit is left", || units(&site).is_empty());
}

#[test]
fn a_runtime_that_is_killed_leaves_no_scope() {
    let site = oci_site!();
    if !has_scopes(&site) {
        return;
    }
    let (bundle, unit) = bundle(&site, "sleep 1000");
    let begin = Instant::now();
    create(&bundle).delete();
    let took = begin.elapsed();
    const TIMES: u32 = 16;
    for number in 0..TIMES {
        let create = site.oci(["--systemd-cgroup", "create", "--bundle"]).arg(bundle.path()).arg(bundle.id());
        let mut create = create.process();
        create.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let mut create = create.stderr(std::process::Stdio::null()).spawn().expect("the runtime starts");
        sleep(took * number / TIMES);
        create.kill().expect("one's own child can be killed");
        create.wait().expect("one's own child can be waited for");
        site.oci(["delete", "--force", bundle.id()]).run().succeeds();
        until("its cgroup is gone", || !cgroup(&unit).exists());
        until("its unit is gone", || units(&site).is_empty());
        assert!(!site.root().join(bundle.id()).exists(), "the state is gone");
    }
}

#[test]
fn a_damaged_state_loses_no_scope() {
    let site = oci_site!();
    if !has_scopes(&site) || site.deviates("runc", "has another state file") {
        return;
    }
    if site.deviates("crun", "has another state file") {
        return;
    }
    let hook =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("cat > {}/heard", site.path().display())]}]);
    for keep in [0, 1, 200] {
        // The first of a pid namespace does not hear systemd's SIGTERM.
        let (bundle, unit) = bundle(&site, "sleep 1000 & sleep 1000 & wait");
        let bundle = bundle.change(|spec| spec["hooks"] = json!({"poststop": hook}));
        let container = create(&bundle);
        container.start();
        let file = site.root().join(bundle.id()).join("state.json");
        let state = fs::read(&file).expect("a state");
        fs::write(&file, &state[..keep]).expect("a file");
        site.oci(["delete", bundle.id()]).run().exits(1).says("damaged");
        assert!(has_scope(&unit), "without --force all stays");
        // systemd would wait for longer than any command may take here.
        container.delete();
        assert!(!cgroup(&unit).exists());
        assert_eq!(units(&site), "");
        assert!(!site.root().join(bundle.id()).exists(), "the state is gone");
        assert!(fs::read_to_string(site.path().join("heard")).is_ok_and(|state| state.contains(bundle.id())));
        fs::remove_file(site.path().join("heard")).expect("a file");
    }

    // Another container has the name by now.
    let (first, unit) = bundle(&site, "exit 0");
    let old = create(&first);
    old.start();
    old.wait();
    until("systemd takes the empty scope away", || !has_scope(&unit));
    fs::write(site.root().join(first.id()).join("state.json"), "{").expect("a file");
    let changed = first.spec.clone();
    let second = site.bundle().change(|spec| *spec = changed).sh("sleep 1000");
    let second = second.change(|spec| spec["root"]["path"] = json!(first.in_root("")));
    let young = create(&second);
    young.start();
    old.verb_with("delete", ["--force"]).run().succeeds();
    assert_eq!(young.status(), "running");
    young.delete();
    assert_eq!(units(&site), "");
}

#[test]
fn where_there_are_no_scopes_the_refusal_says_what_to_do() {
    let site = oci_site!();
    if Path::new("/run/systemd/system").is_dir() {
        return site.note("scopes can be had here");
    }
    let (bundle, _) = bundle(&site, "true");
    let refused = bundle.create_with(&["--systemd-cgroup"], &[]).expect_err("no scopes");
    if site.runtime().name() != "husk-oci" {
        return site.note("other runtimes have other words");
    }
    let said = &refused.stderr;
    assert!(said.contains("--systemd-cgroup: ") && said.contains("cgroupfs driver"), "{refused}");
    assert!(!site.root().join(bundle.id()).exists());
    assert!(!site.cgroup().exists());
}

/// The steps about cgroups, each with the field that it comes from.
fn about_cgroups(steps: impl Iterator<Item = String>) -> Vec<String> {
    steps.filter(|step| step.contains("[linux.cgroupsPath]") || step.contains("[linux.resources")).collect()
}

/// With nothing but the path to go by, `husk explain` shows what an engine with `--systemd-cgroup` gets.
#[test]
fn husk_explains_the_steps_of_a_scope() {
    let site = oci_site!();
    if !has_scopes(&site) {
        return;
    }
    if site.runtime().name() != "husk-oci" {
        return site.note("husk explains husk-oci");
    }
    let (bundle, unit) = bundle(&site, "true");
    let bundle = bundle.change(|spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 67_108_864});
        spec["linux"]["resources"]["cpu"] = json!({"quota": 12_345, "period": 50_000, "cpus": "0"});
    });
    let log = site.path().join("debug.log");
    let file = log.display().to_string();
    let made = bundle.create_with(&["--systemd-cgroup", "--debug", "--log", &file], &[]);
    made.unwrap_or_else(|output| panic!("{output}")).delete();
    let log = fs::read_to_string(&log).expect("the log");
    let done = about_cgroups(log.lines().filter_map(|line| {
        let message = line.split_once("msg=\"")?.1.split_once(": ")?.1;
        Some(message.trim_end_matches('"').to_owned())
    }));
    let place = Place::new();
    let explained = place.root().husk(["explain", "--format", "json", "--bundle"]).arg(bundle.path()).run();
    let explained: Value = serde_json::from_str(&explained.succeeds().stdout).expect("JSON");
    let word = |step: &Value, name: &str| step[name].as_str().expect("a text").to_owned();
    let steps = explained["steps"].as_array().expect("steps").iter();
    let steps = about_cgroups(steps.map(|step| format!("{} [{}]", word(step, "does"), word(step, "origin"))));
    assert_eq!(steps, done, "{log}");
    let scope = format!("have the machine's systemd make the scope {unit} in system.slice around it, with ");
    let scope = steps.iter().find_map(|step| step.strip_prefix(&scope));
    let scope = scope.unwrap_or_else(|| panic!("{steps:#?}"));
    let properties: &[&str] = match is_unified() {
        true => &["MemoryMax=67108864", "CPUQuota=25%", "CPUQuotaPeriodSec=50000us", "AllowedCPUs=0"],
        false => &["MemoryLimit=67108864", "CPUQuota=25%", "CPUQuotaPeriodSec=50000us"],
    };
    for property in properties {
        assert!(scope.contains(property), "{property} in {scope}");
    }
}
