// SPDX-License-Identifier: Apache-2.0
//! The cgroups of one container: a directory in each hierarchy.
//!
//! A [`Place`] is data. It is saved with the container's state, and later calls do with it what they have to without being
//! told again how it was made.

mod apply;
mod create;
mod devices;
mod enter;
mod freeze;
mod keep;
mod kill;
mod oom;
mod remove;
mod scope;
mod tree;

use std::path::{Path, PathBuf};

use husk_spec::normalized;
use serde::{Deserialize, Serialize};

use crate::error::CgroupError;
use crate::hierarchy::{Hierarchies, Mounted};
use crate::limits::Hierarchy;

pub use enter::{Entry, SubCgroup};
pub(crate) use keep::Kept;
pub use oom::{MemoryKills, MemoryLimit, OomEvent, OomWatch, ScopeWatch};
pub(crate) use scope::SYSTEMDS;

/// A container's cgroup in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// The controllers of version 1, or the hierarchy's name (`name=systemd`); empty for version 2.
    pub controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    /// The directory.
    pub path: PathBuf,
}

impl Directory {
    fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The cgroups of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Whether its limits are set in version 1 or 2.
    #[serde(with = "version")]
    version: Hierarchy,
    /// A directory in each hierarchy.
    directories: Vec<Directory>,
    /// Directories above them that were made for it, and go with it if nobody else has moved in; the highest first.
    #[serde(default)]
    made: Vec<PathBuf>,
    /// The inode number of systemd's directory, if it is a scope's: once that is empty, systemd takes it away, and may make
    /// another of the same name. The kernel gives a number once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
}

impl Place {
    /// Where a container's cgroups are to be, by `linux.cgroupsPath`, as runc has it: an absolute path counts from the top of
    /// each hierarchy; a relative one, or `id` if there is none, from this process's own cgroup, on version 2 from the one
    /// above that, because a cgroup with processes in it cannot give controllers to those below. Where the own cgroup is not
    /// to be seen, relative paths, too, count from the top.
    ///
    /// # Errors
    /// The path names the top itself.
    pub fn new(found: &Hierarchies, cgroups_path: Option<&str>, id: &str) -> Result<Self, CgroupError> {
        let path = cgroups_path.filter(|path| !path.is_empty()).unwrap_or(id);
        let below = clean(path);
        if below.as_os_str().is_empty() {
            return Err(CgroupError::Top(path.to_owned()));
        }
        let directory = |mounted: &Mounted| Directory {
            controllers: mounted.controllers.clone(),
            mount: mounted.mount.clone(),
            path: if path.starts_with('/') {
                mounted.mount.join(&below)
            } else {
                start(mounted).join(&below)
            },
        };
        Ok(Self {
            version: found.version,
            directories: found.v1.iter().chain(&found.v2).map(directory).collect(),
            made: Vec::new(),
            inode: None,
        })
    }

    /// Where the cgroup of a container is to be that goes when it ends: below `parent`, or beside this process (on version 1 below
    /// it) if that is `None`. On version 1 it is in the hierarchies of `controllers` alone, since each costs time.
    ///
    /// # Errors
    /// The parent names something that is no cgroup.
    pub fn passing(
        found: &Hierarchies,
        parent: Option<&str>,
        name: &str,
        controllers: &[&str],
    ) -> Result<Self, CgroupError> {
        let path = parent.map_or_else(|| name.to_owned(), |parent| format!("{parent}/{name}"));
        let mut place = Self::new(found, Some(&path), name)?;
        let is_wanted = |directory: &Directory| match found.version {
            Hierarchy::V2 => true,
            Hierarchy::V1 => directory.controllers.iter().any(|name| controllers.contains(&name.as_str())),
        };
        place.directories.retain(is_wanted);
        Ok(place)
    }

    /// Whether this process may make the cgroups and have a child in them, and whether they would have `controllers`. It only looks.
    pub fn can_have(&self, controllers: &[&str]) -> bool {
        controllers.iter().all(|name| self.directory(name).is_some())
            && self.directories.iter().all(|directory| create::is_possible(directory, controllers))
    }

    /// The cgroups that this process is in, as far as they are to be seen.
    pub fn own(found: &Hierarchies) -> Self {
        let directory = |mounted: &Mounted| {
            let (controllers, mount) = (mounted.controllers.clone(), mounted.mount.clone());
            mounted.own.clone().map(|path| Directory { controllers, mount, path })
        };
        Self {
            version: found.version,
            directories: found.v1.iter().chain(&found.v2).filter_map(directory).collect(),
            made: Vec::new(),
            inode: None,
        }
    }

    /// Whether its limits are set in version 1 or 2.
    pub fn version(&self) -> Hierarchy {
        self.version
    }

    /// Its directories, one in each hierarchy.
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// The directories above its own that were made for it, the highest first.
    pub fn made(&self) -> &[PathBuf] {
        &self.made
    }

    /// Its directory of version 2.
    pub fn v2(&self) -> Option<&Directory> {
        self.directories.iter().find(|directory| directory.is_v2())
    }

    /// The part of it in the hierarchies of one version. [`Self::with`] puts the parts together.
    #[must_use]
    pub fn part(&self, version: Hierarchy) -> Self {
        let mut part = self.clone();
        part.directories.retain(|directory| directory.is_v2() == (version == Hierarchy::V2));
        part
    }

    /// This part and another one of the same place.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.directories.extend(other.directories);
        self.having_made(&other.made)
    }

    /// The same place, with directories above it that were made for it, the highest first.
    #[must_use]
    pub fn having_made(mut self, made: &[PathBuf]) -> Self {
        self.made.extend_from_slice(made);
        self
    }

    /// Its directory in the hierarchy that has `controller`. On version 2, where the files say what there is, always the
    /// one directory.
    pub fn directory(&self, controller: &str) -> Option<&Directory> {
        match self.version {
            Hierarchy::V2 => self.v2(),
            Hierarchy::V1 => self.directories.iter().find(|directory| directory.has(controller)),
        }
    }

    /// Whether any of its directories is there.
    pub fn exists(&self) -> bool {
        match self.inode {
            Some(_) => self.systemds().and_then(|directory| inode(&directory.path).ok()) == self.inode,
            None => self.directories.iter().any(|directory| directory.path.is_dir()),
        }
    }
}

fn inode(path: &Path) -> Result<u64, rustix::io::Errno> {
    rustix::fs::stat(path).map(|found| found.st_ino)
}

/// Where relative paths count from.
fn start(mounted: &Mounted) -> PathBuf {
    let Some(own) = &mounted.own else { return mounted.mount.clone() };
    match mounted.controllers.is_empty() {
        true if own != &mounted.mount => own.parent().unwrap_or(own).to_owned(),
        _ => own.clone(),
    }
}

/// The path without `.` and `..`, so that it cannot leave the directory it is joined to. cgroupfs has no links.
fn clean(path: &str) -> PathBuf {
    normalized(path).iter().skip(1).collect()
}

/// `v1` or `v2` in JSON.
mod version {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::limits::Hierarchy;

    pub(super) fn serialize<S: Serializer>(version: &Hierarchy, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match version {
            Hierarchy::V1 => "v1",
            Hierarchy::V2 => "v2",
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hierarchy, D::Error> {
        match <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.as_ref() {
            "v1" => Ok(Hierarchy::V1),
            "v2" => Ok(Hierarchy::V2),
            other => Err(D::Error::custom(format!("{other:?} is no version of cgroups: v1 or v2"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchies(own_v1: &str, own_v2: &str) -> Hierarchies {
        let mounts = "1 0 0:1 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      2 0 0:2 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        Hierarchies::parse(mounts, &format!("1:pids:{own_v1}\n0::{own_v2}\n")).expect("hierarchies")
    }

    fn paths(found: &Hierarchies, cgroups_path: Option<&str>) -> [String; 2] {
        let place = Place::new(found, cgroups_path, "ID").expect("a place");
        [0, 1].map(|index| place.directories()[index].path.display().to_string())
    }

    #[test]
    fn absolute_paths_count_from_the_top_and_others_from_the_own_cgroup() {
        let found = hierarchies("/own/here", "/own/here");
        assert_eq!(paths(&found, Some("/a/b")), ["/sys/fs/cgroup/pids/a/b", "/sys/fs/cgroup/unified/a/b"]);
        assert_eq!(
            paths(&found, Some("a/b")),
            ["/sys/fs/cgroup/pids/own/here/a/b", "/sys/fs/cgroup/unified/own/a/b"]
        );
        for absent in [None, Some("")] {
            let expected = ["/sys/fs/cgroup/pids/own/here/ID", "/sys/fs/cgroup/unified/own/ID"];
            assert_eq!(paths(&found, absent), expected);
        }
        let top = hierarchies("/", "/");
        assert_eq!(paths(&top, None), ["/sys/fs/cgroup/pids/ID", "/sys/fs/cgroup/unified/ID"]);
        let outside = hierarchies("/../x", "/../x");
        assert_eq!(paths(&outside, Some("a")), ["/sys/fs/cgroup/pids/a", "/sys/fs/cgroup/unified/a"]);
    }

    #[test]
    fn a_path_never_leaves_the_hierarchy() {
        let found = hierarchies("/own", "/own/x");
        let expected = ["/sys/fs/cgroup/pids/c", "/sys/fs/cgroup/unified/c"];
        assert_eq!(paths(&found, Some("/../../a/.././b/../c")), expected);
        assert_eq!(paths(&found, Some("../../../c"))[0], "/sys/fs/cgroup/pids/own/c");
        for top in ["/", "/..", "/a/..", "."] {
            let error = Place::new(&found, Some(top), "ID").expect_err("an error").to_string();
            assert!(error.contains("the top of the hierarchies"), "{error}");
        }
    }

    #[test]
    fn a_place_is_the_same_after_a_turn_through_json() {
        let place = Place::new(&hierarchies("/", "/"), Some("/a"), "ID").expect("a place");
        let text = serde_json::to_string(&place).expect("JSON");
        assert!(
            text.starts_with("{\"version\":\"v1\",\"directories\":[{\"controllers\":[\"pids\"],"),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Place>(&text).expect("a place"), place);
    }
}
