// SPDX-License-Identifier: Apache-2.0
//! `linux.namespaces`, and what needs one of them.

use super::super::{IdMapping, Linux, Namespace, NamespaceKind};
use super::{Outcome, Warnings, absolute, id, refuse};
use crate::Sysctl;

/// How many lines an id map may have (`user_namespaces(7)`, since Linux 4.15).
const MAP_LINES: usize = 340;

pub(super) fn find(linux: &Linux, kind: NamespaceKind) -> Option<&Namespace> {
    linux.namespaces.iter().find(|namespace| namespace.kind == kind)
}

/// Whether the container has a namespace of `kind` that is not the runtime's: a new one, or one that it joins.
pub(super) fn has(linux: &Linux, kind: NamespaceKind) -> bool {
    find(linux, kind).is_some()
}

pub(super) fn check(linux: &Linux, warnings: &mut Warnings) -> Outcome {
    for (i, namespace) in linux.namespaces.iter().enumerate() {
        if let Some(first) = linux.namespaces[..i].iter().position(|earlier| earlier.kind == namespace.kind) {
            let problem =
                format!("{} stands twice, first in linux.namespaces[{first}]", namespace.kind.name());
            return refuse(format!("linux.namespaces[{i}]"), problem);
        }
        if let Some(path) = &namespace.path {
            absolute(&format!("linux.namespaces[{i}].path"), path)?;
        }
    }
    user(linux, warnings)?;
    time(linux)?;
    linux.sysctl.iter().try_for_each(|(name, value)| sysctl(linux, name, value))
}

fn user(linux: &Linux, warnings: &mut Warnings) -> Outcome {
    let maps = [("linux.uidMappings", &linux.uid_mappings), ("linux.gidMappings", &linux.gid_mappings)];
    let namespace = find(linux, NamespaceKind::User);
    for (path, map) in maps {
        match namespace {
            None if !map.is_empty() => {
                warnings.push(
                    path,
                    "there is no user namespace to map: without one in linux.namespaces they say nothing",
                );
            }
            Some(Namespace { path: None, .. }) if map.is_empty() => {
                return refuse(path, "missing: the new user namespace would have no ids");
            }
            Some(Namespace { path: Some(_), .. }) if !map.is_empty() => {
                warnings.push(path, "the user namespace is joined and has its maps: these must be the same");
            }
            _ => {}
        }
        id_map(path, map)?;
    }
    Ok(())
}

/// The rules of `user_namespaces(7)` for one map.
pub(super) fn id_map(path: &str, map: &[IdMapping]) -> Outcome {
    if map.len() > MAP_LINES {
        return refuse(path, format!("{} lines are too many: at most {MAP_LINES}", map.len()));
    }
    for (i, line) in map.iter().enumerate() {
        let at = format!("{path}[{i}]");
        if line.size == 0 {
            return refuse(format!("{at}.size"), "0 maps nothing: at least 1");
        }
        for (name, first) in [("containerID", line.inside), ("hostID", line.outside)] {
            id(&format!("{at}.{name}"), first)?;
            if u64::from(first) + u64::from(line.size) > u64::from(u32::MAX) {
                return refuse(
                    format!("{at}.size"),
                    format!("it goes past the highest id, 4294967294, from {name} {first}"),
                );
            }
        }
        let meets = |a: u32, b: u32, other: &IdMapping| {
            let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
            u64::from(a) < end(b, other.size) && u64::from(b) < end(a, line.size)
        };
        let earlier = map[..i].iter().position(|other| {
            meets(line.inside, other.inside, other) || meets(line.outside, other.outside, other)
        });
        if let Some(first) = earlier {
            return refuse(at, format!("it overlaps {path}[{first}]: an id can be mapped once"));
        }
    }
    Ok(())
}

fn time(linux: &Linux) -> Outcome {
    if linux.time_offsets.is_empty() {
        return Ok(());
    }
    match find(linux, NamespaceKind::Time) {
        None => {
            return refuse(
                "linux.timeOffsets",
                "there is no time namespace to set: add one to linux.namespaces",
            );
        }
        Some(Namespace { path: Some(_), .. }) => {
            return refuse(
                "linux.timeOffsets",
                "the time namespace is joined, and its clocks are set already: leave them out",
            );
        }
        Some(_) => {}
    }
    for (clock, offset) in &linux.time_offsets {
        let path = format!("linux.timeOffsets.{clock}");
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return refuse(path, "a time namespace has the clocks monotonic and boottime alone");
        }
        if offset.nanosecs >= 1_000_000_000 {
            return refuse(
                format!("{path}.nanosecs"),
                format!("{} is a second or more: below 1000000000", offset.nanosecs),
            );
        }
    }
    Ok(())
}

fn sysctl(linux: &Linux, name: &str, value: &str) -> Outcome {
    let path = format!("linux.sysctl.{name}");
    super::text(&path, name)?;
    super::text(&path, value)?;
    let sysctl = Sysctl { name: dotted(name), value: value.to_owned() };
    // In a name with dots a slash stands for a dot of the file's name: `//` would be the directory above.
    if sysctl.name.split('.').any(|part| part.is_empty() || part.bytes().all(|byte| byte == b'/')) {
        return refuse(path, "no name of a kernel parameter: such as net.ipv4.ip_forward");
    }
    if sysctl.name == "kernel.hostname" {
        return refuse(path, "the field hostname says that: leave this out");
    }
    let Some(kind) = sysctl.namespace() else {
        return refuse(path, "it belongs to no namespace: setting it would change the whole host");
    };
    let kind = NamespaceKind::from(kind);
    if !has(linux, kind) {
        let kind = kind.name();
        return refuse(
            path,
            format!(
                "it would change the host's {kind} namespace: add one to linux.namespaces, or leave it out"
            ),
        );
    }
    Ok(())
}

/// The name with dots between its parts: one whose first separator is a slash has the two the other way round
/// (`sysctl.d(5)`).
pub(in crate::oci) fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}
