// SPDX-License-Identifier: Apache-2.0
//! The root, and what is mounted in it.

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use husk_init::{Attach, Attributes, Cover, Filesystem, FsOption, Propagation, Source, Step};
use husk_spec::{IdMapping, MountFlags, MountOptions, NamespaceKind, Origin};
use rustix::mount::MountAttrFlags;

use super::{ObservedMount, ObservedRoot, Reader, Whose};
use crate::PlanError;
use crate::explain::visible;
use crate::plan::{HostStep, Stage, TreeMaps};
use crate::seen::Seen;

/// What a mount must have come from.
enum Kind {
    /// It came with the copy of the host's mounts.
    Copied,
    /// It hides what is below.
    Mask,
    /// It makes what is below read-only.
    ReadOnly,
    /// A new file system.
    New,
    /// The host's file or directory.
    Bind(PathBuf),
    /// A file or directory of the container itself.
    Inner(PathBuf),
    /// Its terminal.
    Console,
    /// Something that has no path.
    Lost,
}

impl<'a> Reader<'a, '_> {
    pub(super) fn root_and_mounts(&mut self) -> Result<(), PlanError> {
        let Some(root) = self.observed.root.clone() else { return Ok(()) };
        let is_chroot = root.path.as_os_str() != "/";
        if let Some(Whose::Shared { .. }) = self.whose(NamespaceKind::Mount) {
            let origin = self.shown_by("mountinfo");
            self.child(Stage::Root, Step::CurrentRoot, origin);
        }
        let is_built = self.is_own(NamespaceKind::Mount) && !is_chroot && !root.is_host;
        let top = self.top().cloned();
        if is_built {
            self.build_root(&root, top.as_ref())?;
        }
        if self.is_own(NamespaceKind::Mount) {
            self.mounts(&root, top.as_ref())?;
        }
        if is_built {
            let origin = self.shown_by("mountinfo: / is this mount, and no mount leads to the host's root");
            self.child(Stage::Pivot, Step::PivotRoot, origin.clone());
            self.child(Stage::Pivot, Step::DetachOldRoot, origin);
        }
        if is_chroot {
            let origin = self.shown_by(&format!("root: {}", shown(root.path.as_os_str())));
            let path = self.arena.cstr(&root.path)?;
            self.seen(Stage::Pivot, Seen::ChangeRoot { path }, origin);
        }
        Ok(())
    }

    /// The mount at `/`: of several, the last is on top.
    fn top(&self) -> Option<&ObservedMount> {
        self.observed.mounts.iter().rfind(|mount| mount.point.as_os_str() == "/")
    }

    fn build_root(&mut self, root: &ObservedRoot, top: Option<&ObservedMount>) -> Result<(), PlanError> {
        let Some(top) = top else { return Ok(()) };
        let origin = self.shown_by(&format!("mountinfo: line {}", top.id));
        let flags = flags(&top.options);
        match &root.on_host {
            Some(path) => {
                let source = self.tree(path, top, &origin)?;
                self.child(
                    Stage::Root,
                    Step::Root { source, recursive: false, attach: Attach::OverRoot },
                    origin.clone(),
                );
                let hosts =
                    self.host_mount(path).map_or(MountAttrFlags::empty(), |m| self::flags(&m.options));
                let set = flags - hosts;
                if !set.is_empty() {
                    self.child(Stage::Pivot, Step::RootAttributes(set), origin);
                }
            }
            // A directory of a tmpfs of its own was made in it, so it is as good as that.
            None if (top.root.as_os_str() == "/" || top.kind == "tmpfs") && !has_lost_layers(top) => {
                let filesystem = self.filesystem(top)?;
                self.child(
                    Stage::Root,
                    Step::Mount { filesystem, target: c"/", cover: Cover::Any, propagation: &[] },
                    origin,
                );
            }
            None => {
                let why = match top.kind.as_str() {
                    "overlay" => "its layers have no path any more",
                    _ => "the host has mounted it nowhere",
                };
                let (kind, directory) = (self.arena.cstr(&top.kind)?, self.arena.cstr(&top.root)?);
                self.seen(Stage::Root, Seen::LostRoot { kind, directory, why }, origin);
            }
        }
        Ok(())
    }

    /// The host's mount that `path` is in.
    fn host_mount(&self, path: &Path) -> Option<&ObservedMount> {
        let above = self.observed.host_mounts.iter().filter(|mount| path.starts_with(&mount.point));
        above.max_by_key(|mount| mount.point.as_os_str().len())
    }

    fn mounts(&mut self, root: &ObservedRoot, top: Option<&ObservedMount>) -> Result<(), PlanError> {
        let keeps_hosts = root.is_host || root.path.as_os_str() != "/";
        let mut told: Vec<u32> = top.iter().map(|top| top.id).collect();
        let mut rest: Vec<ObservedMount> = self.observed.mounts.clone();
        rest.retain(|mount| Some(mount.id) != top.map(|top| top.id));
        // Those below the root's own mount; what it hides is not to be seen.
        rest.retain(|mount| mount.point.as_os_str() != "/");
        // A mount comes after the one that it is on, also if it was prepared before.
        while !rest.is_empty() {
            let is_next = |mount: &&ObservedMount| {
                told.contains(&mount.parent) || rest.iter().all(|other| other.id != mount.parent)
            };
            let index = rest.iter().position(|mount| is_next(&mount)).unwrap_or(0);
            let mount = rest.remove(index);
            told.push(mount.id);
            self.mount(&mount, root, keeps_hosts)?;
        }
        self.made_read_only()?;
        let is_new = |mount: &ObservedMount| mount.kind == "tmpfs" && !self.is_hosts_device(mount.device);
        if self.observed.mounts.iter().any(is_new) {
            let origin = self.shown_by("mountinfo: a tmpfs of its own");
            self.seen(Stage::Mounts, Seen::Files, origin);
        }
        let lost = self.observed.host_mounts.iter().filter(|hosts| {
            let is_same = |mount: &ObservedMount| mount.device == hosts.device && mount.root == hosts.root;
            !self.observed.mounts.iter().any(is_same)
        });
        let lost = lost.count();
        if keeps_hosts && root.path.as_os_str() == "/" && lost > 0 {
            let mounts = if lost == 1 { "mount" } else { "mounts" };
            let why = "unmounted here, or mounted there since; it does not show which";
            self.note(format!("it lacks {lost} {mounts} of the host's: {why}"), None);
        }
        Ok(())
    }

    /// Whether there was something to be made in it before it was made read-only: a tmpfs is empty at first.
    fn was_written_to(&self, mount: &ObservedMount) -> bool {
        mount.kind == "tmpfs"
            && !self.is_hosts_device(mount.device)
            && mount.point.as_os_str() != "/"
            && self.observed.mounts.iter().any(|other| other.parent == mount.id)
            && flags(&mount.options).contains(MountAttrFlags::MOUNT_ATTR_RDONLY)
    }

    /// Such as the tmpfs with the hierarchies of cgroups of version 1: last, since mount points are made in it.
    fn made_read_only(&mut self) -> Result<(), PlanError> {
        let observed = self.observed;
        for mount in &observed.mounts {
            if !self.was_written_to(mount) {
                continue;
            }
            let attributes =
                Attributes { set: MountAttrFlags::MOUNT_ATTR_RDONLY, clear: MountAttrFlags::empty() };
            let target = self.arena.cstr(&mount.point)?;
            let origin = self.shown_by(&format!("mountinfo: line {}", mount.id));
            self.child(Stage::Mounts, Step::MountAttributes { target, attributes }, origin);
        }
        Ok(())
    }

    fn mount(&mut self, mount: &ObservedMount, root: &ObservedRoot, copied: bool) -> Result<(), PlanError> {
        let origin = self.shown_by(&format!("mountinfo: line {}", mount.id));
        let target = self.arena.cstr(&mount.point)?;
        let kind = self.kind(mount, root, copied);
        let is_directory = match &kind {
            Kind::Bind(path) => std::fs::metadata(path).ok().map(|found| found.is_dir()),
            Kind::Inner(_) | Kind::Lost => None,
            Kind::Console => Some(false),
            _ => Some(true),
        };
        if !matches!(kind, Kind::Copied | Kind::Mask | Kind::ReadOnly) {
            self.make_target(mount, is_directory)?;
        }
        let set = flags(&mount.options);
        match kind {
            Kind::Copied => return self.changed(mount, root, target, &origin),
            Kind::Mask => self.child(Stage::Mounts, Step::Mask { path: target }, origin),
            Kind::ReadOnly => {
                self.child(Stage::Mounts, Step::ReadOnly { path: target, recursive: true }, origin)
            }
            Kind::New => {
                let mut filesystem = self.filesystem(mount)?;
                if self.was_written_to(mount) {
                    filesystem.attributes -= MountAttrFlags::MOUNT_ATTR_RDONLY;
                }
                self.child(
                    Stage::Mounts,
                    Step::Mount { filesystem, target, cover: Cover::Any, propagation: &[] },
                    origin,
                );
            }
            Kind::Console => self.seen(Stage::Mounts, Seen::Console, origin),
            Kind::Inner(path) => {
                let seen = Seen::InnerBind { source: self.arena.cstr(path)?, target, set };
                self.seen(Stage::Mounts, seen, origin);
            }
            Kind::Bind(path) => {
                let hosts = self.host_mount(&path).map_or(MountAttrFlags::empty(), |m| flags(&m.options));
                let source = self.tree(&path, mount, &origin)?;
                let attributes = Attributes { set: set - hosts, clear: hosts - set };
                let (recursive_attributes, propagation) = (Attributes::NONE, [].as_slice());
                let recursive = false;
                let step =
                    Step::Bind { source, target, recursive, attributes, recursive_attributes, propagation };
                self.child(Stage::Mounts, step, origin);
            }
            Kind::Lost => {
                let (kind, directory) = (self.arena.cstr(&mount.kind)?, self.arena.cstr(&mount.root)?);
                self.seen(Stage::Mounts, Seen::LostMount { kind, directory, target }, origin);
            }
        }
        Ok(())
    }

    /// Whether the host has that file system mounted too.
    fn is_hosts_device(&self, device: (u32, u32)) -> bool {
        self.observed.host_mounts.iter().any(|hosts| hosts.device == device)
    }

    fn kind(&self, mount: &ObservedMount, root: &ObservedRoot, copied: bool) -> Kind {
        let outside = root.path.join(mount.point.strip_prefix("/").unwrap_or(&mount.point));
        let is_copy = |hosts: &ObservedMount| {
            hosts.device == mount.device && hosts.root == mount.root && hosts.point == outside
        };
        if copied && self.observed.host_mounts.iter().any(is_copy) {
            return Kind::Copied;
        }
        let is_of_kernel = mount.point.starts_with("/proc") || mount.point.starts_with("/sys");
        let is_of_dev = ["devtmpfs", "tmpfs"].contains(&mount.kind.as_str());
        let is_null = is_of_dev && mount.root.as_os_str() == "/null";
        let is_read_only = flags(&mount.options).contains(MountAttrFlags::MOUNT_ATTR_RDONLY);
        let is_hosts = self.is_hosts_device(mount.device);
        let is_below = mount.point.components().count() > 2;
        // Nothing is mounted on what hides a directory.
        let is_empty = !self.observed.mounts.iter().any(|other| other.parent == mount.id);
        let is_mask = mount.kind == "tmpfs" && is_read_only && is_empty && !is_hosts;
        if is_of_kernel && is_below && (is_null || is_mask) {
            return Kind::Mask;
        }
        if let Some(source) = self.inner_source(mount) {
            return match (source == mount.point && is_read_only, mount.kind.as_str()) {
                (true, _) => Kind::ReadOnly,
                (_, "devpts") if mount.point.as_os_str() == "/dev/console" => Kind::Console,
                _ => Kind::Inner(source),
            };
        }
        // The directory of a cgroup file system is where its cgroup namespace begins.
        let is_cgroup = mount.kind.starts_with("cgroup") && self.is_own(NamespaceKind::Cgroup);
        if is_cgroup || !is_hosts && mount.root.as_os_str() == "/" {
            return Kind::New;
        }
        self.on_host(mount).map_or(Kind::Lost, Kind::Bind)
    }

    /// Where on the host the same file or directory is.
    fn on_host(&self, mount: &ObservedMount) -> Option<PathBuf> {
        let tops = self.observed.host_mounts.iter().filter(|hosts| hosts.device == mount.device);
        let beneath = tops.filter_map(|hosts| Some((hosts, mount.root.strip_prefix(&hosts.root).ok()?)));
        let (hosts, rest) = beneath.max_by_key(|(hosts, _)| hosts.root.as_os_str().len())?;
        Some(if rest.as_os_str().is_empty() { hosts.point.clone() } else { hosts.point.join(rest) })
    }

    /// Where in the container the same file or directory is, if its file system is mounted there besides, but not on the
    /// host.
    fn inner_source(&self, mount: &ObservedMount) -> Option<PathBuf> {
        let is_hosts = self.is_hosts_device(mount.device);
        let all = &self.observed.mounts;
        let is_parent = |other: &ObservedMount| other.id == mount.parent;
        let own = all.iter().position(|other| other.id == mount.id).unwrap_or(all.len());
        // Of two mounts of the same directory the one that is listed first was first; ids are used again.
        let tops = all.iter().enumerate().filter(|(index, other)| {
            let is_first = is_parent(other) || other.root != mount.root || *index < own;
            other.device == mount.device && *index != own && is_first && (!is_hosts || is_parent(other))
        });
        let tops = tops.map(|(_, other)| other);
        let beneath = tops.filter_map(|top| Some((top, mount.root.strip_prefix(&top.root).ok()?)));
        let (top, rest) = beneath.min_by_key(|(top, _)| (!is_parent(top), top.root.as_os_str().len()))?;
        let source = if rest.as_os_str().is_empty() { top.point.clone() } else { top.point.join(rest) };
        // Of the host's files, only what is mounted on itself is told by the container's own path.
        (!is_hosts || source == mount.point).then_some(source)
    }

    /// A new file system is empty, so whatever is mounted on in it was made.
    fn make_target(&mut self, mount: &ObservedMount, is_directory: Option<bool>) -> Result<(), PlanError> {
        let parent = self.observed.mounts.iter().find(|other| other.id == mount.parent);
        let is_empty = |parent: &ObservedMount| {
            parent.kind == "tmpfs"
                && !self.observed.host_mounts.iter().any(|hosts| hosts.device == parent.device)
        };
        let Some(parent) = parent.filter(|parent| is_empty(parent)) else { return Ok(()) };
        let because = format!("the tmpfs on {} was empty at first", shown(parent.point.as_os_str()));
        let origin = Origin::Because(because);
        let has_mounts = self.observed.mounts.iter().any(|other| other.parent == mount.id);
        let path = self.arena.cstr(&mount.point)?;
        if is_directory.unwrap_or(has_mounts || mount.root.as_os_str() == "/") {
            self.child(Stage::Mounts, Step::MakeDirectory { path, mode: 0o755 }, origin);
            return Ok(());
        }
        if let Some(above) = mount.point.parent().filter(|above| *above != parent.point) {
            let path = self.arena.cstr(above)?;
            self.child(Stage::Mounts, Step::MakeDirectory { path, mode: 0o755 }, origin.clone());
        }
        self.child(Stage::Mounts, Step::MakeFile { path }, origin);
        Ok(())
    }

    /// A mount that came with the copy of the host's, if it has other attributes than that.
    fn changed(
        &mut self,
        mount: &ObservedMount,
        root: &ObservedRoot,
        target: &'a CStr,
        origin: &Origin,
    ) -> Result<(), PlanError> {
        let outside = root.path.join(mount.point.strip_prefix("/").unwrap_or(&mount.point));
        let hosts = self.observed.host_mounts.iter().rfind(|hosts| hosts.point == outside);
        let (its, hosts) = (flags(&mount.options), hosts.map(|hosts| flags(&hosts.options)));
        if let Some(hosts) = hosts.filter(|hosts| *hosts != its) {
            let seen = Seen::Attributes { target, set: its - hosts, clear: hosts - its };
            self.seen(Stage::Mounts, seen, origin.clone());
        }
        Ok(())
    }

    /// A part of the host's tree, prepared from outside if its files are shown through id maps: that takes a privilege there.
    fn tree(&mut self, path: &Path, mount: &ObservedMount, origin: &Origin) -> Result<Source<'a>, PlanError> {
        let source = self.arena.cstr(path)?;
        if !words(&mount.options).any(|word| word == "idmapped") {
            return Ok(Source::Host(source));
        }
        let number = self.trees;
        self.trees += 1;
        let (recursive, propagation) = (false, Propagation::Private);
        let prepare = HostStep::PrepareTree { number, source, recursive, propagation };
        self.before(Stage::Prepare, prepare, origin.clone());
        let step = HostStep::MapTree { number, through: TreeMaps::Container, recursive };
        self.after(crate::plan::Action::Host(step), Origin::Because(format!("{origin}: idmapped")));
        Ok(Source::Prepared(number))
    }

    fn filesystem(&self, mount: &ObservedMount) -> Result<Filesystem<'a>, PlanError> {
        let mut options = Vec::new();
        for word in mount.fs_options.as_bytes().split(|byte| *byte == b',') {
            let (key, value) = match word.iter().position(|byte| *byte == b'=') {
                Some(equals) => (&word[..equals], Some(&word[equals + 1..])),
                None => (word, None),
            };
            if let Some((key, value)) = self.fs_option(mount, key, value) {
                let value = match value {
                    Some(value) => Some(self.arena.cstr(value)?),
                    None => None,
                };
                options.push(FsOption { key: self.arena.cstr(OsStr::from_bytes(key))?, value });
            }
        }
        Ok(Filesystem {
            kind: self.arena.cstr(&mount.kind)?,
            source: self.arena.cstr(if mount.source.is_empty() {
                OsStr::new("none")
            } else {
                &mount.source
            })?,
            options: self.arena.slice(&options),
            attributes: flags(&mount.options),
        })
    }

    /// An option of a file system, unless it says what is so anyway. Ids are shown as the reader numbers them.
    fn fs_option<'w>(
        &self,
        mount: &ObservedMount,
        key: &'w [u8],
        value: Option<&[u8]>,
    ) -> Option<(&'w [u8], Option<OsString>)> {
        let always: [&[u8]; 5] = [b"rw", b"ro", b"inode64", b"seclabel", b""];
        // A cgroup file system shows the options of the one that all namespaces share.
        if always.contains(&key) || mount.kind == "cgroup2" {
            return None;
        }
        let map: &[IdMapping] = match key {
            _ if self.is_hosts(NamespaceKind::User) => &[],
            b"uid" => &self.observed.ids.uids,
            b"gid" => &self.observed.ids.gids,
            _ => &[],
        };
        let number = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        match number.filter(|_| !map.is_empty()) {
            Some(outside) => {
                let inside = inside(map, outside)?;
                // A new file system is its maker's, who is root inside or has but one id.
                (inside != 0 && map != [IdMapping { inside, outside, count: 1 }])
                    .then(|| (key, Some(inside.to_string().into())))
            }
            None => Some((key, value.map(|value| OsString::from_vec(value.to_vec())))),
        }
    }
}

fn inside(map: &[IdMapping], outside: u32) -> Option<u32> {
    map.iter().find_map(|m| Some(m.inside + outside.checked_sub(m.outside).filter(|of| *of < m.count)?))
}

fn has_lost_layers(mount: &ObservedMount) -> bool {
    let options = mount.fs_options.as_bytes();
    let layers = [&b"lowerdir="[..], b"lowerdir+=", b"upperdir=", b"workdir="];
    mount.kind == "overlay"
        && options.split(|byte| *byte == b',').any(|option| {
            let value = layers.iter().find_map(|layer| option.strip_prefix(*layer));
            value.is_some_and(|value| value.split(|byte| *byte == b':').any(|path| !path.starts_with(b"/")))
        })
}

fn words(options: &str) -> impl Iterator<Item = &str> {
    options.split(',')
}

/// The attributes that a list of options sets.
fn flags(options: &str) -> MountAttrFlags {
    let mut all = MountOptions { flags: MountFlags::NONE, ..MountOptions::default() };
    for word in words(options) {
        // `idmapped` is none; it is looked at elsewhere.
        let _ = all.apply(word);
    }
    all.flags.set
}

fn shown(path: &OsStr) -> String {
    visible(&path.to_string_lossy())
}
