// SPDX-License-Identifier: Apache-2.0
//! How the kernel treats a container's process, and a further one: more of each field of `process` than `oci_fields_process` has,
//! and each flag of `exec`.
#![forbid(unsafe_code)]

use std::fs;

use husk_tests::oci::{Container, SpecChange};
use husk_tests::{oci_site, write_program};
use serde_json::{Value, json};

/// A line of /proc/PID/status, without its name.
fn status(of: &str, name: &str) -> String {
    let line = of.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in:\n{of}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Field 41 of /proc/PID/stat is the policy of the scheduler, 40 the real-time priority, 19 the nice value.
fn stat(text: &str, field: usize) -> &str {
    let behind = text.rsplit(") ").next().expect("a process");
    behind.split(' ').nth(field - 3).expect("a field")
}

fn capabilities(text: &str, set: &str) -> u64 {
    u64::from_str_radix(&status(text, set), 16).expect("a set of capabilities")
}

/// What a further process prints, which is described by a file.
#[track_caller]
fn exec_process(container: &Container<'_>, process: &Value) -> String {
    let file = container.bundle().join("process.json");
    fs::write(&file, process.to_string()).expect("a file in the bundle");
    let output = container.verb_with("exec", ["--process".as_ref(), file.as_os_str()]).run();
    output.succeeds().stdout.trim_end().to_owned()
}

#[test]
fn scheduler_policies() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "process.scheduler")
        || site.is_too_old("crun", (1, 9, 0), "process.scheduler")
    {
        return;
    }
    let set = |scheduler: Value| {
        let text = site.inside("cat /proc/self/stat", |spec| spec["process"]["scheduler"] = scheduler);
        [41, 40, 19].map(|field| stat(&text, field).to_owned())
    };
    assert_eq!(set(json!({"policy": "SCHED_OTHER", "nice": 3})), ["0", "0", "3"]);
    assert_eq!(
        set(json!({"policy": "SCHED_BATCH", "nice": -3})),
        ["3", "0", "-3"],
        "before CAP_SYS_NICE is dropped"
    );
    assert_eq!(set(json!({"policy": "SCHED_IDLE"}))[0], "5");
    // With CONFIG_RT_GROUP_SCHED a cgroup of version 1 has no time for these unless it and those above are given some.
    let above = site.cgroup().directory("cpu");
    fs::create_dir_all(&above).expect("a cgroup");
    let _ = fs::write(above.join("cpu.rt_runtime_us"), "5000");
    let real_time = |policy: &str, priority: i32| {
        let bundle = site.bundle().sh("cat /proc/self/stat").change(|spec| {
            spec["process"]["scheduler"] = json!({"policy": policy, "priority": priority});
            spec["linux"]["resources"]["cpu"] = json!({"realtimeRuntime": 1000, "realtimePeriod": 1_000_000});
        });
        bundle.create_with(&[], &[])
    };
    for (policy, number, priority) in [("SCHED_FIFO", "1", 7), ("SCHED_RR", "2", 99)] {
        match real_time(policy, priority) {
            Ok(container) => {
                container.start();
                let text = container.finish().succeeds().stdout.clone();
                assert_eq!([41, 40].map(|field| stat(&text, field)), [number, &priority.to_string()]);
            }
            Err(output) => site.note(&format!("no real-time policy here: {}", output.stderr.trim())),
        }
    }
}

#[test]
fn scheduler_flags_and_what_cannot_be() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "process.scheduler")
        || site.is_too_old("crun", (1, 9, 0), "process.scheduler")
    {
        return;
    }
    // A process forked from one with this flag starts with a nice value of 0.
    let reset = site.inside("cat /proc/self/stat; :", |spec| {
        spec["process"]["scheduler"] =
            json!({"policy": "SCHED_OTHER", "nice": -5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    });
    assert_eq!(stat(&reset, 19), "0");
    let own = site.inside("read line </proc/$$/stat; echo \"$line\"", |spec| {
        spec["process"]["scheduler"] =
            json!({"policy": "SCHED_OTHER", "nice": -5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    });
    assert_eq!(stat(&own, 19), "-5", "the process itself");
    let refused =
        |scheduler: Value| site.bundle().change(|spec| spec["process"]["scheduler"] = scheduler).fails();
    refused(json!({"policy": "SCHED_OTHER", "nice": 20}));
    refused(json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NONE"]}));
    refused(json!({"policy": "SCHED_DEADLINE", "runtime": 3_000_000, "deadline": 2_000_000}));
}

#[test]
fn io_priority_in_real_time() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "process.ioPriority")
        || site.is_too_old("crun", (1, 9, 0), "process.ioPriority")
    {
        return;
    }
    let said = site.inside("ionice", |spec| {
        spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_RT", "priority": 1});
    });
    assert_eq!(said, "realtime: prio 1", "before CAP_SYS_NICE is dropped");
    site.bundle()
        .change(|spec| spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 8}))
        .fails();
}

#[test]
fn memory_policies() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 4, 0), "linux.memoryPolicy")
        || site.is_too_old("crun", (1, 25, 0), "linux.memoryPolicy")
    {
        return;
    }
    let policy = |policy: Value| {
        let text = site.inside("head -1 /proc/self/numa_maps", |spec| spec["linux"]["memoryPolicy"] = policy);
        text.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(policy(json!({"mode": "MPOL_DEFAULT"})), "default");
    assert_eq!(policy(json!({"mode": "MPOL_LOCAL"})), "local");
    assert_eq!(policy(json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"})), "interleave:0");
    assert_eq!(policy(json!({"mode": "MPOL_PREFERRED", "nodes": "0"})), "prefer:0");
    assert_eq!(
        policy(json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]})),
        "bind=static:0"
    );
    let refused = |policy: Value| site.bundle().change(|spec| spec["linux"]["memoryPolicy"] = policy).fails();
    refused(json!({"mode": "MPOL_BIND"}));
    refused(json!({"mode": "MPOL_BIND", "nodes": "0-x"}));
    refused(json!({"mode": "MPOL_BIND", "nodes": "1023"}));
}

#[test]
fn a_process_of_exec_has_what_it_leaves_open_from_the_container() {
    let site = oci_site!();
    if site.deviates("crun", "takes neither limits nor a umask over from the container") {
        return;
    }
    let container = site.bundle().sh("sleep 1000").change(|spec| {
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "soft": 5, "hard": 7}]);
        spec["process"]["user"]["umask"] = json!(0o27);
        spec["process"]["oomScoreAdj"] = json!(700);
    });
    let container = container.start();
    let env = json!(["PATH=/bin"]);
    let script = "cat /proc/self/status; echo Oom: $(cat /proc/self/oom_score_adj); umask";
    let plain = json!({"cwd": "/", "env": env, "args": ["sh", "-c", script]});
    let text = exec_process(&container, &plain);
    assert_eq!(capabilities(&text, "CapBnd"), 1 << 5 | 1 << 10 | 1 << 29, "the container's");
    assert_eq!(status(&text, "NoNewPrivs"), "0", "that is each process's own");
    assert_eq!(status(&text, "Oom"), "700", "the container's");
    if !site.is_too_old("runc", (1, 2, 0), "the umask of an exec") {
        assert_eq!(text.lines().next_back(), Some("0027"), "the container's umask");
    }
    let own = json!({"cwd": "/", "env": env, "args": ["grep", "core", "/proc/self/limits"],
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}]});
    assert!(exec_process(&container, &own).contains("1                    2"), "its own limit");
    if site.deviates("runc", "leaves the process of an exec the caller's limits") {
        return;
    }
    let inherited = json!({"cwd": "/", "env": env, "args": ["grep", "core", "/proc/self/limits"]});
    assert!(exec_process(&container, &inherited).contains("5                    7"), "the container's limit");
}

#[test]
fn the_scheduling_of_a_process_of_exec() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 3, 0), "process.scheduler of an exec")
        || site.is_too_old("crun", (1, 20, 0), "process.scheduler of an exec")
    {
        return;
    }
    let bundle = site.bundle().sh("sleep 1000").change(|spec| {
        spec["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 4});
        spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
        spec["linux"]["personality"] = json!({"domain": "LINUX32"});
        spec["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0"});
    });
    let container = bundle.start();
    let script = "cat /proc/self/stat; ionice; uname -m; head -1 /proc/self/numa_maps";
    let text = container.exec(&["sh", "-c", script]).succeeds().stdout.clone();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!([41, 19].map(|field| stat(lines[0], field)), ["3", "4"]);
    assert_eq!(lines[1], "best-effort: prio 6");
    assert!(!cfg!(target_arch = "x86_64") || lines[2] == "i686", "{text}");
    assert!(lines[3].contains(" bind:0 "), "{text}");
    let own = json!({"cwd": "/", "env": ["PATH=/bin"], "args": ["cat", "/proc/self/stat"],
        "scheduler": {"policy": "SCHED_IDLE"}});
    assert_eq!(stat(&exec_process(&container, &own), 41), "5", "its own policy");
}

#[test]
fn the_first_processors_of_an_exec_stay_without_others() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 3, 0), "process.execCPUAffinity")
        || site.is_too_old("crun", (1, 20, 0), "process.execCPUAffinity")
    {
        return;
    }
    let container = site.bundle().sh("sleep 1000").start();
    let on = |affinity: Value| {
        let args = ["/bin/cat", "/proc/self/status"];
        let process = json!({"cwd": "/", "execCPUAffinity": affinity, "args": args});
        status(&exec_process(&container, &process), "Cpus_allowed_list")
    };
    assert_eq!(on(json!({"initial": "0"})), "0");
    if fs::read_to_string("/sys/devices/system/cpu/online").expect("processors").trim() == "0" {
        return site.note("one processor is too few to tell the first from the others");
    }
    assert_eq!(on(json!({"initial": "0", "final": "1"})), "1");
    assert_eq!(on(json!({"final": "0-1"})), "0-1");
    let process = json!({"cwd": "/", "execCPUAffinity": {"initial": "1-0"}, "args": ["true"]});
    let file = container.bundle().join("process.json");
    fs::write(&file, process.to_string()).expect("a file in the bundle");
    let output = container.verb_with("exec", ["--process".as_ref(), file.as_os_str()]).run();
    output.exits(255);
}

#[test]
fn flags_of_exec() {
    let site = oci_site!();
    let container = site.bundle().sh("sleep 1000").start();
    let exec = |flags: &[&str], script: &str| {
        let words = [flags, &[container.id(), "sh", "-c", script]].concat();
        site.oci(["exec"]).args(words).run()
    };
    exec(&["--cwd", "/etc"], "pwd").succeeds().prints("/etc\n");
    exec(&["-e", "A=1", "-e", "B=2 3", "-e", "A=4"], "echo $A.$B").succeeds().prints("4.2 3\n");
    exec(&["--env", "A=1"], "echo $A").succeeds().prints("1\n");
    exec(&["--user", "1000:1001"], "id -u; id -g; echo $HOME").succeeds().prints("1000\n1001\n/\n");
    exec(&["-u", "1000"], "id -u; id -g").succeeds().prints("1000\n0\n");
    let text = exec(&["-g", "5", "-g", "6"], "cat /proc/self/status").succeeds().stdout.clone();
    assert_eq!(status(&text, "Groups"), "5 6");
    let text = exec(&["--cap", "CAP_CHOWN"], "cat /proc/self/status").succeeds().stdout.clone();
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(capabilities(&text, set), 1 | 1 << 5 | 1 << 10 | 1 << 29, "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(capabilities(&text, set), 0, "{set}");
    }
    let no_new_privileges =
        |flags: &[&str]| status(&exec(flags, "cat /proc/self/status").succeeds().stdout, "NoNewPrivs");
    assert_eq!(no_new_privileges(&[]), "1", "as the container's process");
    assert_eq!(no_new_privileges(&["--no-new-privs=false"]), "0");
    assert_eq!(no_new_privileges(&["--no-new-privs"]), "1");
    assert_ne!(exec(&["--user", "root"], "true").code(), 0, "a runtime reads ids, not names");
    assert_ne!(exec(&["--env", "NOTHING"], "true").code(), 0);
}

#[test]
fn labels_of_exec_without_a_module_for_them() {
    let site = oci_site!();
    if site.deviates("crun", "leaves labels out where the kernel has nothing for them") {
        return;
    }
    let container = site.bundle().sh("sleep 1000").start();
    for (flag, module, there) in [
        ("--apparmor", "apparmor", "/sys/kernel/security/apparmor"),
        ("--process-label", "selinux", "/sys/fs/selinux"),
    ] {
        if fs::metadata(there).is_ok() {
            site.note(&format!("this kernel has {module}"));
            continue;
        }
        let output = container.verb_with("exec", [flag, "some-label"]).arg("true").run();
        assert_eq!(output.code(), 255, "{output}");
        if site.runtime().name() == "husk-oci" {
            assert!(output.stderr.to_lowercase().contains(module), "{output}");
        }
    }
}

#[test]
fn capabilities_have_their_full_names() {
    let site = oci_site!();
    if site.deviates("crun", "takes and refuses other names") {
        return;
    }
    let text = site.inside("cat /proc/self/status", |spec| spec.add_capability("sys_admin"));
    assert_eq!(capabilities(&text, "CapBnd") & 1 << 21, 0, "a name that runc would leave out grants nothing");
}

#[test]
fn home_of_a_user_in_no_passwd() {
    let site = oci_site!();
    if site.deviates("crun", "has a home of its own for root") {
        return;
    }
    let bundle = site.bundle().sh("echo $HOME");
    fs::remove_file(bundle.in_root("etc/passwd")).expect("a file of the bundle's");
    bundle.output().succeeds().prints("/\n");
    let user = |spec: &mut Value| spec["process"]["user"] = json!({"uid": 12345, "gid": 1});
    assert_eq!(site.inside("echo $HOME", user), "/");
}

#[test]
fn a_capability_that_the_caller_has_not_is_named() {
    let site = oci_site!();
    if ["runc", "crun"].into_iter().any(|name| site.deviates(name, "does not say which")) {
        return;
    }
    let ask = |capabilities: &[&str]| {
        let bundle = site.bundle().args(&["true"]).change(|spec| {
            for set in ["bounding", "permitted", "effective"] {
                spec["process"]["capabilities"][set] = json!(capabilities);
            }
        });
        bundle.write();
        let without = site.command("setpriv").args(["--bounding-set", "-sys_time", "--"]);
        let run = without.arg(site.runtime().path()).arg("--root").arg(site.root()).args(["run", "--bundle"]);
        run.arg(bundle.path()).arg(bundle.id()).run()
    };
    let refused = ask(&["CAP_KILL", "CAP_SYS_TIME"]);
    refused.exits(1).says("[step").says("process.capabilities]").says("husk was started without SYS_TIME:");
    ask(&["CAP_KILL"]).succeeds();
}

#[test]
fn what_is_found_on_path_and_cannot_run_is_named() {
    let site = oci_site!();
    if site.runtime().name() != "husk-oci" {
        return site.note("other runtimes have words of their own");
    }
    let bundle = |command: &str, path: &str| {
        let bundle = site.bundle().args(&[command]);
        fs::write(bundle.in_root("bin/data"), "data").expect("a file");
        write_program(&bundle.in_root("bin/garbage"), "\0");
        bundle.change(|spec| spec["process"]["env"] = json!([format!("PATH={path}")]))
    };
    let many: String = (0..300).map(|number| format!("/nowhere-{number}:")).collect();
    for path in ["/nowhere:/bin", &(many + "/bin")] {
        bundle("data", path)
            .refused()
            .says("permission denied: cannot run `/bin/data`: it is not executable");
        let started = bundle("garbage", path).create().verb("start").run();
        started.exits(1).says("permission denied: cannot run `/bin/garbage`: ");
    }
    // A directory of PATH that is a file is none, as for a shell.
    bundle("nothing", "/bin/data:/bin")
        .refused()
        .says("executable file not found in $PATH: there is no `nothing`");
}

/// Why is looked up in the container's own mounts, which are gone when its process is.
#[test]
fn a_command_that_is_hidden_by_a_mount_is_not_there() {
    let site = oci_site!();
    if site.deviates("crun", "has words of its own") {
        return;
    }
    let bundle = site.bundle().args(&["/bin/true"]);
    let bundle = bundle.change(|spec| spec["linux"]["maskedPaths"] = json!(["/bin"]));
    bundle.write();
    for _ in 0..20 {
        let run = site.oci(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
        assert!(run.exits(1).stderr.to_lowercase().contains("no such file or directory"), "{run}");
        assert!(!run.stderr.contains("permission denied"), "{run}");
    }
}
