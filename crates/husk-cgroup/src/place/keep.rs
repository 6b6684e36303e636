// SPDX-License-Identifier: Apache-2.0
//! What the files of a place hold, over a time in which they are written: by somebody else, or by an update that may be refused.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{Directory, Place, apply, devices};
use crate::device::v1::List;
use crate::error::CgroupError;
use crate::file;
use crate::limits::{Hierarchy, unset};

/// What files held.
#[derive(Debug, Default)]
pub(crate) struct Kept<'p> {
    files: Vec<(PathBuf, String)>,
    /// The devices of version 1; no list if the kernel does not tell it.
    devices: Option<(&'p Directory, Option<List>)>,
}

impl Place {
    /// The text of a file, if it is there.
    pub(crate) fn text(&self, file: &str) -> Option<String> {
        file::read(&self.path_of(file)?).ok()
    }

    /// What the files of these names hold.
    pub(crate) fn keep<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Kept<'_> {
        let names: BTreeSet<_> = names.into_iter().collect();
        let files = names.into_iter().filter_map(|name| Some((self.path_of(name)?, self.text(name)?)));
        Kept { files: files.collect(), devices: None }
    }

    /// On version 1, the devices that are allowed, where the kernel tells.
    pub(crate) fn device_list(&self) -> Option<(&Directory, Option<List>)> {
        let directory = self.directory("devices").filter(|_| self.version == Hierarchy::V1)?;
        let text = file::read(&directory.file("devices.list")).ok()?;
        Some((directory, List::read(&text)))
    }

    /// A file's name begins with its controller's.
    fn path_of(&self, file: &str) -> Option<PathBuf> {
        Some(self.directory(file.split('.').next()?)?.file(file))
    }
}

impl<'p> Kept<'p> {
    /// The same, with the devices of version 1.
    pub(crate) fn with_devices(self, devices: Option<(&'p Directory, Option<List>)>) -> Self {
        Self { devices, ..self }
    }

    /// The devices of version 1, if they were kept. Where exceptions from all cannot be told there are none to tell.
    pub(crate) fn devices(&self) -> Option<List> {
        self.devices.as_ref().map(|(_, list)| list.clone().unwrap_or_else(List::open))
    }

    /// Writes what has been changed as it was, as far as it goes.
    ///
    /// # Errors
    /// A file does not take it any more.
    pub(crate) fn put_back(&self) -> Result<(), CgroupError> {
        let changes = self.files.iter().flat_map(|(path, before)| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let now = file::read(path).unwrap_or_default();
            lines_back(name, before, &now).into_iter().map(move |line| (path, line))
        });
        let write = |(path, line): &(&PathBuf, String)| {
            file::write(path, line).map_err(CgroupError::call("writing", path))
        };
        let written = apply::in_turns(changes.collect(), write, |_| true);
        let allowed = match &self.devices {
            Some((directory, Some(list))) => devices::v1(directory, list),
            Some((directory, None)) => {
                Err(CgroupError::DevicesNotTold { path: directory.file("devices.list") })
            }
            None => Ok(()),
        };
        written.and(allowed)
    }
}

/// What is written into a file that holds `now`, so that it holds `before` again.
fn lines_back(file: &str, before: &str, now: &str) -> Vec<String> {
    let first = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    if before == now {
        return Vec::new();
    }
    if file == "memory.oom_control" {
        // It shows more than it takes: `oom_kill_disable 0`, and counts.
        return before
            .lines()
            .take(1)
            .filter_map(|line| line.split_once(' '))
            .map(|(_, is)| is.to_owned())
            .collect();
    }
    let Some(unset) = unset(file) else { return vec![before.to_owned()] };
    let is_known = |line: &&str| before.lines().any(|known| first(known) == first(line));
    let gone = now.lines().filter(|line| !is_known(line)).map(|line| format!("{} {unset}", first(line)));
    let others = before.lines().filter(|line| !now.lines().any(|there| there == *line)).map(str::to_owned);
    gone.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_written_as_it_was() {
        assert_eq!(lines_back("cpu.max", "max 100000\n", "5000 10000\n"), ["max 100000\n"]);
        assert!(lines_back("pids.max", "5\n", "5\n").is_empty());
        let control = |disabled| format!("oom_kill_disable {disabled}\nunder_oom 0\noom_kill 3\n");
        assert_eq!(lines_back("memory.oom_control", &control(0), &control(1)), ["0"]);
    }

    #[test]
    fn of_a_line_for_each_device_those_that_differ_are_written() {
        let back = lines_back(
            "io.max",
            "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=2 wbps=max riops=max wiops=max\n",
            "8:0 rbps=9 wbps=max riops=max wiops=max\n8:16 rbps=2 wbps=max riops=max wiops=max\n8:32 rbps=3 wbps=max riops=max wiops=max\n",
        );
        let expected =
            ["8:32 rbps=max wbps=max riops=max wiops=max", "8:0 rbps=1 wbps=max riops=max wiops=max"];
        assert_eq!(back, expected);
        assert_eq!(lines_back("blkio.throttle.read_bps_device", "", "8:0 5\n"), ["8:0 0"]);
        assert_eq!(lines_back("blkio.bfq.weight_device", "8:0 5\n", ""), ["8:0 5"]);
        assert_eq!(
            lines_back("io.bfq.weight", "default 100\n", "default 200\n8:0 5\n"),
            ["8:0 default", "default 100"]
        );
        assert_eq!(lines_back("net_prio.ifpriomap", "lo 0\neth0 1\n", "lo 5\neth0 1\n"), ["lo 0"]);
    }
}
