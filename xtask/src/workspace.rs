// SPDX-License-Identifier: Apache-2.0

//! What cargo knows about the workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::Result;
use crate::process::{cargo, output, shown};

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// A file of the repository, by its path from the top.
pub(crate) fn read(path: &str) -> Result<String> {
    Ok(fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))?)
}

/// `cargo metadata` of the workspace's own packages.
pub(crate) fn metadata() -> Result<Value> {
    let text = output(&mut cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    Ok(serde_json::from_str(&text)?)
}

/// Elements of an array member; none where the member is missing.
pub(crate) fn members<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

/// A string member; cargo always writes the ones that are asked for here.
pub(crate) fn string<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Cargo's target directory.
pub(crate) fn target_directory() -> Result<PathBuf> {
    Ok(PathBuf::from(string(&metadata()?, "target_directory")))
}

/// A directory for what the verbs leave behind, in cargo's target directory.
pub(crate) fn scratch_directory() -> Result<PathBuf> {
    let directory = target_directory()?.join("xtask");
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(directory)
}

/// Builds the programs of the default members for release, and says where cargo put each.
pub(crate) fn build_release() -> Result<Vec<PathBuf>> {
    build_release_of(&[])
}

/// Builds the programs of packages for release, or of the default members, and says where cargo put each.
pub(crate) fn build_release_of(packages: &[&str]) -> Result<Vec<PathBuf>> {
    let mut build = cargo(&["build", "--release", "--message-format=json-render-diagnostics"]);
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    eprintln!("$ {}", shown(&build));
    let messages = output(build.stderr(Stdio::inherit()))?;
    let messages =
        messages.lines().map(serde_json::from_str::<Value>).collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(messages.iter().filter_map(|message| message["executable"].as_str()).map(PathBuf::from).collect())
}
