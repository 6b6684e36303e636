// SPDX-License-Identifier: Apache-2.0
//! The words of `husk rootfs`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::failure::{COMMAND_FAILED, Failure};

const USAGE: &str = "husk rootfs new DIR [OPTIONS]";

const AFTER: &str = "\
DIR must be new or empty; if anything fails it stays as it was. With no busybox
on this host the root is built as with --from host, and husk says so.";

/// `husk rootfs new` as it was typed.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(override_usage = USAGE, after_help = AFTER)]
pub(crate) struct RootfsNew {
    /// The directory to build it in
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// busybox (the default): this host's, with a link for each applet. host: its own sh, ls, ps, id and the like, with their libraries
    #[arg(long, value_name = "busybox|host", hide_possible_values = true)]
    pub(crate) from: Option<From>,
    /// More of the host's programs, by name or path; implies --from host
    #[arg(long, value_name = "PROGRAM", num_args = 1..)]
    pub(crate) add: Vec<String>,
    /// bin/{busybox,sh,ls,ps,echo} and proc/ alone
    #[arg(long, conflicts_with_all = ["from", "add"])]
    pub(crate) minimal: bool,
}

impl RootfsNew {
    /// `--add` asks for the host's own programs: it must not be dropped in silence where busybox was asked for.
    pub(super) fn check(mut self) -> Result<Self, Failure> {
        if self.add.is_empty() {
            return Ok(self);
        }
        if self.from == Some(From::Busybox) {
            return Err(Failure {
                doing: "reading the command line".to_owned(),
                problem: "--add and --from busybox: a root of busybox has its applets alone".to_owned(),
                hints: vec!["--from host takes the host's programs".to_owned()],
                status: COMMAND_FAILED,
            });
        }
        self.from = Some(From::Host);
        Ok(self)
    }
}

/// Whose programs a root gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    Busybox,
    Host,
}
