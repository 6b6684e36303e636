// SPDX-License-Identifier: Apache-2.0
//! `--tmpfs DST[:OPTIONS]`, and what `--mount type=tmpfs` has in common with it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use husk_spec::{FilesystemMount, Mount, MountFlags, MountOptions};
use rustix::mount::MountAttrFlags as Attr;

use super::Problem;
use super::volume::target;

/// As Docker and Podman mount a `--tmpfs`.
const FLAGS: Attr = Attr::MOUNT_ATTR_NOSUID.union(Attr::MOUNT_ATTR_NODEV).union(Attr::MOUNT_ATTR_NOEXEC);

/// What a value may look like.
#[derive(Clone, Copy)]
enum Form {
    /// Bytes or a number with a unit, or, where it says so, a part of the memory.
    Size {
        percent: bool,
    },
    Octal,
    Number,
    Word,
    Nothing,
}

/// Options of the file system itself (`tmpfs(5)`), and the form of their values.
const OPTIONS: [(&str, Form); 11] = [
    ("size", Form::Size { percent: true }),
    ("nr_blocks", Form::Size { percent: false }),
    ("nr_inodes", Form::Size { percent: false }),
    ("mode", Form::Octal),
    ("uid", Form::Number),
    ("gid", Form::Number),
    ("huge", Form::Word),
    ("mpol", Form::Word),
    ("inode32", Form::Nothing),
    ("inode64", Form::Nothing),
    ("noswap", Form::Nothing),
];

/// A tmpfs in the making.
pub(super) struct Tmpfs {
    options: MountOptions,
    own: Vec<(String, Option<String>)>,
}

impl Tmpfs {
    pub(super) fn new() -> Self {
        Self {
            options: MountOptions { flags: MountFlags::set(FLAGS), ..MountOptions::default() },
            own: Vec::new(),
        }
    }

    /// Takes one option in: a flag of the mount, or an option of the file system.
    pub(super) fn apply(&mut self, word: &str) -> Result<(), Problem> {
        let mut options = self.options.clone();
        if options.apply_typed(word).is_ok() {
            if options.recursive.is_some() || options.idmap.is_some() {
                return Err(Problem::new(format!("{word} is for bind mounts")));
            }
            if !options.is_plain() {
                return Err(unknown(word));
            }
            self.options = options;
            return Ok(());
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let (_, form) = OPTIONS.iter().find(|(known, _)| *known == name).ok_or_else(|| unknown(word))?;
        let value = checked(name, *form, value)?;
        self.own.retain(|(known, _)| known != name);
        self.own.push((name.to_owned(), value));
        Ok(())
    }

    pub(super) fn mount(self, target: std::path::PathBuf) -> Mount {
        Mount::Filesystem(FilesystemMount {
            kind: "tmpfs".to_owned(),
            source: None,
            target,
            options: self.own,
            flags: self.options.flags,
            propagation: Vec::new(),
            copy_up: false,
            keep_mode: false,
        })
    }
}

pub(super) fn parse(value: &OsStr) -> Result<Mount, Problem> {
    let bytes = value.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':');
    let (path, words) = colon.map_or((bytes, None), |colon| (&bytes[..colon], Some(&bytes[colon + 1..])));
    let target = target(path)?;
    let mut tmpfs = Tmpfs::new();
    let words = words.map(String::from_utf8_lossy).unwrap_or_default();
    words.split(',').filter(|word| !word.is_empty()).try_for_each(|word| tmpfs.apply(word))?;
    Ok(tmpfs.mount(target))
}

fn unknown(word: &str) -> Problem {
    let names: Vec<_> = OPTIONS.iter().map(|(name, _)| *name).collect();
    Problem::new(format!("tmpfs has no option {word:?}"))
        .hint(format!("{}, or a flag of the mount: ro exec suid dev noatime", names.join(" ")))
}

fn checked(name: &str, form: Form, value: Option<&str>) -> Result<Option<String>, Problem> {
    let wrong = |form: &str| Problem::new(format!("{name} takes {form}"));
    let Some(value) = value else {
        return if matches!(form, Form::Nothing) { Ok(None) } else { Err(wrong("a value")) };
    };
    let number =
        |text: &str| !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    match form {
        Form::Nothing => Err(wrong("no value")),
        Form::Octal => {
            octal(value).map(|mode| Some(format!("{mode:o}"))).ok_or_else(|| wrong("an octal mode: 1777"))
        }
        Form::Number if number(value) => Ok(Some(value.to_owned())),
        Form::Number => Err(wrong("a number")),
        Form::Word if value.is_empty() => Err(wrong("a value")),
        Form::Word => Ok(Some(value.to_owned())),
        Form::Size { percent } => {
            // The kernel takes one letter; people and Docker also write 64mb.
            let lower = value.to_ascii_lowercase();
            let size =
                lower.strip_suffix('b').filter(|rest| rest.ends_with(['k', 'm', 'g', 't'])).unwrap_or(&lower);
            let units: &[char] = if percent { &['k', 'm', 'g', 't', '%'] } else { &['k', 'm', 'g', 't'] };
            let digits = size.strip_suffix(units).unwrap_or(size);
            let forms = if percent { "a size: 64m, 1g, 50%" } else { "a number: 4096, 64k" };
            if number(digits) { Ok(Some(size.to_owned())) } else { Err(wrong(forms)) }
        }
    }
}

/// File permissions in octal.
fn octal(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<(String, Vec<String>, Vec<&'static str>)> {
        let Mount::Filesystem(mount) = parse(OsStr::new(text)).ok()? else { panic!("no tmpfs") };
        let option = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        Some((
            mount.target.display().to_string(),
            mount.options.iter().map(option).collect(),
            mount.flags.words(),
        ))
    }

    #[test]
    fn options_of_the_mount_and_of_the_file_system() {
        let of = |text| parsed(text).expect("parses");
        assert_eq!(of("/x"), ("/x".into(), vec![], vec!["nosuid", "nodev", "noexec"]));
        assert_eq!(of("/x:exec,ro").2, ["ro", "nosuid", "nodev"]);
        assert_eq!(of("/x:size=64MB,mode=0700,noswap").1, ["size=64m", "mode=700", "noswap"]);
        assert_eq!(of("/x:size=1g,size=50%").1, ["size=50%"]);
        assert_eq!(of("/x/./y//z:").0, "/x/y/z");
    }

    #[test]
    fn what_tmpfs_does_not_have_is_refused() {
        for text in [
            "",
            "x",
            "/",
            "/x/..",
            "/x:bind",
            "/x:idmap",
            "/x:ridmap",
            "/x:rro",
            "/x:shared",
            "/x:sync",
            "/x:tmpcopyup",
            "/x:nope",
            "/x:size",
            "/x:size=",
            "/x:size=b",
            "/x:size=1.5g",
            "/x:size=-1",
            "/x:size=64q",
            "/x:nr_inodes=5%",
            "/x:mode=9",
            "/x:mode=77777",
            "/x:mode=+7",
            "/x:uid=root",
            "/x:noswap=1",
            "/x:huge=",
        ] {
            assert!(parsed(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = parse(OsStr::new(&text));
            let _ = parse(OsStr::new(&format!("/x:{text}")));
        }
    }
}
