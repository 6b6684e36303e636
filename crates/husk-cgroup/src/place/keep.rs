// SPDX-License-Identifier: Apache-2.0
//! What the files of a place hold, over a time in which somebody else writes into them.

use std::path::PathBuf;

use super::{Directory, Place, devices};
use crate::device::v1::List;
use crate::error::CgroupError;
use crate::file;
use crate::limits::Hierarchy;

/// What files held.
#[derive(Debug)]
pub(crate) struct Kept<'p> {
    files: Vec<(PathBuf, String)>,
    /// The devices of version 1.
    devices: Option<(&'p Directory, List)>,
}

impl Place {
    /// The text of a file, if it is there.
    pub(crate) fn text(&self, file: &str) -> Option<String> {
        file::read(&self.path_of(file)?).ok()
    }

    /// What the files of these names hold, and on version 1 which devices are allowed.
    pub(crate) fn keep<'n>(&self, names: impl Iterator<Item = &'n str>) -> Kept<'_> {
        let files = names.filter_map(|name| Some((self.path_of(name)?, self.text(name)?)));
        let devices = self.directory("devices").filter(|_| self.version == Hierarchy::V1);
        let devices = devices.and_then(|directory| {
            let text = file::read(&directory.file("devices.list")).ok()?;
            Some((directory, List::read(&text).unwrap_or_else(List::open)))
        });
        Kept { files: files.collect(), devices }
    }

    /// A file's name begins with its controller's.
    fn path_of(&self, file: &str) -> Option<PathBuf> {
        Some(self.directory(file.split('.').next()?)?.file(file))
    }
}

impl Kept<'_> {
    /// Writes what has been changed as it was. Of a file with a line for each device, the kernel takes one at a time.
    ///
    /// # Errors
    /// A file does not take it any more.
    pub(crate) fn put_back(&self) -> Result<(), CgroupError> {
        for (path, text) in &self.files {
            if file::read(path).as_ref() != Ok(text) {
                for line in text.lines() {
                    file::write(path, line).map_err(CgroupError::call("writing", path))?;
                }
            }
        }
        match &self.devices {
            Some((directory, list)) => devices::v1(directory, list),
            None => Ok(()),
        }
    }
}
