// SPDX-License-Identifier: Apache-2.0
//! What a container is graded by.

use husk_see::{CapabilitySet, Details, Kind, Limit, Machine, Mount, Seccomp};

use super::sight::peer_group;

/// One row of the grading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// What is asked.
    pub(crate) name: &'static str,
    /// Whether nothing is a container without it.
    pub(crate) needed: bool,
    /// Whether it is so.
    pub(crate) outcome: Outcome,
    /// What was found.
    pub(crate) found: String,
    /// What makes it so.
    pub(crate) advice: &'static str,
}

/// How a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is so.
    Passed,
    /// It is not.
    Missing,
    /// The caller may not look.
    Unknown,
}

impl From<Option<bool>> for Outcome {
    fn from(answer: Option<bool>) -> Self {
        match answer {
            Some(true) => Self::Passed,
            Some(false) => Self::Missing,
            None => Self::Unknown,
        }
    }
}

/// Whether everything holds that a container needs. What husk may not see does not count as held.
pub(crate) fn holds(marks: &[Mark]) -> bool {
    marks.iter().all(|mark| !mark.needed || mark.outcome == Outcome::Passed)
}

/// The processes and mounts around the one that is graded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'d> {
    /// husk itself: what a command gets that is typed there without a container.
    pub(super) here: &'d Details,
    /// A process in the same pid namespace that has the host's root.
    pub(super) neighbour: Option<u32>,
}

/// Grades process `pid`. `None` if it has ended.
pub(crate) fn grade(machine: &Machine, pid: u32) -> Option<Vec<Mark>> {
    let (subject, here) = (machine.details(pid)?, machine.details(machine.own_id())?);
    let same = subject.namespaces[Kind::Pid].filter(|pid| Some(*pid) != here.namespaces[Kind::Pid]);
    let has_hosts_root = |process: &&husk_see::Process| {
        same.is_some()
            && process.namespaces[Kind::Pid] == same
            && machine.details(process.pid).and_then(|details| details.root).is_some_and(|root| root.is_host)
    };
    let neighbour = machine.processes.iter().find(has_hosts_root).map(|process| process.pid);
    Some(marks(&subject, Around { here: &here, neighbour }))
}

/// All marks, those that a container needs first.
pub(super) fn marks(subject: &Details, around: Around<'_>) -> Vec<Mark> {
    let Around { here, neighbour } = around;
    [
        [
            namespace(subject, here, Kind::Pid, "unshare --pid --fork"),
            namespace(subject, here, Kind::Mnt, "unshare --mount"),
            namespace(subject, here, Kind::Uts, "unshare --uts: without it `hostname` renames the host"),
            namespace(subject, here, Kind::Ipc, "unshare --ipc: shared memory and message queues"),
            root(subject),
            proc(subject, here),
            private(subject, here),
        ]
        .map(|mark| Mark { needed: true, ..mark })
        .to_vec(),
        vec![
            old_root(subject, here, neighbour),
            namespace(
                subject,
                here,
                Kind::Net,
                "unshare --net: else it can reach what listens on the host alone",
            ),
            users(subject, here),
            capabilities(subject, here),
            no_new_privs(subject),
            seccomp(subject),
            limit(subject.limits.memory, "memory limit"),
            limit(subject.limits.processes, "process limit"),
        ],
    ]
    .concat()
}

fn mark(name: &'static str, answer: Option<bool>, found: impl Into<String>, advice: &'static str) -> Mark {
    let outcome = Outcome::from(answer);
    let found = if outcome == Outcome::Unknown { "husk may not look".to_owned() } else { found.into() };
    Mark { name, needed: false, outcome, found, advice }
}

fn namespace(subject: &Details, here: &Details, kind: Kind, advice: &'static str) -> Mark {
    let name = match kind {
        Kind::Pid => "own processes",
        Kind::Mnt => "own mounts",
        Kind::Uts => "own host name",
        Kind::Ipc => "own IPC",
        _ => "own network",
    };
    let own = subject.namespaces[kind].map(|its| Some(its) != here.namespaces[kind]);
    let found = match (own, kind) {
        (Some(true), Kind::Pid) => {
            format!(
                "a namespace of its own, in which it is process {}",
                subject.status.pids.last().unwrap_or(&subject.pid)
            )
        }
        (Some(true), _) => "a namespace of its own".to_owned(),
        _ => format!("its {kind} namespace is the host's"),
    };
    mark(name, own, found, advice)
}

fn root(subject: &Details) -> Mark {
    let root = subject.root.as_ref().filter(|root| root.path.is_some());
    let found = match root {
        Some(root) if root.is_host => "its / is the host's".to_owned(),
        root => crate::view::words::root(root),
    };
    mark("own root", root.map(|root| !root.is_host), found, "chroot DIRECTORY /bin/sh, or better pivot_root")
}

/// A proc file system belongs to one pid namespace, and each has another device.
fn proc(subject: &Details, here: &Details) -> Mark {
    let device = |details: &Details| {
        let mounts = details.mounts.as_ref()?;
        let top = mounts.iter().rfind(|mount| mount.point.is("/proc") && mount.root.is("/"));
        top.filter(|mount| mount.fs_type.is("proc")).map(|mount| mount.device)
    };
    let (answer, found) = match (device(subject), device(here)) {
        (None, _) => (subject.mounts.as_ref().map(|_| false), "no proc file system on its /proc"),
        (Some(its), Some(hosts)) if its == hosts => (Some(false), "its /proc is the host's"),
        (Some(_), _) => (Some(true), "a proc file system of its own"),
    };
    mark("own /proc", answer, found, "inside: mount -t proc proc /proc")
}

fn private(subject: &Details, here: &Details) -> Mark {
    let groups = |mounts: &Option<Vec<Mount>>| -> Option<Vec<Vec<u8>>> {
        Some(mounts.as_ref()?.iter().filter_map(peer_group).map(<[u8]>::to_vec).collect())
    };
    let own_namespace = subject.namespaces[Kind::Mnt].map(|its| Some(its) != here.namespaces[Kind::Mnt]);
    let shared = groups(&subject.mounts)
        .zip(groups(&here.mounts))
        .map(|(its, hosts)| its.iter().filter(|group| hosts.contains(group)).count());
    let (answer, found) = match (own_namespace, shared) {
        (Some(false), _) => (Some(false), "what it mounts is mounted on the host".to_owned()),
        (Some(true), Some(0)) => (Some(true), "nothing that it mounts appears on the host".to_owned()),
        (Some(true), Some(shared)) => (Some(false), format!("mounts shared with the host: {shared}")),
        _ => (None, String::new()),
    };
    mark("private mounts", answer, found, "inside: mount --make-rprivate /")
}

fn old_root(subject: &Details, here: &Details, neighbour: Option<u32>) -> Mark {
    let advice = "pivot_root, then umount -l of the old root";
    let name = "old root gone";
    let Some(root) = subject.root.as_ref().filter(|root| root.path.is_some()) else {
        return mark(name, None, "", advice);
    };
    let is_old = |mount: &Mount| {
        let old = here.mounts.iter().flatten().rfind(|mount| mount.point.is("/"));
        old.is_some_and(|old| mount.device == old.device && mount.root == old.root)
    };
    let mounted = subject.mounts.iter().flatten().find(|mount| is_old(mount));
    let (answer, found) = match (mounted, neighbour) {
        _ if root.is_host => (false, "it has never left it".to_owned()),
        (_, Some(pid)) => (false, format!("process {pid}, which it can see, has the host's root")),
        (Some(mount), _) => (false, format!("it is mounted on {}", mount.point)),
        _ if root.is_chroot() => (false, "its root is a chroot, and the old one is still mounted".to_owned()),
        _ => (true, "nothing leads to it".to_owned()),
    };
    mark(name, Some(answer), found, advice)
}

fn users(subject: &Details, here: &Details) -> Mark {
    let map = subject.uid_map.as_ref().filter(|map| !map.0.is_empty());
    let here_map = here.uid_map.as_ref();
    let own = subject.namespaces[Kind::User]
        .map(|its| Some(its) != here.namespaces[Kind::User])
        .or_else(|| Some(map? != here_map?));
    let found = match (own, map.and_then(|map| map.outside(0))) {
        (Some(true), Some(0)) => (Some(false), "a user namespace, but root in it is root outside".to_owned()),
        (Some(true), Some(uid)) => (Some(true), format!("root inside is user {uid} outside")),
        (Some(true), None) => (Some(true), "there is no root inside".to_owned()),
        (other, _) => (other, "its users are the host's: root inside is root outside".to_owned()),
    };
    mark("own users", found.0, found.1, "unshare --user --map-root-user, as an ordinary user")
}

/// As many as it could have at most is as many as husk's own bounding set allows.
fn capabilities(subject: &Details, here: &Details) -> Mark {
    let most = here.status.capabilities.map_or(CapabilitySet::ALL, |sets| sets.bounding);
    let sets = subject.status.capabilities;
    let few = sets.map(|sets| most.without(sets.effective).0 != 0);
    let number = sets.map_or(0, |sets| sets.effective.0.count_ones());
    let found = match (few, number) {
        (_, 0) => "none".to_owned(),
        (Some(true), number) => format!("{number} of {}", CapabilitySet::ALL.0.count_ones()),
        _ => format!("all that there are to have ({number})"),
    };
    mark("few capabilities", few, found, "setpriv --bounding-set -all,+... before the command")
}

fn no_new_privs(subject: &Details) -> Mark {
    let found = match subject.status.no_new_privs {
        Some(true) => "no program can give it more rights",
        _ => "a set-user-id program gives it more rights",
    };
    mark("no new rights", subject.status.no_new_privs, found, "setpriv --no-new-privs before the command")
}

fn seccomp(subject: &Details) -> Mark {
    let mode = subject.status.seccomp;
    let found = match mode {
        Some(Seccomp::Off) | None => "every system call of the kernel is open to it",
        Some(_) => "system calls are filtered",
    };
    mark(
        "filtered calls",
        mode.map(|mode| mode != Seccomp::Off),
        found,
        "a seccomp filter, which engines and systemd (SystemCallFilter=) make",
    )
}

fn limit(limit: Limit, name: &'static str) -> Mark {
    let (answer, found) = match limit {
        Limit::At(number) => (Some(true), format!("{number}")),
        Limit::None => (Some(false), "none".to_owned()),
        Limit::Unknown => (None, String::new()),
    };
    mark(name, answer, found, "a cgroup: systemd-run --scope -p MemoryMax=1G -p TasksMax=100 ...")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::tests::{mount, namespaces};
    use husk_see::{Capabilities, IdMap, IdRange, Limits, Root, Status};

    fn process(own: &[Kind], root: Root, mounts: &[Mount]) -> Details {
        let capabilities = Capabilities {
            effective: CapabilitySet::ALL,
            bounding: CapabilitySet::ALL,
            ..Capabilities::default()
        };
        let status = Status {
            pids: vec![100, 1],
            capabilities: Some(capabilities),
            no_new_privs: Some(false),
            seccomp: Some(Seccomp::Off),
            ..Status::default()
        };
        Details {
            pid: 100,
            status,
            command: Vec::new(),
            executable: None,
            directory: None,
            namespaces: namespaces(own, 2),
            owners: [None; 8],
            user_nesting: Vec::new(),
            user_owner: None,
            root: Some(root),
            mounts: Some(mounts.to_vec()),
            host_name: None,
            uid_map: Some(IdMap(vec![IdRange { inside: 0, outside: 0, count: u32::MAX }])),
            gid_map: None,
            setgroups: None,
            cgroups: Vec::new(),
            limits: Limits { memory: Limit::None, processes: Limit::At(100), cpu: Limit::None },
            resource_limits: Vec::new(),
            label: None,
            oom_score: None,
            environment: None,
            clocks: None,
            interfaces: None,
            is_loopback_up: None,
        }
    }

    fn host() -> Details {
        let root = Root { path: Some("/".into()), is_host: true, ..Root::default() };
        process(&[], root, &[mount("/", "ext4", 1, "shared:1"), mount("/proc", "proc", 2, "shared:2")])
    }

    fn by_hand() -> Details {
        let root = Root { path: Some("/".into()), on_host: Some("/box".into()), ..Root::default() };
        let mut top = mount("/", "ext4", 1, "");
        top.root = "/box".into();
        let own = [Kind::Pid, Kind::Mnt, Kind::Uts, Kind::Ipc];
        process(&own, root, &[top, mount("/proc", "proc", 3, "")])
    }

    fn outcomes(subject: &Details, neighbour: Option<u32>) -> Vec<(&'static str, Outcome)> {
        let marks = marks(subject, Around { here: &host(), neighbour });
        marks.into_iter().map(|mark| (mark.name, mark.outcome)).collect()
    }

    fn missing(subject: &Details, neighbour: Option<u32>) -> Vec<&'static str> {
        let all = outcomes(subject, neighbour).into_iter();
        all.filter(|(_, outcome)| *outcome != Outcome::Passed).map(|(name, _)| name).collect()
    }

    /// What a container has that four namespaces and a root make.
    const LEFT: [&str; 6] =
        ["own network", "own users", "few capabilities", "no new rights", "filtered calls", "memory limit"];

    #[test]
    fn the_classic_has_what_it_needs_and_no_more() {
        assert_eq!(missing(&by_hand(), None), LEFT);
        let host = host();
        let around = Around { here: &host, neighbour: None };
        assert!(holds(&marks(&by_hand(), around)) && !holds(&marks(&host, around)));
    }

    #[test]
    fn each_thing_is_missed() {
        let needed = |change: fn(&mut Details)| {
            let mut subject = by_hand();
            change(&mut subject);
            let missing = missing(&subject, None);
            missing.into_iter().filter(|name| !LEFT.contains(name)).collect::<Vec<_>>()
        };
        assert_eq!(needed(|it| it.namespaces[Kind::Pid] = Some(1)), ["own processes"]);
        assert_eq!(needed(|it| it.namespaces[Kind::Uts] = None), ["own host name"]);
        assert_eq!(needed(|it| it.namespaces[Kind::Mnt] = Some(1)), ["own mounts", "private mounts"]);
        assert_eq!(needed(|it| it.mounts.as_mut().expect("some")[1].device = (0, 2)), ["own /proc"]);
        assert_eq!(needed(|it| drop(it.mounts.as_mut().expect("some").pop())), ["own /proc"]);
        let shared = |it: &mut Details| it.mounts.as_mut().expect("some")[0].propagation = "shared:1".into();
        assert_eq!(needed(shared), ["private mounts"]);
        let slave = |it: &mut Details| it.mounts.as_mut().expect("some")[0].propagation = "master:1".into();
        assert!(needed(slave).is_empty(), "what comes in does not go out");
        let host_root = |it: &mut Details| it.root.as_mut().expect("known").is_host = true;
        assert_eq!(needed(host_root), ["own root", "old root gone"]);
    }

    #[test]
    fn every_way_back_to_the_old_root_is_seen() {
        let has_way = |subject: &Details, neighbour| missing(subject, neighbour).contains(&"old root gone");
        assert!(has_way(&by_hand(), Some(7)), "through a process");
        let mut chroot = by_hand();
        chroot.root.as_mut().expect("known").path = Some("/box".into());
        assert!(has_way(&chroot, None), "out of a chroot");
        let mut mounted = by_hand();
        mounted.mounts.as_mut().expect("some").push(mount("/old", "ext4", 1, ""));
        assert!(has_way(&mounted, None), "through a mount");
    }

    #[test]
    fn a_root_that_is_somebody_else_and_limits_count() {
        let mut subject = by_hand();
        subject.namespaces[Kind::User] = Some(2);
        assert!(missing(&subject, None).contains(&"own users"), "root is root");
        subject.uid_map = Some(IdMap(vec![IdRange { inside: 0, outside: 1000, count: 1 }]));
        assert!(!missing(&subject, None).contains(&"own users"));
        subject.limits = Limits { memory: Limit::At(1 << 20), processes: Limit::Unknown, cpu: Limit::None };
        let unknown = ("process limit", Outcome::Unknown);
        assert!(
            outcomes(&subject, None).contains(&unknown) && !missing(&subject, None).contains(&"memory limit")
        );
    }

    #[test]
    fn what_may_not_be_seen_does_not_hold() {
        let mut subject = by_hand();
        subject.namespaces = husk_see::Namespaces::default();
        subject.root = None;
        let here = host();
        assert!(!holds(&marks(&subject, Around { here: &here, neighbour: None })));
        assert!(outcomes(&subject, None).contains(&("own root", Outcome::Unknown)));
    }
}
