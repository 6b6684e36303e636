// SPDX-License-Identifier: Apache-2.0
//! Where a plan has the filter of system calls, and how that is told.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use husk_init::Step;
use husk_plan::{Action, Arena, Host, Plan, PlanError, explain, plan, shell, strace};
use husk_spec::oci::{Lowering, Spec, SystemdCgroup};
use husk_spec::{IdMapping, Lifetime};
use serde_json::{Value, json};

/// The plan of root on a made-up host, for a container with a profile and these capabilities.
fn planned<T>(
    profile: Value,
    no_new_privileges: bool,
    capabilities: &[&str],
    look: impl FnOnce(Result<Plan<'_>, PlanError>) -> T,
) -> T {
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 1000, "gid": 1000}, "args": ["/bin/true"], "cwd": "/",
            "noNewPrivileges": no_new_privileges,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities}
        },
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}], "seccomp": profile}
    });
    let spec: Spec = serde_json::from_value(config).expect("a configuration");
    let with = Lowering {
        id: "box",
        bundle: Path::new("/bundle"),
        lifetime: Lifetime::Created,
        no_pivot: false,
        no_new_keyring: true,
        systemd_cgroup: SystemdCgroup::No,
        preserved_descriptors: 0,
    };
    let mut config = spec.lower(&with).expect("a configuration with a meaning");
    config.cgroup = None;
    let all = vec![IdMapping { inside: 0, outside: 0, count: u32::MAX }];
    let host = Host {
        privileged: true,
        uid_map: all.clone(),
        gid_map: all,
        file_systems: BTreeMap::from([(PathBuf::from("/bundle/rootfs"), 0xEF53)]),
        ..Host::default()
    };
    let arena = Arena::new();
    look(plan(&config, &host, &arena))
}

fn profile() -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat", "nonsense"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}
    ]})
}

/// What the child does from the last wait on.
fn end(plan: &Plan<'_>) -> Vec<String> {
    let waits = |action: &Action<'_>| matches!(action, Action::Child(Step::AwaitStart { .. }));
    let start = plan.steps.iter().position(|step| waits(&step.action)).expect("it waits to be started");
    let name = |step: &str| step.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    let child = plan.steps[start + 1..].iter().filter_map(|step| match step.action {
        Action::Child(step) => Some(name(&format!("{step:?}"))),
        _ => None,
    });
    child.collect()
}

#[test]
fn the_filter_comes_right_before_the_command() {
    let ends = ["Umask", "ResetSignals", "CloseDescriptors", "Seccomp", "Exec"];
    planned(profile(), true, &[], |plan| assert_eq!(end(&plan.expect("a plan")), ends));
    planned(profile(), false, &["CAP_SYS_ADMIN"], |plan| assert_eq!(end(&plan.expect("a plan")), ends));
}

#[test]
fn who_is_not_to_have_cap_sys_admin_holds_it_until_the_filter_is_on() {
    planned(profile(), false, &["CAP_KILL"], |plan| {
        let plan = plan.expect("a plan");
        let ends = ["Umask", "ResetSignals", "CloseDescriptors", "Seccomp", "Capabilities", "Verify", "Exec"];
        assert_eq!(end(&plan), ends);
        let sets: Vec<u64> = plan
            .steps
            .iter()
            .filter_map(|step| match step.action {
                Action::Child(Step::Capabilities(sets)) => Some(sets.effective.bits()),
                _ => None,
            })
            .collect();
        const KILL: u64 = 1 << 5;
        const SYS_ADMIN: u64 = 1 << 21;
        assert_eq!(sets, [KILL | SYS_ADMIN, KILL]);
        let bounding = plan.steps.iter().find_map(|step| match step.action {
            Action::Child(Step::BoundingSet(set)) => Some(set.bits()),
            _ => None,
        });
        assert_eq!(bounding, Some(KILL), "no program gets it meanwhile");
        let script = shell::Script { plan: &plan, uid: 0 }.to_string();
        assert_eq!(script.matches("--inh-caps").count(), 1, "setpriv takes an option once:\n{script}");
    });
}

#[test]
fn the_filter_is_told_with_numbers_and_what_was_passed_over() {
    planned(profile(), true, &[], |plan| {
        let plan = plan.expect("a plan");
        let index = plan.steps.iter().position(|step| matches!(step.action, Action::Child(Step::Seccomp(_))));
        let step = &plan.steps[index.expect("a filter")];
        let Action::Child(Step::Seccomp(filter)) = step.action else { unreachable!("it was found by that") };
        let count = filter.instructions.len();
        assert_eq!(
            explain::describe(step),
            format!(
                "filter system calls by 2 rules about 3 calls, with SCMP_ACT_ALLOW for the others ({count} instructions)"
            )
        );
        assert_eq!(
            strace::calls(&step.action, "seccomp"),
            [format!(
                "seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, {{len={count}, filter=…}})"
            )]
        );
        assert_eq!(shell::lines(&plan)[index.expect("a filter")].differs, Some("seccomp"));
        let notes: Vec<_> = plan.notes.iter().map(|note| note.what.as_str()).collect();
        assert_eq!(
            notes,
            [
                r#"linux.seccomp.syscalls[0].names[2]: no system call has the name "nonsense": it is passed over"#
            ]
        );
    });
}

#[test]
fn flags_that_are_absent_are_runcs_default_and_an_empty_list_is_none() {
    let flags = |flags: Option<Value>| {
        let mut profile = profile();
        if let Some(flags) = flags {
            profile["flags"] = flags;
        }
        planned(profile, true, &[], |plan| {
            plan.expect("a plan").steps.iter().find_map(|step| match step.action {
                Action::Child(Step::Seccomp(filter)) => Some(filter.flags),
                _ => None,
            })
        })
    };
    const LOG: u32 = 1 << 1;
    const SPEC_ALLOW: u32 = 1 << 2;
    assert_eq!(flags(None), Some(SPEC_ALLOW));
    assert_eq!(flags(Some(Value::Null)), Some(SPEC_ALLOW));
    assert_eq!(flags(Some(json!([]))), Some(0));
    assert_eq!(flags(Some(json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]))), Some(LOG));
}

#[test]
fn a_listener_that_could_not_be_sent_is_refused() {
    let notify = |more: Value| {
        let mut rules = vec![json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"})];
        rules.push(more);
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent", "syscalls": rules})
    };
    let harmless = notify(json!({"names": ["sendmsg"], "action": "SCMP_ACT_LOG"}));
    planned(harmless, true, &[], |plan| assert!(plan.is_ok()));
    let condition = json!([{"index": 2, "value": 0, "op": "SCMP_CMP_NE"}]);
    let refusing = notify(json!({"names": ["sendmsg"], "action": "SCMP_ACT_ERRNO", "args": condition}));
    planned(refusing, true, &[], |plan| {
        let error = plan.expect_err("the listener is sent by it").to_string();
        assert!(error.starts_with("linux.seccomp.syscalls: ") && error.contains("sendmsg"), "{error}");
    });
}
