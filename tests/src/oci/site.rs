// SPDX-License-Identifier: Apache-2.0
//! Where a test of an OCI runtime happens.

use std::cell::{Cell, RefCell};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};
use serde_json::Value;
use tempfile::TempDir;

use super::{Bundle, Cgroup, Runtime};
use crate::{Command, is_root, note_skip};

/// A directory, a state root, a mount namespace and cgroups of one test. Whatever the test has left there when it is
/// dropped is ended and removed: containers by `delete --force`, then what is in the cgroups, the mounts with their
/// namespace, and the directory.
#[derive(Debug)]
pub struct Site {
    name: &'static str,
    runtime: &'static Runtime,
    directory: TempDir,
    holder: Child,
    driver: Driver,
    cgroup: Cgroup,
    bundles: Cell<u32>,
    inits: RefCell<Vec<Pid>>,
}

/// Who makes the cgroups of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The runtime.
    Cgroupfs,
    /// systemd, which the runtime asks for scopes.
    Systemd,
}

impl Driver {
    /// `HUSK_OCI_DRIVER=systemd` has every container of the tests made with `--systemd-cgroup`.
    fn under_test() -> Self {
        match std::env::var("HUSK_OCI_DRIVER").as_deref() {
            Ok("systemd") => Self::Systemd,
            Ok("cgroupfs") | Err(_) => Self::Cgroupfs,
            Ok(other) => panic!("HUSK_OCI_DRIVER={other}: systemd or cgroupfs"),
        }
    }
}

impl Site {
    /// A site for the test `name`; if it cannot run here, `None`, and the reason is printed as a skip.
    ///
    /// This process becomes a subreaper, as every caller of an OCI runtime is one.
    pub fn open(name: &'static str) -> Option<Self> {
        let runtime = match Runtime::under_test() {
            _ if !is_root() => Err("containers with cgroups and a state root of their own need root"),
            runtime => runtime,
        };
        match runtime {
            Ok(runtime) => Some(Self::new(name, runtime)),
            Err(reason) => {
                note_skip(name, reason);
                None
            }
        }
    }

    fn new(name: &'static str, runtime: &'static Runtime) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        set_child_subreaper(Some(getpid())).expect("a process may become a subreaper");
        let directory =
            tempfile::Builder::new().prefix("husk-oci-").tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("chmod of one's own");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let driver = Driver::under_test();
        let cgroup = match driver {
            Driver::Cgroupfs => Cgroup::new(&format!("husk-oci-test-{}-{number}", std::process::id())),
            // A dash would put it into another slice.
            Driver::Systemd => Cgroup::new(&format!("huskocitest{}n{number}.slice", std::process::id())),
        };
        let (bundles, inits) = (Cell::default(), RefCell::default());
        Self { name, runtime, directory, holder: mount_namespace(runtime), driver, cgroup, bundles, inits }
    }

    /// The runtime that is tested.
    pub fn runtime(&self) -> &'static Runtime {
        self.runtime
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The state root: what `--root` is given.
    pub fn root(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Who makes the cgroups of its containers.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// The cgroup that the cgroups of its containers are in.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The cgroup of its container `id`.
    pub fn cgroup_of(&self, id: &str) -> Cgroup {
        match self.driver {
            Driver::Cgroupfs => Cgroup::new(&format!("{}/{id}", self.cgroup.path())),
            Driver::Systemd => Cgroup::new(&format!("{}/{}-{id}.scope", self.cgroup.path(), self.slice())),
        }
    }

    /// `linux.cgroupsPath` for that.
    pub fn cgroups_path(&self, id: &str) -> String {
        match self.driver {
            Driver::Cgroupfs => self.cgroup_of(id).path(),
            Driver::Systemd => format!("{0}.slice:{0}:{id}", self.slice()),
        }
    }

    /// The name of its slice, without the ending: the names of units, too, are to be its own.
    fn slice(&self) -> String {
        self.cgroup.path().trim_start_matches('/').trim_end_matches(".slice").to_owned()
    }

    /// What stands before the verb: the state root, and the driver.
    pub fn globals(&self, root: &Path) -> Vec<OsString> {
        let driver = (self.driver == Driver::Systemd).then(|| "--systemd-cgroup".into());
        ["--root".into(), root.into()].into_iter().chain(driver).collect()
    }

    /// Says as a skip that a part of the test does not apply, and why.
    pub fn note(&self, reason: &str) {
        note_skip(self.name, reason);
    }

    /// Whether the runtime is `name` before `version`, and so too old for `what`; then a skip is printed.
    pub fn is_too_old(&self, name: &str, version: (u32, u32, u32), what: &str) -> bool {
        let is_too_old = self.runtime.is_before(name, version);
        if is_too_old {
            let (major, minor, patch) = self.runtime.version();
            self.note(&format!("{name} {major}.{minor}.{patch} is too old for {what}"));
        }
        is_too_old
    }

    /// Whether the runtime is `name`, which is known not to do what the test asks for; then a skip is printed.
    pub fn deviates(&self, name: &str, how: &str) -> bool {
        let deviates = self.runtime.name() == name;
        if deviates {
            self.note(&format!("{name} {how}"));
        }
        deviates
    }

    /// A bundle with a busybox root, and a configuration that runs `true`.
    pub fn bundle(&self) -> Bundle<'_> {
        let number = self.bundles.get();
        self.bundles.set(number + 1);
        Bundle::new(self, &format!("c{number}"))
    }

    /// What a container prints that runs `script` with `sh -c`, without the last newline. It must end with 0.
    #[track_caller]
    pub fn inside(&self, script: &str, change: impl FnOnce(&mut Value)) -> String {
        self.bundle().sh(script).change(change).output().succeeds().stdout.trim_end().to_owned()
    }

    /// The runtime, in the site's mount namespace, with the site's state root.
    pub fn oci<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        self.bare_oci(self.globals(&self.root())).args(words)
    }

    /// The runtime, in the site's mount namespace, with nothing before `words`.
    pub fn bare_oci<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        self.command(self.runtime.path()).args(words)
    }

    /// Another program, in the site's mount namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        Command::new(program).through(["nsenter", &namespace, "--"]).current_dir(self.path())
    }

    /// Remembers the first process of a container, which this process has inherited and must wait for.
    pub(super) fn adopt(&self, pid: Pid) {
        self.inits.borrow_mut().push(pid);
    }

    /// Forgets a process that has been waited for: its number may be somebody else's by now.
    pub(super) fn bury(&self, pid: Pid) {
        self.inits.borrow_mut().retain(|known| *known != pid);
    }

    fn delete_containers(&self) {
        for entry in fs::read_dir(self.root()).into_iter().flatten().flatten() {
            let mut delete = self.oci(["delete", "--force"]).arg(entry.file_name()).process();
            let _ = delete.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.delete_containers();
        self.cgroup.clear();
        for pid in self.inits.take() {
            let is_ours = matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None));
            if is_ours && kill_process(pid, Signal::KILL).is_ok() {
                let _ = waitpid(Some(pid), WaitOptions::empty());
            }
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A [`Site`] for the test that this stands in, by its name; where it cannot run, the test ends with a printed reason.
#[macro_export]
macro_rules! oci_site {
    () => {{
        fn here() {}
        match $crate::oci::Site::open($crate::oci::test_name(std::any::type_name_of_val(&here))) {
            Some(site) => site,
            None => return,
        }
    }};
}

/// The function that a path such as `program::test::here` ends in but for the last part.
#[doc(hidden)]
pub fn test_name(path: &'static str) -> &'static str {
    path.rsplit("::").nth(1).unwrap_or(path)
}

/// A process that holds a mount namespace of its own, from which nothing travels to the host; it ends with the test
/// program at the latest, when its standard input closes.
///
/// crun refuses a machine whose v2 hierarchy, beside those of v1, has a controller. There it sees those of v1 alone.
fn mount_namespace(runtime: &Runtime) -> Child {
    let unified = Path::new("/sys/fs/cgroup/unified");
    let hide =
        if runtime.name() == "crun" && unified.exists() { "umount /sys/fs/cgroup/unified && " } else { "" };
    let script = format!("{hide}echo ready; read end");
    let mut unshare = Process::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    let mut holder = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare starts");
    let mut line = String::new();
    let stdout = holder.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line of the holder's");
    assert_eq!(line, "ready\n", "a mount namespace for the test");
    holder
}
