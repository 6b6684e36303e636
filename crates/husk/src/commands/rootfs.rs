// SPDX-License-Identifier: Apache-2.0
//! `husk rootfs`.

use std::process::ExitCode;

use husk_runtime::rootfs::{Built, Recipe, Source, build};

use crate::cli::{From, RootfsNew};
use crate::failure::{COMMAND_FAILED, Failure};
use crate::output;

/// Builds a root file system.
///
/// # Errors
/// Whatever keeps it from being built; nothing is left behind then.
pub(crate) fn new(new: &RootfsNew) -> Result<ExitCode, Failure> {
    let built = build(&new.dir, &recipe(new)).map_err(|error| Failure {
        doing: format!("building a root in {}", new.dir.display()),
        hints: error.hint().into_iter().collect(),
        problem: error.to_string(),
        status: COMMAND_FAILED,
    })?;
    built.notes.iter().for_each(|note| output::note(&note.to_string()));
    Ok(output::line(&summary(&built)))
}

fn recipe(new: &RootfsNew) -> Recipe {
    match new.from {
        _ if new.minimal => Recipe::Minimal,
        Some(From::Host) => Recipe::Host { add: new.add.clone() },
        Some(From::Busybox) | None => Recipe::Busybox,
    }
}

fn summary(built: &Built) -> String {
    let dir = built.dir.display();
    let libraries = match built.libraries.len() {
        0 => String::new(),
        count => format!(" and {count} libraries"),
    };
    let size = built.bytes.div_ceil(1024);
    match &built.source {
        Source::Busybox { path, applets, .. } => {
            format!("{dir}: {} with {applets} applets{libraries}, {size} KiB", path.display())
        }
        Source::Host { programs } => {
            format!("{dir}: {} of this host's programs{libraries}, {size} KiB", programs.len())
        }
    }
}
