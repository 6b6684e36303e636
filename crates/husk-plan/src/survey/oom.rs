// SPDX-License-Identifier: Apache-2.0
//! Who ran out of memory: the counters of the cgroups that husk is in, before and after.

use std::path::{Path, PathBuf};

use super::cgroup::own_path;
use super::{Files, mounts};

/// A cgroup that can run out of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLevel {
    /// Its directory.
    pub directory: PathBuf,
    /// How many processes of this very cgroup were killed for want of memory, whoever's limit it was.
    pub kills: u64,
    /// How often this very cgroup's own limit was reached.
    pub hits: u64,
    /// Its limit in bytes, `None` for none.
    pub limit: Option<u64>,
    /// The file that sets the limit.
    pub limit_file: PathBuf,
}

/// husk's memory cgroup and those above it, the lowest first. Empty where they cannot be read.
pub fn levels() -> Vec<MemoryLevel> {
    below(Files(Path::new("/")))
}

/// Whose memory was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfMemory<'l> {
    /// That of a cgroup with a limit.
    Cgroup(&'l MemoryLevel),
    /// The machine's, or that of a cgroup that cannot be seen from here.
    Machine,
}

/// Whether a process was killed for want of memory between two looks, and by whose limit.
pub fn between<'l>(before: &[MemoryLevel], after: &'l [MemoryLevel]) -> Option<OutOfMemory<'l>> {
    let earlier = |level: &MemoryLevel| before.iter().find(|known| known.directory == level.directory);
    let grown = |level: &MemoryLevel, counter: fn(&MemoryLevel) -> u64| {
        counter(level) > earlier(level).map_or(0, counter)
    };
    after.iter().find(|level| grown(level, |level| level.kills))?;
    let limit = after.iter().find(|level| level.limit.is_some() && grown(level, |level| level.hits));
    Some(limit.map_or(OutOfMemory::Machine, OutOfMemory::Cgroup))
}

fn below(files: Files<'_>) -> Vec<MemoryLevel> {
    let mounts = mounts::parse(&files.text("proc/self/mountinfo").unwrap_or_default());
    let own = files.text("proc/self/cgroup").unwrap_or_default();
    let v1 = mounts
        .iter()
        .find(|line| line.kind == "cgroup" && line.options.split(',').any(|option| option == "memory"));
    let v2 = mounts.iter().find(|line| line.kind == "cgroup2");
    match (v1, v2) {
        (Some(mount), _) => {
            own_path(&own, "memory").map(|own| levels_of(files, mount, &own, version_1)).unwrap_or_default()
        }
        (None, Some(mount)) => {
            own_path(&own, "").map(|own| levels_of(files, mount, &own, version_2)).unwrap_or_default()
        }
        (None, None) => Vec::new(),
    }
}

fn levels_of(
    files: Files<'_>,
    mount: &mounts::Line,
    own: &Path,
    read: fn(Files<'_>, PathBuf) -> Option<MemoryLevel>,
) -> Vec<MemoryLevel> {
    // A mount of a part of the hierarchy, as in a container, shows paths below that part.
    let own = own.strip_prefix(&mount.root).unwrap_or(own);
    let own = own.strip_prefix("/").unwrap_or(own);
    own.ancestors().filter_map(|path| read(files, mount.target.join(path))).collect()
}

fn version_2(files: Files<'_>, directory: PathBuf) -> Option<MemoryLevel> {
    // `memory.events` counts for all below too, and so cannot say whose limit it was.
    let events = files.text(&directory.join("memory.events.local").to_string_lossy())?;
    Some(MemoryLevel {
        kills: counter(&events, "oom_kill ")?,
        hits: counter(&events, "oom ")?,
        ..limit(files, directory, "memory.max")
    })
}

fn version_1(files: Files<'_>, directory: PathBuf) -> Option<MemoryLevel> {
    let number = |name: &str| files.text(&directory.join(name).to_string_lossy());
    Some(MemoryLevel {
        kills: counter(&number("memory.oom_control")?, "oom_kill ")?,
        hits: counter(&number("memory.failcnt")?, "")?,
        ..limit(files, directory, "memory.limit_in_bytes")
    })
}

fn counter(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

fn limit(files: Files<'_>, directory: PathBuf, name: &str) -> MemoryLevel {
    /// What version 1 writes for no limit is the greatest multiple of the page size that fits, whatever that is.
    const NO_LIMIT: u64 = 1 << 62;
    let limit_file = directory.join(name);
    let limit = files.text(&limit_file.to_string_lossy()).and_then(|text| text.trim().parse().ok());
    MemoryLevel { directory, kills: 0, hits: 0, limit: limit.filter(|bytes| *bytes < NO_LIMIT), limit_file }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kills: u64, hits: u64) -> Vec<MemoryLevel> {
        let root = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        };
        write("proc/self/mountinfo", "30 20 0:30 / /cg rw - cgroup2 cgroup rw\n");
        write("proc/self/cgroup", "0::/a/b\n");
        write("cg/a/b/memory.events.local", &format!("low 0\noom 0\noom_kill {kills}\n"));
        write("cg/a/b/memory.max", "max\n");
        write("cg/a/memory.events.local", &format!("oom {hits}\noom_kill 0\n"));
        write("cg/a/memory.max", "1048576\n");
        below(Files(root.path()))
    }

    #[test]
    fn the_limit_is_that_of_the_level_whose_own_was_reached() {
        let before = read(2, 5);
        let after = read(3, 6);
        let Some(OutOfMemory::Cgroup(level)) = between(&before, &after) else { panic!("{after:?}") };
        assert_eq!((level.directory.as_path(), level.limit), (Path::new("/cg/a"), Some(1 << 20)));
        assert_eq!(between(&before, &read(3, 5)), Some(OutOfMemory::Machine));
        assert_eq!(between(&before, &read(2, 6)), None, "a limit that was reached and killed nobody");
        assert_eq!(between(&after, &after), None);
    }
}
