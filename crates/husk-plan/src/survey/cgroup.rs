// SPDX-License-Identifier: Apache-2.0
//! The cgroups of a host, and how far down they are given to this user (cgroups(7)).

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::Files;
use super::mounts::Line;

/// The controllers that limits of a container need.
pub const WANTED: [&str; 3] = ["cpu", "memory", "pids"];

/// Which hierarchies of cgroups are mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupVersion {
    /// None.
    #[default]
    None,
    /// Version 1 alone.
    V1,
    /// Version 2 alone.
    V2,
    /// Controllers in version 1, and a version 2 beside it.
    Hybrid,
}

/// The cgroups of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// What is mounted.
    pub version: CgroupVersion,
    /// Where version 2 is mounted.
    pub mount: Option<PathBuf>,
    /// The controllers that version 1 has, each with its mount.
    pub v1: Vec<(String, PathBuf)>,
    /// husk's own cgroup of version 2 and those above it, the highest first.
    pub levels: Vec<CgroupLevel>,
    /// The cgroup of the user's own systemd, which may divide it, and those above it; empty if there is none.
    pub manager: Vec<CgroupLevel>,
}

/// A cgroup of version 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupLevel {
    /// Its path from the mount.
    pub path: PathBuf,
    /// The controllers that it has: those that the level above gives.
    pub controllers: Vec<String>,
    /// The controllers that it gives to the levels below.
    pub gives: Vec<String>,
    /// Whether this user may make cgroups in it and move processes there.
    pub writable: bool,
}

impl Cgroups {
    pub(super) fn read(files: Files<'_>, mounts: &[Line]) -> Self {
        let v1 = v1(mounts);
        let mount = mounts.iter().find(|line| line.kind == "cgroup2").map(|line| line.target.clone());
        let version = match (mount.is_some(), v1.is_empty()) {
            (false, true) => CgroupVersion::None,
            (false, false) => CgroupVersion::V1,
            (true, true) => CgroupVersion::V2,
            (true, false) => CgroupVersion::Hybrid,
        };
        let own = own_path(&files.text("proc/self/cgroup").unwrap_or_default(), "");
        let levels = match (&mount, own) {
            (Some(mount), Some(own)) => levels(files, mount, &own),
            _ => Vec::new(),
        };
        let uid = rustix::process::geteuid().as_raw();
        let manager = PathBuf::from(format!("/user.slice/user-{uid}.slice/user@{uid}.service"));
        let has_manager =
            |mount: &&PathBuf| files.path(mount.join(manager.strip_prefix("/").unwrap_or(&manager))).exists();
        let manager = mount.as_ref().filter(has_manager).map(|mount| self::levels(files, mount, &manager));
        Self { version, mount, v1, levels, manager: manager.unwrap_or_default() }
    }

    /// The way down to the cgroup that the user may divide: husk's own, or else that of the user's systemd.
    pub fn way_down(&self) -> &[CgroupLevel] {
        let divides = |levels: &[CgroupLevel]| levels.iter().any(|level| level.writable);
        if !divides(&self.levels) && divides(&self.manager) { &self.manager } else { &self.levels }
    }

    /// Which of [`WANTED`] this user could set limits with, in the highest cgroup on the way that is the user's to divide.
    pub fn delegated(&self) -> Vec<&'static str> {
        let Some(top) = self.way_down().iter().find(|level| level.writable) else { return Vec::new() };
        WANTED.into_iter().filter(|wanted| top.controllers.iter().any(|have| have == wanted)).collect()
    }
}

/// The path of a process in a hierarchy, from a text such as `/proc/self/cgroup`; `controller` is empty for version 2.
pub(super) fn own_path(text: &str, controller: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|name| name == controller).then(|| path.into())
    })
}

fn v1(mounts: &[Line]) -> Vec<(String, PathBuf)> {
    let not_controllers = ["rw", "ro", "xattr", "clone_children", "noprefix", "none"];
    let hierarchies = mounts.iter().filter(|line| line.kind == "cgroup");
    hierarchies
        .flat_map(|line| line.options.split(',').map(|option| (option, &line.target)))
        .filter(|(option, _)| !not_controllers.contains(option) && !option.contains('='))
        .map(|(option, target)| (option.to_owned(), target.clone()))
        .collect()
}

fn levels(files: Files<'_>, mount: &Path, own: &Path) -> Vec<CgroupLevel> {
    let level = |path: &Path| {
        let directory = mount.join(path.strip_prefix("/").unwrap_or(path));
        let words =
            |name: &str| files.words(&directory.join(name).to_string_lossy(), ' ').unwrap_or_default();
        let may_write = |path: PathBuf| access(files.path(path), Access::WRITE_OK).is_ok();
        CgroupLevel {
            path: path.to_owned(),
            controllers: words("cgroup.controllers"),
            gives: words("cgroup.subtree_control"),
            writable: may_write(directory.clone()) && may_write(directory.join("cgroup.procs")),
        }
    };
    let mut levels: Vec<_> = own.ancestors().map(level).collect();
    levels.reverse();
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::mounts;

    #[test]
    fn controllers_of_version_1_are_options_of_its_mounts() {
        let text = "30 20 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                    31 20 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
        let names: Vec<_> = v1(&mounts::parse(text)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["cpu", "cpuacct"]);
    }

    #[test]
    fn a_process_has_a_path_in_each_hierarchy() {
        let text = "4:memory:/a\n3:cpu,cpuacct:/b:c\n0::/d\n";
        assert_eq!(own_path(text, ""), Some("/d".into()));
        assert_eq!(own_path(text, "cpuacct"), Some("/b:c".into()));
        assert_eq!(own_path(text, "pids"), None);
    }

    #[test]
    fn levels_are_read_from_the_top_and_say_what_each_gives() {
        let root = tempfile::tempdir().expect("a directory");
        let mount = root.path().join("sys/fs/cgroup");
        std::fs::create_dir_all(mount.join("user.slice/s")).expect("directories");
        for (path, text) in [
            ("cgroup.controllers", "cpu memory pids"),
            ("cgroup.subtree_control", "memory pids"),
            ("user.slice/cgroup.controllers", "memory pids"),
            ("user.slice/s/cgroup.controllers", "pids\n"),
            ("user.slice/s/cgroup.procs", ""),
        ] {
            std::fs::write(mount.join(path), text).expect("a file");
        }
        let levels = levels(Files(root.path()), Path::new("/sys/fs/cgroup"), Path::new("/user.slice/s"));
        assert_eq!(levels.len(), 3);
        assert_eq!(levels[0].gives, ["memory", "pids"]);
        assert_eq!(levels[1].path, Path::new("/user.slice"));
        assert_eq!((levels[1].writable, levels[2].writable), (false, true));
        let cgroups = Cgroups { levels, ..Cgroups::default() };
        assert_eq!(cgroups.delegated(), ["pids"]);
    }
}
