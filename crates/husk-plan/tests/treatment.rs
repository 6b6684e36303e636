// SPDX-License-Identifier: Apache-2.0
//! How the kernel treats a container's process: from config.json to the plan and its words.
#![forbid(unsafe_code)]

use std::path::Path;

use husk_plan::{Arena, Found, Host, PlanError, explain, plan, shell};
use husk_spec::oci::{Lowering, Spec, SystemdCgroup};
use husk_spec::{IdMapping, Lifetime};

const PROCESS: &str = r#""scheduler": {"policy": "SCHED_RR", "priority": 9, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
    "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6},
    "apparmorProfile": "own-profile", "selinuxLabel": "u:r:t:s0""#;

const LINUX: &str = r#""personality": {"domain": "LINUX32"}, "mountLabel": "u:object_r:t:s0",
    "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]},"#;

fn spec(process: &str, linux: &str) -> Spec {
    let text = format!(
        r#"{{"ociVersion": "1.3.0", "root": {{"path": "/r"}},
            "process": {{"args": ["true"], "cwd": "/", {process}}},
            "mounts": [{{"destination": "/proc", "type": "proc"}}, {{"destination": "/tmp", "type": "tmpfs"}}],
            "linux": {{{linux} "namespaces": [{{"type": "pid"}}, {{"type": "mount"}}]}}}}"#
    );
    Spec::from_json(text.as_bytes()).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn host() -> Host {
    let all = vec![IdMapping { inside: 0, outside: 0, count: u32::MAX }];
    Host {
        privileged: true,
        uid_map: all.clone(),
        gid_map: all,
        kernel: (6, 18),
        root_mode: 0o755,
        in_root: ["/proc", "/tmp"].map(|path| (path.into(), Found::Directory)).into(),
        apparmor: Some(c"self/attr/apparmor/exec"),
        selinux: true,
        ..Host::default()
    }
}

/// The sentence and the line in the shell of each step, whose origin is one of `origins`.
fn planned(spec: &Spec, host: &Host, origins: &[&str]) -> Result<Vec<String>, PlanError> {
    let with = Lowering {
        id: "c",
        bundle: Path::new("/b"),
        lifetime: Lifetime::Created,
        no_pivot: false,
        no_new_keyring: false,
        systemd_cgroup: SystemdCgroup::No,
        preserved_descriptors: 0,
    };
    let config = spec.lower(&with).unwrap_or_else(|error| panic!("{error}"));
    let arena = Arena::new();
    let plan = plan(&config, host, &arena)?;
    let lines = shell::lines(&plan);
    let steps = plan.steps.iter().zip(&lines).filter(|(step, _)| {
        let origin = step.origin.to_string();
        origins.iter().any(|wanted| origin == *wanted)
    });
    Ok(steps.map(|(step, line)| format!("{} | {}", explain::describe(step), line.code)).collect())
}

#[test]
fn each_field_is_a_step_with_its_words() {
    let origins = [
        "process.scheduler",
        "process.ioPriority",
        "linux.memoryPolicy",
        "linux.personality",
        "process.selinuxLabel",
        "process.apparmorProfile",
    ];
    let steps = planned(&spec(PROCESS, LINUX), &host(), &origins).expect("a plan");
    assert_eq!(
        steps,
        [
            "have it scheduled by SCHED_RR with priority 9 | chrt --rr --reset-on-fork -p 9 $$",
            "have its I/O done at best effort, level 6 | ionice -c 2 -n 6 -p $$",
            "give it memory by MPOL_BIND, nodes 0-1 | ",
            "take the execution domain PER_LINUX32 | ",
            "have new keyrings the SELinux label u:r:t:s0 | ",
            "have the command run with the SELinux label u:r:t:s0 | printf %s u:r:t:s0 >/proc/self/attr/exec",
            "have the command confined by the AppArmor profile own-profile | printf %s 'exec own-profile' >/proc/self/attr/apparmor/exec",
        ]
    );
}

#[test]
fn a_new_file_system_has_the_label_unless_its_files_have_their_own() {
    let steps = planned(&spec(r#""env": []"#, LINUX), &host(), &["mounts[0]", "mounts[1]"]).expect("a plan");
    let of = |words: &str| {
        steps.iter().find(|step| step.starts_with(words)).unwrap_or_else(|| panic!("{words}: {steps:#?}"))
    };
    assert!(!of("mount a new proc on /proc").contains("context"), "{steps:#?}");
    assert!(of("mount a new tmpfs on /tmp").contains("(context=u:object_r:t:s0)"), "{steps:#?}");
}

#[test]
fn a_label_that_nobody_enforces_is_refused() {
    let without = Host { apparmor: None, selinux: false, ..host() };
    for (process, linux, origin) in [
        (r#""apparmorProfile": "p""#, "", "process.apparmorProfile"),
        (r#""selinuxLabel": "l""#, "", "process.selinuxLabel"),
        (r#""env": []"#, r#""mountLabel": "l","#, "linux.mountLabel"),
    ] {
        let refused = planned(&spec(process, linux), &without, &[]).expect_err(origin);
        assert!(refused.to_string().starts_with(origin), "{refused}");
        planned(&spec(process, linux), &host(), &[]).unwrap_or_else(|error| panic!("{error}"));
    }
}
