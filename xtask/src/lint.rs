// SPDX-License-Identifier: Apache-2.0

//! Everything that reads the source and runs nothing.

use crate::process::{cargo, run as run_command};
use crate::{Result, edges, sources};

/// The verb: runs every check, also after one has failed, to show all there is to mend at once.
pub(crate) fn run() -> Result {
    let outcomes = [
        run_command(&mut cargo(&["fmt", "--all", "--check"])),
        run_command(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])),
        edges::run(),
        sources::check(),
    ];
    let failures: Vec<_> =
        outcomes.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}
