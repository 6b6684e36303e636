// SPDX-License-Identifier: Apache-2.0
//! `/proc/PID/cgroup` (`cgroups(7)`), and the limits that a cgroup has.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::mountinfo::Mount;
use crate::text::Text;

/// A process's place in one hierarchy of cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// The controllers of a v1 hierarchy, or its name (`name=systemd`); empty for v2.
    pub controllers: Text,
    /// The path below the hierarchy's top, as husk's cgroup namespace sees it.
    pub path: Text,
}

impl Cgroup {
    /// Whether this is the one hierarchy of version 2.
    pub fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.bytes().split(|byte| *byte == b',').any(|word| word == controller.as_bytes())
    }
}

/// Reads the file. Lines that are none of it are passed over.
pub fn parse(content: &[u8]) -> Vec<Cgroup> {
    let cgroup = |line: &[u8]| {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let hierarchy = fields.next()?;
        let (controllers, path) = (Text::new(fields.next()?), Text::new(fields.next()?));
        let is_sound = !hierarchy.is_empty() && hierarchy.iter().all(u8::is_ascii_digit);
        is_sound.then_some(Cgroup { controllers, path })
    };
    content.split(|byte| *byte == b'\n').filter_map(cgroup).collect()
}

/// A limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// It cannot be read.
    #[default]
    Unknown,
    /// There is none.
    None,
    /// This much.
    At(u64),
}

impl Limit {
    /// The tighter of two limits that both hold.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(one), Self::At(two)) => Self::At(one.min(two)),
            (Self::At(one), _) | (_, Self::At(one)) => Self::At(one),
            (Self::None, _) | (_, Self::None) => Self::None,
            _ => Self::Unknown,
        }
    }
}

/// What the cgroups of a process, and those above them, let it have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Limit,
    /// Processes and threads.
    pub processes: Limit,
    /// Thousandths of a CPU.
    pub cpu: Limit,
}

impl Limits {
    /// The limits of `cgroups`, read where `mounts` has their hierarchies.
    pub(crate) fn of(cgroups: &[Cgroup], mounts: &[Mount]) -> Self {
        let tightest = |controller: &str, read: &dyn Fn(&Path, bool) -> Limit| {
            let v1 = cgroups.iter().find(|cgroup| cgroup.has(controller));
            let Some(cgroup) = v1.or_else(|| cgroups.iter().find(|cgroup| cgroup.is_v2())) else {
                return Limit::Unknown;
            };
            let levels = levels(cgroup, controller, mounts);
            levels.iter().map(|level| read(level, cgroup.is_v2())).fold(Limit::Unknown, Limit::and)
        };
        Self {
            memory: tightest("memory", &|level, is_v2| {
                number(level, if is_v2 { "memory.max" } else { "memory.limit_in_bytes" })
            }),
            processes: tightest("pids", &|level, _| number(level, "pids.max")),
            cpu: tightest("cpu", &cpu),
        }
    }
}

/// What the limits of a process's own cgroups have led to since those were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encounters {
    /// How many processes were killed for want of memory.
    pub memory_kills: Option<u64>,
    /// How often a new process or thread was refused.
    pub refused_processes: Option<u64>,
}

impl Encounters {
    /// Those of `cgroups`, read where `mounts` has their hierarchies.
    pub(crate) fn of(cgroups: &[Cgroup], mounts: &[Mount]) -> Self {
        let counter = |controller: &str, v1: (&str, &str), v2: (&str, &str)| {
            let cgroup = cgroups.iter().find(|cgroup| cgroup.has(controller));
            let cgroup = cgroup.or_else(|| cgroups.iter().find(|cgroup| cgroup.is_v2()))?;
            let (file, key) = if cgroup.is_v2() { v2 } else { v1 };
            let text = fs::read_to_string(levels(cgroup, controller, mounts).first()?.join(file)).ok()?;
            let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok();
            text.lines().find_map(value)
        };
        Self {
            memory_kills: counter(
                "memory",
                ("memory.oom_control", "oom_kill"),
                ("memory.events", "oom_kill"),
            ),
            refused_processes: counter("pids", ("pids.events", "max"), ("pids.events", "max")),
        }
    }
}

/// The directory of a cgroup and all above it, as far as they are to be seen.
fn levels(cgroup: &Cgroup, controller: &str, mounts: &[Mount]) -> Vec<PathBuf> {
    let is_of = |mount: &&Mount| match cgroup.is_v2() {
        true => mount.fs_type.is("cgroup2"),
        false => {
            let options = mount.fs_options.bytes();
            mount.fs_type.is("cgroup")
                && options.split(|byte| *byte == b',').any(|option| option == controller.as_bytes())
        }
    };
    let path = Path::new(std::ffi::OsStr::from_bytes(cgroup.path.bytes()));
    // `/..` is how the kernel says that a cgroup is outside of husk's cgroup namespace.
    if path.components().any(|component| component == Component::ParentDir) {
        return Vec::new();
    }
    mounts.iter().rev().filter(is_of).find_map(|mount| below(mount, path)).unwrap_or_default()
}

fn below(mount: &Mount, path: &Path) -> Option<Vec<PathBuf>> {
    let path_of = |text: &Text| PathBuf::from(std::ffi::OsStr::from_bytes(text.bytes()));
    let below = path.strip_prefix(path_of(&mount.root)).ok()?;
    let (top, lowest) = (path_of(&mount.point), path_of(&mount.point).join(below));
    Some(lowest.ancestors().take_while(|level| level.starts_with(&top)).map(Path::to_owned).collect())
}

/// A file of a cgroup. Where the controller is not enabled, and at the top, there is none, and no limit either.
fn content(level: &Path, file: &str) -> Option<String> {
    match fs::read_to_string(level.join(file)) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && level.is_dir() => Some("max".to_owned()),
        Err(_) => None,
    }
}

fn number(level: &Path, file: &str) -> Limit {
    content(level, file).map_or(Limit::Unknown, |text| limit_of(text.trim()))
}

fn limit_of(text: &str) -> Limit {
    /// What v1 writes for none is the greatest multiple of the page size that fits, whatever that is.
    const NONE_V1: u64 = 1 << 62;
    match text.parse() {
        Ok(number) if number >= NONE_V1 => Limit::None,
        Ok(number) => Limit::At(number),
        Err(_) if text == "max" => Limit::None,
        Err(_) => Limit::Unknown,
    }
}

fn cpu(level: &Path, is_v2: bool) -> Limit {
    let share = match is_v2 {
        true => content(level, "cpu.max"),
        false => content(level, "cpu.cfs_quota_us")
            .zip(content(level, "cpu.cfs_period_us"))
            .map(|(quota, period)| format!("{} {}", quota.trim(), period.trim())),
    };
    share.map_or(Limit::Unknown, |share| thousandths(&share))
}

/// `QUOTA PERIOD`, both in microseconds; a quota of `max` or -1 is none.
fn thousandths(share: &str) -> Limit {
    let mut words = share.split_ascii_whitespace();
    match (words.next(), words.next().and_then(|period| period.parse::<u64>().ok())) {
        (Some("max" | "-1"), _) => Limit::None,
        (Some(quota), Some(period @ 1..)) => match quota.parse::<u64>() {
            Ok(quota) => Limit::At(quota.saturating_mul(1000) / period),
            Err(_) => Limit::Unknown,
        },
        _ => Limit::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_places_in_both_versions() {
        let cgroups = parse(b"4:cpu,memory:/a\n1:name=systemd:/b:c\nnothing\n0::/d\n");
        assert_eq!(cgroups.len(), 3);
        assert!(cgroups[0].has("memory") && !cgroups[0].has("mem") && cgroups[0].path.is("/a"));
        assert!(cgroups[1].path.is("/b:c") && !cgroups[1].is_v2());
        assert!(cgroups[2].is_v2() && cgroups[2].path.is("/d"));
    }

    #[test]
    fn limits_in_the_words_of_the_kernel() {
        assert_eq!(limit_of("max"), Limit::None);
        for pages in ["9223372036854771712", "9223372036854710272"] {
            assert_eq!(limit_of(pages), Limit::None, "of 4 KiB and of 64 KiB");
        }
        assert_eq!(limit_of("1048576"), Limit::At(1_048_576));
        assert_eq!(limit_of(""), Limit::Unknown);
        assert_eq!(thousandths("150000 100000\n"), Limit::At(1500));
        assert_eq!((thousandths("max 100000"), thousandths("-1 100000")), (Limit::None, Limit::None));
        assert_eq!((thousandths("1 0"), thousandths("")), (Limit::Unknown, Limit::Unknown));
    }

    #[test]
    fn the_tightest_limit_on_the_way_up_holds() {
        let all = [Limit::Unknown, Limit::None, Limit::At(5), Limit::At(3)];
        assert_eq!(all.into_iter().fold(Limit::Unknown, Limit::and), Limit::At(3));
        assert_eq!(Limit::None.and(Limit::Unknown), Limit::None);
    }

    #[test]
    fn a_cgroup_is_looked_for_below_the_mount_and_nowhere_else() {
        let mounts = crate::mountinfo::parse(b"41 31 0:38 /top /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let levels = |path: &str| {
            let cgroup = Cgroup { controllers: Text::default(), path: path.into() };
            levels(&cgroup, "memory", &mounts)
        };
        assert_eq!(levels("/top/a"), [Path::new("/sys/fs/cgroup/a"), Path::new("/sys/fs/cgroup")]);
        assert!(levels("/other").is_empty() && levels("/top/../../../etc").is_empty());
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes: Vec<u8>, text: String) {
            let _ = parse(&bytes);
            let _ = (limit_of(&text), thousandths(&text));
        }
    }
}
