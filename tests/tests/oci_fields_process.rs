// SPDX-License-Identifier: Apache-2.0
//! `process` of config.json, field by field. A terminal and its size are in `oci_callers`, rule 13.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use husk_tests::oci::SpecChange;
use husk_tests::{copy_program, oci_site, write_program};
use serde_json::{Value, json};

/// A line of /proc/self/status, without its name.
fn status(of: &str, name: &str) -> String {
    let line = of.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in:\n{of}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

const STATUS: &str = "cat /proc/self/status";

#[test]
fn process_args() {
    let site = oci_site!();
    let output = site.bundle().args(&["printf", "%s|", "one two", "", "$HOME", "ä\n"]).output();
    output.succeeds().prints("one two||$HOME|ä\n|");
}

#[test]
fn process_args_are_required() {
    let site = oci_site!();
    site.bundle().args(&[]).fails();
}

#[test]
fn process_env() {
    let site = oci_site!();
    let output = site.bundle().args(&["/bin/env"]).change(|spec| {
        spec["process"]["env"] = json!(["A=1", "B=two words", "C=x=y", "EMPTY="]);
    });
    let text = output.output().succeeds().stdout.clone();
    let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with("HOME=")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=1", "B=two words", "C=x=y", "EMPTY="], "and nothing of the caller's");
}

#[test]
fn process_env_has_home_from_passwd_when_it_is_not_given() {
    let site = oci_site!();
    assert_eq!(site.inside("echo $HOME", |_| ()), "/root");
    assert_eq!(
        site.inside("echo $HOME", |spec| spec["process"]["env"] = json!(["PATH=/bin", "HOME=/mine"])),
        "/mine"
    );
    if site.deviates("crun", "leaves an empty HOME") {
        return;
    }
    let empty = |spec: &mut Value| spec["process"]["env"] = json!(["PATH=/bin", "HOME=/mine", "HOME="]);
    assert_eq!(site.inside("env | grep HOME", empty), "HOME=/root");
}

#[test]
fn process_env_has_home_from_a_passwd_that_is_mounted() {
    let site = oci_site!();
    let mounted = |target: &str, source: &str| {
        let bundle = site.bundle().sh("echo $HOME").change(|spec| {
            spec.add_mount(target, "bind", source, &["bind", "ro"]);
        });
        fs::create_dir(bundle.path().join("mounted")).expect("a directory");
        let line = "root:x:0:0:root:/elsewhere:/bin/sh\n";
        fs::write(bundle.path().join("mounted/passwd"), line).expect("a file");
        bundle.output().succeeds().prints("/elsewhere\n");
    };
    mounted("/etc/passwd", "mounted/passwd");
    mounted("/etc", "mounted");
}

#[test]
fn process_env_path_finds_the_command() {
    let site = oci_site!();
    let bundle = site.bundle().args(&["own"]);
    fs::create_dir(bundle.in_root("own-bin")).expect("a directory");
    write_program(&bundle.in_root("own-bin/own"), "#!/bin/sh\n");
    bundle.refused();
    let change = |spec: &mut Value| spec["process"]["env"] = json!(["PATH=/nowhere:/own-bin"]);
    bundle.change(change).output().succeeds();
}

#[test]
fn process_cwd() {
    let site = oci_site!();
    assert_eq!(site.inside("pwd", |spec| spec["process"]["cwd"] = json!("/etc")), "/etc");
}

#[test]
fn process_cwd_must_be_absolute() {
    let site = oci_site!();
    if site.deviates("crun", "takes a relative one") {
        return;
    }
    site.bundle().change(|spec| spec["process"]["cwd"] = json!("etc")).fails();
}

#[test]
fn process_cwd_is_made_when_it_is_missing() {
    let site = oci_site!();
    assert_eq!(site.inside("pwd", |spec| spec["process"]["cwd"] = json!("/not/there/yet")), "/not/there/yet");
}

#[test]
fn process_cwd_of_the_users_alone() {
    let site = oci_site!();
    let bundle = site.bundle().sh("pwd").change(|spec| {
        spec["process"]["cwd"] = json!("/private");
        spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    });
    fs::create_dir(bundle.in_root("private")).expect("a directory");
    chown(bundle.in_root("private"), Some(1000), Some(1000)).expect("chown of one's own");
    fs::set_permissions(bundle.in_root("private"), PermissionsExt::from_mode(0o700)).expect("chmod");
    bundle.output().succeeds().prints("/private\n");
}

#[test]
fn process_user_uid_and_gid() {
    let site = oci_site!();
    let status_ = site.inside(STATUS, |spec| spec["process"]["user"] = json!({"uid": 1234, "gid": 5678}));
    assert_eq!(status(&status_, "Uid"), "1234 1234 1234 1234");
    assert_eq!(status(&status_, "Gid"), "5678 5678 5678 5678");
}

#[test]
fn process_user_additional_gids() {
    let site = oci_site!();
    let user = json!({"uid": 7, "gid": 8, "additionalGids": [100, 200, 4_000_000]});
    let status_ = site.inside(STATUS, |spec| spec["process"]["user"] = user);
    assert_eq!(status(&status_, "Groups"), "100 200 4000000");
    let none = site.inside(STATUS, |spec| spec["process"]["user"] = json!({"uid": 7, "gid": 8}));
    assert_eq!(status(&none, "Groups"), "", "nothing of the caller's");
}

#[test]
fn process_user_umask() {
    let site = oci_site!();
    assert_eq!(site.inside("umask", |spec| spec["process"]["user"]["umask"] = json!(0o37)), "0037");
    assert_eq!(site.inside("umask", |_| ()), "0022", "when nothing is said");
}

#[test]
fn process_capabilities() {
    let site = oci_site!();
    let (chown, kill, net_raw, audit) = (1_u64, 1 << 5, 1 << 13, 1 << 29);
    let status_ = site.inside(STATUS, |spec| {
        spec["process"]["capabilities"] = json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_AUDIT_WRITE"],
            "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
            "inheritable": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
            "ambient": ["CAP_KILL"]
        });
        spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    });
    let set = |name| u64::from_str_radix(&status(&status_, name), 16).expect("a set");
    assert_eq!(set("CapBnd"), chown | kill | net_raw | audit);
    assert_eq!(set("CapInh"), chown | kill);
    assert_eq!(set("CapAmb"), kill);
    assert_eq!(
        (set("CapPrm"), set("CapEff")),
        (kill, kill),
        "an ordinary user keeps the ambient set over execve"
    );
}

#[test]
fn process_capabilities_of_root() {
    let site = oci_site!();
    let status_ = site.inside(STATUS, |spec| {
        let list = ["CAP_CHOWN", "CAP_KILL"];
        spec["process"]["capabilities"] = json!({"bounding": list, "permitted": list, "effective": list});
    });
    for set in ["CapBnd", "CapPrm", "CapEff"] {
        assert_eq!(u64::from_str_radix(&status(&status_, set), 16), Ok(1 | 1 << 5), "{set}");
    }
    assert_eq!(status(&status_, "CapInh"), "0000000000000000");
}

/// The effective set does not outlive the execve, but that itself is done with it.
#[test]
fn process_capabilities_effective_open_the_command() {
    let site = oci_site!();
    let with = |effective: Value| {
        let bundle = site.bundle().args(&["/own/echo", "it", "runs"]).change(|spec| {
            let list = ["CAP_DAC_OVERRIDE"];
            spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
            spec["process"]["capabilities"] =
                json!({"bounding": list, "permitted": list, "effective": effective});
        });
        fs::create_dir(bundle.in_root("own")).expect("a directory");
        copy_program(&bundle.in_root("bin/busybox"), &bundle.in_root("own/echo"));
        fs::set_permissions(bundle.in_root("own/echo"), PermissionsExt::from_mode(0o700)).expect("chmod");
        bundle
    };
    with(json!(["CAP_DAC_OVERRIDE"])).output().succeeds().prints("it runs\n");
    if site.deviates("crun", "has opened the command before it gives the capabilities up") {
        return;
    }
    let refused = with(json!([])).fails();
    assert!(refused.stderr.to_lowercase().contains("permission denied"), "{refused}");
}

#[test]
fn process_capabilities_none() {
    let site = oci_site!();
    let status_ = site.inside(STATUS, |spec| spec["process"]["capabilities"] = json!({}));
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(&status_, set), "0000000000000000", "{set}");
    }
}

#[test]
fn process_capabilities_unknown_is_no_failure() {
    let site = oci_site!();
    if site.deviates("crun", "refuses an unknown capability") {
        return;
    }
    site.inside("true", |spec| spec.add_capability("CAP_OF_THE_FUTURE"));
}

#[test]
fn process_no_new_privileges() {
    let site = oci_site!();
    for wanted in [true, false] {
        let status_ = site.inside(STATUS, |spec| spec["process"]["noNewPrivileges"] = json!(wanted));
        assert_eq!(status(&status_, "NoNewPrivs"), u8::from(wanted).to_string());
    }
}

#[test]
fn process_rlimits() {
    let site = oci_site!();
    // Limits can be lowered by everybody; to raise one takes CAP_SYS_RESOURCE.
    let kinds = [
        ("RLIMIT_AS", "Max address space", 8_000_000_000_u64),
        ("RLIMIT_CORE", "Max core file size", 0),
        ("RLIMIT_CPU", "Max cpu time", 60),
        ("RLIMIT_DATA", "Max data size", 4_000_000_000),
        ("RLIMIT_FSIZE", "Max file size", 1_000_000),
        ("RLIMIT_LOCKS", "Max file locks", 10),
        ("RLIMIT_MEMLOCK", "Max locked memory", 4096),
        ("RLIMIT_MSGQUEUE", "Max msgqueue size", 1000),
        ("RLIMIT_NICE", "Max nice priority", 0),
        ("RLIMIT_NOFILE", "Max open files", 64),
        ("RLIMIT_NPROC", "Max processes", 50),
        ("RLIMIT_RSS", "Max resident set", 1_000_000_000),
        ("RLIMIT_RTPRIO", "Max realtime priority", 0),
        ("RLIMIT_RTTIME", "Max realtime timeout", 1_000_000),
        ("RLIMIT_SIGPENDING", "Max pending signals", 50),
        ("RLIMIT_STACK", "Max stack size", 4_000_000),
    ];
    let limits = site.inside("cat /proc/self/limits", |spec| {
        let row =
            |(kind, _, value): &(&str, &str, u64)| json!({"type": kind, "soft": value / 2, "hard": value});
        spec["process"]["rlimits"] = json!(kinds.iter().map(row).collect::<Vec<_>>());
    });
    for (kind, name, value) in kinds {
        let line =
            limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{limits}"));
        let words: Vec<_> = line.split_whitespace().take(2).collect();
        assert_eq!(words, [(value / 2).to_string(), value.to_string()], "{kind}");
    }
}

#[test]
fn process_rlimits_twice_or_unknown() {
    let site = oci_site!();
    let limit = |kind: &str| json!({"type": kind, "soft": 10, "hard": 10});
    let fails = |list: Value| site.bundle().change(|spec| spec["process"]["rlimits"] = list).fails();
    fails(json!([limit("RLIMIT_NOTHING")]));
    if site.deviates("runc", "takes a limit that is given twice")
        || site.deviates("crun", "takes a limit that is given twice")
    {
        return;
    }
    fails(json!([limit("RLIMIT_CORE"), limit("RLIMIT_CORE")]));
}

#[test]
fn process_oom_score_adj() {
    let site = oci_site!();
    let score = |value: i32| {
        site.inside("cat /proc/self/oom_score_adj", |spec| spec["process"]["oomScoreAdj"] = json!(value))
    };
    assert_eq!(score(700), "700");
    let own = fs::read_to_string("/proc/self/oom_score_adj").expect("a score");
    assert_eq!(
        site.inside("cat /proc/self/oom_score_adj", |_| ()),
        own.trim(),
        "it stays when nothing is said"
    );
}

/// Changes a configuration so that the container has a user namespace of its own, with all that the first has.
fn in_user_namespace(spec: &mut Value) {
    spec["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({"type": "user"}));
    for map in ["uidMappings", "gidMappings"] {
        spec["linux"][map] = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    }
}

#[test]
fn process_oom_score_adj_with_a_user_namespace() {
    let site = oci_site!();
    let bundle = site.bundle().sh("cat /proc/self/oom_score_adj; exec sleep 1000").change(|spec| {
        in_user_namespace(spec);
        spec["process"]["oomScoreAdj"] = json!(600);
    });
    let container = bundle.start();
    container.wait_for("600\n");
    if site.deviates("runc", "gives the process of an exec the container's in any case")
        || site.deviates("crun", "leaves the process of an exec the caller's in any case")
    {
        return;
    }
    let exec = |score: i32| {
        let process = json!({
            "args": ["cat", "/proc/self/oom_score_adj"], "cwd": "/", "oomScoreAdj": score, "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0}
        });
        let file = container.bundle().join("process.json");
        fs::write(&file, process.to_string()).expect("a file");
        container.verb_with("exec", ["--process", file.to_str().expect("text")]).run()
    };
    exec(650).succeeds().prints("650\n");
    // Not below what the container has, but below what the caller had.
    exec(610).succeeds().prints("610\n");
}

/// Below what its parents were given, a process may go with CAP_SYS_RESOURCE in the machine's first user namespace alone; the
/// container's is another.
#[test]
fn process_oom_score_adj_below_the_callers() {
    let site = oci_site!();
    let own: i32 =
        fs::read_to_string("/proc/self/oom_score_adj").expect("a score").trim().parse().expect("a number");
    let below = own - 7;
    let bundle = |change: fn(&mut Value)| {
        site.bundle().sh("cat /proc/self/oom_score_adj").change(|spec| {
            change(spec);
            spec["process"]["oomScoreAdj"] = json!(below);
        })
    };
    for change in [|_: &mut Value| (), in_user_namespace] {
        if may_lower_oom_score() {
            bundle(change).output().succeeds().prints(&format!("{below}\n"));
            continue;
        }
        let output = bundle(change).fails();
        if site.runtime().name() == "husk-oci" {
            output.says("process.oomScoreAdj").says("Permission denied").says("CAP_SYS_RESOURCE");
        }
    }
    if !may_lower_oom_score() {
        site.note("CAP_SYS_RESOURCE is missing, so that only the refusal is seen");
    }
}

fn may_lower_oom_score() -> bool {
    const SYS_RESOURCE: u32 = 24;
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("capabilities");
    u64::from_str_radix(set.trim(), 16).expect("a set") >> SYS_RESOURCE & 1 == 1
}

/// Field 41 of /proc/PID/stat is the policy of the scheduler, 40 the real-time priority, 19 the nice value.
fn stat(text: &str, field: usize) -> &str {
    let behind = text.rsplit(") ").next().expect("a process");
    behind.split(' ').nth(field - 3).expect("a field")
}

#[test]
fn process_scheduler() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "process.scheduler")
        || site.is_too_old("crun", (1, 9, 0), "process.scheduler")
    {
        return;
    }
    let text = site.inside("cat /proc/self/stat", |spec| {
        spec["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5});
    });
    assert_eq!((stat(&text, 41), stat(&text, 19)), ("3", "5"));
    let text = site
        .inside("cat /proc/self/stat", |spec| spec["process"]["scheduler"] = json!({"policy": "SCHED_IDLE"}));
    assert_eq!(stat(&text, 41), "5");
    site.bundle().change(|spec| spec["process"]["scheduler"] = json!({"policy": "SCHED_NONE"})).fails();
}

#[test]
fn process_io_priority() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "process.ioPriority")
        || site.is_too_old("crun", (1, 9, 0), "process.ioPriority")
    {
        return;
    }
    let ionice = |class: &str, priority: u8| {
        site.inside("ionice", |spec| {
            spec["process"]["ioPriority"] = json!({"class": class, "priority": priority})
        })
    };
    assert_eq!(ionice("IOPRIO_CLASS_BE", 7), "best-effort: prio 7");
    assert_eq!(ionice("IOPRIO_CLASS_IDLE", 0), "idle");
    site.bundle()
        .change(|spec| spec["process"]["ioPriority"] = json!({"class": "NONE", "priority": 1}))
        .fails();
}

#[test]
fn process_exec_cpu_affinity() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 3, 0), "process.execCPUAffinity")
        || site.deviates("crun", "leaves execCPUAffinity of config.json out at exec")
    {
        return;
    }
    let bundle = site.bundle().sh("sleep 1000");
    let affinity = json!({"initial": "0", "final": "0"});
    let container = bundle.change(|spec| spec["process"]["execCPUAffinity"] = affinity).start();
    let output = container.exec(&["grep", "Cpus_allowed_list", "/proc/self/status"]);
    assert_eq!(output.succeeds().stdout.split_whitespace().last(), Some("0"));
    let init = fs::read_to_string(container.proc("status")).expect("the status of init");
    let own = fs::read_to_string("/proc/self/status").expect("one's own status");
    assert_eq!(status(&init, "Cpus_allowed_list"), status(&own, "Cpus_allowed_list"), "it is exec's alone");
}

#[test]
fn process_apparmor_profile() {
    let site = oci_site!();
    if fs::metadata("/sys/kernel/security/apparmor").is_ok() {
        site.note("this kernel has AppArmor: how a profile takes effect is tried by the engines' cases");
        return;
    }
    if site.deviates("crun", "leaves a profile out where the kernel has no AppArmor") {
        return;
    }
    let bundle = site.bundle().change(|spec| spec["process"]["apparmorProfile"] = json!("some-profile"));
    let output = bundle.fails();
    assert!(output.stderr.to_lowercase().contains("apparmor"), "{output}");
}

#[test]
fn process_selinux_label() {
    let site = oci_site!();
    if fs::metadata("/sys/fs/selinux").is_ok() {
        site.note("this kernel has SELinux: how a label takes effect is tried by the engines' cases");
        return;
    }
    let bundle = site
        .bundle()
        .change(|spec| spec["process"]["selinuxLabel"] = json!("system_u:system_r:container_t:s0"));
    let output = bundle.fails();
    let says = output.stderr.to_lowercase().contains("selinux");
    assert!(says || site.deviates("crun", "does not name SELinux when it fails for want of it"), "{output}");
}

#[test]
fn process_unknown_members_are_ignored() {
    let site = oci_site!();
    site.inside("true", |spec| {
        spec["process"]["somethingNew"] = json!({"a": 1});
        spec["vm"] = json!({"kernel": {"path": "/kernel"}});
        spec["windows"] = json!({"layerFolders": []});
        spec["annotations"] = json!({"org.example.anything": ""});
    });
}
