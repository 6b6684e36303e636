// SPDX-License-Identifier: Apache-2.0
//! What runs inside: the command, who it runs as, and its terminal.

use std::ffi::OsString;
use std::path::Path;

use husk_spec::{Capabilities, Given, Grant, Labels, Namespaces, Process, Scheduling, Stdio, Terminal, User};

use super::{Problem, Refused, defaults, environment, privileges, user};
use crate::caller::Caller;
use crate::cli::{Run, RunOptions};

pub(super) fn lower(
    run: &Run,
    caller: &Caller,
    namespaces: &Namespaces,
    hostname: Option<&Given<String>>,
    terminal: Terminal,
) -> Result<Process, Refused> {
    let options = &run.options;
    Ok(Process {
        args: args(run)?,
        environment: environment::lower(options, caller, hostname, &terminal)?,
        working_directory: working_directory(options)?,
        make_working_directory: false,
        user: match &options.user {
            Some(text) => {
                Given::argument(user::parse(text).map_err(|problem| problem.of("--user", text))?, "--user")
            }
            None => Given::default(User::Numeric { uid: 0, gid: 0, groups: Vec::new() }, "user: root"),
        },
        default_home: None,
        umask: options.umask.as_deref().map(umask).transpose()?,
        capabilities: bounded(privileges::capabilities(options, namespaces)?),
        no_new_privileges: match options.allow_setuid {
            true => Given::argument(false, "--allow-setuid"),
            false => Given::default(true, "no_new_privs"),
        },
        seccomp: None,
        rlimits: privileges::rlimits(options)?,
        scheduling: Scheduling::default(),
        personality: None,
        labels: Labels::default(),
        oom_score_adj: None,
        keyring: None,
        preserved_descriptors: 0,
        init: options.init.then(|| Given::argument((), "--init")),
        terminal,
    })
}

fn bounded(given: Given<Capabilities>) -> Given<Grant> {
    Given { value: Grant::Bounded(given.value), origin: given.origin }
}

fn args(run: &Run) -> Result<Given<Vec<OsString>>, Refused> {
    match run.command.first() {
        None => Ok(Given::default(vec![OsString::from(defaults::COMMAND)], "command")),
        Some(command) if command.is_empty() => Err(Problem::new("the word is empty")
            .hint("a variable that is not set? With no COMMAND at all, /bin/sh runs")
            .of("COMMAND", "")),
        Some(_) => Ok(Given::argument(run.command.clone(), "COMMAND")),
    }
}

fn working_directory(options: &RunOptions) -> Result<Option<Given<std::path::PathBuf>>, Refused> {
    let Some(directory) = &options.workdir else { return Ok(None) };
    let path = Path::new(directory);
    if !path.is_absolute() {
        return Err(Problem::new("a place in the container begins with /").of("--workdir", directory));
    }
    Ok(Some(Given::argument(path.to_owned(), "--workdir")))
}

fn umask(text: &str) -> Result<u32, Refused> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| digits && *mask <= 0o777);
    mask.ok_or_else(|| Problem::new("a mask is an octal number from 0 to 0777").of("--umask", text))
}

/// The container's terminal takes the place of yours, wherever that is; pipes and files stay what they are.
pub(super) fn terminal(options: &RunOptions, caller: &Caller) -> Terminal {
    let all = vec![Stdio::Input, Stdio::Output, Stdio::Error];
    let stdio = if options.tty { all } else { caller.terminals.clone() };
    Terminal { stdio, size: caller.terminal_size, inherit_settings: true }
}
