// SPDX-License-Identifier: Apache-2.0
//! What is mounted in the root, and what is hidden there.

use std::path::{Path, PathBuf};

use husk_init::{Attributes, Filesystem, FsOption, Source, Step};
use husk_spec::{
    BindMount, FilesystemMount, Given, Mount, MountFlags, Namespace, NamespaceKind, Node, Origin,
    Propagation, Sysctl,
};
use rustix::fs::FileType;
use rustix::mount::MountAttrFlags;
use rustix::termios::Winsize;

use super::{Compiler, travel};
use crate::PlanError;
use crate::host::Found;
use crate::plan::Stage;

impl<'a, 'c> Compiler<'a, 'c> {
    pub(super) fn mount(&mut self) -> Result<(), PlanError> {
        if self.config.root.is_some() {
            let mut mounted: Vec<PathBuf> = Vec::new();
            for mount in &self.config.mounts {
                match &mount.value {
                    Mount::Filesystem(new) => self.mount_filesystem(new, &mount.origin, &mut mounted)?,
                    Mount::Bind(bind) => self.mount_bind(bind, &mount.origin, &mut mounted)?,
                    Mount::Cgroup(cgroup) => self.mount_cgroup(cgroup, &mount.origin, &mut mounted)?,
                }
            }
            self.make_devices()?;
            self.make_links()?;
            self.make_working_directory()?;
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
        mounted: &mut Vec<PathBuf>,
    ) -> Result<(), PlanError> {
        let covered = mounted.iter().any(|above| target != above && target.starts_with(above));
        let there = self.host.in_root.get(target).copied().unwrap_or(Found::Nothing);
        mounted.push(target.to_owned());
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
        mounted: &mut Vec<PathBuf>,
    ) -> Result<(), PlanError> {
        if let Some((source, why)) = self.stand_in(&new.kind) {
            let bind = BindMount {
                source: PathBuf::from(source),
                target: new.target.clone(),
                recursive: true,
                idmap: false,
                flags: MountFlags::NONE,
                recursive_flags: new.flags,
                propagation: new.propagation.unwrap_or((Propagation::Private, true)),
            };
            return self.bind(&bind, true, &Origin::Because(why.to_owned()), mounted);
        }
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
        let options = self.arena.slice(&options);
        let filesystem = Filesystem { kind, source, options, attributes: new.flags.set };
        let target = self.arena.cstr(&new.target)?;
        let propagation = new.propagation.map(|(to, recursive)| (travel(to), recursive));
        self.child(Stage::Mounts, Step::Mount { filesystem, target, propagation }, origin);
        Ok(())
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
        mounted: &mut Vec<PathBuf>,
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
        let covered = mounted.iter().any(|above| bind.target != *above && bind.target.starts_with(above));
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
        mounted: &mut Vec<PathBuf>,
    ) -> Result<(), PlanError> {
        self.make_target(&bind.target, directory, origin, mounted)?;
        let idmap = bind.idmap && self.can_idmap(&bind.source);
        let (propagation, all) = bind.propagation;
        let source = self.host_tree(&bind.source, bind.recursive, idmap, propagation, origin)?;
        // What the namespace's mounts, or a tree that is prepared for this, are already.
        let is_so =
            self.config.propagation.value == Propagation::Private && propagation == Propagation::Private;
        let step = Step::Bind {
            source,
            target: self.arena.cstr(&bind.target)?,
            recursive: bind.recursive,
            attributes: attributes(bind.flags),
            recursive_attributes: attributes(bind.recursive_flags),
            propagation: (!is_so).then_some((travel(propagation), all)),
        };
        self.child(Stage::Mounts, step, origin);
        Ok(())
    }

    fn make_devices(&mut self) -> Result<(), PlanError> {
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
            if node.is_some() || self.user.is_host() {
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
                attributes: Attributes {
                    set: MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
                    clear: MountAttrFlags::empty(),
                },
                recursive_attributes: Attributes::NONE,
                propagation: None,
            };
            self.child(Stage::Mounts, step, origin);
        }
        Ok(())
    }

    /// Whether a new node can be made: a device by root of the machine alone, a FIFO by anybody.
    fn can_make(&self, node: &Node) -> bool {
        self.user.is_host() || FileType::from_raw_mode(node.mode) == FileType::Fifo
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
            let step = Step::Symlink { path: self.arena.cstr(path)?, to: self.arena.cstr(to)? };
            self.child(Stage::Mounts, step, &link.origin);
        }
        Ok(())
    }

    fn write_sysctls(&mut self) -> Result<(), PlanError> {
        for sysctl in self.sysctls()? {
            let path = self.arena.cstr(sysctl.value.name.replace('.', "/"))?;
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
                propagation: None,
            };
            self.child(Stage::Mounts, step, &origin);
        }
        Ok(())
    }

    fn hide_paths(&mut self) -> Result<(), PlanError> {
        if self.config.root.is_none() || matches!(self.config.namespaces.mount.value, Namespace::Join(_)) {
            return Ok(());
        }
        for path in &self.config.masked_paths.value {
            let step = Step::Mask { path: self.arena.cstr(path)? };
            self.child(Stage::Mounts, step, &self.config.masked_paths.origin);
        }
        for path in &self.config.readonly_paths.value {
            let step = Step::ReadOnly { path: self.arena.cstr(path)? };
            self.child(Stage::Mounts, step, &self.config.readonly_paths.origin);
        }
        Ok(())
    }
}

fn attributes(flags: MountFlags) -> Attributes {
    Attributes { set: flags.set, clear: flags.clear }
}
