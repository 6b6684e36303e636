// SPDX-License-Identifier: Apache-2.0
//! Device rules of a place.

use rustix::fs::{Mode, OFlags};
use std::os::fd::AsFd;

use super::{Directory, Place};
use crate::device::v1::List;
use crate::device::{Rule, attach};
use crate::error::CgroupError;
use crate::file;
use crate::limits::Hierarchy;

impl Place {
    /// Makes `rules` those of the container, in place of what was before. On version 1 only the difference is written, and
    /// read back; on version 2 one program takes the place of another.
    ///
    /// # Errors
    /// Privilege is missing ([`CgroupError::is_permission`]); rules that version 1 cannot follow; rules that the cgroup above
    /// does not allow.
    pub fn set_devices(&self, rules: &[Rule]) -> Result<(), CgroupError> {
        let Some(directory) = self.directory("devices") else {
            return Err(CgroupError::NoController {
                origin: "linux.resources.devices".to_owned(),
                controller: "devices".to_owned(),
            });
        };
        match self.version {
            Hierarchy::V1 => v1(directory, &List::new(rules)?),
            Hierarchy::V2 => v2(directory, rules),
        }
    }
}

/// Makes `target` the list, and reads it back.
pub(super) fn v1(directory: &Directory, target: &List) -> Result<(), CgroupError> {
    let list = directory.file("devices.list");
    let read = || file::read(&list).map_err(CgroupError::call("reading", &list));
    for lines in target.lines(List::read(&read()?).as_ref()).chunk_by(|line, next| line.file == next.file) {
        let path = directory.file(lines[0].file);
        let failed = |value: &str, errno| CgroupError::Write {
            origin: "linux.resources.devices".to_owned(),
            path: path.clone(),
            value: value.to_owned(),
            errno,
        };
        let open = file::open_to_write(&path).map_err(|errno| failed(&lines[0].value, errno))?;
        for line in lines {
            file::write_to(&open, &line.value).map_err(|errno| failed(&line.value, errno))?;
        }
    }
    // With a default of allowing, what was written is not to be read.
    let Some(current) = List::read(&read()?) else { return Ok(()) };
    match target.lines(Some(&current)).into_iter().next() {
        Some(line) => Err(CgroupError::DeviceList { path: list, line: line.value }),
        None => Ok(()),
    }
}

fn v2(directory: &Directory, rules: &[Rule]) -> Result<(), CgroupError> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let cgroup = rustix::fs::open(&directory.path, flags, Mode::empty())
        .map_err(CgroupError::call("opening", &directory.path))?;
    Ok(attach::attach(cgroup.as_fd(), rules)?)
}
