// SPDX-License-Identifier: Apache-2.0
//! Everything that a program needs to start: its interpreter, its libraries, theirs.
//!
//! Found as ld.so(8) finds them, by reading: running `ldd` would run the program's own interpreter.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use object::elf as raw;

use super::mirror::{Mirror, inside};
use super::{Error, Note};
use crate::elf::{self, Arch, Class, Image};
use crate::ldcache::LdCache;
use crate::shebang;

/// Brings programs into a root, with all they need.
pub(super) struct Closure<'a> {
    mirror: Mirror<'a>,
    cache: Option<LdCache>,
    /// Programs and libraries whose needs have been looked into.
    seen: HashSet<PathBuf>,
    /// Where the C library of each machine is: a directory in which its loader looks without being told.
    libc: HashMap<Arch, PathBuf>,
    /// Libraries that only the cache knew: the root has none, so they need a name where the loader looks.
    by_cache: Vec<(Arch, OsString, PathBuf)>,
    pub(super) libraries: Vec<PathBuf>,
    pub(super) notes: Vec<Note>,
}

/// Who is looking for libraries, and where it was told to look.
#[derive(Clone)]
struct Seeker {
    path: PathBuf,
    arch: Arch,
    /// File name of the interpreter: already in memory when libraries are searched for.
    loader: OsString,
    /// `DT_RPATH` of this one and of those that needed it.
    inherited: Vec<PathBuf>,
    /// `DT_RUNPATH` of this one. With it, `inherited` does not count.
    runpath: Option<Vec<PathBuf>>,
}

impl Seeker {
    fn is_musl(&self) -> bool {
        self.loader.as_bytes().starts_with(b"ld-musl-")
    }
}

impl<'a> Closure<'a> {
    pub(super) fn new(mirror: Mirror<'a>) -> Closure<'a> {
        let cache = std::fs::read("/etc/ld.so.cache").ok().and_then(|bytes| LdCache::parse(&bytes));
        Closure {
            mirror,
            cache,
            seen: HashSet::new(),
            libc: HashMap::new(),
            by_cache: Vec::new(),
            libraries: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Brings the file at this absolute path to the same path in the root, with all that it needs to run.
    pub(super) fn program(&mut self, path: &Path) -> Result<(), Error> {
        let real = self.mirror.file(path)?;
        self.needs_of(&real)
    }

    /// Brings what a program needs, but not the program: for one that has its own place in the root.
    pub(super) fn needs_of(&mut self, real: &Path) -> Result<(), Error> {
        if !self.seen.insert(real.to_owned()) {
            return Ok(());
        }
        let file = File::open(real).map_err(Error::io("read", real))?;
        match elf::read(&file) {
            Ok(image) => self.elf(real, &file, &image),
            Err(elf::ElfError::NotElf) => self.script(real, &file),
            Err(elf::ElfError::Io(e)) => Err(Error::io("read", real)(e)),
            // Not a thing that runs; then a thing that is read.
            Err(elf::ElfError::Malformed(_)) => Ok(()),
        }
    }

    fn script(&mut self, path: &Path, file: &File) -> Result<(), Error> {
        let mut head = [0; shebang::HEAD];
        let len = file.read_at(&mut head, 0).map_err(Error::io("read", path))?;
        let Some(line) = shebang::parse(&head[..len]) else { return Ok(()) };
        let interpreter = Path::new(OsStr::from_bytes(line.interpreter));
        self.required(path, interpreter)?;
        // `#!/usr/bin/env python3` needs python3 as much as env.
        if interpreter.file_name() == Some(OsStr::new("env"))
            && let Some(name) = line.argument.filter(|name| !name.contains(&b' ') && !name.starts_with(b"-"))
            && let Some(found) = super::host::look_up(OsStr::from_bytes(name))
        {
            self.program(&found)?;
        }
        Ok(())
    }

    /// Brings an interpreter: without it the program does not start.
    fn required(&mut self, program: &Path, interpreter: &Path) -> Result<PathBuf, Error> {
        if !interpreter.is_file() {
            return Err(Error::MissingLibrary {
                program: program.to_owned(),
                library: interpreter.to_owned(),
            });
        }
        self.program(interpreter)?;
        interpreter.canonicalize().map_err(Error::io("read", interpreter))
    }

    fn elf(&mut self, path: &Path, file: &File, image: &Image) -> Result<(), Error> {
        let Some(interpreter) = &image.interpreter else { return Ok(()) };
        if !image.arch.runs_here() {
            self.notes.push(Note::OtherMachine { program: path.to_owned(), arch: image.arch });
        }
        let interpreter = PathBuf::from(OsString::from_vec(interpreter.clone()));
        self.required(path, &interpreter)?;
        self.libraries.push(interpreter.clone());
        let seeker = Seeker {
            path: path.to_owned(),
            arch: image.arch,
            loader: interpreter.file_name().unwrap_or_default().to_owned(),
            inherited: Vec::new(),
            runpath: None,
        };
        let path_file = musl_path_file(&seeker.loader);
        if seeker.is_musl() && path_file.is_file() {
            self.mirror.file(&path_file)?;
        }
        self.libraries_of(file, image, seeker)
    }

    /// Brings the libraries that one file needs, and theirs. The depth is bounded: each file is looked into
    /// once.
    fn libraries_of(&mut self, file: &File, image: &Image, mut seeker: Seeker) -> Result<(), Error> {
        let Ok(dynamic) = image.dynamic(file) else { return Ok(()) };
        let dirs = |list: &Option<Vec<u8>>| list.as_ref().map(|list| expand(list, &seeker.path, seeker.arch));
        let (rpath, runpath) = (dirs(&dynamic.rpath), dirs(&dynamic.runpath));
        if runpath.is_none() {
            seeker.inherited.splice(0..0, rpath.unwrap_or_default());
        }
        // musl makes no difference between the two.
        if seeker.is_musl() {
            seeker.inherited.splice(0..0, runpath.clone().unwrap_or_default());
            seeker.runpath = None;
        } else {
            seeker.runpath = runpath;
        }
        for name in &dynamic.needed {
            self.library(OsStr::from_bytes(name), &seeker)?;
        }
        Ok(())
    }

    fn library(&mut self, name: &OsStr, seeker: &Seeker) -> Result<(), Error> {
        if name == seeker.loader || (seeker.is_musl() && is_in_musl(name)) {
            return Ok(());
        }
        let Some((path, found)) = self.locate(name, seeker) else {
            return Err(Error::MissingLibrary { program: seeker.path.clone(), library: name.into() });
        };
        let real = self.mirror.file(&path)?;
        if found == Found::Cache {
            self.by_cache.push((seeker.arch, name.to_owned(), path.clone()));
        }
        if !self.seen.insert(real.clone()) {
            return Ok(());
        }
        if name == "libc.so.6" {
            self.found_libc(&path, &real, seeker)?;
        }
        self.libraries.push(path.clone());
        let file = File::open(&real).map_err(Error::io("read", &real))?;
        let Ok(image) = elf::read(&file) else { return Ok(()) };
        // $ORIGIN of a library is where it was found, not what a link there leads to.
        self.libraries_of(&file, &image, Seeker { path, runpath: None, ..seeker.clone() })
    }

    fn found_libc(&mut self, path: &Path, real: &Path, seeker: &Seeker) -> Result<(), Error> {
        let directory = real.parent().unwrap_or(Path::new("/")).to_owned();
        self.libc.insert(seeker.arch, directory);
        // Until glibc 2.34, when shared objects stopped being called libc-2.33.so with a link to them,
        // reading /etc/passwd was the business of a library that no DT_NEEDED mentions.
        let versioned = path.is_symlink() && real.file_name() != path.file_name();
        match versioned && self.locate(OsStr::new("libnss_files.so.2"), seeker).is_some() {
            true => self.library(OsStr::new("libnss_files.so.2"), seeker),
            false => Ok(()),
        }
    }

    /// The file that the loader would take, searching in its order (ld.so(8); ldso/dynlink.c in musl).
    fn locate(&self, name: &OsStr, seeker: &Seeker) -> Option<(PathBuf, Found)> {
        let fits = |path: &PathBuf| is_library_for(path, seeker.arch);
        if name.as_bytes().contains(&b'/') {
            let paths = expand(name.as_bytes(), &seeker.path, seeker.arch);
            return paths.into_iter().find(fits).map(|path| (path, Found::Told));
        }
        let told = seeker.runpath.as_ref().unwrap_or(&seeker.inherited);
        if let Some(path) = told.iter().map(|dir| dir.join(name)).find(fits) {
            return Some((path, Found::Told));
        }
        if seeker.is_musl() {
            let dirs = musl_directories(&seeker.loader);
            return dirs.iter().map(|dir| dir.join(name)).find(fits).map(|path| (path, Found::Standard));
        }
        let cached = self.cache.iter().flat_map(|cache| cache.lookup(name.as_bytes(), seeker.arch));
        if let Some(path) = cached.map(Path::to_owned).find(fits) {
            return Some((path, Found::Cache));
        }
        standard_directories(seeker.arch)
            .into_iter()
            .map(|dir| dir.join(name))
            .find(fits)
            .map(|path| (path, Found::Standard))
    }

    /// Gives libraries that only the host's cache knew a name beside the C library, where the loader looks
    /// unasked.
    pub(super) fn finish(mut self) -> Result<(Vec<PathBuf>, Vec<Note>), Error> {
        for (arch, name, path) in &self.by_cache {
            let Some(libc) = self.libc.get(arch) else { continue };
            let here = path.parent().and_then(|dir| dir.canonicalize().ok()).unwrap_or_default();
            if !is_same_or_usr_twin(&here, libc) && self.mirror.tree.kind(inside(&libc.join(name))).is_none()
            {
                self.mirror.tree.symlink(path, inside(&libc.join(name)))?;
            }
        }
        self.libraries.sort();
        self.libraries.dedup();
        Ok((self.libraries, self.notes))
    }
}

/// How a library was found.
#[derive(PartialEq, Eq)]
enum Found {
    /// The file that needs it says where it is.
    Told,
    /// `/etc/ld.so.cache`.
    Cache,
    /// A directory built into the loader.
    Standard,
}

/// `/lib/x` and `/usr/lib/x` are both built into a loader that has one of them built in.
fn is_same_or_usr_twin(a: &Path, b: &Path) -> bool {
    let without_usr = |path: &Path| path.strip_prefix("/usr").map(|rest| Path::new("/").join(rest)).ok();
    without_usr(a).as_deref().unwrap_or(a) == without_usr(b).as_deref().unwrap_or(b)
}

fn is_library_for(path: &Path, arch: Arch) -> bool {
    path.is_file()
        && File::open(path).is_ok_and(|file| elf::read(&file).is_ok_and(|image| image.arch == arch))
}

/// A colon-separated list of directories, with the dynamic string tokens of ld.so(8) put in. `$LIB` depends
/// on how the loader was built, so it stands for each of its usual values.
fn expand(list: &[u8], of: &Path, arch: Arch) -> Vec<PathBuf> {
    let origin = of.parent().unwrap_or(Path::new("/")).as_os_str().as_bytes();
    let mut dirs = Vec::new();
    for dir in list.split(|&b| b == b':').filter(|dir| !dir.is_empty()) {
        for lib in lib_names(arch) {
            let dir = replace(dir, b"ORIGIN", origin);
            let dir = replace(&dir, b"LIB", lib.as_bytes());
            let dir =
                PathBuf::from(OsString::from_vec(replace(&dir, b"PLATFORM", platform(arch).as_bytes())));
            if dir.is_absolute() && !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
    }
    dirs
}

/// Replaces `$NAME` and `${NAME}`.
fn replace(text: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let bare = after.strip_prefix(name).filter(|_| first == b'$');
        let braced =
            || after.strip_prefix(b"{")?.strip_prefix(name)?.strip_prefix(b"}").filter(|_| first == b'$');
        match bare.or_else(braced) {
            Some(tail) => {
                out.extend(value);
                rest = tail;
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

fn platform(arch: Arch) -> &'static str {
    match raw::Machine(arch.machine) {
        raw::EM_386 => "i686",
        raw::EM_AARCH64 => "aarch64",
        raw::EM_ARM => "v7l",
        _ => "x86_64",
    }
}

/// Debian's name for the machine, under which it keeps libraries.
fn multiarch(arch: Arch) -> &'static str {
    match raw::Machine(arch.machine) {
        raw::EM_386 => "i386-linux-gnu",
        raw::EM_AARCH64 => "aarch64-linux-gnu",
        raw::EM_ARM => "arm-linux-gnueabihf",
        _ if arch.class == Class::Elf32 => "x86_64-linux-gnux32",
        _ => "x86_64-linux-gnu",
    }
}

fn lib_names(arch: Arch) -> [String; 3] {
    let wide = if arch.class == Class::Elf64 { "lib64" } else { "lib32" };
    [format!("lib/{}", multiarch(arch)), wide.into(), "lib".into()]
}

fn standard_directories(arch: Arch) -> Vec<PathBuf> {
    lib_names(arch).iter().flat_map(|lib| [Path::new("/").join(lib), Path::new("/usr").join(lib)]).collect()
}

/// The file that tells musl's loader where to look: `/etc/ld-musl-x86_64.path`.
fn musl_path_file(loader: &OsStr) -> PathBuf {
    Path::new("/etc").join(loader).with_extension("").with_extension("path")
}

/// What that file says, newlines or colons between directories, or the default.
fn musl_directories(loader: &OsStr) -> Vec<PathBuf> {
    let list = std::fs::read_to_string(musl_path_file(loader));
    let list = list.as_deref().unwrap_or("/lib:/usr/local/lib:/usr/lib");
    list.split([':', '\n']).filter(|dir| dir.starts_with('/')).map(PathBuf::from).collect()
}

/// musl is one file: libc.so, libm.so.6 and the like all mean the loader itself.
fn is_in_musl(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let stem = name.strip_prefix("lib").and_then(|rest| rest.split_once('.')).map(|(stem, _)| stem);
    stem.is_some_and(|stem| ["c", "pthread", "rt", "m", "dl", "util", "xnet"].contains(&stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_put_in() {
        let dirs = expand(
            b"$ORIGIN/../lib:${ORIGIN}:/a/$PLATFORM::relative",
            Path::new("/opt/bin/prog"),
            Arch::HOST,
        );
        let expected = ["/opt/bin/../lib", "/opt/bin", &format!("/a/{}", std::env::consts::ARCH)];
        assert_eq!(dirs, expected.map(PathBuf::from));
        assert!(expand(b"/usr/$LIB", Path::new("/x"), Arch::HOST).contains(&"/usr/lib64".into()));
    }

    #[test]
    fn a_dollar_that_is_no_token_stays() {
        assert_eq!(replace(b"/a$/b${ORIGI}$ORIGIN$", b"ORIGIN", b"X"), b"/a$/b${ORIGI}X$");
    }

    #[test]
    fn musl_has_its_own_libraries_in_itself() {
        assert!(is_in_musl(OsStr::new("libc.musl-x86_64.so.1")) && is_in_musl(OsStr::new("libm.so.6")));
        assert!(!is_in_musl(OsStr::new("libcrypto.so.3")) && !is_in_musl(OsStr::new("libz.so.1")));
    }

    #[test]
    fn musl_names_its_path_file_after_the_machine() {
        let file = musl_path_file(OsStr::new("ld-musl-x86_64.so.1"));
        assert_eq!(file, Path::new("/etc/ld-musl-x86_64.path"));
    }

    #[test]
    fn usr_twins_are_recognised() {
        assert!(is_same_or_usr_twin(Path::new("/usr/lib/x"), Path::new("/lib/x")));
        assert!(!is_same_or_usr_twin(Path::new("/usr/local/lib"), Path::new("/lib")));
    }
}
