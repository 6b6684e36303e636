// SPDX-License-Identifier: Apache-2.0
//! Where the container is made, and by whom: what the commands depend on.

use std::path::{Path, PathBuf};

/// The directory, the caller, and the programs of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workshop {
    /// Where the commands are typed. Absolute, without links.
    pub(crate) directory: PathBuf,
    /// Whether husk is root: only then may it look at what root makes.
    pub(crate) is_root: bool,
    /// Whether the person is root only through `sudo`: the other terminal is not root's.
    pub(crate) through_sudo: bool,
    /// The machine's busybox.
    pub(crate) busybox: Option<PathBuf>,
    /// `chroot`, or its path where an ordinary user's PATH lacks it.
    pub(crate) chroot: String,
    /// The shell to start: `bash`, or `sh` where there is none.
    pub(crate) shell: &'static str,
}

/// What the directory of the root file system is called.
pub(crate) const NAME: &str = "mycontainer";

impl Workshop {
    /// This machine's, in this directory.
    pub(crate) fn new(directory: PathBuf) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = |name: &str| std::env::split_paths(&path).any(|part| part.join(name).is_file());
        let elsewhere = ["/usr/sbin/chroot", "/sbin/chroot", "/usr/bin/chroot"];
        let elsewhere = elsewhere.into_iter().find(|path| Path::new(path).is_file());
        Self {
            directory,
            is_root,
            through_sudo: is_root && std::env::var_os("SUDO_UID").is_some(),
            busybox: husk_runtime::rootfs::installed_busybox(),
            chroot: if on_path("chroot") { "chroot" } else { elsewhere.unwrap_or("chroot") }.to_owned(),
            shell: if on_path("bash") { "bash" } else { "sh" },
        }
    }

    /// The root file system to be.
    pub(crate) fn tree(&self) -> PathBuf {
        self.directory.join(NAME)
    }
}
