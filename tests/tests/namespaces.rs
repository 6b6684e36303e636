// SPDX-License-Identifier: Apache-2.0
//! Namespaces: its own by default, the host's or another container's where that was asked for.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use husk_tests::{Caller, Place, Running, is_root, skip};

const KINDS: [&str; 8] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];

/// Prints the namespaces, one a line.
const SHOW: &str = "for kind in user mnt pid net ipc uts cgroup time; do readlink /proc/self/ns/$kind; done";

type Namespaces = BTreeMap<&'static str, String>;

fn parsed(text: &str) -> Namespaces {
    let found: Namespaces = KINDS.into_iter().zip(text.lines().map(str::to_owned)).collect();
    assert!(found.len() == 8 && found.iter().all(|(kind, link)| link.starts_with(kind)), "{text}");
    found
}

fn of_process(pid: &str) -> Namespaces {
    let link = |kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("a namespace");
    KINDS.into_iter().map(|kind| (kind, link(kind).display().to_string())).collect()
}

/// The kinds in which a container has what `other` has.
fn same(container: &Namespaces, other: &Namespaces) -> BTreeSet<&'static str> {
    KINDS.into_iter().filter(|kind| container[kind] == other[kind]).collect()
}

fn set<const N: usize>(kinds: [&'static str; N]) -> BTreeSet<&'static str> {
    kinds.into_iter().collect()
}

fn inside(caller: &Caller<'_>, options: &[&str], root: &Path) -> Namespaces {
    parsed(&caller.inside(options, root, SHOW))
}

#[test]
fn all_but_the_clocks_are_its_own() {
    let place = Place::new();
    let host = of_process("self");
    for caller in place.callers() {
        let root = caller.root("root");
        let first = inside(&caller, &[], &root);
        assert_eq!(same(&first, &host), set(["time"]), "{caller}");
        let mut other = caller.shell(&[], &root, &format!("{SHOW}; echo up; read end")).start();
        other.wait_for("up");
        let beside = of_process(&other.container().to_string());
        assert_eq!(same(&inside(&caller, &[], &root), &beside), set(["time"]), "{caller}: of two containers");
    }
}

#[test]
fn what_is_shared_is_the_hosts_and_nothing_else() {
    let place = Place::new();
    let host = of_process("self");
    for caller in place.callers() {
        let root = caller.root("root");
        for kind in ["pid", "net", "ipc", "uts", "cgroup"] {
            let found = inside(&caller, &["--share", kind], &root);
            assert_eq!(same(&found, &host), set([kind, "time"]), "{caller}");
        }
        let found = inside(&caller, &["--share", "net,uts", "--share", "cgroup"], &root);
        assert_eq!(same(&found, &host), set(["cgroup", "net", "time", "uts"]), "{caller}");
        let found = inside(&caller, &["--network=host", "--ipc", "host"], &root);
        assert_eq!(same(&found, &host), set(["ipc", "net", "time"]), "{caller}");
        caller.run(&["--share", "mnt"], &root, "true").exits(125).says("--share");
    }
}

#[test]
fn with_the_hosts_processes_its_proc_shows_them() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let own = std::process::id();
        let see = format!("test -d /proc/{own} && cat /proc/{own}/comm");
        assert!(caller.run(&["--share", "pid"], &root, &see).succeeds().stdout.len() > 1, "{caller}");
        caller.run(&[], &root, &see).exits(1);
    }
}

#[test]
fn the_users_namespace_is_the_hosts_for_root_alone() {
    let place = Place::new();
    let user = place.ordinary();
    let root = user.root("root");
    user.run(&["--userns=host"], &root, "true").exits(125).says("--userns host");
    if !is_root() {
        skip!("the_users_namespace_is_the_hosts_for_root_alone", "needs root");
    }
    let caller = place.root();
    let root = caller.root("root");
    let caller = caller.contained();
    for words in [["--userns", "host"], ["--share", "user"]] {
        let outside = ["sh", "-c", &format!("{SHOW}; exec \"$@\""), "sh"];
        let run = caller.command("sh").args(&outside[1..]).arg(place.binary()).arg("run");
        let both = run.args(words).arg(&root).args(["/bin/sh", "-c", SHOW]).run();
        let lines: Vec<_> = both.succeeds().stdout.lines().collect();
        let (husks, containers) = lines.split_at(KINDS.len());
        assert_eq!(same(&parsed(&containers.join("\n")), &parsed(&husks.join("\n"))), set(["time", "user"]));
        let capabilities = caller.inside(&words, &root, "grep CapEff /proc/self/status");
        assert_eq!(
            capabilities, "CapEff:\t00000000000000fb\n",
            "without SYS_ADMIN, which would be the host's"
        );
        assert_eq!(caller.inside(&words, &root, "echo $$; id -u; ls /dev | wc -l"), "1\n0\n14\n");
        // CAP_SYS_ADMIN is what could change it.
        caller.run(&words, &root, "hostname sag").exits(1).says("Operation not permitted");
    }
}

#[test]
fn clocks_are_set_only_inside() {
    let place = Place::new();
    let uptime = || fs::read_to_string("/proc/uptime").expect("uptime");
    let seconds =
        |text: &str| text.split(['.', ' ']).next().and_then(|s| s.parse::<i64>().ok()).expect("seconds");
    for caller in place.callers() {
        let root = caller.root("root");
        let before = seconds(&uptime());
        let options = ["--boottime", "100000", "--monotonic=5000.5"];
        let output =
            caller.inside(&options, &root, &format!("cat /proc/uptime /proc/self/timens_offsets; {SHOW}"));
        let lines: Vec<_> = output.lines().collect();
        assert!((100_000..100_030).contains(&(seconds(lines[0]) - before)), "{caller}: {output}");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(lines[1]), ["monotonic", "5000", "500000000"], "{caller}");
        assert_eq!(words(lines[2]), ["boottime", "100000", "0"], "{caller}");
        let found = parsed(&lines[3..].join("\n"));
        assert_eq!(same(&found, &of_process("self")), set([]), "{caller}: it has a time namespace");
        assert!((0..30).contains(&(seconds(&uptime()) - before)), "{caller}: the host's clock stays");
    }
}

#[test]
fn the_network_is_loopback_alone_and_up() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let talk = "ls /sys/class/net; ifconfig lo; nc -l -p 80 -e echo hello & until nc 127.0.0.1 80 </dev/null 2>/dev/null; do sleep 0.01; done";
        let output = caller.run(&[], &root, talk);
        output.succeeds();
        assert!(output.stdout.starts_with("lo\nlo "), "{caller}: {output}");
        assert!(output.stdout.contains("UP LOOPBACK RUNNING"), "{caller}: {output}");
        assert!(output.stdout.ends_with("hello\n"), "{caller}: a port below 1024, over loopback: {output}");
        let range = caller.inside(&["-u", "0"], &root, "cat /proc/sys/net/ipv4/ping_group_range");
        let groups = if caller.has_many_ids() { "0\t65535\n" } else { "0\t0\n" };
        assert_eq!(range, groups, "{caller}");
    }
}

/// A container that stays up until it is dropped.
fn up(caller: &Caller<'_>, root: &Path) -> (Running, u32) {
    let script = "hostname joined; mount -t tmpfs mark /mnt; touch /mnt/mark; echo up; read end";
    let mut running = caller.shell(&[], root, script).start();
    running.wait_for("up");
    let pid = running.container();
    (running, pid)
}

#[test]
fn a_container_enters_namespaces_of_another() {
    let place = Place::new();
    if !is_root() {
        skip!(
            "a_container_enters_namespaces_of_another",
            "an ordinary user has to enter the user namespace too"
        );
    }
    let caller = place.root();
    let root = caller.root("root");
    let (_other, pid) = up(&caller, &root);
    let other = of_process(&pid.to_string());
    for kind in ["net", "uts", "ipc", "cgroup"] {
        for target in [pid.to_string(), format!("/proc/{pid}/ns/{kind}")] {
            let found = inside(&caller, &["--join", &format!("{kind}={target}")], &root);
            assert_eq!(same(&found, &other), set([kind, "time"]));
        }
    }
    let uts = format!("uts={pid}");
    assert_eq!(caller.inside(&["--join", &uts], &root, "hostname"), "joined\n");
    caller.run(&["--join", &format!("pid={pid}")], &root, "true").exits(125).says("--join user");
}

#[test]
fn a_container_enters_all_of_another() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let (mut first, pid) = up(&caller, &root);
        let other = of_process(&pid.to_string());

        let words = ["user", "pid", "net", "ipc", "uts", "cgroup"].map(|kind| format!("--join={kind}={pid}"));
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let own_mounts = inside(&caller, &words, &root);
        assert_eq!(
            same(&own_mounts, &other),
            KINDS.into_iter().filter(|k| *k != "mnt").collect(),
            "{caller}"
        );

        let mount = format!("--join=mnt={pid}");
        let script = format!("{SHOW}; hostname; ls /mnt; echo $$");
        let all = caller.husk(["run"]).args(&words).arg(&mount).args(["--", "/bin/sh", "-c", &script]).run();
        let (namespaces, rest) =
            all.succeeds().stdout.split_at(all.stdout.find("joined").expect("the host name"));
        assert_eq!(same(&parsed(namespaces), &other), set(KINDS), "{caller}");
        let own = rest.strip_prefix("joined\nmark\n").and_then(|pid| pid.trim().parse::<u32>().ok());
        assert!(own.is_some_and(|pid| pid > 1), "{caller}: not PID 1, which the other has: {all}");
        first.write("\n");
        first.finish().succeeds();
    }
}
