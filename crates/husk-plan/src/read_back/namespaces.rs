// SPDX-License-Identifier: Apache-2.0
//! Namespaces: which were made, which were entered, and what was set in them.

use husk_init::{Propagation, Step};
use husk_spec::{IdMapping, NamespaceKind};
use rustix::thread::UnshareFlags;

use super::{Reader, Whose};
use crate::PlanError;
use crate::explain::visible;
use crate::plan::{Action, CLONE_FLAGS, HostStep, IdMaps, PlannedStep, Stage};
use crate::seen::Seen;

impl<'a> Reader<'a, '_> {
    pub(super) fn whose(&self, kind: NamespaceKind) -> Option<&Whose> {
        self.observed.namespaces.iter().find(|(its, _)| *its == kind).map(|(_, whose)| whose)
    }

    pub(super) fn is_own(&self, kind: NamespaceKind) -> bool {
        self.whose(kind) == Some(&Whose::Own)
    }

    pub(super) fn is_hosts(&self, kind: NamespaceKind) -> bool {
        self.whose(kind).is_none_or(|whose| *whose == Whose::Host)
    }

    /// Whether it is in the host's namespaces and has the host's root: then its ids and limits are those of any login there.
    pub(super) fn is_on_host(&self) -> bool {
        NamespaceKind::ALL.into_iter().all(|kind| self.is_hosts(kind))
            && self.observed.root.as_ref().is_none_or(|root| root.is_host && root.path.as_os_str() == "/")
    }

    /// Enters and makes namespaces; gives the step that makes them.
    pub(super) fn namespaces(&mut self) -> Result<Option<PlannedStep<'a>>, PlanError> {
        self.join()?;
        let own: Vec<(NamespaceKind, UnshareFlags)> = CLONE_FLAGS
            .into_iter()
            .filter(|(kind, _)| self.is_own(*kind))
            .filter(|(kind, _)| *kind != NamespaceKind::Time || self.observed.clocks.is_empty())
            .collect();
        let files: Vec<&str> = own.iter().map(|(kind, _)| kind.file_name()).collect();
        let namespaces = own.iter().fold(UnshareFlags::empty(), |all, (_, flag)| all | *flag);
        let clone = (!own.is_empty()).then(|| PlannedStep {
            stage: Stage::Namespaces,
            action: Action::Host(HostStep::Clone { namespaces }),
            origin: self.shown_by(&match files.as_slice() {
                [one] => format!("ns/{one}: no other container's, and not the host's"),
                several => format!("ns/{{{}}}: no other container's, and not the host's", several.join(",")),
            }),
        });
        if self.is_own(NamespaceKind::User) {
            self.map_ids();
        }
        self.set_up()?;
        Ok(clone)
    }

    fn join(&mut self) -> Result<(), PlanError> {
        for kind in NamespaceKind::ALL {
            let Some(Whose::Shared { pid, name }) = self.whose(kind).cloned() else { continue };
            let file = kind.file_name();
            let path = self.arena.cstr(format!("/proc/{pid}/ns/{file}"))?;
            let origin = self.shown_by(&format!("ns/{file}: that of {}", visible(&name)));
            self.before(Stage::Prepare, HostStep::Join { kind, path }, origin);
        }
        Ok(())
    }

    fn map_ids(&mut self) {
        let ids = &self.observed.ids;
        if ids.uids.is_empty() && ids.gids.is_empty() {
            let origin = self.shown_by("uid_map: empty");
            self.seen(Stage::Namespaces, Seen::NoMaps, origin);
            return;
        }
        let (uids, gids) = (self.arena.slice(&ids.uids), self.arena.slice(&ids.gids));
        let is_owners = |map: &[IdMapping]| {
            map.iter().any(|m| m.inside == 0 && ids.owner.is_none_or(|owner| owner == m.outside))
        };
        let is_single = |map: &[IdMapping]| matches!(map, [IdMapping { count: 1, .. }]);
        let alone = is_single(uids) && is_single(gids);
        let (action, why) = if !is_owners(uids) {
            (Action::Seen(Seen::ForeignMaps { uids, gids }), "")
        } else if alone || ids.owner == Some(0) {
            let deny_setgroups = !ids.may_set_groups;
            (Action::Host(HostStep::MapIds(IdMaps::Written { uids, gids, deny_setgroups })), "")
        } else {
            let helpers = [c"newuidmap", c"newgidmap"];
            let maps = IdMaps::ByHelpers { uids, gids, helpers };
            (
                Action::Host(HostStep::MapIds(maps)),
                ": more than the maker's own id, which takes a program with CAP_SETUID",
            )
        };
        let origin = self.shown_by(&format!("uid_map, gid_map and setgroups{why}"));
        self.after(action, origin);
        let origin = self.shown_by("uid_map: an id that is not mapped owns nothing");
        self.after(Action::Host(HostStep::Release), origin.clone());
        self.child(Stage::Namespaces, Step::AwaitParent, origin);
    }

    fn set_up(&mut self) -> Result<(), PlanError> {
        if self.is_own(NamespaceKind::Network) {
            self.set_up_network()?;
        }
        if self.is_own(NamespaceKind::Uts) {
            let variables = self.observed.process.environment.iter();
            let name = variables.filter_map(|word| word.to_str()?.strip_prefix("HOSTNAME=")).next_back();
            let variable = match name.filter(|name| !name.is_empty()) {
                Some(name) => Some(self.arena.cstr(name)?),
                None => None,
            };
            let origin = self.shown_by("ns/uts: a host name of its own");
            self.seen(Stage::Namespaces, Seen::HostName { variable }, origin);
        }
        if self.is_own(NamespaceKind::Time) && !self.observed.clocks.is_empty() {
            let offsets = self.arena.cstr(&self.observed.clocks)?;
            let origin = self.shown_by("timens_offsets");
            self.child(Stage::Namespaces, Step::TimeNamespace { offsets }, origin);
        }
        let with_parameters = [NamespaceKind::Network, NamespaceKind::Ipc, NamespaceKind::Uts];
        if with_parameters.into_iter().any(|kind| self.is_own(kind)) {
            let origin = self.shown_by("ns/{net,ipc,uts}");
            self.seen(Stage::Mounts, Seen::Parameters, origin);
        }
        if self.is_own(NamespaceKind::Mount) {
            self.propagation();
        }
        Ok(())
    }

    fn set_up_network(&mut self) -> Result<(), PlanError> {
        if self.observed.is_loopback_up {
            let origin = self.shown_by("net/fib_trie: 127.0.0.1 is its own");
            self.child(Stage::Namespaces, Step::LoopbackUp, origin);
        }
        for name in &self.observed.interfaces {
            let origin = self.shown_by("net/dev");
            let seen = Seen::Interface(self.arena.cstr(name)?);
            self.after(Action::Seen(seen), origin);
        }
        Ok(())
    }

    /// A new mount namespace has copies of the mounts, with the propagation of the old ones: whatever is otherwise was made so.
    fn propagation(&mut self) {
        let top = |mounts: &[super::ObservedMount]| {
            mounts.iter().rfind(|mount| mount.point.as_os_str() == "/").map(|mount| mount.propagation.clone())
        };
        let (Some(hosts), Some(its)) = (top(&self.observed.host_mounts), top(&self.observed.mounts)) else {
            return;
        };
        let propagation = match (hosts.contains("shared:"), its.contains("shared:"), its.contains("master:"))
        {
            (true, false, true) => Propagation::Slave,
            (true, false, false) => Propagation::Private,
            (_, true, _) if its != hosts => Propagation::Shared,
            _ => return,
        };
        let what = if its.is_empty() { "no propagation".to_owned() } else { its };
        let origin = self.shown_by(&format!("mountinfo: / has {what}, the host's {hosts}"));
        self.child(Stage::Namespaces, Step::Propagation(propagation), origin);
    }
}
