// SPDX-License-Identifier: Apache-2.0
//! `husk diff`: why does it work here and not there?
#![forbid(unsafe_code)]

use husk_tests::Place;
use serde_json::Value;

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
        caller.husk(["diff", "host"]).run().exits(2).says("<B> is missing");
        caller.husk(["diff", "--nope", "a", "b"]).run().exits(2).says("--nope: unknown option");
    }
}
