// SPDX-License-Identifier: Apache-2.0
//! Taking a container away, in whatever condition it is.

use std::time::Duration;

use husk_cgroup::limits::Hierarchy;
use husk_cgroup::systemd::{Scope, SystemdError};
use husk_cgroup::{Hierarchies, Place};
use husk_spec::oci::{ContainerId, NamespaceKind, Spec, Status};
use rustix::io::Errno;
use rustix::process::Signal;

use super::{Condition, Entry, Error, Record, StateRoot, hooks, start};
use crate::resctrl;

/// How long a process that was killed may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes a container that has stopped or was never started; with `force` also one that runs, and one that is not there.
/// Returns what is to be said of poststop hooks that failed, which changes nothing.
///
/// # Errors
/// A container that runs, and one that cannot be taken away.
pub fn delete(root: &StateRoot, id: &ContainerId, force: bool) -> Result<Vec<String>, Error> {
    let entry = match root.open(id) {
        Err(Error::NoSuchContainer { .. }) if force => return Ok(Vec::new()),
        entry => entry?,
    };
    match entry.lock() {
        Err(Error::NoSuchContainer { .. }) if force => return Ok(Vec::new()),
        locked => locked?,
    }
    let (record, is_damaged) = match entry.record() {
        // What is damaged says nothing, and would stay for ever. What cannot be read now may be read later.
        Err(Error::Damaged { .. }) if force => (entry.undo(), true),
        record => (record?, false),
    };
    let status = entry.condition(record.as_ref()).status;
    if !force && !matches!(status, Status::Created | Status::Stopped) {
        return Err(Error::Condition { doing: "delete", status });
    }
    let spec = start::spec(&entry).ok();
    let mut unknown = None;
    match &record {
        None if force => take_unrecorded_cgroup_away(&entry, spec.as_ref(), is_damaged)?,
        Some(record) if is_damaged => match (&record.scope, &record.cgroup) {
            // Here a systemd that cannot be asked may well have it.
            (Some(scope), _) => scope.stop_if(&record.scope_description())?,
            (None, None) => unknown = Some(unknown_processes(id)),
            // What is damaged was written when its first process was there.
            (None, Some(place)) => place.kill()?,
        },
        _ => {}
    }
    let warnings = take_away(entry, record, spec.as_ref())?;
    Ok(unknown.into_iter().chain(warnings).collect())
}

fn unknown_processes(id: &ContainerId) -> String {
    let id = id.as_str();
    format!(
        "the state of {id:?} was damaged, and it had no cgroup of its own: processes of its may still run"
    )
}

/// Takes away the cgroup of a container of which nothing is recorded, as far as the configuration says where that is. The processes
/// in it are the container's only if a record was there, and if the path is absolute: a relative one counts from the cgroup of
/// whoever made the container.
fn take_unrecorded_cgroup_away(entry: &Entry, spec: Option<&Spec>, was_recorded: bool) -> Result<(), Error> {
    let Some(spec) = spec else { return Ok(()) };
    let path = spec.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref());
    let place = Hierarchies::read().and_then(|found| Place::new(&found, path, entry.id().as_str()));
    let Some(place) = place.ok().filter(Place::exists) else { return Ok(()) };
    if was_recorded && path.is_some_and(|path| path.starts_with('/')) {
        place.kill()?;
    }
    match place.pids()?.first() {
        None => Ok(place.remove()?),
        Some(pid) if was_recorded => Err(Error::WhoseProcess { id: entry.id().to_string(), pid: *pid }),
        // Before the first record no cgroup is made.
        Some(_) => Ok(()),
    }
}

/// Kills all processes of a container, and waits until the first has ended.
fn end(entry: &Entry, record: Option<&Record>) -> Result<(), Error> {
    if let Some(place) = record.and_then(Record::own_cgroup) {
        place.kill()?;
    }
    end_first(entry, record)
}

fn end_first(entry: &Entry, record: Option<&Record>) -> Result<(), Error> {
    let Some(init) = record.and_then(|record| record.init.as_ref()) else { return Ok(()) };
    let failed = |errno| Error::Process { doing: format!("kill process {}", init.pid), errno };
    init.signal(Signal::KILL).map_err(failed)?;
    if init.wait(PATIENCE).map_err(failed)? {
        return Ok(());
    }
    Err(Error::Survives { id: entry.id().to_string(), pid: init.pid, seconds: PATIENCE.as_secs() })
}

fn remove_cgroup(record: &Record) -> Result<(), Error> {
    match (&record.cgroup, &record.scope) {
        (None, None) => Ok(()),
        (Some(place), None) if record.init.is_some() => Ok(place.remove()?),
        // Its first process, of which nothing was written down, ends with whoever made it.
        (Some(place), None) => Ok(place.remove_unless_used()?),
        (Some(place), Some(scope)) if record.own_cgroup().is_some() => {
            let stopped = scope.stop();
            // A systemd that cannot be asked any more does not keep it.
            match (place.remove(), stopped) {
                (Err(_), Err(why)) => Err(why.into()),
                (removed, _) => Ok(removed?),
            }
        }
        (place, Some(scope)) => remove_beside_scope(record, place.as_ref(), scope),
    }
}

/// Takes away what there is beside a scope that is gone, or of which nothing was written down but that it was asked for. What has its
/// name by now is another's.
fn remove_beside_scope(record: &Record, place: Option<&Place>, scope: &Scope) -> Result<(), Error> {
    if !place.is_some_and(Place::is_of_known_scope) {
        match scope.stop_if(&record.scope_description()) {
            // Who cannot be reached now could not be asked either, or has ended with all that was its.
            Err(SystemdError::Connect { .. }) => {}
            stopped => stopped?,
        }
    }
    match place.filter(|place| place.version() == Hierarchy::V1) {
        Some(place) => Ok(place.remove_unless_used()?),
        None => Ok(()),
    }
}

/// The cgroup of a container that has ended with all its processes, as those of a pid namespace do with the first of them
/// (pid_namespaces(7)): whoever is in it by now is another's, who has been given the same path.
fn cgroup_of_ended<'r>(record: &'r Record, spec: Option<&Spec>) -> Option<&'r Place> {
    let namespaces = &spec?.linux.as_ref()?.namespaces;
    let has_pid_namespace =
        namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::Pid && namespace.path.is_none());
    let has_ended = has_pid_namespace && !record.init.as_ref()?.is_alive();
    record.cgroup.as_ref().filter(|_| has_ended && record.scope.is_none())
}

/// Takes away all that is left of a container.
pub(crate) fn take_away(
    entry: Entry,
    record: Option<Record>,
    spec: Option<&Spec>,
) -> Result<Vec<String>, Error> {
    // Mostly all processes have ended, and there is nothing to look for.
    let is_unused = match &record {
        Some(Record { cgroup: Some(place), scope: None, .. }) => place.remove_unused(),
        _ => false,
    };
    if is_unused {
        end_first(&entry, record.as_ref())?;
    } else if let Some(place) = record.as_ref().and_then(|record| cgroup_of_ended(record, spec)) {
        place.remove_unless_used()?;
    } else {
        end(&entry, record.as_ref())?;
        record.as_ref().map_or(Ok(()), remove_cgroup)?;
    }
    let asked = spec.and_then(|spec| spec.linux.as_ref()).and_then(|linux| linux.intel_rdt.as_ref());
    if let Some((asked, root)) = asked.zip(asked.and_then(|_| husk_plan::resctrl())) {
        let id = entry.id().to_string();
        resctrl::remove(&root, &id, asked).map_err(|error| Error::Process {
            doing: "take its resource group away".to_owned(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })?;
    }
    let state = record.map(|record| record.for_hooks(Condition { status: Status::Stopped, pid: None }));
    entry.remove()?;
    match (state, spec.and_then(|spec| spec.hooks.as_ref())) {
        (Some(state), Some(hooks)) => Ok(hooks::run_all(&hooks.poststop, "poststop", &state)),
        _ => Ok(Vec::new()),
    }
}
