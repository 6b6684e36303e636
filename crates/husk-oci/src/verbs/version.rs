// SPDX-License-Identifier: Apache-2.0
//! `--version`.

use crate::failure::Failure;
use crate::output;
use crate::{SUCCESS, Status};

pub(crate) fn version() -> Result<Status, Failure> {
    let commit = option_env!("HUSK_COMMIT").unwrap_or("unknown");
    output::product(&format!(
        "husk-oci version {}\ncommit: {commit}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        husk_spec::oci::VERSION
    ))?;
    Ok(SUCCESS)
}
