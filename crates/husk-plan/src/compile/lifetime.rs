// SPDX-License-Identifier: Apache-2.0
//! The life of a container beside that of whoever makes it: hooks, and the wait between making and starting.

use husk_init::{Exec, Hook, Step};
use husk_spec::{Given, Lifetime, Origin};

use super::Compiler;
use super::process::UMASK;
use crate::PlanError;
use crate::plan::{HostStep, Stage};

/// The number of the file with the state while the container is being made.
const CREATING: usize = 0;

/// The number of the file with the state when it is made.
const CREATED: usize = 1;

const OUTLIVES: Origin = Origin::Default("the container outlives whoever makes it");

impl<'a, 'c> Compiler<'a, 'c> {
    /// The hooks that come when everything is mounted and the root not yet entered.
    pub(super) fn run_hooks_outside_root(&mut self) -> Result<(), PlanError> {
        if let Some(origin) = self.meeting() {
            self.child(Stage::Mounts, Step::AwaitHooks, origin);
            self.hooks(&self.config.hooks.create_container, CREATING, UMASK, Stage::Mounts)?;
        }
        if self.is_written_down_meanwhile() {
            self.child(Stage::Mounts, Step::TellMounted, &OUTLIVES);
        }
        Ok(())
    }

    /// Whether husk writes the state down while the child goes on to its command. Where that waits for a start, whoever made the
    /// container is to know that nothing is in its way; where it does not, the exec may fail after that anyway. Who enters a
    /// container has no state, only what is told of it.
    fn is_written_down_meanwhile(&self) -> bool {
        self.config.lifetime == Lifetime::Detached && self.config.root.is_some()
    }

    /// Why husk and the child meet when everything is mounted: husk's own hooks, or those of the child that want a state. Where
    /// nothing waits for a start, husk writes the state down for the last of them here too.
    fn meeting(&self) -> Option<&'c Origin> {
        let hooks = &self.config.hooks;
        let outside = hooks.outside.as_ref().map(|given| &given.origin);
        let first = |hooks: &'c [Given<husk_spec::Hook>]| hooks.first().map(|hook| &hook.origin);
        let start = first(&hooks.start_container).filter(|_| self.config.lifetime == Lifetime::Attached);
        outside.or(first(&hooks.create_container)).or(start)
    }

    fn hooks(
        &mut self,
        hooks: &[Given<husk_spec::Hook>],
        state: usize,
        umask: u32,
        stage: Stage,
    ) -> Result<(), PlanError> {
        for hook in hooks {
            let path = self.arena.cstr(&hook.value.path)?;
            let arguments = match hook.value.args.as_slice() {
                [] => vec![path],
                args => self.strings(args)?,
            };
            let environment = self.strings(&hook.value.environment)?;
            let exec = Exec {
                candidates: self.arena.slice(&[path]),
                arguments: self.arena.string_array(&arguments),
                environment: self.arena.string_array(&environment),
            };
            let timeout = hook.value.timeout;
            self.child(stage, Step::Hook(Hook { exec, state, timeout, umask }), &hook.origin);
        }
        Ok(())
    }

    /// What stands between the process that is ready and its command.
    pub(super) fn await_start(&mut self, exec: Exec<'a>) -> Result<(), PlanError> {
        let hooks = &self.config.hooks.start_container;
        let umask = self.config.process.umask.unwrap_or(UMASK);
        if self.config.lifetime == Lifetime::Attached {
            return self.hooks(hooks, CREATED, umask, Stage::Exec);
        }
        self.child(Stage::Exec, Step::FindCommand(exec), &self.config.process.args.origin);
        self.child(Stage::Exec, Step::ForgetParent, &OUTLIVES);
        let commit = if self.is_written_down_meanwhile() { Step::AwaitParent } else { Step::AwaitCommit };
        self.child(Stage::Exec, commit, &OUTLIVES);
        if self.config.lifetime == Lifetime::Created {
            let origin = Origin::Argument("create".to_owned());
            let first = 3 + self.config.process.preserved_descriptors;
            self.child(Stage::Exec, Step::AwaitStart { first }, &origin);
        }
        self.hooks(hooks, CREATED, umask, Stage::Exec)
    }

    /// The other side of it all.
    pub(super) fn attend_to_start(&mut self) {
        let nothing_left = Origin::Default("nothing is left behind");
        if self.waits_for_husk() {
            self.after(HostStep::Release, &nothing_left);
        }
        self.after.append(&mut self.meanwhile);
        let is_attached = self.config.lifetime == Lifetime::Attached;
        if is_attached {
            self.after(HostStep::Guard, &nothing_left);
            self.sweep_cgroups();
        }
        if let Some(origin) = self.meeting() {
            self.after(HostStep::Hooks, origin);
        }
        if is_attached {
            return;
        }
        self.after(HostStep::Commit, &OUTLIVES);
    }
}
