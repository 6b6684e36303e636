// SPDX-License-Identifier: Apache-2.0
//! A bundle: a root file system and a configuration.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::container::files;
use super::{Container, Site, default_spec};
use crate::{Command, Output, copy_program};

/// A bundle of a test. Its configuration is written when a container is made of it.
#[derive(Debug)]
pub struct Bundle<'s> {
    pub(super) site: &'s Site,
    id: String,
    directory: PathBuf,
    /// The configuration, for a test that would rather write than [`change`](Self::change).
    pub spec: Value,
}

impl<'s> Bundle<'s> {
    pub(super) fn new(site: &'s Site, id: &str) -> Self {
        let directory = site.path().join(id);
        busybox_root(&directory.join("rootfs"));
        let spec = default_spec(&site.cgroups_path(id));
        Self { site, id: id.to_owned(), directory, spec }
    }

    /// Changes the configuration.
    pub fn change(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.spec);
        self
    }

    /// What the container runs.
    pub fn args(self, args: &[&str]) -> Self {
        self.change(|spec| spec["process"]["args"] = json!(args))
    }

    /// What the container runs, as a line of shell.
    pub fn sh(self, script: &str) -> Self {
        self.args(&["sh", "-c", script])
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// A path in its root file system.
    pub fn in_root(&self, path: &str) -> PathBuf {
        self.directory.join("rootfs").join(path.trim_start_matches('/'))
    }

    /// The id that its container has.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes config.json.
    pub fn write(&self) {
        let text = serde_json::to_string_pretty(&self.spec).expect("JSON");
        fs::write(self.directory.join("config.json"), text).expect("a bundle can be written");
    }

    /// A container, created and not started. A `create` that fails fails the test.
    #[track_caller]
    pub fn create(&self) -> Container<'s> {
        self.create_with(&[], &[]).unwrap_or_else(|output| panic!("create failed:\n{output}"))
    }

    /// A container that has been started.
    #[track_caller]
    pub fn start(&self) -> Container<'s> {
        let container = self.create();
        container.start();
        container
    }

    /// A container, created with more flags before the verb and behind it.
    ///
    /// # Errors
    /// What came of a `create` that failed.
    pub fn create_with(&self, before: &[&str], behind: &[&str]) -> Result<Container<'s>, Output> {
        self.write();
        Container::create(self, before, behind, files(&self.directory))
    }

    /// A container, created, with these as standard input, output and error.
    ///
    /// # Errors
    /// What came of a `create` that failed.
    pub fn create_with_streams(&self, streams: [Stdio; 3]) -> Result<Container<'s>, Output> {
        self.write();
        Container::create(self, &[], &[], streams)
    }

    /// What came of a `create` that must fail; the test fails if it does not.
    #[track_caller]
    pub fn refused(&self) -> Output {
        match self.create_with(&[], &[]) {
            Ok(container) => {
                let output = container.finish();
                panic!("this configuration was to be refused:\n{}\nbut:\n{output}", self.spec)
            }
            Err(output) => output,
        }
    }

    /// What came of a container that must fail, at `create` or at `start`.
    #[track_caller]
    pub fn fails(&self) -> Output {
        let container = match self.create_with(&[], &[]) {
            Ok(container) => container,
            Err(output) => return output,
        };
        let output = container.verb("start").run();
        assert_ne!(output.code(), 0, "this configuration was to fail:\n{}\nbut:\n{output}", self.spec);
        output
    }

    /// What the container prints and ends with: created, started, waited for and deleted.
    #[track_caller]
    pub fn output(&self) -> Output {
        let container = self.create();
        container.start();
        container.finish()
    }
}

/// A root file system with busybox and the directories that one expects.
fn busybox_root(root: &Path) {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    let applets = APPLETS.get_or_init(|| {
        let output = Command::new("busybox").arg("--list").run();
        output.succeeds().stdout.lines().map(str::to_owned).collect()
    });
    for directory in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "mnt"] {
        fs::create_dir_all(root.join(directory)).expect("a root file system can be made");
    }
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].iter().find(|path| Path::new(path).exists());
    copy_program(Path::new(busybox.expect("busybox is installed")), &root.join("bin/busybox"));
    for applet in applets.iter().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).expect("a link can be made");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("a file can be written");
    fs::write(root.join("etc/group"), "root:x:0:\n").expect("a file can be written");
}
