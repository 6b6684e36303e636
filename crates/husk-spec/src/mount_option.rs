// SPDX-License-Identifier: Apache-2.0
//! The one table of mount options: what each word sets and clears (`mount(8)`, OCI runtime specification, `config.md`,
//! "Linux mount options").

use rustix::mount::MountAttrFlags as Attr;

/// What a word in a list of mount options does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Nothing: the word names the default.
    None,
    /// Sets attributes of the mount.
    Set(Attr),
    /// Clears attributes of the mount.
    Clear(Attr),
    /// Sets the access time mode, of which a mount has one.
    Atime(Attr),
    /// Takes this access time mode back to the default, relatime; another mode stays.
    NotAtime(Attr),
    /// Sets attributes of the mount and of those below.
    RecursiveSet(Attr),
    /// Clears attributes of the mount and of those below.
    RecursiveClear(Attr),
    /// Sets the access time mode of the mount and of those below.
    RecursiveAtime(Attr),
    /// Takes this access time mode back to the default, for the mounts below too.
    RecursiveNotAtime(Attr),
    /// Sets or clears a flag of the file system itself.
    Superblock(SuperblockFlag, bool),
    /// A bind mount, with or without the mounts below.
    Bind { recursive: bool },
    /// The type of propagation.
    Propagation(Propagation, bool),
    /// Whether and how far the files are shown through id maps.
    Idmap(Idmap),
    /// The mount that is there gets other options.
    Remount,
    /// A tmpfs begins with what was at its place.
    Tmpcopyup,
}

/// The words of the specification. `acl` and `noacl` are not among them: they are options of file systems, and no flag of
/// `mount(2)` stands for them.
const TABLE: &[(&str, Effect)] = &[
    ("defaults", Effect::None),
    ("rw", Effect::Clear(Attr::MOUNT_ATTR_RDONLY)),
    ("ro", Effect::Set(Attr::MOUNT_ATTR_RDONLY)),
    ("suid", Effect::Clear(Attr::MOUNT_ATTR_NOSUID)),
    ("nosuid", Effect::Set(Attr::MOUNT_ATTR_NOSUID)),
    ("dev", Effect::Clear(Attr::MOUNT_ATTR_NODEV)),
    ("nodev", Effect::Set(Attr::MOUNT_ATTR_NODEV)),
    ("exec", Effect::Clear(Attr::MOUNT_ATTR_NOEXEC)),
    ("noexec", Effect::Set(Attr::MOUNT_ATTR_NOEXEC)),
    ("diratime", Effect::Clear(Attr::MOUNT_ATTR_NODIRATIME)),
    ("nodiratime", Effect::Set(Attr::MOUNT_ATTR_NODIRATIME)),
    ("symfollow", Effect::Clear(Attr::MOUNT_ATTR_NOSYMFOLLOW)),
    ("nosymfollow", Effect::Set(Attr::MOUNT_ATTR_NOSYMFOLLOW)),
    ("relatime", Effect::Atime(Attr::empty())),
    ("norelatime", Effect::None),
    ("noatime", Effect::Atime(Attr::MOUNT_ATTR_NOATIME)),
    ("atime", Effect::NotAtime(Attr::MOUNT_ATTR_NOATIME)),
    ("strictatime", Effect::Atime(Attr::MOUNT_ATTR_STRICTATIME)),
    ("nostrictatime", Effect::NotAtime(Attr::MOUNT_ATTR_STRICTATIME)),
    ("rrw", Effect::RecursiveClear(Attr::MOUNT_ATTR_RDONLY)),
    ("rro", Effect::RecursiveSet(Attr::MOUNT_ATTR_RDONLY)),
    ("rsuid", Effect::RecursiveClear(Attr::MOUNT_ATTR_NOSUID)),
    ("rnosuid", Effect::RecursiveSet(Attr::MOUNT_ATTR_NOSUID)),
    ("rdev", Effect::RecursiveClear(Attr::MOUNT_ATTR_NODEV)),
    ("rnodev", Effect::RecursiveSet(Attr::MOUNT_ATTR_NODEV)),
    ("rexec", Effect::RecursiveClear(Attr::MOUNT_ATTR_NOEXEC)),
    ("rnoexec", Effect::RecursiveSet(Attr::MOUNT_ATTR_NOEXEC)),
    ("rdiratime", Effect::RecursiveClear(Attr::MOUNT_ATTR_NODIRATIME)),
    ("rnodiratime", Effect::RecursiveSet(Attr::MOUNT_ATTR_NODIRATIME)),
    ("rsymfollow", Effect::RecursiveClear(Attr::MOUNT_ATTR_NOSYMFOLLOW)),
    ("rnosymfollow", Effect::RecursiveSet(Attr::MOUNT_ATTR_NOSYMFOLLOW)),
    ("rrelatime", Effect::RecursiveAtime(Attr::empty())),
    ("rnorelatime", Effect::None),
    ("rnoatime", Effect::RecursiveAtime(Attr::MOUNT_ATTR_NOATIME)),
    ("ratime", Effect::RecursiveNotAtime(Attr::MOUNT_ATTR_NOATIME)),
    ("rstrictatime", Effect::RecursiveAtime(Attr::MOUNT_ATTR_STRICTATIME)),
    ("rnostrictatime", Effect::RecursiveNotAtime(Attr::MOUNT_ATTR_STRICTATIME)),
    ("sync", Effect::Superblock(SuperblockFlag::Sync, true)),
    ("async", Effect::Superblock(SuperblockFlag::Sync, false)),
    ("dirsync", Effect::Superblock(SuperblockFlag::Dirsync, true)),
    ("lazytime", Effect::Superblock(SuperblockFlag::Lazytime, true)),
    ("nolazytime", Effect::Superblock(SuperblockFlag::Lazytime, false)),
    ("mand", Effect::Superblock(SuperblockFlag::Mandlock, true)),
    ("nomand", Effect::Superblock(SuperblockFlag::Mandlock, false)),
    ("iversion", Effect::Superblock(SuperblockFlag::IVersion, true)),
    ("noiversion", Effect::Superblock(SuperblockFlag::IVersion, false)),
    ("silent", Effect::Superblock(SuperblockFlag::Silent, true)),
    ("loud", Effect::Superblock(SuperblockFlag::Silent, false)),
    ("bind", Effect::Bind { recursive: false }),
    ("rbind", Effect::Bind { recursive: true }),
    ("shared", Effect::Propagation(Propagation::Shared, false)),
    ("rshared", Effect::Propagation(Propagation::Shared, true)),
    ("slave", Effect::Propagation(Propagation::Slave, false)),
    ("rslave", Effect::Propagation(Propagation::Slave, true)),
    ("private", Effect::Propagation(Propagation::Private, false)),
    ("rprivate", Effect::Propagation(Propagation::Private, true)),
    ("unbindable", Effect::Propagation(Propagation::Unbindable, false)),
    ("runbindable", Effect::Propagation(Propagation::Unbindable, true)),
    ("idmap", Effect::Idmap(Idmap::Mount)),
    ("ridmap", Effect::Idmap(Idmap::Recursive)),
    ("remount", Effect::Remount),
    ("tmpcopyup", Effect::Tmpcopyup),
];

/// Words that only the command line of husk takes. In a `config.json` they would be options of the file system.
const TYPED: &[(&str, Effect)] = &[
    ("readonly", Effect::Set(Attr::MOUNT_ATTR_RDONLY)),
    ("bind-nonrecursive", Effect::Bind { recursive: false }),
    ("noidmap", Effect::Idmap(Idmap::Off)),
];

/// A flag of a file system as a whole, which all of its mounts share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuperblockFlag {
    /// Each write reaches the device at once.
    Sync,
    /// Each change of a directory reaches the device at once.
    Dirsync,
    /// Times are written late.
    Lazytime,
    /// Mandatory locking, which Linux 5.15 took out.
    Mandlock,
    /// Each change of a file counts up a number. File systems that have it keep it without being asked.
    IVersion,
    /// Fewer messages in the kernel's log.
    Silent,
}

impl SuperblockFlag {
    /// The parameter by which `fsconfig(2)` sets the flag (`on`) or clears it. `None` where it has none
    /// (`fs/fs_context.c`): then the word is accepted and has no effect.
    pub fn parameter(self, on: bool) -> Option<&'static str> {
        match (self, on) {
            (Self::Sync, true) => Some("sync"),
            (Self::Sync, false) => Some("async"),
            (Self::Dirsync, true) => Some("dirsync"),
            (Self::Lazytime, true) => Some("lazytime"),
            (Self::Lazytime, false) => Some("nolazytime"),
            (Self::Mandlock, true) => Some("mand"),
            (Self::Mandlock, false) => Some("nomand"),
            (Self::Dirsync, false) | (Self::IVersion | Self::Silent, _) => None,
        }
    }
}

/// How mounts and unmounts travel to and from a mount (`mount_namespaces(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Both ways.
    Shared,
    /// Only towards it.
    Slave,
    /// Not at all.
    Private,
    /// Not at all, and it cannot be bound elsewhere.
    Unbindable,
}

/// Whether the files of a mount are shown through id maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idmap {
    /// They are not.
    Off,
    /// They are, in this mount.
    Mount,
    /// They are, also in the mounts below.
    Recursive,
}

/// The attributes of a mount, as `mount_setattr(2)` takes them: what to clear, then what to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountFlags {
    /// `MOUNT_ATTR_*` to set.
    pub set: Attr,
    /// `MOUNT_ATTR_*` to clear before.
    pub clear: Attr,
}

impl MountFlags {
    /// Nothing set, nothing cleared.
    pub const NONE: Self = Self { set: Attr::empty(), clear: Attr::empty() };

    /// These flags set, none cleared.
    pub const fn set(set: Attr) -> Self {
        Self { set, clear: Attr::empty() }
    }

    /// These, and `later` on top of them.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        self.apply(later.set, later.clear);
        self
    }

    fn apply(&mut self, set: Attr, clear: Attr) {
        self.set = (self.set - clear) | set;
        self.clear = (self.clear - set) | clear;
    }

    /// The kernel wants all bits of the mode cleared when one is set or cleared (`mount_setattr(2)`).
    fn access_time(&mut self, mode: Attr) {
        self.apply(Attr::empty(), Attr::MOUNT_ATTR__ATIME);
        self.set |= mode;
    }

    fn not_access_time(&mut self, mode: Attr) {
        let now = self.set & Attr::MOUNT_ATTR__ATIME;
        if now.is_empty() || now == mode {
            self.access_time(Attr::empty());
        }
    }

    /// The words by which `mount(8)` sets and clears the same: `nosuid`, `exec`.
    pub fn options(self) -> Vec<&'static str> {
        let kept = TABLE.iter().filter(|(_, effect)| match effect {
            Effect::Set(attr) => self.set.contains(*attr),
            Effect::Clear(attr) => self.clear.contains(*attr) && !self.set.contains(*attr),
            Effect::Atime(attr) if attr.is_empty() => {
                self.clear.contains(Attr::MOUNT_ATTR__ATIME) && !self.set.intersects(Attr::MOUNT_ATTR__ATIME)
            }
            Effect::Atime(attr) => self.set.contains(*attr),
            _ => false,
        });
        kept.map(|(word, _)| *word).collect()
    }

    /// The words of the table for what is set: `ro nosuid`.
    pub fn words(self) -> Vec<&'static str> {
        let kept = TABLE.iter().filter(|(_, effect)| match effect {
            Effect::Set(attr) => self.set.contains(*attr),
            Effect::Atime(attr) => !attr.is_empty() && self.set.contains(*attr),
            _ => false,
        });
        kept.map(|(word, _)| *word).collect()
    }
}

/// A word that is no mount option known to husk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown mount option {0:?}")]
pub struct UnknownMountOption(pub String);

/// What a list of mount options asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// The attributes of the mount.
    pub flags: MountFlags,
    /// Attributes of the mount and of those below it.
    pub recursive_flags: MountFlags,
    /// Flags of the file system, set or cleared, each at most once.
    pub superblock: Vec<(SuperblockFlag, bool)>,
    /// Whether it is a bind mount: with the mounts below (`rbind`) or without them; `None` if not said.
    pub recursive: Option<bool>,
    /// Types of propagation to give the mount, in this order; `true` with the mounts below.
    pub propagation: Vec<(Propagation, bool)>,
    /// Whether id maps apply to the files, `None` if not said.
    pub idmap: Option<Idmap>,
    /// Whether the mount that is there gets these options, instead of a new one.
    pub remount: bool,
    /// Whether a tmpfs begins with what was at its place.
    pub tmpcopyup: bool,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            flags: MountFlags::NONE,
            recursive_flags: MountFlags::NONE,
            superblock: Vec::new(),
            recursive: None,
            propagation: Vec::new(),
            idmap: None,
            remount: false,
            tmpcopyup: false,
        }
    }
}

impl MountOptions {
    /// All words of the specification that husk knows, sorted.
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<_> = TABLE.iter().map(|(word, _)| *word).collect();
        names.sort_unstable();
        names
    }

    /// Takes one word of the specification in. Later words win over earlier ones.
    ///
    /// # Errors
    /// A word that is not in the table; it may still be one for the file system itself (`size=64m`).
    pub fn apply(&mut self, word: &str) -> Result<(), UnknownMountOption> {
        self.apply_from(TABLE.iter(), word)
    }

    /// Takes one word in as [`MountOptions::apply`] does, or one that only the command line of husk has: `readonly`,
    /// `noidmap`.
    ///
    /// # Errors
    /// A word that is in neither table.
    pub fn apply_typed(&mut self, word: &str) -> Result<(), UnknownMountOption> {
        self.apply_from(TABLE.iter().chain(TYPED), word)
    }

    /// Whether it asks for no more than attributes of one mount, `bind` or `rbind`, and `idmap` or `noidmap`.
    pub fn is_plain(&self) -> bool {
        self.recursive_flags == MountFlags::NONE
            && self.superblock.is_empty()
            && self.propagation.is_empty()
            && self.idmap != Some(Idmap::Recursive)
            && !self.remount
            && !self.tmpcopyup
    }

    /// The parameters by which `fsconfig(2)` sets and clears the flags of the file system.
    pub fn superblock_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.superblock.iter().filter_map(|(flag, on)| flag.parameter(*on))
    }

    fn apply_from<'a>(
        &mut self,
        mut table: impl Iterator<Item = &'a (&'a str, Effect)>,
        word: &str,
    ) -> Result<(), UnknownMountOption> {
        let (_, effect) =
            table.find(|(known, _)| *known == word).ok_or_else(|| UnknownMountOption(word.to_owned()))?;
        match *effect {
            Effect::None => {}
            Effect::Set(attr) => self.flags.apply(attr, Attr::empty()),
            Effect::Clear(attr) => self.flags.apply(Attr::empty(), attr),
            Effect::Atime(mode) => self.flags.access_time(mode),
            Effect::NotAtime(mode) => self.flags.not_access_time(mode),
            Effect::RecursiveSet(attr) => self.recursive_flags.apply(attr, Attr::empty()),
            Effect::RecursiveClear(attr) => self.recursive_flags.apply(Attr::empty(), attr),
            Effect::RecursiveAtime(mode) => self.recursive_flags.access_time(mode),
            Effect::RecursiveNotAtime(mode) => self.recursive_flags.not_access_time(mode),
            Effect::Superblock(flag, on) => {
                self.superblock.retain(|(known, _)| *known != flag);
                self.superblock.push((flag, on));
            }
            Effect::Bind { recursive } => self.recursive = Some(recursive),
            Effect::Propagation(kind, recursive) => self.propagation.push((kind, recursive)),
            Effect::Idmap(how) => self.idmap = Some(how),
            Effect::Remount => self.remount = true,
            Effect::Tmpcopyup => self.tmpcopyup = true,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
