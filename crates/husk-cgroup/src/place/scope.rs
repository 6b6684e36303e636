// SPDX-License-Identifier: Apache-2.0
//! The place of a scope of systemd's. On version 2 that is one directory, which systemd makes. On version 1 systemd makes that in
//! its own hierarchy and in those of the controllers that it knows; in the rest, one of the same path is the runtime's to make.

use std::path::{Path, PathBuf};

use super::enter::place_of;
use super::{Directory, Place, clean, create, inode};
use crate::error::CgroupError;
use crate::file;
use crate::hierarchy::{Hierarchies, Mounted, own_path};

/// The hierarchy of version 1 in which systemd keeps its units.
pub(crate) const SYSTEMDS: &str = "name=systemd";

/// The controllers of version 1 that systemd knows (`CGROUP_MASK_V1` in its `cgroup-util.h`). The properties of every scope ask for
/// them, so that it makes the directories. It also takes them away, and some time after a scope has ended: what somebody else
/// makes there for the next of the same name may go with them.
const KNOWN: [&str; 6] = ["cpu", "cpuacct", "blkio", "memory", "devices", "pids"];

/// Where systemd looks for version 2 beside version 1 (`cg_unified_cached` in its `cgroup-util.c`). One elsewhere is not its own.
const HYBRID: &str = "/sys/fs/cgroup/unified";

impl Place {
    /// The cgroup of version 2 that the process `pid` is in, which somebody else has made.
    ///
    /// # Errors
    /// The process is gone, or its cgroup is not to be seen here.
    pub(crate) fn of_process(found: &Hierarchies, pid: i32) -> Result<Self, CgroupError> {
        let own = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = file::read(&own).map_err(CgroupError::call("reading", &own))?;
        let mounted = found.v2.as_ref().ok_or(CgroupError::NoHierarchy)?;
        let path = own_path(&text, "").ok_or(CgroupError::NoHierarchy)?;
        let directory = Directory {
            controllers: Vec::new(),
            mount: mounted.mount.clone(),
            path: mounted.mount.join(clean(&path.to_string_lossy())),
        };
        let inode = inode(&directory.path).map_err(CgroupError::call("looking for", &directory.path))?;
        let directories = vec![directory];
        Ok(Self { version: found.version, directories, made: Vec::new(), inode: Some(inode) })
    }

    /// Where a scope will be on version 1: at `path` in each hierarchy.
    pub(crate) fn of_scope(found: &Hierarchies, path: &Path) -> Self {
        let directory = |mounted: &Mounted| Directory {
            controllers: mounted.controllers.clone(),
            mount: mounted.mount.clone(),
            path: mounted.mount.join(path),
        };
        let hybrid = found.v2.iter().filter(|mounted| mounted.mount == Path::new(HYBRID));
        Self {
            version: found.version,
            directories: found.v1.iter().chain(hybrid).map(directory).collect(),
            made: Vec::new(),
            inode: None,
        }
    }

    /// The directories that systemd does not make, of a scope on version 1. They are there before the scope, so that its first
    /// process can enter them by itself.
    #[must_use]
    pub fn beside_systemd(&self) -> Self {
        let is_systemds =
            |directory: &Directory| directory.has(SYSTEMDS) || KNOWN.iter().any(|name| directory.has(name));
        let mut place = self.clone();
        place.directories.retain(|directory| !directory.is_v2() && !is_systemds(directory));
        place
    }

    /// This place of a scope on version 1, now that systemd has moved `pid` there; `beside` has been made for it. Where systemd should
    /// have moved it and has not, because it does without a controller here, that is done now.
    ///
    /// # Errors
    /// systemd has moved it to another place; the rest cannot be done.
    pub(crate) fn started(mut self, beside: Self, pid: i32) -> Result<Self, CgroupError> {
        let own = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = file::read(&own).map_err(CgroupError::call("reading", &own))?;
        let is_in = |directory: &Directory| place_of(directory, &text).as_ref() == Some(&directory.path);
        let directory = self.systemds().ok_or(CgroupError::NoHierarchy)?;
        if !is_in(directory) {
            let found = own_path(&text, SYSTEMDS).unwrap_or_default();
            return Err(CgroupError::Elsewhere { expected: directory.path.clone(), found });
        }
        self.inode = Some(inode(&directory.path).map_err(CgroupError::call("looking for", &directory.path))?);
        let mut made = beside.made;
        let left_out = |directory: &&Directory| !is_in(directory) && !beside.directories.contains(directory);
        for directory in self.directories.iter().filter(left_out) {
            create::make_all(directory, &mut made)?;
            let procs = directory.file("cgroup.procs");
            file::write(&procs, &pid.to_string()).map_err(CgroupError::call("writing", &procs))?;
        }
        made.retain(|path| !self.directories.iter().any(|directory| directory.path == *path));
        self.made = made;
        Ok(self)
    }

    /// Whether it is known of which scope it is; another of the same name is not.
    pub fn is_of_known_scope(&self) -> bool {
        self.inode.is_some()
    }

    /// The directory by which systemd knows the scope.
    pub(super) fn systemds(&self) -> Option<&Directory> {
        self.directory(SYSTEMDS)
    }
}
