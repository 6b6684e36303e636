// SPDX-License-Identifier: Apache-2.0
//! `husk explain run` in its formats, and `husk step run`.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::Path;

use husk_tests::{Outside, Place, Signal, skip};
use serde_json::Value;

#[test]
fn json_says_what_text_says() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let before = Outside::look(&place);
        let explain = |format: &str| {
            let command =
                caller.husk(["explain", "run", "-q", "--name", "box", "--format", format]).arg(&root);
            command.arg("/bin/sh").run().succeeds().stdout.clone()
        };
        let json: Value = serde_json::from_str(&explain("json")).expect("JSON");
        assert_eq!((&json["version"], &json["name"]), (&Value::from(1), &Value::from("box")), "{caller}");
        let steps = json["steps"].as_array().expect("steps");
        let text = explain("text");
        let table = explain("md");
        for (index, step) in steps.iter().enumerate() {
            assert_eq!(step["number"], index + 1, "{caller}");
            let sentence = step["does"].as_str().expect("a sentence");
            assert!(text.contains(sentence), "{caller}: {sentence}");
            assert!(step.get("nanoseconds").is_none(), "{caller}: nothing was run");
        }
        let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")).count();
        assert_eq!(rows - 1, steps.len(), "{caller}: {table}");
        before.is_unchanged(&place);
    }
}

/// Every key by which a script declares a difference is in the documentation.
#[test]
fn the_keys_are_documented() {
    let place = Place::new();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/explain.md");
    let page = std::fs::read_to_string(page).expect("docs/explain.md");
    let documented: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    for caller in place.callers() {
        let root = caller.root("root");
        let cases: [&[&str]; 4] = [
            &[],
            &["--chroot", "-w", "/tmp"],
            &["--init", "--tty", "-e", "UID=1"],
            &["--monotonic=0.5", "--ephemeral"],
        ];
        for options in cases {
            let script = caller.husk(["run", "-q", "--as-shell"]).args(options).arg(&root).run();
            let keys = script.succeeds().stdout.lines().filter_map(|line| line.strip_prefix("# differs: "));
            for key in keys.filter_map(|line| line.split(':').next()) {
                assert!(documented.contains(key), "{caller}: {options:?}: {key}");
            }
        }
    }
}

#[test]
fn timing_runs_the_container_and_says_what_each_step_cost() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let before = Outside::look(&place);
        let command = ["explain", "run", "-q", "--timing", "--format", "json", "--monotonic=1000000"];
        let output = caller.husk(command).arg(&root).args(["/bin/sh", "-c", "echo ran >&2"]).run();
        output.succeeds().says("ran");
        let json: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let steps = json["steps"].as_array().expect("steps");
        let costs: Vec<u64> = steps.iter().filter_map(|step| step["nanoseconds"].as_u64()).collect();
        assert_eq!(costs.len(), steps.len(), "{caller}: {output}");
        // A step of nothing at all takes as long as a system call; none takes as long as the clock was moved.
        assert!(costs.iter().filter(|cost| **cost > 0).count() > steps.len() * 9 / 10, "{caller}: {costs:?}");
        assert!(costs.iter().sum::<u64>() < 20_000_000_000, "{caller}: {costs:?}");
        before.is_unchanged(&place);
    }
}

#[test]
fn a_step_that_nobody_watches_ends_where_it_is_told() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let before = Outside::look(&place);
        let script = "touch /ran";
        caller
            .husk(["step", "run", "-q"])
            .arg(&root)
            .args(["/bin/sh", "-c", script])
            .run()
            .exits(125)
            .says("--until");
        for (stage, is_true) in
            [("namespaces", "the host's files"), ("pivot", "out of reach"), ("confine", "the command")]
        {
            let output = caller
                .husk(["step", "run", "-q", "--until", stage])
                .arg(&root)
                .args(["/bin/sh", "-c", script])
                .run();
            output.succeeds().says(&format!("{stage}: ")).says(is_true).prints("");
        }
        assert!(!root.join("ran").exists(), "{caller}: the command never ran");
        before.is_unchanged(&place);
    }
}

#[test]
fn at_each_stop_there_is_a_shell_that_sees_what_the_process_sees() {
    let place = Place::new();
    let has = |tool: &str| Path::new("/usr/bin").join(tool).exists();
    if !has("script") || !has("nsenter") {
        skip!("at_each_stop_there_is_a_shell", "script or nsenter is not installed");
    }
    for caller in place.callers() {
        let root = caller.root("root");
        let before = Outside::look(&place);
        let husk = format!(
            "{} step run -q --until mounts --hostname stepper {} sh -c 'echo the command; exit 4'",
            place.binary().display(),
            root.display()
        );
        let mut step = caller.command("script").args(["-qec", &husk, "/dev/null"]).start();
        step.wait_for("go on;");
        step.write("s\n");
        step.wait_for("mounts # ");
        step.write("echo in $(hostname) as $(id -u); ls -d /proc/self; exit\n");
        step.wait_for("in stepper as 0");
        step.write("\n");
        step.wait_for("out of reach");
        step.write("s\n");
        step.wait_for("pivot # ");
        step.write("echo $(echo /*); exit\n");
        step.wait_for("/bin /dev /etc");
        step.write("\n");
        step.wait_for("identity");
        step.write("\n");
        step.wait_for("confine");
        step.write("\n");
        let output = step.finish();
        output.exits(4);
        assert!(output.stdout.contains("the command"), "{caller}: {output}");
        before.is_unchanged(&place);

        let mut step = caller.command("script").args(["-qec", &husk, "/dev/null"]).start();
        step.wait_for("go on;");
        step.write("q\n");
        let output = step.finish();
        output.succeeds();
        assert!(!output.stdout.contains("the command"), "{caller}: {output}");

        // Whoever goes away takes the container along.
        let step = caller.command("script").args(["-qec", &husk, "/dev/null"]).start();
        step.signal(Signal::KILL);
        drop(step);
        before.is_unchanged(&place);
    }
}
