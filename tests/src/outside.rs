// SPDX-License-Identifier: Apache-2.0
//! What the host looks like: a container may change none of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{PATIENCE, Place};

/// The state of the host, as far as husk could have a hand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    hostname: String,
    mounts: BTreeSet<String>,
    processes: BTreeSet<String>,
    null: (u32, u32, u32, u64),
    files: BTreeSet<String>,
}

impl Outside {
    /// Looks. Of the processes, and of what is in the temporary directory, only that counts which has to do with
    /// `place`, since other tests run beside.
    pub fn look(place: &Place) -> Self {
        let hostname = fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let null = fs::metadata("/dev/null").expect("/dev/null");
        let files = fs::read_dir(place.path()).expect("the place").flatten();
        Self {
            hostname,
            mounts: mounts.lines().filter(|line| is_ours(line, place)).map(str::to_owned).collect(),
            processes: processes(place.path()),
            null: (null.uid(), null.gid(), null.mode(), null.rdev()),
            files: files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
        }
    }

    /// Fails the test if the host does not look like this again, soon.
    #[track_caller]
    pub fn is_unchanged(&self, place: &Place) {
        self.is_unchanged_within(PATIENCE, place);
    }

    /// As [`Self::is_unchanged`], where what has been killed may take `settle` to be gone.
    #[track_caller]
    pub fn is_unchanged_within(&self, settle: Duration, place: &Place) {
        let until = Instant::now() + settle;
        let mut now = Self::look(place);
        while now != *self && Instant::now() < until {
            sleep(Duration::from_millis(10));
            now = Self::look(place);
        }
        assert_eq!(now.hostname, self.hostname, "the host's name");
        assert_eq!(now.null, self.null, "owner, mode and number of /dev/null");
        let difference: Vec<_> = now.mounts.symmetric_difference(&self.mounts).collect();
        assert!(difference.is_empty(), "the host's mounts: {difference:#?}");
        let difference: Vec<_> = now.processes.symmetric_difference(&self.processes).collect();
        assert!(difference.is_empty(), "the host's processes: {difference:#?}");
        let difference: Vec<_> = now.files.symmetric_difference(&self.files).collect();
        assert!(difference.is_empty(), "files beside the container's: {difference:#?}");
    }
}

/// Whether a line of mountinfo can be of husk's making: not what others mount in temporary directories of theirs, nor what the
/// kernel mounts by itself when somebody looks, such as tracefs.
fn is_ours(line: &str, place: &Place) -> bool {
    let target = Path::new(line.split(' ').nth(4).unwrap_or_default());
    let elsewhere = target.starts_with(std::env::temp_dir()) && target != std::env::temp_dir();
    target.starts_with(place.path()) || !(elsewhere || target.starts_with("/sys/kernel"))
}

/// The processes that run the husk of `place`, mention it in their command line or environment, or have a root in it.
fn processes(place: &Path) -> BTreeSet<String> {
    let name = place.to_string_lossy();
    let own = std::process::id().to_string();
    let pids = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.file_name());
    let pids =
        pids.filter_map(|pid| pid.into_string().ok()).filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()));
    let roots = directories(place);
    let about = |pid: &String| {
        let read = |file: &str| {
            fs::read(format!("/proc/{pid}/{file}"))
                .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
                .unwrap_or_default()
        };
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let root = fs::metadata(format!("/proc/{pid}/root/.")).map(|root| (root.dev(), root.ino()));
        let command = read("cmdline");
        let concerned = exe.starts_with(place)
            || command.contains(&*name)
            || read("environ").contains(&*name)
            || root.is_ok_and(|root| roots.contains(&root));
        concerned.then(|| format!("{pid} {} ({command})", exe.display()))
    };
    pids.filter(|pid| *pid != own).filter_map(|pid| about(&pid)).collect()
}

/// The directories in `place` and in those in it, by device and number: the roots of containers are among them.
fn directories(place: &Path) -> BTreeSet<(u64, u64)> {
    let below = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() && !path.is_symlink())
            .collect::<Vec<_>>()
    };
    let callers = below(place);
    let all = callers.iter().flat_map(|caller| below(caller)).chain(callers.clone());
    all.filter_map(|path| fs::metadata(path).ok()).map(|metadata| (metadata.dev(), metadata.ino())).collect()
}
