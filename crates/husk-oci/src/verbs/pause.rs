// SPDX-License-Identifier: Apache-2.0
//! `pause` and `resume`.

use husk_runtime::container;
use husk_spec::oci::ContainerId;

use super::state_root;
use crate::command_line::Globals;
use crate::failure::Failure;
use crate::{SUCCESS, Status};

pub(crate) fn pause(globals: &Globals, id: &ContainerId) -> Result<Status, Failure> {
    container::pause(&state_root(globals), id)?;
    Ok(SUCCESS)
}

pub(crate) fn resume(globals: &Globals, id: &ContainerId) -> Result<Status, Failure> {
    container::resume(&state_root(globals), id)?;
    Ok(SUCCESS)
}
