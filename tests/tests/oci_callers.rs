// SPDX-License-Identifier: Apache-2.0
//! What engines rely on when they call an OCI runtime: one test for each rule, in their order.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread::sleep;
use std::time::Instant;

use husk_tests::oci::{ConsoleSocket, Container, Site, SpecChange, is_unified};
use husk_tests::{Output, oci_site, until};
use serde_json::{Value, json};

/// The JSON that a command has printed, which must be all that it printed.
#[track_caller]
fn printed(output: &Output) -> Value {
    output.succeeds();
    assert_eq!(output.stderr, "", "nothing is said beside the product:\n{output}");
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error} in:\n{output}"))
}

/// A container whose first process has ended and has not been waited for.
fn ended<'s>(site: &'s Site) -> Container<'s> {
    let container = site.bundle().start();
    let is_zombie = || fs::read_to_string(container.proc("stat")).is_ok_and(|stat| stat.contains(") Z "));
    until("`true` ends", is_zombie);
    container
}

#[test]
fn rule_1_global_flags_in_every_spelling_and_no_unknown_ones() {
    let site = oci_site!();
    let container = site.bundle().create();
    let root = site.root().display().to_string();
    let log = site.path().join("log").display().to_string();
    let mut spellings = vec![
        vec!["--root".to_owned(), root.clone()],
        vec![format!("--root={root}")],
        vec!["--log".into(), log.clone(), "--log-format".into(), "json".into(), format!("--root={root}")],
        vec![format!("--root={root}"), "--log-format=json".into(), format!("--log={log}")],
        vec!["--debug".into(), format!("--log={log}"), format!("--root={root}")],
        vec!["--rootless=false".into(), format!("--root={root}")],
        vec!["--systemd-cgroup".into(), format!("--root={root}")],
    ];
    if site.runtime().name() == "crun" {
        site.note("crun takes no flag with one dash, and no --rootless");
        spellings.retain(|words| !words[0].starts_with("--rootless"));
    } else {
        spellings.push(vec!["-root".into(), root.clone()]);
        spellings.push(vec![format!("-root={root}")]);
        let words = ["-log".into(), log, "-log-format".into(), "json".into(), "-root".into(), root.clone()];
        spellings.push(words.to_vec());
    }
    for words in &spellings {
        let output = site.bare_oci(words).args(["state", container.id()]).run();
        assert_eq!(printed(&output)["id"], container.id(), "{output}");
    }
    for words in [["--nonsense", "state"], ["state", "--nonsense"]] {
        let output = site.oci(words).arg(container.id()).run();
        assert!(output.code() != 0 && output.stderr.contains("nonsense"), "{output}");
    }
}

#[test]
fn rule_2_the_cgroup_is_found_from_the_state() {
    let site = oci_site!();
    let bundle = site.bundle().sh("sleep 1000");
    let container = bundle.start();
    // An engine may rewrite the bundle; what counts is what the container was created with.
    bundle.change(|spec| spec["linux"]["cgroupsPath"] = json!("/husk-oci-test-elsewhere/never")).write();
    container.exec(&["cat", "/proc/self/cgroup"]).succeeds();
    let limits = site.path().join("limits.json");
    fs::write(&limits, r#"{"pids": {"limit": 77}}"#).expect("a file");
    site.oci(["update", "--resources"]).arg(&limits).arg(container.id()).run().succeeds();
    assert_eq!(container.cgroup().read("pids", "pids.max").as_deref(), Some("77"));
    let cgroup = container.cgroup();
    container.delete();
    assert!(!cgroup.exists(), "{:?}", cgroup.directories());

    if !Path::new("/run/systemd/system").exists() {
        return site.note("this machine does not run systemd: only the cgroupfs driver is tried");
    }
    let name = format!("husktest{}", std::process::id());
    let bundle = site.bundle().sh("sleep 1000");
    let bundle =
        bundle.change(|spec| spec["linux"]["cgroupsPath"] = json!(format!("system.slice:{name}:c1")));
    let container =
        bundle.create_with(&["--systemd-cgroup"], &[]).unwrap_or_else(|output| panic!("{output}"));
    container.start();
    let cgroups = fs::read_to_string(container.proc("cgroup")).expect("cgroups of the container");
    assert!(cgroups.contains(&format!("{name}-c1.scope")), "{cgroups}");
    container.exec(&["true"]).succeeds();
    site.oci(["update", "--resources"]).arg(&limits).arg(container.id()).run().succeeds();
    container.delete();
    assert!(!Path::new(&format!("/sys/fs/cgroup/system.slice/{name}-c1.scope")).exists());
}

#[test]
fn rule_3_the_pid_file_is_digits_written_beside_and_renamed() {
    let site = oci_site!();
    let bundle = site.bundle();
    let (file, link) = (bundle.path().join("pid"), bundle.path().join("old"));
    fs::write(&file, "old").expect("a file");
    fs::hard_link(&file, &link).expect("a link");
    let container = bundle.create();
    let text = fs::read_to_string(&file).expect("a pid file");
    assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
    assert!(Path::new("/proc").join(&text).exists(), "{text} is a process");
    assert_eq!(container.state()["pid"].to_string(), text);
    let failed = site.bundle().args(&["/nothing"]);
    failed.refused();
    assert!(!failed.path().join("pid").exists(), "a container that never was has a pid file");
    let names: Vec<_> =
        fs::read_dir(bundle.path()).expect("a bundle").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 6, "pid, old, stdout, stderr, config.json, rootfs: {names:?}");
    if site.deviates("crun", "writes into the pid file that is there") {
        return;
    }
    assert_eq!(fs::read_to_string(&link).expect("the old file"), "old", "the file was written in place");
}

#[test]
fn rule_4_init_is_the_callers_and_in_its_cgroup_when_create_returns() {
    let site = oci_site!();
    let container = site.bundle().sh("exit 7").create();
    let status = fs::read_to_string(container.proc("status")).expect("the status of init");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent").trim();
    assert_eq!(parent, std::process::id().to_string(), "the parent of init");
    assert_eq!(container.cgroup().processes(), [container.pid()]);
    if !is_unified() {
        for controller in ["memory", "pids", "freezer", "devices", "cpu"] {
            let procs = container.cgroup().read(controller, "cgroup.procs").unwrap_or_default();
            assert_eq!(procs, container.pid().to_string(), "{controller}");
        }
    }
    container.start();
    assert_eq!(container.wait().code(), Some(7), "the caller waits on the pid");
    container.verb("delete").run().succeeds();
}

#[test]
fn rule_5_the_log_is_one_object_a_line_appended_and_only_on_failure() {
    let site = oci_site!();
    let log = site.path().join("log.json");
    let flags = ["--log", log.to_str().expect("text"), "--log-format", "json"];
    let text = || fs::read_to_string(&log).unwrap_or_default();
    let container = site.bundle().create_with(&flags, &[]).unwrap_or_else(|output| panic!("{output}"));
    site.oci(flags).args(["start", container.id()]).run().succeeds();
    container.wait();
    site.oci(flags).args(["delete", container.id()]).run().succeeds();
    assert_eq!(text(), "", "nothing has failed");

    fs::write(&log, "{\"level\":\"error\",\"msg\":\"somebody else's\"}\n").expect("a log");
    let failing = site.bundle().args(&["nothing-of-this-name"]);
    let Err(create) = failing.create_with(&flags, &[]) else { panic!("a missing command was accepted") };
    site.oci(flags).args(["state", "nobody"]).run();
    site.oci(flags).args(["kill", "nobody", "9"]).run();
    if site.deviates("crun", "has words of its own, and spreads an object over several lines") {
        return;
    }
    let lines = text();
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(
        lines.len(),
        4,
        "what was there, and one line for each of three failures:\n{}\n{create}",
        text()
    );
    assert!(lines[0].contains("somebody else's"), "the log was not appended to");
    for line in &lines[1..] {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        assert_eq!(entry["level"], "error", "{line}");
        assert!(entry["msg"].as_str().is_some_and(|message| !message.is_empty()), "{line}");
        assert!(is_rfc_3339(entry["time"].as_str().unwrap_or_default()), "{line}");
    }
    assert!(lines[1].contains("executable file not found in"), "{}", lines[1]);
    assert!(lines[2].contains("does not exist"), "{}", lines[2]);
}

/// Whether a text looks like `2026-01-02T03:04:05Z`, with or without a fraction, with `Z` or an offset.
fn is_rfc_3339(text: &str) -> bool {
    let pattern = "dddd-dd-ddTdd:dd:dd";
    let matches = |(byte, sample): (u8, u8)| match sample {
        b'd' => byte.is_ascii_digit(),
        sample => byte == sample,
    };
    let rest = text.get(pattern.len()..).unwrap_or_default();
    let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let is_offset = zone.len() == 6 && (zone.starts_with('+') || zone.starts_with('-'));
    text.bytes().zip(pattern.bytes()).all(matches) && (zone == "Z" || is_offset)
}

#[test]
fn rule_6_errors_go_to_stderr_once_and_stdout_has_the_product_alone() {
    let site = oci_site!();
    let bundle = site.bundle();
    let container = bundle.create();
    assert_eq!(
        (container.stdout(), container.stderr()),
        (String::new(), String::new()),
        "create says nothing"
    );
    printed(&container.verb("state").run());
    container.verb("start").run().succeeds().prints("");
    printed(&site.oci(["list", "--format", "json"]).run());

    if site.deviates("crun", "has words of its own") {
        return;
    }
    let log = site.path().join("log");
    for flags in [vec![], vec!["--log", log.to_str().expect("text")]] {
        let output = site.oci(flags).args(["state", "nobody"]).run();
        output.exits(1).prints("");
        assert_eq!(output.stderr.matches("does not exist").count(), 1, "{output}");
    }
    let Err(output) = site.bundle().args(&["/nothing"]).create_with(&[], &[]) else {
        panic!("a missing command was accepted")
    };
    output.prints("");
    assert_eq!(output.stderr.matches("no such file or directory").count(), 1, "{output}");
    assert!(output.stderr.len() < 8192, "conmon passes on 8 KiB");
    printed(&site.bare_oci(["features"]).run());
}

#[test]
fn rule_7_the_words_that_callers_search_for() {
    let site = oci_site!();
    if site.deviates("crun", "has words of its own") {
        return;
    }
    for verb in ["state", "start", "kill", "delete", "pause", "resume", "ps"] {
        let output = site.oci([verb, "nobody"]).run();
        output.exits(1).says("container does not exist");
    }
    let cases = [
        ("/etc/data", "permission denied"),
        ("/nothing", "no such file or directory"),
        ("nothing-of-this-name", "executable file not found in"),
        ("", "executable file not found in"),
    ];
    let running = site.bundle().sh("sleep 1000").start();
    fs::write(running.bundle().join("rootfs/etc/data"), "data").expect("a file");
    for (command, words) in cases {
        let bundle = site.bundle().args(&[command]);
        fs::write(bundle.in_root("etc/data"), "data").expect("a file");
        let output = bundle.refused();
        assert!(output.stderr.to_lowercase().contains(words), "create of {command}:\n{output}");
        let output = site.oci(["exec", running.id(), command]).run();
        assert!(output.stderr.to_lowercase().contains(words), "exec of {command}:\n{output}");
    }
    let ended = ended(&site);
    let output = ended.verb("kill").arg("9").run();
    let words = ["container not running", "no such process", "process already finished"];
    assert!(words.iter().any(|word| output.stderr.contains(word)), "{output}");
}

#[test]
fn rule_8_exit_codes() {
    let site = oci_site!();
    let run = |script: &str| {
        let bundle = site.bundle().sh(script);
        bundle.write();
        site.oci(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).start()
    };
    run("exit 0").finish().exits(0);
    run("exit 42").finish().exits(42);
    let mut foreground = run("echo up; sleep 1000");
    foreground.wait_for("up");
    site.oci(["kill", "c2", "KILL"]).run().exits(0);
    foreground.finish().exits(128 + 9);

    let running = site.bundle().sh("sleep 1000").start();
    running.exec(&["sh", "-c", "exit 0"]);
    let exec = |words: &[&str]| site.oci(["exec"]).arg(running.id()).args(words).run();
    exec(&["sh", "-c", "exit 33"]).exits(33);
    exec(&["sh", "-c", "kill -TERM $$"]).exits(128 + 15);
    if !site.deviates("crun", "answers a failed exec with the codes of a shell") {
        exec(&["nothing-of-this-name"]).exits(255);
        site.oci(["exec", "nobody", "true"]).run().exits(255);
    }
    for words in [["state", "nobody"], ["start", "nobody"], ["delete", "nobody"], ["pause", "nobody"]] {
        site.oci(words).run().exits(1);
    }
    site.oci(["delete", "--force", "nobody"]).run().exits(0);
    site.oci(["delete", running.id()]).run().exits(1);

    let kill = |id: &str, signal: &str| site.oci(["kill", id, signal]).run();
    // Whether it is there, as kill(2) has it.
    kill(running.id(), "0").exits(0);
    kill(running.id(), "65").exits(1);
    site.oci(["list", running.id()]).run().exits(1);

    let ended = ended(&site);
    if !site.deviates("crun", "kills what has ended without an error") {
        kill(ended.id(), "9").exits(1);
        kill(ended.id(), "0").exits(1);
    }
    ended.verb("delete").run().exits(0);
}

#[test]
fn rule_9_a_missing_command_is_found_at_create() {
    let site = oci_site!();
    for command in ["/nothing", "nothing-of-this-name", "./nothing", "/etc/data", "/etc"] {
        let bundle = site.bundle().args(&[command]);
        fs::write(bundle.in_root("etc/data"), "data").expect("a file");
        assert_eq!(bundle.refused().code(), 1, "{command}");
        site.oci(["state", bundle.id()]).run().exits(1);
        assert!(!site.root().join(bundle.id()).exists(), "a container that never was has state");
    }
    let bundle = site.bundle().args(&["through-a-link"]);
    symlink("busybox", bundle.in_root("bin/through-a-link")).expect("a link");
    bundle.create().delete();
}

#[test]
fn rule_10_state_and_its_five_statuses() {
    let site = oci_site!();
    let bundle = site.bundle().sh("sleep 1000");
    let container = bundle.change(|spec| spec["annotations"] = json!({"org.example.key": "value"})).create();
    let state = container.state();
    let members =
        ["annotations", "bundle", "created", "id", "ociVersion", "owner", "pid", "rootfs", "status"];
    let mut known: Vec<_> = state.as_object().expect("an object").keys().map(String::as_str).collect();
    known.sort_unstable();
    if site.deviates("crun", "has members of its own in the state, and its rootfs is as in config.json") {
        known.retain(|member| members.contains(member));
    }
    assert_eq!(known, members);
    assert_eq!(state["id"], container.id());
    assert_eq!(state["pid"], container.pid());
    assert_eq!(state["bundle"], container.bundle().to_str().expect("text"));
    if site.runtime().name() != "crun" {
        assert_eq!(state["rootfs"], container.bundle().join("rootfs").to_str().expect("text"));
    }
    assert_eq!(state["annotations"], json!({"org.example.key": "value"}));
    assert!(is_rfc_3339(state["created"].as_str().unwrap_or_default()), "{state:#}");
    assert!(state["owner"].is_string(), "{state:#}");

    let status = |expected: &str| assert_eq!(container.status(), expected);
    status("created");
    container.start();
    status("running");
    container.verb("pause").run().succeeds();
    status("paused");
    container.verb("resume").run().succeeds();
    status("running");
    container.kill("KILL");
    until("it is stopped", || container.status() == "stopped");
    // Nobody has waited for it: it is a zombie, and stopped.
    let state = container.state();
    assert_eq!((&state["status"], &state["pid"]), (&json!("stopped"), &json!(0)));
    container.wait();
    status("stopped");
    container.verb("delete").run().succeeds();
    container.verb("state").run().exits(1);
}

#[test]
fn rule_11_the_version_is_three_lines() {
    let site = oci_site!();
    let output = site.bare_oci(["--version"]).run();
    let lines: Vec<_> = output.succeeds().stdout.lines().collect();
    let name = site.runtime().name();
    assert!(lines[0].starts_with(&format!("{name} version ")), "{output}");
    assert!(lines[1].starts_with("commit: ") && lines[1].len() > "commit: ".len(), "{output}");
    let spec = lines.iter().find_map(|line| line.strip_prefix("spec: ")).expect("a line `spec: …`");
    if name == "husk-oci" {
        assert_eq!(lines.len(), 3, "{output}");
        assert_eq!(spec, "1.3.0");
        let version = lines[0].rsplit(' ').next().expect("a version");
        assert_eq!(version.split('.').count(), 3, "X.Y.Z");
        return;
    }
    site.note(&format!("{name} here implements specification {spec}; 1.3.0 is asked of husk-oci alone"));
}

#[test]
fn rule_12_features_is_complete() {
    let site = oci_site!();
    if site.is_too_old("crun", (1, 9, 0), "features") {
        return;
    }
    let features = printed(&site.bare_oci(["features"]).run());
    let list = |path: &str| -> Vec<String> {
        let list = features.pointer(path).and_then(Value::as_array);
        let list = list.unwrap_or_else(|| panic!("no list {path} in {features:#}"));
        list.iter().map(|item| item.as_str().expect("text").to_owned()).collect()
    };
    let has = |path: &str, wanted: &[&str]| {
        let list = list(path);
        let missing: Vec<_> = wanted.iter().filter(|word| !list.iter().any(|item| item == *word)).collect();
        assert!(missing.is_empty(), "{path} lacks {missing:?}");
    };
    assert!(features["ociVersionMin"].is_string() && features["ociVersionMax"].is_string(), "{features:#}");
    has(
        "/hooks",
        &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    );
    has("/linux/namespaces", &["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]);
    has("/linux/capabilities", &["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"]);
    has(
        "/linux/seccomp/actions",
        &["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_NOTIFY"],
    );
    has("/linux/seccomp/operators", &["SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"]);
    if !site.deviates("crun", "lists no architectures of seccomp") {
        has("/linux/seccomp/archs", &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"]);
    }
    has("/mountOptions", &["ro", "rw", "nosuid", "noexec", "rbind", "rshared", "strictatime"]);
    for flag in ["/linux/seccomp/enabled", "/linux/cgroup/v1", "/linux/cgroup/v2"] {
        assert_eq!(features.pointer(flag), Some(&json!(true)), "{flag}");
    }
    for flag in ["/linux/cgroup/systemd", "/linux/apparmor/enabled", "/linux/selinux/enabled"] {
        assert!(features.pointer(flag).is_some_and(Value::is_boolean), "{flag}");
    }
    if !site.is_too_old(
        "runc",
        (1, 2, 0),
        "mountExtensions.idmap, recursive mount options and time namespaces",
    ) {
        assert_eq!(features.pointer("/linux/mountExtensions/idmap/enabled"), Some(&json!(true)));
        has("/mountOptions", &["rro", "rnosuid"]);
        if !site.deviates("crun", "does not list time namespaces, which it makes") {
            has("/linux/namespaces", &["time"]);
        }
    }
}

/// All fields of `features.md` and `features-linux.md` in 1.3, of which none is unknown.
#[test]
fn rule_12_features_leaves_no_field_out() {
    let site = oci_site!();
    if site.runtime().name() != "husk-oci" {
        return site.note("it is husk-oci that claims all of it");
    }
    let features = printed(&site.bare_oci(["features"]).run());
    for enabled in [
        "cgroup/v1",
        "cgroup/v2",
        "cgroup/systemd",
        "cgroup/systemdUser",
        "cgroup/rdma",
        "seccomp/enabled",
        "apparmor/enabled",
        "selinux/enabled",
        "intelRdt/enabled",
        "intelRdt/schemata",
        "intelRdt/monitoring",
        "mountExtensions/idmap/enabled",
        "netDevices/enabled",
    ] {
        assert_eq!(features.pointer(&format!("/linux/{enabled}")), Some(&json!(true)), "{enabled}");
    }
    for list in [
        "hooks",
        "mountOptions",
        "linux/namespaces",
        "linux/capabilities",
        "linux/seccomp/actions",
        "linux/seccomp/operators",
        "linux/seccomp/archs",
        "linux/seccomp/knownFlags",
        "linux/seccomp/supportedFlags",
        "linux/memoryPolicy/modes",
        "linux/memoryPolicy/flags",
        "potentiallyUnsafeConfigAnnotations",
    ] {
        let found = features.pointer(&format!("/{list}")).and_then(Value::as_array);
        assert!(found.is_some_and(|list| !list.is_empty()), "{list}: {found:?}");
    }
    assert_eq!(features["potentiallyUnsafeConfigAnnotations"], json!(["org.systemd.property."]));
    assert_eq!(features["annotations"], json!({ "org.opencontainers.runc.checkpoint.enabled": "false" }));
    let members = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!((members(&features).len(), members(&features["linux"]).len()), (7, 10), "{features:#}");
}

#[test]
fn rule_13_the_console_socket_gets_the_master_once() {
    let site = oci_site!();
    let long = "s".repeat(107 - site.path().as_os_str().len() - 1);
    let socket = ConsoleSocket::listen(&site.path().join(long));
    assert_eq!(socket.path().as_os_str().len(), 107, "sun_path has 108 bytes, the last of them 0");
    let bundle = site.bundle().sh("stty size; tty; test -t 0 -a -t 1 -a -t 2 && echo all");
    let bundle = bundle.change(|spec| {
        spec["process"]["terminal"] = json!(true);
        spec["process"]["consoleSize"] = json!({"height": 33, "width": 77});
    });
    let flags = ["--console-socket", socket.path().to_str().expect("text")];
    let container = bundle.create_with(&[], &flags).unwrap_or_else(|output| panic!("{output}"));
    let mut master = socket.terminal();
    container.start();
    let mut text = Vec::new();
    // The last one to close the other side makes this an error, EIO.
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    assert_eq!(lines.len(), 3, "{text:?}");
    assert_eq!(lines[0], "33 77");
    assert!(lines[1].starts_with("/dev/pts/") || lines[1] == "/dev/console", "{text:?}");
    assert_eq!(lines[2], "all");
    assert_eq!(container.finish().code(), 0);

    let Err(output) =
        site.bundle().change(|spec| spec["process"]["terminal"] = json!(true)).create_with(&[], &[])
    else {
        panic!("a terminal without a console socket was accepted")
    };
    assert!(output.stderr.contains("console") || output.stderr.contains("terminal"), "{output}");
}

#[test]
fn rule_14_stdio_are_the_callers_pipes() {
    let site = oci_site!();
    let (in_reader, mut in_writer) = pipe().expect("a pipe");
    let (mut out_reader, out_writer) = pipe().expect("a pipe");
    let (mut err_reader, err_writer) = pipe().expect("a pipe");
    let link = |fd: i32| fs::read_link(format!("/proc/self/fd/{fd}")).expect("a link").display().to_string();
    let pipes = [link(in_reader.as_raw_fd()), link(out_writer.as_raw_fd()), link(err_writer.as_raw_fd())];
    // To open /proc/self/fd/2 again as another user takes the right to the pipe itself.
    let script = "for fd in 0 1 2; do readlink /proc/$$/fd/$fd; stat -L -c %u /proc/$$/fd/$fd; done
                  echo again > /proc/self/fd/2; read line; echo got $line";
    let bundle =
        site.bundle().sh(script).change(|spec| spec["process"]["user"] = json!({"uid": 1234, "gid": 1234}));
    let streams = [in_reader.into(), out_writer.into(), err_writer.into()];
    let container = bundle.create_with_streams(streams).unwrap_or_else(|output| panic!("{output}"));
    container.start();
    in_writer.write_all(b"hello\n").expect("a pipe can be written");
    drop(in_writer);
    let (mut out, mut err) = (String::new(), String::new());
    out_reader.read_to_string(&mut out).expect("a pipe can be read");
    err_reader.read_to_string(&mut err).expect("a pipe can be read");
    let expected = pipes.iter().map(|pipe| format!("{pipe}\n1234\n")).collect::<String>() + "got hello\n";
    assert_eq!((out.as_str(), err.as_str()), (expected.as_str(), "again\n"));
    assert_eq!(container.wait().code(), Some(0));
}

#[test]
fn rule_15_ps_and_list_as_json() {
    let site = oci_site!();
    let list = || site.oci(["list", "--format", "json"]).run();
    // A state root that is there and empty: whether it may be missing is not the question.
    site.bundle().create().delete();
    if !site.deviates("crun", "prints an empty array where runc prints null") {
        list().succeeds();
        assert_eq!(list().stdout.trim(), "null");
    }
    let container = site.bundle().sh("sleep 1000 & echo up; wait").start();
    container.wait_for("up");
    let ps = printed(&container.verb_with("ps", ["--format", "json"]).run());
    let mut pids: Vec<u64> = ps.as_array().expect("an array").iter().filter_map(Value::as_u64).collect();
    pids.sort_unstable();
    let expected: Vec<u64> = container.cgroup().processes().into_iter().map(u64::from).collect();
    assert_eq!(pids, expected, "the processes as the host numbers them");
    assert!(pids.len() == 2 && pids.contains(&u64::from(container.pid())), "{ps}");
    let listed = printed(&list());
    let listed = listed.as_array().expect("an array");
    assert_eq!(listed.len(), 1);
    let state = container.state();
    for member in ["id", "pid", "status", "bundle", "created"] {
        assert_eq!(listed[0][member], state[member], "{member}");
    }
    assert_eq!(listed[0]["owner"], "root");
    let table = container.verb("ps").run();
    assert!(table.succeeds().stdout.lines().count() == 3 && table.stdout.contains("PID"), "{table}");
    site.oci(["list", "-q"]).run().succeeds().prints(&format!("{}\n", container.id()));
    // One that is damaged is named, and hides none of the others.
    let damaged = site.root().join("damaged");
    fs::create_dir(&damaged).expect("a directory");
    fs::write(damaged.join("state.json"), "{").expect("a file");
    if !site.deviates("crun", "has its states elsewhere") {
        let output = site.oci(["list", "-q"]).run();
        output.succeeds().says("damaged").prints(&format!("{}\n", container.id()));
        assert_eq!(list().stdout.matches("\"id\"").count(), 1);
    }
    fs::remove_dir_all(&damaged).expect("a directory");
    assert_eq!(site.oci(["list"]).run().stderr, "");

    if site.deviates("crun", "crashes when it is asked for the processes of what has ended") {
        return;
    }
    let ended = ended(&site);
    let none = printed(&ended.verb_with("ps", ["--format", "json"]).run());
    assert!(none.is_null() || none == json!([]), "{none}");
    let table = ended.verb("ps").run();
    assert_eq!(table.succeeds().stdout.lines().count(), 1, "{table}");
}

#[test]
fn rule_16_dockers_time_namespace_and_network_hook() {
    let site = oci_site!();
    // The hook is in the host's mount namespace and finds the container's network namespace by the pid it is told.
    let said = site.path().join("said");
    for kind in ["prestart", "createRuntime"] {
        let script = format!("cat > {0}; readlink /proc/self/ns/net > {0}.net", said.display());
        let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}]);
        let bundle = site.bundle().sh("readlink /proc/self/ns/net");
        let container = bundle.change(|spec| spec["hooks"] = json!({kind: hook})).create();
        let state: Value = serde_json::from_slice(&fs::read(&said).expect("the hook ran")).expect("a state");
        assert_eq!(
            (&state["id"], &state["pid"]),
            (&json!(container.id()), &json!(container.pid())),
            "{kind}"
        );
        let inside = fs::read_link(container.proc("ns/net")).expect("a namespace");
        let hook_in = fs::read_to_string(said.with_extension("net")).expect("a namespace");
        assert_ne!(hook_in.trim(), inside.to_str().expect("text"), "{kind} runs in the runtime's namespaces");
        container.start();
        container.finish().succeeds();
    }
    if site.is_too_old("runc", (1, 2, 0), "time namespaces")
        || site.is_too_old("crun", (1, 9, 0), "time namespaces")
    {
        return;
    }
    let bundle =
        site.bundle().sh("readlink /proc/self/ns/time").change(|spec| spec.add_namespace("time", ""));
    let own = fs::read_link("/proc/self/ns/time").expect("a namespace").display().to_string();
    let output = bundle.output();
    assert_ne!(output.succeeds().stdout.trim(), own);
}

#[test]
fn rule_17_a_runtime_killed_at_any_moment_leaves_what_delete_force_cleans() {
    let site = oci_site!();
    let took = {
        let begin = Instant::now();
        site.bundle().create().delete();
        begin.elapsed()
    };
    let mut left = Vec::new();
    for number in 0..24 {
        let bundle = site.bundle();
        bundle.write();
        let mut create = site.oci(["create", "--bundle"]).arg(bundle.path()).arg(bundle.id()).process();
        create.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let mut create = create.stderr(std::process::Stdio::null()).spawn().expect("the runtime starts");
        sleep(took * number / 24);
        create.kill().expect("one's own child can be killed");
        create.wait().expect("one's own child can be waited for");
        site.oci(["delete", "--force", bundle.id()]).run();
        let cgroup = site.cgroup_of(bundle.id());
        if site.runtime().name() == "husk-oci" {
            // systemd takes a scope away when it sees that nobody is in it.
            until("its cgroup goes", || !cgroup.exists());
        }
        if cgroup.exists() || site.root().join(bundle.id()).exists() {
            left.push(format!("after {:?}: {:?}", took * number / 24, cgroup.directories()));
        }
    }
    match site.runtime().name() {
        "husk-oci" => assert!(left.is_empty(), "{left:#?}"),
        other if !left.is_empty() => {
            site.note(&format!("{other} leaves something in {} of 24 cases", left.len()))
        }
        _ => {}
    }
}
