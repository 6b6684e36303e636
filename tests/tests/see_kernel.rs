// SPDX-License-Identifier: Apache-2.0
//! `husk see` by the kernel's own calls and by `/proc` alone: the same is seen.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use husk_tests::{
    Caller, Command, Place, Running, classic_pair, command_line, descendant, masked, skip, until,
};
use serde_json::Value;

const ENOSYS: u32 = 38;
const ENOTTY: u32 = 25;
const STATMOUNT: u32 = 457;
const LISTMOUNT: u32 = 458;
const IOCTL: u32 = if cfg!(target_arch = "x86_64") { 16 } else { 29 };
const NS_GET_MNTNS_ID: u32 = 0x8008_b705;
const NS_GET_TGID_IN_PIDNS: u32 = 0x8004_b709;
/// `PIDFD_GET_CGROUP_NAMESPACE`; the others follow.
const PIDFD_GET_NAMESPACE: std::ops::RangeInclusive<u32> = 0xff01..=0xff0a;

/// All that Linux 5.14 lacks of what husk asks.
fn all() -> String {
    let mut ioctls: Vec<u32> = PIDFD_GET_NAMESPACE.collect();
    ioctls.extend([NS_GET_MNTNS_ID, NS_GET_TGID_IN_PIDNS]);
    let ioctls = ioctls.iter().map(|request| format!(",{IOCTL}:{request}={ENOTTY}"));
    format!("{STATMOUNT}={ENOSYS},{LISTMOUNT}={ENOSYS}{}", ioctls.collect::<String>())
}

/// What this machine lacks for these tests.
fn lacking() -> Option<&'static str> {
    let there = |program: &str| Path::new("/usr/bin").join(program).exists();
    if !there("python3") || !there("strace") {
        return Some("needs python3 and strace in /usr/bin");
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|word| word.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (version < (6, 15)).then_some("Linux older than 6.15 does not tell all of a mount")
}

/// What husk says, and the calls by which it has learnt it, as numbers: strace may be older than they are.
fn traced(caller: &Caller<'_>, command: Command) -> (Value, String) {
    let log = caller.home().join("calls").display().to_string();
    let output = command.through(["strace", "-f", "-y", "-n", "-X", "raw", "-o", &log]).run();
    let value = serde_json::from_str(&output.succeeds().stdout);
    let value = value.unwrap_or_else(|error| panic!("{error}\n{output}"));
    (value, fs::read_to_string(log).expect("a log"))
}

/// A process in detail without what `/proc` does not tell.
fn comparable(seen: &Value) -> Value {
    let mut process = seen["processes"][0].clone();
    for mount in process["mounts"].as_array_mut().into_iter().flatten() {
        let mount = mount.as_object_mut().expect("an object");
        mount.remove("uid_map").expect("a map or null");
        mount.remove("gid_map").expect("a map or null");
    }
    process
}

/// Looks at `pid` both ways, and gives what the kernel's own calls say.
#[track_caller]
fn both_ways(place: &Place, caller: &Caller<'_>, pid: u32) -> Value {
    let look = || caller.husk(["see", "--json", &pid.to_string()]);
    let (own, calls) = traced(caller, look());
    let (list, status) = (format!("[ {LISTMOUNT}]"), format!("[ {STATMOUNT}]"));
    let ioctls = [PIDFD_GET_NAMESPACE.start() + 2, NS_GET_MNTNS_ID, NS_GET_TGID_IN_PIDNS];
    for call in [list, status].into_iter().chain(ioctls.map(|request| format!("{request:#x}"))) {
        assert!(calls.contains(&call), "{caller}: {call} is not used:\n{calls}");
    }
    let is_read = |calls: &str| calls.contains(&format!("/proc/{pid}>, \"mountinfo\""));
    assert!(!is_read(&calls), "{caller}: the mounts come from listmount:\n{calls}");
    compared(caller, &own, &masked_look(place, caller, pid));
    own
}

/// Looks at `pid` without those calls.
#[track_caller]
fn masked_look(place: &Place, caller: &Caller<'_>, pid: u32) -> Value {
    let look = caller.husk(["see", "--json", &pid.to_string()]);
    let (read, calls) = traced(caller, masked(place, look, &all()));
    let is_read = calls.contains(&format!("/proc/{pid}>, \"mountinfo\""));
    assert!(calls.contains("ENOSYS") && is_read, "{caller}: /proc is read instead:\n{calls}");
    read
}

#[track_caller]
fn compared(caller: &Caller<'_>, own: &Value, read: &Value) {
    assert_eq!(comparable(own), comparable(read), "{caller}");
    assert_eq!(own["containers"], read["containers"], "{caller}");
}

/// The mount at a place.
fn mount_on<'v>(seen: &'v Value, point: &str) -> &'v Value {
    let mounts = seen["processes"][0]["mounts"].as_array().expect("mounts");
    mounts.iter().find(|mount| mount["on"] == point).unwrap_or_else(|| panic!("{point} in {mounts:#?}"))
}

#[test]
fn a_container_of_husks() {
    if let Some(why) = lacking() {
        skip!("a_container_of_husks", "{why}");
    }
    let place = Place::new();
    for caller in place.callers() {
        let source = caller.home().join("with blank\nand\\line#");
        fs::create_dir(&source).expect("a directory");
        chown(&source, Some(caller.uid()), Some(caller.gid())).expect("the caller's own directory");
        let volume = format!("{}:/a b,c:ro", source.display());
        let tmpfs = ["--mount", "type=tmpfs,dst=/t", "--tmpfs", "/var/lib/x:size=1m,mode=700"];
        let command = caller.husk(["run", "-q"]).args(tmpfs).args(["-v", &volume]);
        let mut container = command.args(["--", "/bin/sh", "-c", "echo up; read end"]).start();
        container.wait_for("up\n");
        let seen = both_ways(&place, &caller, container.container());
        let mount = mount_on(&seen, "/a b,c");
        assert!(mount["directory"].as_str().is_some_and(|it| it.ends_with("with blank\nand\\line#")));
        if caller.is_root() {
            // A mountinfo says that it is idmapped; only statmount says how.
            let shown = &seen["processes"][0]["uid_map"][0]["outside"];
            assert_eq!(
                (&mount["uid_map"][0]["count"], &mount["uid_map"][0]["outside"]),
                (&65_536.into(), shown)
            );
            let text = caller.husk(["see", "--mounts", &container.container().to_string()]).run();
            let expected = format!("idmapped, private, owners 0-65535 as {shown}-");
            assert!(text.succeeds().stdout.contains(&expected), "{text}");
        }
        container.write("\n");
        container.finish().succeeds();
    }
}

/// husk makes the root of such a container before its mount namespace: of that, Linux 6.18 tells nothing to those outside.
#[test]
fn a_root_that_is_older_than_its_mount_namespace() {
    if let Some(why) = lacking() {
        skip!("a_root_that_is_older_than_its_mount_namespace", "{why}");
    }
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let mut container = caller.shell(&["-q"], &root, "echo up; read end").start();
        container.wait_for("up\n");
        let pid = container.container();
        let (own, _) = traced(&caller, caller.husk(["see", "--json", &pid.to_string()]));
        assert_eq!(mount_on(&own, "/proc")["type"], "proc", "{caller}");
        compared(&caller, &own, &masked_look(&place, &caller, pid));
        container.write("\n");
        container.finish().succeeds();
    }
}

#[test]
fn a_changed_root_and_what_is_mounted_below_it() {
    if let Some(why) = lacking() {
        skip!("a_changed_root_and_what_is_mounted_below_it", "{why}");
    }
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("mycontainer");
        let (running, bash, shell) = classic_pair(&caller, &root);
        let (outer, inner) = (both_ways(&place, &caller, bash), both_ways(&place, &caller, shell));
        assert!(outer["processes"][0]["mounts"].as_array().is_some_and(|all| all.len() > 1), "{caller}");
        assert_eq!(
            inner["processes"][0]["mounts"],
            serde_json::json!([]),
            "{caller}: none is below its root"
        );
        assert_eq!(inner["processes"][0]["pids"].as_array().and_then(|ids| ids.last()), Some(&9.into()));
        drop(running);

        let user: &[&str] = if caller.is_root() { &[] } else { &["--user", "--map-root-user"] };
        let script = "mkdir -p $0/in/proc $0/mnt; mount --bind $0/in $0/in; mount --bind $0/in $0/mnt; \
            mount -t tmpfs 'a b' $0/in/proc; mount -t tmpfs over $0/in/proc; mount --make-rshared $0/in; \
            mount --make-unbindable $0/mnt; mount -o remount,bind,nosuid,nodev $0/in; cp /bin/busybox $0/in/sh; \
            exec chroot $0/in /sh -c 'read changed; true'";
        let words = ["--mount", "sh", "-c", script];
        let command = caller.command("unshare").args(user).args(words).arg(&root);
        let running = command.start();
        let pid = once(&running, "/sh -c read changed");
        let seen = both_ways(&place, &caller, pid);
        assert_eq!(mount_on(&seen, "/")["options"], "rw,nosuid,nodev,relatime", "{caller}");
        let mounts = seen["processes"][0]["mounts"].as_array().expect("mounts");
        let on = |point: &str| mounts.iter().filter(|mount| mount["on"] == point).count();
        assert_eq!((on("/proc"), mounts.len()), (2, 3), "{caller}: one over the other: {mounts:#?}");
        drop(running);
    }
}

#[test]
fn a_mount_over_the_root_is_not_the_root() {
    if let Some(why) = lacking() {
        skip!("a_mount_over_the_root_is_not_the_root", "{why}");
    }
    let place = Place::new();
    for caller in place.callers() {
        let user: &[&str] = if caller.is_root() { &[] } else { &["--user", "--map-root-user"] };
        let script = "mount -t tmpfs over /; exec sh -c 'read over; true'";
        let command = caller.command("unshare").args(user).args(["--mount", "sh", "-c", script]);
        let running = command.start();
        let seen = both_ways(&place, &caller, once(&running, "sh -c read over"));
        assert_eq!(seen["processes"][0]["root"]["is_host"], true, "{caller}");
        drop(running);
    }
}

/// The process itself, once it has become this command.
fn once(running: &Running, command: &str) -> u32 {
    until(command, || command_line(running.pid()).starts_with(command));
    running.pid()
}

#[test]
fn pid_namespaces_in_each_other() {
    if let Some(why) = lacking() {
        skip!("pid_namespaces_in_each_other", "{why}");
    }
    let place = Place::new();
    for caller in place.callers() {
        let new = ["--user", "--map-root-user", "--pid", "--mount", "--fork", "--mount-proc"];
        let inner = format!("unshare {} sh -c 'read nested; true'; true", new.join(" "));
        let running = caller.command("unshare").args(new).args(["sh", "-c", &inner]).start();
        let seen = both_ways(&place, &caller, descendant(running.pid(), "sh -c read nested"));
        let pids = seen["processes"][0]["pids"].as_array().expect("ids");
        assert_eq!((pids.len(), &pids[2]), (3, &1.into()), "{caller}: {pids:?}");
        drop(running);
    }
}

/// `/proc` numbers processes otherwise than the caller's pid namespace: no number of the one may be asked of the other.
#[test]
fn a_proc_of_another_pid_namespace() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let mut container = caller.shell(&["-q"], &root, "echo up; read end").start();
        container.wait_for("up\n");
        let pid = container.container().to_string();
        let look = |pid: &str, through: &[&str]| {
            let command = caller.husk(["see", "--json", pid]);
            let output = command.through(through.iter().copied()).run();
            let seen: Value = serde_json::from_str(&output.succeeds().stdout).expect("JSON");
            seen["processes"].clone()
        };
        let new: &[&str] = if caller.is_root() { &[] } else { &["--user", "--map-current-user"] };
        let mut through = vec!["unshare", "--pid", "--fork"];
        through.extend(new);
        assert_eq!(look(&pid, &through)[0]["pids"], look(&pid, &[])[0]["pids"], "{caller}");
        // There, 1 is husk itself.
        let (there, here) = (look("1", &through), look("1", &[]));
        assert_eq!(there[0]["namespaces"], here[0]["namespaces"], "{caller}");
        assert_eq!(there[0]["pids"], here[0]["pids"], "{caller}");
        container.write("\n");
        container.finish().succeeds();
    }
}
