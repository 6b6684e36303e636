// SPDX-License-Identifier: Apache-2.0
//! Groups of the resource control file system (`linux.intelRdt` of `config.json`; the kernel's `filesystems/resctrl`): a class of
//! service is a directory, its limits are lines of `schemata`, and a process is in it whose number was written to `tasks`.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use husk_init::Call;
use husk_plan::ResourceGroup;
use husk_spec::oci::IntelRdt;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, mkdir, open, openat};
use rustix::io::{self, Errno};
use rustix::process::Pid;

/// What failed: the call, how, and the kernel's own words.
#[derive(Debug, PartialEq)]
pub(crate) struct Failed {
    pub(crate) call: Call,
    pub(crate) errno: Errno,
    pub(crate) words: Vec<u8>,
}

impl Failed {
    fn of(call: Call) -> impl Fn(Errno) -> Self {
        move |errno| Self { call, errno, words: Vec::new() }
    }
}

fn path(text: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(text.to_bytes()))
}

/// Makes a group and sets its limits, as far as it is to be made, and opens the files by which a process joins it.
///
/// # Errors
/// `ENOENT` for a group that must be there and is not; `EINVAL` for limits that the kernel refuses, with its words.
pub(crate) fn prepare(group: &ResourceGroup<'_>) -> Result<Vec<OwnedFd>, Failed> {
    let directory = path(group.root).join(path(group.name));
    if group.make {
        make(&directory)?;
    }
    let monitor = group.monitor.map(|name| directory.join("mon_groups").join(path(name)));
    if let Some(monitor) = monitor.as_ref().filter(|_| group.make_monitor) {
        make(monitor)?;
    }
    if let Some(schemata) = group.schemata {
        limit(path(group.root), &directory, schemata.to_bytes())?;
    }
    [Some(directory), monitor].into_iter().flatten().map(|group| tasks(&group)).collect()
}

/// Sets the limits of a group, all or none of them: the kernel reads all lines before it heeds one.
pub(crate) fn limit(root: &Path, group: &Path, schemata: &[u8]) -> Result<(), Failed> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, group.join("schemata"), flags, Mode::empty()).map_err(Failed::of(Call::Openat))?;
    let written = io::write(&file, schemata).map_err(|errno| Failed {
        call: Call::Write,
        errno,
        words: fs::read(root.join("info/last_cmd_status")).unwrap_or_default(),
    });
    written.map(drop)
}

/// Opens the file by which a process joins a group.
pub(crate) fn tasks(group: &Path) -> Result<OwnedFd, Failed> {
    open(group.join("tasks"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(Failed::of(Call::Open))
}

/// Makes a group, if it is not there.
pub(crate) fn make(directory: &Path) -> Result<(), Failed> {
    match mkdir(directory, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Failed::of(Call::Mkdirat)(errno)),
    }
}

/// Puts a process into the groups whose files these are.
///
/// # Errors
/// Those of `write(2)`.
pub(crate) fn join(tasks: &[OwnedFd], pid: Pid) -> Result<(), Errno> {
    let text = format!("{}\n", pid.as_raw_nonzero());
    tasks.iter().try_for_each(|file| io::write(file, text.as_bytes()).map(drop))
}

/// Takes away what was made for the container `id`: its group, unless that has a name of its own and belongs to whoever gave it,
/// and its group for monitoring. What is gone already is no error.
///
/// # Errors
/// Those of `rmdir(2)`.
pub(crate) fn remove(root: &Path, id: &str, asked: &IntelRdt) -> std::io::Result<()> {
    let gone = |directory: PathBuf| match fs::remove_dir(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    match asked.class() {
        None => gone(root.join(id)),
        Some(class) if asked.enable_monitoring => gone(root.join(class).join("mon_groups").join(id)),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory laid out as a resctrl with the group `there`: where the hardware is missing, that is all there is to test with.
    fn resctrl() -> (tempfile::TempDir, std::ffi::CString) {
        let root = tempfile::tempdir().expect("a directory");
        fill(&root.path().join("there"));
        fs::create_dir(root.path().join("info")).expect("a directory");
        fs::write(root.path().join("info/last_cmd_status"), "ok\n").expect("a file");
        let text = std::ffi::CString::new(root.path().as_os_str().as_bytes()).expect("no NUL");
        (root, text)
    }

    /// The files that the kernel makes in a group.
    fn fill(group: &Path) {
        fs::create_dir_all(group.join("mon_groups")).expect("a directory");
        for file in ["tasks", "schemata"] {
            fs::write(group.join(file), "").expect("a file");
        }
    }

    fn group<'g>(root: &'g CStr, name: &'g CStr) -> ResourceGroup<'g> {
        ResourceGroup { root, name, make: false, schemata: None, monitor: None, make_monitor: false }
    }

    #[test]
    fn a_process_joins_a_group_that_is_there_with_new_limits() {
        let (directory, root) = resctrl();
        let asked =
            ResourceGroup { schemata: Some(c"L3:0=f\nMB:0=50\n"), make: true, ..group(&root, c"there") };
        let tasks = prepare(&asked).expect("a group");
        join(&tasks, rustix::process::getpid()).expect("a file");
        let read = |file: &str| fs::read_to_string(directory.path().join("there").join(file)).expect("text");
        assert_eq!(read("schemata"), "L3:0=f\nMB:0=50\n");
        assert_eq!(read("tasks"), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_group_that_must_be_there_is_not_made() {
        let (directory, root) = resctrl();
        let failed = prepare(&group(&root, c"absent")).expect_err("there is none");
        assert_eq!((failed.call, failed.errno), (Call::Open, Errno::NOENT));
        assert!(!directory.path().join("absent").exists());
        // The files in it would be the kernel's to make.
        let failed = prepare(&ResourceGroup { make: true, ..group(&root, c"absent") }).expect_err("no files");
        assert_eq!(failed.errno, Errno::NOENT);
        assert!(directory.path().join("absent").is_dir());
    }

    #[test]
    fn the_default_class_is_the_file_system_itself() {
        let (directory, root) = resctrl();
        fill(directory.path());
        let asked =
            IntelRdt { clos_id: Some("/".to_owned()), enable_monitoring: true, ..IntelRdt::default() };
        let monitor = directory.path().join("mon_groups/box");
        fs::create_dir(&monitor).expect("a directory");
        fs::write(monitor.join("tasks"), "").expect("a file");
        let name = std::ffi::CString::new(asked.class().expect("a class")).expect("no NUL");
        let group = ResourceGroup { monitor: Some(c"box"), ..group(&root, &name) };
        let tasks = prepare(&group).expect("groups that are there");
        join(&tasks, rustix::process::getpid()).expect("files");
        let own = format!("{}\n", std::process::id());
        for tasks in [directory.path().join("tasks"), monitor.join("tasks")] {
            assert_eq!(fs::read_to_string(tasks).expect("text"), own);
        }
        fs::remove_file(monitor.join("tasks")).expect("a file, which the kernel takes away itself");
        remove(directory.path(), "box", &asked).expect("one to take away");
        assert!(directory.path().join("tasks").exists() && !monitor.exists());
    }

    #[test]
    fn a_container_takes_away_its_own_groups_alone() {
        let (directory, _) = resctrl();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir(at("box")).expect("a directory");
        fs::create_dir(at("there/mon_groups/box")).expect("a directory");
        let named = |enable_monitoring| IntelRdt {
            clos_id: Some("there".to_owned()),
            enable_monitoring,
            ..IntelRdt::default()
        };
        remove(directory.path(), "box", &named(false)).expect("nothing to do");
        assert!(at("box").exists() && at("there/mon_groups/box").exists());
        remove(directory.path(), "box", &named(true)).expect("one to take away");
        assert!(at("there").exists() && !at("there/mon_groups/box").exists());
        for _ in 0..2 {
            remove(directory.path(), "box", &IntelRdt::default()).expect("its own, or gone already");
        }
        assert!(!at("box").exists());
    }
}
