// SPDX-License-Identifier: Apache-2.0
//! `create` and `run`.

use std::fs;
use std::path::{Path, PathBuf, absolute};

use husk_plan::{Arena, Found, explain};
use husk_runtime::container::{self, Making, Then, notify};
use husk_spec::oci::{Lowering, Mount, Process, Spec, SystemdCgroup};
use husk_spec::{Lifetime, normalized};

use super::{check_terminal, notify_socket, state_root};
use crate::bundle::Bundle;
use crate::command_line::{Create, Globals, Run};
use crate::descriptors::Descriptors;
use crate::failure::Failure;
use crate::log;
use crate::{SUCCESS, Status};

pub(crate) fn create(globals: &Globals, create: &Create) -> Result<Status, Failure> {
    with_plan(globals, create, Lifetime::Created, true, |making| {
        container::create(&state_root(globals), making, &|warning| log::warning(globals, warning))?;
        Ok(SUCCESS)
    })
}

pub(crate) fn run(globals: &Globals, run: &Run) -> Result<Status, Failure> {
    let then = if run.detach { Then::Detach } else { Then::Stay { keep: run.keep } };
    with_plan(globals, &run.create, Lifetime::Detached, run.detach, |making| {
        let end =
            container::run(&state_root(globals), making, then, &|warning| log::warning(globals, warning))?;
        Ok(end.map_or(SUCCESS, |end| end.status()))
    })
}

fn with_plan(
    globals: &Globals,
    create: &Create,
    lifetime: Lifetime,
    detaches: bool,
    act: impl FnOnce(&Making<'_>) -> Result<Status, Failure>,
) -> Result<Status, Failure> {
    let descriptors = Descriptors::of_container(create.preserve_fds)?;
    let mut bundle = Bundle::read(globals, create.bundle.as_deref())?;
    if let Some(process) = &mut bundle.spec.process {
        check_terminal(process.terminal, detaches, create.console_socket.as_deref())?;
        process.env.extend(descriptors.variables);
    }
    let notify = notify_socket().filter(|_| !is_notified(&bundle.spec));
    let notify_directory = notify.as_ref().map(|_| give_notify_socket(globals, create, &mut bundle.spec));
    let with = Lowering {
        id: create.id.as_str(),
        bundle: &bundle.path,
        lifetime,
        no_pivot: create.no_pivot,
        no_new_keyring: create.no_new_keyring,
        systemd_cgroup: if globals.systemd_cgroup { SystemdCgroup::Yes } else { SystemdCgroup::No },
        preserved_descriptors: descriptors.count,
    };
    let config = bundle.spec.lower(&with).map_err(container::Error::from)?;
    let rootfs = config.root.as_ref().map(|root| root.path.value.clone()).unwrap_or_default();
    refuse_link(&rootfs)?;
    let mut host = container::probe(&config)?;
    // It is made together with the state.
    host.sources.extend(notify_directory.map(|path| (path, Found::Directory)));
    let arena = Arena::new();
    let plan = husk_plan::plan(&config, &host, &arena).map_err(container::Error::from)?;
    for step in plan.steps.iter().filter(|_| globals.debug) {
        log::debug(globals, &format!("{}: {} [{}]", step.stage.name(), explain::describe(step), step.origin));
    }
    plan.notes.iter().for_each(|note| log::warning(globals, &note.what));
    act(&Making {
        id: &create.id,
        bundle: &bundle.path,
        rootfs: &rootfs,
        config: &bundle.config,
        spec: &bundle.spec,
        plan: &plan,
        pid_file: create.pid_file.as_deref(),
        console_socket: create.console_socket.as_deref(),
        pidfd_socket: create.pidfd_socket.as_deref(),
        notify: notify.as_deref(),
    })
}

/// Whether whoever made the configuration sees to such a socket itself, as Podman does.
fn is_notified(spec: &Spec) -> bool {
    let has_variable = |process: &Process| process.env.iter().any(|text| text.starts_with("NOTIFY_SOCKET="));
    spec.process.as_ref().is_none_or(has_variable)
        || spec.mounts.iter().any(|mount| mount.destination == notify::INSIDE)
}

/// Gives the container a directory with a socket of its own for `sd_notify(3)`, as runc does. Returns the directory.
fn give_notify_socket(globals: &Globals, create: &Create, spec: &mut Spec) -> PathBuf {
    let root = state_root(globals);
    let directory = notify::directory(&root, &create.id);
    let directory = absolute(&directory).unwrap_or(directory);
    spec.mounts.push(Mount {
        destination: notify::INSIDE.to_owned(),
        source: Some(directory.to_string_lossy().into_owned()),
        options: ["bind", "nosuid", "nodev", "noexec", "ro"].map(str::to_owned).into(),
        ..Mount::default()
    });
    if let Some(process) = &mut spec.process {
        process.env.push(format!("NOTIFY_SOCKET={}/{}", notify::INSIDE, notify::SOCKET));
    }
    directory
}

/// A root that is a link, or lies behind one, may have been put there by somebody who shares the bundle's file system with the
/// container, and lead to the host's own files. runc refuses it too.
fn refuse_link(rootfs: &Path) -> Result<(), Failure> {
    match fs::canonicalize(rootfs) {
        Ok(real) if real != normalized(rootfs) => Err(Failure::new(format!(
            "root.path: {} leads through a symbolic link: name the directory itself, {}",
            rootfs.display(),
            real.display()
        ))),
        _ => Ok(()),
    }
}
