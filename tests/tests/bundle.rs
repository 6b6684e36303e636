// SPDX-License-Identifier: Apache-2.0
//! OCI bundles in the people's program: run, explained, stepped through, and told of when they fail.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use husk_tests::oci::Cgroup;
use husk_tests::{Caller, Place, is_root, note_skip, skip, until, write_program};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A bundle's configuration, of as little as there can be.
fn config(caller: &Caller<'_>, root: &Path, script: &str) -> Value {
    let own = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
    let namespaces = ["mount", "pid", "network", "ipc", "uts", "user"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.2.0",
        "root": { "path": root.display().to_string() },
        "hostname": "bundled",
        "process": {
            "args": ["/bin/sh", "-c", script],
            "cwd": "/",
            "env": ["PATH=/bin:/usr/bin"],
            "user": { "uid": 0, "gid": 0 },
        },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": {
            "namespaces": namespaces,
            "uidMappings": own(caller.uid()),
            "gidMappings": own(caller.gid()),
        },
    })
}

#[test]
fn a_bundle_runs_like_any_container() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let script = "echo $$ $(busybox hostname); exit 7";
        let bundle = caller.bundle("bundle", &config(&caller, &root, script));
        let output = caller.husk(["run", "--bundle"]).arg(&bundle).run();
        output.exits(7).prints("1 bundled\n");
        let why = caller.husk(["why", "run", "-b"]).arg(&bundle).run();
        assert!(why.exits(7).stderr.contains("chose to end with exit status 7"), "{why}");
        let step = caller.husk(["step", "run", "--until", "pivot", "--bundle"]).arg(&bundle).run();
        assert!(step.exits(0).stderr.contains("pivot: the container's root is the root"), "{step}");
    }
}

/// What of a running container's refusals can be known afterwards: what the kernel has logged.
#[test]
fn why_of_a_running_container_tells_what_the_kernel_has_logged() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let mut config = config(&caller, &root, "cd /proc; busybox mkdir /made; echo up; read end; true");
        let rules = json!([
            {"names": ["chdir"], "action": "SCMP_ACT_LOG"},
            {"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_KILL_PROCESS"}
        ]);
        config["process"]["noNewPrivileges"] = json!(true);
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
        let bundle = caller.bundle("bundle", &config);
        let name = format!("logged-{caller}-{}", std::process::id());
        let mut running = caller.husk(["run", "-q", "--name", &name, "--bundle"]).arg(&bundle).start();
        running.wait_for("up\n");
        let pid = running.container();
        let output = caller.husk(["why", &name]).run();
        let told = &output.succeeds().stdout;
        let expect = |text: &str| assert!(told.contains(text), "{caller}: {text:?} in\n{told}");
        expect(&format!("{name} runs, made by husk: process {pid}, /bin/sh -c"));
        expect("  seccomp  1 filter\n");
        expect(&format!("  cure     husk why run --bundle {}: runs its command once more", bundle.display()));
        expect("leaves no trace");
        match caller.is_root() && is_in_kernel_log(pid) {
            true => {
                expect(&format!("  log      chdir by sh (process {pid}): it was let pass, and logged"));
                expect("the process was killed for it (SCMP_ACT_KILL_PROCESS) (it has ended: perhaps");
            }
            false => assert!(!told.contains("chdir by"), "{told}"),
        }
        running.write("\n");
        running.finish().succeeds();
        let gone = caller.husk(["why", &name]).run();
        gone.exits(1).says("and none of that name runs").says("husk why run --bundle DIR");
    }
}

/// Whether the kernel's log has an answer of a seccomp filter to this process: no auditd took it instead.
fn is_in_kernel_log(pid: u32) -> bool {
    let log = std::process::Command::new("dmesg").output().expect("dmesg starts");
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    log.lines().any(|line| line.contains("audit: type=1326") && line.contains(&format!(" pid={pid} ")))
}

#[test]
fn why_names_what_a_seccomp_profile_refuses_by_call_and_rule() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let script = "busybox mkdir /made && exit 1; exit 7";
        let mut config = config(&caller, &root, script);
        let rules = json!([
            {"names": ["uname"], "action": "SCMP_ACT_LOG"},
            {"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
        ]);
        config["process"]["noNewPrivileges"] = json!(true);
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
        let bundle = caller.bundle("bundle", &config);
        let plain = caller.husk(["run", "--bundle"]).arg(&bundle).run();
        let why = caller.husk(["why", "run", "--bundle"]).arg(&bundle).run();
        for output in [plain.exits(7), why.exits(7)] {
            assert!(output.stderr.contains("No space left on device"), "{output}");
        }
        let told = why.stderr.lines().find(|line| line.contains("refused"));
        let told = told.unwrap_or_else(|| panic!("{why}"));
        assert!(told.contains("mkdir") && told.contains("once, first to busybox"), "{told}");
        assert!(
            told.contains("linux.seccomp.syscalls[1].names[") && told.contains("SCMP_ACT_ERRNO(28)"),
            "{told}"
        );
    }
}

#[test]
fn each_step_has_its_place_in_config_json() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let bundle = caller.bundle("bundle", &config(&caller, &root, "exit"));
        let origins = |words: &[&str]| -> Vec<String> {
            let output = caller.husk(words).arg(&bundle).run();
            let json: Value = serde_json::from_str(&output.succeeds().stdout).expect("JSON");
            let steps = json["steps"].as_array().expect("steps").iter();
            steps.map(|step| step["origin"].as_str().expect("an origin").to_owned()).collect()
        };
        let short = origins(&["explain", "--format", "json", "--bundle"]);
        for origin in ["mounts[0]", "linux.uidMappings", "hostname", "process.capabilities", "process.args"] {
            assert!(short.iter().any(|other| other == origin), "{caller}: {origin} in {short:?}");
        }
        let long = origins(&["explain", "run", "--name", "x", "--format", "json", "--bundle"]);
        assert_eq!(long, short, "{caller}");
    }
}

/// With the last scope in a slice, systemd takes all away that is empty there, in hierarchies of version 1 that it needs no more: also
/// what somebody else is about to use.
static SYSTEMD: Mutex<()> = Mutex::new(());

/// A path as engines write it for systemd: the scope where one can be had, and else a word about it.
#[test]
fn a_path_in_systemds_form_asks_for_a_scope() {
    let test = "a_path_in_systemds_form_asks_for_a_scope";
    let _alone = SYSTEMD.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_root() {
        skip!(test, "the machine's systemd makes scopes for root");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("root");
    let name = format!("husktest{}", std::process::id());
    let mut config = config(&caller, &root, "busybox cat /proc/self/cgroup; read end; exit 7");
    config["linux"]["cgroupsPath"] = format!("system.slice:{name}:c").into();
    config["linux"]["resources"] = json!({ "pids": { "limit": 33 } });
    let bundle = caller.bundle("bundle", &config);
    let run = |words: &[&str]| caller.husk(["run", "--bundle"]).arg(&bundle).args(words);
    let literal = run(&["-q", "--no-systemd-cgroup"]).input("\n").run();
    assert!(literal.exits(7).stdout.contains(&format!("system.slice:{name}:c")), "{literal}");
    if !Path::new("/run/systemd/system").is_dir() {
        note_skip(test, "scopes take a systemd that runs");
        run(&["--systemd-cgroup"])
            .run()
            .exits(125)
            .says("--systemd-cgroup: ")
            .says("systemd does not run here");
        let noted = run(&[]).input("\n").run();
        noted.exits(7).says("by its form SLICE:PREFIX:NAME; systemd does not run here");
        assert_eq!(noted.stdout, literal.stdout);
        return;
    }
    let unit = format!("{name}-c.scope");
    let cgroup = Cgroup::new(&format!("system.slice/{unit}"));
    for words in [&[][..], &["--systemd-cgroup"]] {
        let mut running = run(words).start();
        running.wait_for(&format!("/system.slice/{unit}"));
        assert_eq!(cgroup.read("pids", "pids.max").as_deref(), Some("33"), "{words:?}");
        let show = caller.command("systemctl").args(["show", "-p", "TasksMax", "--value"]).arg(&unit).run();
        show.prints("33\n");
        running.write("\n");
        running.finish().exits(7);
        until("it is taken away when its last process has left", || !cgroup.exists());
    }
    let step = caller.husk(["step", "run", "--until", "pivot", "--bundle"]).arg(&bundle).run();
    assert!(step.exits(0).stderr.contains("pivot: the container's root is the root"), "{step}");
}

/// Asserts that a bundle's command that needs too much memory is killed for it, and that it is told whose limit was reached.
fn kill_for_memory_is_told(caller: &Caller<'_>, cgroups_path: &str) {
    let script = "exec busybox dd if=/dev/zero of=/dev/null count=1 bs=200M";
    let mut config = config(caller, &caller.root("root"), script);
    config["linux"]["cgroupsPath"] = cgroups_path.into();
    config["linux"]["resources"] = json!({ "memory": { "limit": 64 << 20, "swap": 64 << 20 } });
    let bundle = caller.bundle("bundle", &config);
    let told = "its own limit of 64 MiB was reached (linux.resources.memory.limit, cgroup /sys/fs/cgroup/";
    let cure = "give it more, in config.json: linux.resources.memory.limit: 134217728";
    let run = caller.husk(["run", "--bundle"]).arg(&bundle).run();
    run.exits(137).says(told).says(&format!("hint: {cure}"));
    let why = caller.husk(["why", "run", "--bundle"]).arg(&bundle).run();
    why.exits(137).says(told).says(&format!("  cure     {cure}"));
    // The harmless twin: somebody else kills it.
    config["process"]["args"] = json!(["/bin/sh", "-c", "echo up; read end"]);
    let bundle = caller.bundle("bundle", &config);
    let mut running = caller.husk(["run", "--bundle"]).arg(&bundle).start();
    running.wait_for("up\n");
    let pid = i32::try_from(running.container()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::KILL).expect("it is there");
    let killed = running.finish();
    assert!(!killed.exits(137).stderr.contains("memory"), "{killed}");
}

#[test]
fn a_kill_for_memory_is_told_with_the_field_of_its_limit() {
    let test = "a_kill_for_memory_is_told_with_the_field_of_its_limit";
    if !is_root() {
        skip!(test, "only root may make a cgroup wherever a bundle wants it");
    }
    let place = Place::new();
    kill_for_memory_is_told(&place.root(), &format!("/husk-test-memory-{}", std::process::id()));
}

/// systemd takes a scope away as soon as its last process has left, and with it what the kernel has counted.
#[test]
fn a_kill_for_memory_in_a_scope_is_told() {
    let test = "a_kill_for_memory_in_a_scope_is_told";
    if !is_root() || !Path::new("/run/systemd/system").is_dir() {
        skip!(test, "the machine's systemd makes scopes for root, and does not run here");
    }
    let _alone = SYSTEMD.lock().unwrap_or_else(PoisonError::into_inner);
    let place = Place::new();
    kill_for_memory_is_told(&place.root(), &format!("system.slice:husktest{}:memory", std::process::id()));
}

#[test]
fn what_is_wrong_with_a_bundle_is_said_by_field() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let none = caller.home().join("none");
        caller
            .husk(["run", "--bundle"])
            .arg(&none)
            .run()
            .exits(125)
            .says("none: No such file")
            .says("config.json");
        let good = config(&caller, &root, "exit");
        let bad = |change: &dyn Fn(&mut Value)| {
            let mut config = good.clone();
            change(&mut config);
            caller.husk(["run", "--bundle"]).arg(caller.bundle("bad", &config)).run()
        };
        let output = bad(&|config| config["process"]["rlimits"] = json!([{ "type": "RLIMIT_X" }]));
        output.exits(125).says("config.json: process.rlimits[0].type: unknown resource");
        let output = bad(&|config| config["process"]["cwd"] = "here".into());
        output.exits(125).says("config.json: process.cwd: ");
        let bundle = caller.bundle("bundle", &good);
        let with = |words: &[&str]| caller.husk(["run", "--bundle"]).arg(&bundle).args(words).run();
        with(&["--hostname", "x"]).exits(125).says("--bundle and --hostname").says("config.json: hostname");
        with(&["root"]).exits(125).says("--bundle and ROOTFS").says("root.path");
        with(&["--", "sh"]).exits(125).says("--bundle and COMMAND").says("process.args");
        let mut denied = good.clone();
        denied["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "uts" }]);
        denied["linux"].as_object_mut().expect("an object").retain(|key, _| !key.ends_with("Mappings"));
        let output = caller.husk(["run", "--bundle"]).arg(caller.bundle("denied", &denied)).run();
        let _ = match caller.is_root() {
            true => output.exits(0),
            false => output.exits(125).says("linux.namespaces").says("needs root").says("spec --rootless"),
        };
    }
}

/// The hooks of a bundle, each of which writes its kind and the state that it reads.
fn hooks(directory: &Path) -> Value {
    let log = directory.join("hooks");
    let hook = |kind: &str| {
        let script = format!("echo {kind} $(cat) >>{}", log.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
    };
    json!({
        "prestart": hook("prestart"),
        "createRuntime": hook("createRuntime"),
        "createContainer": hook("createContainer"),
        "poststart": hook("poststart"),
        "poststop": hook("poststop"),
        "startContainer": [{ "path": "/bin/hook", "env": ["PATH=/bin:/usr/bin"] }],
    })
}

#[test]
fn all_hooks_of_a_bundle_run_in_their_order() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let hook = root.join("bin/hook");
        write_program(&hook, "#!/bin/sh\nbusybox cat >/state\n");
        let mut config = config(&caller, &root, "echo command");
        config["hooks"] = hooks(caller.home());
        let bundle = caller.bundle("bundle", &config);
        let output = caller.husk(["run", "--name", "hooked", "--bundle"]).arg(&bundle).run();
        output.succeeds().prints("command\n");
        let state = fs::read(root.join("state")).expect("the state that the hook read");
        let state: Value = serde_json::from_slice(&state).expect("a state");
        assert_eq!((&state["status"], &state["id"]), (&"created".into(), &"hooked".into()), "{caller}");
        assert_eq!(state["bundle"], bundle.display().to_string(), "{caller}");
        let log = fs::read_to_string(caller.home().join("hooks")).expect("a log");
        let kinds: Vec<_> = log
            .lines()
            .map(|line| {
                let (kind, state) = line.split_once(' ').expect(line);
                let state: Value = serde_json::from_str(state).expect("a state");
                (
                    kind.to_owned(),
                    state["status"].as_str().expect("a status").to_owned(),
                    state["pid"].is_u64(),
                )
            })
            .collect();
        let expected = [
            ("prestart", "creating", true),
            ("createRuntime", "creating", true),
            ("createContainer", "creating", true),
            ("poststart", "running", true),
            ("poststop", "stopped", false),
        ];
        let expected = expected.map(|(kind, status, pid)| (kind.to_owned(), status.to_owned(), pid));
        assert_eq!(kinds, expected, "{caller}");
    }
}

#[test]
fn a_hook_that_fails_ends_it_and_is_named() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        for kind in ["prestart", "createRuntime", "poststart"] {
            let mut config = config(&caller, &root, "sleep 1000");
            let script = "echo no such network >&2; exit 3";
            config["hooks"][kind] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
            let output = caller.husk(["run", "--bundle"]).arg(caller.bundle("bundle", &config)).run();
            let output = output.exits(125);
            output.says(&format!("hooks.{kind}[0] (/bin/sh) failed: exit status 3: no such network"));
        }
        // What comes too late to end anything is said.
        let mut config = config(&caller, &root, "exit 4");
        config["hooks"]["poststop"] = json!([{ "path": "/bin/false" }]);
        let output = caller.husk(["run", "--bundle"]).arg(caller.bundle("bundle", &config)).run();
        output.exits(4).says("note: hooks.poststop[0] (/bin/false) failed: exit status 1");
    }
}

#[test]
fn what_is_killed_before_it_runs_has_no_hook_that_it_has_started() {
    let test = "what_is_killed_before_it_runs_has_no_hook_that_it_has_started";
    if !is_root() {
        skip!(test, "only root may make a cgroup wherever a bundle wants it");
    }
    let place = Place::new();
    let caller = place.root();
    let mut config = config(&caller, &caller.root("root"), "true");
    config["linux"]["cgroupsPath"] = json!(format!("/husk-test-hooks-{}", std::process::id()));
    config["hooks"]["poststart"] = hooks(caller.home())["poststart"].clone();
    for (limit, status, hooks) in [(32 << 10, 137, ""), (64 << 20, 0, "poststart")] {
        config["linux"]["resources"] = json!({ "memory": { "limit": limit, "swap": limit } });
        caller.husk(["run", "--bundle"]).arg(caller.bundle("bundle", &config)).run().exits(status);
        let log = fs::read_to_string(caller.home().join("hooks")).unwrap_or_default();
        assert_eq!(log.split(' ').next(), Some(hooks), "{limit}");
    }
}

#[test]
fn stopping_on_the_way_runs_no_hook_that_belongs_later() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let mut config = config(&caller, &root, "echo command");
        config["hooks"] = hooks(caller.home());
        config["hooks"].as_object_mut().expect("an object").remove("startContainer");
        let bundle = caller.bundle("bundle", &config);
        let output = caller.husk(["step", "run", "--until", "confine", "--bundle"]).arg(&bundle).run();
        output.exits(0).prints("");
        let log = fs::read_to_string(caller.home().join("hooks")).expect("a log");
        let kinds: Vec<_> = log.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(kinds, ["prestart", "createRuntime", "createContainer", "poststop"], "{caller}");
    }
}

#[test]
fn process_terminal_makes_one() {
    let place = Place::new();
    if !is_root() {
        skip!("process_terminal_makes_one", "the terminal's group is not mapped for an ordinary user");
    }
    let caller = place.root();
    let root = caller.root("root");
    let mut config = config(&caller, &root, "busybox tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ]");
    config["process"]["terminal"] = true.into();
    config["linux"]["namespaces"].as_array_mut().expect("namespaces").pop();
    config["linux"].as_object_mut().expect("an object").retain(|key, _| !key.ends_with("Mappings"));
    config["mounts"].as_array_mut().expect("mounts").extend([
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs" }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"] }),
    ]);
    let output = caller.husk(["run", "--bundle"]).arg(caller.bundle("bundle", &config)).run();
    output.succeeds().prints("/dev/pts/0\r\n");
}

/// A cgroup of version 1 with a process in it, until dropped.
struct Busy {
    path: std::path::PathBuf,
    process: std::process::Child,
}

impl Busy {
    fn new(name: &str) -> Option<Self> {
        let path = Path::new("/sys/fs/cgroup/pids").join(name);
        fs::create_dir(&path).ok()?;
        let process = std::process::Command::new("sleep").arg("300").spawn().expect("sleep");
        fs::write(path.join("cgroup.procs"), process.id().to_string()).expect("a cgroup of version 1");
        Some(Self { path, process })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The kernel takes a moment to let go of who has ended.
        until("its cgroup is empty", || fs::remove_dir(&self.path).is_ok());
    }
}

#[test]
fn why_names_a_cgroup_that_is_busy() {
    if !is_root() {
        skip!(
            "why_names_a_cgroup_that_is_busy",
            "only root can put a process into a cgroup of its own making"
        );
    }
    let place = Place::new();
    let caller = place.root();
    let name = format!("husk-test-busy-{}", std::process::id());
    let Some(busy) = Busy::new(&name) else {
        skip!("why_names_a_cgroup_that_is_busy", "no hierarchy of version 1 with pids is mounted");
    };
    let mut config = config(&caller, &caller.root("root"), "true");
    config["linux"]["cgroupsPath"] = json!(format!("/{name}"));
    let bundle = caller.bundle("bundle", &config);
    let output = caller.husk(["why", "run", "--bundle"]).arg(&bundle).run();
    output.exits(125).says("has processes in it already").says("choose another linux.cgroupsPath");
    drop(busy);
    // The harmless twin: the same cgroup, with nobody in it.
    caller.husk(["run", "--bundle"]).arg(&bundle).run().exits(0);
    assert!(!Cgroup::new(&name).exists(), "it goes with its container");
}
