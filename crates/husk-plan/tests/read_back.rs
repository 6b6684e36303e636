// SPDX-License-Identifier: Apache-2.0
//! Processes that were made up, read back: what is told of each thing that the kernel can show, and that none of it can do
//! harm.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use husk_plan::explain::Explanation;
use husk_plan::read_back::{
    Observed, ObservedCapabilities, ObservedCgroup, ObservedIds, ObservedMount, ObservedProcess,
    ObservedRoot, ObservedSeccomp, Whose, read_back,
};
use husk_plan::shell::Script;
use husk_plan::{Arena, Plan};
use husk_spec::{Capabilities, IdMapping, NamespaceKind, Rlimit};
use proptest::prelude::*;

/// A line of mountinfo: `ID PARENT MINOR ROOT POINT OPTIONS KIND SOURCE FS_OPTIONS`.
fn mount(line: &str) -> ObservedMount {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |index: usize| words[index].parse().expect("a number");
    ObservedMount {
        id: number(0),
        parent: number(1),
        device: (0, number(2)),
        root: PathBuf::from(words[3]),
        point: PathBuf::from(words[4]),
        options: words[5].to_owned(),
        propagation: String::new(),
        kind: words[6].to_owned(),
        source: words[7].into(),
        fs_options: words[8].into(),
    }
}

fn mounts(lines: &[&str]) -> Vec<ObservedMount> {
    lines.iter().map(|line| mount(line)).collect()
}

fn host() -> Vec<ObservedMount> {
    let mut host = mounts(&[
        "1 0 1 / / rw,relatime ext4 /dev/vda rw",
        "2 1 2 / /proc rw,relatime proc proc rw",
        "3 1 3 / /dev rw,relatime devtmpfs devtmpfs rw",
        "4 1 4 / /srv rw,nosuid,relatime tmpfs fast rw",
    ]);
    host[0].propagation = "shared:1".to_owned();
    host
}

fn namespaces(own: &[NamespaceKind]) -> Vec<(NamespaceKind, Whose)> {
    let whose = |kind| if own.contains(&kind) { Whose::Own } else { Whose::Host };
    NamespaceKind::ALL.into_iter().map(|kind| (kind, whose(kind))).collect()
}

fn set(names: &[&str]) -> Capabilities {
    names.iter().flat_map(|name| name.parse()).collect()
}

/// A container of an engine's, with one of everything.
fn container() -> Observed {
    let map = vec![IdMapping { inside: 0, outside: 100_000, count: 65_536 }];
    let capabilities = ObservedCapabilities {
        effective: Capabilities::NONE,
        permitted: set(&["CHOWN"]),
        inheritable: set(&["CHOWN"]),
        bounding: set(&["CHOWN", "KILL"]),
        ambient: Capabilities::NONE,
        first_bounding: Capabilities::all(),
    };
    let process = ObservedProcess {
        uid: Some(1000),
        gid: Some(1000),
        groups: vec![27],
        umask: Some(0o027),
        leads_session: true,
        rlimits: vec![Rlimit { resource: "nofile".parse().expect("known"), soft: Some(64), hard: None }],
        directory: Some("/data".into()),
        capabilities: Some(capabilities),
        no_new_privileges: true,
        seccomp: ObservedSeccomp::Filters(Some(2)),
        label: Some("docker-default".into()),
        cgroups: vec![ObservedCgroup {
            path: "/docker/web".into(),
            directories: vec!["/sys/fs/cgroup/docker/web".into()],
            limits: "memory at most 64 MiB".to_owned(),
        }],
        oom_score: Some(200),
        arguments: vec!["nginx".into(), "-g".into(), "daemon off;".into()],
        environment: vec!["PATH=/bin".into(), "HOSTNAME=web".into()],
        ..ObservedProcess::default()
    };
    let mut all = namespaces(&NamespaceKind::ALL);
    let ipc = all.iter_mut().find(|(kind, _)| *kind == NamespaceKind::Ipc).expect("it is there");
    ipc.1 = Whose::Shared { pid: 77, name: "db".to_owned() };
    Observed {
        name: "web".to_owned(),
        pid: 4711,
        pids: vec![4711, 1],
        is_first: true,
        maker: Some("docker".to_owned()),
        namespaces: all,
        ids: ObservedIds { uids: map.clone(), gids: map, may_set_groups: true, owner: Some(0) },
        interfaces: vec!["eth0".into()],
        is_loopback_up: true,
        clocks: "monotonic 3600 0\n".to_owned(),
        root: Some(ObservedRoot { path: "/".into(), on_host: None, is_host: false }),
        mounts: mounts(&[
            "20 19 20 / / ro,relatime overlay overlay rw,lowerdir=/l1:/l2,upperdir=/u,workdir=/w",
            "21 20 21 / /proc rw,nosuid,nodev,noexec,relatime proc proc rw",
            "22 20 22 / /dev rw,nosuid tmpfs tmpfs rw,size=64k,mode=755,uid=100000,gid=100005",
            "23 22 23 / /dev/pts rw devpts devpts rw,gid=100005,mode=620",
            "24 22 23 /0 /dev/console rw devpts devpts rw,gid=100005,mode=620",
            "25 20 4 /data /data ro,nosuid,nodev,relatime,idmapped tmpfs fast rw",
            "26 21 21 /sys /proc/sys ro,nosuid,nodev,noexec,relatime proc proc rw",
            "27 21 22 /null /proc/kcore rw,nosuid tmpfs tmpfs rw,size=64k",
            "28 21 28 / /proc/acpi ro,relatime tmpfs tmpfs ro",
            "29 20 20 /etc /mnt rw,relatime overlay overlay rw",
            "30 20 99 /x//deleted /gone rw,relatime ext4 /dev/vdb rw",
        ]),
        host_mounts: [host(), mounts(&["9 1 99 /y /y rw ext4 /dev/vdb rw"])].concat(),
        process,
        ..Observed::default()
    }
}

fn told(observed: &Observed) -> String {
    with_plan(observed, |plan| Explanation { plan, colour: false, costs: None, width: None }.to_string())
}

fn with_plan<T>(observed: &Observed, then: impl FnOnce(&Plan<'_>) -> T) -> T {
    let arena = Arena::new();
    then(&read_back(observed, &arena).expect("nothing has a NUL in it"))
}

#[test]
fn a_container_of_an_engine() {
    insta::assert_snapshot!(told(&container()));
}

#[test]
fn its_script() {
    insta::assert_snapshot!(with_plan(&container(), |plan| Script { plan, uid: 0 }.to_string()));
}

#[test]
fn a_tmpfs_is_read_only_when_what_is_mounted_in_it_is() {
    let mut observed = container();
    observed.mounts.extend(mounts(&[
        "31 20 31 / /sys ro,nosuid sysfs sysfs rw",
        "32 31 32 / /sys/fs/cgroup ro,nosuid tmpfs cgroup rw,mode=755",
        "33 32 33 / /sys/fs/cgroup/pids ro cgroup cgroup rw,pids",
        "34 31 34 / /sys/firmware ro tmpfs tmpfs ro",
    ]));
    let script = with_plan(&observed, |plan| Script { plan, uid: 0 }.to_string());
    let lines: Vec<&str> = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#') && line.contains("\"$root\"/sys/f"))
        .collect();
    let expected = [
        "mount -t tmpfs -o nosuid,mode=755 cgroup \"$root\"/sys/fs/cgroup",
        "mkdir -p -m 755 \"$root\"/sys/fs/cgroup/pids",
        "mount -t cgroup -o ro,pids cgroup \"$root\"/sys/fs/cgroup/pids",
        "mask \"$root\"/sys/firmware",
        "mount -o remount,bind,ro \"$root\"/sys/fs/cgroup",
    ];
    assert_eq!(lines, expected, "{script}");
}

#[test]
fn a_changed_root_in_a_copy_of_the_hosts_mounts() {
    let mut copy = host();
    copy[3].options = "ro,nosuid,relatime".to_owned();
    copy.retain(|mount| mount.point.to_str() != Some("/dev"));
    copy.push(mount("40 1 40 / /srv/box/tmp rw,relatime tmpfs tmpfs rw,size=4k"));
    let outer = Observed {
        name: "bash".to_owned(),
        pid: 10,
        namespaces: namespaces(&[NamespaceKind::Mount, NamespaceKind::User]),
        ids: ObservedIds {
            uids: vec![IdMapping { inside: 1000, outside: 1000, count: 1 }],
            gids: vec![IdMapping { inside: 1000, outside: 1000, count: 1 }],
            may_set_groups: false,
            owner: Some(1000),
        },
        root: Some(ObservedRoot { path: "/".into(), on_host: Some("/".into()), is_host: true }),
        mounts: copy,
        host_mounts: host(),
        process: ObservedProcess {
            uid: Some(1000),
            gid: Some(1000),
            has_the_callers_groups: true,
            arguments: vec!["bash".into()],
            ..ObservedProcess::default()
        },
        ..Observed::default()
    };
    let inner = Observed {
        root: Some(ObservedRoot {
            path: "/srv/box".into(),
            on_host: Some("/srv/box".into()),
            is_host: false,
        }),
        mounts: mounts(&["40 1 40 / /tmp rw,relatime tmpfs tmpfs rw,size=4k"]),
        ids: ObservedIds::default(),
        ..outer.clone()
    };
    let script = with_plan(&inner, |plan| Script { plan, uid: 1000 }.to_string());
    assert!(script.contains("mount -t tmpfs -o size=4k tmpfs /srv/box/tmp"), "{script}");
    insta::assert_snapshot!(format!("{}\n{}", told(&outer), told(&inner)));
}

#[test]
fn what_may_not_be_looked_at_is_not_taken_for_the_hosts() {
    let unseen = Observed { pid: 5, unreadable: vec!["/proc/5/ns/*".to_owned()], ..Observed::default() };
    let text = told(&unseen);
    assert!(
        text.starts_with("unknown: ") && text.contains("/proc/5/ns/*") && text.contains("as root"),
        "{text}"
    );
    let seen = Observed { pid: 5, namespaces: namespaces(&[]), ..Observed::default() };
    assert_eq!(told(&seen), "nothing: it sees what the host sees\n");
}

proptest! {
    /// Whoever is looked at may have chosen names that move the cursor, or that end a comment of the script.
    #[test]
    fn hostile_names_stay_text(name in "[^\0]{0,12}", point in "/[^\0]{0,12}", parent in 19_u32..32, options in "[a-z,=]{0,12}") {
        let mut observed = container();
        observed.name = name.clone();
        observed.interfaces = vec![name.clone().into()];
        observed.process.environment = vec![format!("HOSTNAME={name}").into()];
        observed.process.arguments = vec![name.clone().into()];
        observed.process.directory = Some(PathBuf::from(&point));
        observed.mounts.push(ObservedMount {
            point: PathBuf::from(&point), parent, options, kind: name, ..mount("31 20 31 / /x rw x x rw")
        });
        let text = told(&observed);
        prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
        let script = with_plan(&observed, |plan| Script { plan, uid: 0 }.to_string());
        let is_comment = |line: &&str| line.trim_start().starts_with('#');
        prop_assert!(!script.lines().filter(is_comment).any(|line| line.chars().any(char::is_control)), "{script}");
    }
}
