// SPDX-License-Identifier: Apache-2.0
//! What is mounted in the root, and what is hidden there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use husk_init::{Attributes, Cover, Filesystem, FsOption, Source, Step};
use husk_spec::{
    BindIdmap, BindMount, FilesystemMount, Given, Mount, MountFlags, NamespaceKind, Node, Origin,
    Propagation, Remount, Sysctl,
};
use rustix::fs::FileType;
use rustix::mount::MountAttrFlags;
use rustix::termios::Winsize;

use super::{Compiler, HostTree, follows, travel};
use crate::PlanError;
use crate::host::Found;
use crate::plan::Stage;

impl<'a, 'c> Compiler<'a, 'c> {
    pub(super) fn mount(&mut self) -> Result<(), PlanError> {
        if self.config.root.is_some() {
            let mut mounted = BTreeSet::new();
            for mount in &self.config.mounts {
                self.check_proc(mount)?;
                if counts_or_shows(&mount.value) {
                    self.await_cgroup();
                }
                match &mount.value {
                    Mount::Filesystem(new) => self.mount_filesystem(new, &mount.origin, &mut mounted)?,
                    Mount::Bind(bind) => self.mount_bind(bind, &mount.origin, &mut mounted)?,
                    Mount::Cgroup(cgroup) => self.mount_cgroup(cgroup, &mount.origin, &mut mounted)?,
                    Mount::Remount(remount) => self.remount(remount, &mount.origin)?,
                }
            }
            self.make_devices(&mut mounted)?;
            self.make_links()?;
            self.make_working_directory()?;
            self.make_readonly()?;
        }
        self.write_sysctls()?;
        self.open_terminal()?;
        self.hide_paths()
    }

    /// Makes sure that there is something to mount on.
    fn make_target(
        &mut self,
        target: &Path,
        directory: bool,
        origin: &Origin,
        mounted: &mut BTreeSet<PathBuf>,
    ) -> Result<(), PlanError> {
        let covered = is_covered(target, mounted);
        let there = self.host.in_root.get(target).copied().unwrap_or(Found::Nothing);
        mounted.insert(target.to_owned());
        if !covered && there != Found::Nothing {
            return Ok(());
        }
        let path = self.arena.cstr(target)?;
        if directory {
            self.child(Stage::Mounts, Step::MakeDirectory { path, mode: 0o755 }, origin);
            return Ok(());
        }
        if let Some(above) = target.parent().filter(|above| above.parent().is_some()) {
            let path = self.arena.cstr(above)?;
            self.child(Stage::Mounts, Step::MakeDirectory { path, mode: 0o755 }, origin);
        }
        self.child(Stage::Mounts, Step::MakeFile { path }, origin);
        Ok(())
    }

    pub(super) fn mount_filesystem(
        &mut self,
        new: &FilesystemMount,
        origin: &Origin,
        mounted: &mut BTreeSet<PathBuf>,
    ) -> Result<(), PlanError> {
        if let Some((source, why)) = self.stand_in(&new.kind) {
            let bind = BindMount {
                source: PathBuf::from(source),
                target: new.target.clone(),
                recursive: true,
                idmap: BindIdmap::Off,
                flags: MountFlags::NONE,
                recursive_flags: new.flags,
                propagation: match new.propagation.as_slice() {
                    [] => vec![(Propagation::Private, true)],
                    given => given.to_vec(),
                },
                shared_with_host: false,
            };
            return self.bind(&bind, true, &Origin::Because(why.to_owned()), mounted);
        }
        let cover = self.cover(new, mounted);
        self.make_target(&new.target, true, origin, mounted)?;
        let mut options = Vec::new();
        for (key, value) in &new.options {
            if new.kind == "devpts" && key == "gid" && !self.has_gid_text(value.as_deref()) {
                continue;
            }
            let value = match value {
                Some(value) => Some(self.arena.cstr(value)?),
                None => None,
            };
            options.push(FsOption { key: self.arena.cstr(key)?, value });
        }
        if let Some(label) = self.mount_label(&new.kind)? {
            options.push(FsOption { key: c"context", value: Some(self.arena.cstr(label)?) });
        }
        let kind = self.arena.cstr(&new.kind)?;
        let source = match &new.source {
            Some(source) => self.arena.cstr(source)?,
            None => kind,
        };
        let (target, propagation) = (self.arena.cstr(&new.target)?, self.travels(&new.propagation));
        let mut attributes = new.flags.set;
        if new.kind == "tmpfs" {
            // Mount points are made in it first.
            attributes -= MountAttrFlags::MOUNT_ATTR_RDONLY;
        }
        if options.iter().any(|option| option.value.is_some_and(|v| v.count_bytes() > LONGEST_OPTION)) {
            let options = self.arena.cstr(OsStr::from_bytes(&in_one(&options)))?;
            let step = Step::MountByText { kind, source, options, attributes, target, propagation };
            self.child(Stage::Mounts, step, origin);
            return Ok(());
        }
        if new.flags.set.contains(MountAttrFlags::MOUNT_ATTR_RDONLY) && is_on_device(new) {
            // Of a device that is read-only itself nothing else can be mounted.
            options.push(FsOption { key: c"ro", value: None });
        }
        let options = self.arena.slice(&options);
        let filesystem = Filesystem { kind, source, options, attributes };
        self.child(Stage::Mounts, Step::Mount { filesystem, target, cover, propagation }, origin);
        Ok(())
    }

    fn travels(&self, propagation: &[(Propagation, bool)]) -> &'a [(husk_init::Propagation, bool)] {
        let travels: Vec<_> = propagation.iter().map(|(to, recursive)| (travel(*to), *recursive)).collect();
        self.arena.slice(&travels)
    }

    /// What a new file system has to do with what is at its target now.
    fn cover(&self, new: &FilesystemMount, mounted: &BTreeSet<PathBuf>) -> Cover {
        // A directory that is made for the mount has a mode that nobody chose.
        let is_there = !is_covered(&new.target, mounted)
            && self.host.in_root.get(&new.target).is_some_and(|found| *found != Found::Nothing);
        let keep_mode = new.keep_mode && is_there;
        match (new.copy_up, keep_mode) {
            (true, keep_mode) => Cover::CopyUp { keep_mode },
            (false, true) => Cover::KeepMode,
            (false, false) if matches!(new.kind.as_str(), "proc" | "sysfs") => Cover::NoLink,
            (false, false) => Cover::Any,
        }
    }

    fn remount(&mut self, remount: &Remount, origin: &Origin) -> Result<(), PlanError> {
        let target = self.arena.cstr(&remount.target)?;
        if let Some(file_system) = &remount.file_system {
            let mut options = Vec::new();
            for (key, value) in file_system {
                let value = value.as_ref().map(|value| self.arena.cstr(value)).transpose()?;
                options.push(FsOption { key: self.arena.cstr(key)?, value });
            }
            let options = self.arena.slice(&options);
            self.child(Stage::Mounts, Step::Reconfigure { target, options }, origin);
        }
        let Attributes { set, mut clear } = attributes(remount.flags);
        if self.user.is_host() {
            // In a user namespace of its own the container may not clear what its host has set (mount_namespaces(7)).
            clear |= REPLACED;
        }
        if !set.is_empty() || !clear.is_empty() {
            let attributes = Attributes { set, clear };
            self.child(Stage::Mounts, Step::MountAttributes { target, attributes }, origin);
        }
        Ok(())
    }

    /// A tmpfs that is to be read-only becomes so when everything in it is made.
    fn make_readonly(&mut self) -> Result<(), PlanError> {
        for mount in &self.config.mounts {
            let Mount::Filesystem(new) = &mount.value else { continue };
            if new.kind == "tmpfs" && new.flags.set.contains(MountAttrFlags::MOUNT_ATTR_RDONLY) {
                let target = self.arena.cstr(&new.target)?;
                let attributes =
                    Attributes { set: MountAttrFlags::MOUNT_ATTR_RDONLY, clear: MountAttrFlags::empty() };
                self.child(Stage::Mounts, Step::MountAttributes { target, attributes }, &mount.origin);
            }
        }
        Ok(())
    }

    /// On /proc only a /proc may be mounted, and in it only what stands for some of its files, as lxcfs makes them: husk itself
    /// and programs inside trust what they read and write there (CVE-2019-16884).
    fn check_proc(&self, mount: &Given<Mount>) -> Result<(), PlanError> {
        let target = mount.value.target();
        let Ok(below) = target.strip_prefix("/proc") else { return Ok(()) };
        let is_allowed = match &mount.value {
            Mount::Remount(_) => true,
            _ if below != Path::new("") => PROC_FILES.iter().any(|file| below == Path::new(file)),
            Mount::Filesystem(new) => new.kind == "proc",
            Mount::Bind(bind) => self.host.file_systems.get(&bind.source) == Some(&PROC_SUPER_MAGIC),
            Mount::Cgroup(_) => false,
        };
        if is_allowed {
            return Ok(());
        }
        let (problem, hint) = if below == Path::new("") {
            ("cannot be mounted because it is not of type proc", "mount a proc there, or leave it out")
        } else {
            (
                "cannot be mounted because it is inside /proc",
                "only files such as /proc/cpuinfo, /proc/meminfo and /proc/uptime may be replaced there",
            )
        };
        Err(PlanError::Contradiction {
            origin: mount.origin.clone(),
            problem: format!("{:?} {problem}", target.display().to_string()),
            hint: hint.to_owned(),
        })
    }

    fn has_gid_text(&self, gid: Option<&str>) -> bool {
        gid.and_then(|gid| gid.parse().ok()).is_some_and(|gid| self.user.has_gid(gid))
    }

    /// The host's directory that takes the place of a file system which shows a namespace that is not the container's own:
    /// only the namespace's owner may mount a new one.
    fn stand_in(&self, kind: &str) -> Option<(&'static str, &'static str)> {
        let (namespace, source, why) = match kind {
            "proc" => (NamespaceKind::Pid, "/proc", "the pid namespace is not the container's own"),
            "sysfs" => (NamespaceKind::Network, "/sys", "the network namespace is not the container's own"),
            "mqueue" => (NamespaceKind::Ipc, "/dev/mqueue", "the IPC namespace is not the container's own"),
            _ => return None,
        };
        (self.user.is_new() && !self.is_new(namespace)).then_some((source, why))
    }

    fn mount_bind(
        &mut self,
        bind: &BindMount,
        origin: &Origin,
        mounted: &mut BTreeSet<PathBuf>,
    ) -> Result<(), PlanError> {
        let source = self.host.sources.get(&bind.source).copied().unwrap_or(Found::Nothing);
        let directory = match source {
            Found::Nothing => {
                return Err(PlanError::NoSuchSource {
                    origin: origin.clone(),
                    source_path: bind.source.clone(),
                });
            }
            found => found == Found::Directory,
        };
        let covered = is_covered(&bind.target, mounted);
        match self.host.in_root.get(&bind.target) {
            Some(there)
                if !covered && *there != Found::Nothing && (*there == Found::Directory) != directory =>
            {
                return Err(PlanError::TargetOfOtherKind {
                    origin: origin.clone(),
                    source_path: bind.source.clone(),
                    target: bind.target.clone(),
                    directory,
                });
            }
            _ => {}
        }
        self.bind(bind, directory, origin, mounted)
    }

    pub(super) fn bind(
        &mut self,
        bind: &BindMount,
        directory: bool,
        origin: &Origin,
        mounted: &mut BTreeSet<PathBuf>,
    ) -> Result<(), PlanError> {
        self.bind_when(bind, false, directory, origin, mounted)
    }

    /// `later`: the source is not there before the child waits for husk.
    pub(super) fn bind_when(
        &mut self,
        bind: &BindMount,
        later: bool,
        directory: bool,
        origin: &Origin,
        mounted: &mut BTreeSet<PathBuf>,
    ) -> Result<(), PlanError> {
        self.make_target(&bind.target, directory, origin, mounted)?;
        let namespace = self.config.propagation.value;
        let tree = HostTree {
            path: &bind.source,
            recursive: bind.recursive,
            idmap: &bind.idmap,
            shared: bind.shared_with_host,
            later,
            follows_host: match bind.propagation.as_slice() {
                [] => follows(namespace),
                given => given.iter().any(|(to, _)| follows(*to)),
            },
        };
        let source = self.host_tree(&tree, origin)?;
        // What the namespace's mounts, or a tree that is prepared for this, are already.
        let is_so = namespace == Propagation::Private && bind.propagation == [(Propagation::Private, true)];
        let propagation = if is_so { &[] } else { self.travels(&bind.propagation) };
        let step = Step::Bind {
            source,
            target: self.arena.cstr(&bind.target)?,
            recursive: bind.recursive,
            attributes: attributes(bind.flags),
            recursive_attributes: attributes(bind.recursive_flags),
            propagation,
        };
        self.child(Stage::Mounts, step, origin);
        Ok(())
    }

    fn make_devices(&mut self, mounted: &mut BTreeSet<PathBuf>) -> Result<(), PlanError> {
        let dev = Path::new("/dev");
        let first = self.config.devices.first().map(|device| &device.origin);
        if let Some(origin) = first.filter(|_| !mounted.contains(dev)) {
            self.make_target(dev, true, origin, mounted)?;
        }
        for device in &self.config.devices {
            let (source, origin) = (&device.value.source, &device.origin);
            let path = self.arena.cstr(&device.value.target)?;
            let found = self.host.sources.get(source).copied().unwrap_or(Found::Nothing);
            let node = match (device.value.node, found) {
                (Some(node), _) if self.can_make(&node) => Some(node),
                _ => None,
            };
            let (mode, number) =
                match node.map_or(found, |node| Found::Device { mode: node.mode, device: node.device }) {
                    Found::Device { mode, device } => (mode, device),
                    Found::Nothing => {
                        return Err(PlanError::NoSuchSource {
                            origin: origin.clone(),
                            source_path: source.clone(),
                        });
                    }
                    _ => {
                        return Err(PlanError::Contradiction {
                            origin: origin.clone(),
                            problem: format!("{} is not a device", source.display()),
                            hint: "to show a file or directory of the host, use --volume".to_owned(),
                        });
                    }
                };
            if let Some(above) = device.value.target.parent().filter(|above| *above != Path::new("/dev")) {
                let path = self.arena.cstr(above)?;
                self.child(Stage::Mounts, Step::MakeDirectory { path, mode: 0o755 }, origin);
            }
            if node.is_some() || self.makes_devices() {
                let owner = node.map(|node| (node.uid, node.gid)).filter(|owner| *owner != (0, 0));
                let step = Step::MakeNode { path, mode, device: number, owner };
                self.child(Stage::Mounts, step, origin);
                continue;
            }
            self.child(Stage::Mounts, Step::MakeFile { path }, origin);
            let step = Step::Bind {
                source: Source::Host(self.arena.cstr(source)?),
                target: path,
                recursive: false,
                // Where a node was asked for, its stand-in is to look like one.
                attributes: match device.value.node {
                    Some(_) => Attributes::NONE,
                    None => Attributes {
                        set: MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
                        clear: MountAttrFlags::empty(),
                    },
                },
                recursive_attributes: Attributes::NONE,
                propagation: &[],
            };
            self.child(Stage::Mounts, step, origin);
        }
        Ok(())
    }

    /// Whether nodes of devices can be made: by root of the machine alone.
    fn makes_devices(&self) -> bool {
        self.user.is_host() && self.host.has_all_ids()
    }

    /// Whether a new node can be made: a FIFO by anybody.
    fn can_make(&self, node: &Node) -> bool {
        self.makes_devices() || FileType::from_raw_mode(node.mode) == FileType::Fifo
    }

    fn make_working_directory(&mut self) -> Result<(), PlanError> {
        let process = &self.config.process;
        let Some(given) = process.working_directory.as_ref().filter(|_| process.make_working_directory)
        else {
            return Ok(());
        };
        if given.value != Path::new("/") {
            let path = self.arena.cstr(&given.value)?;
            self.child(Stage::Mounts, Step::MakeDirectory { path, mode: 0o755 }, &given.origin);
        }
        Ok(())
    }

    fn make_links(&mut self) -> Result<(), PlanError> {
        for link in &self.config.links {
            let (path, to) = &link.value;
            if to == Path::new("/proc/kcore") && !self.host.has_kcore {
                continue;
            }
            let step = Step::Symlink { path: self.arena.cstr(path)?, to: self.arena.cstr(to)? };
            self.child(Stage::Mounts, step, &link.origin);
        }
        Ok(())
    }

    fn write_sysctls(&mut self) -> Result<(), PlanError> {
        for sysctl in self.sysctls()? {
            if let Some(kind) = sysctl.value.namespace().filter(|kind| self.is_hosts(*kind)) {
                let kind = crate::explain::namespace(kind);
                return Err(PlanError::Contradiction {
                    origin: sysctl.origin.clone(),
                    problem: format!("it would change the host: the {kind} namespace is the host's"),
                    hint: format!("give the container a {kind} namespace of its own, or leave it out"),
                });
            }
            let path = self.arena.cstr(sysctl.value.path())?;
            let value = match sysctl.value.name.as_str() {
                // The kernel refuses groups that are not mapped.
                "net.ipv4.ping_group_range" if !self.user.has_gid(65535) => "0 0",
                _ => &sysctl.value.value,
            };
            let value = self.arena.cstr(value)?;
            self.child(Stage::Mounts, Step::Sysctl { path, value }, &sysctl.origin);
        }
        Ok(())
    }

    /// The kernel parameters that are set: none in a joined mount namespace, whose /proc is not the host's.
    pub(super) fn sysctls(&self) -> Result<&'c [Given<Sysctl>], PlanError> {
        let all = &self.config.sysctls;
        if self.config.root.is_some() {
            return Ok(all);
        }
        match all.iter().find(|sysctl| !matches!(sysctl.origin, Origin::Default(_))) {
            None => Ok(&[]),
            Some(asked) => Err(PlanError::Contradiction {
                origin: asked.origin.clone(),
                problem:
                    "a kernel parameter cannot be set through the /proc of somebody else's mount namespace"
                        .to_owned(),
                hint: "leave it out, or join the other namespaces without mnt".to_owned(),
            }),
        }
    }

    fn open_terminal(&mut self) -> Result<(), PlanError> {
        let terminal = &self.config.process.terminal;
        if terminal.stdio.is_empty() {
            return Ok(());
        }
        let origin = Origin::Default("a terminal of its own");
        let size = terminal.size.map(|(columns, rows)| Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        });
        let inherit_settings = terminal.inherit_settings;
        self.child(Stage::Mounts, Step::OpenTerminal { size, inherit_settings }, &origin);
        if self.config.root.is_some() {
            let target = c"/dev/console";
            self.child(Stage::Mounts, Step::MakeFile { path: target }, &origin);
            let step = Step::Bind {
                source: Source::Terminal,
                target,
                recursive: false,
                attributes: Attributes::NONE,
                recursive_attributes: Attributes::NONE,
                propagation: &[],
            };
            self.child(Stage::Mounts, step, &origin);
        }
        Ok(())
    }

    fn hide_paths(&mut self) -> Result<(), PlanError> {
        if self.config.root.is_none() {
            return Ok(());
        }
        for path in &self.config.masked_paths.value {
            let step = Step::Mask { path: self.arena.cstr(path)? };
            self.child(Stage::Mounts, step, &self.config.masked_paths.origin);
        }
        for path in &self.config.readonly_paths.value {
            // What the configuration mounts below says itself whether it can be written.
            let is_below = |target: &PathBuf| target != path && target.starts_with(path);
            let recursive = !self.config.mounts.iter().any(|mount| is_below(mount.value.target()));
            let step = Step::ReadOnly { path: self.arena.cstr(path)?, recursive };
            self.child(Stage::Mounts, step, &self.config.readonly_paths.origin);
        }
        Ok(())
    }
}

/// Whether a mount of the plan is in front of what the root has at `target`.
fn is_covered(target: &Path, mounted: &BTreeSet<PathBuf>) -> bool {
    target.ancestors().skip(1).any(|above| mounted.contains(above))
}

/// Whether the process should be in its cgroups first: what it copies into memory counts there, and they are shown as they are.
fn counts_or_shows(mount: &Mount) -> bool {
    match mount {
        Mount::Filesystem(new) => new.copy_up,
        Mount::Cgroup(_) => true,
        Mount::Bind(_) | Mount::Remount(_) => false,
    }
}

/// The longest value that `fsconfig(2)` takes for one option (`fs/fsopen.c`).
const LONGEST_OPTION: usize = 255;

/// What `mount(2)` with MS_REMOUNT and MS_BIND clears unless it is asked for: all but the access time mode.
const REPLACED: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC)
    .union(MountAttrFlags::MOUNT_ATTR_NODIRATIME)
    .union(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW);

/// The type of a /proc (`linux/magic.h`).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// The files of /proc that may be replaced, below it.
const PROC_FILES: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// Whether a file system is on a device of its own, and not in memory or in the kernel.
fn is_on_device(new: &FilesystemMount) -> bool {
    new.source.as_deref().is_some_and(|source| source.starts_with("/dev/"))
}

/// Options as one text, with commas between, as `mount(2)` takes them.
fn in_one(options: &[FsOption<'_>]) -> Vec<u8> {
    let text = |option: &FsOption<'_>| match option.value {
        Some(value) => [option.key.to_bytes(), b"=", value.to_bytes()].concat(),
        None => option.key.to_bytes().to_vec(),
    };
    options.iter().map(text).collect::<Vec<_>>().join(&b","[..])
}

fn attributes(flags: MountFlags) -> Attributes {
    Attributes { set: flags.set, clear: flags.clear }
}
