// SPDX-License-Identifier: Apache-2.0
//! Which hierarchies of cgroups are mounted, and where this process is in them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use crate::error::CgroupError;
use crate::file;
use crate::limits::Hierarchy;

/// Where hierarchies are by convention, and where one is preferred that is mounted more than once.
const USUAL: &str = "/sys/fs/cgroup";

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The controllers of version 1, or its name (`name=systemd`); empty for version 2.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The directory of this process's cgroup, if it is to be seen below the mount.
    pub own: Option<PathBuf>,
}

/// The hierarchies of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies {
    /// Where the controllers are.
    pub version: Hierarchy,
    /// Those of version 1, each once. Empty where version 2 has the controllers.
    pub v1: Vec<Mounted>,
    /// That of version 2.
    pub v2: Option<Mounted>,
}

impl Hierarchies {
    /// Reads `/proc/self/mountinfo` and `/proc/self/cgroup`.
    ///
    /// # Errors
    /// The files cannot be read, or nothing is mounted.
    pub fn read() -> Result<Self, CgroupError> {
        let read = |path| file::read(Path::new(path)).map_err(CgroupError::call("reading", Path::new(path)));
        Self::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)
            .ok_or(CgroupError::NoHierarchy)
    }

    /// Whether cgroups of version 2 have a file of this name: whether the first below the top has it, where all have the controllers that
    /// the top passes down.
    pub(crate) fn have(&self, file: &str) -> bool {
        let below = self.v2.iter().filter_map(|mounted| std::fs::read_dir(&mounted.mount).ok()).flatten();
        let mut cgroups = below.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        cgroups.next().is_some_and(|cgroup| cgroup.path().join(file).exists())
    }

    /// As [`Hierarchies::read`], from the texts of the two files. `None` if nothing is mounted.
    pub fn parse(mountinfo: &str, own: &str) -> Option<Self> {
        let mut seen: Vec<Mount> = Vec::new();
        for mount in mountinfo.lines().filter_map(mount) {
            // What is mounted later hides what is mounted there.
            seen.retain(|earlier| earlier.point != mount.point);
            seen.push(mount);
        }
        let is_usual = |mount: &Mount| mount.point.starts_with(USUAL);
        let (mut mounts, others): (Vec<_>, Vec<_>) = seen.into_iter().partition(is_usual);
        mounts.extend(others);
        let v2 = mounts.iter().find(|mount| mount.is_v2).map(|mount| mount.mounted(own));
        let mut v1: Vec<Mounted> = Vec::new();
        for mount in mounts.iter().filter(|mount| !mount.is_v2) {
            if !v1.iter().any(|known| known.controllers == mount.controllers) {
                v1.push(mount.mounted(own));
            }
        }
        let is_named = |mounted: &Mounted| mounted.controllers.iter().all(|name| name.starts_with("name="));
        let v2_is_all = v2.as_ref().is_some_and(|mounted| mounted.mount == Path::new(USUAL));
        // A single controller of version 1, mounted elsewhere by some program, does not make a host of version 1.
        let version = match v2.is_some() && (v2_is_all || v1.iter().all(is_named)) {
            true => Hierarchy::V2,
            false => Hierarchy::V1,
        };
        if version == Hierarchy::V2 {
            v1.clear();
        }
        (v2.is_some() || !v1.is_empty()).then_some(Self { version, v1, v2 })
    }
}

/// A line of mountinfo that is a hierarchy.
struct Mount {
    is_v2: bool,
    controllers: Vec<String>,
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    fn mounted(&self, own: &str) -> Mounted {
        let own = own_path(own, self.controllers.first().map_or("", String::as_str));
        let below = own.and_then(|own| own.strip_prefix(&self.root).ok().map(Path::to_owned));
        // `/..` is how the kernel says that a cgroup is outside of this process's cgroup namespace.
        let below = below.filter(|path| !path.components().any(|part| part == Component::ParentDir));
        Mounted {
            controllers: self.controllers.clone(),
            mount: self.point.clone(),
            own: below.map(|path| self.point.join(path)),
        }
    }
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (unescaped(before.next()?), unescaped(before.next()?));
    let mut after = after.split(' ');
    let is_v2 = match after.next()? {
        "cgroup2" => true,
        "cgroup" => false,
        _ => return None,
    };
    let controllers = if is_v2 { Vec::new() } else { controllers(after.nth(1)?) };
    Some(Mount { is_v2, controllers, root, point })
}

/// Among the options of the file system, those that are none of its own.
fn controllers(options: &str) -> Vec<String> {
    let others =
        ["rw", "ro", "xattr", "clone_children", "noprefix", "none", "cpuset_v2_mode", "favordynmods"];
    let is_controller =
        |option: &&str| !others.contains(option) && (!option.contains('=') || option.starts_with("name="));
    options.split(',').filter(is_controller).map(str::to_owned).collect()
}

/// The path of a process in a hierarchy, from a text such as `/proc/self/cgroup`; `controller` is empty for version 2.
pub(crate) fn own_path(text: &str, controller: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|name| name == controller).then(|| path.into())
    })
}

/// The kernel writes blanks, newlines and backslashes as three octal digits.
fn unescaped(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *byte == b'\\' => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
        31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 31 0:32 / /sys/fs/cgroup/memory rw shared:3 - cgroup cgroup rw,memory\n\
        34 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        35 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        36 31 0:32 / /mnt/again rw - cgroup cgroup rw,memory\n";
    const OWN: &str = "9:name=systemd:/\n4:memory:/a/b\n1:cpu,cpuacct:/c\n0::/d\n";

    #[test]
    fn hybrid_has_its_controllers_in_version_1() {
        let found = Hierarchies::parse(HYBRID, OWN).expect("hierarchies");
        assert_eq!(found.version, Hierarchy::V1);
        let names: Vec<_> = found.v1.iter().map(|mounted| mounted.controllers.join(",")).collect();
        assert_eq!(names, ["cpu,cpuacct", "memory", "name=systemd"]);
        assert_eq!(found.v1[0].own, Some("/sys/fs/cgroup/cpu,cpuacct/c".into()));
        assert_eq!(found.v1[1].own, Some("/sys/fs/cgroup/memory/a/b".into()));
        assert_eq!(found.v2.expect("version 2").own, Some("/sys/fs/cgroup/unified/d".into()));
    }

    #[test]
    fn version_2_at_the_usual_place_has_all() {
        let text = "30 20 0:27 / /mnt/net\\040cls rw - cgroup none rw,net_cls\n\
                    31 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = Hierarchies::parse(text, "1:net_cls:/\n0::/user.slice\n").expect("hierarchies");
        assert_eq!((found.version, found.v1.len()), (Hierarchy::V2, 0));
        let elsewhere = text.replace("/sys/fs/cgroup", "/mnt/two");
        let found = Hierarchies::parse(&elsewhere, "1:net_cls:/\n0::/user.slice\n").expect("hierarchies");
        assert_eq!(found.version, Hierarchy::V1);
        assert_eq!(found.v1[0].mount, Path::new("/mnt/net cls"));
        let named = elsewhere.replace("net_cls", "name=systemd");
        assert_eq!(Hierarchies::parse(&named, "0::/").expect("hierarchies").version, Hierarchy::V2);
    }

    #[test]
    fn a_part_of_a_hierarchy_may_be_mounted() {
        let text = "31 20 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        let own = |own| Hierarchies::parse(text, own).and_then(|found| found.v2).and_then(|v2| v2.own);
        assert_eq!(own("0::/docker/x/y"), Some("/sys/fs/cgroup/y".into()));
        assert_eq!(own("0::/docker/x"), Some("/sys/fs/cgroup".into()));
        assert_eq!(own("0::/other"), None);
        assert_eq!(own("0::/docker/x/../../z"), None);
    }

    #[test]
    fn what_is_hidden_by_a_later_mount_is_not_meant() {
        let text = "82 81 0:29 /.. /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                    92 91 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found = Hierarchies::parse(text, "4:memory:/a\n").expect("hierarchies");
        assert_eq!(found.v1.len(), 1);
        assert_eq!(found.v1[0].own, Some("/sys/fs/cgroup/memory/a".into()));
    }

    #[test]
    fn nothing_mounted_is_nothing_found() {
        assert_eq!(Hierarchies::parse("1 0 0:1 / / rw - ext4 /dev/vda rw\n", OWN), None);
    }
}
