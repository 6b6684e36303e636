// SPDX-License-Identifier: Apache-2.0
//! `linux.namespaces`, the id maps and the clocks.

use super::*;
use crate::oci::{self, TimeOffset};
use crate::{IdMapping, JoinedMaps, Namespaces, TimeOffsets};

pub(super) fn lower(linux: &Linux) -> Result<Namespaces, InvalidConfig> {
    let of = |kind: oci::NamespaceKind| namespace(linux, kind);
    let user = of(oci::NamespaceKind::User);
    let maps = || {
        let map = |mappings: &[oci::IdMapping]| mappings.iter().map(mapping).collect();
        let (uids, gids) = (map(&linux.uid_mappings), map(&linux.gid_mappings));
        Given::config(JoinedMaps { uids, gids }, "linux.uidMappings and linux.gidMappings")
    };
    let joined_maps = matches!(user.value, Namespace::Join(_)).then(maps);
    let user = match user.value {
        Namespace::Host => Given { value: UserNamespace::Host, origin: user.origin },
        Namespace::Join(path) => Given { value: UserNamespace::Join(path), origin: user.origin },
        Namespace::New => {
            let uids = linux.uid_mappings.iter().map(mapping).collect();
            let gids = linux.gid_mappings.iter().map(mapping).collect();
            Given::config(UserNamespace::Mapped { uids, gids }, "linux.uidMappings")
        }
    };
    Ok(Namespaces {
        user,
        mount: of(oci::NamespaceKind::Mount),
        pid: of(oci::NamespaceKind::Pid),
        network: of(oci::NamespaceKind::Network),
        ipc: of(oci::NamespaceKind::Ipc),
        uts: of(oci::NamespaceKind::Uts),
        cgroup: of(oci::NamespaceKind::Cgroup),
        time: of(oci::NamespaceKind::Time),
        time_offsets: time_offsets(linux)?,
        joined_maps,
    })
}

/// Whether the container has a mount namespace of its own, whose root is the container's.
pub(super) fn has_own_mounts(linux: &Linux) -> bool {
    matches!(namespace(linux, oci::NamespaceKind::Mount).value, Namespace::New)
}

/// The namespaces of a container whose first process is `pid`: those that it was given, and the runtime's own for the rest.
pub(super) fn join(linux: &Linux, pid: i32) -> Namespaces {
    let path = |kind: NamespaceKind| PathBuf::from(format!("/proc/{pid}/ns/{}", kind.file_name()));
    let of = |kind: oci::NamespaceKind| {
        let listed = linux.namespaces.iter().any(|namespace| namespace.kind == kind);
        let value = if listed { Namespace::Join(path(kind.into())) } else { Namespace::Host };
        Given::default(value, "the container's namespaces")
    };
    let user = match of(oci::NamespaceKind::User).value {
        Namespace::Join(path) => UserNamespace::Join(path),
        _ => UserNamespace::Host,
    };
    Namespaces {
        user: Given::default(user, "the container's namespaces"),
        mount: of(oci::NamespaceKind::Mount),
        pid: of(oci::NamespaceKind::Pid),
        network: of(oci::NamespaceKind::Network),
        ipc: of(oci::NamespaceKind::Ipc),
        uts: of(oci::NamespaceKind::Uts),
        cgroup: of(oci::NamespaceKind::Cgroup),
        time: of(oci::NamespaceKind::Time),
        time_offsets: TimeOffsets::default(),
        joined_maps: None,
    }
}

fn namespace(linux: &Linux, kind: oci::NamespaceKind) -> Given<Namespace> {
    let listed = linux.namespaces.iter().enumerate().find(|(_, namespace)| namespace.kind == kind);
    match listed {
        None => Given::config(Namespace::Host, "linux.namespaces"),
        Some((index, namespace)) => {
            let path = namespace.path.as_deref().filter(|path| !path.is_empty());
            let value = path.map_or(Namespace::New, |path| Namespace::Join(PathBuf::from(path)));
            Given::config(value, format!("linux.namespaces[{index}]"))
        }
    }
}

pub(super) fn mapping(mapping: &oci::IdMapping) -> IdMapping {
    IdMapping { inside: mapping.inside, outside: mapping.outside, count: mapping.size }
}

fn time_offsets(linux: &Linux) -> Result<TimeOffsets, InvalidConfig> {
    let mut offsets = TimeOffsets::default();
    for (clock, TimeOffset { secs, nanosecs }) in &linux.time_offsets {
        let path = format!("linux.timeOffsets[{clock}]");
        let offset = crate::TimeOffset { seconds: *secs, nanoseconds: *nanosecs };
        let given = Some(Given::config(offset, path.clone()));
        match clock.as_str() {
            "monotonic" => offsets.monotonic = given,
            "boottime" => offsets.boottime = given,
            _ => return Err(invalid(path, "the clocks of a time namespace are monotonic and boottime")),
        }
    }
    Ok(offsets)
}

/// The kinds by the specification's names.
impl From<oci::NamespaceKind> for NamespaceKind {
    fn from(kind: oci::NamespaceKind) -> Self {
        match kind {
            oci::NamespaceKind::Cgroup => Self::Cgroup,
            oci::NamespaceKind::Ipc => Self::Ipc,
            oci::NamespaceKind::Mount => Self::Mount,
            oci::NamespaceKind::Network => Self::Network,
            oci::NamespaceKind::Pid => Self::Pid,
            oci::NamespaceKind::Time => Self::Time,
            oci::NamespaceKind::User => Self::User,
            oci::NamespaceKind::Uts => Self::Uts,
        }
    }
}
