// SPDX-License-Identifier: Apache-2.0
//! Signals to a container.

use husk_spec::oci::{ContainerId, Status};
use rustix::process::Signal;

use super::{Error, StateRoot};

/// To which of a container's processes a signal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The first one.
    Init,
    /// All of them, also when the first has ended.
    All,
}

/// Sends `signal` to a container; `None` is signal 0 of `kill(2)`, which only asks whether there is somebody to send it to.
///
/// # Errors
/// A container whose first process has ended, unless it is for all: then there may be none.
pub fn kill(root: &StateRoot, id: &ContainerId, signal: Option<Signal>, to: To) -> Result<(), Error> {
    let entry = root.open(id)?;
    let record = entry.record()?;
    let not_running = |status| Error::NotRunning { id: id.to_string(), status };
    let Some(record) = record else { return Err(not_running(entry.condition(None).status)) };
    let place = record.own_cgroup();
    if let (To::All, Some(place), Some(signal)) = (to, place, signal) {
        return Ok(place.signal_all(signal)?);
    }
    let Some(init) = &record.init else { return Err(not_running(entry.condition(Some(&record)).status)) };
    let ended = || match to {
        To::All => Ok(()),
        To::Init => Err(not_running(Status::Stopped)),
    };
    let Some(signal) = signal else {
        return if init.is_alive() { Ok(()) } else { ended() };
    };
    let doing = || format!("send signal {} to process {}", signal.as_raw(), init.pid);
    if !init.signal(signal).map_err(|errno| Error::Process { doing: doing(), errno })? {
        return ended();
    }
    // A process that the freezer of version 1 holds dies when it is thawed, and not before.
    match place.filter(|place| signal == Signal::KILL && place.is_frozen().unwrap_or(false)) {
        Some(place) => Ok(place.thaw()?),
        None => Ok(()),
    }
}
