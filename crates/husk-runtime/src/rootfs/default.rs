// SPDX-License-Identifier: Apache-2.0
//! The root that `husk run` takes when none is named: made once, then left alone.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{Built, Error, Recipe, busybox, host, stage};

/// To be raised whenever [`Recipe::Busybox`] comes to mean something else: a root already made is never
/// changed.
const RECIPE_VERSION: u32 = 1;

/// The default root, opened.
#[derive(Debug)]
pub struct DefaultRoot {
    /// Where it is.
    pub path: PathBuf,
    /// An `O_PATH` descriptor of it.
    pub fd: OwnedFd,
    /// What was built, if this call built it.
    pub built: Option<Built>,
}

/// Where the default root is, or would be built. Looks at the environment and at the host's busybox; changes
/// nothing.
///
/// # Errors
/// [`Error::NoHome`].
pub fn default_root_path() -> Result<PathBuf, Error> {
    Ok(data_directory()?.join(format!("root-{:016x}", key())))
}

/// Opens the default root, having built it if it is not there yet. Of several callers at once, one builds.
///
/// # Errors
/// As [`Error`]; [`Error::Foreign`] if others could have changed the root.
pub fn ensure_default_root() -> Result<DefaultRoot, Error> {
    let path = default_root_path()?;
    match open(&path)? {
        Some(fd) => Ok(DefaultRoot { path, fd, built: None }),
        None => build(path),
    }
}

fn build(path: PathBuf) -> Result<DefaultRoot, Error> {
    let data = path.parent().expect("the path of the default root was joined to a directory");
    create_data_directory(data)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let lock = fs::open(data, flags, Mode::empty()).map_err(Error::io("open", data))?;
    retry_on_intr(|| fs::flock(&lock, FlockOperation::LockExclusive)).map_err(Error::io("lock", data))?;
    // Whoever had the lock before may have built it.
    if let Some(fd) = open(&path)? {
        return Ok(DefaultRoot { path, fd, built: None });
    }
    let staged = stage(&path, &Recipe::Busybox, &busybox::installed())?;
    // A rename may reach the disk before the data does; after a power cut an empty busybox would stay for
    // ever.
    staged.staging.sync()?;
    let built = Some(staged.commit()?);
    match open(&path)? {
        Some(fd) => Ok(DefaultRoot { path, fd, built }),
        None => Err(Error::io("open", &path)(Errno::NOENT)),
    }
}

/// None if it does not exist.
fn open(path: &Path) -> Result<Option<OwnedFd>, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.map_err(Error::io("open", path))?,
    };
    let stat = fs::fstat(&fd).map_err(Error::io("look at", path))?;
    let mode = stat.st_mode & 0o7777;
    // XDG_DATA_HOME may name a directory of somebody else, who would then choose what runs.
    if stat.st_uid != rustix::process::geteuid().as_raw() || mode & 0o022 != 0 {
        return Err(Error::Foreign { path: path.to_owned(), uid: stat.st_uid, mode });
    }
    Ok(Some(fd))
}

pub(crate) fn data_directory() -> Result<PathBuf, Error> {
    let variable = |name| std::env::var_os(name);
    choose_data_directory(variable("XDG_DATA_HOME"), variable("HOME"), rustix::process::geteuid().is_root())
}

/// The XDG Base Directory Specification has relative paths ignored. Root's belongs to the system, not to a
/// home.
fn choose_data_directory(
    xdg: Option<OsString>,
    home: Option<OsString>,
    is_root: bool,
) -> Result<PathBuf, Error> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    match (absolute(xdg), is_root, absolute(home)) {
        (Some(xdg), ..) => Ok(xdg.join("husk")),
        (None, true, _) => Ok("/var/lib/husk".into()),
        (None, false, Some(home)) => Ok(home.join(".local/share/husk")),
        (None, false, None) => Err(Error::NoHome),
    }
}

/// Parents as the XDG specification wants them, 0700. Root's own is 0711: its name is public, its content is
/// not listed, and containers reach the root in it by a descriptor, not by the path.
pub(crate) fn create_data_directory(data: &Path) -> Result<(), Error> {
    if data.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(Error::io("create", data))?;
    let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
    std::fs::set_permissions(data, PermissionsExt::from_mode(mode))
        .map_err(Error::io("set the mode of", data))
}

/// Another busybox, another root: what the choice among the host's depends on, without opening any.
fn key() -> u64 {
    let mut candidates = busybox::installed();
    candidates.sort();
    let mut words = vec![u64::from(RECIPE_VERSION)];
    for candidate in &candidates {
        let (seconds, nanoseconds) = candidate.mtime;
        words.extend([candidate.ino, candidate.size, seconds as u64, nanoseconds as u64]);
    }
    // Without a busybox the host's programs are taken; a shell of another build stands for another host.
    if candidates.is_empty()
        && let Some(shell) = host::look_up("sh".as_ref())
        && let Ok(meta) = std::fs::metadata(shell)
    {
        words.extend([meta.ino(), meta.size(), meta.mtime() as u64]);
    }
    fnv1a(words.iter().flat_map(|word| word.to_le_bytes()))
}

/// FNV-1a, which unlike std's hashers is the same in every release of the compiler.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(xdg: Option<&str>, home: Option<&str>, is_root: bool) -> Option<PathBuf> {
        choose_data_directory(xdg.map(Into::into), home.map(Into::into), is_root).ok()
    }

    #[test]
    fn the_data_directory_follows_the_xdg_specification() {
        assert_eq!(chosen(Some("/x"), Some("/h"), false), Some("/x/husk".into()));
        assert_eq!(chosen(Some("/x"), None, true), Some("/x/husk".into()));
        assert_eq!(chosen(Some("relative"), Some("/h"), false), Some("/h/.local/share/husk".into()));
        assert_eq!(chosen(Some(""), Some("/h"), true), Some("/var/lib/husk".into()));
        assert_eq!(chosen(None, Some("h"), false), None);
    }

    #[test]
    fn the_hash_is_fnv1a() {
        assert_eq!(fnv1a("foobar".bytes()), 0x8594_4171_f739_67e8);
    }
}
