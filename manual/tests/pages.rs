// SPDX-License-Identifier: Apache-2.0
//! The man pages, read by the programs that people read them with.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use husk_tests::{Command, skip};
use tempfile::TempDir;

fn pages() -> (TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    husk_manual::write(directory.path()).expect("pages can be written");
    let entries = fs::read_dir(directory.path().join("man/man1")).expect("a directory of pages");
    let pages = entries.map(|entry| entry.expect("an entry").path()).collect();
    (directory, pages)
}

fn has(program: &str) -> bool {
    PathBuf::from("/usr/bin").join(program).exists()
}

#[test]
fn every_command_has_a_page_and_is_named_in_the_others() {
    let (directory, _pages) = pages();
    let names = ["husk", "husk-run", "husk-explain-run", "husk-rootfs-new", "husk-see", "husk-why-run"];
    for name in names {
        let page = directory.path().join(format!("man/man1/{name}.1"));
        let text = fs::read_to_string(page).expect("a page").replace('\\', "");
        let others = names.into_iter().filter(|other| *other != name);
        let missing: Vec<_> = others.filter(|other| !text.contains(&format!("{other}(1)"))).collect();
        assert!(missing.is_empty(), "{name} lacks {missing:?}");
    }
}

#[test]
fn groff_has_nothing_to_say_about_them() {
    if !has("groff") {
        skip!("groff_has_nothing_to_say_about_them", "groff is not installed");
    }
    let (_directory, pages) = pages();
    for page in pages {
        let output = Command::new("groff").args(["-ww", "-man", "-Tutf8", "-z"]).arg(&page).run();
        assert_eq!(output.succeeds().stderr, "", "{}", page.display());
    }
}

#[test]
fn whatis_finds_what_they_are_about() {
    if !has("lexgrog") {
        skip!("whatis_finds_what_they_are_about", "man-db is not installed");
    }
    let (_directory, pages) = pages();
    for page in pages {
        let name = page.file_stem().expect("a name").to_string_lossy();
        let output = Command::new("lexgrog").arg(&page).run();
        let found = output.succeeds().stdout.contains(&format!(": \"{name} - "));
        assert!(found, "{output}");
    }
}

#[test]
fn man_shows_usage_options_and_closing_words() {
    if !has("man") || !has("groff") {
        skip!("man_shows_usage_options_and_closing_words", "man-db or groff is not installed");
    }
    let (directory, _pages) = pages();
    let page = directory.path().join("man/man1/husk-run.1");
    let man =
        Command::new("man").args(["--warnings", "--no-justification", "-l"]).arg(page).env("MANWIDTH", "80");
    let output = man.env("LC_ALL", "C.UTF-8").run();
    let text = &output.succeeds().stdout;
    assert_eq!(output.stderr, "");
    for expected in [
        "HUSK-RUN(1)",
        "       husk run [OPTIONS] [ROOTFS] [COMMAND [ARG...]]\n       husk run [OPTIONS] -- [COMMAND [ARG...]]\n",
        "       -v, --volume <SRC:DST[:ro]>\n",
        "\nEXIT STATUS\n       The command's; 128+N",
    ] {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
    assert!(!text.contains(['`', '\u{2018}']), "code is bold, not in quotes:\n{text}");
}
