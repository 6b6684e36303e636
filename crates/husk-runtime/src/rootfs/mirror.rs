// SPDX-License-Identifier: Apache-2.0
//! Files of the host, each brought to the path that it has there.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::Error;
use super::tree::Tree;

/// As many symbolic links as the kernel follows in one path (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Copies files of the host into a root such that every path by which a program or a loader may know them
/// leads to them: the links on the way (`/bin -> usr/bin`, `libz.so.1 -> libz.so.1.2.13`,
/// `/etc/alternatives`) are recreated as they are.
pub(super) struct Mirror<'a> {
    pub(super) tree: &'a mut Tree,
    brought: HashSet<PathBuf>,
}

impl<'a> Mirror<'a> {
    pub(super) fn new(tree: &'a mut Tree) -> Mirror<'a> {
        Mirror { tree, brought: HashSet::new() }
    }

    /// Brings the regular file at this absolute path, and says where it really is.
    pub(super) fn file(&mut self, path: &Path) -> Result<PathBuf, Error> {
        let real = self.walk(path)?;
        if !self.brought.insert(real.clone()) {
            return Ok(real);
        }
        let mut file = File::open(&real).map_err(Error::io("read", &real))?;
        let meta = file.metadata().map_err(Error::io("read", &real))?;
        let inside = inside(&real);
        if self.tree.kind(inside).is_none() {
            self.tree.copy(&mut file, inside, meta.permissions().mode())?;
        }
        Ok(real)
    }

    /// Makes the directory at this absolute path, if the host has it.
    pub(super) fn directory(&mut self, path: &Path) -> Result<(), Error> {
        match path.is_dir() {
            true => {
                let real = self.walk(path)?;
                self.tree.directory(inside(&real), 0o755)
            }
            false => Ok(()),
        }
    }

    /// Recreates the directories and links that lead to `path`, but for the last one's content.
    fn walk(&mut self, path: &Path) -> Result<PathBuf, Error> {
        let mut real = PathBuf::from("/");
        let mut todo = VecDeque::new();
        push_front(&mut todo, path);
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                real.pop();
                continue;
            }
            let here = real.join(name);
            let meta = std::fs::symlink_metadata(&here).map_err(Error::io("read", &here))?;
            let there = self.tree.kind(inside(&here));
            if meta.is_symlink() && there != Some(FileType::Directory) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::io("follow", path)(io::Error::from(Errno::LOOP)));
                }
                let target = std::fs::read_link(&here).map_err(Error::io("read", &here))?;
                self.tree.symlink(&target, inside(&here))?;
                if target.is_absolute() {
                    real = PathBuf::from("/");
                }
                push_front(&mut todo, &target);
                continue;
            }
            if !todo.is_empty() {
                self.tree.directory(inside(&here), 0o755)?;
            }
            real = here;
        }
        Ok(real)
    }
}

/// The same path in the root, relative to it.
pub(super) fn inside(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn push_front(todo: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => todo.push_front(name.to_owned()),
            Component::ParentDir => todo.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}
