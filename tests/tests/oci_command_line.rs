// SPDX-License-Identifier: Apache-2.0
//! What a runtime is told beside config.json: descriptors, sockets, files to write, and what it answers by itself.
#![forbid(unsafe_code)]

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use husk_tests::oci::{ConsoleSocket, Site};
use husk_tests::oci_site;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, pidfd_send_signal, waitpid};
use serde_json::{Value, json};

/// The runtime, started by a shell that opens `descriptors` for it before.
fn with_descriptors(site: &Site, descriptors: &str, words: &[&str]) -> husk_tests::Command {
    let script = format!("{descriptors} exec \"$@\"");
    let root = site.root();
    let runtime = [site.runtime().path().as_os_str(), "--root".as_ref(), root.as_os_str()];
    site.command("sh").args(["-c", &script, "sh"]).args(runtime).args(words)
}

/// Whether the process of a pidfd has ended.
fn has_ended(pidfd: &OwnedFd, patience: i64) -> bool {
    let time = Timespec { tv_sec: patience, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&time)).expect("poll") > 0
}

/// The process of a pidfd, as this process numbers it.
fn pid_of(pidfd: &OwnedFd) -> u32 {
    use std::os::fd::AsRawFd;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).expect("fdinfo");
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd");
    pid.trim().parse().expect("a process")
}

fn pid_of_file(file: &Path) -> Pid {
    let text = fs::read_to_string(file).expect("a pid file");
    text.parse().ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("the pid file holds {text:?}"))
}

/// Waits for a further process, which the runtime has left to this one. The container's first process cannot end before.
fn bury(pid: Pid) {
    waitpid(Some(pid), WaitOptions::empty()).expect("a child of this process");
}

#[test]
fn preserved_descriptors_and_no_others() {
    let site = oci_site!();
    let bundle = site.bundle().sh("ls /proc/self/fd | tr '\\n' ' '; cat <&4");
    bundle.write();
    let (path, file) = (bundle.path().to_str().expect("text"), bundle.path().join("text"));
    fs::write(&file, "from outside").expect("a file in the bundle");
    let open = format!("exec 3</dev/null 4<{} 5</dev/null 6</dev/null;", file.display());
    let run = with_descriptors(&site, &open, &["run", "--bundle", path, "--preserve-fds", "2", bundle.id()]);
    // ls has one more open, to read the directory.
    run.run().succeeds().prints("0 1 2 3 4 5 from outside");
}

#[test]
fn descriptors_of_exec() {
    let site = oci_site!();
    let container = site.bundle().sh("sleep 1000").start();
    let words =
        ["exec", "--preserve-fds", "1", container.id(), "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"];
    let exec = with_descriptors(&site, "exec 3</dev/null 4</dev/null 5</dev/null;", &words);
    exec.run().succeeds().prints("0 1 2 3 4 ");
}

#[test]
fn a_descriptor_that_is_not_open_is_not_preserved() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "a check of --preserve-fds")
        || site.deviates("crun", "passes on what it has opened itself under that number")
    {
        return;
    }
    let bundle = site.bundle();
    bundle.write();
    let path = bundle.path().to_str().expect("text");
    let run = site.oci(["run", "--bundle", path, "--preserve-fds", "3", bundle.id()]).run();
    assert_ne!(run.code(), 0, "{run}");
}

#[test]
fn sockets_of_systemd() {
    let site = oci_site!();
    let bundle =
        site.bundle().sh("echo $LISTEN_FDS.$LISTEN_PID.$LISTEN_FDNAMES; ls /proc/self/fd | tr '\\n' ' '");
    bundle.write();
    let path = bundle.path().to_str().expect("text");
    let run = |pid: &str| {
        let open = format!(
            "export LISTEN_FDS=2 LISTEN_PID={pid} LISTEN_FDNAMES=a:b; exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null;"
        );
        let words = ["run", "--bundle", path, "--preserve-fds", "1", bundle.id()];
        with_descriptors(&site, &open, &words).run().succeeds().stdout.clone()
    };
    if site.is_too_old("crun", (1, 9, 0), "sockets of systemd") {
        return;
    }
    let text = run("$$");
    let names = if site.runtime().name() == "runc" { "" } else { "a:b" };
    assert_eq!(
        text,
        format!("2.1.{names}\n0 1 2 3 4 5 6 "),
        "two of systemd's, one of --preserve-fds, one of ls"
    );
    if site.deviates("crun", "takes the sockets without asking whose they are") {
        return;
    }
    assert_eq!(run("1"), "..\n0 1 2 3 4 ", "they are somebody else's");
}

#[test]
fn the_pidfd_of_a_container() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "--pidfd-socket") || site.deviates("crun", "has no --pidfd-socket")
    {
        return;
    }
    let socket = ConsoleSocket::listen(&site.path().join("pidfd"));
    let flags = ["--pidfd-socket", socket.path().to_str().expect("text")];
    let container = site.bundle().create_with(&[], &flags).unwrap_or_else(|output| panic!("{output}"));
    let mut received = socket.receive();
    assert_eq!((received.messages, received.descriptors.len()), (1, 1));
    assert_eq!(received.bytes, b"standard");
    let pidfd = received.descriptors.remove(0);
    assert_eq!(pid_of(&pidfd), container.pid());
    assert!(!has_ended(&pidfd, 0));
    container.start();
    assert!(has_ended(&pidfd, 10), "it ran `true`");
    container.finish();
    let missing = site.bundle().create_with(&[], &["--pidfd-socket", "/nowhere/socket"]);
    assert!(missing.is_err_and(|output| output.stderr.contains("/nowhere/socket")));
}

#[test]
fn the_pidfd_of_a_process_of_exec() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "--pidfd-socket") || site.deviates("crun", "has no --pidfd-socket")
    {
        return;
    }
    let container = site.bundle().sh("sleep 1000").start();
    let socket = ConsoleSocket::listen(&site.path().join("pidfd"));
    let pid_file = site.path().join("exec-pid");
    let flags = ["exec".as_ref(), "--detach".as_ref(), "--pidfd-socket".as_ref(), socket.path().as_os_str()];
    let exec = site.oci(flags).arg("--pid-file").arg(&pid_file).arg(container.id()).args(["sleep", "1000"]);
    let mut process = exec.process();
    let null = std::process::Stdio::null;
    let ended = process.stdin(null()).stdout(null()).stderr(null()).status().expect("the runtime starts");
    assert!(ended.success());
    let mut received = socket.receive();
    assert_eq!((received.descriptors.len(), received.bytes.as_slice()), (1, b"setns".as_slice()));
    let pidfd = received.descriptors.remove(0);
    assert_eq!(Pid::from_raw(pid_of(&pidfd).cast_signed()), Some(pid_of_file(&pid_file)));
    assert!(!has_ended(&pidfd, 0));
    pidfd_send_signal(&pidfd, Signal::KILL).expect("a pidfd by which a process is signalled");
    assert!(has_ended(&pidfd, 10));
    bury(pid_of_file(&pid_file));
}

#[test]
fn a_terminal_is_somebodys() {
    let site = oci_site!();
    if site.deviates("crun", "makes a terminal that nobody holds") {
        return;
    }
    let container = site.bundle().sh("sleep 1000").start();
    let exec = |flags: &[&str]| site.oci(["exec"]).args(flags).args([container.id(), "true"]).run();
    let refused = exec(&["--tty", "--detach"]);
    assert_eq!(refused.code(), 255, "{refused}");
    assert_ne!(exec(&["--console-socket", "/nowhere"]).code(), 0, "there is no terminal to send");
    let Err(output) = site.bundle().create_with(&[], &["--console-socket", "/nowhere"]) else {
        panic!("a console socket without a terminal was taken")
    };
    assert!(output.stderr.contains("console socket"), "{output}");
}

#[test]
fn the_terminal_of_a_process_of_exec() {
    let site = oci_site!();
    if site
        .deviates("crun", "leaves the terminal of an exec to root, and sets its size while the command runs")
    {
        return;
    }
    let container = site.bundle().sh("sleep 1000").start();
    let socket = ConsoleSocket::listen(&site.path().join("console"));
    let process = site.path().join("process.json");
    let script = "stty size; test -t 0 -a -t 1 -a -t 2 && echo all; ls -ln $(tty) | cut -d' ' -f 5-20";
    let json = json!({"terminal": true, "consoleSize": {"height": 11, "width": 99}, "cwd": "/",
        "env": ["PATH=/bin"], "user": {"uid": 1234, "gid": 5}, "args": ["sh", "-c", script]});
    fs::write(&process, json.to_string()).expect("a file");
    let pid_file = site.path().join("exec-pid");
    let exec = site.oci(["exec", "--detach", "--console-socket"]).arg(socket.path());
    let exec = exec.arg("--pid-file").arg(&pid_file);
    let mut exec = exec.arg("--process").arg(&process).arg(container.id()).process();
    let null = std::process::Stdio::null;
    assert!(exec.stdin(null()).stdout(null()).stderr(null()).status().expect("a runtime").success());
    let mut master = socket.terminal();
    let mut text = String::new();
    // The last one to close the other side makes this an error, EIO.
    let _ = std::io::Read::read_to_string(&mut master, &mut text);
    bury(pid_of_file(&pid_file));
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    assert_eq!(&lines[..2], ["11 99", "all"], "{text:?}");
    assert!(lines[2].contains("1234"), "it is the user's: {text:?}");
}

#[test]
fn spec_is_written_once() {
    let site = oci_site!();
    let bundle = site.path().join("new");
    fs::create_dir(&bundle).expect("a directory");
    let spec = |flags: &[&str]| {
        let _ = fs::remove_file(bundle.join("config.json"));
        site.bare_oci(["spec", "--bundle"]).arg(&bundle).args(flags).run().succeeds();
        let text = fs::read(bundle.join("config.json")).expect("config.json");
        serde_json::from_slice::<Value>(&text).expect("JSON")
    };
    let plain = spec(&[]);
    assert_eq!(plain["process"]["args"], json!(["sh"]));
    assert_eq!(plain.pointer("/linux/uidMappings"), None);
    let rootless = spec(&["--rootless"]);
    if site.deviates("crun", "maps no ids in it, and writes over a config.json") {
        return;
    }
    assert!(rootless["linux"]["uidMappings"].is_array(), "{rootless}");
    let again = site.bare_oci(["spec", "--bundle"]).arg(&bundle).run();
    again.exits(1);
    let kept = fs::read(bundle.join("config.json")).expect("config.json");
    assert_eq!(serde_json::from_slice::<Value>(&kept).expect("JSON"), rootless);
}

#[test]
fn a_container_of_the_spec_runs() {
    let site = oci_site!();
    let bundle = site.bundle();
    site.bare_oci(["spec", "--bundle"]).arg(bundle.path()).run().succeeds();
    let file = bundle.path().join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&file).expect("config.json")).expect("JSON");
    // There is no terminal here, and no right to raise a limit.
    spec["process"]["terminal"] = json!(false);
    spec["process"]["rlimits"] = json!([]);
    spec["process"]["args"] = json!(["echo", "it runs"]);
    spec["linux"]["cgroupsPath"] = bundle.spec["linux"]["cgroupsPath"].clone();
    fs::write(&file, spec.to_string()).expect("config.json");
    site.oci(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run().succeeds().prints("it runs\n");
}

#[test]
fn what_is_odd_is_logged_with_debug_alone() {
    let site = oci_site!();
    if site.runtime().name() != "husk-oci" {
        return site.note("other runtimes have words of their own");
    }
    let odd = || {
        site.bundle().change(|spec| {
            spec["process"]["capabilities"]["bounding"] = json!(["CAP_OF_THE_FUTURE"]);
            spec["process"]["capabilities"]["permitted"] = json!([]);
            spec["process"]["capabilities"]["effective"] = json!([]);
        })
    };
    let log = site.path().join("log");
    let flags = ["--log", log.to_str().expect("text"), "--log-format", "json"];
    odd().create_with(&flags, &[]).unwrap_or_else(|output| panic!("{output}")).delete();
    assert!(!log.exists() || fs::read(&log).expect("a log").is_empty(), "Podman reads it as one object");
    let debug = [&flags[..], &["--debug"]].concat();
    odd().create_with(&debug, &[]).unwrap_or_else(|output| panic!("{output}")).delete();
    let text = fs::read_to_string(&log).expect("a log");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let of = |level: &str| -> Vec<&str> {
        lines
            .iter()
            .filter(|line| line["level"] == level)
            .map(|line| line["msg"].as_str().expect("text"))
            .collect()
    };
    assert!(of("warning").iter().any(|text| text.contains("CAP_OF_THE_FUTURE")), "{text}");
    assert!(of("debug").iter().any(|text| text.contains("execute true")), "{text}");
    assert_eq!(of("error").len(), 0, "{text}");
}

#[test]
fn a_configuration_is_refused_by_its_field() {
    let site = oci_site!();
    if site.runtime().name() != "husk-oci" {
        return site.note("other runtimes have words of their own");
    }
    let says = |change: fn(&mut Value), words: &str| {
        let output = site.bundle().change(change).refused();
        assert!(output.stderr.contains(words), "{words:?} in:\n{output}");
    };
    says(
        |spec| spec["process"]["rlimits"] = json!([{"type": "RLIMIT_X", "soft": 1, "hard": 1}]),
        "process.rlimits[0].type",
    );
    says(|spec| spec["process"]["oomScoreAdj"] = json!(2000), "process.oomScoreAdj: 2000 is out of range");
    says(|spec| spec["ociVersion"] = json!("2.0.0"), "ociVersion");
    says(
        |spec| spec["process"]["execCPUAffinity"] = json!({"initial": "9-1"}),
        "process.execCPUAffinity.initial",
    );
    let bundle = site.bundle();
    fs::write(bundle.path().join("config.json"), [b'['; 100_000]).expect("config.json");
    let refused = site.oci(["create", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
    refused.exits(1).says("config.json: ");
    let large = fs::File::create(bundle.path().join("config.json")).expect("config.json");
    large.set_len(1 << 33).expect("a sparse file");
    let refused = site.oci(["create", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
    refused.exits(1).says("too many");
}

#[test]
fn what_cannot_be_read_says_what_was_to_be_named() {
    let site = oci_site!();
    if site.runtime().name() != "husk-oci" {
        return site.note("other runtimes have words of their own");
    }
    let bundle = site.bundle();
    bundle.write();
    let create = |path: &Path| site.oci(["create", "--bundle"]).arg(path).arg(bundle.id()).run();
    let missing = create(&site.path().join("nowhere"));
    missing
        .exits(1)
        .says("/nowhere: no such file or directory: --bundle names the bundle, a directory with config.json");
    let file = create(&bundle.path().join("config.json"));
    file.exits(1).says("/config.json/config.json: not a directory: --bundle names its directory");
    let container = bundle.create();
    let update = |flag: &str, value: &str| container.verb_with("update", [flag, value]).run();
    update("--resources", "nowhere").exits(1).says("cannot read nowhere: no such file or directory\n");
    update("--resources", "/dev/zero").exits(1).says("/dev/zero: 16777217 bytes are too many");
    let endless = site.command("sh").args(["-c", "exec \"$@\" </dev/zero", "sh"]);
    let endless = endless.arg(site.runtime().path()).arg("--root").arg(site.root());
    endless
        .args(["update", "--resources", "-", container.id()])
        .run()
        .exits(1)
        .says("-: 16777217 bytes are too many");
    for value in ["70000", "-1"] {
        let said = format!("update: --blkio-weight \"{value}\": a number from 10 to 1000 was expected");
        update("--blkio-weight", value).exits(1).says(&said);
    }
}

#[test]
fn a_container_that_runs_is_not_deleted_unless_that_is_forced() {
    let site = oci_site!();
    let container = site.bundle().sh("sleep 1000").start();
    let refused = container.verb("delete").run();
    refused.exits(1);
    if site.runtime().name() == "husk-oci" {
        refused.says("cannot delete a container that is running (kill it first, or delete --force)");
    }
    assert_eq!(container.status(), "running");
    container.verb("delete").arg("--force").run().succeeds();
    assert!(!site.root().join(container.id()).exists());
}

#[test]
fn a_call_that_is_not_understood_is_logged() {
    let site = oci_site!();
    if site.runtime().name() != "husk-oci" {
        return site.note("other runtimes have words of their own");
    }
    let log = site.path().join("log");
    let calls: [(&[&str], i32); 4] = [
        (&["create", "--wat", "c"], 1),
        (&["state", "../c"], 1),
        (&["exec"], 255),
        (&["exec", "--wat", "c", "true"], 255),
    ];
    for (words, status) in calls {
        let refused = site.bare_oci(["--log"]).arg(&log).args(["--log-format", "json"]).args(words).run();
        refused.exits(status);
        let text = fs::read_to_string(&log).expect("a log");
        let line: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let said = line["msg"].as_str().expect("text");
        assert_eq!((line["level"].as_str(), format!("husk-oci: {said}\n")), (Some("error"), refused.stderr));
        fs::remove_file(&log).expect("a log");
    }
}

#[test]
fn what_it_answers_by_itself() {
    let site = oci_site!();
    if site.runtime().name() != "husk-oci" {
        return site.note("other runtimes have words of their own");
    }
    for verb in ["checkpoint", "restore"] {
        let output = site.oci([verb, "--image-path", "/x", "c0"]).run();
        output.exits(1).says("no checkpoint and restore").prints("");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
    }
    let help = site.bare_oci(["--help"]).run();
    for verb in ["create", "start", "state", "kill", "delete", "exec", "run", "list", "spec", "features"] {
        assert!(help.succeeds().stdout.contains(&format!("\n  {verb} ")), "{verb} in:\n{help}");
        let own = site.bare_oci([verb, "--help"]).run();
        assert!(own.succeeds().stdout.contains(&format!("usage: husk-oci {verb} [FLAG…]")), "{own}");
        own.prints(&site.bare_oci(["help", verb]).run().stdout);
    }
    let features = site.bare_oci(["features"]).run();
    assert_eq!(features.succeeds().stderr, "");
    let features: Value = serde_json::from_str(&features.stdout).expect("JSON");
    assert_eq!(features["annotations"]["org.opencontainers.runc.checkpoint.enabled"], "false");
}
