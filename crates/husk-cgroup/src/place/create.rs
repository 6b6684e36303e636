// SPDX-License-Identifier: Apache-2.0
//! Making the directories of a container.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode};
use rustix::io::Errno;

use super::kill::processes;
use super::{Directory, Place, tree};
use crate::error::{CgroupError, DELEGATE};
use crate::file;
use crate::limits::Hierarchy;

/// How often a directory is made again that somebody else's clean-up has taken away in between.
const ATTEMPTS: usize = 5;

impl Place {
    /// Makes the directories, and those above them that are missing. `controllers` are those that limits need: on version 2
    /// each must reach the container's cgroup. If anything fails, what was made is taken away again, and nothing else.
    ///
    /// # Errors
    /// A directory cannot be made, has processes in it already, or a controller does not reach it.
    pub fn create(&mut self, controllers: &[&str]) -> Result<(), CgroupError> {
        let mut made = Vec::new();
        let each = self.directories.iter().try_for_each(|directory| {
            let is_new = make_all(directory, &mut made)?;
            // Only in version 2 a new one may be of a kind that takes no process: threaded.
            if !is_new || directory.is_v2() {
                refuse_threads(directory)?;
            }
            if !is_new {
                refuse_occupied(directory)?;
            }
            self.prepare(directory, controllers)
        });
        if let Err(error) = each.and_then(|()| self.refuse_frozen()) {
            for path in made.iter().rev() {
                let _ = rustix::fs::rmdir(path);
            }
            return Err(error);
        }
        made.retain(|path| !self.directories.iter().any(|directory| directory.path == *path));
        self.made = made;
        Ok(())
    }

    /// A process that enters a frozen cgroup stands still, and whoever waits for it waits for ever.
    fn refuse_frozen(&self) -> Result<(), CgroupError> {
        match self.freezer().ok().filter(|directory| self.stands_still(directory)) {
            Some(directory) => Err(CgroupError::Frozen(directory.path.clone())),
            None => Ok(()),
        }
    }

    /// Makes `controllers` reach a cgroup that somebody else has made, and that may have processes in it.
    ///
    /// # Errors
    /// One does not.
    pub(crate) fn adopt(&self, controllers: &[&str]) -> Result<(), CgroupError> {
        match self.v2().filter(|_| self.version == Hierarchy::V2) {
            Some(directory) => pass_down(directory, controllers),
            None => Ok(()),
        }
    }

    fn prepare(&self, directory: &Directory, controllers: &[&str]) -> Result<(), CgroupError> {
        if !directory.is_v2() {
            if directory.controllers.iter().any(|name| name == "cpuset") {
                inherit_cpuset(&directory.path, &directory.mount)?;
            }
            return Ok(());
        }
        match self.version {
            Hierarchy::V2 => pass_down(directory, controllers),
            Hierarchy::V1 => Ok(()),
        }
    }

    /// Gives the container's cgroup of version 2 to the user `uid` of the host: its directory and the files that the kernel
    /// names in `/sys/kernel/cgroup/delegate`, so that a systemd inside can make cgroups of its own. Limits stay out of reach.
    ///
    /// # Errors
    /// `chown` failed on one of them.
    pub fn delegate(&self, uid: u32) -> Result<(), CgroupError> {
        let Some(directory) = self.v2().filter(|_| self.version == Hierarchy::V2) else { return Ok(()) };
        let known = file::read(Path::new("/sys/kernel/cgroup/delegate"));
        let names =
            known.unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads".to_owned());
        let files = names.lines().map(|name| directory.file(name)).filter(|path| path.exists());
        for path in files.chain([directory.path.clone()]) {
            let owner = Some(rustix::fs::Uid::from_raw(uid));
            rustix::fs::chown(&path, owner, None).map_err(CgroupError::call("giving away", &path))?;
        }
        Ok(())
    }
}

/// Whether the directory can be made, entered by a child of this process, and has `controllers`, as far as can be seen.
pub(super) fn is_possible(directory: &Directory, controllers: &[&str]) -> bool {
    let mut above = directory.path.ancestors().skip(1);
    let Some(parent) = above.find(|path| path.is_dir()) else { return false };
    let may_write = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
    if !parent.starts_with(&directory.mount) || !may_write(parent) {
        return false;
    }
    if !directory.is_v2() {
        return true;
    }
    let lacks = |file: &str| {
        let has = words(&parent.join(file));
        controllers.iter().any(|name| !has.iter().any(|had| had == name))
    };
    // From one cgroup into another only who may write to the one above both can move a process (cgroups(7)).
    may_write(&parent.join("cgroup.procs"))
        && (!lacks("cgroup.subtree_control") || !lacks("cgroup.controllers") && !has_processes(parent))
}

/// Makes the directory and those above it, below the mount, that are missing. Whether it was missing itself.
pub(super) fn make_all(directory: &Directory, made: &mut Vec<PathBuf>) -> Result<bool, CgroupError> {
    let mut last = Errno::NOENT;
    for _ in 0..ATTEMPTS {
        match make_missing(&directory.path, &directory.mount, made) {
            Err((Errno::NOENT, _)) => last = Errno::NOENT,
            Err((errno, path)) => return Err(CgroupError::call("making", &path)(errno)),
            Ok(is_new) => return Ok(is_new),
        }
    }
    Err(CgroupError::call("making", &directory.path)(last))
}

/// Mostly nothing but the last one is missing, so that it is made first, and those above it if that fails for want of them.
fn make_missing(path: &Path, mount: &Path, made: &mut Vec<PathBuf>) -> Result<bool, (Errno, PathBuf)> {
    let make = || rustix::fs::mkdir(path, Mode::from_raw_mode(0o755));
    let result = match (make(), path.parent()) {
        (Err(Errno::NOENT), Some(above)) if path != mount => {
            make_missing(above, mount, made)?;
            make()
        }
        (result, _) => result,
    };
    match result {
        Ok(()) => made.push(path.to_owned()),
        Err(Errno::EXIST) => return Ok(false),
        Err(errno) => return Err((errno, path.to_owned())),
    }
    Ok(true)
}

fn refuse_threads(directory: &Directory) -> Result<(), CgroupError> {
    let procs = directory.file("cgroup.procs");
    match file::read(&procs) {
        // What a threaded cgroup answers.
        Err(Errno::OPNOTSUPP) => Err(CgroupError::Threaded(directory.path.clone())),
        result => result.map(drop).map_err(CgroupError::call("reading", &procs)),
    }
}

/// A cgroup with processes in it, or in one below, is somebody else's: its limits would change, and `delete` would kill them.
fn refuse_occupied(directory: &Directory) -> Result<(), CgroupError> {
    tree::visit(&directory.path, |cgroup| match processes(cgroup)?.first() {
        Some(pid) => Err(CgroupError::Occupied { path: cgroup.path.to_owned(), pid: *pid }),
        None => Ok(()),
    })
}

/// A new cpuset of version 1 is empty, and takes no process before it has processors and memory (`cpusets.rst`).
fn inherit_cpuset(path: &Path, mount: &Path) -> Result<(), CgroupError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        inherit(path, mount, name)?;
    }
    Ok(())
}

fn inherit(path: &Path, mount: &Path, name: &str) -> Result<String, CgroupError> {
    let own = path.join(name);
    let value = file::read(&own).map_err(CgroupError::call("reading", &own))?;
    let above = path.parent().filter(|_| path != mount);
    match above {
        Some(above) if value.trim().is_empty() => {
            let value = inherit(above, mount, name)?;
            file::write(&own, value.trim()).map_err(CgroupError::call("writing", &own))?;
            Ok(value)
        }
        _ => Ok(value),
    }
}

/// Turns on what each level has for the one below, down to the container's cgroup: what is wanted, and for the sake of
/// statistics everything else. Only what is wanted must succeed.
fn pass_down(directory: &Directory, wanted: &[&str]) -> Result<(), CgroupError> {
    let mut levels: Vec<_> = directory.path.ancestors().skip(1).collect();
    levels.retain(|level| level.starts_with(&directory.mount));
    let mut refusals = Vec::new();
    for level in levels.into_iter().rev() {
        let errno = give(level).err();
        refusals.push((level, errno));
    }
    let has = words(&directory.file("cgroup.controllers"));
    let Some(missing) = wanted.iter().find(|wanted| !has.iter().any(|name| name == *wanted)) else {
        return refuse_threaded(directory);
    };
    let has_it = |(level, _): &&(&Path, _)| {
        words(&level.join("cgroup.controllers")).iter().any(|name| name == missing)
    };
    let (level, errno) = match refusals.iter().rev().find(has_it) {
        Some((level, errno)) => (*level, *errno),
        None => (directory.mount.as_path(), None),
    };
    Err(CgroupError::NotDelegated {
        controller: (*missing).to_owned(),
        level: level.to_owned(),
        reason: reason(missing, level, errno),
    })
}

/// Turns on what `level` has and does not give yet: all at once or, if one of them is refused, one by one.
fn give(level: &Path) -> Result<(), Errno> {
    let control = level.join("cgroup.subtree_control");
    let given = words(&control);
    let has = words(&level.join("cgroup.controllers"));
    let missing: Vec<_> =
        has.iter().filter(|name| !given.contains(name)).map(|name| format!("+{name}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if has_processes(level) {
        return Err(Errno::BUSY);
    }
    if file::write(&control, &missing.join(" ")).is_ok() {
        return Ok(());
    }
    missing.iter().map(|name| file::write(&control, name)).fold(Ok(()), Result::and)
}

/// Whether it has processes of its own and is not the real top. Controllers that can divide threads (cpu, pids) would be
/// taken there, and make it a threaded cgroup, below which no process can be placed any more.
fn has_processes(level: &Path) -> bool {
    level.join("cgroup.type").exists() && !words(&level.join("cgroup.procs")).is_empty()
}

fn words(path: &Path) -> Vec<String> {
    let text = file::read(path).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn reason(controller: &str, level: &Path, errno: Option<Errno>) -> String {
    let file = level.join("cgroup.subtree_control");
    match errno {
        Some(Errno::BUSY) => {
            format!(
                "it has processes in it, and so cannot give +{controller} to those below; move them, or choose another linux.cgroupsPath"
            )
        }
        Some(Errno::ACCESS | Errno::PERM) => {
            format!("you may not write +{controller} into {}; {DELEGATE}", file.display())
        }
        Some(errno) => format!("writing +{controller} into {}: {errno}", file.display()),
        None if !words(&level.join("cgroup.controllers")).iter().any(|name| name == controller) => {
            "there is none of that name; a hierarchy of version 1 may hold it, or the kernel lacks it"
                .to_owned()
        }
        None => "it was taken away again".to_owned(),
    }
}

fn refuse_threaded(directory: &Directory) -> Result<(), CgroupError> {
    let kind = file::read(&directory.file("cgroup.type")).unwrap_or_default();
    match kind.trim() {
        "domain invalid" | "threaded" => Err(CgroupError::Threaded(directory.path.clone())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::hierarchy::Hierarchies;

    /// A directory that looks like version 2, with the files that decide.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("husk-cgroup-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("own")).expect("a directory");
            Self(path)
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.0.join(file), text).expect("a file");
        }

        fn can_have(&self, path: &str, controllers: &[&str]) -> bool {
            let mounts = format!("30 20 0:27 / {} rw - cgroup2 cgroup2 rw\n", self.0.display());
            let found = Hierarchies::parse(&mounts, "0::/own\n").expect("hierarchies");
            Place::new(&found, Some(path), "ID").expect("a place").can_have(controllers)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn whether_a_cgroup_can_be_had_is_seen_above_it() {
        let tree = Tree::new("above");
        // Without this file, or the right to write to it, nobody gets in.
        assert!(!tree.can_have("x", &[]));
        tree.write("cgroup.procs", "");
        assert!(tree.can_have("x", &[]) && tree.can_have("a/b/c", &[]));
        assert!(!tree.can_have("x", &["pids"]));
        tree.write("cgroup.controllers", "memory pids\n");
        assert!(tree.can_have("x", &["pids"]) && !tree.can_have("x", &["pids", "cpu"]));
        // It cannot give what it does not give already to others, with processes in it.
        tree.write("cgroup.type", "domain\n");
        tree.write("cgroup.procs", "1\n");
        assert!(!tree.can_have("x", &["pids"]) && tree.can_have("x", &[]));
        tree.write("cgroup.subtree_control", "pids\n");
        assert!(tree.can_have("x", &["pids"]) && !tree.can_have("x", &["memory"]));
    }
}
