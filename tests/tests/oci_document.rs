// SPDX-License-Identifier: Apache-2.0
//! The table of fields in `docs/oci.md` and the tests that it names.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The tests in the files of `directory()` whose names begin with `prefix`.
fn tests(prefix: &str) -> BTreeSet<String> {
    let files = fs::read_dir(directory()).expect("the tests").map(|entry| entry.expect("a file").path());
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(prefix) && name.ends_with(".rs")
    };
    let texts = files.filter(is_wanted).map(|path| fs::read_to_string(path).expect("a test's source"));
    texts.flat_map(|text| functions(&text)).collect()
}

/// The functions of a source that are tests.
fn functions(text: &str) -> Vec<String> {
    let mut lines = text.lines();
    let mut found = Vec::new();
    while lines.any(|line| line == "#[test]") {
        let head = lines.find_map(|line| line.strip_prefix("fn ")).unwrap_or_default();
        found.push(head.split('(').next().unwrap_or_default().to_owned());
    }
    found
}

/// The words in backticks in the third column of the tables of fields, one set for each row.
fn named(document: &str) -> Vec<(String, Vec<String>)> {
    let fields =
        document.split("\n## ").find(|part| part.starts_with("Fields\n")).expect("a part named Fields");
    let rows = fields.lines().filter(|line| line.starts_with("| ")).map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        (cells.len(), cells)
    });
    let rows = rows.filter(|(count, cells)| *count == 8 && cells[1] != "field" && cells[1] != "---");
    rows.map(|(_, cells)| {
        let tests = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (cells[1].to_owned(), tests)
    })
    .collect()
}

#[test]
fn every_test_named_in_the_table_is_there_and_every_test_of_a_field_is_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/oci.md");
    let rows = named(&fs::read_to_string(path).expect("docs/oci.md"));
    assert!(rows.len() > 50, "{} rows: is the table still found?", rows.len());
    let there = tests("oci_");
    assert!(there.contains("root_path"), "the tests are found");
    let missing: Vec<_> = rows
        .iter()
        .flat_map(|(field, tests)| tests.iter().map(move |test| (field, test)))
        .filter(|(_, test)| !there.contains(*test))
        .collect();
    assert!(missing.is_empty(), "docs/oci.md names tests that are not there: {missing:#?}");
    let untested: Vec<_> = rows.iter().filter(|(_, tests)| tests.is_empty()).collect();
    assert!(untested.is_empty(), "docs/oci.md has rows without a test: {untested:#?}");
    let all: BTreeSet<_> = rows.into_iter().flat_map(|(_, tests)| tests).collect();
    let unnamed: Vec<_> = tests("oci_fields_").difference(&all).cloned().collect();
    assert!(unnamed.is_empty(), "docs/oci.md leaves out tests of fields: {unnamed:#?}");
}
