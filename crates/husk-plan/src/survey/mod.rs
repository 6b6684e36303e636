// SPDX-License-Identifier: Apache-2.0
//! What a host says of itself: the facts that `husk doctor` judges. Reads, never writes, needs no privilege.
//!
//! Everything is read below a directory, which is `/` but for tests. A file that is not there is a fact too, never an error.

mod account;
mod cgroup;
mod mounts;
pub mod oom;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use husk_spec::NamespaceKind;

pub use account::{Account, Helper};
pub use cgroup::{CgroupLevel, CgroupVersion, Cgroups, WANTED};

use crate::host;

/// The kernel parameters that can stand in the way of namespaces.
pub const SWITCHES: [&str; 10] = [
    "user/max_user_namespaces",
    "user/max_mnt_namespaces",
    "user/max_pid_namespaces",
    "user/max_net_namespaces",
    "user/max_ipc_namespaces",
    "user/max_uts_namespaces",
    "user/max_cgroup_namespaces",
    "user/max_time_namespaces",
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
];

/// The inode numbers of the machine's first pid and user namespace (`PROC_PID_INIT_INO` and `PROC_USER_INIT_INO` of the
/// kernel's proc_ns.h).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";
const FIRST_USER_NAMESPACE: &str = "user:[4026531837]";

/// The files by which container engines mark what is inside.
const MARKERS: [&str; 3] = ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"];

/// The facts about a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The kernel's version, major and minor.
    pub kernel: (u32, u32),
    /// Its release, as `uname -r` prints it.
    pub release: String,
    /// Whether /proc can be read at all.
    pub has_proc: bool,
    /// The file systems that the kernel has now.
    pub filesystems: BTreeSet<String>,
    /// The file systems that it would have on demand, of those that husk needs.
    pub loadable: BTreeSet<String>,
    /// The kinds of namespace that it has.
    pub namespaces: Vec<NamespaceKind>,
    /// The value of each of [`SWITCHES`] that exists.
    pub switches: Vec<(&'static str, String)>,
    /// What is mounted below /proc and below /sys.
    pub over_proc: Vec<PathBuf>,
    /// As `over_proc`, for /sys.
    pub over_sys: Vec<PathBuf>,
    /// Whose husk this is, and which ids it may map.
    pub account: Account,
    /// The cgroups.
    pub cgroups: Cgroups,
    /// The security modules in use, if the kernel lets it be seen.
    pub security_modules: Option<Vec<String>>,
    /// husk's own label of AppArmor or SELinux, if it has one.
    pub label: Option<String>,
    /// Whether SELinux enforces its policy, if there is one.
    pub selinux_enforces: Option<bool>,
    /// The seccomp mode of this process: 0 none, 1 strict, 2 filtered.
    pub seccomp: Option<u32>,
    /// What a seccomp filter may answer here.
    pub seccomp_actions: Vec<String>,
    /// Whether husk is in the machine's first pid namespace, if that can be told.
    pub first_pid_namespace: Option<bool>,
    /// As `first_pid_namespace`, for the user namespace.
    pub first_user_namespace: Option<bool>,
    /// Signs of being inside a container.
    pub markers: Vec<String>,
}

impl Survey {
    /// Looks at this host.
    pub fn look() -> Self {
        let mut survey = Self::below(Path::new("/"));
        survey.kernel = host::kernel_version();
        survey.release = rustix::system::uname().release().to_string_lossy().into_owned();
        survey.loadable = loadable(&survey.release, &survey.filesystems);
        survey
    }

    /// Looks at the host whose files lie below `root`, for all that files tell.
    pub fn below(root: &Path) -> Self {
        let files = Files(root);
        let status = files.text("proc/self/status").unwrap_or_default();
        let mounts = mounts::parse(&files.text("proc/self/mountinfo").unwrap_or_default());
        Self {
            has_proc: files.text("proc/self/status").is_some(),
            filesystems: filesystems(&files.text("proc/filesystems").unwrap_or_default()),
            namespaces: namespaces(files),
            switches: switches(files),
            over_proc: mounts::hiding("/proc", &mounts),
            over_sys: mounts::hiding("/sys", &mounts),
            account: Account::read(files),
            cgroups: Cgroups::read(files, &mounts),
            security_modules: files.words("sys/kernel/security/lsm", ','),
            label: label(files),
            selinux_enforces: files.text("sys/fs/selinux/enforce").map(|text| text.trim() == "1"),
            seccomp: field(&status, "Seccomp:").and_then(|mode| mode.parse().ok()),
            seccomp_actions: files.words("proc/sys/kernel/seccomp/actions_avail", ' ').unwrap_or_default(),
            first_pid_namespace: files.link("proc/self/ns/pid").map(|link| link == FIRST_PID_NAMESPACE),
            first_user_namespace: files.link("proc/self/ns/user").map(|link| link == FIRST_USER_NAMESPACE),
            markers: markers(files),
            ..Self::default()
        }
    }

    /// The value of one of [`SWITCHES`].
    pub fn switch(&self, name: &str) -> Option<&str> {
        self.switches.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the kernel has a file system now or on demand.
    pub fn has_filesystem(&self, name: &str) -> bool {
        self.filesystems.contains(name) || self.loadable.contains(name)
    }
}

/// The files of a host.
#[derive(Clone, Copy)]
pub(crate) struct Files<'a>(&'a Path);

impl Files<'_> {
    /// The text of a file; `None` if it cannot be read.
    fn text(self, path: &str) -> Option<String> {
        let bytes = std::fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn words(self, path: &str, separator: char) -> Option<Vec<String>> {
        let text = self.text(path)?;
        Some(text.trim().split(separator).filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }

    fn link(self, path: &str) -> Option<String> {
        Some(std::fs::read_link(self.path(path)).ok()?.to_string_lossy().into_owned())
    }

    /// A path of the host's, which may begin with a slash.
    fn path(self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// The value of a line `NAME value` of `/proc/PID/status`.
fn field<'t>(status: &'t str, name: &str) -> Option<&'t str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn filesystems(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.split_ascii_whitespace().last()).map(str::to_owned).collect()
}

/// Which file systems that husk needs are modules that the kernel would load when asked.
fn loadable(release: &str, present: &BTreeSet<String>) -> BTreeSet<String> {
    let modules = Path::new("/lib/modules").join(release);
    let list = std::fs::read_to_string(modules.join("modules.dep")).unwrap_or_default();
    let has = |name: &str| list.lines().any(|line| line.contains(&format!("/{name}.ko")));
    let absent = ["overlay"].into_iter().filter(|name| !present.contains(*name));
    absent.filter(|name| has(name)).map(str::to_owned).collect()
}

fn namespaces(files: Files<'_>) -> Vec<NamespaceKind> {
    NamespaceKind::ALL
        .into_iter()
        .filter(|kind| files.link(&format!("proc/self/ns/{}", kind.file_name())).is_some())
        .collect()
}

fn switches(files: Files<'_>) -> Vec<(&'static str, String)> {
    let value = |name: &'static str| {
        files.text(&format!("proc/sys/{name}")).map(|value| (name, value.trim().to_owned()))
    };
    SWITCHES.into_iter().filter_map(value).collect()
}

fn label(files: Files<'_>) -> Option<String> {
    let text = files.text("proc/self/attr/apparmor/current").or_else(|| files.text("proc/self/attr/current"));
    text.map(|text| text.trim_matches(['\0', '\n', ' ']).to_owned()).filter(|text| !text.is_empty())
}

fn markers(files: Files<'_>) -> Vec<String> {
    let there = MARKERS.into_iter().filter(|path| files.path(path).exists()).map(str::to_owned);
    let init = files.text("proc/1/environ").and_then(|environment| {
        environment.split('\0').find(|variable| variable.starts_with("container=")).map(str::to_owned)
    });
    there.chain(init).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Survey) {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            match text.strip_prefix("-> ") {
                Some(to) => symlink(to, path).expect("a link"),
                None => fs::write(path, text).expect("a file"),
            }
        }
        let survey = Survey::below(root.path());
        (root, survey)
    }

    #[test]
    fn a_host_without_proc_and_sys_is_a_host() {
        let (_root, survey) = host(&[]);
        assert_eq!(survey.account.uid, rustix::process::geteuid().as_raw());
        assert!(!survey.has_proc && survey.namespaces.is_empty() && survey.security_modules.is_none());
    }

    #[test]
    fn what_the_kernel_has() {
        let (_root, survey) = host(&[
            ("proc/filesystems", "nodev\tproc\nnodev\toverlay\n\text4\n"),
            ("proc/self/ns/pid", "-> pid:[4026531836]"),
            ("proc/self/ns/user", "-> user:[4026532000]"),
            ("proc/self/status", "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"),
            ("proc/sys/user/max_user_namespaces", "0\n"),
            ("sys/kernel/security/lsm", "capability,landlock,apparmor"),
            ("proc/self/attr/current", "docker-default (enforce)\n"),
            ("proc/1/environ", "PATH=/bin\0container=podman\0"),
            (".dockerenv", ""),
        ]);
        assert!(survey.has_filesystem("overlay") && !survey.has_filesystem("xfs"));
        assert_eq!(survey.namespaces, [NamespaceKind::User, NamespaceKind::Pid]);
        assert_eq!((survey.first_pid_namespace, survey.first_user_namespace), (Some(true), Some(false)));
        assert_eq!(survey.seccomp, Some(2));
        assert_eq!(survey.switch("user/max_user_namespaces"), Some("0"));
        assert_eq!(survey.switch("user/max_net_namespaces"), None);
        assert_eq!(survey.security_modules.expect("modules"), ["capability", "landlock", "apparmor"]);
        assert_eq!(survey.label.as_deref(), Some("docker-default (enforce)"));
        assert_eq!(survey.markers, ["/.dockerenv", "container=podman"]);
    }
}
