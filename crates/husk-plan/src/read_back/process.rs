// SPDX-License-Identifier: Apache-2.0
//! The process: who it is, what it may do, and what it executes.

use std::ffi::{CStr, OsString};

use husk_init::{Exec, ProcessCapabilities, Step};
use husk_spec::{Capabilities, NamespaceKind};
use rustix::thread::CapabilitySet;

use super::{ObservedSeccomp, Reader};
use crate::PlanError;
use crate::compile::resource;
use crate::plan::Stage;
use crate::seen::Seen;

impl Reader<'_, '_> {
    pub(super) fn process(&mut self) -> Result<(), PlanError> {
        // What may not be looked at is not told as if it were the host's.
        let is_on_host = self.is_on_host();
        if !is_on_host {
            self.place()?;
            self.identity()?;
        }
        self.bounding_set();
        if !is_on_host {
            self.ids()?;
        }
        self.confine(is_on_host)?;
        let is_told = !(self.before.is_empty() && self.after.is_empty() && self.child.is_empty());
        if is_told && !self.observed.namespaces.is_empty() || !is_on_host {
            self.execute()?;
        }
        Ok(())
    }

    fn place(&mut self) -> Result<(), PlanError> {
        for cgroup in &self.observed.process.cgroups {
            let directories = cgroup.directories.iter().map(|directory| self.arena.cstr(directory));
            let directories: Vec<&CStr> = directories.collect::<Result<_, _>>()?;
            let seen = Seen::Cgroup {
                path: self.arena.cstr(&cgroup.path)?,
                directories: self.arena.slice(&directories),
                limits: self.arena.cstr(&cgroup.limits)?,
            };
            let origin = self.shown_by("cgroup");
            self.seen(Stage::Namespaces, seen, origin);
        }
        if let Some(score) = self.observed.process.oom_score {
            let origin = self.shown_by("oom_score_adj");
            self.seen(Stage::Namespaces, Seen::OomScore(score), origin);
        }
        Ok(())
    }

    fn identity(&mut self) -> Result<(), PlanError> {
        let process = &self.observed.process;
        if process.leads_session {
            let origin = self.shown_by("status: NSsid is its own id");
            self.child(Stage::Identity, Step::NewSession, origin);
        }
        for limit in &process.rlimits {
            let step =
                Step::Rlimit { resource: resource(limit.resource), soft: limit.soft, hard: limit.hard };
            let origin = self.shown_by("limits");
            self.child(Stage::Identity, step, origin);
        }
        if let Some(directory) = &process.directory {
            let path = self.arena.cstr(directory)?;
            let origin = self.shown_by("cwd");
            self.seen(Stage::Identity, Seen::Directory(path), origin);
        }
        Ok(())
    }

    fn bounding_set(&mut self) {
        let Some(capabilities) = self.observed.process.capabilities else { return };
        // A capability that is newer than this husk is neither told nor missed.
        let known = Capabilities::all().bits();
        if capabilities.bounding.bits() & known != capabilities.first_bounding.bits() & known {
            let set = CapabilitySet::from_bits_retain(capabilities.bounding.bits());
            let origin = self.shown_by("status: CapBnd");
            self.child(Stage::Identity, Step::BoundingSet(set), origin);
        }
    }

    /// Ids that the process did not begin with: in a new user namespace, its maker has the id that the map gives him.
    fn ids(&mut self) -> Result<(), PlanError> {
        let process = &self.observed.process;
        let ids = &self.observed.ids;
        let is_own = self.is_own(NamespaceKind::User);
        if !process.has_the_callers_groups && (!is_own || ids.may_set_groups) {
            let groups = self.arena.slice(&process.groups);
            let origin = self.shown_by("status: Groups");
            self.child(Stage::Identity, Step::Groups(groups), origin);
        }
        let of_maker = |map: &[husk_spec::IdMapping], outside: Option<u32>| {
            let line = |m: &husk_spec::IdMapping| {
                let offset = outside?.checked_sub(m.outside).filter(|offset| *offset < m.count)?;
                Some(m.inside + offset)
            };
            match map {
                // Whoever has but one id has it without doing anything.
                [one] if one.count == 1 => Some(one.inside),
                map => map.iter().find_map(line),
            }
        };
        let (first_uid, first_gid) = match is_own {
            true => (of_maker(&ids.uids, ids.owner), of_maker(&ids.gids, ids.owner)),
            false => (Some(0), Some(0)),
        };
        if let Some(gid) = process.gid.filter(|gid| Some(*gid) != first_gid) {
            let origin = self.shown_by("status: Gid");
            self.child(Stage::Identity, Step::Gid(gid), origin);
        }
        if let Some(uid) = process.uid.filter(|uid| Some(*uid) != first_uid) {
            let origin = self.shown_by("status: Uid");
            self.child(Stage::Identity, Step::Uid(uid), origin);
        }
        Ok(())
    }

    fn confine(&mut self, is_on_host: bool) -> Result<(), PlanError> {
        let process = &self.observed.process;
        if let Some(sets) = process.capabilities {
            let none = Capabilities::NONE;
            let after_exec = if process.uid == Some(0) { sets.bounding } else { none };
            let is_plain = sets.inheritable == none && sets.ambient == none;
            let origin = self.shown_by("status: CapPrm, CapEff, CapInh and CapAmb");
            if is_plain && sets.permitted == after_exec && sets.effective == after_exec {
                // On the host, and in a user namespace that dropped nothing, this is what everybody has.
                if sets.bounding != sets.first_bounding || !is_on_host && process.uid != Some(0) {
                    let set = CapabilitySet::from_bits_retain(after_exec.bits());
                    let none = CapabilitySet::empty();
                    let sets = ProcessCapabilities {
                        effective: set,
                        permitted: set,
                        inheritable: none,
                        ambient: none,
                    };
                    self.child(Stage::Confine, Step::Capabilities(sets), origin);
                }
            } else {
                let seen = Seen::Capabilities {
                    effective: sets.effective,
                    permitted: sets.permitted,
                    inheritable: sets.inheritable,
                    ambient: sets.ambient,
                };
                self.seen(Stage::Confine, seen, origin);
            }
        }
        if process.no_new_privileges {
            let origin = self.shown_by("status: NoNewPrivs");
            self.child(Stage::Confine, Step::NoNewPrivileges, origin);
        }
        let seccomp = match process.seccomp {
            ObservedSeccomp::Off => None,
            ObservedSeccomp::Strict => Some(Seen::SeccompStrict),
            ObservedSeccomp::Filters(count) => Some(Seen::SeccompFilters { count }),
        };
        if let Some(seen) = seccomp {
            let origin = self.shown_by("status: Seccomp, Seccomp_filters");
            self.seen(Stage::Confine, seen, origin);
        }
        if let Some(label) = &process.label {
            let seen = Seen::Label(self.arena.cstr(label)?);
            let origin = self.shown_by("attr/current");
            self.seen(Stage::Confine, seen, origin);
        }
        Ok(())
    }

    fn execute(&mut self) -> Result<(), PlanError> {
        let process = &self.observed.process;
        if let Some(umask) = process.umask {
            let origin = self.shown_by("status: Umask");
            self.child(Stage::Exec, Step::Umask(umask), origin);
        }
        let strings = |words: &[OsString]| -> Result<Vec<&CStr>, PlanError> {
            words.iter().map(|word| self.arena.cstr(word)).collect()
        };
        let (arguments, environment) = (strings(&process.arguments)?, strings(&process.environment)?);
        let Some(first) = arguments.first() else { return Ok(()) };
        let exec = Exec {
            candidates: self.arena.slice(&[*first]),
            arguments: self.arena.string_array(&arguments),
            environment: self.arena.string_array(&environment),
        };
        let origin = self.shown_by("cmdline and environ");
        self.child(Stage::Exec, Step::Exec(exec), origin);
        Ok(())
    }
}
