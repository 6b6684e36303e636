// SPDX-License-Identifier: Apache-2.0
//! Whole plans, as `husk explain` prints them: for made-up configurations on made-up hosts, so that nothing here needs a
//! privilege, and nothing depends on the machine.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use husk_cgroup::Hierarchies;
use husk_cgroup::systemd::UserSystemd;
use husk_init::{Cover, Step};
use husk_plan::explain::Explanation;
use husk_plan::shell::Script;
use husk_plan::{Action, Arena, Found, Host, HostAccounts, HostStep, MapHelpers, PlanError, plan};
use husk_spec::oci::{Memory, Pids, Resources};
use husk_spec::{
    BindIdmap, BindMount, Capabilities, Cgroup, CgroupMount, Config, Device, EnterRoot, Environment,
    FilesystemMount, Given, Grant, Hooks, IdMapping, Labels, Lifetime, Mount, MountFlags, Namespace,
    Namespaces, NetDevice, PassingCgroup, Process, Propagation, Root, Scheduling, Terminal, TimeOffsets,
    User, UserNamespace, Writes,
};
use rustix::mount::MountAttrFlags as Attr;
use rustix::thread::UnshareFlags;

const EXT4: u64 = 0xEF53;
const NFS: u64 = 0x6969;
const ROOT: &str = "/srv/box";

/// A container with one of everything that a plan is made of.
fn config() -> Config {
    let new = || Given::default(Namespace::New, "a namespace of its own");
    let capabilities: Capabilities = ["CHOWN", "SETUID"].iter().flat_map(|name| name.parse()).collect();
    Config {
        name: "box".to_owned(),
        lifetime: Lifetime::Attached,
        root: Some(Root {
            path: Given::argument(PathBuf::from(ROOT), "ROOTFS"),
            writes: Given::default(Writes::Through, "writes go to ROOTFS"),
            idmap: true,
        }),
        enter_root: Given::default(EnterRoot::Pivot, "pivot_root"),
        namespaces: Namespaces {
            user: Given::default(UserNamespace::Auto, "a user namespace of its own"),
            mount: new(),
            pid: new(),
            network: new(),
            ipc: new(),
            uts: new(),
            cgroup: new(),
            time: Given::default(Namespace::Host, "clocks: the host's"),
            time_offsets: TimeOffsets::default(),
            joined_maps: None,
        },
        hostname: Some(Given::default("box".to_owned(), "host name: the container's name")),
        domainname: None,
        propagation: Given::default(Propagation::Private, "no mount travels between host and container"),
        root_propagation: None,
        mounts: vec![
            file_system("/proc", "proc", &[]),
            file_system("/dev", "tmpfs", &[("size", "64k")]),
            file_system("/dev/pts", "devpts", &[("mode", "0620"), ("gid", "5")]),
            file_system("/sys", "sysfs", &[]),
            volume("/data", "/v"),
        ],
        devices: vec![Given::default(
            Device { source: PathBuf::from("/dev/null"), target: PathBuf::from("/dev/null"), node: None },
            "devices",
        )],
        links: vec![Given::default((PathBuf::from("/dev/ptmx"), PathBuf::from("pts/ptmx")), "/dev links")],
        resource_group: None,
        net_devices: Vec::new(),
        sysctls: Vec::new(),
        masked_paths: Given::default(vec![PathBuf::from("/proc/kcore")], "masked paths"),
        readonly_paths: Given::default(vec![PathBuf::from("/proc/sys")], "read-only paths"),
        cgroup: None,
        mount_label: None,
        hooks: Hooks::default(),
        process: Process {
            args: Given::argument(vec!["sh".into(), "-c".into(), "true".into()], "COMMAND"),
            environment: vec![Given::default(
                Environment { name: "PATH".into(), value: "/bin".into() },
                "PATH",
            )],
            working_directory: None,
            make_working_directory: false,
            user: Given::default(User::Numeric { uid: 0, gid: 0, groups: Vec::new() }, "user: root"),
            default_home: None,
            umask: None,
            capabilities: Given::default(Grant::Bounded(capabilities), "capabilities"),
            no_new_privileges: Given::default(true, "no new privileges"),
            rlimits: Vec::new(),
            scheduling: Scheduling::default(),
            personality: None,
            labels: Labels::default(),
            oom_score_adj: None,
            seccomp: None,
            keyring: None,
            preserved_descriptors: 0,
            init: None,
            terminal: Terminal { stdio: Vec::new(), size: None, inherit_settings: true },
        },
    }
}

fn file_system(target: &'static str, kind: &str, options: &[(&str, &str)]) -> Given<Mount> {
    let option = |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
    let mount = FilesystemMount {
        kind: kind.to_owned(),
        source: None,
        target: PathBuf::from(target),
        options: options.iter().map(option).collect(),
        flags: MountFlags::set(Attr::MOUNT_ATTR_NOSUID),
        propagation: Vec::new(),
        copy_up: false,
        keep_mode: false,
    };
    Given::default(Mount::Filesystem(mount), target)
}

fn volume(source: &str, target: &str) -> Given<Mount> {
    let mount = BindMount {
        source: PathBuf::from(source),
        target: PathBuf::from(target),
        recursive: true,
        idmap: BindIdmap::WherePossible,
        flags: MountFlags::NONE,
        recursive_flags: MountFlags::set(Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV),
        propagation: vec![(Propagation::Private, true)],
        shared_with_host: false,
    };
    Given::argument(Mount::Bind(mount), "--volume")
}

/// The host of an ordinary user without subordinate ids.
fn host() -> Host {
    let all = vec![IdMapping { inside: 0, outside: 0, count: u32::MAX }];
    let directories = ["/proc", "/dev", "/sys"].map(|path| (PathBuf::from(path), Found::Directory));
    Host {
        uid: 1000,
        gid: 100,
        privileged: false,
        uid_map: all.clone(),
        gid_map: all,
        kernel: (6, 12),
        root_mode: 0o755,
        in_root: BTreeMap::from(directories),
        sources: BTreeMap::from([
            (PathBuf::from("/data"), Found::Directory),
            (PathBuf::from("/dev/null"), Found::Device { mode: 0o020_666, device: 0x103 }),
        ]),
        file_systems: BTreeMap::from([ROOT, "/data"].map(|path| (PathBuf::from(path), EXT4))),
        ..Host::default()
    }
}

fn roots_host() -> Host {
    Host { uid: 0, gid: 0, privileged: true, ..host() }
}

fn helpers() -> MapHelpers {
    MapHelpers { newuidmap: "/usr/bin/newuidmap".into(), newgidmap: "/usr/bin/newgidmap".into() }
}

fn explained(config: &Config, host: &Host) -> String {
    let arena = Arena::new();
    let plan = plan(config, host, &arena).unwrap_or_else(|error| panic!("{error}"));
    Explanation { plan: &plan, colour: false, costs: None, width: None }.to_string()
}

#[test]
fn of_root() {
    insta::assert_snapshot!(explained(&config(), &roots_host()));
}

/// The host of a user with subordinate ids and the helpers to map them.
fn host_with_ranges() -> Host {
    let range = vec![(100_000, 65_536)];
    Host { subordinate_uids: range.clone(), subordinate_gids: range, map_helpers: Some(helpers()), ..host() }
}

#[test]
fn of_a_user_alone() {
    insta::assert_snapshot!(explained(&config(), &host()));
}

#[test]
fn of_a_user_with_subordinate_ids() {
    let host = host_with_ranges();
    let mut config = config();
    config.process.user = Given::argument(User::Named("1000:100".to_owned()), "--user");
    insta::assert_snapshot!(explained(&config, &host));
}

#[test]
fn in_the_hosts_user_namespace() {
    let mut config = config();
    config.namespaces.user = Given::argument(UserNamespace::Host, "--userns host");
    insta::assert_snapshot!(explained(&config, &roots_host()));
}

#[test]
fn with_the_hosts_network_and_processes() {
    let mut config = config();
    config.namespaces.network = Given::argument(Namespace::Host, "--share net");
    config.namespaces.pid = Given::argument(Namespace::Host, "--share pid");
    insta::assert_snapshot!(explained(&config, &host()));
}

#[test]
fn ephemeral() {
    let mut config = config();
    config.root.as_mut().expect("a root").writes = Given::argument(Writes::Ephemeral, "--ephemeral");
    insta::assert_snapshot!("ephemeral_of_root", explained(&config, &roots_host()));
    insta::assert_snapshot!("ephemeral_of_a_user", explained(&config, &host()));
}

#[test]
fn by_chroot_and_read_only() {
    let mut config = config();
    config.enter_root = Given::argument(EnterRoot::Chroot, "--chroot");
    config.root.as_mut().expect("a root").writes = Given::argument(Writes::Refused, "--read-only");
    insta::assert_snapshot!(explained(&config, &roots_host()));
}

#[test]
fn of_root_in_a_nested_user_namespace() {
    let map = vec![IdMapping { inside: 0, outside: 100_000, count: 65_536 }];
    let host = Host { uid_map: map.clone(), gid_map: map, ..roots_host() };
    insta::assert_snapshot!(explained(&config(), &host));
}

/// As Podman has it for an ordinary user: root of the user namespace that it has made already, in which the host's cgroups and
/// device numbers are not theirs.
#[test]
fn root_of_a_user_namespace_does_without_cgroups_and_nodes_that_are_not_its_own() {
    let mut config = config();
    config.namespaces.user = Given::argument(UserNamespace::Host, "none");
    let (path, resources) = (Some("/made".to_owned()), Box::default());
    config.cgroup = Some(Given::argument(Cgroup::New { path, resources, systemd: None }, "a cgroup"));
    let (target, flags) = (PathBuf::from("/sys/fs/cgroup"), MountFlags::NONE);
    config
        .mounts
        .push(Given::argument(Mount::Cgroup(CgroupMount { target, flags, propagation: None }), "cgroup"));
    let mounted = "1 0 0:1 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
    let mut host = roots_host();
    host.cgroups = Hierarchies::parse(mounted, "1:pids:/own\n");
    for path in ["/sys/fs/cgroup/pids/own", "/sys/fs/cgroup/pids/made"] {
        host.sources.insert(PathBuf::from(path), Found::Directory);
    }

    host.may_make_cgroups = true;
    let of_root = explained(&config, &host);
    for words in
        ["make the cgroup", "/sys/fs/cgroup/pids/made to", "make the device node /dev/null", "enter the"]
    {
        assert!(of_root.contains(words), "{words}: {of_root}");
    }

    let map = vec![IdMapping { inside: 0, outside: 1000, count: 1 }];
    let host = Host { uid_map: map.clone(), gid_map: map, may_make_cgroups: false, ..host };
    let nested = explained(&config, &host);
    assert!(nested.contains("/sys/fs/cgroup/pids/own to"), "{nested}");
    for words in ["make the cgroup", "enter the", "/sys/fs/cgroup/pids/made", "make the device node"] {
        assert!(!nested.contains(words), "{words}: {nested}");
    }
}

#[test]
fn of_root_where_nothing_can_be_idmapped() {
    let mut host = roots_host();
    host.file_systems.insert(PathBuf::from(ROOT), NFS);
    insta::assert_snapshot!(explained(&config(), &host));
}

#[test]
fn groups_that_nobody_may_set_keep_no_one_out() {
    let mut config = config();
    config.process.user = Given::argument(User::Named("root".to_owned()), "--user");
    let accounts =
        HostAccounts { passwd: "root:x:0:0::/root:/bin/sh\n".to_owned(), group: "adm:x:4:root\n".to_owned() };
    let alone = explained(&config, &Host { accounts: accounts.clone(), ..host() });
    assert!(!alone.contains("supplementary groups"), "{alone}");
    let root = explained(&config, &Host { accounts, ..roots_host() });
    assert!(root.contains("set the supplementary groups to 4 "), "{root}");
}

/// A container with a limit of processes, which is a default unless it was `asked` for, and with one of memory if it was.
fn limited(asked: bool) -> Config {
    let resources = Resources {
        pids: Some(Pids { limit: Some(1024) }),
        memory: asked.then(|| Memory { limit: Some(1 << 26), swap: Some(1 << 27), ..Memory::default() }),
        ..Resources::default()
    };
    let asked = if asked { vec![("resources.memory.limit", "--memory")] } else { Vec::new() };
    let passing = PassingCgroup { parent: None, resources, asked };
    let cgroup = Cgroup::Passing(Box::new(passing));
    Config { cgroup: Some(Given::default(cgroup, "a limit of processes")), ..config() }
}

fn host_with_cgroups(mounts: &str, own: &str) -> Host {
    let cgroups = Hierarchies::parse(mounts, own);
    assert!(cgroups.is_some(), "{mounts}");
    Host { cgroups, pid: 4711, may_make_cgroups: true, ..roots_host() }
}

const V2: &str = "30 20 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const V1: &str = "30 20 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                  31 20 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  32 20 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";

#[test]
fn a_cgroup_is_where_its_limits_are() {
    let v1 = host_with_cgroups(V1, "1:pids:/\n2:memory:/own\n3:cpuset:/\n");
    let text = explained(&limited(false), &v1);
    assert!(text.contains("make the cgroup /sys/fs/cgroup/pids/husk-<pid>-box, if it can be had"), "{text}");
    assert!(text.contains("write the limits pids.max 1024"), "{text}");
    assert!(text.contains("wait until husk has made the container's cgroups, and enter them"), "{text}");
    let text = explained(&limited(true), &v1);
    assert!(text.contains("/husk-<pid>-box and its like, one in each of 2 hierarchies"), "{text}");
    assert!(text.contains("memory.limit_in_bytes 67108864"), "{text}");
    assert!(text.contains("mkdir /sys/fs/cgroup/memory/own/husk-$$-box"), "{text}");
}

/// At which steps a plan makes its cgroup, clones, hands the cgroup over and enters it; the last of these before the mounts of type tmpfs
/// that copy, if there are any.
fn steps_of_cgroup(config: &Config, host: &Host) -> Vec<&'static str> {
    let arena = Arena::new();
    let plan = plan(config, host, &arena).unwrap_or_else(|error| panic!("{error}"));
    let name = |step: &husk_plan::PlannedStep<'_>| match step.action {
        Action::Host(HostStep::MakeCgroup { .. }) => Some("make"),
        Action::Host(HostStep::LimitCgroup { .. }) => Some("limit"),
        Action::Host(HostStep::Clone { .. }) => Some("clone"),
        Action::Host(HostStep::Release) => Some("release"),
        Action::Host(HostStep::HandOverCgroup) => Some("hand over"),
        Action::Host(HostStep::Guard) => Some("guard"),
        Action::Child(Step::EnterCgroup) => Some("enter"),
        Action::Child(Step::CgroupNamespace) => Some("namespace"),
        Action::Child(Step::AwaitCgroup) => Some("await"),
        Action::Child(Step::Mount { cover: Cover::CopyUp { .. }, .. }) => Some("copy"),
        Action::Child(Step::PivotRoot) => Some("pivot"),
        _ => None,
    };
    plan.steps.iter().filter_map(name).collect()
}

#[test]
fn many_cgroups_are_made_while_the_child_mounts() {
    let v1 = host_with_cgroups(V1, "1:pids:/\n2:memory:/own\n3:cpuset:/\n");
    let meanwhile = ["clone", "release", "make", "limit", "hand over", "guard"];
    let with = |inside: &[&'static str]| [&meanwhile, inside].concat();
    assert_eq!(steps_of_cgroup(&limited(true), &v1), with(&["await", "namespace", "pivot"]));
    // What is copied into memory counts.
    let mut copying = limited(true);
    let mut tmpfs = file_system("/etc", "tmpfs", &[]);
    let Mount::Filesystem(new) = &mut tmpfs.value else { panic!("{tmpfs:?}") };
    new.copy_up = true;
    copying.mounts.push(tmpfs);
    assert_eq!(steps_of_cgroup(&copying, &v1), with(&["await", "namespace", "copy", "pivot"]));
    // Where husk goes before the clone, the hierarchies are not to be seen.
    let mut joining = Config { root: None, mounts: Vec::new(), ..limited(true) };
    joining.namespaces.mount = Given::argument(Namespace::Join("/proc/7/ns/mnt".into()), "--join mnt=7");
    let before = ["make", "limit", "clone", "release", "guard", "enter", "namespace"];
    assert_eq!(&steps_of_cgroup(&joining, &v1)[..7], before);
    // One of version 2 is entered by the clone, also beside those of version 1, and made before; a limited run has none there.
    let hybrid = host_with_cgroups(
        &format!("{V1}33 20 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"),
        "1:pids:/\n2:memory:/own\n3:cpuset:/\n0::/\n",
    );
    assert_eq!(steps_of_cgroup(&limited(true), &hybrid), with(&["await", "namespace", "pivot"]));
    let new = Cgroup::New { path: None, resources: Box::default(), systemd: None };
    let everywhere = Config { cgroup: Some(Given::default(new, "cgroup")), ..config() };
    assert_eq!(&steps_of_cgroup(&everywhere, &hybrid)[..3], ["make", "clone", "release"]);
    let lasting = Config { lifetime: Lifetime::Created, ..everywhere.clone() };
    assert_eq!(&steps_of_cgroup(&lasting, &hybrid)[..4], ["make", "clone", "release", "make"]);
    assert_eq!(&steps_of_cgroup(&everywhere, &v1)[..3], ["clone", "release", "make"]);
    // One is entered by the clone.
    let v2 = host_with_cgroups(V2, "0::/user/own\n");
    assert_eq!(
        steps_of_cgroup(&limited(true), &v2),
        ["make", "limit", "clone", "release", "guard", "namespace", "pivot"]
    );
}

/// What husk sends when they are made would end a pause.
#[test]
fn the_child_waits_for_its_cgroups_before_it_pauses() {
    let v1 = host_with_cgroups(V1, "1:pids:/\n2:memory:/own\n3:cpuset:/\n");
    let arena = Arena::new();
    let plan = plan(&limited(true), &v1, &arena).expect("a plan");
    let at = |plan: &husk_plan::Plan<'_>, wanted: fn(&Step<'_>) -> bool| {
        plan.steps.iter().position(|step| matches!(&step.action, Action::Child(step) if wanted(step)))
    };
    let (awaits, pauses) =
        (|step: &Step<'_>| matches!(step, Step::AwaitCgroup), |step: &Step<'_>| matches!(step, Step::Pause));
    let count = plan.steps.len();
    let paused = plan.with_pauses();
    let await_cgroup = at(&paused, awaits).expect("it waits for them");
    let pause = at(&paused, pauses).expect("it pauses");
    let namespace = at(&paused, |step| matches!(step, Step::CgroupNamespace)).expect("a cgroup namespace");
    assert!(await_cgroup < namespace && namespace < pause, "{await_cgroup}, {namespace}, {pause}");
    // But for the step that would hide it from whoever looks round.
    assert_eq!(paused.steps.len(), count - 1 + paused.pauses().count());
}

#[test]
fn the_rules_of_devices_on_version_2_come_while_the_child_mounts() {
    let order = |lifetime, user| {
        let new = Cgroup::New { path: None, resources: Box::default(), systemd: None };
        let mut config = Config { lifetime, cgroup: Some(Given::default(new, "cgroup")), ..config() };
        config.namespaces.user = Given::argument(user, "--userns");
        let arena = Arena::new();
        let host = host_with_cgroups(V2, "0::/own\n");
        let plan = plan(&config, &host, &arena).unwrap_or_else(|error| panic!("{error}"));
        let name = |step: &husk_plan::PlannedStep<'_>| match step.action {
            Action::Host(HostStep::MakeCgroup { .. }) => Some("make"),
            Action::Host(HostStep::LimitDevices { .. }) => Some("devices"),
            Action::Host(HostStep::Clone { .. }) => Some("clone"),
            Action::Host(HostStep::Release) => Some("release"),
            Action::Host(HostStep::Commit) => Some("commit"),
            Action::Child(Step::Namespaces(_)) => Some("namespaces"),
            Action::Child(Step::AwaitCgroup) => Some("await"),
            Action::Child(Step::AwaitCommit) => Some("await commit"),
            _ => None,
        };
        plan.steps.iter().filter_map(name).collect::<Vec<_>>()
    };
    let host = || UserNamespace::Host;
    let before_commit = ["make", "clone", "devices", "commit", "namespaces", "await commit"];
    assert_eq!(order(Lifetime::Created, host()), before_commit);
    // A command that nobody holds back could run before.
    assert_eq!(order(Lifetime::Attached, host()), ["make", "devices", "clone"]);
    let mapped = ["make", "clone", "release", "devices", "commit", "await commit"];
    assert_eq!(order(Lifetime::Created, UserNamespace::Auto), mapped);
}

#[test]
fn the_child_makes_namespaces_while_husk_makes_cgroups() {
    let v1 = host_with_cgroups(V1, "1:pids:/\n2:memory:/own\n3:cpuset:/\n");
    let namespaces = |config: &Config, host: &Host| {
        let arena = Arena::new();
        let plan = plan(config, host, &arena).unwrap_or_else(|error| panic!("{error}"));
        plan.steps.iter().fold([UnshareFlags::empty(); 2], |[clone, own], step| match step.action {
            Action::Host(HostStep::Clone { namespaces }) => [clone | namespaces, own],
            Action::Child(Step::Namespaces(namespaces)) => [clone, own | namespaces],
            _ => [clone, own],
        })
    };
    let childs = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    let mut hosts_user = limited(true);
    hosts_user.namespaces.user = Given::argument(UserNamespace::Host, "--userns host");
    assert_eq!(namespaces(&hosts_user, &v1), [UnshareFlags::NEWPID, childs]);
    // In a user namespace the ids come first; and on version 2 the cgroup, at once.
    let all = UnshareFlags::NEWPID | childs;
    assert_eq!(namespaces(&limited(true), &v1), [UnshareFlags::NEWUSER | all, UnshareFlags::empty()]);
    let v2 = host_with_cgroups(V2, "0::/user/own\n");
    assert_eq!(namespaces(&hosts_user, &v2), [all, UnshareFlags::empty()]);
    // A network device goes into the namespace as soon as there is one.
    let device = NetDevice { device: "dummy0".to_owned(), name: "eth0".to_owned() };
    hosts_user.net_devices.push(Given::argument(device, "linux.netDevices"));
    assert_eq!(namespaces(&hosts_user, &v1), [all, UnshareFlags::empty()]);
}

#[test]
fn on_version_2_the_clone_is_the_way_in() {
    let v2 = host_with_cgroups(V2, "0::/user/own\n");
    let text = explained(&limited(true), &v2);
    assert!(text.contains("make the cgroup /sys/fs/cgroup/user/husk-<pid>-box  [default"), "{text}");
    for limit in ["memory.max 67108864", "memory.swap.max 67108864", "memory.oom.group 1", "pids.max 1024"] {
        assert!(text.contains(limit), "{limit}: {text}");
    }
    assert!(!text.contains("enter the container's cgroups"), "{text}");
    // Only in it is it the top of a namespace.
    assert!(text.contains("enter a new cgroup namespace, whose root they are"), "{text}");
    let arena = Arena::new();
    let config = limited(true);
    let cgroup = plan(&config, &v2, &arena).expect("a plan").cgroup.expect("a cgroup");
    assert_eq!(cgroup.controllers, ["memory"], "a default does not have to be had");
}

#[test]
fn in_a_login_the_users_systemd_makes_room_for_the_cgroup() {
    let manager = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";
    let with = |controllers: &[&str]| Host {
        user_systemd: Some(UserSystemd {
            mount: "/sys/fs/cgroup".into(),
            cgroup: manager.into(),
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            above: vec![("/sys/fs/cgroup/user.slice".into(), vec!["memory".to_owned()])],
        }),
        ..host_with_cgroups(V2, "0::/user.slice/user-1000.slice/session-1.scope\n")
    };
    let text = explained(&limited(true), &with(&["memory", "pids"]));
    let scope = "husk-<pid>-box.scope";
    for said in [
        format!("have the user's systemd make the scope {scope} in app.slice around husk"),
        format!("make the cgroup {manager}/app.slice/{scope}/husk-<pid>-box  [default"),
        "StartTransientUnit 'ssa(sv)a(sa(sv))' husk-$$-box.scope replace".to_owned(),
        format!("mkdir {manager}/app.slice/husk-$$-box.scope/husk-$$-box"),
        format!("echo 67108864 >{manager}/app.slice/husk-$$-box.scope/husk-$$-box/memory.max"),
    ] {
        assert!(text.contains(&said), "{said}: {text}");
    }
    let arena = Arena::new();
    let config = limited(true);
    // A limit that nobody asked for can be done without.
    plan(&config, &with(&["memory"]), &arena).expect("a plan");
    let error = plan(&config, &with(&["pids"]), &arena).expect_err("an error").to_string();
    let said = "--memory: the controller memory ends at /sys/fs/cgroup/user.slice:";
    assert!(error.contains(said) && error.contains(manager), "{error}");
    assert!(error.contains("Delegate=cpu cpuset io memory pids"), "{error}");
}

#[test]
fn without_cgroups_only_what_was_asked_for_is_refused() {
    let nobodys = Host { may_make_cgroups: false, ..host_with_cgroups(V2, "0::/\n") };
    let text = explained(&limited(false), &nobodys);
    assert_eq!(text, explained(&config(), &nobodys), "as if nothing had been said of it");
    let none = Host { may_make_cgroups: true, ..roots_host() };
    let arena = Arena::new();
    let error = plan(&limited(true), &none, &arena).expect_err("an error").to_string();
    assert!(error.contains("--memory: no cgroups are mounted here"), "{error}");
}

#[test]
fn as_a_script() {
    let host = host_with_ranges();
    let arena = Arena::new();
    let plan = plan(&config(), &host, &arena).unwrap_or_else(|error| panic!("{error}"));
    insta::assert_snapshot!(Script { plan: &plan, uid: 1000 }.to_string());
}

#[test]
fn the_same_input_gives_the_same_plan() {
    assert_eq!(explained(&config(), &host()), explained(&config(), &host()));
}

/// What `config` does on `host` by way of one change each, and the error that has to come of it.
#[test]
fn what_cannot_work_is_refused_before_anything_is_done() {
    let refusal = |config: &Config, host: &Host| {
        let arena = Arena::new();
        plan(config, host, &arena).map(drop).expect_err("a refusal")
    };
    let mut changed = config();
    changed.namespaces.user = Given::argument(UserNamespace::Host, "--userns host");
    assert!(matches!(refusal(&changed, &host()), PlanError::NeedsRoot { .. }));

    let mut changed = config();
    changed.process.user = Given::argument(User::Named("1000".to_owned()), "--user");
    assert!(matches!(refusal(&changed, &host()), PlanError::UnmappedId { id: 1000, .. }));
    changed.process.user = Given::argument(User::Named("0:5".to_owned()), "--user");
    assert!(matches!(refusal(&changed, &host()), PlanError::UnmappedId { id: 5, .. }));
    changed.process.user = Given::argument(User::Named("web".to_owned()), "--user");
    assert!(matches!(refusal(&changed, &host()), PlanError::NoSuchUser { .. }));
    // The last id of root's 64 Ki, and the one after it.
    changed.process.user = Given::argument(User::Named("65535".to_owned()), "--user");
    assert!(explained(&changed, &roots_host()).contains("65535"));
    changed.process.user = Given::argument(User::Named("65536".to_owned()), "--user");
    assert!(matches!(refusal(&changed, &roots_host()), PlanError::UnmappedId { id: 65_536, .. }));

    let mut without = host();
    without.sources.remove(Path::new("/data"));
    assert!(matches!(refusal(&config(), &without), PlanError::NoSuchSource { .. }));
    without.sources.insert(PathBuf::from("/data"), Found::Other);
    without.in_root.insert(PathBuf::from("/v"), Found::Directory);
    assert!(matches!(refusal(&config(), &without), PlanError::TargetOfOtherKind { .. }));

    let mut changed = config();
    changed.namespaces.mount = Given::argument(Namespace::Host, "--share mnt");
    assert!(matches!(refusal(&changed, &host()), PlanError::Contradiction { .. }));
}
