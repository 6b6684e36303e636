// SPDX-License-Identifier: Apache-2.0
//! The life of a container beside that of whoever makes it: hooks, and the wait between making and starting.

use husk_init::{Exec, Hook, Step};
use husk_spec::{Given, Lifetime, Origin};

use super::Compiler;
use crate::PlanError;
use crate::plan::{HostStep, Stage};

/// The number of the file with the state while the container is being made.
const CREATING: usize = 0;

/// The number of the file with the state when it is made.
const CREATED: usize = 1;

impl<'a> Compiler<'a, '_> {
    /// The hooks that come when everything is mounted and the root not yet entered.
    pub(super) fn run_hooks_outside_root(&mut self) -> Result<(), PlanError> {
        let hooks = &self.config.hooks;
        let first = hooks.create_container.first().map(|hook| &hook.origin);
        let Some(origin) = hooks.outside.as_ref().map(|given| &given.origin).or(first) else { return Ok(()) };
        self.child(Stage::Mounts, Step::AwaitHooks, origin);
        self.hooks(&hooks.create_container, CREATING, Stage::Mounts)
    }

    fn hooks(
        &mut self,
        hooks: &[Given<husk_spec::Hook>],
        state: usize,
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
            self.child(stage, Step::Hook(Hook { exec, state, timeout }), &hook.origin);
        }
        Ok(())
    }

    /// What stands between the process that is ready and its command.
    pub(super) fn await_start(&mut self, exec: Exec<'a>) -> Result<(), PlanError> {
        if self.config.lifetime == Lifetime::Attached {
            return Ok(());
        }
        let origin = Origin::Default("the container outlives whoever makes it");
        self.child(Stage::Exec, Step::FindCommand(exec), &self.config.process.args.origin);
        self.child(Stage::Exec, Step::ForgetParent, &origin);
        self.child(Stage::Exec, Step::AwaitCommit, &origin);
        if self.config.lifetime == Lifetime::Created {
            let origin = Origin::Argument("create".to_owned());
            self.child(Stage::Exec, Step::AwaitStart, &origin);
        }
        self.hooks(&self.config.hooks.start_container, CREATED, Stage::Exec)
    }

    /// The other side of it all.
    pub(super) fn attend_to_start(&mut self) {
        let nothing_left = Origin::Default("nothing is left behind");
        if self.waits_for_husk() {
            self.after(HostStep::Release, &nothing_left);
        }
        if self.config.lifetime == Lifetime::Attached {
            self.after(HostStep::Guard, &nothing_left);
            return;
        }
        let hooks = &self.config.hooks;
        let first = hooks.create_container.first().map(|hook| hook.origin.clone());
        if let Some(origin) = hooks.outside.as_ref().map(|given| given.origin.clone()).or(first) {
            self.after(HostStep::Hooks, &origin);
        }
        self.after(HostStep::Commit, &Origin::Default("the container outlives whoever makes it"));
    }
}
