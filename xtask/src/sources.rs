// SPDX-License-Identifier: Apache-2.0

//! Rules that a line of source either keeps or breaks. Where the compiler or clippy can enforce a
//! rule, the check here is only that nobody has switched it off.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::workspace::{self, members, string};

const SPDX: &str = "// SPDX-License-Identifier: Apache-2.0";
/// The crates that may hold `unsafe`, that may not use std, that may not allocate, that may print.
const UNSAFE: &[&str] = &["husk-sys"];
const NO_STD: &[&str] = &["husk-sys", "husk-init"];
const NO_ALLOC: &[&str] = &["husk-init"];
const PRINTING: &[&str] = &["husk", "husk-oci", "husk-engines", "husk-manual", "husk-tests", "xtask"];
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "misc"];

/// One source file, with what the rules depend on.
struct Source<'a> {
    package: &'a str,
    path: &'a Path,
    /// Whether this file is the root of a crate: a library, a program, a test, a build script.
    is_root: bool,
    text: &'a str,
}

type Rule = fn(&Source<'_>) -> Option<&'static str>;

const RULES: &[Rule] =
    &[has_spdx, forbids_unsafe, has_no_std, does_not_allocate, does_not_print, has_a_telling_name];

/// Checks every source file of the workspace and every manifest.
pub(crate) fn check() -> Result {
    let metadata = workspace::metadata()?;
    let mut violations = Vec::new();
    for package in members(&metadata, "packages") {
        let manifest = Path::new(string(package, "manifest_path"));
        if !inherits_lints(&fs::read_to_string(manifest)?) {
            violations.push(format!("{}: does not take the workspace's lints", relative(manifest)));
        }
        let roots: Vec<_> =
            members(package, "targets").map(|target| Path::new(string(target, "src_path"))).collect();
        for path in rust_files(manifest.parent().unwrap_or(manifest))? {
            let text = fs::read_to_string(&path)?;
            let is_root = roots.contains(&path.as_path());
            let source = Source { package: string(package, "name"), path: &path, is_root, text: &text };
            violations.extend(broken(&source).map(|reason| format!("{}: {reason}", relative(&path))));
        }
    }
    if violations.is_empty() {
        println!("sources: every rule is kept");
        return Ok(());
    }
    Err(format!("source rules (xtask/src/sources.rs):\n  {}", violations.join("\n  ")).into())
}

fn broken(source: &Source<'_>) -> impl Iterator<Item = &'static str> {
    RULES.iter().filter_map(|rule| rule(source))
}

fn has_spdx(source: &Source<'_>) -> Option<&'static str> {
    let holds = source.text.lines().next() == Some(SPDX);
    (!holds).then_some("the first line is not `// SPDX-License-Identifier: Apache-2.0`")
}

/// `forbid` cannot be lifted further down, so with this line the compiler does the rest.
fn forbids_unsafe(source: &Source<'_>) -> Option<&'static str> {
    let holds =
        !source.is_root || UNSAFE.contains(&source.package) || has_line(source, "#![forbid(unsafe_code)]");
    (!holds).then_some("a crate root without `#![forbid(unsafe_code)]`")
}

fn has_no_std(source: &Source<'_>) -> Option<&'static str> {
    let is_library = source.is_root && source.path.ends_with("src/lib.rs");
    let holds = !is_library || !NO_STD.contains(&source.package) || has_line(source, "#![no_std]");
    (!holds).then_some("a crate that must be `#![no_std]` is not")
}

fn does_not_allocate(source: &Source<'_>) -> Option<&'static str> {
    let holds = !NO_ALLOC.contains(&source.package) || !code(source.text).any(|line| has_word(line, "alloc"));
    (!holds).then_some("mentions `alloc`, where nothing may allocate")
}

/// clippy denies printing in the whole workspace; only these crates may allow it.
fn does_not_print(source: &Source<'_>) -> Option<&'static str> {
    let lifts = |line: &str| line.contains("clippy::print_std");
    let holds = PRINTING.contains(&source.package) || !code(source.text).any(lifts);
    (!holds).then_some("allows printing, which is the programs' business")
}

fn has_a_telling_name(source: &Source<'_>) -> Option<&'static str> {
    let mut names = source.path.iter().filter_map(|part| Path::new(part).file_stem()?.to_str());
    names.any(|name| EMPTY_NAMES.contains(&name)).then_some("a name that does not say what is inside")
}

fn has_line(source: &Source<'_>, wanted: &str) -> bool {
    source.text.lines().any(|line| line == wanted)
}

/// The lines of a file that are more than a comment.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

fn inherits_lints(manifest: &str) -> bool {
    manifest.lines().skip_while(|line| *line != "[lints]").nth(1) == Some("workspace = true")
}

/// Every Rust file below a directory, but not what was built there or lies hidden.
fn rust_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn relative(path: &Path) -> String {
    path.strip_prefix(workspace::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(package: &str, path: &str, text: &str) -> Vec<&'static str> {
        broken(&Source { package, path: Path::new(path), is_root: path.ends_with("lib.rs"), text }).collect()
    }

    fn with_spdx(text: &str) -> String {
        format!("{SPDX}\n{text}")
    }

    #[test]
    fn every_rule_is_seen_to_fail() {
        let forbid = "#![forbid(unsafe_code)]\n";
        let cases = [
            ("husk-spec", "src/lib.rs", forbid.into(), "SPDX"),
            ("husk-spec", "src/lib.rs", with_spdx("#![deny(unsafe_code)]\n"), "forbid(unsafe_code)"),
            ("husk-sys", "src/lib.rs", with_spdx("#![cfg_attr(not(test), no_std)]\n"), "no_std"),
            ("husk-init", "src/run.rs", with_spdx("extern crate alloc;\n"), "alloc"),
            ("husk-plan", "src/run.rs", with_spdx("#[expect(clippy::print_stderr)]\n"), "printing"),
            ("husk-plan", "src/utils.rs", with_spdx(""), "name"),
            ("husk-tests", "tests/common/mod.rs", with_spdx(""), "name"),
        ];
        for (package, path, text, expected) in cases {
            let found = complaints(package, path, &text);
            assert!(found.len() == 1 && found[0].contains(expected), "{path} {text:?}: {found:?}");
        }
    }

    #[test]
    fn what_keeps_the_rules_passes() {
        let none: [&str; 0] = [];
        assert_eq!(complaints("husk-sys", "src/lib.rs", &with_spdx("#![no_std]\n")), none);
        assert_eq!(
            complaints("husk-init", "src/run.rs", &with_spdx("// no alloc here\nfn allocated() {}\n")),
            none
        );
        assert_eq!(complaints("husk", "src/main.rs", &with_spdx("#![allow(clippy::print_stdout)]\n")), none);
    }

    #[test]
    fn a_manifest_without_the_lints_is_found() {
        assert!(inherits_lints("[package]\n\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\n\n[lints.rust]\nworkspace = true\n"));
    }
}
