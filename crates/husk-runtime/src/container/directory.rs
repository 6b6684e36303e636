// SPDX-License-Identifier: Apache-2.0
//! Where the state of containers is: a directory for all, in it one for each.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use husk_spec::oci::{ContainerId, Status};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, flock, mkdirat, open, openat, renameat, stat, statat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Condition, Error, Record, notify};

const STATE: &str = "state.json";
const NEW_STATE: &str = "state.json.new";
const UNDO: &str = "undo.json";
const CONFIG: &str = "config.json";
pub(crate) const START_SOCKET: &str = "start.sock";

/// The largest state that is read, in bytes.
const MAX: u64 = 64 << 20;

/// Room for a record or a configuration as they mostly are, in bytes: it is then read at once.
const USUAL: usize = 16 << 10;

/// The directory with the states of all containers.
#[derive(Debug)]
pub struct StateRoot {
    path: PathBuf,
}

impl StateRoot {
    /// The one at `path`, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory of a new container, and those above it.
    ///
    /// # Errors
    /// A container of that id that is there already.
    pub fn make(&self, id: &ContainerId) -> Result<Entry, Error> {
        let failed = |doing, path: &Path, errno| Error::File { doing, path: path.to_owned(), errno };
        make_directories(&self.path).map_err(|errno| failed("make", &self.path, errno))?;
        self.check_owner()?;
        let path = self.path.join(id.as_str());
        match mkdirat(CWD, &path, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                return Err(Error::Exists { id: id.to_string(), root: self.path.clone() });
            }
            Err(errno) => return Err(failed("make", &path, errno)),
        }
        let entry = self.open(id)?;
        entry.lock()?;
        Ok(entry)
    }

    /// The container of that id.
    ///
    /// # Errors
    /// There is none.
    pub fn open(&self, id: &ContainerId) -> Result<Entry, Error> {
        self.check_owner()?;
        let path = self.path.join(id.as_str());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match open(&path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(Error::NoSuchContainer { id: id.to_string(), root: self.path.clone() });
            }
            Err(errno) => return Err(Error::File { doing: "open", path, errno }),
        };
        Ok(Entry { id: id.clone(), path, fd })
    }

    /// Whoever can write here says which processes are signalled, joined and executed in: only this user, or root, may be able
    /// to. Its place may be one where others could make it first, such as `/tmp`.
    fn check_owner(&self) -> Result<(), Error> {
        let Ok(stat) = stat(&self.path) else { return Ok(()) };
        let foreign = |problem: String| Err(Error::ForeignRoot { root: self.path.clone(), problem });
        if stat.st_uid != geteuid().as_raw() && stat.st_uid != 0 {
            return foreign(format!("it belongs to user {}", stat.st_uid));
        }
        if Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH) {
            return foreign("everybody may write there".to_owned());
        }
        Ok(())
    }

    /// The ids of all containers, sorted.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn ids(&self) -> Result<Vec<ContainerId>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |errno| Error::File { doing: "read", path: self.path.clone(), errno };
        let fd = match open(&self.path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(errno) => return Err(failed(errno)),
        };
        let mut ids: Vec<ContainerId> = Vec::new();
        for entry in Dir::new(fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            ids.extend(entry.file_name().to_str().ok().and_then(|name| name.parse().ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

/// As `mkdir -p`, for the owner alone.
fn make_directories(path: &Path) -> Result<(), Errno> {
    match mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => {
            make_directories(path.parent().ok_or(Errno::NOENT)?)?;
            match mkdirat(CWD, path, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(errno) => Err(errno),
            }
        }
        Err(errno) => Err(errno),
    }
}

/// How long a call waits for another one at the same container.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it looks.
const PACE: Duration = Duration::from_millis(2);

/// The directory of one container.
#[derive(Debug)]
pub struct Entry {
    id: ContainerId,
    path: PathBuf,
    fd: OwnedFd,
}

impl Drop for Entry {
    /// A process that is being made may have a copy of the descriptor for a moment, and with it of the lock.
    fn drop(&mut self) {
        self.unlock();
    }
}

impl Entry {
    /// The container's id.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Keeps every other call that changes the container out, for as long as the entry lives. Hooks may ask for the state
    /// meanwhile, so that reading needs no lock.
    ///
    /// # Errors
    /// Another call that does not come to an end, or that has deleted the container.
    pub(crate) fn lock(&self) -> Result<(), Error> {
        let begin = Instant::now();
        while !self.try_lock()? {
            if begin.elapsed() > PATIENCE {
                return Err(Error::Busy { id: self.id.to_string(), seconds: PATIENCE.as_secs() });
            }
            std::thread::sleep(PACE);
        }
        match statat(&self.fd, "", AtFlags::EMPTY_PATH) {
            Ok(stat) if stat.st_nlink > 0 => Ok(()),
            _ => {
                let root = self.path.parent().unwrap_or(Path::new("/")).to_owned();
                Err(Error::NoSuchContainer { id: self.id.to_string(), root })
            }
        }
    }

    /// Lets others change the container again.
    pub(crate) fn unlock(&self) {
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }

    fn try_lock(&self) -> Result<bool, Error> {
        match flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
            Err(errno) => Err(self.failed("lock", "", errno)),
        }
    }

    /// Whether another call holds the lock.
    fn is_locked(&self) -> bool {
        // Another description of the directory, since a lock belongs to one.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(fd) = openat(&self.fd, ".", flags, Mode::empty()) else { return false };
        flock(&fd, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn failed(&self, doing: &'static str, name: &str, errno: Errno) -> Error {
        Error::File { doing, path: self.path.join(name), errno }
    }

    /// What is written down last; `None` if whoever made the container did not get that far.
    ///
    /// # Errors
    /// A state that is damaged.
    pub fn record(&self) -> Result<Option<Record>, Error> {
        let damaged = |problem| Error::Damaged { id: self.id.to_string(), problem };
        let bytes = match self.read(STATE) {
            Err(Error::File { errno: Errno::LOOP, .. }) => {
                return Err(damaged("it is a symbolic link".to_owned()));
            }
            bytes => bytes?,
        };
        let Some(bytes) = bytes else { return Ok(self.undo()) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// What was written down first, before anything was made: enough to take the container away. `None` if it is damaged or not
    /// there, as when whoever wrote it was killed over it.
    pub(crate) fn undo(&self) -> Option<Record> {
        let bytes = self.read(UNDO).ok().flatten()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The bytes of the `config.json` that the container was made from.
    ///
    /// # Errors
    /// None that is there.
    pub fn config(&self) -> Result<Vec<u8>, Error> {
        self.read(CONFIG)?.ok_or_else(|| self.failed("read", CONFIG, Errno::NOENT))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failed("open", name, errno)),
        };
        let mut bytes = Vec::with_capacity(USUAL);
        File::from(fd).take(MAX).read_to_end(&mut bytes).map_err(|error| {
            self.failed("read", name, error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
        })?;
        Ok(Some(bytes))
    }

    /// Writes `record` down in the place of what was there, at once or not at all.
    ///
    /// # Errors
    /// A file system that is full or read-only.
    pub fn write_record(&self, record: &Record) -> Result<(), Error> {
        self.replace(STATE, &self.bytes(record)?)
    }

    /// Writes `record` down as what is to be undone, before anything else is made. Until there is a state it is the record.
    ///
    /// # Errors
    /// As [`Entry::write_record`].
    pub(crate) fn write_undo(&self, record: &Record) -> Result<(), Error> {
        self.write(UNDO, &self.bytes(record)?)
    }

    /// As [`Entry::write_undo`], in the place of what was written there before.
    ///
    /// # Errors
    /// As [`Entry::write_record`].
    pub(crate) fn rewrite_undo(&self, record: &Record) -> Result<(), Error> {
        self.replace(UNDO, &self.bytes(record)?)
    }

    fn replace(&self, name: &'static str, bytes: &[u8]) -> Result<(), Error> {
        self.write(NEW_STATE, bytes)?;
        renameat(&self.fd, NEW_STATE, &self.fd, name).map_err(|errno| self.failed("rename", NEW_STATE, errno))
    }

    fn bytes(&self, record: &Record) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(record)
            .map_err(|error| Error::Damaged { id: self.id.to_string(), problem: error.to_string() })
    }

    /// Keeps the configuration for later calls.
    ///
    /// # Errors
    /// As [`Entry::write_record`].
    pub(crate) fn write_config(&self, bytes: &[u8]) -> Result<(), Error> {
        self.write(CONFIG, bytes)
    }

    /// As [`Entry::write_config`], in the place of what was kept before.
    ///
    /// # Errors
    /// As [`Entry::write_record`].
    pub(crate) fn rewrite_config(&self, bytes: &[u8]) -> Result<(), Error> {
        self.replace(CONFIG, bytes)
    }

    fn write(&self, name: &str, mut bytes: &[u8]) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |errno| self.failed("write", name, errno);
        let fd = openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        while !bytes.is_empty() {
            let written = rustix::io::write(&fd, bytes).map_err(failed)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// The condition that the container is in.
    pub fn condition(&self, record: Option<&Record>) -> Condition {
        let stopped = Condition { status: Status::Stopped, pid: None };
        let is_made = record.is_some_and(|record| !record.making);
        // Whoever makes it holds the lock.
        if !is_made && !self.is_locked() {
            return stopped;
        }
        let init = record.and_then(|record| record.init.as_ref()).filter(|init| init.is_alive());
        let Some(init) = init.filter(|_| is_made) else {
            let pid = init.map(|init| init.pid);
            return if is_made { stopped } else { Condition { status: Status::Creating, pid } };
        };
        let place = record.and_then(|record| record.cgroup.as_ref());
        let is_frozen = || place.is_some_and(|place| place.is_frozen().unwrap_or(false));
        let status = match self.awaits_start() {
            _ if is_frozen() => Status::Paused,
            true => Status::Created,
            false => Status::Running,
        };
        Condition { status, pid: Some(init.pid) }
    }

    fn awaits_start(&self) -> bool {
        statat(&self.fd, START_SOCKET, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Takes the directory away with all that is in it.
    ///
    /// # Errors
    /// Those of `unlinkat(2)`.
    pub(crate) fn remove(self) -> Result<(), Error> {
        notify::remove(&self)?;
        for name in [START_SOCKET, NEW_STATE, CONFIG, STATE, UNDO] {
            match unlinkat(&self.fd, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.failed("remove", name, errno)),
            }
        }
        unlinkat(CWD, &self.path, AtFlags::REMOVEDIR).map_err(|errno| self.failed("remove", "", errno))
    }
}
