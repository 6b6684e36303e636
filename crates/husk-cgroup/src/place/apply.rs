// SPDX-License-Identifier: Apache-2.0
//! Writing limits, at first and later.

use std::path::PathBuf;

use husk_spec::oci::Resources;
use rustix::io::Errno;

use super::Place;
use super::keep::Kept;
use crate::device::Rule;
use crate::error::CgroupError;
use crate::file;
use crate::limits::{Hierarchy, Limits, Missing, UsageCheck, Write, set};

impl Place {
    /// Writes limits. Some values fit only after another is in (memory and memory with swap, quota and period: the one must
    /// not exceed the other, and which is first depends on what was before). So what the kernel calls invalid is tried
    /// again once the rest is written, as long as that helps.
    ///
    /// # Errors
    /// The field, the file, the value and what the kernel said.
    pub fn apply(&self, writes: &[Write]) -> Result<(), CgroupError> {
        let is_invalid = |error: &CgroupError| error.errno() == Some(Errno::INVAL);
        in_turns(writes.iter().collect(), |write| self.write(write), is_invalid)
    }

    /// Adds to what an update asks for what must be as it is now: version 2 has quota and period in one file, and an update may name
    /// one of them.
    pub fn complete(&self, resources: &mut Resources) {
        let Some(cpu) = resources.cpu.as_mut().filter(|_| self.version == Hierarchy::V2) else { return };
        if set(cpu.quota).is_some() == set(cpu.period).is_some() {
            return;
        }
        let Some(directory) = self.v2() else { return };
        let now = file::read(&directory.file("cpu.max")).unwrap_or_default();
        let (quota, period) = now.trim().split_once(' ').unwrap_or_default();
        // `max` is no number, and none is no quota.
        cpu.quota = set(cpu.quota).or(quota.parse().ok());
        cpu.period = set(cpu.period).or(period.parse().ok());
    }

    /// Writes new limits into the cgroups of a running container, if they are not below what it uses and that was asked, and then
    /// device rules, if there are any. What is refused changes nothing: what was written before it is put back.
    ///
    /// # Errors
    /// As for [`Place::apply`] and [`Place::set_devices`]; [`CgroupError::InUse`]; [`CgroupError::NotPutBack`].
    pub fn update(&self, limits: &Limits, devices: Option<&[Rule]>) -> Result<(), CgroupError> {
        self.check(limits)?;
        let before = self.before(limits, devices);
        self.change(limits, devices).map_err(|error| match before.put_back() {
            Ok(()) => error,
            Err(why) => CgroupError::NotPutBack { error: error.into(), why: why.into() },
        })
    }

    /// What is in the files that an update writes.
    pub(crate) fn before(&self, limits: &Limits, devices: Option<&[Rule]>) -> Kept<'_> {
        self.keep(limits.files()).with_devices(devices.and_then(|_| self.device_list()))
    }

    /// Writes limits, and then device rules, if there are any.
    pub(crate) fn change(&self, limits: &Limits, devices: Option<&[Rule]>) -> Result<(), CgroupError> {
        self.apply(&limits.writes)?;
        devices.map_or(Ok(()), |rules| self.set_devices(rules))
    }

    /// Whether new limits are above what is in use, if that was asked.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), CgroupError> {
        limits.check.as_ref().map_or(Ok(()), |check| self.check_usage(check))
    }

    fn check_usage(&self, check: &UsageCheck) -> Result<(), CgroupError> {
        let Some(directory) = self.directory("memory") else { return Ok(()) };
        // As in runc, which compares memory alone with both limits.
        let Ok(usage) = file::number(&directory.file("memory.current")) else { return Ok(()) };
        for (limit, field) in
            [(check.swap, "linux.resources.memory.swap"), (check.limit, "linux.resources.memory.limit")]
        {
            if let Some(limit) = limit.filter(|limit| *limit <= usage) {
                return Err(CgroupError::InUse { field, limit, usage });
            }
        }
        Ok(())
    }

    fn write(&self, write: &Write) -> Result<(), CgroupError> {
        let Some(directory) = self.directory(&write.controller) else {
            return match write.missing {
                Missing::Skip => Ok(()),
                _ => Err(CgroupError::NoController {
                    origin: write.origin.clone(),
                    controller: write.controller.clone(),
                }),
            };
        };
        let refused = |path: PathBuf, value: &str, errno| CgroupError::Write {
            origin: write.origin.clone(),
            path,
            value: value.to_owned(),
            errno,
        };
        let path = directory.file(&write.file);
        match (file::write(&path, &write.value), &write.missing) {
            (Ok(()), _) | (Err(Errno::NOENT), Missing::Skip) => Ok(()),
            (Err(Errno::NOENT), Missing::Instead { file, value }) => {
                let path = directory.file(file);
                file::write(&path, value).map_err(|errno| refused(path, value, errno))
            }
            (Err(errno), _) => Err(refused(path, &write.value, errno)),
        }
    }
}

/// Writes one after the other, and those that fail and may fit later again, as long as that helps. The first of them is told.
pub(super) fn in_turns<W>(
    mut left: Vec<W>,
    write: impl Fn(&W) -> Result<(), CgroupError>,
    may_fit_later: impl Fn(&CgroupError) -> bool,
) -> Result<(), CgroupError> {
    loop {
        let before = left.len();
        let mut refused = None;
        let mut again = Vec::new();
        for one in left {
            match write(&one) {
                Err(error) if may_fit_later(&error) => {
                    again.push(one);
                    refused.get_or_insert(error);
                }
                result => result?,
            }
        }
        match refused {
            None => return Ok(()),
            Some(error) if again.len() == before => return Err(error),
            Some(_) => left = again,
        }
    }
}
