// SPDX-License-Identifier: Apache-2.0
//! What every root has, whoever's programs are in it: places to mount on, and the few files in etc.

use super::Error;
use super::tree::Tree;

const DIRECTORIES: [(&str, u32); 14] = [
    ("proc", 0o755),
    ("sys", 0o755),
    ("dev", 0o755),
    ("run", 0o755),
    ("tmp", 0o1777),
    ("root", 0o700),
    ("home", 0o755),
    ("mnt", 0o755),
    ("etc", 0o755),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/tmp", 0o1777),
    ("var/log", 0o755),
    ("var/lib", 0o755),
];

const FILES: [(&str, &str); 5] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    // 5 is the group of terminals: devpts is mounted with gid=5.
    ("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
    ("etc/resolv.conf", "# No name servers: a container has no network but its own loopback.\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n"),
];

/// Lays out the directories and files that have nothing to do with programs.
pub(super) fn lay_out(tree: &mut Tree) -> Result<(), Error> {
    DIRECTORIES.iter().try_for_each(|(path, mode)| tree.directory(path, *mode))?;
    FILES.iter().try_for_each(|(path, content)| tree.write(path, content))
}

/// One directory of programs, under all the names by which scripts and PATH look for it.
pub(super) fn one_bin(tree: &Tree) -> Result<(), Error> {
    tree.directory("bin", 0o755)?;
    tree.symlink("bin", "sbin")?;
    tree.symlink("../bin", "usr/bin")?;
    tree.symlink("../bin", "usr/sbin")
}
