// SPDX-License-Identifier: Apache-2.0
//! Namespaces: which are made, which are entered, and what is set in them.

use husk_init::Step;
use husk_spec::{
    Config, Given, IdMapping, Lifetime, Namespace, NamespaceKind, Origin, TimeOffset, UserNamespace,
};
use rustix::thread::UnshareFlags;

use super::{Compiler, travel};
use crate::PlanError;
use crate::explain::ranges;
use crate::host::Host;
use crate::plan::{Action, CLONE_FLAGS, HostStep, PlannedStep, ResourceGroup, Stage};
use crate::user_namespace::UserKind;

/// The configuration with what is to be entered checked against what is there: a namespace of the right kind, and a user namespace
/// with the maps that it must have. Where husk is in it already, that is as good as asking for the host's. `None` if it can stay as
/// it is.
pub(super) fn checked(config: &Config, host: &Host) -> Result<Option<Config>, PlanError> {
    let all = &config.namespaces;
    let others = all.but_user().into_iter().filter_map(|(kind, given)| match &given.value {
        Namespace::Join(path) => Some((kind, path, &given.origin)),
        _ => None,
    });
    let user = match &all.user.value {
        UserNamespace::Join(path) => Some((NamespaceKind::User, path, &all.user.origin)),
        _ => None,
    };
    for (wanted, path, origin) in others.chain(user) {
        match host.namespaces.get(path) {
            Some(found) if *found != Some(wanted) => {
                let (origin, path, found) = (origin.clone(), path.clone(), *found);
                return Err(PlanError::NotThatNamespace { origin, path, wanted, found });
            }
            _ => {}
        }
    }
    check_joined_maps(config, host)?;
    if host.own_namespaces.is_empty() {
        return Ok(None);
    }
    let mut config = config.clone();
    for kind in &host.own_namespaces {
        match config.namespaces.get_mut(*kind) {
            Some(given) => given.value = Namespace::Host,
            None => config.namespaces.user.value = UserNamespace::Host,
        }
    }
    Ok(Some(config))
}

fn check_joined_maps(config: &Config, host: &Host) -> Result<(), PlanError> {
    let (Some(must), Some(joined)) = (&config.namespaces.joined_maps, &host.joined) else { return Ok(()) };
    let sorted = |map: &[IdMapping]| {
        let mut map = map.to_vec();
        map.sort_unstable_by_key(|line| line.inside);
        map
    };
    let differ = |must: &[IdMapping], has: &[IdMapping]| !must.is_empty() && sorted(must) != sorted(has);
    for (what, must, has) in
        [("user", &must.value.uids, &joined.uid_map), ("group", &must.value.gids, &joined.gid_map)]
    {
        if differ(must, has) {
            let (must, has) = (ranges(must), if has.is_empty() { "none".to_owned() } else { ranges(has) });
            return Err(PlanError::Contradiction {
                origin: config.namespaces.user.origin.clone(),
                problem: format!("the user namespace to be entered maps {what} ids {has}, not {must}"),
                hint: "leave the mappings out: a namespace that is entered has its maps already".to_owned(),
            });
        }
    }
    Ok(())
}

impl<'a> Compiler<'a, '_> {
    fn namespace(&self, kind: NamespaceKind) -> Option<&Given<Namespace>> {
        let all = self.config.namespaces.but_user();
        all.into_iter().find(|(its, _)| *its == kind).map(|(_, namespace)| namespace)
    }

    /// Whether the namespace of this kind is husk's own, so that what is set in it is set for the host.
    pub(super) fn is_hosts(&self, kind: NamespaceKind) -> bool {
        match self.namespace(kind) {
            Some(namespace) => namespace.value == Namespace::Host,
            None => self.user.is_host(),
        }
    }

    pub(super) fn is_new(&self, kind: NamespaceKind) -> bool {
        match self.namespace(kind) {
            Some(namespace) => namespace.value == Namespace::New,
            None => self.user.is_new(),
        }
    }

    fn has_time_offsets(&self) -> bool {
        let offsets = &self.config.namespaces.time_offsets;
        offsets.monotonic.is_some() || offsets.boottime.is_some()
    }

    /// The step that makes the child, with every new namespace at once but a time namespace with offsets, which have to be
    /// set before anything is in it, and those that it makes itself.
    pub(super) fn clone_step(&self) -> PlannedStep<'a> {
        let namespaces = CLONE_FLAGS
            .into_iter()
            .filter(|(kind, _)| self.is_new(*kind))
            .filter(|(kind, _)| *kind != NamespaceKind::Time || !self.has_time_offsets())
            .filter(|(kind, _)| *kind != NamespaceKind::Cgroup || !self.has_cgroup())
            .fold(UnshareFlags::empty(), |all, (_, flag)| all | flag)
            .difference(self.childs_own_namespaces());
        PlannedStep {
            stage: Stage::Namespaces,
            action: Action::Host(HostStep::Clone { namespaces }),
            origin: Origin::Default("namespaces of its own"),
        }
    }

    /// The namespaces that the child makes for itself. They take the better part of the clone, a network namespace most of all, for which
    /// husk would wait that has cgroups to make meanwhile. In a user namespace it has to map the ids first, for which the child waits, and
    /// a network device needs to have somewhere to go to.
    fn childs_own_namespaces(&self) -> UnshareFlags {
        if self.meanwhile.is_empty() || !self.user.is_host() || !self.config.net_devices.is_empty() {
            return UnshareFlags::empty();
        }
        let own = [NamespaceKind::Mount, NamespaceKind::Network, NamespaceKind::Ipc, NamespaceKind::Uts];
        CLONE_FLAGS
            .into_iter()
            .filter(|(kind, _)| own.contains(kind) && self.is_new(*kind))
            .fold(UnshareFlags::empty(), |all, (_, flag)| all | flag)
    }

    /// What both actors do before and right after the clone.
    pub(super) fn begin(&mut self) -> Result<(), PlanError> {
        // What is mounted on a mount that is attached nowhere, Linux 6.15 takes for the first time.
        let can_do_without = self.config.lifetime != Lifetime::Attached && self.host.kernel >= (6, 15);
        if self.config.root.is_some() && !self.is_new(NamespaceKind::Mount) && !can_do_without {
            return Err(PlanError::Contradiction {
                origin: self.config.namespaces.mount.origin.clone(),
                problem: "a container without a mount namespace of its own would mount on the host"
                    .to_owned(),
                hint: "leave it out, or enter another container's with --join mnt=PID".to_owned(),
            });
        }
        let guard = Origin::Default("nothing is left behind");
        self.child(Stage::Namespaces, Step::DieWithParent, &guard);
        let own = self.childs_own_namespaces();
        if !own.is_empty() {
            let origin = Origin::Because("husk goes on meanwhile".to_owned());
            self.child(Stage::Namespaces, Step::Namespaces(own), &origin);
        }
        self.enter_cgroup();
        if let UserKind::New { maps, claim, origin } = &self.user.kind {
            let (maps, claim, origin) = (*maps, *claim, origin.clone());
            if let Some(claim) = claim {
                self.before(Stage::Prepare, HostStep::ClaimIds(claim), &origin);
            }
            self.after(HostStep::MapIds(maps), &origin);
        }
        self.set_up_beside_husk()?;
        self.move_devices()?;
        self.join_resource_group()?;
        if self.waits_for_husk() {
            let reason = match (self.user.is_new(), self.is_moved()) {
                (true, _) => "an id that is not mapped owns nothing",
                (_, true) => "nothing of the container runs outside its cgroup",
                _ => "the network devices are there when something is set for them",
            };
            self.child(Stage::Namespaces, Step::AwaitParent, &Origin::Because(reason.to_owned()));
        }
        if self.is_moved() {
            self.enter_beside_scope();
        }
        Ok(())
    }

    /// Whether the child waits for what husk does beside it.
    pub(super) fn waits_for_husk(&self) -> bool {
        self.user.is_new()
            || self.is_moved()
            || !self.config.net_devices.is_empty() && self.is_new(NamespaceKind::Network)
    }

    fn join_resource_group(&mut self) -> Result<(), PlanError> {
        let Some(Given { value: asked, origin }) = &self.config.resource_group else { return Ok(()) };
        let root = self.host.resctrl.as_ref().ok_or_else(|| PlanError::Contradiction {
            origin: origin.clone(),
            problem: "the resource control file system is not mounted".to_owned(),
            hint: "with a processor that has it: mount -t resctrl resctrl /sys/fs/resctrl".to_owned(),
        })?;
        let own = &self.config.name;
        let monitor = asked.monitoring.then(|| self.arena.cstr(own)).transpose()?;
        let schemata = asked.schemata.iter().fold(String::new(), |text, line| text + line + "\n");
        let schemata = Some(schemata).filter(|text| !text.is_empty() && !asked.exists);
        let group = ResourceGroup {
            root: self.arena.cstr(root)?,
            name: self.arena.cstr(asked.name.as_ref().unwrap_or(own))?,
            // One with a name of its own and without limits is somebody's who has set them (config-linux.md, closID).
            make: !asked.exists && (asked.name.is_none() || schemata.is_some()),
            schemata: schemata.map(|text| self.arena.cstr(text)).transpose()?,
            monitor,
            make_monitor: !asked.exists,
        };
        self.before(Stage::Prepare, HostStep::PrepareResourceGroup(group), origin);
        self.after(HostStep::JoinResourceGroup, origin);
        Ok(())
    }

    /// A device is in the namespace that husk comes from: it moves before husk itself enters another.
    fn move_devices(&mut self) -> Result<(), PlanError> {
        for given in &self.config.net_devices {
            let device = self.arena.cstr(&given.value.device)?;
            let name = self.arena.cstr(&given.value.name)?;
            match &self.config.namespaces.network.value {
                Namespace::New => {
                    self.after(HostStep::MoveDevice { device, name, namespace: None }, &given.origin);
                }
                Namespace::Join(path) => {
                    let namespace = Some(self.arena.cstr(path)?);
                    let step = HostStep::MoveDevice { device, name, namespace };
                    self.before(Stage::Prepare, step, &given.origin);
                }
                Namespace::Host => {
                    return Err(PlanError::Contradiction {
                        origin: given.origin.clone(),
                        problem: "the container is in the network namespace that the device is in".to_owned(),
                        hint: "give it a network namespace of its own, or leave the device out".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// What needs capabilities in the new namespaces and no id, so that the child can do it while husk maps the ids.
    fn set_up_beside_husk(&mut self) -> Result<(), PlanError> {
        if self.is_new(NamespaceKind::Network) {
            let origin = self.config.namespaces.network.origin.clone();
            self.child(Stage::Namespaces, Step::LoopbackUp, &origin);
        }
        let names = [&self.config.hostname, &self.config.domainname];
        if let Some(name) = names.into_iter().flatten().next()
            && self.is_hosts(NamespaceKind::Uts)
        {
            return Err(PlanError::Contradiction {
                origin: name.origin.clone(),
                problem: "it would rename the host: the UTS namespace is the host's".to_owned(),
                hint: "give the container a UTS namespace of its own, or leave the name out".to_owned(),
            });
        }
        if let Some(hostname) = &self.config.hostname {
            let name = self.arena.cstr(&hostname.value)?;
            let origin = hostname.origin.clone();
            self.child(Stage::Namespaces, Step::Hostname(name), &origin);
        }
        if let Some(domainname) = &self.config.domainname {
            let name = self.arena.cstr(&domainname.value)?;
            self.child(Stage::Namespaces, Step::Domainname(name), &domainname.origin);
        }
        if self.is_new(NamespaceKind::Mount) {
            let Given { value, origin } = &self.config.propagation;
            self.child(Stage::Namespaces, Step::Propagation(travel(*value)), origin);
        }
        Ok(())
    }

    /// Who the child is in the new namespaces.
    pub(super) fn enter_namespaces(&mut self) -> Result<(), PlanError> {
        let exact = Origin::Default("modes exactly as given");
        self.child(Stage::Namespaces, Step::Umask(0), &exact);
        self.open_proc_and_set_clocks()?;
        self.take_root_ids();
        let opaque = Origin::Default("husk's own binary is out of reach");
        self.child(Stage::Namespaces, Step::BeOpaque, &opaque);
        Ok(())
    }

    fn open_proc_and_set_clocks(&mut self) -> Result<(), PlanError> {
        if self.has_time_offsets() || !self.sysctls()?.is_empty() || self.has_labels() {
            let origin = Origin::Because("no /proc of the container's is written to".to_owned());
            self.child(Stage::Namespaces, Step::OpenProc, &origin);
        }
        let offsets = &self.config.namespaces.time_offsets;
        let line = |clock: &str, offset: &Option<Given<TimeOffset>>| {
            offset
                .as_ref()
                .map(|o| format!("{clock} {} {}\n", o.value.seconds, o.value.nanoseconds))
                .unwrap_or_default()
        };
        if let Some(origin) =
            offsets.monotonic.as_ref().or(offsets.boottime.as_ref()).map(|o| o.origin.clone())
        {
            let text = line("monotonic", &offsets.monotonic) + &line("boottime", &offsets.boottime);
            let offsets = self.arena.cstr(text)?;
            self.child(Stage::Namespaces, Step::TimeNamespace { offsets }, &origin);
        }
        Ok(())
    }

    /// Where the caller's ids are not 0 inside, the child has to take 0 before it can own a file.
    fn take_root_ids(&mut self) {
        if self.user.starts_as_root {
            return;
        }
        let origin = Origin::Because("the caller's own ids are not mapped".to_owned());
        if self.user.setgroups {
            self.child(Stage::Namespaces, Step::Groups(&[]), &origin);
        }
        self.child(Stage::Namespaces, Step::Gid(0), &origin);
        self.child(Stage::Namespaces, Step::Uid(0), &origin);
    }

    /// The end of husk's own steps: existing namespaces are entered last of all before the clone, since each changes what
    /// husk itself can see and do.
    pub(super) fn join_namespaces(&mut self) -> Result<(), PlanError> {
        for kind in NamespaceKind::ALL {
            let (path, origin) = match (kind, self.namespace(kind)) {
                (NamespaceKind::User, _) => match self.user.kind {
                    UserKind::Join(path) => (path, self.config.namespaces.user.origin.clone()),
                    _ => continue,
                },
                (_, Some(Given { value: Namespace::Join(path), origin })) => {
                    (self.arena.cstr(path)?, origin.clone())
                }
                _ => continue,
            };
            let step = match kind {
                NamespaceKind::Cgroup if self.child_joins_cgroup_namespace() => {
                    HostStep::OpenCgroupNamespace { path }
                }
                kind => HostStep::Join { kind, path },
            };
            self.before(Stage::Prepare, step, &origin);
        }
        Ok(())
    }
}
