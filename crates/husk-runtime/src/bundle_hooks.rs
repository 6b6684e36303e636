// SPDX-License-Identifier: Apache-2.0
//! The hooks of a bundle whose container is attended to.

use std::path::Path;

use husk_spec::oci::{Hooks, Spec, State, Status};
use rustix::fd::OwnedFd;
use rustix::process::Pid;

use crate::container::hooks;
use crate::error::Error;

/// The hooks of a bundle, and what they get to know of its container.
#[derive(Debug)]
pub struct BundleHooks {
    hooks: Hooks,
    state: State,
    /// For the hooks that the container's own process runs: the state while it is being made, and when it is made.
    files: Vec<OwnedFd>,
    /// Whether any hook has been run.
    has_begun: bool,
    problems: Vec<String>,
}

impl BundleHooks {
    /// The hooks of the bundle in `directory`, whose container is called `id`; `None` if it has none.
    ///
    /// # Errors
    /// No files can be made for the state.
    pub fn of(spec: &Spec, id: &str, directory: &Path) -> Result<Option<Self>, Error> {
        let Some(all) = spec.hooks.clone().filter(|all| *all != Hooks::default()) else { return Ok(None) };
        let files = [hooks::state_file(), hooks::state_file()];
        let files = files.into_iter().collect::<Result<_, _>>().map_err(Error::Supervise)?;
        let state = State {
            oci_version: spec.oci_version.clone(),
            id: id.to_owned(),
            status: Status::Creating,
            pid: None,
            bundle: directory.to_string_lossy().into_owned(),
            annotations: spec.annotations.clone(),
        };
        Ok(Some(Self { hooks: all, state, files, has_begun: false, problems: Vec::new() }))
    }

    /// What went wrong without ending anything: the specification has `poststop` hooks complain and no more.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(String::as_str)
    }

    pub(crate) fn states(&self) -> &[OwnedFd] {
        &self.files
    }

    /// Everything is mounted, and the root not yet entered.
    pub(crate) fn mounted(&mut self, pid: Pid) -> Result<(), Error> {
        self.has_begun = true;
        self.state.pid = Some(pid.as_raw_nonzero().get());
        for (file, status) in self.files.iter().zip([Status::Creating, Status::Created]) {
            let state = State { status, ..self.state.clone() };
            hooks::write_state(file, &state).map_err(Error::Supervise)?;
        }
        hooks::run(&self.hooks.prestart, "prestart", &self.state)?;
        hooks::run(&self.hooks.create_runtime, "createRuntime", &self.state)
    }

    /// The command runs.
    pub(crate) fn started(&mut self, pid: Pid) -> Result<(), Error> {
        self.has_begun = true;
        self.state.status = Status::Running;
        self.state.pid = Some(pid.as_raw_nonzero().get());
        hooks::run(&self.hooks.poststart, "poststart", &self.state)
    }

    /// The container has ended, or was never finished.
    pub(crate) fn ended(&mut self) {
        if !self.has_begun {
            return;
        }
        self.state.status = Status::Stopped;
        self.state.pid = None;
        self.problems.extend(hooks::run_all(&self.hooks.poststop, "poststop", &self.state));
    }
}
