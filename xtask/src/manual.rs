// SPDX-License-Identifier: Apache-2.0

//! Man pages and shell completions, by the crate that makes them from the command lines' definitions. It is run and not linked, so
//! that the other verbs work also while the programs do not compile.

use std::path::PathBuf;

use crate::process::{cargo, run as run_command};
use crate::{Result, workspace};

/// The verb.
pub(crate) fn run(args: &[String]) -> Result {
    let directory = match args {
        [] => workspace::target_directory()?.join("manual"),
        [option, directory] if option == "--out" => std::path::absolute(PathBuf::from(directory))?,
        _ => return Err("takes nothing but --out DIR".into()),
    };
    run_command(cargo(&["run", "--quiet", "--package", "husk-manual", "--"]).arg(&directory))?;
    println!(
        "{0}: man/man1, and completions for bash, zsh and fish; `cp -r {0}/. /usr/local/share/` installs them",
        directory.display()
    );
    Ok(())
}
