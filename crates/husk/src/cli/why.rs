// SPDX-License-Identifier: Apache-2.0
//! The words of `husk why`.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::run::{Run, RunLine, WHY_USAGE};

const USAGE: &str = "husk why run [OPTIONS] [ROOTFS] [COMMAND [ARG...]]
       husk why -- COMMAND [ARG...]
       husk why [CONTAINER]";

const AFTER: &str = "\
`husk why run` takes what `husk run` takes, runs it, and tells of its end. With
nothing to run it repeats what is known of the last failure, or of CONTAINER's;
of one that runs, whoever made it, it tells what the kernel knows of its troubles.

Exit status: that of `husk run`; of what is repeated or told, 0.";

// `husk why` as clap sees it. No doc comment: clap would print it as the description.
#[derive(Debug, Args)]
#[command(override_usage = USAGE, after_help = AFTER, args_conflicts_with_subcommands = true)]
pub(super) struct WhyLine {
    #[command(subcommand)]
    run: Option<WhyRun>,
    /// The container whose last failure, or whose troubles, are to be told
    #[arg(value_name = "CONTAINER")]
    container: Option<String>,
    /// A command to run in the default root
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum WhyRun {
    /// Run a container as `husk run` would, and tell how it ended
    #[command(override_usage = WHY_USAGE)]
    Run(RunLine),
}

/// `husk why` as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Of this run.
    Run(Box<Run>),
    /// Of the last failure, or the last one of a container.
    Last(Option<String>),
}

impl WhyLine {
    /// What is asked for; `line` is the whole command line.
    pub(super) fn meant(self, line: &[OsString]) -> Why {
        match self {
            Self { run: Some(WhyRun::Run(run)), .. } => Why::Run(Box::new(run.split(line))),
            Self { command, .. } if !command.is_empty() => {
                Why::Run(Box::new(Run { command, ..Run::default() }))
            }
            Self { container, .. } => Why::Last(container),
        }
    }
}
