// SPDX-License-Identifier: Apache-2.0
//! Where one stopped: a small file of the person's own.

use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::lesson::Lesson;

/// Another number, another form of the file; what is of another form is not read.
const HEADING: &str = "husk learn 1";

/// What has been done, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The directory of the lessons.
    pub(crate) directory: PathBuf,
    done: Vec<Lesson>,
    skipped: Vec<Lesson>,
}

impl Progress {
    /// The beginning.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, done: Vec::new(), skipped: Vec::new() }
    }

    /// Whether a lesson was done or passed over.
    pub(super) fn is_past(&self, lesson: Lesson) -> bool {
        self.done.contains(&lesson) || self.skipped.contains(&lesson)
    }

    /// Whether a lesson was done.
    pub(super) fn is_done(&self, lesson: Lesson) -> bool {
        self.done.contains(&lesson)
    }

    /// Whether there is anything to go on from.
    pub(crate) fn has_begun(&self) -> bool {
        !self.done.is_empty()
    }

    pub(super) fn note_done(&mut self, lesson: Lesson) {
        self.skipped.retain(|skipped| *skipped != lesson);
        if !self.done.contains(&lesson) {
            self.done.push(lesson);
        }
    }

    pub(super) fn note_skipped(&mut self, lesson: Lesson) {
        if !self.is_past(lesson) {
            self.skipped.push(lesson);
        }
    }

    /// The file: in XDG_STATE_HOME, or where that is by default. `None` without a home.
    pub(crate) fn file() -> Option<PathBuf> {
        let absolute =
            |name| std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Some(state?.join("husk/learn"))
    }

    /// What was kept in a file, if it is one of these and its directory is still there.
    pub(crate) fn load(file: &Path) -> Option<Self> {
        Self::parse(&fs::read(file).ok()?).filter(|progress| progress.directory.is_dir())
    }

    /// Keeps it. A file that is there is replaced, never written through: it may be a link to another.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save(&self, file: &Path) -> io::Result<()> {
        let directory = file.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let new = directory.join(format!(".learn-{}", std::process::id()));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut written = fs::File::create_new(&new)?;
        io::Write::write_all(&mut written, &self.text())?;
        fs::rename(&new, file)
    }

    fn text(&self) -> Vec<u8> {
        let list =
            |lessons: &[Lesson]| lessons.iter().map(|lesson| lesson.id()).collect::<Vec<_>>().join(" ");
        let lines = format!("{HEADING}\ndone {}\nskipped {}\n", list(&self.done), list(&self.skipped));
        // Last, because a path may have newlines in it.
        [lines.as_bytes(), b"in ", self.directory.as_os_str().as_bytes()].concat()
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.splitn(4, |byte| *byte == b'\n');
        let heading = parts.next()?;
        let mut lessons = |key: &str| {
            let line = std::str::from_utf8(parts.next()?).ok()?.strip_prefix(key)?;
            let named = |word: &str| Lesson::ALL.into_iter().find(|lesson| lesson.id() == word);
            Some(line.split_ascii_whitespace().filter_map(named).collect())
        };
        let (done, skipped) = (lessons("done")?, lessons("skipped")?);
        let directory = parts.next()?.strip_prefix(b"in ")?.to_vec();
        let directory = PathBuf::from(std::ffi::OsString::from_vec(directory));
        (heading == HEADING.as_bytes()).then_some(Self { directory, done, skipped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let mut progress = Progress::new("/home/a\nb".into());
        progress.note_done(Lesson::Tree);
        progress.note_skipped(Lesson::Escape);
        progress.note_skipped(Lesson::Tree);
        assert_eq!(Progress::parse(&progress.text()), Some(progress.clone()));
        progress.note_done(Lesson::Escape);
        assert!(progress.is_done(Lesson::Escape) && progress.is_past(Lesson::Tree));
        assert!(!progress.is_past(Lesson::Pivot));
        assert_eq!(Progress::parse(&progress.text()), Some(progress));
    }

    #[test]
    fn what_is_of_another_form_is_not_read() {
        for text in ["", "husk learn 2\ndone \nskipped \nin /", "husk learn 1\ndone tree\n", "husk learn 1"] {
            assert_eq!(Progress::parse(text.as_bytes()), None, "{text:?}");
        }
        let known = Progress::parse(b"husk learn 1\ndone tree lunch\nskipped\nin /x").expect("sound");
        assert!(known.is_done(Lesson::Tree) && !known.is_past(Lesson::Busybox));
    }
}
