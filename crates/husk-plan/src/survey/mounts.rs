// SPDX-License-Identifier: Apache-2.0
//! `/proc/self/mountinfo`, as far as a survey needs it (proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

/// A line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The part of the file system that is mounted.
    pub(crate) root: PathBuf,
    /// Where.
    pub(crate) target: PathBuf,
    /// The type of the file system.
    pub(crate) kind: String,
    /// The options of the file system itself.
    pub(crate) options: String,
}

pub(crate) fn parse(text: &str) -> Vec<Line> {
    text.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let (mount, filesystem) = text.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let mut filesystem = filesystem.split(' ');
    Some(Line {
        root: unescape(mount.next()?).into(),
        target: unescape(mount.next()?).into(),
        kind: filesystem.next()?.to_owned(),
        options: filesystem.nth(1)?.to_owned(),
    })
}

/// Space, tab, newline and backslash are written in octal.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (octal, plain)| text.replace(octal, plain))
}

/// What is mounted below `top` and so hides a part of it. The places that the kernel made to be mounted on hide nothing
/// (`mount_is_safe` of an empty directory): file systems of its own, such as /sys/fs/cgroup, are on them.
pub(crate) fn hiding(top: &str, mounts: &[Line]) -> Vec<PathBuf> {
    const OWN: [&str; 14] = [
        "binfmt_misc",
        "autofs",
        "nfsd",
        "cgroup",
        "cgroup2",
        "securityfs",
        "debugfs",
        "tracefs",
        "pstore",
        "bpf",
        "configfs",
        "fusectl",
        "selinuxfs",
        "efivarfs",
    ];
    let made_for_mounts =
        |line: &Line| line.target == Path::new("/sys/fs/cgroup") || OWN.contains(&line.kind.as_str());
    let below = |line: &&Line| line.target.starts_with(top) && line.target != Path::new(top);
    let under_cgroup = |line: &Line| line.target.starts_with("/sys/fs/cgroup");
    mounts
        .iter()
        .filter(below)
        .filter(|line| !made_for_mounts(line) && !under_cgroup(line))
        .map(|line| line.target.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_a_part_of_proc() {
        let text = "22 28 0:21 / /proc rw - proc proc rw\n\
                    23 22 0:40 / /proc/sys/fs/binfmt_misc rw shared:1 - binfmt_misc b rw\n\
                    24 22 0:41 / /proc/acpi ro - tmpfs tmpfs ro\n\
                    25 22 0:21 /sys /proc/sys ro - proc proc rw\n\
                    26 28 0:42 / /a\\040b rw - tmpfs tmpfs rw\n";
        let mounts = parse(text);
        assert_eq!(hiding("/proc", &mounts), [Path::new("/proc/acpi"), Path::new("/proc/sys")]);
        assert_eq!(mounts[4].target, Path::new("/a b"));
        assert_eq!(mounts[3].root, Path::new("/sys"));
    }
}
