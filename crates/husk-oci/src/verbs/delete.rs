// SPDX-License-Identifier: Apache-2.0
//! `delete`.

use husk_runtime::container;
use husk_spec::oci::ContainerId;

use super::state_root;
use crate::command_line::Globals;
use crate::failure::Failure;
use crate::log;
use crate::{SUCCESS, Status};

pub(crate) fn delete(globals: &Globals, id: &ContainerId, force: bool) -> Result<Status, Failure> {
    let warnings = container::delete(&state_root(globals), id, force)?;
    warnings.iter().for_each(|warning| log::warning(globals, warning));
    Ok(SUCCESS)
}
