// SPDX-License-Identifier: Apache-2.0
//! `pause` and `resume`.

use std::process::ExitCode;

use husk_runtime::container;
use husk_spec::oci::ContainerId;

use super::state_root;
use crate::command_line::Globals;
use crate::failure::Failure;

pub(crate) fn pause(globals: &Globals, id: &ContainerId) -> Result<ExitCode, Failure> {
    container::pause(&state_root(globals), id)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn resume(globals: &Globals, id: &ContainerId) -> Result<ExitCode, Failure> {
    container::resume(&state_root(globals), id)?;
    Ok(ExitCode::SUCCESS)
}
