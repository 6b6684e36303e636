// SPDX-License-Identifier: Apache-2.0
//! `create` and `run`.

use std::process::ExitCode;

use husk_plan::Arena;
use husk_runtime::container::{self, Making, Then};
use husk_spec::Lifetime;
use husk_spec::oci::Lowering;

use super::state_root;
use crate::bundle::Bundle;
use crate::command_line::{Create, Globals, Run};
use crate::failure::Failure;

pub(crate) fn create(globals: &Globals, create: &Create) -> Result<ExitCode, Failure> {
    with_plan(globals, create, Lifetime::Created, |making| {
        container::create(&state_root(globals), making)?;
        Ok(ExitCode::SUCCESS)
    })
}

pub(crate) fn run(globals: &Globals, run: &Run) -> Result<ExitCode, Failure> {
    let then = if run.detach { Then::Detach } else { Then::Stay { keep: run.keep } };
    with_plan(globals, &run.create, Lifetime::Detached, |making| {
        let end = container::run(&state_root(globals), making, then)?;
        Ok(end.map_or(ExitCode::SUCCESS, |end| ExitCode::from(end.status())))
    })
}

fn with_plan(
    globals: &Globals,
    create: &Create,
    lifetime: Lifetime,
    act: impl FnOnce(&Making<'_>) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let bundle = Bundle::read(globals, create.bundle.as_deref())?;
    let with = Lowering {
        id: create.id.as_str(),
        bundle: &bundle.path,
        lifetime,
        no_pivot: create.no_pivot,
        no_new_keyring: create.no_new_keyring,
        systemd_cgroup: globals.systemd_cgroup,
        preserved_descriptors: create.preserve_fds,
    };
    let config = bundle.spec.lower(&with).map_err(container::Error::from)?;
    let host = container::probe(&config)?;
    let arena = Arena::new();
    let plan = husk_plan::plan(&config, &host, &arena).map_err(container::Error::from)?;
    let rootfs = config.root.as_ref().map(|root| root.path.value.clone()).unwrap_or_default();
    act(&Making {
        id: &create.id,
        bundle: &bundle.path,
        rootfs: &rootfs,
        config: &bundle.config,
        spec: &bundle.spec,
        plan: &plan,
        pid_file: create.pid_file.as_deref(),
        console_socket: create.console_socket.as_deref(),
    })
}
