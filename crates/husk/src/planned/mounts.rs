// SPDX-License-Identifier: Apache-2.0
//! The mounts that a plan makes, as mountinfo would show them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use husk_see::{Mount, Text};
use husk_spec::{BindMount, Config, MountFlags, Namespace, UserNamespace, Writes};
use rustix::mount::MountAttrFlags as Attr;

/// The mounts of a container of `config` on a host with these; `None` if it enters a mount namespace, which has its own.
pub(super) fn planned(config: &Config, host: &[Mount]) -> Option<Vec<Mount>> {
    let root = config.root.as_ref()?;
    if matches!(config.namespaces.mount.value, Namespace::Join(_)) {
        return None;
    }
    let mut tree = Tree { host, root: fs::canonicalize(&root.path.value).ok()?, mounts: Vec::new() };
    tree.bind(&tree.root.clone(), Path::new("/"), true, MountFlags::NONE, MountFlags::NONE);
    for mount in &config.mounts {
        match &mount.value {
            husk_spec::Mount::Filesystem(new) => {
                tree.mount(&new.kind, new.source.as_deref().unwrap_or(&new.kind), &new.target, new.flags);
            }
            husk_spec::Mount::Remount(again) => {
                let mounted = tree.mounts.iter_mut().rfind(|mount| path(&mount.point) == again.target);
                mounted.into_iter().for_each(|mount| change(mount, again.flags));
            }
            husk_spec::Mount::Bind(BindMount {
                source, target, recursive, flags, recursive_flags, ..
            }) => {
                tree.bind(source, target, *recursive, *flags, *recursive_flags);
            }
            husk_spec::Mount::Cgroup(_) => {}
        }
    }
    if config.namespaces.user.value != UserNamespace::Host {
        for device in config.devices.iter().filter(|device| !device.value.source.as_os_str().is_empty()) {
            let shown = match device.value.node {
                Some(_) => MountFlags::NONE,
                None => MountFlags::set(Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NOEXEC),
            };
            tree.bind(&device.value.source, &device.value.target, false, shown, MountFlags::NONE);
        }
    }
    config.masked_paths.value.iter().for_each(|path| tree.mask(path));
    config.readonly_paths.value.iter().for_each(|path| tree.make_readonly(path));
    if root.writes.value == Writes::Refused
        && let Some(top) = tree.mounts.first_mut()
    {
        change(top, MountFlags::set(Attr::MOUNT_ATTR_RDONLY));
    }
    Some(comparable(tree.mounts))
}

/// With the options of each in one order.
pub(super) fn comparable(mounts: Vec<Mount>) -> Vec<Mount> {
    let sorted = |mount: Mount| Mount { options: joined(&words(&mount)), ..mount };
    mounts.into_iter().map(sorted).collect()
}

struct Tree<'h> {
    host: &'h [Mount],
    root: PathBuf,
    mounts: Vec<Mount>,
}

impl Tree<'_> {
    fn mount(&mut self, kind: &str, source: &str, target: &Path, flags: MountFlags) {
        let mut mount = Mount {
            root: "/".into(),
            point: text(target),
            options: "rw,relatime".into(),
            fs_type: kind.into(),
            source: source.into(),
            ..Mount::default()
        };
        change(&mut mount, flags);
        self.mounts.push(mount);
    }

    fn bind(&mut self, source: &Path, target: &Path, recursive: bool, top: MountFlags, all: MountFlags) {
        let source = fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
        let Some(mut mount) = seen_at(self.host, &source, target) else { return };
        change(&mut mount, all);
        change(&mut mount, top);
        self.mounts.push(mount);
        for below in self.host.iter().filter(|_| recursive) {
            let point = path(&below.point);
            let Some(rest) = point.strip_prefix(&source).ok().filter(|rest| !rest.as_os_str().is_empty())
            else {
                continue;
            };
            let mut mount = Mount { point: text(&target.join(rest)), ..below.clone() };
            change(&mut mount, all);
            self.mounts.push(mount);
        }
    }

    fn mask(&mut self, hidden: &Path) {
        match self.on_host(hidden).and_then(|path| fs::metadata(path).ok()) {
            Some(found) if found.is_dir() => {
                let set = Attr::MOUNT_ATTR_RDONLY
                    | Attr::MOUNT_ATTR_NOSUID
                    | Attr::MOUNT_ATTR_NODEV
                    | Attr::MOUNT_ATTR_NOEXEC;
                self.mount("tmpfs", "masked", hidden, MountFlags::set(set));
            }
            Some(_) => {
                let set = Attr::MOUNT_ATTR_RDONLY | Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NOEXEC;
                self.bind(Path::new("/dev/null"), hidden, false, MountFlags::set(set), MountFlags::NONE);
            }
            None => {}
        }
    }

    fn make_readonly(&mut self, target: &Path) {
        let is_there = self.on_host(target).is_some_and(|path| path.exists());
        let Some(mut mount) = seen_at(&self.mounts, target, target).filter(|_| is_there) else { return };
        change(&mut mount, MountFlags::set(Attr::MOUNT_ATTR_RDONLY));
        self.mounts.push(mount);
    }

    /// Where the same file can be looked at from here: /proc and /sys have the same names everywhere.
    fn on_host(&self, inside: &Path) -> Option<PathBuf> {
        let above = covering(&self.mounts, inside)?;
        let rest = inside.strip_prefix(path(&above.point)).ok()?;
        match above.fs_type.unicode().as_ref() {
            "proc" => Some(Path::new("/proc").join(rest)),
            "sysfs" => Some(Path::new("/sys").join(rest)),
            _ if above.point.is("/") => Some(self.root.join(rest)),
            _ => None,
        }
    }
}

/// The mount that has `path`: the last of those with the longest way to it.
fn covering<'m>(mounts: &'m [Mount], inside: &Path) -> Option<&'m Mount> {
    let above = mounts.iter().filter(|mount| inside.starts_with(path(&mount.point)));
    above.max_by_key(|mount| mount.point.bytes().len())
}

/// What `source`, which one of `mounts` has, is when it is mounted at `target`.
fn seen_at(mounts: &[Mount], source: &Path, target: &Path) -> Option<Mount> {
    let mount = covering(mounts, source)?;
    let rest = source.strip_prefix(path(&mount.point)).ok()?;
    let root =
        if rest.as_os_str().is_empty() { path(&mount.root).to_owned() } else { path(&mount.root).join(rest) };
    Some(Mount { root: text(&root), point: text(target), ..mount.clone() })
}

fn change(mount: &mut Mount, flags: MountFlags) {
    let mut words = words(mount);
    for option in flags.options() {
        let gone: &[&str] = match option {
            "ro" => &["rw"],
            "rw" => &["ro"],
            "suid" => &["nosuid"],
            "dev" => &["nodev"],
            "exec" => &["noexec"],
            "diratime" => &["nodiratime"],
            "symfollow" => &["nosymfollow"],
            "relatime" | "strictatime" | "noatime" | "atime" => &["relatime", "noatime"],
            _ => &[],
        };
        words.retain(|word| !gone.contains(&word.as_str()));
        if !["suid", "dev", "exec", "diratime", "symfollow", "strictatime", "atime"].contains(&option) {
            words.insert(option.to_owned());
        }
    }
    mount.options = joined(&words);
}

fn words(mount: &Mount) -> BTreeSet<String> {
    mount.options.unicode().split(',').map(str::to_owned).collect()
}

fn joined(words: &BTreeSet<String>) -> Text {
    words.iter().map(String::as_str).collect::<Vec<_>>().join(",").into()
}

fn path(text: &Text) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(text.bytes()))
}

fn text(path: &Path) -> Text {
    path.as_os_str().as_bytes().into()
}
