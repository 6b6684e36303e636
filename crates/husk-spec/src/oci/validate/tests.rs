// SPDX-License-Identifier: Apache-2.0
use serde_json::{Value, json};

use super::super::Capabilities;
use super::*;

/// A configuration without fault.
fn sound() -> Value {
    json!({
        "ociVersion": "1.0.2-dev",
        "root": { "path": "rootfs" },
        "hostname": "h",
        "process": { "cwd": "/", "args": ["a"], "env": ["A=b=c", "B="], "user": { "uid": 0, "gid": 0 } },
        "mounts": [{ "destination": "/tmp", "type": "tmpfs" }],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "mount" }, { "type": "uts" }, { "type": "ipc" }, { "type": "network" }
            ]
        }
    })
}

/// `sound()` with `changes`: JSON pointers and what is put there.
fn changed(changes: &[(&str, Value)]) -> Spec {
    let mut value = sound();
    for (pointer, new) in changes {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        match value.pointer_mut(parent).expect(parent) {
            Value::Object(object) => drop(object.insert(key.to_owned(), new.clone())),
            Value::Array(array) if key == "-" => array.push(new.clone()),
            Value::Array(array) => array[key.parse::<usize>().expect("an index")] = new.clone(),
            other => panic!("{parent} is {other}"),
        }
    }
    Spec::from_json(value.to_string().as_bytes()).expect("it is read")
}

fn namespaces(kinds: &[&str]) -> Value {
    kinds.iter().map(|kind| json!({ "type": kind })).collect()
}

fn map(inside: u32, outside: u32, size: u32) -> Value {
    json!({ "containerID": inside, "hostID": outside, "size": size })
}

/// Asserts that `changes` are refused at `path`, with `word` in the explanation.
#[track_caller]
fn refused(changes: &[(&str, Value)], path: &str, word: &str) {
    let error = validate(&changed(changes)).expect_err(path);
    assert_eq!(error.path, path, "{error}");
    assert!(error.problem.contains(word), "{error}");
}

/// Asserts that `changes` are taken, with a warning about each of `paths`.
#[track_caller]
fn taken(changes: &[(&str, Value)], paths: &[&str]) {
    let warnings = validate(&changed(changes)).expect("it is taken");
    assert_eq!(warnings.iter().map(|warning| warning.path.as_str()).collect::<Vec<_>>(), paths);
}

#[test]
fn a_sound_one_is_taken() {
    taken(&[], &[]);
    for text in [
        include_str!("../../../tests/configs/docker.json"),
        include_str!("../../../tests/configs/podman.json"),
    ] {
        let spec = Spec::from_json(text.as_bytes()).expect("it is read");
        assert_eq!(validate(&spec), Ok(vec![]));
    }
}

#[test]
fn the_version_is_one_of_1() {
    for version in ["1.0.0", "1.0.2-dev", "1.3.0", "1.9.0"] {
        taken(&[("/ociVersion", json!(version))], &[]);
    }
    refused(&[("/ociVersion", json!(""))], "ociVersion", "missing");
    refused(&[("/ociVersion", json!("2.0.0"))], "ociVersion", "1.x");
    refused(&[("/ociVersion", json!("0.6.0"))], "ociVersion", "1.x");
    for junk in ["junk", "1", "x.1", ".1", "-1.0"] {
        refused(&[("/ociVersion", json!(junk))], "ociVersion", "no version");
    }
}

#[test]
fn a_root_and_a_process_there_must_be() {
    refused(&[("/root", Value::Null)], "root", "missing");
    refused(&[("/root/path", json!(""))], "root.path", "empty");
    refused(&[("/root/path", json!("a\0b"))], "root.path", "NUL");
    refused(&[("/process", Value::Null)], "process", "missing");
    refused(&[("/process/cwd", json!(""))], "process.cwd", "empty");
    refused(&[("/process/cwd", json!("a"))], "process.cwd", "not absolute");
    refused(&[("/process/cwd", json!("/a\0"))], "process.cwd", "NUL");
    refused(&[("/process/args", json!([]))], "process.args", "empty");
    refused(&[("/process/args", json!(["a", "\0"]))], "process.args[1]", "NUL");
}

#[test]
fn the_environment_has_names_and_values() {
    refused(&[("/process/env/-", json!("A"))], "process.env[2]", "NAME=value");
    refused(&[("/process/env/-", json!(""))], "process.env[2]", "NAME=value");
    refused(&[("/process/env/-", json!("=a"))], "process.env[2]", "no name");
    refused(&[("/process/env/-", json!("A=\0"))], "process.env[2]", "NUL");
    taken(&[("/process/env", json!(["A=1", "A=2", "é-.x= "]))], &[]);
}

#[test]
fn the_highest_number_is_no_id() {
    let no_id = json!(u32::MAX);
    for (pointer, path) in
        [("/process/user/uid", "process.user.uid"), ("/process/user/gid", "process.user.gid")]
    {
        refused(&[(pointer, no_id.clone())], path, "4294967294");
    }
    refused(
        &[("/process/user/additionalGids", json!([1, u32::MAX]))],
        "process.user.additionalGids[1]",
        "no id",
    );
    refused(
        &[("/process/user/additionalGids", json!(vec![7; 65_537]))],
        "process.user.additionalGids",
        "at most 65536",
    );
    let device = |owner: &str| json!([{ "type": "p", "path": "/p", owner: u32::MAX }]);
    refused(&[("/linux/devices", device("uid"))], "linux.devices[0].uid", "no id");
    refused(&[("/linux/devices", device("gid"))], "linux.devices[0].gid", "no id");
    taken(&[("/process/user", json!({ "uid": u32::MAX - 1, "gid": u32::MAX - 1 }))], &[]);
}

#[test]
fn limits_stand_once_and_in_order() {
    let limit = |kind: &str, soft: u64, hard: u64| json!({ "type": kind, "soft": soft, "hard": hard });
    let at = "/process/rlimits";
    refused(&[(at, json!([limit("RLIMIT_CPU", 2, 1)]))], "process.rlimits[0]", "soft 2 is above hard 1");
    let twice = json!([limit("RLIMIT_CPU", 1, 1), limit("RLIMIT_AS", 1, 1), limit("RLIMIT_CPU", 1, 1)]);
    refused(&[(at, twice)], "process.rlimits[2]", "first by process.rlimits[0]");
    taken(&[(at, json!([limit("RLIMIT_CPU", 1, 1), limit("RLIMIT_AS", 0, u64::MAX)]))], &[]);
}

#[test]
fn unknown_capabilities_are_left_out_with_a_warning() {
    let sets = json!({ "bounding": ["CAP_KILL", "CAP_FOO", "kill", "KILL"], "permitted": ["CAP_KILL"] });
    taken(
        &[("/process/capabilities", sets)],
        &[
            "process.capabilities.bounding[1]",
            "process.capabilities.bounding[2]",
            "process.capabilities.bounding[3]",
        ],
    );
    let effective = json!({ "effective": ["CAP_KILL"] });
    refused(
        &[("/process/capabilities", effective)],
        "process.capabilities.effective",
        "CAP_KILL is not in permitted",
    );
    let ambient = json!({ "permitted": ["CAP_KILL"], "ambient": ["CAP_KILL"] });
    taken(&[("/process/capabilities", ambient)], &["process.capabilities.ambient"]);
    let all = json!({ "permitted": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"] });
    taken(&[("/process/capabilities", all)], &[]);
}

#[test]
fn only_exact_names_are_capabilities() {
    assert_eq!(Capabilities::known("CAP_KILL").map(crate::Capability::number), Some(5));
    for name in ["kill", "KILL", "cap_kill", "Cap_KILL", "CAP_", "ALL", ""] {
        assert_eq!(Capabilities::known(name), None, "{name}");
    }
}

#[test]
fn priorities_are_in_range() {
    for score in [-1001, 1001] {
        refused(&[("/process/oomScoreAdj", json!(score))], "process.oomScoreAdj", "-1000 to 1000");
    }
    taken(&[("/process/oomScoreAdj", json!(-1000))], &[]);
    for priority in [-1, 8] {
        let io = json!({ "class": "IOPRIO_CLASS_BE", "priority": priority });
        refused(&[("/process/ioPriority", io)], "process.ioPriority.priority", "0 to 7");
    }
    taken(&[("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 7 }))], &[]);
    let affinity = |list: &str| json!({ "initial": list });
    for bad in ["a", "1-", "3-1", "1,,2", "-1", "+1", "70000"] {
        refused(
            &[("/process/execCPUAffinity", affinity(bad))],
            "process.execCPUAffinity.initial",
            "such as 0-3,7",
        );
    }
    taken(&[("/process/execCPUAffinity", json!({ "initial": "0-3,7", "final": "1" }))], &[]);
}

#[test]
fn a_scheduler_has_what_its_policy_takes() {
    let at = "/process/scheduler";
    let refused = |scheduler: Value, path: &str, word: &str| refused(&[(at, scheduler)], path, word);
    refused(json!({ "policy": "SCHED_ISO" }), "process.scheduler.policy", "never");
    refused(json!({ "policy": "SCHED_BATCH", "nice": 20 }), "process.scheduler.nice", "-20 to 19");
    refused(json!({ "policy": "SCHED_OTHER", "nice": -21 }), "process.scheduler.nice", "-20 to 19");
    refused(json!({ "policy": "SCHED_OTHER", "priority": 1 }), "process.scheduler.priority", "SCHED_FIFO");
    refused(json!({ "policy": "SCHED_FIFO" }), "process.scheduler.priority", "1 to 99");
    refused(json!({ "policy": "SCHED_RR", "priority": 100 }), "process.scheduler.priority", "1 to 99");
    refused(json!({ "policy": "SCHED_IDLE", "runtime": 1 }), "process.scheduler", "SCHED_DEADLINE");
    let deadline = |runtime: u64, deadline: u64, period: u64| json!({ "policy": "SCHED_DEADLINE", "runtime": runtime, "deadline": deadline, "period": period });
    refused(deadline(3, 2, 4), "process.scheduler", "above deadline");
    refused(deadline(1, 5, 4), "process.scheduler", "above period");
    for sound in [
        deadline(1, 2, 0),
        deadline(1, 2, 2),
        json!({ "policy": "SCHED_RR", "priority": 99, "nice": 40 }),
        json!({ "policy": "SCHED_BATCH", "nice": -20, "priority": 0 }),
    ] {
        taken(&[(at, sound)], &[]);
    }
}

#[test]
fn namespaces_stand_once_with_absolute_paths() {
    let at = "/linux/namespaces";
    let twice = namespaces(&["mount", "uts", "mount"]);
    refused(&[(at, twice)], "linux.namespaces[2]", "first in linux.namespaces[0]");
    let relative = json!([{ "type": "uts" }, { "type": "pid", "path": "proc/1/ns/pid" }]);
    refused(&[(at, relative)], "linux.namespaces[1].path", "not absolute");
    taken(&[(at, json!([{ "type": "uts", "path": "/proc/1/ns/uts" }]))], &[]);
}

#[test]
fn a_name_needs_a_namespace() {
    refused(&[("/linux/namespaces", namespaces(&["mount"]))], "hostname", "uts");
    refused(
        &[("/hostname", Value::Null), ("/domainname", json!("d")), ("/linux", Value::Null)],
        "domainname",
        "uts",
    );
    refused(&[("/hostname", json!("a".repeat(65)))], "hostname", "at most 64");
    refused(&[("/hostname", json!("a\0"))], "hostname", "NUL");
    taken(&[("/hostname", json!("a".repeat(64))), ("/domainname", json!("d"))], &[]);
    taken(&[("/hostname", Value::Null), ("/linux/namespaces", namespaces(&["mount"]))], &[]);
}

#[test]
fn user_namespaces_and_maps_go_together() {
    let uids = "/linux/uidMappings";
    let gids = "/linux/gidMappings";
    let line = json!([map(0, 1000, 10)]);
    taken(&[(uids, line.clone()), (gids, line.clone())], &["linux.uidMappings", "linux.gidMappings"]);
    let user = ("/linux/namespaces", namespaces(&["uts", "user"]));
    refused(std::slice::from_ref(&user), "linux.uidMappings", "missing");
    refused(&[user.clone(), (uids, line.clone())], "linux.gidMappings", "missing");
    taken(&[user, (uids, line.clone()), (gids, line.clone())], &[]);
    let joined =
        ("/linux/namespaces", json!([{ "type": "uts" }, { "type": "user", "path": "/proc/1/ns/user" }]));
    taken(std::slice::from_ref(&joined), &[]);
    taken(&[joined, (uids, line.clone()), (gids, line)], &["linux.uidMappings", "linux.gidMappings"]);
}

#[test]
fn a_map_is_one_that_the_kernel_takes() {
    let with = |lines: Value| {
        [
            ("/linux/namespaces", namespaces(&["uts", "user"])),
            ("/linux/uidMappings", lines),
            ("/linux/gidMappings", json!([map(0, 0, u32::MAX)])),
        ]
    };
    refused(&with(json!([map(0, 1, 0)])), "linux.uidMappings[0].size", "at least 1");
    refused(&with(json!([map(u32::MAX, 1, 1)])), "linux.uidMappings[0].containerID", "no id");
    refused(&with(json!([map(1, u32::MAX, 1)])), "linux.uidMappings[0].hostID", "no id");
    refused(&with(json!([map(0, 1, u32::MAX)])), "linux.uidMappings[0].size", "past the highest id");
    refused(
        &with(json!([map(0, 0, 5), map(4, 9, 1)])),
        "linux.uidMappings[1]",
        "overlaps linux.uidMappings[0]",
    );
    refused(&with(json!([map(0, 0, 5), map(9, 4, 1)])), "linux.uidMappings[1]", "overlaps");
    taken(&with(json!([map(0, 5, 5), map(5, 0, 5)])), &[]);
    let lines: Value = (0..341).map(|i| map(i, i, 1)).collect();
    refused(&with(lines), "linux.uidMappings", "at most 340");
}

#[test]
fn clocks_need_a_new_time_namespace() {
    let at = "/linux/timeOffsets";
    let offsets = json!({ "monotonic": { "secs": -5, "nanosecs": 999_999_999 } });
    refused(&[(at, offsets.clone())], "linux.timeOffsets", "no time namespace");
    let joined =
        ("/linux/namespaces", json!([{ "type": "uts" }, { "type": "time", "path": "/proc/1/ns/time" }]));
    refused(&[joined, (at, offsets.clone())], "linux.timeOffsets", "joined");
    let time = ("/linux/namespaces", namespaces(&["uts", "time"]));
    refused(&[time.clone(), (at, json!({ "realtime": {} }))], "linux.timeOffsets.realtime", "boottime");
    let nanoseconds = json!({ "boottime": { "nanosecs": 1_000_000_000 } });
    refused(&[time.clone(), (at, nanoseconds)], "linux.timeOffsets.boottime.nanosecs", "below 1000000000");
    taken(&[time, (at, offsets)], &[]);
}

#[test]
fn a_kernel_parameter_needs_its_namespace() {
    let with = |name: &str| [("/linux/sysctl", json!({ name: "1" }))];
    let refused_name = |name: &str, word: &str| refused(&with(name), &format!("linux.sysctl.{name}"), word);
    for name in [
        "net.ipv4.ip_forward",
        "net/ipv4/conf/eth0.1/x",
        "kernel.shmmax",
        "fs.mqueue.msg_max",
        "kernel.domainname",
    ] {
        taken(&with(name), &[]);
    }
    refused_name("vm.swappiness", "the whole host");
    refused_name("kernel.core_pattern", "the whole host");
    refused_name("user.max_user_namespaces", "user namespace");
    refused_name("kernel.hostname", "hostname");
    for name in
        ["", ".", "net..x", "net.", "net.//.kernel", "net/../kernel/core_pattern", "net/./x", "net./.x"]
    {
        refused_name(name, "no name");
    }
    let host = [("/hostname", Value::Null), ("/linux/namespaces", namespaces(&["mount"]))];
    for (name, kind) in
        [("net.core.somaxconn", "network"), ("kernel.sem", "ipc"), ("kernel.domainname", "uts")]
    {
        let mut changes = host.to_vec();
        changes.push(("/linux/sysctl", json!({ name: "1" })));
        refused(&changes, &format!("linux.sysctl.{name}"), kind);
    }
    refused(&[("/linux/sysctl", json!({ "net.a": "\0" }))], "linux.sysctl.net.a", "NUL");
}

#[test]
fn devices_have_a_place_and_numbers() {
    let device = |path: &str, major: i64, minor: i64| {
        ("/linux/devices", json!([{ "type": "c", "path": path, "major": major, "minor": minor }]))
    };
    refused(&[device("", 1, 3)], "linux.devices[0].path", "empty");
    refused(&[device("/a\0", 1, 3)], "linux.devices[0].path", "NUL");
    refused(&[device("/a", -1, 3)], "linux.devices[0].major", "0 to 4095");
    refused(&[device("/a", 4096, 3)], "linux.devices[0].major", "0 to 4095");
    refused(&[device("/a", 1, 1 << 20)], "linux.devices[0].minor", "0 to 1048575");
    taken(&[device("dev/a", 1, 3)], &["linux.devices[0].path"]);
    taken(&[("/linux/devices", json!([{ "type": "p", "path": "/a", "major": -1 }]))], &[]);
}

#[test]
fn rules_for_devices_say_what_is_allowed() {
    let rule = |rule: Value| [("/linux/resources", json!({ "devices": [rule] }))];
    refused(&rule(json!({ "allow": true })), "linux.resources.devices[0].access", "missing");
    let odd = json!({ "allow": true, "type": "c", "access": "rx" });
    refused(&rule(odd), "linux.resources.devices[0].access", "\"rx\"");
    let negative = json!({ "allow": true, "type": "c", "major": -2, "access": "r" });
    refused(&rule(negative), "linux.resources.devices[0].major", "-1 for all");
    taken(&rule(json!({ "allow": false, "type": "b", "major": -1, "minor": 0, "access": "rwm" })), &[]);
}

#[test]
fn network_devices_have_names_and_a_namespace() {
    let at = "/linux/netDevices";
    refused(
        &[("/linux/namespaces", namespaces(&["uts"])), (at, json!({ "eth0": {} }))],
        "linux.netDevices",
        "network namespace",
    );
    for bad in ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\u{b}b", "0123456789abcdef", "a\0"] {
        refused(&[(at, json!({ bad: {} }))], &format!("linux.netDevices.{bad}"), "");
        if !bad.is_empty() {
            refused(&[(at, json!({ "eth0": { "name": bad } }))], "linux.netDevices.eth0.name", "");
        }
    }
    let same = json!({ "eth0": { "name": "eth1" }, "eth1": {} });
    refused(&[(at, same)], "linux.netDevices.eth1", "\"eth0\" has");
    taken(
        &[(at, json!({ "eth0": { "name": "c%d" }, "eth1": { "name": "c%d" }, "0123456789abcde": {} }))],
        &[],
    );
}

#[test]
fn hidden_paths_need_a_mount_namespace() {
    for name in ["maskedPaths", "readonlyPaths"] {
        let pointer = format!("/linux/{name}");
        let path = format!("linux.{name}");
        refused(
            &[("/linux/namespaces", namespaces(&["uts"])), (&pointer, json!(["/a"]))],
            &path,
            "mount namespace",
        );
        refused(&[(&pointer, json!(["/a", ""]))], &format!("{path}[1]"), "empty");
        refused(&[(&pointer, json!(["/a\0"]))], &format!("{path}[0]"), "NUL");
        taken(&[(&pointer, json!(["/a", "proc/b"]))], &[&format!("{path}[1]")]);
    }
}

#[test]
fn the_rest_of_linux() {
    refused(&[("/linux/cgroupsPath", json!("/a\0"))], "linux.cgroupsPath", "NUL");
    refused(&[("/linux/mountLabel", json!("a\0"))], "linux.mountLabel", "NUL");
    for bad in [".", "..", "a/b", "/a", "//"] {
        refused(&[("/linux/intelRdt", json!({ "closID": bad }))], "linux.intelRdt.closID", "resctrl");
    }
    for good in ["a.b", "/"] {
        taken(&[("/linux/intelRdt", json!({ "closID": good }))], &[]);
    }
    let personality = json!({ "domain": "LINUX32", "flags": ["A"] });
    taken(&[("/linux/personality", personality)], &["linux.personality.flags"]);
}

#[test]
fn a_memory_policy_has_the_nodes_that_its_mode_takes() {
    let policy = |mode: &str, nodes: &str| [("/linux/memoryPolicy", json!({ "mode": mode, "nodes": nodes }))];
    refused(&policy("MPOL_BIND", ""), "linux.memoryPolicy.nodes", "missing");
    refused(&policy("MPOL_BIND", "x"), "linux.memoryPolicy.nodes", "such as 0-3,7");
    refused(&policy("MPOL_LOCAL", "0"), "linux.memoryPolicy.nodes", "no nodes");
    taken(&policy("MPOL_PREFERRED", ""), &[]);
    taken(&policy("MPOL_INTERLEAVE", "0-3,7"), &[]);
    let both = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"] });
    refused(&[("/linux/memoryPolicy", both)], "linux.memoryPolicy.flags", "not both");
}

#[test]
fn a_mount_has_a_place_and_a_kind() {
    let mount = |mount: Value| [("/mounts/-", mount)];
    refused(&mount(json!({ "type": "tmpfs" })), "mounts[1].destination", "empty");
    refused(&mount(json!({ "destination": "/a\0", "type": "tmpfs" })), "mounts[1].destination", "NUL");
    refused(&mount(json!({ "destination": "/a", "type": "x\0" })), "mounts[1].type", "NUL");
    refused(&mount(json!({ "destination": "/a", "type": "x", "source": "\0" })), "mounts[1].source", "NUL");
    refused(
        &mount(json!({ "destination": "/a", "type": "x", "options": ["a", "\0"] })),
        "mounts[1].options[1]",
        "NUL",
    );
    refused(&mount(json!({ "destination": "/a", "source": "/b" })), "mounts[1].type", "missing");
    refused(&mount(json!({ "destination": "/a", "options": ["rbind"] })), "mounts[1].source", "missing");
    refused(&mount(json!({ "destination": "/a", "type": "bind" })), "mounts[1].source", "missing");
    let data = json!({ "destination": "/a", "source": "/b", "options": ["bind", "ro", "size=1m"] });
    taken(&mount(data), &["mounts[1].options[2]"]);
    taken(&mount(json!({ "destination": "a", "type": "tmpfs" })), &["mounts[1].destination"]);
    taken(&mount(json!({ "destination": "/a", "options": ["remount", "ro"] })), &[]);
    taken(
        &mount(
            json!({ "destination": "/a", "type": "none", "source": "b", "options": ["rbind", "rro", "rslave"] }),
        ),
        &[],
    );
}

#[test]
fn an_idmapped_mount_is_a_bind_with_maps() {
    let line = json!([map(0, 1000, 10)]);
    let bind = |options: Value, uids: &Value, gids: &Value| {
        let mount = json!({ "destination": "/a", "type": "none", "source": "/b", "options": options,
            "uidMappings": uids, "gidMappings": gids });
        [("/mounts/-", mount)]
    };
    let none = json!([]);
    refused(&bind(json!(["ro"]), &line, &line), "mounts[1]", "only a bind mount");
    refused(&bind(json!(["bind", "idmap"]), &none, &none), "mounts[1]", "no maps");
    refused(&bind(json!(["bind", "idmap"]), &line, &none), "mounts[1].gidMappings", "go together");
    refused(&bind(json!(["bind"]), &none, &line), "mounts[1].uidMappings", "go together");
    refused(
        &bind(json!(["bind"]), &json!([map(0, 1, 0)]), &line),
        "mounts[1].uidMappings[0].size",
        "at least 1",
    );
    taken(&bind(json!(["rbind", "ridmap"]), &line, &line), &[]);
    taken(&bind(json!(["bind"]), &line, &line), &[]);
    let [mount] = bind(json!(["bind", "idmap"]), &none, &none);
    let user = [
        ("/linux/namespaces", namespaces(&["uts", "user"])),
        ("/linux/uidMappings", line.clone()),
        ("/linux/gidMappings", line),
    ];
    taken(&[&user[..], &[mount]].concat(), &[]);
}

#[test]
fn hooks_are_programs_with_time() {
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        let with = |hook: Value| [("/hooks", json!({ kind: [{ "path": "/a" }, hook] }))];
        let at = format!("hooks.{kind}[1]");
        refused(&with(json!({ "path": "a" })), &format!("{at}.path"), "not absolute");
        refused(&with(json!({})), &format!("{at}.path"), "empty");
        refused(&with(json!({ "path": "/a", "args": ["\0"] })), &format!("{at}.args[0]"), "NUL");
        refused(&with(json!({ "path": "/a", "env": ["\0"] })), &format!("{at}.env[0]"), "NUL");
        for timeout in [0, -1] {
            refused(
                &with(json!({ "path": "/a", "timeout": timeout })),
                &format!("{at}.timeout"),
                "not above 0",
            );
        }
        taken(&with(json!({ "path": "/a", "args": ["a"], "env": ["A"], "timeout": 1 })), &[]);
    }
}

#[test]
fn a_notification_needs_a_listener() {
    let with = |profile: Value| [("/linux/seccomp", profile)];
    let rule = |name: &str| json!([{ "names": [name], "action": "SCMP_ACT_NOTIFY" }]);
    refused(
        &with(json!({ "defaultAction": "SCMP_ACT_NOTIFY" })),
        "linux.seccomp.defaultAction",
        "SCMP_ACT_NOTIFY",
    );
    refused(
        &with(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rule("mount") })),
        "linux.seccomp.syscalls[0].action",
        "listenerPath",
    );
    let listened = |name: &str| json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rule(name), "listenerPath": "/s" });
    refused(&with(listened("write")), "linux.seccomp.syscalls[0]", "write");
    taken(&with(listened("mount")), &[]);
    let metadata = json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x" });
    taken(&with(metadata), &["linux.seccomp.listenerMetadata"]);
    let argument = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["a"], "action": "SCMP_ACT_LOG",
        "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }] }] });
    refused(&with(argument), "linux.seccomp.syscalls[0].args[0].index", "0 to 5");
}

#[test]
fn a_process_of_its_own_is_judged_by_its_own_paths() {
    let process = |json: &str| Process::from_json(json.as_bytes()).expect("it is read");
    assert_eq!(validate_process(&process(r#"{"cwd":"/","args":["a"]}"#)), Ok(vec![]));
    let error = validate_process(&process(r#"{"cwd":"/","args":["a"],"env":["A"]}"#)).expect_err("no =");
    assert_eq!(error.to_string(), "env[0]: \"A\" has no =: NAME=value");
    let error = validate_process(&process(r#"{"cwd":"","args":["a"]}"#)).expect_err("no cwd");
    assert_eq!(error.path, "cwd");
}
