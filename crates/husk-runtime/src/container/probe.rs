// SPDX-License-Identifier: Apache-2.0
//! Looking at the host for a container that is to be made.

use std::path::Path;

use husk_plan::{CLONE_FLAGS, Host};
use husk_spec::{Config, Namespace, NamespaceKind, UserNamespace};
use husk_sys::namespace_type;
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags, fstatfs, open};

use super::Error;
use crate::id_map;

/// Looks at the host as [`Host::probe`] does, and into a user namespace that is to be entered, wherever the file is that stands
/// for it.
///
/// # Errors
/// As [`Host::probe`].
pub fn probe(config: &Config) -> Result<Host, Error> {
    let mut host = Host::probe(config)?;
    for (_, given) in config.namespaces.but_user() {
        if let Namespace::Join(path) = &given.value {
            look_at(path, &mut host);
        }
    }
    if let UserNamespace::Join(path) = &config.namespaces.user.value {
        look_at(path, &mut host);
    }
    if let (UserNamespace::Join(path), None) = (&config.namespaces.user.value, &host.joined) {
        host.joined = id_map::maps_of(path);
    }
    Ok(host)
}

/// Finds out what a file stands for. What cannot be opened is left to the step that enters it, which says why.
fn look_at(path: &Path, host: &mut Host) {
    const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;
    // First without opening it: a FIFO would block, and a device do who knows what.
    let Ok(place) = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else { return };
    let is_namespace = fstatfs(&place).is_ok_and(|found| found.f_type == NSFS_MAGIC);
    let kind = is_namespace.then(|| kind_of(path)).flatten();
    if kind.is_some() || !is_namespace {
        host.namespaces.insert(path.to_owned(), kind);
    }
}

fn kind_of(path: &Path) -> Option<NamespaceKind> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let flag = namespace_type(file.as_fd()).ok()?;
    CLONE_FLAGS.into_iter().find(|(_, its)| *its == flag).map(|(kind, _)| kind)
}
