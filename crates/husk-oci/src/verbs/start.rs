// SPDX-License-Identifier: Apache-2.0
//! `start`.

use husk_runtime::container;
use husk_spec::oci::ContainerId;

use super::{notify_socket, state_root};
use crate::command_line::Globals;
use crate::failure::Failure;
use crate::log;
use crate::{SUCCESS, Status};

pub(crate) fn start(globals: &Globals, id: &ContainerId) -> Result<Status, Failure> {
    let notify = notify_socket();
    let warn = |warning: &str| log::warning(globals, warning);
    container::start(&state_root(globals), id, notify.as_deref(), &warn)?;
    Ok(SUCCESS)
}
