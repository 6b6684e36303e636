// SPDX-License-Identifier: Apache-2.0
//! Looking at the host for a container that is to be made.

use husk_plan::Host;
use husk_spec::{Config, UserNamespace};

use super::Error;
use crate::id_map;

/// Looks at the host as [`Host::probe`] does, and into a user namespace that is to be entered, wherever the file is that stands
/// for it.
///
/// # Errors
/// As [`Host::probe`].
pub fn probe(config: &Config) -> Result<Host, Error> {
    let mut host = Host::probe(config)?;
    if let (UserNamespace::Join(path), None) = (&config.namespaces.user.value, &host.joined) {
        host.joined = id_map::maps_of(path);
    }
    Ok(host)
}
