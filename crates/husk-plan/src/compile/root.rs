// SPDX-License-Identifier: Apache-2.0
//! The root: what it is made of, and how it is entered.

use husk_init::{Attach, Filesystem, FsOption, Source, Step};
use husk_spec::{BindIdmap, EnterRoot, Given, NamespaceKind, Origin, Writes};
use rustix::mount::MountAttrFlags;

use super::{Compiler, HostTree, follows, travel};
use crate::PlanError;
use crate::plan::{HostStep, Stage};
use crate::user_namespace::is_idmappable;

impl Compiler<'_, '_> {
    pub(super) fn make_root(&mut self) -> Result<(), PlanError> {
        let Some(root) = &self.config.root else {
            return self.find_root();
        };
        let (path, origin) = (&root.path.value, &root.path.origin);
        // An idmapped mount takes either all mounts below along or none, and one /proc among them would spoil it. Without
        // privilege the kernel insists on all.
        let shifted = root.idmap && self.user.shift && self.host.privileged;
        let idmap = if shifted { BindIdmap::Container { recursive: false } } else { BindIdmap::Off };
        let follows_host = follows(self.config.propagation.value);
        let tree =
            HostTree { path, recursive: !shifted, idmap: &idmap, shared: false, later: false, follows_host };
        let source = self.host_tree(&tree, origin)?;
        if root.writes.value != Writes::Ephemeral {
            let attach = match self.is_new(NamespaceKind::Mount) {
                false => Attach::Nowhere,
                true if self.looked_for() => Attach::At(self.arena.cstr(path)?),
                true => Attach::OverRoot,
            };
            self.child(Stage::Root, Step::Root { source, recursive: true, attach }, origin);
            return Ok(());
        }
        let origin = &root.writes.origin;
        let scratch = Filesystem {
            kind: c"tmpfs",
            source: c"husk",
            options: &[FsOption { key: c"mode", value: Some(c"0755") }],
            attributes: MountAttrFlags::empty(),
        };
        self.child(Stage::Root, Step::Scratch { filesystem: scratch, mode: self.host.root_mode }, origin);
        self.child(Stage::Root, Step::Lower(source), &root.path.origin);
        const LAYERS: &[FsOption<'_>] = &[
            FsOption { key: c"lowerdir", value: Some(c"lower") },
            FsOption { key: c"upperdir", value: Some(c"upper") },
            FsOption { key: c"workdir", value: Some(c"work") },
        ];
        const USER_XATTR: FsOption<'_> = FsOption { key: c"userxattr", value: None };
        let mut options = LAYERS.to_vec();
        if !self.user.is_host() {
            options.push(USER_XATTR);
        }
        let overlay = Filesystem {
            kind: c"overlay",
            source: c"overlay",
            options: self.arena.slice(&options),
            attributes: MountAttrFlags::empty(),
        };
        self.child(Stage::Root, Step::Overlay(overlay), origin);
        self.child(Stage::Root, Step::DetachScratch, origin);
        self.child(Stage::Root, Step::OverlayRoot, origin);
        Ok(())
    }

    /// The root that is there already.
    fn find_root(&mut self) -> Result<(), PlanError> {
        let Given { value, origin } = &self.config.enter_root;
        let EnterRoot::OfProcess(pid) = value else {
            let origin = self.config.namespaces.mount.origin.clone();
            self.child(Stage::Root, Step::CurrentRoot, &origin);
            return Ok(());
        };
        let number = self.trees;
        self.trees += 1;
        let path = self.arena.cstr(format!("/proc/{pid}/root"))?;
        self.before(Stage::Prepare, HostStep::OpenRoot { number, path }, origin);
        let source = Source::Prepared(number);
        self.child(Stage::Root, Step::Root { source, recursive: false, attach: Attach::Nowhere }, origin);
        Ok(())
    }

    /// Whether hooks may look for the root in the container's mount namespace, where the bundle says that it is. By chroot it
    /// cannot be entered from there for good: who joins the namespace would find the host's root.
    fn looked_for(&self) -> bool {
        let hooks = &self.config.hooks;
        let has_hooks = hooks.outside.is_some() || !hooks.create_container.is_empty();
        has_hooks && self.config.enter_root.value == EnterRoot::Pivot
    }

    /// The last of the mounts, and the change of root.
    pub(super) fn enter_root(&mut self) -> Result<(), PlanError> {
        self.join_namespaces()?;
        let origin = &self.config.enter_root.origin;
        let Some(root) = &self.config.root else {
            if matches!(self.config.enter_root.value, EnterRoot::OfProcess(_)) {
                self.child(Stage::Pivot, Step::Chroot, origin);
            }
            return Ok(());
        };
        if root.writes.value == Writes::Refused {
            let step = Step::RootAttributes(MountAttrFlags::MOUNT_ATTR_RDONLY);
            self.child(Stage::Pivot, step, &root.writes.origin);
        }
        match self.config.enter_root.value {
            EnterRoot::Pivot if !self.is_new(NamespaceKind::Mount) => {
                let why = "the root of a mount namespace that others are in stays theirs".to_owned();
                self.child(Stage::Pivot, Step::Chroot, &Origin::Because(why));
            }
            EnterRoot::Pivot => {
                self.child(Stage::Pivot, Step::PivotRoot, origin);
                let gone = Origin::Default("the host's files are gone, not hidden");
                self.child(Stage::Pivot, Step::DetachOldRoot, &gone);
            }
            EnterRoot::Chroot | EnterRoot::OfProcess(_) => self.child(Stage::Pivot, Step::Chroot, origin),
        }
        if let Some(given) = &self.config.root_propagation {
            let (propagation, recursive) = (travel(given.value.0), given.value.1);
            self.child(Stage::Pivot, Step::RootPropagation { propagation, recursive }, &given.origin);
        }
        Ok(())
    }

    /// Whether the files of `path` can be shown through id maps.
    pub(super) fn can_idmap(&self, path: &std::path::Path) -> bool {
        self.host.file_systems.get(path).is_some_and(|kind| is_idmappable(*kind, self.host.kernel))
    }
}
