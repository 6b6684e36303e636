// SPDX-License-Identifier: Apache-2.0
//! `husk diff`: why does it work here and not there?
#![forbid(unsafe_code)]

use std::path::Path;

use husk_tests::{Caller, Place};
use serde_json::{Value, json};

#[test]
fn a_process_and_itself_are_the_same() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let mut container = caller.shell(&["-q"], &root, "echo up; read end").start();
        container.wait_for("up\n");
        let pid = container.container().to_string();
        let output = caller.husk(["diff", &pid, &pid]).run();
        output.exits(0).prints(&format!("{pid} and {pid} see the same.\n"));
        container.write("\n");
        container.finish().succeeds();
    }
}

#[test]
fn the_host_and_a_container() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let name = format!("diff-{caller}-{}", std::process::id());
        let options = ["-q", "--name", &name, "-e", "ONLY_INSIDE=1", "-e", "LC_ALL=other"];
        let mut container = caller.shell(&options, &root, "echo up; read end").start();
        container.wait_for("up\n");

        let output = caller.husk(["diff", "host", &name]).run();
        let text = &output.exits(1).stdout;
        for expected in [
            "namespaces\n  not shared: cgroup ipc mnt net pid user uts\n",
            "confinement\n",
            &format!("no_new_privs: host has off; {name} has on"),
            &format!("directory: host has /; {name} has {}", root.display()),
            &format!("ONLY_INSIDE: only {name} has it"),
            "user map: host has every id is itself",
        ] {
            assert!(text.contains(expected), "{caller}: {expected:?} in\n{text}");
        }
        assert!(
            !text.contains("LC_ALL") && !text.contains("seccomp"),
            "{caller}: what is the same is left out\n{text}"
        );

        let values = caller.husk(["diff", "--env", "host", &name]).run();
        let expected = format!("LC_ALL: host has C; {name} has other");
        assert!(values.exits(1).stdout.contains(&expected), "{caller}: {values}");

        let json = caller.husk(["diff", "--json", &name, "host"]).run();
        let json: Value = serde_json::from_str(&json.exits(1).stdout).expect("JSON");
        let all = json["differences"].as_array().expect("a list");
        let find = |what: &str| all.iter().find(|difference| difference["what"] == what).expect(what);
        assert_eq!((&json["version"], &json["b"]), (&1.into(), &"host".into()));
        assert_eq!((&find("no_new_privs")["a"], &find("no_new_privs")["b"]), (&"on".into(), &"off".into()));
        container.write("\n");
        container.finish().succeeds();
    }
}

#[test]
fn two_containers_differ_in_what_was_asked_for() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let start = |options: &[&str]| {
            let options: Vec<_> = ["-q", "-h", "same"].iter().chain(options).copied().collect();
            let mut container = caller.shell(&options, &root, "echo up; read end").start();
            container.wait_for("up\n");
            let pid = container.container().to_string();
            (container, pid)
        };
        let (plain, a) = start(&["--ulimit", "nofile=100"]);
        let (changed, b) = start(&["--tmpfs", "/srv", "--ulimit", "nofile=200", "--cap-drop", "CHOWN"]);
        let output = caller.husk(["diff", &a, &b]).run();
        let text = &output.exits(1).stdout;
        for expected in [
            format!("/srv: only {b} has it, tmpfs"),
            format!("effective: only {a} has CHOWN"),
            format!("Max open files: {a} has 100 (hard 100); {b} has 200 (hard 200)"),
        ] {
            assert!(text.contains(&expected), "{caller}: {expected:?} in\n{text}");
        }
        assert!(!text.contains("environment") && !text.contains("confinement"), "{caller}: {text}");
        for mut container in [plain, changed] {
            container.write("\n");
            container.finish().succeeds();
        }
    }
}

#[test]
fn failure_has_a_status_of_its_own() {
    let place = Place::new();
    for caller in place.callers() {
        caller.husk(["diff", "host", "no-such"]).run().exits(2).says("looking for no-such");
        caller.husk(["diff", "host"]).run().exits(2).says("B is missing");
        caller.husk(["diff", "--nope", "a", "b"]).run().exits(2).says("--nope: unknown option");
    }
}

/// A bundle's configuration with some of everything that can differ.
fn bundle(caller: &Caller<'_>, root: &Path) -> Value {
    let own = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
    let namespaces = ["mount", "pid", "network", "ipc", "uts", "user"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.2.0",
        "root": { "path": root.display().to_string(), "readonly": true },
        "process": {
            "args": ["/bin/sh", "-c", "echo up; read end"],
            "cwd": "/",
            "env": ["PATH=/bin", "ONE=1"],
            "user": { "uid": 0, "gid": 0 },
            "noNewPrivileges": true,
            "oomScoreAdj": 500,
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 128 }],
            "capabilities": { "bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"] },
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"] },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"] },
            { "destination": "/mnt", "type": "bind", "source": root.display().to_string(), "options": ["bind", "ro", "noexec"] },
        ],
        "linux": {
            "namespaces": namespaces,
            "uidMappings": own(caller.uid()),
            "gidMappings": own(caller.gid()),
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/acpi", "/proc/none"],
            "readonlyPaths": ["/proc/sys", "/proc/bus"],
        },
    })
}

#[test]
fn a_bundle_and_its_container_are_the_same_until_one_is_changed() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let mut config = bundle(&caller, &root);
        let directory = caller.bundle("bundle", &config);
        let directory = directory.to_str().expect("UTF-8");
        let name = format!("planned-{caller}-{}", std::process::id());
        let mut container = caller.husk(["run", "-q", "--name", &name, "--bundle", directory]).start();
        container.wait_for("up\n");
        let diff = |words: &[&str]| caller.husk(["diff"]).args(words).run();
        let same = diff(&["--env", directory, &name]);
        let expected = format!("{directory} and {name} see the same.\nnot compared: ");
        assert!(same.exits(0).stdout.starts_with(&expected), "{caller}: {same}");

        config["mounts"][0]["options"] = json!(["nosuid", "noexec"]);
        config["mounts"].as_array_mut().expect("mounts").pop();
        config["process"]["env"][1] = "TWO=2".into();
        config["process"]["rlimits"][0]["soft"] = 65.into();
        config["process"]["capabilities"]["bounding"] = json!(["CAP_KILL"]);
        config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
        config["process"]["noNewPrivileges"] = false.into();
        config["linux"]["namespaces"].as_array_mut().expect("namespaces").remove(2);
        caller.bundle("bundle", &config);
        let changed = diff(&[directory, &name]);
        let text = &changed.exits(1).stdout;
        for expected in [
            format!("net: {directory} has the host's; {name} has its own"),
            format!("/mnt: only {name} has it"),
            format!("/proc/bus: only {name} has it"),
            format!(
                "/proc: {directory} has proc (noexec,nosuid,relatime,rw); {name} has proc (nosuid,relatime,rw)"
            ),
            format!("ONE: only {name} has it"),
            format!("TWO: only {directory} has it"),
            format!("Max open files: {directory} has 65 (hard 128); {name} has 64 (hard 128)"),
            format!("bounding: only {name} has CHOWN"),
            format!("no_new_privs: {directory} has off; {name} has on"),
        ] {
            assert!(text.contains(&expected), "{caller}: {expected:?} in\n{text}");
        }
        let turned = diff(&[&name, directory]);
        assert!(turned.exits(1).stdout.contains(&format!("/mnt: only {name} has it")), "{caller}: {turned}");

        let other = caller.bundle("other", &bundle(&caller, &root));
        let json = diff(&["--json", directory, other.to_str().expect("UTF-8")]);
        let json: Value = serde_json::from_str(&json.exits(1).stdout).expect("JSON");
        let what = |what: &str| {
            json["differences"]
                .as_array()
                .expect("a list")
                .iter()
                .any(|difference| difference["what"] == what)
        };
        assert!(what("net") && what("/mnt") && !what("user map"), "{caller}: {json:#}");
        assert!(json["not_compared"].as_array().is_some_and(|list| !list.is_empty()), "{caller}: {json:#}");
        container.write("\n");
        container.finish().succeeds();
    }
}

#[test]
fn a_bundle_that_makes_no_sense_is_refused() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let mut config = bundle(&caller, &root);
        config["process"]["cwd"] = "here".into();
        let directory = caller.bundle("bundle", &config);
        caller.husk(["diff", "host"]).arg(&directory).run().exits(2).says("config.json: process.cwd");
        caller.husk(["diff", "host", "./none"]).run().exits(2).says("none: No such file");
    }
}
