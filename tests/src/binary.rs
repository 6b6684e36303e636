// SPDX-License-Identifier: Apache-2.0
//! The programs that are tested: debug builds, because those abort when the child allocates.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The binary: HUSK if that is set, else the debug build beside the test programs, built if it is not up to date.
pub(crate) fn husk() -> &'static Path {
    static HUSK: OnceLock<PathBuf> = OnceLock::new();
    HUSK.get_or_init(|| match std::env::var_os("HUSK") {
        Some(path) => fs::canonicalize(&path).unwrap_or_else(|error| panic!("HUSK={path:?}: {error}")),
        None => built("husk").expect("husk is in the workspace"),
    })
}

/// The debug build of a program of the workspace, built if it is not up to date; `None` if there is no such crate.
///
/// The test program is TARGET/TRIPLE/PROFILE/deps/NAME; the program is TARGET/TRIPLE/debug/PROGRAM.
pub(crate) fn built(program: &str) -> Option<PathBuf> {
    if !workspace().join("crates").join(program).join("Cargo.toml").exists() {
        return None;
    }
    let test = std::env::current_exe().expect("the test program has a path");
    let triple = test.ancestors().nth(3).expect("the test program is in cargo's target directory");
    let binary = triple.join("debug").join(program);
    let target = triple.parent().expect("a target directory");
    // Its time is that of the last build here: cargo leaves the program's as it is if nothing has changed for it.
    let built = target.join(format!("husk-tests.{program}.built"));
    if is_fresh(&binary, &built) {
        return Some(binary);
    }
    let lock = File::create(target.join("husk-tests.lock")).expect("the lock of the target directory");
    lock.lock().expect("the lock of the target directory");
    if !is_fresh(&binary, &built) {
        let begin = SystemTime::now();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", program, "--target-dir"]).arg(target);
        let status = build.current_dir(workspace()).status().expect("cargo starts");
        assert!(status.success(), "{build:?}: {status}");
        let stamped = File::create(&built).and_then(|file| file.set_modified(begin));
        stamped.expect("the target directory can be written");
    }
    Some(binary)
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// Whether `binary`, or the last build that `built` stands for, is newer than all that it is made of.
fn is_fresh(binary: &Path, built: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let Some(made) = modified(binary) else { return false };
    let made = modified(built).map_or(made, |built| built.max(made));
    let sources = ["crates", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"];
    sources.iter().all(|source| newest(&workspace().join(source)).is_some_and(|newest| newest <= made))
}

/// When the newest source below `path` was changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let is_source = |path: &Path| {
        path.extension()
            .is_some_and(|extension| ["rs", "toml", "css"].iter().any(|known| extension == *known))
    };
    if !path.is_dir() {
        return fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    }
    let entries = fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir() || is_source(path)).filter_map(|path| newest(&path)).max()
}
