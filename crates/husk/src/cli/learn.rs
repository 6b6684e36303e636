// SPDX-License-Identifier: Apache-2.0
//! The words of `husk learn`.

use clap::Args;

const USAGE: &str = "husk learn [--restart]
       husk learn --check [PID|CONTAINER|NAME]";

const AFTER: &str = "\
husk learn runs in one terminal and tells what to type in another, in fifteen
lessons. It watches the kernel, not the keyboard, goes on when a step is done,
and remembers where you stopped. Its directory is ./mycontainer.

--check alone grades the container that was made by hand.

Exit status of --check: 0 if it has what a container needs, 1 if not.";

// `husk learn` as it was typed. No doc comment: clap would print it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(override_usage = USAGE, after_help = AFTER)]
pub(crate) struct Learn {
    /// What to grade
    #[arg(value_name = "PID|CONTAINER|NAME", hide = true, requires = "check")]
    pub(crate) name: Option<String>,
    /// Begin again, in this directory
    #[arg(long, conflicts_with = "check")]
    pub(crate) restart: bool,
    /// Grade a container, by what the kernel says of it
    #[arg(long)]
    pub(crate) check: bool,
}
