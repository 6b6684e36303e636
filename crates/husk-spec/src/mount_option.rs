// SPDX-License-Identifier: Apache-2.0
//! The one table of mount options: what each word sets and clears (`mount(8)`, OCI runtime specification, `mounts`).

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
    /// A bind mount, with or without the mounts below.
    Bind { recursive: bool },
    /// The files are shown through the container's id maps, or not.
    Idmap(bool),
}

const TABLE: &[(&str, Effect)] = &[
    ("defaults", Effect::None),
    ("rw", Effect::Clear(Attr::MOUNT_ATTR_RDONLY)),
    ("ro", Effect::Set(Attr::MOUNT_ATTR_RDONLY)),
    ("readonly", Effect::Set(Attr::MOUNT_ATTR_RDONLY)),
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
    ("noatime", Effect::Atime(Attr::MOUNT_ATTR_NOATIME)),
    ("atime", Effect::Atime(Attr::empty())),
    ("strictatime", Effect::Atime(Attr::MOUNT_ATTR_STRICTATIME)),
    ("bind", Effect::Bind { recursive: false }),
    ("bind-nonrecursive", Effect::Bind { recursive: false }),
    ("rbind", Effect::Bind { recursive: true }),
    ("idmap", Effect::Idmap(true)),
    ("noidmap", Effect::Idmap(false)),
];

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

    fn apply(&mut self, set: Attr, clear: Attr) {
        self.set = (self.set - clear) | set;
        self.clear = (self.clear - set) | clear;
    }

    /// The words by which `mount(8)` sets and clears the same: `nosuid`, `exec`.
    pub fn options(self) -> Vec<&'static str> {
        let synonyms = ["readonly", "atime"];
        let kept = TABLE.iter().filter(|(word, effect)| {
            !synonyms.contains(word)
                && match effect {
                    Effect::Set(attr) => self.set.contains(*attr),
                    Effect::Clear(attr) => self.clear.contains(*attr) && !self.set.contains(*attr),
                    Effect::Atime(attr) if attr.is_empty() => {
                        self.clear.contains(Attr::MOUNT_ATTR__ATIME)
                            && !self.set.intersects(Attr::MOUNT_ATTR__ATIME)
                    }
                    Effect::Atime(attr) => self.set.contains(*attr),
                    _ => false,
                }
        });
        kept.map(|(word, _)| *word).collect()
    }

    /// The words of the table for what is set: `ro nosuid`.
    pub fn words(self) -> Vec<&'static str> {
        TABLE
            .iter()
            .filter(|(word, effect)| {
                *word != "readonly"
                    && match effect {
                        Effect::Set(attr) => self.set.contains(*attr),
                        Effect::Atime(attr) => !attr.is_empty() && self.set.contains(*attr),
                        _ => false,
                    }
            })
            .map(|(word, _)| *word)
            .collect()
    }
}

/// A word that is no mount option known to husk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown mount option {0:?}")]
pub struct UnknownMountOption(pub String);

/// What a list of mount options asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// The attributes.
    pub flags: MountFlags,
    /// Whether a bind takes the mounts below along (`rbind`), `None` if not said.
    pub recursive: Option<bool>,
    /// Whether the container's id maps apply to the files, `None` if not said.
    pub idmap: Option<bool>,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self { flags: MountFlags::NONE, recursive: None, idmap: None }
    }
}

impl MountOptions {
    /// Takes one word in. Later words win over earlier ones.
    ///
    /// # Errors
    /// A word that is not in the table; it may still be one for the file system itself (`size=64m`).
    pub fn apply(&mut self, word: &str) -> Result<(), UnknownMountOption> {
        let (_, effect) = TABLE
            .iter()
            .find(|(known, _)| *known == word)
            .ok_or_else(|| UnknownMountOption(word.to_owned()))?;
        match *effect {
            Effect::None => {}
            Effect::Set(attr) => self.flags.apply(attr, Attr::empty()),
            Effect::Clear(attr) => self.flags.apply(Attr::empty(), attr),
            Effect::Atime(attr) => {
                self.flags.apply(Attr::empty(), Attr::MOUNT_ATTR__ATIME);
                self.flags.set |= attr;
            }
            Effect::Bind { recursive } => self.recursive = Some(recursive),
            Effect::Idmap(on) => self.idmap = Some(on),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> MountOptions {
        let mut options = MountOptions::default();
        words.split(',').for_each(|word| options.apply(word).expect(word));
        options
    }

    #[test]
    fn later_words_win() {
        assert_eq!(parse("ro,rw").flags.set, Attr::empty());
        assert_eq!(parse("rw,ro,nosuid").flags.words(), ["ro", "nosuid"]);
        assert_eq!(parse("noatime,strictatime").flags.words(), ["strictatime"]);
    }

    #[test]
    fn an_access_time_clears_the_others() {
        assert_eq!(parse("noatime").flags.clear, Attr::MOUNT_ATTR__ATIME);
    }

    #[test]
    fn the_words_for_mount_set_and_clear_the_same() {
        for words in ["ro,nosuid", "rw,suid,exec,nodev", "noatime,dev", "relatime", "ro"] {
            let flags = parse(words).flags;
            assert_eq!(parse(&flags.options().join(",")).flags, flags, "{words}");
        }
        assert_eq!(MountFlags::NONE.options(), Vec::<&str>::new());
    }

    #[test]
    fn unknown_words_are_named() {
        assert_eq!(MountOptions::default().apply("sometimes"), Err(UnknownMountOption("sometimes".into())));
    }
}
