// SPDX-License-Identifier: Apache-2.0
//! The words of `husk see` and `husk diff`.

use std::path::PathBuf;

use clap::Args;

const SEE_USAGE: &str = "husk see [OPTIONS] [PID|CONTAINER|NAME]...";

const SEE_AFTER: &str = "\
Without arguments: all containers on this machine. A container is a set of
processes that share a set of namespaces that is not the host's. husk see reads;
it enters nothing. What it may not look at is shown as `?`.";

const DIFF_USAGE: &str = "husk diff [OPTIONS] A B";

const DIFF_AFTER: &str = "\
A and B: `host`, a process id, a container's name or id, or the directory of an
OCI bundle. `host` is what a command gets that is typed here without a container;
a container stands for its first process, a bundle for what its command would
see (write ./NAME where something else has that name).

Exit status: 0 if there is no difference, 1 if there is, 2 if husk failed.";

// `husk see` as it was typed. No doc comment: clap would print it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(override_usage = SEE_USAGE, after_help = SEE_AFTER)]
pub(crate) struct See {
    /// What to look at, in detail
    #[arg(value_name = "PID|CONTAINER|NAME", hide = true)]
    pub(crate) names: Vec<String>,
    /// Show which container is in which, with all processes
    #[arg(long, conflicts_with_all = ["json", "html"])]
    pub(crate) tree: bool,
    /// Show the mounts of each
    #[arg(long, conflicts_with_all = ["tree", "json", "html"])]
    pub(crate) mounts: bool,
    /// Print JSON, in the shape that docs/see.md describes
    #[arg(long, conflicts_with_all = ["watch", "html"])]
    pub(crate) json: bool,
    /// Draw anew each second until Control-C
    #[arg(long, conflicts_with = "html")]
    pub(crate) watch: bool,
    /// Write a drawing of the nested namespaces, one page of HTML
    #[arg(long, value_name = "FILE", conflicts_with = "names")]
    pub(crate) html: Option<PathBuf>,
}

// `husk diff` as it was typed.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(override_usage = DIFF_USAGE, after_help = DIFF_AFTER)]
pub(crate) struct Diff {
    #[arg(value_name = "A", hide = true)]
    pub(crate) a: String,
    #[arg(value_name = "B", hide = true)]
    pub(crate) b: String,
    /// Compare the values of environment variables too, not only which there are
    #[arg(long)]
    pub(crate) env: bool,
    /// Print JSON, in the shape that docs/see.md describes
    #[arg(long)]
    pub(crate) json: bool,
}
