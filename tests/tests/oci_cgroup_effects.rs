// SPDX-License-Identifier: Apache-2.0
//! What a container's cgroups do to its processes, whoever has made them and in whichever version: no file is read here that only
//! says what was asked for.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use husk_tests::oci::{Cgroup, Container, Driver, Site, is_unified};
use husk_tests::{note_skip, oci_site, until};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

/// What `events --stats` says.
#[track_caller]
fn stats(container: &Container<'_>) -> Value {
    let output = container.verb_with("events", ["--stats"]).run();
    let line: Value = serde_json::from_str(&output.succeeds().stdout).expect("JSON");
    line["data"].clone()
}

fn update(site: &Site, container: &Container<'_>, resources: &Value) {
    let file = site.path().join("update.json");
    fs::write(&file, resources.to_string()).expect("a file");
    site.oci(["update", "--resources"]).arg(&file).arg(container.id()).run().succeeds();
}

#[test]
fn who_wants_more_memory_than_the_limit_is_killed_and_that_is_told() {
    let site = oci_site!();
    // One process asks for it all: of two the kernel may kill the shell after them.
    let bundle =
        site.bundle().sh("read go; dd if=/dev/zero of=/dev/null bs=190M count=1; echo $?; sleep 1000");
    let bundle = bundle.change(|spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 32 * MIB, "swap": 32 * MIB});
    });
    let fifo = bundle.path().join("go");
    site.command("mkfifo").arg(&fifo).run().succeeds();
    // Opened for both, so that neither side waits for the other.
    let go = fs::OpenOptions::new().read(true).write(true).open(&fifo).expect("a pipe");
    let file = |name: &str| fs::File::create(bundle.path().join(name)).expect("a file");
    let streams = [go.try_clone().expect("a pipe").into(), file("stdout").into(), file("stderr").into()];
    let container = bundle.create_with_streams(streams).unwrap_or_else(|output| panic!("{output}"));
    container.start();
    let told = site.path().join("told");
    let mut events = site.oci(["events", "--interval", "1s", container.id()]).process();
    let output = fs::File::create(&told).expect("a file");
    let mut events =
        events.stdin(Stdio::null()).stdout(output).stderr(Stdio::null()).spawn().expect("events starts");
    // It watches by the time that it has told of something.
    until("the first statistics", || fs::read_to_string(&told).is_ok_and(|text| text.contains("stats")));
    std::io::Write::write_all(&mut &go, b"go\n").expect("a pipe");
    until("it is killed", || container.stdout().contains("137"));
    until("it is told", || fs::read_to_string(&told).is_ok_and(|text| text.contains("\"type\":\"oom\"")));
    container.delete();
    events.wait().expect("it ends with the container");
}

#[test]
fn one_process_too_many_is_refused_until_an_update() {
    let site = oci_site!();
    let bundle = site.bundle().sh("sleep 1000").change(|spec| {
        spec["linux"]["resources"]["pids"] = json!({"limit": 4});
    });
    let container = bundle.start();
    // They stay, so that there are too many however slowly they come, and hold nothing open that this waits for.
    let script = "for i in 1 2 3 4 5 6; do sleep 1000 >/dev/null 2>&1 & done; echo all";
    let refused = container.exec(&["sh", "-c", script]);
    assert!(refused.stderr.contains("can't fork"), "{refused}");
    update(&site, &container, &json!({"pids": {"limit": 40}}));
    let output = container.exec(&["sh", "-c", script]);
    assert!(output.succeeds().stdout.contains("all") && output.stderr.is_empty(), "{output}");
    container.delete();
}

#[test]
fn a_quota_holds_a_loop_back() {
    let site = oci_site!();
    let bundle = site.bundle().sh("while :; do :; done").change(|spec| {
        spec["linux"]["resources"]["cpu"] = json!({"quota": 1_000, "period": 20_000});
    });
    let container = bundle.start();
    let usage = || {
        let cpu = &stats(&container)["cpu"];
        (cpu["usage"]["total"].as_u64().expect("a time"), cpu["throttling"]["throttledPeriods"].as_u64())
    };
    until("it is held back", || usage().1.is_some_and(|periods| periods > 2));
    let (begin, (before, _)) = (Instant::now(), usage());
    sleep(Duration::from_millis(1500));
    // A twentieth, which also a busy machine would have for it. What runs over its share, because a clock tick comes late, goes
    // without for so long afterwards.
    until("a twentieth of the time", || usage().0 - before < begin.elapsed().as_nanos() as u64 * 7 / 100);
    container.delete();
}

#[test]
fn a_device_that_is_denied_is_allowed_by_an_update() {
    let site = oci_site!();
    let rule = |allow: bool| json!({"allow": allow, "type": "c", "major": 1, "minor": 11, "access": "rw"});
    let deny_all = json!({"allow": false, "access": "rwm"});
    let bundle = site.bundle().sh("sleep 1000").change(|spec| {
        spec["linux"]["devices"] =
            json!([{"path": "/dev/log0", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}]);
        spec["linux"]["resources"]["devices"] = json!([deny_all]);
    });
    let container = bundle.start();
    let open = || container.exec(&["sh", "-c", "echo x > /dev/log0"]);
    assert!(open().stderr.contains("not permitted"), "{}", open());
    if site.deviates("runc", "leaves devices out of an update")
        || site.deviates("crun", "leaves devices out of an update")
    {
        return container.delete();
    }
    update(&site, &container, &json!({"devices": [deny_all, rule(true)]}));
    open().succeeds();
    update(&site, &container, &json!({"devices": [deny_all]}));
    assert!(open().stderr.contains("not permitted"), "{}", open());
    container.delete();
}

#[test]
fn what_is_paused_counts_no_further() {
    let site = oci_site!();
    let container = site.bundle().sh("while :; do echo x; sleep 0.02; done").start();
    let count = || container.stdout().len();
    until("it counts", || count() > 3);
    container.verb("pause").run().succeeds();
    let stopped = count();
    sleep(Duration::from_millis(400));
    assert_eq!((container.status().as_str(), count()), ("paused", stopped));
    container.verb("resume").run().succeeds();
    until("it counts on", || count() > stopped);
    container.verb("pause").run().succeeds();
    container.delete();
}

#[test]
fn a_fork_bomb_is_deleted() {
    let site = oci_site!();
    // Also without a pid namespace, whose end would be theirs.
    for own_pids in [true, false] {
        let bundle = site.bundle().sh("f() { f & f & sleep 1000; }; f & exec sleep 1000").change(|spec| {
            spec["linux"]["resources"]["pids"] = json!({"limit": 60});
            if !own_pids {
                let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("an array");
                namespaces.retain(|namespace| namespace["type"] != "pid");
            }
        });
        let container = bundle.start();
        let cgroup = container.cgroup();
        until("it has grown", || cgroup.processes().len() > 20);
        container.delete();
        assert!(!cgroup.exists(), "{:?}", cgroup.directories());
    }
}

/// Three hundred; or as many as there is time for, in software emulation.
#[test]
fn three_hundred_containers_leave_no_cgroup() {
    const ALL: usize = 300;
    const LEAST: usize = 25;
    const TIME: Duration = Duration::from_secs(25);
    let site = oci_site!();
    let bundle = site.bundle();
    bundle.write();
    let cgroups = || {
        let above = site.cgroup().directory("memory");
        let entries = fs::read_dir(above).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().is_dir()).count()
    };
    let (start, mut made) = (Instant::now(), 0);
    while made < ALL && (made < LEAST || start.elapsed() < TIME) {
        // As `create`, `start` and `delete` at once.
        site.oci(["run", "--bundle"]).arg(bundle.path()).arg(format!("r{made}")).run().succeeds();
        made += 1;
    }
    if made < ALL {
        note_skip("three_hundred_containers_leave_no_cgroup", &format!("there was time for {made} only"));
    }
    assert_eq!(cgroups(), 0, "after {made}");
}

/// Makes a cgroup `below` the container's, in each hierarchy.
fn make_below(container: &Container<'_>) -> Vec<PathBuf> {
    let make = |above: &PathBuf| {
        let below = above.join("below");
        if !below.exists() {
            fs::create_dir(&below).expect("a cgroup");
        }
        // A new cpuset of version 1 takes nobody before it has processors and memory.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let above = fs::read_to_string(above.join(file)).unwrap_or_default();
            if !above.trim().is_empty() {
                fs::write(below.join(file), above).expect("a cpuset");
            }
        }
        below
    };
    container.cgroup().directories().iter().map(make).collect()
}

#[test]
fn exec_runs_in_the_cgroup_that_it_is_told() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 1, 0), "exec --cgroup") || site.deviates("crun", "has other words for it")
    {
        return;
    }
    let container = site.bundle().sh("sleep 1000").start();
    make_below(&container);
    let own = container.cgroup().path();
    let lines = |flags: &[&str]| {
        let output = container.verb_with("exec", flags.iter()).args(["cat", "/proc/self/cgroup"]).run();
        output.succeeds().stdout.clone()
    };
    let of = |text: &str, controller: &str| {
        let is_its = |line: &&str| {
            let names = line.split(':').nth(1).unwrap_or_default();
            names.split(',').any(|name| name == controller) || is_unified() && names.is_empty()
        };
        text.lines().find(is_its).unwrap_or_else(|| panic!("no {controller} in {text}")).to_owned()
    };
    assert!(of(&lines(&[]), "memory").ends_with(&own));
    for path in ["below", "/below"] {
        assert!(of(&lines(&["--cgroup", path]), "memory").ends_with(&format!("{own}/below")), "{path}");
    }
    assert!(of(&lines(&["--cgroup", "/"]), "memory").ends_with(&own));
    let refused = |flags: &[&str], words: &str| {
        let output = container.verb_with("exec", flags.iter()).arg("true").run();
        assert_eq!(output.code(), 255, "{output}");
        assert!(output.stderr.contains(words) || site.runtime().name() != "husk-oci", "{output}");
    };
    refused(&["--cgroup", "nothing"], "nothing");
    refused(&["--cgroup", "../.."], "no cgroup below the container's");
    refused(&["--cgroup", "a", "--cgroup", "b"], "CONTROLLER:PATH was expected");
    refused(&["--cgroup", "nosuch:below"], "nosuch");
    if !is_unified() {
        let text = lines(&["--cgroup", "memory,pids:below", "--cgroup", "freezer:/"]);
        for (controller, end) in [("memory", "/below"), ("pids", "/below"), ("freezer", ""), ("devices", "")]
        {
            assert!(of(&text, controller).ends_with(&format!("{own}{end}")), "{controller}: {text}");
        }
    }
    container.delete();
}

/// Whoever has entered the user namespace of a container may move nobody on the host: where the exec goes, it has to have been
/// opened before.
#[test]
fn an_exec_in_a_user_namespace_of_other_ids_is_in_the_containers_cgroup() {
    let site = oci_site!();
    let bundle = site.bundle().sh("cat /proc/self/cgroup; echo ready; exec sleep 1000").change(|spec| {
        spec["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({"type": "user"}));
        for map in ["uidMappings", "gidMappings"] {
            spec["linux"][map] = json!([{"containerID": 0, "hostID": 1_700_000_000, "size": 65536}]);
        }
        spec["root"]["readonly"] = json!(true);
    });
    let container = bundle.start();
    container.wait_for("ready");
    let own = container.stdout().replace("ready\n", "");
    container.exec(&["cat", "/proc/self/cgroup"]).succeeds().prints(&own);
    container.delete();
}

#[test]
fn a_cgroup_that_is_refused_keeps_its_processes() {
    let site = oci_site!();
    if site.deviates("runc", "moves in") || site.deviates("crun", "moves in") {
        return;
    }
    let first = site.bundle().sh("sleep 1000");
    let path = first.spec["linux"]["cgroupsPath"].clone();
    let container = first.start();
    let second = site.bundle().change(|spec| spec["linux"]["cgroupsPath"] = path);
    second.refused();
    assert_eq!(container.status(), "running");
    // Nor if they are below it by now.
    for below in make_below(&container) {
        fs::write(below.join("cgroup.procs"), container.pid().to_string()).expect("it moves");
    }
    second.refused();
    assert_eq!(container.status(), "running");
    container.delete();
}

/// Who is in one of the cgroups that it would get on version 1 stays there, and those that were made before that was seen are gone.
#[test]
fn a_cgroup_that_is_refused_in_one_hierarchy_is_in_none() {
    let site = oci_site!();
    if is_unified() || site.driver() == Driver::Systemd {
        site.note("that takes cgroups in several hierarchies, and that systemd does not make");
        return;
    }
    if site.deviates("runc", "moves in") || site.deviates("crun", "moves in") {
        return;
    }
    let bundle = site.bundle();
    let cgroup = Cgroup::new(bundle.spec["linux"]["cgroupsPath"].as_str().expect("a path"));
    let occupied = cgroup.directory("pids");
    fs::create_dir_all(&occupied).expect("a cgroup");
    let mut occupant = site.command("sleep").arg("1000").process();
    let mut occupant = occupant.stdin(Stdio::null()).spawn().expect("sleep starts");
    fs::write(occupied.join("cgroup.procs"), occupant.id().to_string()).expect("it moves");
    let output = bundle.refused();
    assert!(output.stderr.contains("has processes in it already"), "{output}");
    assert_eq!(occupant.try_wait().expect("a child"), None, "it goes on");
    assert_eq!(cgroup.directories(), std::slice::from_ref(&occupied));
    occupant.kill().expect("it is ended");
    occupant.wait().expect("it has ended");
    bundle.create().delete();
    assert!(!cgroup.exists(), "{:?}", cgroup.directories());
}

/// The kernel kills whoever is started in a cgroup that `cgroup.kill` was written in, from any other.
#[test]
fn a_cgroup_that_kills_whoever_is_started_in_it_is_told() {
    let site = oci_site!();
    if site.deviates("runc", "moves in") || site.deviates("crun", "tells it otherwise") {
        return;
    }
    let bundle = site.bundle();
    let cgroup = Cgroup::new(bundle.spec["linux"]["cgroupsPath"].as_str().expect("a path"));
    let killed = cgroup.directory("unified");
    if site.driver() == Driver::Systemd || fs::create_dir_all(&killed).is_err() {
        site.note("that takes a hierarchy of version 2, and a cgroup that was there before");
        return;
    }
    bundle.output().succeeds();
    fs::create_dir_all(&killed).expect("a cgroup");
    fs::write(killed.join("cgroup.kill"), "1").expect("it is killed");
    let Err(output) = bundle.create_with(&[], &[]) else {
        site.note("this kernel kills nobody who comes after a kill");
        return;
    };
    assert!(output.stderr.contains("was killed by signal 9"), "{output}");
    assert!(output.stderr.contains("cgroup.kill was written once"), "{output}");
}

/// A runtime may be killed after it has written down where the container's cgroup is to be, and before it has found another's
/// processes there.
#[test]
fn a_cgroup_that_was_only_to_be_made_keeps_its_processes() {
    let site = oci_site!();
    if site.deviates("runc", "has another state file") || site.deviates("crun", "has another state file") {
        return;
    }
    if site.driver() == Driver::Systemd {
        site.note("a scope is known by its description");
        return;
    }
    let first = site.bundle().sh("sleep 1000");
    let container = first.start();
    let second = site.bundle();
    let (made, making) = (site.root().join(first.id()), site.root().join(second.id()));
    fs::create_dir(&making).expect("a state directory");
    let undo = fs::read(made.join("undo.json")).expect("what was written down first");
    let mut undo: Value = serde_json::from_slice(&undo).expect("JSON");
    undo["id"] = json!(second.id());
    undo["init"] = Value::Null;
    fs::write(making.join("undo.json"), undo.to_string()).expect("the same of another");
    fs::copy(made.join("config.json"), making.join("config.json")).expect("a configuration");
    site.oci(["kill", "--all", second.id(), "KILL"]).run().exits(1).says("container not running");
    site.oci(["delete", "--force", second.id()]).run().succeeds();
    assert!(!making.exists(), "its state is left");
    assert_eq!(container.status(), "running");
    container.delete();
}

/// Who was given the same path after it had stopped is in it alone.
#[test]
fn a_cgroup_that_is_anothers_by_now_keeps_its_processes() {
    let site = oci_site!();
    if site.deviates("crun", "kills them") {
        return;
    }
    let first = site.bundle().sh("true");
    let path = first.spec["linux"]["cgroupsPath"].clone();
    let stopped = first.start();
    stopped.wait();
    let container = site.bundle().sh("sleep 1000").change(|spec| spec["linux"]["cgroupsPath"] = path).start();
    stopped.verb("delete").run().succeeds();
    assert_eq!(container.status(), "running");
    let cgroup = container.cgroup();
    container.delete();
    assert!(!cgroup.exists(), "{:?}", cgroup.directories());
}

/// Otherwise it would wait in there for ever, and so would whoever makes it.
#[test]
fn a_frozen_cgroup_is_refused() {
    let site = oci_site!();
    if site.driver() == Driver::Systemd {
        site.note("systemd makes its cgroups anew");
        return;
    }
    if site.deviates("crun", "waits for ever") {
        return;
    }
    let bundle = site.bundle();
    let cgroup = Cgroup::new(bundle.spec["linux"]["cgroupsPath"].as_str().expect("a path"));
    let directory = cgroup.directory("freezer");
    fs::create_dir_all(&directory).expect("a cgroup");
    let (file, frozen, thawed) =
        if is_unified() { ("cgroup.freeze", "1", "0") } else { ("freezer.state", "FROZEN", "THAWED") };
    fs::write(directory.join(file), frozen).expect("it freezes");
    let output = bundle.refused();
    assert!(output.stderr.contains("frozen"), "{output}");
    fs::create_dir_all(&directory).expect("a cgroup");
    fs::write(directory.join(file), thawed).expect("it thaws");
    bundle.create().delete();
}

#[test]
fn who_is_frozen_in_a_cgroup_below_is_deleted() {
    let site = oci_site!();
    if !is_unified() && site.deviates("runc", "leaves a process that is frozen in a cgroup below") {
        return;
    }
    let container = site.bundle().sh("sleep 1000").start();
    let cgroup = container.cgroup();
    for below in make_below(&container) {
        fs::write(below.join("cgroup.procs"), container.pid().to_string()).expect("it moves");
        for (file, frozen) in [("cgroup.freeze", "1"), ("freezer.state", "FROZEN")] {
            if below.join(file).exists() {
                fs::write(below.join(file), frozen).expect("it freezes");
            }
        }
    }
    container.verb_with("delete", ["--force"]).run().succeeds();
    assert!(!cgroup.exists(), "{:?}", cgroup.directories());
}

/// Where there is no hierarchy of version 2 the first process enters its cgroups later than elsewhere, but before its command.
#[test]
fn on_version_1_alone_it_is_in_its_cgroups_and_limited() {
    let site = oci_site!();
    if is_unified() || matches!(site.driver(), Driver::Systemd) {
        site.note("that takes version 1, and cgroups that systemd does not make");
        return;
    }
    let unified = "/sys/fs/cgroup/unified";
    if Path::new(unified).join("cgroup.procs").exists() {
        site.command("umount").args(["-l", unified]).run().succeeds();
    }
    // One process asks for it all: of two the kernel may kill the shell after them.
    let bundle =
        site.bundle().sh("cat /proc/self/cgroup; dd if=/dev/zero of=/dev/null bs=90M count=1; echo $?");
    let container = bundle.change(|spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 32 * MIB, "swap": 32 * MIB});
    });
    let container = container.create();
    let cgroup = container.cgroup();
    let path = cgroup.path();
    assert_eq!(cgroup.processes(), [container.pid()], "before it starts");
    container.start();
    container.wait();
    let said = container.stdout();
    let (lines, status) = said.trim_end().rsplit_once('\n').expect("lines");
    assert_eq!(status, "137", "its limit is: {said}");
    let v1 = lines.lines().filter(|line| !line.starts_with("0::"));
    assert!(v1.clone().count() > 1 && v1.clone().all(|line| line.ends_with(&path)), "{path}: {lines}");
    container.verb("delete").run().succeeds();
    assert!(!cgroup.exists(), "{:?}", cgroup.directories());
}

/// Callers that clean up ask for it without a look whether somebody is left; a scope of systemd's is gone by itself.
#[test]
fn a_signal_to_all_of_a_container_that_has_ended_is_no_error() {
    let site = oci_site!();
    let container = site.bundle().sh("exit 0").create();
    let cgroup = container.cgroup();
    container.start();
    container.wait();
    until("its cgroups are gone", || {
        // systemd may do the same.
        cgroup.directories().iter().for_each(|directory| drop(fs::remove_dir(directory)));
        !cgroup.exists()
    });
    container.verb_with("kill", ["--all"]).arg("KILL").run().succeeds();
    container.verb("kill").arg("KILL").run().exits(1);
    container.verb("delete").run().succeeds();
}

/// Where the limit does not even let it be made.
#[test]
fn too_little_memory_to_be_made_is_told() {
    let site = oci_site!();
    let bundle = site.bundle().change(|spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 32 << 10, "swap": 32 << 10});
    });
    let output = bundle.refused();
    if site.runtime().name() == "husk-oci" {
        let told =
            "its own limit of 32768 bytes was reached (linux.resources.memory.limit, cgroup /sys/fs/cgroup/";
        // Of version 1 systemd may have taken the cgroup away by then, and nothing above it counts.
        let is_gone = !is_unified() && site.driver() == Driver::Systemd;
        let told_or_gone = if is_gone { "was killed by signal 9" } else { told };
        assert!(output.stderr.contains(told) || output.stderr.contains(told_or_gone), "{output}");
        assert!(!output.stderr.contains("the machine's memory"), "{output}");
    } else {
        assert!(output.stderr.contains("memory limit"), "{output}");
    }
}

#[test]
fn the_hosts_mount_of_version_2_keeps_its_options() {
    let site = oci_site!();
    if !is_unified() {
        site.note("cgroups are of version 1 here");
        return;
    }
    // A new mount in the host's cgroup namespace would give its own options to the host's: no nsdelegate, no memory_recursiveprot.
    if site.is_too_old("runc", (1, 4, 0), "the host's options") || site.deviates("crun", "mounts it anew") {
        return;
    }
    let options = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        mounts.lines().find_map(|line| line.split_once(" - cgroup2 ").map(|(_, rest)| rest.to_owned()))
    };
    let before = options();
    let bundle = site.bundle().sh("cat /sys/fs/cgroup/cgroup.controllers").change(|spec| {
        spec["linux"]["namespaces"].as_array_mut().expect("a list").retain(|of| of["type"] != "cgroup");
    });
    bundle.output().succeeds();
    assert!(before.is_some());
    assert_eq!(options(), before);
}
