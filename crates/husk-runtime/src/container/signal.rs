// SPDX-License-Identifier: Apache-2.0
//! Signals to a container.

use husk_spec::oci::{ContainerId, Status};
use rustix::process::Signal;

use super::{Error, StateRoot};

/// Sends `signal` to a container's first process.
///
/// # Errors
/// A container whose first process has ended.
pub fn kill(root: &StateRoot, id: &ContainerId, signal: Signal) -> Result<(), Error> {
    let entry = root.open(id)?;
    let record = entry.record()?;
    let not_running = |status| Error::NotRunning { id: id.to_string(), status };
    let Some(init) = record.as_ref().and_then(|record| record.init.as_ref()) else {
        return Err(not_running(entry.condition(record.as_ref()).status));
    };
    let doing = || format!("send signal {} to process {}", signal.as_raw(), init.pid);
    match init.signal(signal).map_err(|errno| Error::Process { doing: doing(), errno })? {
        true => Ok(()),
        false => Err(not_running(Status::Stopped)),
    }
}
