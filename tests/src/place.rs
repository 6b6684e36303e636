// SPDX-License-Identifier: Apache-2.0
//! Where a test has its files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};
use tempfile::TempDir;

use crate::{Caller, binary, copy_program, is_root, note_skip};

/// An id that no machine has a user for.
const NOBODYS: u32 = 54_321;

/// What the ordinary user of a [`Place`] has in `/etc/subuid` and `/etc/subgid` if it has anything there.
const SUBORDINATE: (u32, u32) = (1_900_000_000, 65_536);

/// A directory of one test, open to every user, with a husk of its own, so that its processes can be told from those of
/// other tests. Goes with all that is in it.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
}

impl Place {
    /// A new place.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        let open = Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().prefix("husk-test-").permissions(open.clone()).tempdir();
        let directory = directory.expect("a temporary directory");
        // The name given to mkdir(2) is subject to the umask; this is not.
        fs::set_permissions(directory.path(), open).expect("chmod of the temporary directory");
        let place = Self { directory };
        if fs::hard_link(binary::husk(), place.binary()).is_err() {
            copy_program(binary::husk(), &place.binary());
        }
        place
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Its husk.
    pub fn binary(&self) -> PathBuf {
        self.path().join("husk")
    }

    /// All who can run husk here: root and an ordinary user, or, if the tests are not root's, whoever runs them; but no
    /// ordinary user where the machine forbids them user namespaces, which is then said as a skip.
    pub fn callers(&self) -> Vec<Caller<'_>> {
        let mut callers = Vec::new();
        if is_root() {
            callers.push(self.root());
        }
        match forbidden() {
            Some(setting) => note_skip("as an ordinary user", &format!("{setting} forbids user namespaces")),
            None => callers.push(self.ordinary()),
        }
        callers
    }

    /// Root. Only for tests that have asked [`is_root`].
    pub fn root(&self) -> Caller<'_> {
        self.caller("root", 0, 0)
    }

    /// A user without any privilege: if root runs the tests, one without subordinate ids, else whoever runs them.
    pub fn ordinary(&self) -> Caller<'_> {
        if is_root() {
            return self.caller("ordinary", NOBODYS, NOBODYS);
        }
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        let caller = self.caller("ordinary", uid, gid);
        match (own_range("/etc/subuid", uid), own_range("/etc/subgid", uid)) {
            (Some(uids), Some(gids)) if has_program("newuidmap") && has_program("newgidmap") => {
                caller.with_ranges([uids, gids])
            }
            _ => caller,
        }
    }

    /// A user without any privilege but with a range of subordinate ids: whoever runs the tests, or, for root, one in a
    /// mount namespace where `/etc/passwd`, `/etc/subuid` and `/etc/subgid` say so, with the real newuidmap.
    ///
    /// # Errors
    /// What this machine lacks for it.
    pub fn with_subordinate_ids(&self) -> Result<Caller<'_>, &'static str> {
        if !is_root() {
            let own = self.ordinary();
            return if own.ranges().is_some() { Ok(own) } else { Err("this user has no subordinate ids") };
        }
        if !has_program("newuidmap") || !has_program("newgidmap") {
            return Err("newuidmap and newgidmap are not installed");
        }
        if !has_program("setpriv") {
            return Err("setpriv is not installed");
        }
        let caller = self.caller("subordinate", NOBODYS, NOBODYS);
        let etc = self.path().join("etc");
        fs::create_dir_all(&etc).expect("a directory for /etc");
        let account = format!("husktest:x:{NOBODYS}:{NOBODYS}::{}:/bin/sh\n", caller.home().display());
        let range = format!("husktest:{}:{}\n", SUBORDINATE.0, SUBORDINATE.1);
        for (name, text) in [("passwd", &account), ("subuid", &range), ("subgid", &range)] {
            fs::write(etc.join(name), text).expect("a file of /etc");
        }
        let binds = ["passwd", "subuid", "subgid"]
            .map(|name| format!("mount --bind {0}/{name} /etc/{name} && ", etc.display()))
            .concat();
        let become_user = format!("exec setpriv --reuid {NOBODYS} --regid {NOBODYS} --clear-groups \"$@\"");
        let words =
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", &(binds + &become_user), "sh"];
        Ok(caller.through(words).with_ranges([SUBORDINATE; 2]))
    }

    /// `caller` in a mount namespace whose mounts are all shared, as on a host that systemd has started: whatever a
    /// container does not make private travels. Needs root.
    ///
    /// # Errors
    /// What this machine lacks for it.
    pub fn with_shared_mounts<'p>(&'p self, caller: Caller<'p>) -> Result<Caller<'p>, &'static str> {
        if !is_root() {
            return Err("only root can share mounts");
        }
        if !has_program("setpriv") {
            return Err("setpriv is not installed");
        }
        let (uid, gid) = (caller.uid().to_string(), caller.gid().to_string());
        let shared = ["unshare", "--mount", "--propagation", "shared"];
        let become_user = ["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups"];
        Ok(caller.through(shared.into_iter().chain(become_user)))
    }

    fn caller(&self, name: &'static str, uid: u32, gid: u32) -> Caller<'_> {
        let directory = self.path().join(name);
        if !directory.exists() {
            fs::create_dir_all(directory.join("data")).expect("a caller's directory");
            if is_root() {
                chown(&directory, Some(uid), Some(gid)).expect("chown of a caller's directory");
                chown(directory.join("data"), Some(uid), Some(gid)).expect("chown of a caller's directory");
            }
        }
        Caller::new(self, name, (uid, gid), directory)
    }
}

fn has_program(name: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|directory| Path::new(directory).join(name).exists())
}

/// The first range that `subuid(5)` or `subgid(5)` gives to the user, by number or name.
fn own_range(path: &str, uid: u32) -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = uid.to_string();
    let name = passwd
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&uid))
        .and_then(|line| line.split(':').next());
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| {
        let owner = line.split(':').next();
        owner == Some(&uid) || (owner.is_some() && owner == name)
    })?;
    let mut numbers = line.split(':').skip(1).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The setting by which this machine keeps ordinary users from making user namespaces, if it does.
fn forbidden() -> Option<&'static str> {
    let settings = [
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ];
    let is = |(name, value): &(&str, &str)| {
        fs::read_to_string(Path::new("/proc/sys").join(name)).is_ok_and(|text| text.trim() == *value)
    };
    settings.into_iter().find(is).map(|(name, _)| name)
}
