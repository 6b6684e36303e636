// SPDX-License-Identifier: Apache-2.0
//! `linux.seccomp` of config.json: what a process sees of each action and condition.
#![forbid(unsafe_code)]

use std::fs;
use std::os::fd::AsRawFd;
use std::thread;

use husk_tests::oci::ConsoleSocket;
use husk_tests::oci_site;
use serde_json::{Value, json};

/// A profile that allows everything but what the rules say.
fn profile(rules: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [architecture()], "syscalls": rules})
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" }
}

fn rule(names: &[&str], action: &str) -> Value {
    json!([{"names": names, "action": action}])
}

const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

#[test]
fn seccomp_errno() {
    let site = oci_site!();
    let script = "mkdir /tmp/x 2>&1; echo $?";
    let said = site.inside(script, |spec| spec["linux"]["seccomp"] = profile(rule(&MKDIR, "SCMP_ACT_ERRNO")));
    assert!(
        said.contains("Operation not permitted") && said.ends_with('1'),
        "EPERM without errnoRet: {said}"
    );
    assert_eq!(site.inside(script, |_| ()), "0", "the twin without a profile");
}

#[test]
fn seccomp_errno_ret() {
    let site = oci_site!();
    let mut rules = rule(&MKDIR, "SCMP_ACT_ERRNO");
    rules[0]["errnoRet"] = json!(28);
    let said = site.inside("mkdir /tmp/x 2>&1; true", |spec| spec["linux"]["seccomp"] = profile(rules));
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn seccomp_default_errno_ret() {
    let site = oci_site!();
    // What busybox calls, and what runtimes call between the filter and execve; mkdir is not among it.
    let names = "access arch_prctl brk capget capset chdir clock_gettime clone clone3 close close_range dup dup2 dup3 \
                 epoll_create1 epoll_ctl epoll_pwait execve exit exit_group faccessat faccessat2 fchdir fcntl fork fstat \
                 fstatfs futex getcwd getdents64 getegid geteuid getgid getpid getppid getrandom gettid getuid ioctl \
                 lseek lstat madvise mmap mprotect mremap munmap nanosleep newfstatat open openat pipe pipe2 poll ppoll \
                 prctl pread64 prlimit64 read readlink readlinkat readv recvfrom recvmsg rseq rt_sigaction \
                 rt_sigprocmask rt_sigreturn rt_sigtimedwait sched_getaffinity sched_yield seccomp sendmsg sendto \
                 set_robust_list set_tid_address setgid setgroups setuid shutdown sigaltstack stat statfs statx \
                 tgkill umask uname vfork wait4 waitid write writev";
    let said = site.inside("mkdir /tmp/x 2>&1; true", |spec| {
        spec["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 28, "architectures": [architecture()],
            "syscalls": [{"names": names.split_whitespace().collect::<Vec<_>>(), "action": "SCMP_ACT_ALLOW"}]
        });
    });
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn seccomp_actions() {
    let site = oci_site!();
    let cases = [
        ("SCMP_ACT_KILL", "159"),
        ("SCMP_ACT_KILL_PROCESS", "159"),
        ("SCMP_ACT_KILL_THREAD", "159"),
        ("SCMP_ACT_TRAP", "159"),
        ("SCMP_ACT_LOG", "0"),
        ("SCMP_ACT_ALLOW", "0"),
        ("SCMP_ACT_TRACE", "1"),
    ];
    for (action, expected) in cases {
        let default = if action == "SCMP_ACT_ALLOW" { "SCMP_ACT_LOG" } else { "SCMP_ACT_ALLOW" };
        let status = site.inside("mkdir /tmp/x 2> /dev/null; echo $?", |spec| {
            spec["linux"]["seccomp"] = profile(rule(&["mkdir", "mkdirat"], action));
            spec["linux"]["seccomp"]["defaultAction"] = json!(default);
        });
        assert_eq!(status, expected, "{action}: 128 and SIGSYS, or the status of mkdir");
    }
}

#[test]
fn seccomp_args() {
    let site = oci_site!();
    // (operator, value, valueTwo, a mode that matches, a mode that does not)
    let cases = [
        ("SCMP_CMP_EQ", 0o600, 0, 0o600, 0o601),
        ("SCMP_CMP_NE", 0o600, 0, 0o601, 0o600),
        ("SCMP_CMP_LT", 0o600, 0, 0o577, 0o600),
        ("SCMP_CMP_LE", 0o600, 0, 0o600, 0o601),
        ("SCMP_CMP_GT", 0o600, 0, 0o601, 0o600),
        ("SCMP_CMP_GE", 0o600, 0, 0o600, 0o577),
        ("SCMP_CMP_MASKED_EQ", 0o070, 0o020, 0o620, 0o630),
    ];
    for (operator, value, second, matching, other) in cases {
        let rule = |name: &str, index: u8| {
            let condition = json!({"index": index, "value": value, "valueTwo": second, "op": operator});
            json!({"names": [name], "action": "SCMP_ACT_ERRNO", "args": [condition]})
        };
        let rules = json!([rule("chmod", 1), rule("fchmodat", 2), rule("fchmodat2", 2)]);
        let script =
            format!("touch /f; chmod {matching:o} /f 2>/dev/null; echo $?; chmod {other:o} /f; echo $?");
        let said = site.inside(&script, |spec| spec["linux"]["seccomp"] = profile(rules));
        assert_eq!(said, "1\n0", "{operator}");
    }
}

#[test]
fn seccomp_several_conditions_are_all_needed_and_several_rules_are_alternatives() {
    let site = oci_site!();
    let condition = |index: u8, value: u32, op: &str| json!({"index": index, "value": value, "op": op});
    let between =
        |index: u8| [condition(index, 0o600, "SCMP_CMP_GE"), condition(index, 0o610, "SCMP_CMP_LT")];
    let rule =
        |name: &str, args: &[Value]| json!({"names": [name], "action": "SCMP_ACT_ERRNO", "args": args});
    let mut rules = Vec::new();
    for (name, index) in [("chmod", 1), ("fchmodat", 2), ("fchmodat2", 2)] {
        // Two conditions on one argument cannot stand in one rule of libseccomp's, so the first counts the pointer.
        rules.push(rule(name, &[condition(index - 1, 0, "SCMP_CMP_NE"), between(index)[0].clone()]));
        rules.push(rule(name, &[condition(index, 0o444, "SCMP_CMP_EQ")]));
    }
    let script = "touch /f; for mode in 600 700 444 400 577; do chmod $mode /f 2>/dev/null; echo $?; done";
    let said = site.inside(script, |spec| spec["linux"]["seccomp"] = profile(json!(rules)));
    assert_eq!(said, "1\n1\n1\n0\n0");
}

#[test]
fn seccomp_names_that_nobody_knows_are_ignored() {
    let site = oci_site!();
    let rules = rule(&["call_of_the_future", "mkdir", "mkdirat"], "SCMP_ACT_ERRNO");
    let said =
        site.inside("mkdir /x 2> /dev/null; echo $?", |spec| spec["linux"]["seccomp"] = profile(rules));
    assert_eq!(said, "1");
}

#[test]
fn seccomp_unknown_action_operator_and_architecture_are_refused() {
    let site = oci_site!();
    site.bundle()
        .change(|spec| spec["linux"]["seccomp"] = profile(rule(&["mkdir"], "SCMP_ACT_MAYBE")))
        .fails();
    let mut rules = rule(&["mkdir"], "SCMP_ACT_ERRNO");
    rules[0]["args"] = json!([{"index": 0, "value": 0, "op": "SCMP_CMP_ABOUT"}]);
    site.bundle().change(|spec| spec["linux"]["seccomp"] = profile(rules)).fails();
    site.bundle()
        .change(|spec| {
            spec["linux"]["seccomp"] = profile(json!([]));
            spec["linux"]["seccomp"]["architectures"] = json!(["SCMP_ARCH_PDP11"]);
        })
        .fails();
}

#[test]
fn seccomp_flags() {
    let site = oci_site!();
    if site.is_too_old("runc", (1, 2, 0), "seccomp flags") {
        return;
    }
    let flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
    let filter = |flags: Value| {
        site.bundle().sh("grep ^Seccomp: /proc/self/status").change(|spec| {
            spec["linux"]["seccomp"] = profile(rule(&["mkdir"], "SCMP_ACT_ERRNO"));
            spec["linux"]["seccomp"]["flags"] = flags;
        })
    };
    filter(json!(flags)).output().succeeds().prints("Seccomp:\t2\n");
    if site.runtime().name() == "husk-oci" {
        filter(json!(["SECCOMP_FILTER_FLAG_NONSENSE"])).fails();
    }
}

#[test]
fn seccomp_binds_also_without_no_new_privileges() {
    let site = oci_site!();
    let said = site.inside("mkdir /x 2> /dev/null; echo $?; grep -c Seccomp:.2 /proc/self/status", |spec| {
        spec["process"]["noNewPrivileges"] = json!(false);
        spec["linux"]["seccomp"] = profile(rule(&["mkdir", "mkdirat"], "SCMP_ACT_ERRNO"));
    });
    assert_eq!(said, "1\n1");
}

#[test]
fn seccomp_notify_gives_the_listener_to_the_agent() {
    let site = oci_site!();
    let socket = ConsoleSocket::listen(&site.path().join("agent"));
    let bundle = site.bundle().sh("echo before; mkdir /x; echo after").change(|spec| {
        spec["linux"]["seccomp"] = profile(rule(&["mkdir", "mkdirat"], "SCMP_ACT_NOTIFY"));
        spec["linux"]["seccomp"]["listenerPath"] = json!(socket.path());
        spec["linux"]["seccomp"]["listenerMetadata"] = json!("of the test");
    });
    let (received, container) = thread::scope(|scope| {
        let agent = scope.spawn(|| socket.receive());
        let container = bundle.start();
        (agent.join().expect("the agent"), container)
    });
    let state: Value = serde_json::from_slice(&received.bytes).expect("the state of the container's process");
    assert_eq!(state["fds"], json!(["seccompFd"]), "{state:#}");
    assert_eq!(state["metadata"], "of the test");
    assert_eq!(state["state"]["id"], container.id());
    assert!(state["pid"].as_u64().is_some_and(|pid| pid > 0), "{state:#}");
    assert_eq!(received.descriptors.len(), 1);
    let link =
        fs::read_link(format!("/proc/self/fd/{}", received.descriptors[0].as_raw_fd())).expect("a link");
    assert_eq!(link.to_str(), Some("anon_inode:seccomp notify"));
    // Without a listener the kernel answers ENOSYS, and the container goes on.
    container.wait_for("before");
    drop(received);
    container.wait_for("after");
}
