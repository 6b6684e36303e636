// SPDX-License-Identifier: Apache-2.0
//! What husk-see reads, in the terms of the planner: an observed process, compared with the host and with husk's caller.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use husk_plan::read_back::{
    Observed, ObservedCapabilities, ObservedCgroup, ObservedIds, ObservedMount, ObservedProcess,
    ObservedRoot, ObservedSeccomp, Whose,
};
use husk_see::{
    CapabilitySet, Cgroup, Container, Details, Engine, IdMap, Kind, Limits, Machine, Mount, ResourceLimit,
    Root, Seccomp, Seen, Text,
};
use husk_spec::{Capabilities, IdMapping, NamespaceKind, Resource, Rlimit};

use crate::view::words;

/// What is to be seen of a process, compared with `own`: husk's process, and so whoever called it.
pub(crate) fn observe(
    machine: &Machine,
    container: Option<usize>,
    details: &Details,
    own: &Details,
) -> Observed {
    let container = container.map(|index| &machine.containers[index]);
    let has_own_ids = details.namespaces[Kind::User].is_some()
        && details.namespaces[Kind::User] != machine.host.namespaces[Kind::User];
    let ids = if has_own_ids { ids(details) } else { ObservedIds::default() };
    let mounts = details.mounts.iter().flatten().map(mount);
    Observed {
        name: container.map_or_else(|| details.status.name.to_string(), words::name),
        pid: details.pid,
        pids: details.status.pids.clone(),
        is_first: container.is_some_and(|container| container.id == details.pid),
        maker: container.and_then(maker),
        namespaces: Kind::ALL
            .into_iter()
            .filter_map(|kind| whose(machine, container, details, kind))
            .collect(),
        interfaces: details
            .interfaces
            .iter()
            .flatten()
            .filter(|name| !name.is_empty() && !name.is("lo"))
            .map(os)
            .collect(),
        is_loopback_up: details.is_loopback_up == Some(true),
        clocks: details.clocks.as_ref().map(|clocks| clocks.unicode().into_owned()).unwrap_or_default(),
        root: details.root.as_ref().and_then(root),
        mounts: mounts.collect(),
        host_mounts: machine.host_mounts().iter().map(mount).collect(),
        process: process(machine, details, own, &ids, has_own_ids),
        unreadable: unreadable(details),
        is_reader_root: machine.is_root(),
        ids,
    }
}

fn maker(container: &Container) -> Option<String> {
    match container.maker.engine {
        Engine::Unknown => None,
        engine => Some(engine.name().to_owned()),
    }
}

fn whose(
    machine: &Machine,
    container: Option<&Container>,
    details: &Details,
    kind: Kind,
) -> Option<(NamespaceKind, Whose)> {
    details.namespaces[kind]?;
    let whose = match container.map(|container| &container.whose[kind as usize]) {
        None | Some(Seen::Host) => Whose::Host,
        Some(Seen::Own) => Whose::Own,
        Some(Seen::Shared(with)) => {
            let other = &machine.containers[*with.first()?];
            Whose::Shared { pid: other.id, name: words::name(other) }
        }
        Some(Seen::Unknown) => return None,
    };
    NamespaceKind::from_name(kind.name()).map(|kind| (kind, whose))
}

fn os(text: &Text) -> OsString {
    OsString::from_vec(text.bytes().to_vec())
}

fn path(text: &Text) -> PathBuf {
    PathBuf::from(os(text))
}

fn ids(details: &Details) -> ObservedIds {
    let map = |map: &Option<IdMap>| {
        let ranges = map.iter().flat_map(|map| &map.0).filter(|range| range.count > 0);
        ranges.map(|r| IdMapping { inside: r.inside, outside: r.outside, count: r.count }).collect()
    };
    ObservedIds {
        uids: map(&details.uid_map),
        gids: map(&details.gid_map),
        may_set_groups: details.setgroups != Some(false),
        owner: details.user_owner,
    }
}

fn root(root: &Root) -> Option<ObservedRoot> {
    Some(ObservedRoot {
        path: path(root.path.as_ref()?),
        on_host: root.on_host.as_ref().map(path),
        is_host: root.is_host,
    })
}

fn mount(mount: &Mount) -> ObservedMount {
    let text = |text: &Text| text.unicode().into_owned();
    ObservedMount {
        id: mount.id,
        parent: mount.parent,
        device: mount.device,
        root: path(&mount.root),
        point: path(&mount.point),
        options: text(&mount.options),
        propagation: text(&mount.propagation),
        kind: text(&mount.fs_type),
        source: os(&mount.source),
        fs_options: os(&mount.fs_options),
    }
}

fn process(
    machine: &Machine,
    details: &Details,
    own: &Details,
    ids: &ObservedIds,
    has_own_ids: bool,
) -> ObservedProcess {
    let status = &details.status;
    let translated = |map: &Option<IdMap>, id: u32| match map {
        Some(map) if has_own_ids => map.inside(id),
        _ => Some(id),
    };
    let group = |id: u32| translated(&details.gid_map, id);
    let seccomp = match status.seccomp {
        Some(Seccomp::Strict) => ObservedSeccomp::Strict,
        Some(Seccomp::Filter) if own.status.seccomp != status.seccomp => {
            ObservedSeccomp::Filters(status.seccomp_filters)
        }
        _ => ObservedSeccomp::Off,
    };
    ObservedProcess {
        uid: translated(&details.uid_map, status.uids[1]).filter(|_| !has_own_ids || !ids.uids.is_empty()),
        gid: group(status.gids[1]).filter(|_| !has_own_ids || !ids.gids.is_empty()),
        groups: status.groups.iter().filter_map(|id| group(*id)).collect(),
        has_the_callers_groups: status.groups == own.status.groups,
        umask: status.umask.filter(|umask| Some(*umask) != own.status.umask),
        leads_session: status.leads_session,
        rlimits: rlimits(&details.resource_limits, &own.resource_limits),
        directory: details.directory.as_ref().map(|directory| inside_root(directory, details.root.as_ref())),
        capabilities: capabilities(details, own, has_own_ids),
        no_new_privileges: status.no_new_privs == Some(true) && own.status.no_new_privs != Some(true),
        seccomp,
        label: details.label.as_ref().filter(|label| own.label.as_ref() != Some(*label)).map(os),
        cgroups: cgroups(machine, details, own),
        oom_score: details.oom_score.filter(|score| Some(*score) != own.oom_score),
        arguments: arguments(details),
        environment: details
            .environment
            .iter()
            .flatten()
            .map(|(name, value)| variable(name, value))
            .collect(),
    }
}

/// The command line; of a process that has none, the program.
fn arguments(details: &Details) -> Vec<OsString> {
    let program = details.executable.as_ref().filter(|_| details.command.is_empty());
    details.command.iter().chain(program).map(os).collect()
}

fn variable(name: &Text, value: &Text) -> OsString {
    OsString::from_vec([name.bytes(), b"=", value.bytes()].concat())
}

/// The link is told from the top of the mount namespace.
fn inside_root(directory: &Text, root: Option<&Root>) -> PathBuf {
    let (directory, top) = (path(directory), root.and_then(|root| root.path.as_ref()).map(path));
    match top.and_then(|top| directory.strip_prefix(top).ok().map(Path::to_owned)) {
        Some(rest) => Path::new("/").join(rest),
        None => directory,
    }
}

fn capabilities(details: &Details, own: &Details, has_own_ids: bool) -> Option<ObservedCapabilities> {
    let sets = details.status.capabilities?;
    let set = |set: CapabilitySet| Capabilities::from_bits(set.0);
    let callers = own.status.capabilities.map_or(CapabilitySet::ALL, |sets| sets.bounding);
    Some(ObservedCapabilities {
        effective: set(sets.effective),
        permitted: set(sets.permitted),
        inheritable: set(sets.inheritable),
        bounding: set(sets.bounding),
        ambient: set(sets.ambient),
        first_bounding: set(if has_own_ids { CapabilitySet::ALL } else { callers }),
    })
}

/// `/proc/PID/limits` has a line for each resource, in the order of their numbers.
fn rlimits(its: &[ResourceLimit], others: &[ResourceLimit]) -> Vec<Rlimit> {
    let number = |text: &Text| match text.is("unlimited") {
        true => Some(None),
        false => text.unicode().parse().ok().map(Some),
    };
    let limit = |(resource, limit): (Resource, &ResourceLimit)| {
        let is_same = others.iter().any(|other| other == limit);
        let (soft, hard) = (number(&limit.soft)?, number(&limit.hard)?);
        (!is_same).then_some(Rlimit { resource, soft, hard })
    };
    Resource::all().zip(its).filter_map(limit).collect()
}

/// Its cgroups, as far as the caller is in others; those of several hierarchies with the same path as one.
fn cgroups(machine: &Machine, details: &Details, own: &Details) -> Vec<ObservedCgroup> {
    let mut all: Vec<ObservedCgroup> = Vec::new();
    for cgroup in details.cgroups.iter().filter(|cgroup| !own.cgroups.contains(cgroup)) {
        let directory = cgroup_directory(machine, cgroup);
        let limits = limits(cgroup, &details.limits);
        match all.iter_mut().find(|known| known.path == os(&cgroup.path)) {
            Some(known) => {
                known.directories.extend(directory);
                let is_new = !limits.is_empty() && !known.limits.contains(&limits);
                let comma = if is_new && !known.limits.is_empty() { ", " } else { "" };
                known.limits += &format!("{comma}{}", if is_new { limits } else { String::new() });
            }
            None => all.push(ObservedCgroup {
                path: os(&cgroup.path),
                directories: directory.into_iter().collect(),
                limits,
            }),
        }
    }
    all
}

/// Where the host has the directory of a cgroup.
fn cgroup_directory(machine: &Machine, cgroup: &Cgroup) -> Option<PathBuf> {
    let controllers = cgroup.controllers.unicode();
    let is_of = |mount: &&Mount| match cgroup.is_v2() {
        true => mount.fs_type.is("cgroup2"),
        false => {
            let options = mount.fs_options.unicode();
            mount.fs_type.is("cgroup")
                && controllers.split(',').all(|one| options.split(',').any(|word| word == one))
        }
    };
    let mount = machine.host_mounts().iter().find(is_of)?;
    let rest = path(&cgroup.path).strip_prefix(path(&mount.root)).ok()?.to_owned();
    Some(path(&mount.point).join(rest))
}

/// The limits of a cgroup that has the controllers for them.
fn limits(cgroup: &Cgroup, limits: &Limits) -> String {
    let controllers = cgroup.controllers.unicode();
    let has = |name: &str| cgroup.is_v2() || controllers.split(',').any(|controller| controller == name);
    let all = [
        ("memory", "memory", words::limit(limits.memory, words::bytes)),
        ("pids", "processes", words::limit(limits.processes, |count| count.to_string())),
        ("cpu", "CPU", words::limit(limits.cpu, words::cpus)),
    ];
    let is_limit = |limit: &str| limit != "no limit" && limit != words::UNKNOWN;
    let told = all.into_iter().filter(|(controller, _, limit)| has(controller) && is_limit(limit));
    told.map(|(_, what, limit)| format!("{what} at most {limit}")).collect::<Vec<_>>().join(", ")
}

fn unreadable(details: &Details) -> Vec<String> {
    // A process in a changed root sees only the mounts below that, and may see none.
    let is_chroot = details.root.as_ref().is_some_and(Root::is_chroot);
    let at = |file: &str| format!("/proc/{}/{file}", details.pid);
    let files = [
        ("ns/*", details.namespaces.is_unknown()),
        ("root", details.root.as_ref().is_none_or(|root| root.path.is_none())),
        ("mountinfo", details.mounts.is_none() && !is_chroot),
        ("cwd", details.directory.is_none()),
        ("environ", details.environment.is_none()),
    ];
    let unreadable = files.into_iter().filter(|(_, is)| *is);
    unreadable.map(|(file, _)| at(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, soft: &str, hard: &str) -> ResourceLimit {
        ResourceLimit { name: name.into(), soft: soft.into(), hard: hard.into() }
    }

    #[test]
    fn limits_are_those_that_differ() {
        let its = [limit("Max cpu time", "unlimited", "unlimited"), limit("Max file size", "5", "unlimited")];
        let others =
            [limit("Max cpu time", "unlimited", "unlimited"), limit("Max file size", "6", "unlimited")];
        let found = rlimits(&its, &others);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].resource.name(), found[0].soft, found[0].hard), ("fsize", Some(5), None));
    }

    #[test]
    fn a_working_directory_is_told_from_the_root() {
        let root = |path: &str| Root { path: Some(path.into()), ..Root::default() };
        assert_eq!(inside_root(&"/srv/box/tmp".into(), Some(&root("/srv/box"))), Path::new("/tmp"));
        assert_eq!(inside_root(&"/tmp".into(), Some(&root("/"))), Path::new("/tmp"));
        assert_eq!(inside_root(&"/elsewhere".into(), Some(&root("/srv/box"))), Path::new("/elsewhere"));
    }
}
