// SPDX-License-Identifier: Apache-2.0
//! The words of `husk doctor`.

use clap::Args;

const ABOUT: &str = "Show what this host can do, what it lacks, and how to mend that";
const USAGE: &str = "husk doctor [OPTIONS] [FEATURE...]";

const AFTER: &str = "\
FEATURE is a group of the table (kernel, users, ids, cgroups, security, nesting,
places) or one of its rows (overlay, rootless, idmap, ...).

Exit status: 0 if a container can run here and nothing of what was asked for is
missing; 1 otherwise.";

/// `husk doctor` as it was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(about = ABOUT, override_usage = USAGE, after_help = AFTER)]
pub(crate) struct Doctor {
    /// What has to work; everything is shown otherwise
    #[arg(value_name = "FEATURE")]
    pub(crate) features: Vec<String>,
    /// Print it as JSON (docs/doctor.md has its shape)
    #[arg(long)]
    pub(crate) json: bool,
}
