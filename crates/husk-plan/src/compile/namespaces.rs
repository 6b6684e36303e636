// SPDX-License-Identifier: Apache-2.0
//! Namespaces: which are made, which are entered, and what is set in them.

use husk_init::Step;
use husk_spec::{Given, Lifetime, Namespace, NamespaceKind, Origin, TimeOffset};
use rustix::thread::UnshareFlags;

use super::{Compiler, travel};
use crate::PlanError;
use crate::plan::{Action, CLONE_FLAGS, HostStep, PlannedStep, Stage};
use crate::user_namespace::UserKind;

impl<'a> Compiler<'a, '_> {
    fn namespace(&self, kind: NamespaceKind) -> Option<&Given<Namespace>> {
        let all = &self.config.namespaces;
        Some(match kind {
            NamespaceKind::User => return None,
            NamespaceKind::Mount => &all.mount,
            NamespaceKind::Pid => &all.pid,
            NamespaceKind::Network => &all.network,
            NamespaceKind::Ipc => &all.ipc,
            NamespaceKind::Uts => &all.uts,
            NamespaceKind::Cgroup => &all.cgroup,
            NamespaceKind::Time => &all.time,
        })
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
    /// set before anything is in it.
    pub(super) fn clone_step(&self) -> PlannedStep<'a> {
        let namespaces = CLONE_FLAGS
            .into_iter()
            .filter(|(kind, _)| self.is_new(*kind))
            .filter(|(kind, _)| *kind != NamespaceKind::Time || !self.has_time_offsets())
            .filter(|(kind, _)| *kind != NamespaceKind::Cgroup || !self.has_cgroup())
            .fold(UnshareFlags::empty(), |all, (_, flag)| all | flag);
        PlannedStep {
            stage: Stage::Namespaces,
            action: Action::Host(HostStep::Clone { namespaces }),
            origin: Origin::Default("namespaces of its own"),
        }
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
        self.enter_cgroup();
        if let UserKind::New { maps, claim, origin } = &self.user.kind {
            let (maps, claim, origin) = (*maps, *claim, origin.clone());
            if let Some(claim) = claim {
                self.before(Stage::Prepare, HostStep::ClaimIds(claim), &origin);
            }
            self.after(HostStep::MapIds(maps), &origin);
        }
        self.set_up_beside_husk()?;
        if self.user.is_new() {
            let wait = Origin::Because("an id that is not mapped owns nothing".to_owned());
            self.child(Stage::Namespaces, Step::AwaitParent, &wait);
        }
        Ok(())
    }

    /// What needs capabilities in the new namespaces and no id, so that the child can do it while husk maps the ids.
    fn set_up_beside_husk(&mut self) -> Result<(), PlanError> {
        if self.is_new(NamespaceKind::Network) {
            let origin = self.config.namespaces.network.origin.clone();
            self.child(Stage::Namespaces, Step::LoopbackUp, &origin);
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
        let process = &self.config.process;
        if self.has_time_offsets()
            || !self.sysctls()?.is_empty()
            || process.oom_score_adj.is_some()
            || self.has_labels()
        {
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
            self.before(Stage::Prepare, HostStep::Join { kind, path }, &origin);
        }
        Ok(())
    }
}
