// SPDX-License-Identifier: Apache-2.0
//! `exec`.

use std::path::Path;

use husk_runtime::container::{self, Exec, SubCgroup};
use husk_runtime::own_binary;
use husk_spec::oci::{Capabilities, Process, Spec};

use super::{check_terminal, state_root};
use crate::bundle;
use crate::command_line::{self, Globals};
use crate::descriptors::Descriptors;
use crate::failure::Failure;
use crate::{SUCCESS, Status};

/// The exit status of an exec that failed itself: by it callers tell it from a command's.
pub(crate) const FAILED: u8 = 255;

pub(crate) fn exec(globals: &Globals, exec: &command_line::Exec) -> Result<Status, Failure> {
    run(globals, exec).map_err(|failure| failure.with_status(FAILED))
}

fn run(globals: &Globals, exec: &command_line::Exec) -> Result<Status, Failure> {
    let cgroups = cgroups(&exec.cgroups)?;
    let descriptors = Descriptors::of_exec(exec.preserve_fds)?;
    let root = state_root(globals);
    let entry = root.open(&exec.id)?;
    if let Some(init) = entry.record()?.and_then(|record| record.init) {
        own_binary::protect(|| own_binary::uids_of(Path::new(&format!("/proc/{}/ns/user", init.pid))))?;
    }
    let process = match &exec.process {
        Some(path) => bundle::read_process(globals, path)?,
        None => {
            let config = entry.config()?;
            let spec = Spec::from_json(&config).map_err(|error| Failure::new(error.to_string()))?;
            let process = changed(spec.process.unwrap_or_default(), exec);
            bundle::judge_process(globals, Path::new("exec"), &process)?;
            process
        }
    };
    check_terminal(process.terminal, exec.detach, exec.console_socket.as_deref())?;
    let request = Exec {
        id: &exec.id,
        process: &process,
        pid_file: exec.pid_file.as_deref(),
        console_socket: exec.console_socket.as_deref(),
        pidfd_socket: exec.pidfd_socket.as_deref(),
        preserved_descriptors: descriptors.count,
        cgroups: &cgroups,
        detach: exec.detach,
        ignore_paused: exec.ignore_paused,
    };
    let end = container::exec(&root, &request)?;
    Ok(end.map_or(SUCCESS, |end| end.status()))
}

/// `PATH` for all hierarchies, or `CONTROLLER[,CONTROLLER…]:PATH` for some.
fn cgroups(words: &[String]) -> Result<Vec<SubCgroup>, Failure> {
    let wrong = |word: &str, problem: &str| Failure::new(format!("exec: --cgroup {word:?}: {problem}"));
    let cgroup = |word: &String| match word.split_once(':') {
        None if words.len() > 1 => {
            Err(wrong(word, "CONTROLLER:PATH was expected, where the flag is given more than once"))
        }
        None => Ok(SubCgroup { controllers: Vec::new(), path: word.clone() }),
        Some((controllers, path)) if !controllers.is_empty() && !path.contains(':') => {
            let controllers = controllers.split(',').map(str::to_owned).collect();
            Ok(SubCgroup { controllers, path: path.to_owned() })
        }
        Some(_) => Err(wrong(word, "PATH or CONTROLLER:PATH was expected")),
    };
    words.iter().map(cgroup).collect()
}

/// The container's own process, with what the flags say.
fn changed(process: Process, exec: &command_line::Exec) -> Process {
    let mut process = Process {
        args: exec.args.clone(),
        terminal: exec.tty,
        no_new_privileges: exec.no_new_privs.unwrap_or(process.no_new_privileges),
        ..process
    };
    process.env.extend(exec.env.iter().cloned());
    if let Some(cwd) = &exec.cwd {
        process.cwd.clone_from(cwd);
    }
    if let Some((uid, gid)) = exec.user {
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
    }
    process.user.additional_gids.extend(&exec.additional_gids);
    if let Some(profile) = &exec.apparmor {
        process.apparmor_profile = Some(profile.clone());
    }
    if let Some(label) = &exec.process_label {
        process.selinux_label = Some(label.clone());
    }
    if !exec.caps.is_empty() {
        let sets = process.capabilities.get_or_insert_with(Capabilities::default);
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.extend(exec.caps.iter().cloned());
        }
        // What is not inheritable cannot be ambient, and this flag makes nothing inheritable.
        if !sets.inheritable.is_empty() {
            sets.ambient.extend(exec.caps.iter().cloned());
        }
    }
    process
}
