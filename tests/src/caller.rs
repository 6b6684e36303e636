// SPDX-License-Identifier: Apache-2.0
//! Who runs husk.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Command, Output, Place, is_root};

/// Somebody who runs husk: an identity, a home of its own, and the programs that husk is started through.
#[derive(Clone, Debug)]
pub struct Caller<'p> {
    place: &'p Place,
    name: &'static str,
    ids: (u32, u32),
    home: PathBuf,
    through: Vec<OsString>,
    ranges: Option<[(u32, u32); 2]>,
}

impl fmt::Display for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<'p> Caller<'p> {
    pub(crate) fn new(place: &'p Place, name: &'static str, ids: (u32, u32), home: PathBuf) -> Self {
        Self { place, name, ids, home, through: Vec::new(), ranges: None }
    }

    /// The same, but every command is started by these words, as root if they are there, and they have to become the user.
    pub fn through<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.through = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Root in UTS, IPC and mount namespaces apart from the host's, for tests in which a husk that is broken could change
    /// the host itself, such as its name.
    pub fn contained(self) -> Self {
        assert!(is_root() && self.is_root(), "only root can do such harm");
        self.through(["unshare", "--uts", "--ipc", "--mount"])
    }

    /// The same, where all mounts are shared with each other, as on a host that systemd has started.
    pub fn contained_with_shared_mounts(self) -> Self {
        let script = "mount --make-rshared / && exec \"$@\"";
        let contained = self.contained();
        let words =
            contained.through.clone().into_iter().chain(["sh", "-c", script, "sh"].map(OsString::from));
        let words: Vec<_> = words.collect();
        contained.through(words)
    }

    pub(crate) fn with_ranges(self, ranges: [(u32, u32); 2]) -> Self {
        Self { ranges: Some(ranges), ..self }
    }

    /// The subordinate ids, first and count, of users and of groups.
    pub fn ranges(&self) -> Option<[(u32, u32); 2]> {
        self.ranges
    }

    /// Whether a container of this caller's has many ids, and not the caller's alone.
    pub fn has_many_ids(&self) -> bool {
        self.is_root() || self.ranges.is_some()
    }

    /// Whether this is root.
    pub fn is_root(&self) -> bool {
        self.ids.0 == 0
    }

    /// The user id.
    pub fn uid(&self) -> u32 {
        self.ids.0
    }

    /// The group id.
    pub fn gid(&self) -> u32 {
        self.ids.1
    }

    /// A directory of this caller's own: HOME, and the working directory of its commands.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where this caller's husk keeps its default root: XDG_DATA_HOME.
    pub fn data_home(&self) -> PathBuf {
        self.home.join("data")
    }

    /// husk with these arguments.
    pub fn husk<W: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = W>) -> Command {
        self.command(self.place.binary()).args(args)
    }

    /// Any other program, as this caller would run it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut words = self.through.iter().cloned().chain([program.as_ref().to_owned()]);
        let first = words.next().expect("there is a program");
        let command = Command::new(first).args(words).current_dir(&self.home);
        let command = command.env("HOME", &self.home).env("XDG_DATA_HOME", self.data_home());
        match is_root() && self.through.is_empty() {
            true => command.ids(self.ids.0, self.ids.1),
            false => command,
        }
    }

    /// Builds a busybox root `name` in this caller's home with `husk rootfs new`.
    pub fn root(&self, name: &str) -> PathBuf {
        self.new_root(name, &[])
    }

    /// Builds a root with `husk rootfs new` and these options.
    pub fn new_root(&self, name: &str, options: &[&str]) -> PathBuf {
        let root = self.home.join(name);
        self.husk(["rootfs", "new"]).arg(&root).args(options).run().succeeds();
        root
    }

    /// Makes the OCI bundle `name` in this caller's home, of nothing but this `config.json`.
    pub fn bundle(&self, name: &str, config: &serde_json::Value) -> PathBuf {
        let bundle = self.home.join(name);
        std::fs::create_dir_all(&bundle).expect("a bundle's directory");
        std::fs::write(bundle.join("config.json"), config.to_string()).expect("a config.json");
        bundle
    }

    /// `husk run OPTIONS ROOT /bin/sh -c SCRIPT`.
    pub fn run(&self, options: &[&str], root: &Path, script: &str) -> Output {
        self.shell(options, root, script).run()
    }

    /// The command that [`Self::run`] runs, to be changed or started.
    pub fn shell(&self, options: &[&str], root: &Path, script: &str) -> Command {
        self.husk(["run"]).args(options).arg(root).args(["/bin/sh", "-c", script])
    }

    /// What SCRIPT prints in a container with these options; it has to succeed.
    pub fn inside(&self, options: &[&str], root: &Path, script: &str) -> String {
        self.run(options, root, script).succeeds().stdout.clone()
    }
}
