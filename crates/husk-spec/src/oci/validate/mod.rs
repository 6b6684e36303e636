// SPDX-License-Identifier: Apache-2.0
//! Whether a configuration is one that can be carried out.
//!
//! Refused is what runc or crun refuse, and what the specification says must be. Where runc makes the best of something
//! odd, so does husk, with a warning. What depends on the host (whether a path exists, what a joined namespace is) is not
//! judged here.

mod linux;
mod mounts;
mod namespaces;
mod process;
mod seccomp;

pub(super) use namespaces::dotted;

use super::{Hook, Hooks, Process, Spec};
use crate::NumberSet;

/// Something odd that is carried out all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The place, as a JSON path: `process.capabilities.bounding[3]`.
    pub path: String,
    /// What is odd, and what happens.
    pub problem: String,
}

/// A configuration that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct InvalidSpec {
    /// The place, as a JSON path: `process.rlimits[1]`.
    pub path: String,
    /// What is wrong there, and what would be right.
    pub problem: String,
}

type Outcome = Result<(), InvalidSpec>;

fn refuse<T>(path: impl Into<String>, problem: impl Into<String>) -> Result<T, InvalidSpec> {
    Err(InvalidSpec { path: path.into(), problem: problem.into() })
}

/// The warnings so far.
#[derive(Default)]
struct Warnings(Vec<Warning>);

impl Warnings {
    fn push(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Warning { path: path.into(), problem: problem.into() });
    }
}

/// Judges a whole configuration.
///
/// # Errors
/// The first place that cannot be carried out.
pub fn validate(spec: &Spec) -> Result<Vec<Warning>, InvalidSpec> {
    let mut warnings = Warnings::default();
    version(&spec.oci_version)?;
    root(spec)?;
    let Some(process) = &spec.process else {
        return refuse("process", "missing: it says what runs");
    };
    process::check(process, "process.", &mut warnings)?;
    names(spec)?;
    mounts::check(spec, &mut warnings)?;
    if let Some(linux) = &spec.linux {
        namespaces::check(linux, &mut warnings)?;
        linux::check(linux, &mut warnings)?;
    }
    spec.hooks.as_ref().map_or(Ok(()), hooks)?;
    Ok(warnings.0)
}

/// Judges the file of `exec --process`.
///
/// # Errors
/// As [`validate`].
pub fn validate_process(process: &Process) -> Result<Vec<Warning>, InvalidSpec> {
    let mut warnings = Warnings::default();
    process::check(process, "", &mut warnings)?;
    Ok(warnings.0)
}

fn version(version: &str) -> Outcome {
    let form = "MAJOR.MINOR.PATCH, such as 1.0.2 or 1.3.0";
    if version.is_empty() {
        return refuse("ociVersion", format!("missing: {form}"));
    }
    match version.split_once('.').map(|(major, _)| major) {
        Some("1") => Ok(()),
        Some(major) if !major.is_empty() && major.bytes().all(|byte| byte.is_ascii_digit()) => {
            refuse("ociVersion", format!("{version:?} is none of the versions 1.x, which husk follows"))
        }
        _ => refuse("ociVersion", format!("{version:?} is no version: {form}")),
    }
}

fn root(spec: &Spec) -> Outcome {
    match &spec.root {
        None => refuse("root", "missing: it says where the root file system is"),
        Some(root) if root.path.is_empty() => {
            refuse("root.path", "empty: a directory, absolute or relative to the bundle")
        }
        Some(root) => text("root.path", &root.path),
    }
}

/// The longest name that `sethostname(2)` and `setdomainname(2)` take.
const NAME_BYTES: usize = 64;

fn names(spec: &Spec) -> Outcome {
    for (path, name) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
        let Some(name) = name else { continue };
        text(path, name)?;
        if name.len() > NAME_BYTES {
            return refuse(path, format!("{} bytes are too many: at most {NAME_BYTES}", name.len()));
        }
        let has_uts =
            spec.linux.as_ref().is_some_and(|linux| namespaces::has(linux, super::NamespaceKind::Uts));
        if !has_uts {
            return refuse(
                path,
                "it would rename the host: add a uts namespace to linux.namespaces, or leave it out",
            );
        }
    }
    Ok(())
}

fn hooks(hooks: &Hooks) -> Outcome {
    for (kind, hooks) in hooks.all() {
        for (i, hook) in hooks.iter().enumerate() {
            check_hook(&format!("hooks.{kind}[{i}]"), hook)?;
        }
    }
    Ok(())
}

fn check_hook(at: &str, hook: &Hook) -> Outcome {
    absolute(&format!("{at}.path"), &hook.path)?;
    texts(&format!("{at}.args"), &hook.args)?;
    texts(&format!("{at}.env"), &hook.env)?;
    match hook.timeout {
        Some(timeout) if timeout <= 0 => {
            refuse(format!("{at}.timeout"), format!("{timeout} is not above 0: seconds, or leave it out"))
        }
        _ => Ok(()),
    }
}

/// No system call takes a NUL: what follows it would be cut off.
fn text(path: &str, text: &str) -> Outcome {
    if text.contains('\0') {
        refuse(path, "it has a NUL character, which no system call takes")
    } else {
        Ok(())
    }
}

fn texts(path: &str, list: &[String]) -> Outcome {
    match list.iter().position(|entry| entry.contains('\0')) {
        Some(i) => text(&format!("{path}[{i}]"), &list[i]),
        None => Ok(()),
    }
}

fn absolute(path: &str, value: &str) -> Outcome {
    if value.is_empty() {
        return refuse(path, "empty: an absolute path");
    }
    if !value.starts_with('/') {
        return refuse(path, format!("{value:?} is not absolute: it has to begin with /"));
    }
    text(path, value)
}

/// What stands inside and is relative is taken from `/`, as runc does.
fn inside(path: &str, value: &str, warnings: &mut Warnings) -> Outcome {
    if value.is_empty() {
        return refuse(path, "empty: a path inside the container");
    }
    if !value.starts_with('/') {
        warnings.push(path, format!("{value:?} is not absolute: it is taken from /"));
    }
    text(path, value)
}

/// 2³²−1 is no id: the kernel reads it as "unchanged" (`setresuid(2)`), and a change of user would silently not happen.
fn id(path: &str, id: u32) -> Outcome {
    if id == u32::MAX { refuse(path, "4294967295 is no id: the highest is 4294967294") } else { Ok(()) }
}

/// A list such as `0-3,7`.
fn number_list(path: &str, list: &str) -> Outcome {
    list.parse::<NumberSet>().map(drop).or_else(|error| refuse(path, error.to_string()))
}

#[cfg(test)]
mod tests;
