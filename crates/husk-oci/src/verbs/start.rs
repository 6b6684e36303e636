// SPDX-License-Identifier: Apache-2.0
//! `start`.

use husk_runtime::container;
use husk_spec::oci::ContainerId;

use super::state_root;
use crate::command_line::Globals;
use crate::failure::Failure;
use crate::log;
use crate::{SUCCESS, Status};

pub(crate) fn start(globals: &Globals, id: &ContainerId) -> Result<Status, Failure> {
    container::start(&state_root(globals), id, &|warning| log::warning(globals, warning))?;
    Ok(SUCCESS)
}
