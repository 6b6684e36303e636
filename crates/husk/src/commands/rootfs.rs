// SPDX-License-Identifier: Apache-2.0
//! `husk rootfs`.

use std::process::ExitCode;

use crate::cli::RootfsNew;
use crate::failure::{COMMAND_FAILED, Failure};

/// Builds a root file system.
///
/// # Errors
/// Whatever keeps it from being built; nothing is left behind then.
pub(crate) fn new(new: &RootfsNew) -> Result<ExitCode, Failure> {
    Err(Failure {
        doing: format!("building a root in {}", new.dir.display()),
        problem: "not built yet".to_owned(),
        hints: Vec::new(),
        status: COMMAND_FAILED,
    })
}
