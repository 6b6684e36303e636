// SPDX-License-Identifier: Apache-2.0

//! Real engines, with the runtime under test beside runc: what is needed is installed, then the program `engines` plays.

use crate::process::{cargo, is_root, run as run_command};
use crate::workspace::{members, metadata, string};
use crate::{Result, setup};

/// The verb; its arguments are those of the program.
pub(crate) fn run(args: &[String]) -> Result {
    let asks_only = args.iter().any(|arg| ["--help", "-h", "--list"].contains(&arg.as_str()));
    if !asks_only && !is_root() {
        println!("SKIP engines: they need root: sudo -E cargo xtask engines");
        return Ok(());
    }
    if !asks_only {
        setup::ensure();
        if !args.iter().any(|arg| arg == "--runtime") {
            build_runtime()?;
        }
    }
    let mut program = cargo(&["run", "--quiet", "--package", "husk-engines", "--"]);
    run_command(program.args(args))
}

/// Builds the runtime that is played with where none is named, if the workspace has it.
fn build_runtime() -> Result {
    let metadata = metadata()?;
    let is_there = members(&metadata, "packages").any(|package| string(package, "name") == "husk-oci");
    if !is_there {
        return Err("there is no husk-oci here yet: name a runtime with --runtime".into());
    }
    run_command(&mut cargo(&["build", "--release", "--package", "husk-oci"]))
}
