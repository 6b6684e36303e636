// SPDX-License-Identifier: Apache-2.0
//! `spec`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use husk_plan::in_words;
use husk_spec::oci;
use rustix::process::{getegid, geteuid};

use crate::failure::Failure;
use crate::{SUCCESS, Status};

pub(crate) fn spec(bundle: Option<&Path>, rootless: bool) -> Result<Status, Failure> {
    // Where the host's cgroups are version 2 alone, a container has a cgroup namespace.
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let mut spec = oci::example(unified);
    if rootless {
        spec = oci::rootless(spec, geteuid().as_raw(), getegid().as_raw());
    }
    let text = serde_json::to_string_pretty(&spec)
        .map_err(|error| Failure::new(format!("cannot write the configuration: {error}")))?;
    write(&bundle.unwrap_or(Path::new(".")).join("config.json"), &(text + "\n"))?;
    Ok(SUCCESS)
}

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let problem = match error.kind() {
            ErrorKind::AlreadyExists => "it exists, and is not overwritten: remove it first".to_owned(),
            _ => in_words(error).to_lowercase(),
        };
        Failure::new(format!("cannot write {}: {problem}", path.display()))
    })
}
