// SPDX-License-Identifier: Apache-2.0
//! `husk see`: containers that husk, `unshare` and bubblewrap made, seen by root and by an ordinary user.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use husk_tests::{Caller, Place, classic_pair, command_line, descendant, skip, until};
use serde_json::Value;

/// What `husk see --json` says.
fn seen(caller: &Caller<'_>, words: &[&str]) -> Value {
    let output = caller.husk(["see", "--json"]).args(words).run();
    serde_json::from_str(&output.succeeds().stdout).unwrap_or_else(|error| panic!("{error}\n{output}"))
}

/// The container that the process is in.
fn container_of(seen: &Value, pid: u32) -> Option<&Value> {
    let has = |container: &&Value| {
        let processes = container["processes"].as_array().expect("a list");
        processes.iter().any(|process| process["pid"] == pid)
    };
    seen["containers"].as_array().expect("a list").iter().find(has)
}

/// Which namespaces are the container's own, in the order of the letters.
fn own(container: &Value) -> Vec<&str> {
    let namespaces = container["namespaces"].as_object().expect("an object");
    namespaces
        .iter()
        .filter(|(_, namespace)| namespace["is"] == "own")
        .map(|(kind, _)| kind.as_str())
        .collect()
}

#[test]
fn a_container_is_husks_by_any_word_that_runs_it_and_called_as_husk_was_told() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let name = format!("named-{caller}-{}", std::process::id());
        for words in [&["run"][..], &["why", "run"]] {
            for options in [&["-q", "--name", &name][..], &["-q"]] {
                let command = caller.husk(words.iter().chain(options)).arg(&root);
                // Of two words, one is the command's own.
                let script = "echo $HOSTNAME up; read end; true";
                let mut running = command.args(["/bin/sh", "-c", script, "sh", "--name", "another"]).start();
                running.wait_for(" up\n");
                let seen = seen(&caller, &[]);
                let pid = running.container();
                let container = container_of(&seen, pid).unwrap_or_else(|| panic!("{caller}: {seen:#}"));
                assert_eq!(container["engine"], "husk", "{caller}: {words:?}");
                running.write("\n");
                let output = running.finish();
                let its = output.stdout.trim_end().trim_end_matches(" up");
                assert_eq!(container["name"], its, "{caller}: {words:?} {options:?}");
                assert!(options.len() == 1 || its == name, "{its}");
            }
        }
    }
}

#[test]
fn the_classic_pair_of_unshare_and_chroot() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("mycontainer");
        let (running, bash, shell) = classic_pair(&caller, &root);
        let seen = seen(&caller, &[]);
        let container = container_of(&seen, bash).unwrap_or_else(|| panic!("{caller}: {seen:#}"));
        let expected: &[&str] = match caller.is_root() {
            true => &["ipc", "mnt", "pid", "uts"],
            false => &["ipc", "mnt", "pid", "user", "uts"],
        };
        assert_eq!(own(container), expected, "{caller}");
        assert_eq!((&container["engine"], &container["id"]), (&"unshare".into(), &bash.into()), "{caller}");
        assert_eq!(container["outside"][0]["pid"], running.pid(), "{caller}: unshare waits");
        let inside = |pid: u32| {
            let mut processes = container["processes"].as_array().expect("a list").iter();
            let process = processes.find(|process| process["pid"] == pid).expect("a process of it");
            process["pids"].as_array().and_then(|pids| pids.last()).cloned()
        };
        assert_eq!((inside(bash), inside(shell)), (Some(1.into()), Some(9.into())), "{caller}");

        let roots = &container["roots"];
        assert_eq!((&roots[0]["processes"][0], &roots[1]["processes"][0]), (&bash.into(), &shell.into()));
        assert_eq!(roots[0]["root"]["is_host"], true, "{caller}");
        assert_eq!(roots[1]["root"]["is_host"], false, "{caller}");
        assert_eq!(roots[1]["root"]["is_chroot"], true, "{caller}");
        assert_eq!(roots[1]["root"]["on_host"], root.display().to_string(), "{caller}");

        let table = caller.husk(["see"]).run().succeeds().stdout.clone();
        let row =
            |pid: u32| table.lines().find(|line| line.split_whitespace().any(|word| word == pid.to_string()));
        let (first, second) = (row(bash).expect("bash has a row"), row(shell).expect("the shell has a row"));
        assert!(first.contains("  1  bash -c") && first.contains("the host's"), "{table}");
        assert!(first.contains("mnt pid uts ipc"), "{table}");
        assert!(second.contains("  9  /bin/sh -c"), "{table}");
        assert!(second.contains(&format!("{} (chroot)", root.display())), "{table}");
        drop(running);
    }
}

#[test]
fn a_container_of_husks_by_its_name() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let name = format!("seen-{caller}-{}", std::process::id());
        let mut container = caller.shell(&["-q", "--name", &name], &root, "echo up; read end").start();
        container.wait_for("up\n");
        let pid = container.container();
        let seen = seen(&caller, &[&name]);
        let (container_seen, process) = (&seen["containers"][0], &seen["processes"][0]);
        assert_eq!(seen["version"], 1);
        assert_eq!(seen["containers"].as_array().map(Vec::len), Some(1), "{caller}: the one that was named");
        assert_eq!(
            (&container_seen["name"], &container_seen["engine"]),
            (&name.clone().into(), &"husk".into())
        );
        assert_eq!(own(container_seen), ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"], "{caller}");
        assert_eq!(container_seen["namespaces"]["time"]["is"], "host");
        assert_eq!((&process["pid"], &process["container"]), (&pid.into(), &pid.into()), "{caller}");
        assert_eq!(process["root"]["on_host"], root.display().to_string(), "{caller}");
        assert_eq!(process["no_new_privs"], true, "{caller}");
        // Of an ordinary user's the first is the user's own.
        let ids = match caller.ranges() {
            Some([(_, subordinate), _]) => u64::from(subordinate) + 1,
            None if caller.is_root() => 65_536,
            None => 1,
        };
        assert_eq!(process["uid_map"][0]["inside"], 0, "{caller}");
        let count: u64 = process["uid_map"]
            .as_array()
            .expect("a map")
            .iter()
            .filter_map(|range| range["count"].as_u64())
            .sum();
        assert_eq!(count, ids, "{caller}");
        assert_eq!(process["host_name"], Value::Null, "{caller}: the kernel does not tell");

        let text = caller.husk(["see", "--mounts", &name]).run().succeeds().stdout.clone();
        for expected in ["made by husk", "its own (", "when husk started it", "no_new_privs  on", "/proc  "] {
            assert!(text.contains(expected), "{caller}: {expected:?} in\n{text}");
        }
        let tree = caller.husk(["see", "--tree"]).run().succeeds().stdout.clone();
        assert!(
            tree.contains(&format!("─ {name}  by husk")) && tree.contains(&format!("{pid} is 1  /bin/sh")),
            "{tree}"
        );
        container.write("\n");
        container.finish().succeeds();
    }
}

/// The inner one shares something with the outer, or nothing but what is the host's: then only the kernel knows.
#[test]
fn a_container_in_a_container() {
    let place = Place::new();
    for caller in place.callers() {
        for (namespaces, own_ones) in [
            ("--net --uts", &["net", "uts"][..]),
            ("--user --map-root-user --pid --mount", &["mnt", "pid", "user"]),
        ] {
            let outer =
                ["--user", "--map-root-user", "--pid", "--mount", "--fork", "--mount-proc", "sh", "-c"];
            let script = format!("unshare {namespaces} --fork sh -c 'read inner; true'; true");
            let running = caller.command("unshare").args(outer).arg(script).start();
            let inner = descendant(running.pid(), "sh -c read inner");
            let first = descendant(running.pid(), "sh -c unshare");
            let seen = seen(&caller, &[]);
            let (outer, inner) = (container_of(&seen, first), container_of(&seen, inner));
            let (outer, inner) = (outer.expect("the outer one"), inner.expect("the inner one"));
            assert_eq!((&outer["inside"], &inner["inside"]), (&Value::Null, &outer["id"]), "{caller}");
            assert_eq!((own(outer), own(inner)), (vec!["mnt", "pid", "user"], own_ones.to_vec()), "{caller}");
            if !own_ones.contains(&"pid") {
                assert_eq!(inner["namespaces"]["pid"]["is"], "shared", "{caller}");
                assert_eq!(inner["namespaces"]["pid"]["with"], serde_json::json!([outer["id"]]), "{caller}");
            }
            drop(running);
        }
    }
}

#[test]
fn bubblewrap_is_recognised() {
    if !Path::new("/usr/bin/bwrap").exists() {
        skip!("bubblewrap_is_recognised", "bwrap is not installed");
    }
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let options = ["--unshare-all", "--bind"];
        let inside = ["/", "--proc", "/proc", "--dev", "/dev", "sh", "-c", "read wrapped; true"];
        let running = caller.command("bwrap").args(options).arg(&root).args(inside).start();
        let pid = descendant(running.pid(), "sh -c read wrapped");
        let seen = seen(&caller, &[]);
        let container = container_of(&seen, pid).unwrap_or_else(|| panic!("{caller}: {seen:#}"));
        assert_eq!(container["engine"], "bwrap", "{caller}");
        assert_eq!(container["roots"][0]["root"]["on_host"], root.display().to_string(), "{caller}");
        assert_eq!(container["namespaces"]["net"]["is"], "own", "{caller}");
        drop(running);
    }
}

#[test]
fn a_user_sees_less_of_roots_container_and_no_error() {
    if !husk_tests::is_root() {
        skip!("a_user_sees_less_of_roots_container_and_no_error", "root has to make it");
    }
    let place = Place::new();
    let (root, user) = (place.root(), place.ordinary());
    let path = root.root("root");
    let mut container = root.shell(&["-q"], &path, "echo up; read end").start();
    container.wait_for("up\n");
    let pid = container.container();
    let seen = seen(&user, &[&pid.to_string()]);
    let (container_seen, process) = (&seen["containers"][0], &seen["processes"][0]);
    assert_eq!(container_seen["id"], pid, "its process ids are for everybody");
    assert_eq!(container_seen["namespaces"]["mnt"]["is"], "unknown");
    assert_eq!((&process["program"], &process["root"]["path"]), (&Value::Null, &Value::Null));
    assert_eq!(process["root"]["on_host"], path.display().to_string(), "mounts are for everybody too");
    assert_eq!(process["uid_map"][0]["count"], 65_536);
    assert!(process["capabilities"]["effective"].is_array());
    assert!(seen["unreadable_processes"].as_u64() > Some(0));
    let text = user.husk(["see", &pid.to_string()]).run().succeeds().stdout.clone();
    assert!(text.contains("program     ?\n") && text.contains("mnt     ?\n"), "{text}");
    container.write("\n");
    container.finish().succeeds();
}

#[test]
fn hostile_names_stay_text() {
    let place = Place::new();
    for caller in place.callers() {
        let namespaces: &[&str] = if caller.is_root() { &["--mount"] } else { &["--user", "--mount"] };
        let name = "\u{1b}[2Jred\u{202e}</code><script>\"\n";
        let script = "exec -a \"$1\" sleep 1000";
        let words = ["bash", "-c", script, "bash", name];
        let running = caller.command("unshare").args(namespaces).args(words).start();
        let pid = running.pid();
        until("its name", || command_line(pid).starts_with("\u{1b}[2Jred"));
        let shown = "\\x1b[2Jred\\u{202e}</code><script>\"\\n 1000";
        for words in [&["see"][..], &["see", "--tree"], &["see", "--mounts"], &["see", &pid.to_string()]] {
            let output = caller.husk(words).run();
            let text = &output.succeeds().stdout;
            assert!(text.contains(shown), "{caller}: {words:?}: {text}");
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{caller}: {words:?}: {text:?}");
        }
        let page = caller.home().join("page.html");
        caller.husk(["see", "--html"]).arg(&page).run().succeeds();
        let page = fs::read_to_string(page).expect("a page");
        let escaped = "\\x1b[2Jred\\u{202e}&lt;/code&gt;&lt;script&gt;&quot;\\n 1000";
        assert!(page.contains(escaped) && !page.contains("<script"), "{caller}: {page}");
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("src="), "{page}");
        let seen = seen(&caller, &[&pid.to_string()]);
        assert_eq!(seen["processes"][0]["command"][0], name, "{caller}: JSON has the name itself");
        drop(running);
    }
}

#[test]
fn what_is_not_there_is_said() {
    let place = Place::new();
    for caller in place.callers() {
        let output = caller.husk(["see", "no-such"]).run();
        output
            .exits(1)
            .says("looking for no-such: there is no container with this name")
            .says("hint: `husk see`");
        caller.husk(["see", "\u{1b}[1m"]).run().exits(1).says("looking for \\x1b[1m");
        caller.husk(["see", "--watch"]).run().exits(1).says("--watch: standard output is not a terminal");
        caller
            .husk(["see", "--html", "/no/such/page"])
            .run()
            .exits(1)
            .says("writing /no/such/page: No such file or directory\n");
    }
}

#[test]
fn watch_draws_again_until_control_c() {
    if !Path::new("/usr/bin/script").exists() {
        skip!("watch_draws_again_until_control_c", "script is not installed");
    }
    let place = Place::new();
    for caller in place.callers() {
        let watch = format!("stty cols 60 rows 5; exec {} see --watch", place.binary().display());
        let mut watching =
            caller.command("script").args(["-qec", &watch, "/dev/null"]).env("TERM", "xterm").start();
        watching.wait_for("\u{1b}[J\u{1b}[H");
        watching.write("\u{3}");
        let output = watching.finish();
        assert_ne!(output.code(), 0, "{caller}: Control-C ended it: {output}");
        let frame = output.stdout.split("\u{1b}[J").next().unwrap_or_default();
        assert!(frame.lines().count() <= 5, "{caller}: no more than fits: {frame:?}");
    }
}

/// husk reads: the marks of entering or writing are not in what it asks the kernel for.
#[test]
fn it_enters_nothing() {
    if !Path::new("/usr/bin/strace").exists() {
        skip!("it_enters_nothing", "strace is not installed");
    }
    let place = Place::new();
    let caller = place.callers().remove(0);
    let root = caller.root("root");
    let mut container = caller.shell(&["-q"], &root, "echo up; read end").start();
    container.wait_for("up\n");
    let log = caller.home().join("calls");
    let pid = container.container().to_string();
    for words in [&["see"][..], &["see", &pid], &["diff", "host", &pid]] {
        let trace = caller.command("strace").args(["-f", "-o"]).arg(&log).arg(place.binary()).args(words);
        let output = trace.run();
        assert!(output.code() < 2, "{output}");
        let calls = fs::read_to_string(&log).expect("a log");
        assert!(calls.contains("readlinkat("), "the log says nothing: {calls}");
        for forbidden in
            ["setns(", "ptrace(", "unshare(", "chroot(", "O_WRONLY", "O_RDWR", "process_vm_", "mount("]
        {
            let is_question = |line: &str| line.contains("statmount(") || line.contains("listmount(");
            let found = calls.lines().find(|line| line.contains(forbidden) && !is_question(line));
            assert_eq!(found, None, "{words:?}");
        }
    }
    container.write("\n");
    container.finish().succeeds();
}

#[test]
fn a_husk_that_has_joined_namespaces_is_no_container() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let mut web = caller.shell(&["-q"], &root, "echo up; read end").start();
        web.wait_for("up\n");
        let join = ["user", "net"].map(|kind| format!("--join={kind}={}", web.container()));
        let options = ["-q", "--name", "joined", &join[0], &join[1]];
        let mut tool = caller.shell(&options, &root, "echo up; read end").start();
        tool.wait_for("up\n");
        let seen = seen(&caller, &[]);
        let husk = tool.pid();
        assert!(container_of(&seen, husk).is_none(), "{caller}: {seen:#}");
        let container = container_of(&seen, tool.container()).expect("the container");
        let outside: Vec<_> =
            container["outside"].as_array().into_iter().flatten().map(|it| &it["pid"]).collect();
        assert!(outside.contains(&&husk.into()), "{caller}: {outside:?}");
        assert_eq!(
            (&container["engine"], &container["name"]),
            (&"husk".into(), &"joined".into()),
            "{caller}"
        );
        for mut running in [tool, web] {
            running.write("\n");
            running.finish().succeeds();
        }
    }
}
