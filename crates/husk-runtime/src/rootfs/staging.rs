// SPDX-License-Identifier: Apache-2.0
//! All or nothing: a root is built in a temporary directory beside its place, and renamed into it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::Error;

const PREFIX: &str = ".husk-";
const RANDOM_BYTES: usize = 8;
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Where a root is to be: a name in a directory, either not there yet or an empty directory.
pub(super) struct Place {
    parent: OwnedFd,
    parent_path: PathBuf,
    name: OsString,
}

impl Place {
    /// Checks that a root can be made at `dir`.
    pub(super) fn find(dir: &Path) -> Result<Place, Error> {
        let dir = match dir.canonicalize() {
            Ok(existing) => {
                check_empty(&existing)?;
                existing
            }
            Err(_) => {
                let parent = match dir.parent() {
                    Some(parent) if parent == Path::new("") => Path::new("."),
                    Some(parent) => parent,
                    None => return Err(Error::NoName(dir.to_owned())),
                };
                if !parent.is_dir() {
                    return Err(Error::NoParent(parent.to_owned()));
                }
                let name = dir.file_name().ok_or_else(|| Error::NoName(dir.to_owned()))?;
                parent.canonicalize().map_err(Error::io("use", parent))?.join(name)
            }
        };
        let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
            return Err(Error::NoName(dir));
        };
        Ok(Place {
            parent: fs::open(parent, DIRECTORY, Mode::empty()).map_err(Error::io("open", parent))?,
            parent_path: parent.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The absolute path of the place.
    pub(super) fn dir(&self) -> PathBuf {
        self.parent_path.join(&self.name)
    }
}

fn check_empty(dir: &Path) -> Result<(), Error> {
    if !dir.is_dir() {
        return Err(Error::NotADirectory(dir.to_owned()));
    }
    let mut entries = std::fs::read_dir(dir).map_err(Error::io("read", dir))?;
    if entries.next().is_some() {
        return Err(Error::NotEmpty(dir.to_owned()));
    }
    if std::env::current_dir().is_ok_and(|current| current == dir) {
        return Err(Error::CurrentDirectory(dir.to_owned()));
    }
    Ok(())
}

/// A temporary directory in the parent of a place, `.husk-` and sixteen hexadecimal digits, locked by
/// flock(2) as long as its builder lives. Dropped without [`Staging::commit`], it is removed; after a kill -9
/// the next build in this parent removes it.
pub(super) struct Staging {
    place: Place,
    name: OsString,
    /// Holds the lock.
    directory: OwnedFd,
    committed: bool,
}

impl Staging {
    pub(super) fn create(place: Place) -> Result<Staging, Error> {
        sweep(&place.parent);
        loop {
            let name = random_name().map_err(Error::io("name a directory in", &place.parent_path))?;
            match fs::mkdirat(&place.parent, &name, Mode::RWXU) {
                Err(Errno::EXIST) => continue,
                other => other.map_err(Error::io("create a directory in", &place.parent_path))?,
            }
            match claim(&place.parent, &name) {
                Ok(Some(directory)) => return Ok(Staging { place, name, directory, committed: false }),
                // Between mkdir and flock another build's sweep took it for a leftover.
                Ok(None) => {}
                Err(e) => {
                    let _ = remove(&place.parent, &name);
                    return Err(Error::io("lock a directory in", &place.parent_path)(e));
                }
            }
        }
    }

    /// The directory to build in.
    pub(super) fn directory(&self) -> Result<OwnedFd, Error> {
        self.directory.try_clone().map_err(Error::io("open", &self.place.parent_path.join(&self.name)))
    }

    /// Writes everything through to the disk.
    pub(super) fn sync(&self) -> Result<(), Error> {
        fs::syncfs(&self.directory).map_err(Error::io("write back", &self.place.parent_path))
    }

    /// Puts the finished directory in its place. rename(2) replaces an empty directory and nothing else, so
    /// one check and the deed are the same call.
    pub(super) fn commit(mut self) -> Result<PathBuf, Error> {
        let dir = self.place.dir();
        fs::fchmod(&self.directory, Mode::from_raw_mode(0o755))
            .map_err(Error::io("set the mode of", &dir))?;
        match fs::renameat(&self.place.parent, &self.name, &self.place.parent, &self.place.name) {
            Ok(()) => {
                self.committed = true;
                Ok(dir)
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(Error::NotEmpty(dir)),
            Err(Errno::NOTDIR) => Err(Error::NotADirectory(dir)),
            Err(Errno::BUSY) => Err(Error::MountPoint(dir)),
            Err(e) => Err(Error::io("put in place", &dir)(e)),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.committed {
            // What cannot be removed now is removed by a later build, once this lock is gone.
            let _ = remove(&self.place.parent, &self.name);
        }
    }
}

/// Removes what killed builds left in `parent`: unlocked staging directories of the caller's own. One that
/// cannot be removed is in nobody's way.
fn sweep(parent: &OwnedFd) {
    let Ok(entries) = Dir::read_from(parent) else { return };
    let own = rustix::process::geteuid().as_raw();
    for entry in entries.flatten() {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if !is_staging_name(name) {
            continue;
        }
        // In a directory like /tmp anybody may make such a name; only one's own is one's own to remove.
        let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        if stat.is_ok_and(|stat| stat.st_uid == own) && matches!(claim(parent, name), Ok(Some(_))) {
            let _ = remove(parent, name);
        }
    }
}

/// Opens and locks a staging directory. None if somebody else has it, or had it and has renamed or removed
/// it.
fn claim(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<Option<OwnedFd>> {
    let directory = match fs::openat(parent, name, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    };
    match fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        other => other?,
    }
    let open = fs::fstat(&directory)?;
    let named = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    let same = named.is_ok_and(|named| (open.st_dev, open.st_ino) == (named.st_dev, named.st_ino));
    Ok(same.then_some(directory))
}

fn random_name() -> rustix::io::Result<OsString> {
    let mut random = [0u8; RANDOM_BYTES];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let mut name = PREFIX.to_owned();
    for byte in random {
        write!(name, "{byte:02x}").expect("a String takes everything");
    }
    Ok(name.into())
}

fn is_staging_name(name: &OsStr) -> bool {
    name.as_bytes()
        .strip_prefix(PREFIX.as_bytes())
        .is_some_and(|rest| rest.len() == 2 * RANDOM_BYTES && rest.iter().all(u8::is_ascii_hexdigit))
}

/// Removes a directory and all below it, following no links.
fn remove<Fd: AsFd>(parent: Fd, name: &OsStr) -> rustix::io::Result<()> {
    let directory = fs::openat(&parent, name, DIRECTORY, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let child = OsStr::from_bytes(entry.file_name().to_bytes());
        if child == "." || child == ".." {
            continue;
        }
        match fs::unlinkat(&directory, child, AtFlags::empty()) {
            Err(Errno::ISDIR) => remove(&directory, child)?,
            other => other?,
        }
    }
    fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(parent: &Path) -> Vec<OsString> {
        let entries = std::fs::read_dir(parent).unwrap();
        entries.map(|e| e.unwrap().file_name()).filter(|name| is_staging_name(name)).collect()
    }

    #[test]
    fn a_build_that_fails_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let staging = Staging::create(Place::find(&parent.path().join("root")).unwrap()).unwrap();
        std::fs::create_dir_all(parent.path().join(&staging.name).join("a/b")).unwrap();
        std::os::unix::fs::symlink("/", parent.path().join(&staging.name).join("a/link")).unwrap();
        drop(staging);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_are_swept_and_builds_under_way_are_not() {
        let parent = tempfile::tempdir().unwrap();
        let leftover = parent.path().join(".husk-0123456789abcdef");
        let strangers = [".husk-beef", ".husk-0123456789abcdeg"].map(|name| parent.path().join(name));
        for dir in strangers.iter().chain([&leftover]) {
            std::fs::create_dir_all(dir.join("deep")).unwrap();
        }
        let first = Staging::create(Place::find(&parent.path().join("one")).unwrap()).unwrap();
        assert!(!leftover.exists() && strangers.iter().all(|dir| dir.exists()));
        let second = Staging::create(Place::find(&parent.path().join("two")).unwrap()).unwrap();
        assert_eq!(staged(parent.path()).len(), 2);
        first.commit().unwrap();
        second.commit().unwrap();
        assert!(parent.path().join("one").is_dir() && parent.path().join("two").is_dir());
        assert!(staged(parent.path()).is_empty());
    }

    #[test]
    fn whoever_fills_the_place_first_wins() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("root");
        let staging = Staging::create(Place::find(&dir).unwrap()).unwrap();
        std::fs::create_dir_all(dir.join("theirs")).unwrap();
        assert!(matches!(staging.commit(), Err(Error::NotEmpty(_))));
        assert!(dir.join("theirs").exists() && staged(parent.path()).is_empty());
    }
}
