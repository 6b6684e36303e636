// SPDX-License-Identifier: Apache-2.0
//! The group of the resource control file system that a container has, changed while it runs.

use std::fs;
use std::path::PathBuf;

use husk_plan::in_words;
use husk_spec::oci::IntelRdt;
use rustix::io::{self, Errno};

use super::{Entry, Error, start};
use crate::resctrl::{self, Failed};

/// A group with new limits.
#[derive(Debug)]
pub(super) struct Change<'e> {
    entry: &'e Entry,
    root: PathBuf,
    group: PathBuf,
    before: Before,
}

/// What there was before.
#[derive(Debug)]
enum Before {
    /// No group, and this configuration.
    None { config: Vec<u8> },
    /// The same group with this schemata.
    Limits(Vec<u8>),
}

impl<'e> Change<'e> {
    /// Gives a container's group the limits that are `asked` for, if any are. A container that has no group gets one, as yet without
    /// processes; that is written down before it is made.
    ///
    /// # Errors
    /// There is no such file system; limits that the kernel refuses, with its words. Then nothing is changed.
    pub(super) fn make(entry: &'e Entry, asked: &IntelRdt) -> Result<Option<Self>, Error> {
        if *asked == IntelRdt::default() {
            return Ok(None);
        }
        let root = husk_plan::resctrl().ok_or_else(|| Error::Limit {
            problem: "linux.intelRdt: the resource control file system is not mounted; with a processor that has it: mount -t \
                      resctrl resctrl /sys/fs/resctrl"
                .to_owned(),
        })?;
        Self::make_in(root, entry, asked).map(Some)
    }

    fn make_in(root: PathBuf, entry: &'e Entry, asked: &IntelRdt) -> Result<Self, Error> {
        let mut spec = start::spec(entry)?;
        let own = &mut spec.linux.get_or_insert_default().intel_rdt;
        let has_one = own.is_some();
        let own = own.get_or_insert_with(|| asked.clone());
        let group = root.join(own.class().unwrap_or(entry.id().as_str()));
        let before = if has_one {
            let held = fs::read(group.join("schemata"));
            Before::Limits(
                held.map_err(|error| refused("read the schemata of", &group, &io_errno(&error), b""))?,
            )
        } else {
            let config = entry.config()?;
            let with_group =
                serde_json::to_vec(&spec).map_err(|error| Error::Limit { problem: error.to_string() })?;
            entry.rewrite_config(&with_group)?;
            Before::None { config }
        };
        let change = Self { entry, root, group, before };
        match change.limit(asked) {
            Ok(()) => Ok(change),
            Err(failed) => {
                let error = refused("limit", &change.group, &failed.errno, &failed.words);
                Err(change.undone(error))
            }
        }
    }

    fn limit(&self, asked: &IntelRdt) -> Result<(), Failed> {
        if let Before::None { .. } = self.before {
            resctrl::make(&self.group)?;
        }
        resctrl::limit(&self.root, &self.group, (asked.lines().join("\n") + "\n").as_bytes())
    }

    /// `error`, once everything is again as it was, and what is to be said where it is not.
    pub(super) fn undone(self, error: Error) -> Error {
        let put_back = match &self.before {
            Before::Limits(schemata) => resctrl::limit(&self.root, &self.group, schemata)
                .map_err(|failed| refused("put back what limits", &self.group, &failed.errno, &failed.words)),
            Before::None { config } => {
                let removed = match rustix::fs::rmdir(&self.group) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(errno) => Err(refused("remove", &self.group, &errno, b"")),
                };
                removed.and(self.entry.rewrite_config(config))
            }
        };
        match put_back {
            Ok(()) => error,
            Err(why) => Error::Limit { problem: format!("{error}; {why}") },
        }
    }

    /// Puts the threads of a container into the group that was made for it. What they make meanwhile is where its maker is, so that
    /// this comes to an end: when none is outside.
    ///
    /// # Errors
    /// Those of `pids`, and of `write(2)`.
    pub(super) fn join_all(&self, pids: impl Fn() -> Result<Vec<i32>, Error>) -> Result<(), Error> {
        if matches!(self.before, Before::Limits(_)) {
            return Ok(());
        }
        let failed = |errno| refused("put processes into", &self.group, &errno, b"");
        let file = resctrl::tasks(&self.group).map_err(|found| failed(found.errno))?;
        loop {
            let threads: Vec<String> = pids()?.into_iter().flat_map(threads).collect();
            let inside = fs::read_to_string(self.group.join("tasks")).unwrap_or_default();
            let is_outside = |thread: &&String| !inside.lines().any(|line| line == *thread);
            let outside: Vec<_> = threads.iter().filter(is_outside).collect();
            if outside.is_empty() {
                return Ok(());
            }
            for thread in outside {
                match io::write(&file, format!("{thread}\n").as_bytes()) {
                    // It has ended.
                    Ok(_) | Err(Errno::SRCH) => {}
                    Err(errno) => return Err(failed(errno)),
                }
            }
        }
    }
}

/// The numbers of a process's threads.
fn threads(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn io_errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn refused(doing: &str, group: &std::path::Path, errno: &Errno, words: &[u8]) -> Error {
    let words = String::from_utf8_lossy(words);
    let kernel = if words.trim().is_empty() { String::new() } else { format!(": {}", words.trim()) };
    let problem = format!("linux.intelRdt: cannot {doing} {}: {}{kernel}", group.display(), in_words(errno));
    Error::Limit { problem }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use husk_spec::oci::Spec;

    use super::super::StateRoot;
    use super::*;

    /// A container's directory, and one laid out as a resctrl, in which a group has the files that the kernel would make.
    fn scene(config: &str) -> (tempfile::TempDir, Entry, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let root = StateRoot::new(directory.path().join("state"));
        let entry = root.make(&"box".parse().expect("an id")).expect("an entry");
        entry.write_config(config.as_bytes()).expect("a file");
        let resctrl = directory.path().join("resctrl");
        fs::create_dir(&resctrl).expect("a directory");
        (directory, entry, resctrl)
    }

    fn fill(group: &Path, schemata: &str) {
        fs::create_dir_all(group).expect("a directory");
        fs::write(group.join("schemata"), schemata).expect("a file");
        fs::write(group.join("tasks"), "").expect("a file");
    }

    fn asked(l3: &str) -> IntelRdt {
        IntelRdt { l3_cache_schema: Some(l3.to_owned()), ..IntelRdt::default() }
    }

    fn schemata(group: &Path) -> String {
        fs::read_to_string(group.join("schemata")).expect("text")
    }

    #[test]
    fn a_group_that_is_there_has_new_limits_and_the_old_ones_again() {
        let config = r#"{"ociVersion": "1.3.0", "linux": {"intelRdt": {"closID": "shared", "l3CacheSchema": "L3:0=f"}}}"#;
        let (_directory, entry, resctrl) = scene(config);
        fill(&resctrl.join("shared"), "L3:0=f\n");
        let change = Change::make_in(resctrl.clone(), &entry, &asked("L3:0=1")).expect("a change");
        assert_eq!(schemata(&resctrl.join("shared")), "L3:0=1\n");
        let error = change.undone(Error::Limit { problem: "why".to_owned() });
        assert_eq!(
            (error.to_string(), schemata(&resctrl.join("shared"))),
            ("why".to_owned(), "L3:0=f\n".to_owned())
        );
        assert_eq!(entry.config().expect("a file"), config.as_bytes());
    }

    #[test]
    fn a_group_that_is_new_is_written_down_and_has_every_thread() {
        let (_directory, entry, resctrl) = scene(r#"{"ociVersion": "1.3.0"}"#);
        let group = resctrl.join("box");
        fill(&group, "");
        let change = Change::make_in(resctrl, &entry, &asked("L3:0=1")).expect("a change");
        let spec = Spec::from_json(&entry.config().expect("a file")).expect("a configuration");
        assert_eq!(spec.linux.and_then(|linux| linux.intel_rdt), Some(asked("L3:0=1")));
        let own = std::process::id();
        change.join_all(|| Ok(vec![own.cast_signed()])).expect("every thread is in");
        let tasks = fs::read_to_string(group.join("tasks")).expect("text");
        assert!(tasks.lines().any(|line| line == own.to_string()) && tasks.lines().count() > 1, "{tasks}");
        assert_eq!(schemata(&group), "L3:0=1\n");
    }

    #[test]
    fn a_group_that_is_refused_leaves_nothing() {
        let config = r#"{"ociVersion": "1.3.0"}"#;
        let (_directory, entry, resctrl) = scene(config);
        // The kernel would make the file.
        let error = Change::make_in(resctrl.clone(), &entry, &asked("L3:0=1")).expect_err("no file");
        assert!(error.to_string().starts_with("linux.intelRdt: cannot limit "), "{error}");
        assert!(!resctrl.join("box").exists());
        assert_eq!(entry.config().expect("a file"), config.as_bytes());
    }
}
