// SPDX-License-Identifier: Apache-2.0
//! Cgroups that systemd is asked for: which steps, in which order, by whom; and where it cannot be asked.
#![forbid(unsafe_code)]

use std::path::Path;

use husk_cgroup::Hierarchies;
use husk_plan::{Action, Actor, Arena, Found, Host, JoinedUser, PlanError, explain, plan, shell::Script};
use husk_spec::oci::{Lowering, Spec, SystemdCgroup};
use husk_spec::{Cgroup, Given, IdMapping, Lifetime, Namespace};

const V2: &str = "31 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
const V1: &str = "31 20 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  32 20 0:27 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
                  33 20 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                  34 20 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                  35 20 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

fn host(mounts: &str) -> Host {
    let all = vec![IdMapping { inside: 0, outside: 0, count: u32::MAX }];
    Host {
        privileged: true,
        uid_map: all.clone(),
        gid_map: all,
        kernel: (6, 18),
        root_mode: 0o755,
        cgroups: Hierarchies::parse(mounts, "0::/own\n1:memory:/own\n"),
        systemd: true,
        sources: ["null", "zero", "full", "random", "urandom", "tty"]
            .map(|name| (Path::new("/dev").join(name), Found::Device { mode: 0o20666, device: 0x103 }))
            .into(),
        ..Host::default()
    }
}

fn spec(path: &str, with_user: bool) -> Spec {
    let map = r#"[{"containerID": 0, "hostID": 1000, "size": 1}]"#;
    let (user, maps) = match with_user {
        true => (r#", {"type": "user"}"#, format!(r#""uidMappings": {map}, "gidMappings": {map},"#)),
        false => ("", String::new()),
    };
    let text = format!(
        r#"{{"ociVersion": "1.3.0", "root": {{"path": "/r"}}, "process": {{"args": ["true"], "cwd": "/"}},
            "linux": {{"cgroupsPath": "{path}", "resources": {{"pids": {{"limit": 5}}}}, {maps}
                       "namespaces": [{{"type": "pid"}}, {{"type": "mount"}}, {{"type": "cgroup"}}, {{"type": "network"}}
                                      {user}]}}}}"#
    );
    Spec::from_json(text.as_bytes()).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn lowering(lifetime: Lifetime, systemd_cgroup: SystemdCgroup) -> Lowering<'static> {
    Lowering {
        id: "c",
        bundle: Path::new("/b"),
        lifetime,
        no_pivot: false,
        no_new_keyring: true,
        systemd_cgroup,
        preserved_descriptors: 0,
    }
}

/// The steps until the root, as `ACTOR: SENTENCE`, with the cgroup changed by `change`.
fn steps(
    path: &str,
    host: &Host,
    change: impl FnOnce(&mut husk_spec::Config),
) -> Result<Vec<String>, PlanError> {
    let with = lowering(Lifetime::Created, SystemdCgroup::Yes);
    let mut config = spec(path, host.uid != 0).lower(&with).unwrap_or_else(|error| panic!("{error}"));
    change(&mut config);
    let arena = Arena::new();
    let plan = plan(&config, host, &arena)?;
    let of_stage = |step: &&husk_plan::PlannedStep<'_>| step.stage <= husk_plan::Stage::Namespaces;
    let said = plan.steps.iter().filter(of_stage).map(|step| {
        let actor = if step.actor() == Actor::Husk { "husk" } else { "child" };
        format!("{actor}: {}", explain::describe(step))
    });
    Ok(said.collect())
}

#[test]
fn a_scope_is_made_around_the_child_which_waits_for_it() {
    let said = steps("system.slice:web:c", &host(V2), |_| ()).expect("a plan");
    let at = |text: &str| {
        said.iter().position(|step| step == text).unwrap_or_else(|| panic!("no {text:?} in {said:#?}"))
    };
    let clone = said.iter().position(|step| step.contains("first process in new")).expect("a clone");
    let scope = at(
        "husk: have the machine's systemd make the scope web-c.scope in system.slice around it, with TasksMax=5",
    );
    let limits = at("husk: write the limits pids.max 5");
    let devices = said.iter().position(|step| step.contains("use the devices of")).expect("device rules");
    let release = at("husk: let the container's process go on");
    assert!(clone < scope && scope < limits && limits < devices && devices < release, "{said:#?}");
    let (wait, namespace) = (
        at("child: wait until husk has done its part"),
        at("child: enter a new cgroup namespace, whose root they are"),
    );
    let loopback = said.iter().position(|step| step.contains("loopback")).expect("a network");
    assert!(loopback < wait && wait < namespace, "what is slow is done beside: {said:#?}");
    assert!(!said.iter().any(|step| step.contains("enter the container's cgroups")), "{said:#?}");
}

/// What systemd makes it takes away, too: only the rest is there before.
#[test]
fn on_version_1_the_child_enters_by_itself_what_systemd_does_not_make() {
    let said = steps("a-b.slice:web:c", &host(V1), |_| ()).expect("a plan");
    let at = |text: &str| {
        said.iter().position(|step| step == text).unwrap_or_else(|| panic!("no {text:?} in {said:#?}"))
    };
    let make = at("husk: make the cgroup /sys/fs/cgroup/freezer/a.slice/a-b.slice/web-c.scope");
    let clone = said.iter().position(|step| step.contains("first process in new")).expect("a clone");
    let scope = at(
        "husk: have the machine's systemd make the scope web-c.scope in a-b.slice around it, with TasksMax=5",
    );
    let wait = at("child: wait until husk has done its part");
    let enter = at("child: enter the container's cgroups");
    let namespace = at("child: enter a new cgroup namespace, whose root they are");
    assert!(make < clone && clone < scope && scope < wait && wait < enter && enter < namespace, "{said:#?}");
}

/// husk enters the user namespace for the child's sake, and has no say about devices from then on.
#[test]
fn a_user_namespace_that_is_entered_comes_after_the_scope() {
    let map = vec![IdMapping { inside: 0, outside: 200_000, count: 1000 }];
    let joined = JoinedUser { uid_map: map.clone(), gid_map: map, setgroups: true };
    let host = Host { joined: Some(joined), ..host(V2) };
    let said = steps("", &host, |config| {
        config.namespaces.user.value = husk_spec::UserNamespace::Join("/proc/7/ns/user".into());
    });
    let said = said.expect("a plan");
    let at = |text: &str| {
        said.iter().position(|step| step.contains(text)).unwrap_or_else(|| panic!("no {text:?} in {said:#?}"))
    };
    let scope = at("around a process that holds its place, with TasksMax=5");
    let (devices, join) = (at("use the devices of"), at("enter the user namespace"));
    assert!(scope < devices && devices < join && join < at("first process in new"), "{said:#?}");
    assert!(!said.iter().any(|step| step.contains("wait until husk")), "{said:#?}");
}

#[test]
fn without_the_machines_privilege_it_is_the_users_systemd() {
    let user = Host { uid: 1000, gid: 1000, privileged: false, ..host(V2) };
    let nested = Host { uid_map: vec![IdMapping { inside: 0, outside: 1000, count: 1 }], ..host(V2) };
    for host in [user, nested] {
        let said = steps("", &host, |_| ()).expect("a plan");
        let wanted = "husk: have the user's systemd make the scope husk-c.scope in user.slice around it, with TasksMax=5";
        assert!(said.iter().any(|step| step == wanted), "{said:#?}");
    }
}

#[test]
fn where_systemd_cannot_be_asked_the_error_says_what_to_do() {
    let refused = |path: &str, host: &Host| steps(path, host, |_| ()).expect_err("an error").to_string();
    let without = Host { systemd: false, ..host(V2) };
    let said = refused("", &without);
    assert!(said.starts_with("--systemd-cgroup: systemd does not run here"), "{said}");
    let user = Host { uid: 1000, gid: 1000, privileged: false, ..host(V1) };
    let said_v1 = refused("", &user);
    assert!(said_v1.starts_with("--systemd-cgroup: for an ordinary user's systemd"), "{said_v1}");
    let said_unmounted = refused("", &host(&V1.replace("name=systemd", "name=other")));
    assert!(said_unmounted.starts_with("--systemd-cgroup: systemd's own hierarchy"), "{said_unmounted}");
    for said in [said, said_v1, said_unmounted] {
        assert!(said.ends_with("have the engine use its cgroupfs driver"), "{said}");
    }
    assert!(refused("/a/b", &host(V2)).contains("is not SLICE:PREFIX:NAME"));
}

/// From inside of the namespace the container's cgroup may be out of reach, and the clone into it is then refused.
#[test]
fn a_cgroup_namespace_is_entered_by_the_child_alone() {
    let join = |config: &mut husk_spec::Config| {
        config.namespaces.cgroup.value = Namespace::Join("/proc/7/ns/cgroup".into());
    };
    for cgroup in [Cgroup::Existing, Cgroup::Scope { unit: "web-c.scope".to_owned() }] {
        let is_scope = cgroup != Cgroup::Existing;
        let said = steps("", &host(V2), |config| {
            join(config);
            config.cgroup = Some(Given::default(cgroup, "the container's"));
        });
        let said = said.expect("a plan");
        let at = |text: &str| said.iter().position(|step| step.starts_with(text));
        assert!(at("husk: open the cgroup namespace /proc/7/ns/cgroup").is_some(), "{said:#?}");
        assert_eq!(at("husk: enter the cgroup namespace"), None, "{said:#?}");
        let enters = at("child: enter the cgroup namespace that was opened").expect("it enters");
        let attached = at("husk: have systemd move it into the scope web-c.scope");
        let waits = at("child: wait until husk has done its part");
        assert_eq!((attached.is_some(), waits.is_some_and(|wait| wait < enters)), (is_scope, is_scope));
    }
    let said = steps("", &host(V2), |config| {
        join(config);
        config.cgroup = None;
    });
    let said = said.expect("a plan");
    assert!(said.iter().any(|step| step.starts_with("husk: enter the cgroup namespace")), "{said:#?}");
}

#[test]
fn a_plan_remembers_the_scope_and_not_a_place() {
    let with = lowering(Lifetime::Created, SystemdCgroup::Yes);
    let config = spec("a-b.slice:p:n", false).lower(&with).expect("a config");
    let arena = Arena::new();
    let plan = plan(&config, &host(V2), &arena).expect("a plan");
    let cgroup = plan.cgroup.as_ref().expect("cgroups");
    let scope = cgroup.scope().expect("a scope");
    assert_eq!((scope.unit.as_str(), scope.slice.as_str(), scope.user), ("p-n.scope", "a-b.slice", false));
    assert_eq!(cgroup.place(), None);
    assert!(
        !plan
            .steps
            .iter()
            .any(|step| { matches!(step.action, Action::Host(husk_plan::HostStep::MakeCgroup { .. })) })
    );
}

/// Of a path that engines write for systemd, with nobody to say who makes the cgroup.
#[test]
fn the_form_of_a_path_asks_for_a_scope_where_there_can_be_one() {
    let with = lowering(Lifetime::Attached, SystemdCgroup::ByForm);
    let planned = |path: &str, host: &Host| {
        let config = spec(path, false).lower(&with).expect("a config");
        let arena = Arena::new();
        let plan = plan(&config, host, &arena).unwrap_or_else(|error| panic!("{path}: {error}"));
        let scope = plan.cgroup.as_ref().and_then(|cgroup| cgroup.scope()).map(|scope| scope.unit.clone());
        let notes: Vec<_> = plan.notes.iter().map(|note| note.what.clone()).collect();
        (scope, notes.join("; "))
    };
    for (path, unit) in [
        ("system.slice:docker:0123", "docker-0123.scope"),
        ("kubepods-besteffort-pod1.slice:cri-containerd:0123", "cri-containerd-0123.scope"),
        (":libpod:0123", "libpod-0123.scope"),
        ("-:a:b", "a-b.scope"),
    ] {
        for version in [V1, V2] {
            assert_eq!(planned(path, &host(version)), (Some(unit.to_owned()), String::new()), "{path}");
        }
    }
    for path in ["/a/b", "a", "a:b:c", "a.slice:b", "a.slice:b:", "/a.slice:b:c", "a.slice:b:c:d", ""] {
        assert_eq!(planned(path, &host(V2)), (None, String::new()), "{path}");
    }
    let without = Host { systemd: false, ..host(V2) };
    let unmounted = host(&V1.replace("name=systemd", "name=other"));
    for (host, why) in [(without, "systemd does not run here"), (unmounted, "systemd's own hierarchy")] {
        let (scope, notes) = planned("system.slice:docker:0123", &host);
        assert_eq!(scope, None);
        assert!(notes.contains("SLICE:PREFIX:NAME") && notes.contains(why), "{notes}");
    }
}

#[test]
fn a_script_has_systemd_run_make_the_scope() {
    let with = lowering(Lifetime::Attached, SystemdCgroup::ByForm);
    let config = spec("web.slice:docker:0123", false).lower(&with).expect("a config");
    let arena = Arena::new();
    let plan = plan(&config, &host(V2), &arena).expect("a plan");
    let script = Script { plan: &plan, uid: 0 }.to_string();
    let has = |text: &str| assert!(script.contains(text), "{text:?} in\n{script}");
    has(
        "setpriv --pdeathsig KILL systemd-run --quiet --scope --description=c --unit=docker-0123.scope --slice=web.slice -p ",
    );
    has(" -p Delegate=yes ");
    has(" -p TasksMax=5 -- ");
    has("echo 5 >\"$cgroup\"/pids.max\n");
    has("# differs: device-rules: ");
    assert!(!script.contains("# differs: cgroup: "), "{script}");
    let tools = script.lines().find(|line| line.starts_with("for tool in ")).expect("its tools");
    assert!(tools.contains(" systemd-run "), "{tools}");
}
