// SPDX-License-Identifier: Apache-2.0
//! Cgroups: where the container's are, what they limit, how its first process gets in, and how they look inside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use husk_cgroup::limits::{self, Hierarchy, Limits, Missing, Write};
use husk_cgroup::systemd::Scope;
use husk_cgroup::{CgroupError, Directory, Hierarchies, Place, device};
use husk_init::{Attributes, FsOption, MOST_CGROUPS, Step};
use husk_spec::{
    BindIdmap, BindMount, Cgroup, CgroupMount, FilesystemMount, Given, Lifetime, Mount, MountFlags,
    Namespace, NamespaceKind, Origin, PassingCgroup, Propagation, ScopeWanted, oci::Resources,
};

use super::{Compiler, after_clone};
use crate::PlanError;
use crate::plan::{
    Action, CgroupDriver, CgroupPlan, HostStep, IdMaps, Need, Note, PlannedStep, Stage, in_options, said,
};
use crate::user_namespace::UserKind;

impl<'a> Compiler<'a, '_> {
    /// Whether the container's processes are in cgroups that are not the caller's, so that a cgroup namespace is to be made only
    /// when the process is in them.
    pub(super) fn has_cgroup(&self) -> bool {
        match self.config.cgroup.as_ref().map(|given| &given.value) {
            Some(Cgroup::New { .. } | Cgroup::Scope { .. } | Cgroup::Existing) => true,
            Some(Cgroup::Passing(_)) => self.cgroup.is_some(),
            None => false,
        }
    }

    /// Whether systemd moves the child into its cgroup, once both are there.
    pub(super) fn is_moved(&self) -> bool {
        let is_new_scope = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.scope().is_some());
        is_new_scope && !self.is_held()
            || matches!(&self.config.cgroup, Some(Given { value: Cgroup::Scope { .. }, .. }))
    }

    /// Whether a scope is made before the clone, around a process that holds the child's place: in the user namespace that husk
    /// enters for the child's sake it has no say any more about the devices of a cgroup.
    fn is_held(&self) -> bool {
        self.host.privileged && matches!(self.user.kind, UserKind::Join(_))
    }

    /// Whether the child enters the cgroup namespace of another, once it is in its cgroup: from inside, that would be out of reach on
    /// a version 2 mounted with `nsdelegate`. In a user namespace of its own it has no right to enter, and husk does it before.
    pub(super) fn child_joins_cgroup_namespace(&self) -> bool {
        self.joins_cgroup_namespace() && self.has_cgroup() && !self.user.is_new()
    }

    /// Whether the cgroups are made while the child mounts, which enters them by files that it is sent: to make one in each of many
    /// hierarchies of version 1 takes as long as to mount. On version 2 there is one, and `clone3` enters it. husk must be where it can
    /// still make them after the clone, and must not need them before, as a tree that it prepares. Where it stays with the container, it
    /// makes those of both versions at once, as it takes them away.
    fn is_made_meanwhile(&self, place: &Place) -> bool {
        let is_prepared = !self.user.is_host()
            && self.config.mounts.iter().any(|mount| matches!(mount.value, Mount::Cgroup(_)));
        place.version() == Hierarchy::V1
            && (place.v2().is_none() || self.config.lifetime != Lifetime::Attached)
            && place.directories().len() <= MOST_CGROUPS
            && self.sees_cgroups_after_clone()
            && !is_prepared
    }

    /// Whether husk enters no namespace before the clone from which the host's cgroups are out of its sight or reach.
    fn sees_cgroups_after_clone(&self) -> bool {
        !matches!(self.user.kind, UserKind::Join(_))
            && !matches!(self.config.namespaces.mount.value, Namespace::Join(_))
            && !self.joins_cgroup_namespace()
    }

    /// Whether the child waits for its cgroups.
    fn awaits_cgroup(&self) -> bool {
        let is_handed_over =
            |step: &PlannedStep<'_>| matches!(step.action, Action::Host(HostStep::HandOverCgroup));
        self.meanwhile.iter().any(is_handed_over)
    }

    fn joins_cgroup_namespace(&self) -> bool {
        matches!(self.config.namespaces.cgroup.value, Namespace::Join(_))
    }

    /// What husk does before the clone or, for systemd's sake, after it.
    pub(super) fn make_cgroup(&mut self) -> Result<(), PlanError> {
        let Some(given) = &self.config.cgroup else { return Ok(()) };
        let (path, resources, systemd) = match &given.value {
            Cgroup::New { path, resources, systemd } => (path, resources, systemd),
            Cgroup::Passing(passing) => return self.make_passing_cgroup(passing, &given.origin),
            Cgroup::Scope { unit } => {
                let unit = self.arena.cstr(unit)?;
                self.after(HostStep::AttachToScope { unit }, &given.origin);
                return Ok(());
            }
            Cgroup::Existing => return Ok(()),
        };
        let Some(found) = &self.host.cgroups else { return refuse_limits(resources) };
        let driver = match self.scope(path.as_deref(), systemd.as_ref(), found)? {
            Some(driver) => driver,
            None => CgroupDriver::Cgroupfs(
                Place::new(found, path.as_deref(), &self.config.name).map_err(|error| problem(&error))?,
            ),
        };
        let limits = limits::files(resources, found.version).map_err(|error| problem(&error))?;
        let devices = self.host.is_root().then(|| device::rules(&resources.devices)).transpose();
        let devices = devices.map_err(|error| problem(&error))?;
        let devices = devices.map(|rules| rules.into_iter().chain(device::DEFAULT).collect::<Vec<_>>());
        let asks = !limits.writes.is_empty();
        if !asks && !self.host.may_make_cgroups {
            return Ok(());
        }

        self.making(&driver, &limits, found.version, &given.origin)?;
        if asks {
            let limits = self.told(&limits.writes)?;
            let origin = Origin::Config("linux.resources".to_owned());
            self.cgroup_step(&driver, HostStep::LimitCgroup { limits }, &origin);
        }
        if let Some(rules) = &devices {
            let origin = Origin::Config("linux.resources.devices".to_owned());
            self.limit_devices(&driver, rules.len(), &origin);
        }
        self.hand_over_cgroup(&driver, &given.origin);
        let owner = self.cgroup_owner();
        let controllers = limits.controllers().into_iter().map(str::to_owned).collect();
        let (need, options, around) = (Need::Always, Vec::new(), None);
        self.cgroup = Some(CgroupPlan { driver, limits, controllers, devices, need, owner, options, around });
        Ok(())
    }

    /// Files and values, for a person.
    fn told(&self, writes: &[Write]) -> Result<&'a std::ffi::CStr, PlanError> {
        let words: Vec<_> = writes.iter().map(|write| format!("{} {}", write.file, write.value)).collect();
        self.arena.cstr(words.join(", "))
    }

    /// The cgroup of a container that is stayed with. Without limits that were asked for it is left out where it cannot be had.
    fn make_passing_cgroup(&mut self, passing: &PassingCgroup, origin: &Origin) -> Result<(), PlanError> {
        let asked = !passing.asked.is_empty();
        let options: Vec<_> =
            passing.asked.iter().copied().chain([("cgroupsPath", "--cgroup-parent")]).collect();
        let problem = |error: &dyn std::fmt::Display| PlanError::Cgroup {
            problem: in_options(&options, error.to_string()),
        };
        // Who is in another's cgroup namespace is to see what is seen there.
        if !asked && (!self.host.may_make_cgroups || self.joins_cgroup_namespace()) {
            return Ok(());
        }
        let Some(found) = &self.host.cgroups else {
            let Some((_, option)) = passing.asked.first().filter(|_| asked) else { return Ok(()) };
            return Err(problem(&format_args!("{option}: {}", CgroupError::NoHierarchy)));
        };
        let mut limits = limits::files(&passing.resources, found.version).map_err(|error| problem(&error))?;
        let mut needed = Vec::new();
        for write in &mut limits.writes {
            match passing.asks_for(&write.origin) {
                true => needed.push(write.controller.clone()),
                false => write.missing = Missing::Skip,
            }
        }
        if let Some(systemd) = &self.host.user_systemd {
            let checked = systemd.check(&needed);
            checked.map_err(|error| PlanError::Cgroup { problem: said(&limits, &options, &error) })?;
        }
        let controllers = limits.controllers();
        let place = |pid: &dyn std::fmt::Display| {
            let name = format!("husk-{pid}-{}", self.config.name);
            let scope = self.host.user_systemd.as_ref().map(|systemd| (systemd, systemd.scope(&name)));
            let inside = scope.as_ref().map(|(systemd, scope)| systemd.inside(scope));
            let found = inside.as_ref().unwrap_or(found);
            Place::passing(found, passing.parent.as_deref(), &name, &controllers)
                .map(|place| (place, scope.map(|(_, scope)| scope)))
                .map_err(|error| problem(&error))
        };
        // What is told is the same for every process that tells it.
        let ((place, around), (told, told_around)) = (place(&self.host.pid)?, place(&"<pid>")?);
        if found.version == Hierarchy::V2 {
            limits.writes.push(together());
        }
        let directory = told.v2().or(told.directories().first());
        let path = self.arena.cstr(directory.map_or(Path::new(""), |directory| &directory.path))?;
        let hierarchies = place.directories().len();
        let need = if asked { Need::Always } else { Need::IfPossible };
        if let Some(scope) = told_around {
            let (unit, slice) = (self.arena.cstr(&scope.unit)?, self.arena.cstr(&scope.slice)?);
            self.before(Stage::Prepare, HostStep::EnterScope { unit, slice }, origin);
        }
        let driver = CgroupDriver::Cgroupfs(place);
        self.cgroup_step(&driver, HostStep::MakeCgroup { path, hierarchies, only: None, need }, origin);
        let told = self.told(&limits.writes)?;
        self.cgroup_step(&driver, HostStep::LimitCgroup { limits: told }, origin);
        self.hand_over_cgroup(&driver, origin);
        let (controllers, devices, owner) = (needed, None, None);
        self.cgroup = Some(CgroupPlan { driver, limits, controllers, devices, need, owner, options, around });
        Ok(())
    }

    /// What runs killed together with their guard have left: looked for when the command is on its way, so that nobody waits for it.
    pub(super) fn sweep_cgroups(&mut self) {
        let is_passing = matches!(self.config.cgroup, Some(Given { value: Cgroup::Passing(_), .. }));
        if is_passing && self.cgroup.is_some() {
            self.after(HostStep::SweepCgroups, &Origin::Default("nothing is left behind"));
        }
    }

    /// The scope that systemd is asked for, if it is: the machine's systemd or, without its privilege, the user's own.
    fn scope(
        &mut self,
        path: Option<&str>,
        wanted: Option<&ScopeWanted>,
        found: &Hierarchies,
    ) -> Result<Option<CgroupDriver>, PlanError> {
        let Some(wanted) = wanted else { return Ok(None) };
        match self.host.refuses_scopes() {
            None => {}
            Some(why) if wanted.by_form => {
                self.notes.push(Note {
                    what: format!(
                        "linux.cgroupsPath asks for a scope of systemd's, by its form SLICE:PREFIX:NAME; {why}, so it is a path"
                    ),
                    cure: None,
                });
                return Ok(None);
            }
            Some(why) => {
                let instead = "leave --systemd-cgroup out, and have the engine use its cgroupfs driver";
                return Err(PlanError::Cgroup { problem: format!("--systemd-cgroup: {why}; {instead}") });
            }
        }
        let scope = Scope::new(path, &self.config.name, self.host.is_users_systemd());
        let scope = scope.and_then(|scope| scope.with_properties(&wanted.properties));
        let scope = scope.map_err(|error| problem(&error))?;
        let beside = scope.place(found).map(|place| place.beside_systemd());
        Ok(Some(CgroupDriver::Systemd { scope, beside }))
    }

    fn making(
        &mut self,
        driver: &CgroupDriver,
        limits: &Limits,
        version: Hierarchy,
        origin: &Origin,
    ) -> Result<(), PlanError> {
        let (place, scope) = match driver {
            CgroupDriver::Cgroupfs(place) => (Some(place), None),
            CgroupDriver::Systemd { scope, beside } => (beside.as_ref(), Some(scope)),
        };
        if let Some(place) = place {
            match scope {
                Some(_) => self.before(Stage::Prepare, self.make_in(place, None)?, origin),
                // A process that enters one of version 2 by itself waits for a lock: the clone enters it, also beside those of version 1.
                None if self.is_made_meanwhile(place) && place.v2().is_some() => {
                    self.before(Stage::Prepare, self.make_in(place, Some(Hierarchy::V2))?, origin);
                    self.cgroup_step(driver, self.make_in(place, Some(Hierarchy::V1))?, origin);
                }
                None => self.cgroup_step(driver, self.make_in(place, None)?, origin),
            }
        }
        if let Some(scope) = scope {
            let assignments = scope.assignments(limits, version).map_err(|error| problem(&error))?;
            let start = HostStep::StartScope {
                unit: self.arena.cstr(&scope.unit)?,
                slice: self.arena.cstr(&scope.slice)?,
                properties: self.arena.cstr(assignments.join(", "))?,
                user: scope.user,
                held: self.is_held(),
            };
            self.cgroup_step(driver, start, origin);
        }
        Ok(())
    }

    fn make_in(&self, place: &Place, only: Option<Hierarchy>) -> Result<HostStep<'a>, PlanError> {
        let (directory, hierarchies) = match (only, place.directories().len(), place.v2()) {
            (Some(Hierarchy::V2), _, v2) => (v2, 1),
            (Some(Hierarchy::V1), all, v2) => (place.directories().first(), all - usize::from(v2.is_some())),
            (None, all, _) if place.version() == Hierarchy::V1 => (place.directories().first(), all),
            (None, all, v2) => (v2, all),
        };
        let path = self.arena.cstr(directory.map_or(Path::new(""), |directory| &directory.path))?;
        Ok(HostStep::MakeCgroup { path, hierarchies, only, need: Need::Always })
    }

    /// A scope cannot be empty: with systemd it all comes after the clone, unless somebody holds the child's place.
    fn cgroup_step(&mut self, driver: &CgroupDriver, step: HostStep<'a>, origin: &Origin) {
        match driver {
            CgroupDriver::Systemd { .. } if !self.is_held() => self.after(step, origin),
            CgroupDriver::Cgroupfs(place) if self.is_made_meanwhile(place) => {
                self.meanwhile.push(after_clone(step, origin));
            }
            _ => self.before(Stage::Prepare, step, origin),
        }
    }

    /// On version 2 the rules are a program, which the kernel takes as long to check as to mount. That it is there before the command
    /// is sure if the child waits until everything is written down; what is mounted until then husk has planned itself.
    fn limit_devices(&mut self, driver: &CgroupDriver, rules: usize, origin: &Origin) {
        let step = HostStep::LimitDevices { rules };
        match driver {
            CgroupDriver::Cgroupfs(place)
                if place.version() == Hierarchy::V2
                    && self.config.lifetime != Lifetime::Attached
                    && self.sees_cgroups_after_clone() =>
            {
                self.meanwhile.push(after_clone(step, origin));
            }
            _ => self.cgroup_step(driver, step, origin),
        }
    }

    /// The end of what husk does for cgroups that it makes meanwhile.
    fn hand_over_cgroup(&mut self, driver: &CgroupDriver, origin: &Origin) {
        if matches!(driver, CgroupDriver::Cgroupfs(place) if self.is_made_meanwhile(place)) {
            self.meanwhile.push(after_clone(HostStep::HandOverCgroup, origin));
        }
    }

    /// Who on the host is root inside, if that is somebody else.
    fn cgroup_owner(&self) -> Option<u32> {
        let UserKind::New { maps: IdMaps::Written { uids, .. }, .. } = &self.user.kind else { return None };
        let root = uids.iter().find(|map| map.inside == 0)?;
        (root.outside != self.host.uid).then_some(root.outside)
    }

    /// What the child does when its cgroups have been made meanwhile, at the latest before what needs them: what shows them, and
    /// what copies files into memory, which then counts.
    pub(super) fn await_cgroup(&mut self) {
        let is_awaited = |step: &PlannedStep<'_>| matches!(step.action, Action::Child(Step::AwaitCgroup));
        let Some(given) = &self.config.cgroup else { return };
        if !self.awaits_cgroup() || self.child.iter().any(is_awaited) {
            return;
        }
        self.child(Stage::Mounts, Step::AwaitCgroup, &given.origin);
        self.enter_cgroup_namespace(Stage::Mounts);
    }

    /// What the child does first of all: what it allocates from here on counts. One that is moved, and one whose cgroups are not
    /// there yet, has nothing to do.
    pub(super) fn enter_cgroup(&mut self) {
        let Some(given) = self.config.cgroup.as_ref().filter(|_| self.has_cgroup()) else { return };
        if self.is_moved() || self.awaits_cgroup() {
            return;
        }
        let place = self.cgroup.as_ref().and_then(CgroupPlan::place);
        let by_clone = matches!(given.value, Cgroup::Passing(_))
            && place.is_some_and(|place| place.version() == Hierarchy::V2);
        if (self.cgroup.is_some() || matches!(given.value, Cgroup::Existing)) && !by_clone {
            let origin = given.origin.clone();
            self.child(Stage::Namespaces, Step::EnterCgroup, &origin);
        }
        self.enter_cgroup_namespace(Stage::Namespaces);
    }

    /// What the child does once systemd has moved it: on version 1 it has to enter by itself what systemd has not made.
    pub(super) fn enter_beside_scope(&mut self) {
        if let (Some(Some(_)), Some(given)) =
            (self.cgroup.as_ref().map(CgroupPlan::place), &self.config.cgroup)
        {
            let origin = given.origin.clone();
            self.child(Stage::Namespaces, Step::EnterCgroup, &origin);
        }
        self.enter_cgroup_namespace(Stage::Namespaces);
    }

    /// What the child does once it is in its cgroup.
    fn enter_cgroup_namespace(&mut self, stage: Stage) {
        let Given { value, origin } = &self.config.namespaces.cgroup;
        let step = match value {
            Namespace::New => Step::CgroupNamespace,
            Namespace::Join(_) if self.child_joins_cgroup_namespace() => Step::JoinCgroupNamespace,
            Namespace::Join(_) | Namespace::Host => return,
        };
        self.child(stage, step, origin);
    }

    /// The container's cgroups as files. Version 2 has a file system of its own for each cgroup namespace; of version 1 there are
    /// several, each of which is shown from the container's directory on.
    pub(super) fn mount_cgroup(
        &mut self,
        mount: &CgroupMount,
        origin: &Origin,
        mounted: &mut BTreeSet<PathBuf>,
    ) -> Result<(), PlanError> {
        let place = match &self.cgroup {
            Some(cgroup) => self.whole_place(cgroup),
            None => self.host.cgroups.as_ref().map(Place::own),
        };
        match place {
            Some(place) if place.version() == Hierarchy::V1 => {
                self.mount_cgroup_v1(mount, &place, origin, mounted)
            }
            place if self.is_hosts(NamespaceKind::Cgroup) => {
                let own =
                    place.as_ref().filter(|_| !self.sees_all_of_version_2()).and_then(Place::v2).cloned();
                let Some(directory) = own.or_else(|| self.all_of_version_2()) else { return Ok(()) };
                let bind = bind(mount, &directory, mount.target.clone());
                self.bind(&bind, true, origin, mounted)
            }
            _ => {
                let new = FilesystemMount {
                    kind: "cgroup2".to_owned(),
                    source: Some("cgroup".to_owned()),
                    ..filesystem(mount, mount.flags)
                };
                self.mount_filesystem(&new, origin, mounted)
            }
        }
    }

    /// Where the container's cgroups will be; on version 2 systemd alone knows that of a scope.
    fn whole_place(&self, cgroup: &CgroupPlan) -> Option<Place> {
        match (cgroup.scope(), &self.host.cgroups) {
            (Some(scope), Some(found)) => scope.place(found),
            _ => cgroup.place().cloned(),
        }
    }

    /// Whether the whole hierarchy is shown in the host's cgroup namespace: to who could mount it there (cgroup_namespaces(7)). It is
    /// bound all the same. A new mount would be slow, and its options those of the host's own from then on: without `nsdelegate` and
    /// `memory_recursiveprot` (`apply_cgroup_root_flags` in `kernel/cgroup/cgroup.c`).
    fn sees_all_of_version_2(&self) -> bool {
        self.user.is_host() && self.host.has_all_ids()
    }

    /// The whole hierarchy: which scope systemd makes in it is not known before it is there.
    fn all_of_version_2(&self) -> Option<Directory> {
        let mount = self.host.cgroups.as_ref()?.v2.as_ref()?.mount.clone();
        Some(Directory { controllers: Vec::new(), path: mount.clone(), mount })
    }

    fn mount_cgroup_v1(
        &mut self,
        mount: &CgroupMount,
        place: &Place,
        origin: &Origin,
        mounted: &mut BTreeSet<PathBuf>,
    ) -> Result<(), PlanError> {
        let readonly = rustix::mount::MountAttrFlags::MOUNT_ATTR_RDONLY;
        let writable = MountFlags { set: mount.flags.set - readonly, clear: mount.flags.clear };
        let tmpfs = FilesystemMount {
            kind: "tmpfs".to_owned(),
            source: Some("cgroup".to_owned()),
            options: vec![("mode".to_owned(), Some("755".to_owned()))],
            ..filesystem(mount, writable)
        };
        self.mount_filesystem(&tmpfs, origin, mounted)?;
        for directory in place.directories().iter().filter(|directory| !directory.controllers.is_empty()) {
            let Some(name) = directory.mount.file_name() else { continue };
            let bind = bind(mount, directory, mount.target.join(name));
            self.bind_when(&bind, self.is_moved(), true, origin, mounted)?;
            let alone = directory.controllers.iter().filter(|controller| !controller.starts_with("name="));
            for controller in alone.filter(|controller| name != controller.as_str()) {
                let path = self.arena.cstr(mount.target.join(controller))?;
                let to = self.arena.cstr(name)?;
                self.child(Stage::Mounts, Step::Symlink { path, to }, origin);
            }
        }
        if mount.flags.set.contains(readonly) {
            let target = self.arena.cstr(&mount.target)?;
            let attributes = Attributes { set: readonly, clear: rustix::mount::MountAttrFlags::empty() };
            let step = match self.is_new(NamespaceKind::Mount) {
                true => Step::MountAttributes { target, attributes },
                // In a root that is attached nowhere no mount but the topmost changes; its file system does.
                false => {
                    let options = self.arena.slice(&[FsOption { key: c"ro", value: None }]);
                    Step::Reconfigure { target, options }
                }
            };
            self.child(Stage::Mounts, step, origin);
        }
        Ok(())
    }
}

fn problem(error: &dyn std::fmt::Display) -> PlanError {
    PlanError::Cgroup { problem: error.to_string() }
}

/// Without any hierarchy a container can be had that is not limited, and no other.
fn refuse_limits(resources: &Resources) -> Result<(), PlanError> {
    let asked = Resources { devices: Vec::new(), ..resources.clone() };
    if asked.is_empty() {
        return Ok(());
    }
    let problem = "linux.resources: no cgroup hierarchy is mounted here, and without one nothing is limited";
    Err(PlanError::Cgroup { problem: problem.to_owned() })
}

/// Who is killed for want of memory takes all of the container along, not a process that it cannot do without: `cgroup-v2.rst`,
/// `memory.oom.group`.
fn together() -> Write {
    Write {
        controller: "memory".to_owned(),
        file: "memory.oom.group".to_owned(),
        value: "1".to_owned(),
        origin: "memory.oom.group".to_owned(),
        missing: Missing::Skip,
    }
}

fn bind(mount: &CgroupMount, directory: &Directory, target: PathBuf) -> BindMount {
    BindMount {
        source: directory.path.clone(),
        target,
        recursive: false,
        idmap: BindIdmap::Off,
        flags: mount.flags,
        recursive_flags: MountFlags::NONE,
        propagation: vec![(Propagation::Private, false)],
        shared_with_host: false,
    }
}

fn filesystem(mount: &CgroupMount, flags: MountFlags) -> FilesystemMount {
    FilesystemMount {
        kind: String::new(),
        source: None,
        target: mount.target.clone(),
        options: Vec::new(),
        flags,
        propagation: mount.propagation.into_iter().collect(),
        copy_up: false,
        keep_mode: false,
    }
}
