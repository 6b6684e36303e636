// SPDX-License-Identifier: Apache-2.0
//! Compiled filters in the kernel: what they deny is denied, and what they allow works.
#![forbid(unsafe_code)]

use std::convert::Infallible;

use husk_seccomp::{Filter, compile};
use husk_spec::oci::{Arch, Seccomp};
use husk_sys::{Clone, SockFilter, clone3, exit, seccomp_set_mode_filter, unshare};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{Signal, WaitId, WaitIdOptions, getpid, waitid};
use rustix::thread::{UnshareFlags, set_no_new_privs};

#[cfg(target_arch = "x86_64")]
const NATIVE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const NATIVE: Arch = Arch::Aarch64;

fn filter(profile: &str) -> Filter {
    let profile: Seccomp = serde_json::from_str(profile).expect("a profile");
    compile(&profile, NATIVE).expect("a filter")
}

/// What a process under the filter answers with: it is told whether there is a listener.
fn under(filter: &Filter, check: impl Fn(bool) -> i32) -> Option<i32> {
    let program: Vec<_> = filter
        .instructions
        .iter()
        .map(|step| SockFilter { code: step.code, jt: step.jt, jf: step.jf, k: step.k })
        .collect();
    let flags = filter.flags.bits();
    let child = || -> Infallible {
        let filtered = set_no_new_privs(true).and_then(|()| seccomp_set_mode_filter(flags, &program));
        exit(filtered.map_or(100, |listener| check(listener.is_some())))
    };
    let args =
        Clone { namespaces: UnshareFlags::empty(), cgroup: None, exit_signal: Signal::CHILD.as_raw() as u32 };
    let child = clone3(&args, child).expect("clone3");
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).expect("waitid");
    status.and_then(|status| status.exit_status())
}

fn error<T>(result: Result<T, Errno>) -> i32 {
    result.err().map_or(0, Errno::raw_os_error)
}

#[test]
fn dockers_profile_denies_namespaces_and_lets_the_rest_work() {
    let docker = filter(include_str!("profiles/docker.json"));
    assert_eq!(under(&docker, |_| error(unshare(UnshareFlags::NEWUTS))), Some(1));
    assert_eq!(
        under(&docker, |_| error(rustix::fs::open(
            "/",
            rustix::fs::OFlags::RDONLY,
            rustix::fs::Mode::empty()
        ))),
        Some(0)
    );
    assert_eq!(under(&docker, |_| i32::from(getpid().is_init())), Some(0));
}

#[test]
fn a_condition_on_an_argument_decides() {
    let rule = r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": [
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
         "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]}]}"#;
    let filter = filter(rule);
    let open = |family| move |_| error(socket(family, SocketType::RAW, None));
    assert_eq!(under(&filter, open(AddressFamily::NETLINK)), Some(13));
    assert_eq!(under(&filter, |_| error(socket(AddressFamily::UNIX, SocketType::STREAM, None))), Some(0));
}

#[test]
fn a_call_beyond_the_profile_is_not_there_and_one_within_is_forbidden() {
    let profile = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["exit_group", "exit", "close_range", "getpid"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let filter = filter(profile);
    // openat2 (437) comes after close_range (436); unshare comes before it.
    let openat2 = |_| {
        let how = (rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty(), rustix::fs::ResolveFlags::empty());
        error(rustix::fs::openat2(rustix::fs::CWD, "/", how.0, how.1, how.2))
    };
    assert_eq!(under(&filter, openat2), Some(Errno::NOSYS.raw_os_error()));
    assert_eq!(under(&filter, |_| error(unshare(UnshareFlags::empty()))), Some(1));
}

#[test]
fn a_rule_that_notifies_gives_a_listener_and_no_other_does() {
    let rule = |action| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["mknodat"], "action": "{action}"}}]}}"#
        )
    };
    assert_eq!(under(&filter(&rule("SCMP_ACT_NOTIFY")), i32::from), Some(1));
    assert_eq!(under(&filter(&rule("SCMP_ACT_LOG")), i32::from), Some(0));
}
