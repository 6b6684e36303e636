// SPDX-License-Identifier: Apache-2.0

use std::fmt::Write;

use husk_plan::survey::{Account, CgroupLevel, CgroupVersion, Cgroups, Helper};
use husk_spec::{IdMapping, NamespaceKind};
use husk_sys::Trial;
use rustix::io::Errno;

use super::*;

/// A new kernel, an ordinary user who has everything.
fn good() -> Facts {
    let helper = |name: &str| Helper {
        path: format!("/usr/bin/{name}").into(),
        set_user_id: true,
        capabilities: false,
    };
    let level = |path: &str, writable| CgroupLevel {
        path: path.into(),
        controllers: ["cpu", "memory", "pids"].map(str::to_owned).to_vec(),
        gives: ["cpu", "memory", "pids"].map(str::to_owned).to_vec(),
        writable,
    };
    let account = Account {
        uid: 1000,
        gid: 1000,
        name: Some("ana".to_owned()),
        privileged: false,
        uid_map: vec![IdMapping { inside: 0, outside: 0, count: u32::MAX }],
        subordinate_uids: vec![(100_000, 65_536)],
        subordinate_gids: vec![(100_000, 65_536)],
        newuidmap: Some(helper("newuidmap")),
        newgidmap: Some(helper("newgidmap")),
    };
    let survey = Survey {
        kernel: (6, 18),
        release: "6.18.5".to_owned(),
        has_proc: true,
        filesystems: ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "overlay"].map(str::to_owned).into(),
        namespaces: NamespaceKind::ALL.to_vec(),
        switches: vec![("user/max_user_namespaces", "15000".to_owned())],
        account,
        cgroups: Cgroups {
            version: CgroupVersion::V2,
            mount: Some("/sys/fs/cgroup".into()),
            v1: Vec::new(),
            manager: Vec::new(),
            levels: vec![
                level("/", false),
                level("/user.slice", false),
                level("/user.slice/user@1000.service", true),
            ],
        },
        security_modules: Some(["capability", "landlock"].map(str::to_owned).to_vec()),
        seccomp: Some(0),
        seccomp_actions: ["kill_process", "errno", "user_notif", "log", "allow"].map(str::to_owned).to_vec(),
        first_pid_namespace: Some(true),
        first_user_namespace: Some(true),
        ..Survey::default()
    };
    let ok = Some(Ok(()));
    let trials = Trials {
        calls: Trial::ALL.map(|trial| (trial, Some(Errno::INVAL))).to_vec(),
        landlock: Some(7),
        user_namespace: ok,
        kinds: NamespaceKind::ALL
            .into_iter()
            .filter(|k| *k != NamespaceKind::User)
            .map(|kind| (kind, ok))
            .collect(),
        maps: ok,
        mounts: ok,
        proc: ok,
        sysfs: ok,
        tmpfs: ok,
        ..Trials::default()
    };
    let places = Places {
        terminals: vec!["input", "output"],
        term: Some("xterm".to_owned()),
        default_root: Some("/home/ana/.local/share/husk/root-1".into()),
        default_root_built: true,
        busybox: Some("/usr/bin/busybox".into()),
        binary: Some(places::Binary {
            path: "/usr/local/bin/husk".into(),
            is_static: Some(true),
            writable: Vec::new(),
        }),
    };
    Facts { survey, trials, places }
}

fn root() -> Facts {
    let mut facts = good();
    facts.survey.account.privileged = true;
    facts.survey.account.uid = 0;
    facts.trials.ordinary = Some(Ok(()));
    facts.trials.ordinary_mounts = Some(Ok(()));
    facts.trials.idmap = Some(Ok(()));
    facts
}

/// The findings that are not as they are on the good host.
fn shown(facts: &Facts) -> String {
    let (usual, findings) = (good().findings(), facts.findings());
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| !usual.contains(finding)) {
        let _ = writeln!(text, "{:8} {}: {}", finding.state.name(), finding.id, finding.found);
        let lines = [("costs", &finding.cost), ("cure", &finding.cure)];
        for (what, line) in
            lines.into_iter().filter_map(|(what, line)| line.as_ref().map(|line| (what, line)))
        {
            let _ = writeln!(text, "         {what}: {line}");
        }
    }
    let _ = writeln!(text, "can run: {}", can_run(&findings));
    text
}

#[test]
fn on_a_good_host_everything_is_good() {
    let findings = good().findings();
    let bad: Vec<_> = findings.iter().filter(|finding| finding.state != State::Good).collect();
    assert!(bad.is_empty() && can_run(&findings), "{bad:#?}");
}

#[test]
fn every_finding_has_a_name_of_its_own_and_what_is_not_good_has_its_cost() {
    for facts in [good(), root(), Facts::default()] {
        let findings = facts.findings();
        for (number, finding) in findings.iter().enumerate() {
            assert!(findings[..number].iter().all(|other| other.id != finding.id), "{finding:?}");
            assert_eq!(finding.state == State::Good, finding.cost.is_none(), "{finding:?}");
        }
    }
}

#[test]
fn root_is_told_how_it_is_for_others() {
    insta::assert_snapshot!(shown(&root()));
}

#[test]
fn switches_that_forbid_user_namespaces() {
    let mut text = String::new();
    for (name, value, errno) in [
        ("user/max_user_namespaces", "0", Errno::NOSPC),
        ("kernel/unprivileged_userns_clone", "0", Errno::PERM),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", Errno::ACCESS),
    ] {
        let mut facts = good();
        facts.survey.switches = vec![(name, value.to_owned())];
        facts.trials.user_namespace = Some(Err(errno));
        (facts.trials.maps, facts.trials.mounts, facts.trials.proc) = (None, None, None);
        (facts.trials.sysfs, facts.trials.tmpfs) = (None, None);
        facts.trials.kinds.clear();
        text += &format!("# {name} = {value}\n{}\n", shown(&facts));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn apparmor_may_let_the_namespace_be_made_and_forbid_all_in_it() {
    let mut facts = good();
    facts.survey.switches.push(("kernel/apparmor_restrict_unprivileged_userns", "1".to_owned()));
    for tried in
        [&mut facts.trials.mounts, &mut facts.trials.proc, &mut facts.trials.sysfs, &mut facts.trials.tmpfs]
    {
        *tried = Some(Err(Errno::ACCESS));
    }
    insta::assert_snapshot!(shown(&facts));
}

#[test]
fn in_a_container() {
    let mut facts = root();
    facts.survey.over_proc = ["/proc/acpi", "/proc/keys"].map(Into::into).to_vec();
    facts.survey.first_pid_namespace = Some(false);
    facts.survey.markers = vec!["/.dockerenv".to_owned()];
    facts.survey.seccomp = Some(2);
    facts.survey.label = Some("docker-default (enforce)".to_owned());
    facts.trials.proc = Some(Err(Errno::PERM));
    for (trial, errno) in &mut facts.trials.calls {
        match trial {
            Trial::Clone3 => *errno = Some(Errno::NOSYS),
            // Where the privilege is asked for first, this says nothing of a filter.
            Trial::Openat2 | Trial::Fsopen => *errno = Some(Errno::PERM),
            _ => {}
        }
    }
    insta::assert_snapshot!(shown(&facts));
}

#[test]
fn an_old_kernel() {
    let mut facts = root();
    (facts.survey.kernel, facts.survey.release) = ((5, 4), "5.4.0".to_owned());
    facts.survey.filesystems.remove("overlay");
    facts.survey.namespaces.retain(|kind| *kind != NamespaceKind::Time);
    facts.trials.idmap = Some(Err(Errno::INVAL));
    for (trial, errno) in &mut facts.trials.calls {
        if matches!(trial, Trial::Openat2 | Trial::MountSetattr) {
            *errno = Some(Errno::NOSYS);
        }
    }
    insta::assert_snapshot!(shown(&facts));
}

#[test]
fn no_subordinate_ids_and_helpers_without_right() {
    let mut facts = good();
    facts.survey.account.subordinate_uids.clear();
    facts.survey.account.subordinate_gids = vec![(7, 10)];
    facts.survey.account.newuidmap = None;
    let helper = facts.survey.account.newgidmap.as_mut().expect("a helper");
    helper.set_user_id = false;
    insta::assert_snapshot!(shown(&facts));
}

#[test]
fn a_controller_that_is_not_passed_on() {
    let mut facts = good();
    let levels = &mut facts.survey.cgroups.levels;
    levels[1].controllers.retain(|name| name != "cpu");
    levels[2].controllers = vec!["pids".to_owned()];
    insta::assert_snapshot!(shown(&facts));
}

#[test]
fn a_login_session_beside_the_users_own_systemd() {
    let mut facts = good();
    let levels = &mut facts.survey.cgroups.levels;
    let mut manager = levels.clone();
    levels[2].path = "/user.slice/session-2.scope".into();
    levels[2].writable = false;
    let all = shown(&{
        facts.survey.cgroups.manager = manager.clone();
        facts.clone()
    });
    manager[2].controllers.retain(|name| name != "cpu");
    facts.survey.cgroups.manager = manager;
    insta::assert_snapshot!(format!("{all}# without cpu\n{}", shown(&facts)));
}

#[test]
fn without_proc_and_sys() {
    let mut facts = good();
    let account = facts.survey.account.clone();
    facts.survey = Survey { account, kernel: (6, 1), release: "6.1".to_owned(), ..Survey::default() };
    facts.trials.maps = Some(Err(Errno::NOENT));
    insta::assert_snapshot!(shown(&facts));
}

#[test]
fn what_matters_for_a_step() {
    let mut facts = root();
    facts.survey.seccomp = Some(2);
    facts.trials.idmap = Some(Err(Errno::INVAL));
    let findings = facts.findings();
    let namespaces = rustix::thread::UnshareFlags::NEWUSER;
    let ids = |action, call| -> Vec<_> {
        relevant(&findings, &action, call).into_iter().map(|f| f.id.as_str()).collect()
    };
    assert_eq!(ids(Action::Host(HostStep::Clone { namespaces }), "clone3"), ["seccomp"]);
    let map = HostStep::MapTree { number: 0, through: husk_plan::TreeMaps::Container, recursive: false };
    assert_eq!(ids(Action::Host(map), "mount_setattr"), ["idmap"]);
    assert!(ids(Action::Child(Step::Hostname(c"x")), "sethostname").is_empty());
}
