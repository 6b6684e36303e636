// SPDX-License-Identifier: Apache-2.0
//! Filters of system calls in force: real profiles, what the runtime itself needs under one, agents, and words for what is
//! wrong. What each action and condition does is in `oci_fields_seccomp`.
#![forbid(unsafe_code)]

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use husk_sys::{Notification, NotificationAnswer, answer_notification, receive_notification};
use husk_tests::oci::{Bundle, ConsoleSocket, Site};
use husk_tests::oci_site;
use husk_tests::{Command, copy_program};
use rustix::io::Errno;
use serde_json::{Value, json};

const DOCKER: &str = include_str!("../../crates/husk-seccomp/tests/profiles/docker.json");
const PODMAN: &str = include_str!("../../crates/husk-seccomp/tests/profiles/podman.json");

/// What a statically linked busybox calls to end at once, and `execve`, by which the runtime becomes it.
const BARE_MINIMUM: &str = "access arch_prctl brk execve exit_group fstat getgid getpid getrandom getuid ioctl mmap \
                            mprotect munmap newfstatat prctl prlimit64 readlink readlinkat rseq set_robust_list \
                            set_tid_address setgid setuid uname write";

fn real_profile(text: &str) -> Value {
    let profile: Value = serde_json::from_str(text).expect("a profile");
    profile.get("linux").map_or(profile.clone(), |linux| linux["seccomp"].clone())
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" }
}

fn rules(rules: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [architecture()], "syscalls": rules})
}

fn rule(names: &[&str], action: &str) -> Value {
    json!([{"names": names, "action": action}])
}

fn with_profile<'s>(site: &'s Site, script: &str, profile: Value, no_new_privileges: bool) -> Bundle<'s> {
    site.bundle().sh(script).change(|spec| {
        spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
        spec["linux"]["seccomp"] = profile;
    })
}

/// Asks for addresses that are not random, `personality(ADDR_NO_RANDOMIZE)`, and ends with the error's number.
const PERSONALITY: &str = r#"
.globl _start
_start: mov $135, %eax
        mov $0x40000, %edi
        syscall
        neg %eax
        jns error
        xor %eax, %eax
error:  mov %eax, %edi
        mov $60, %eax
        syscall
"#;

/// A program of x86, made of `source` for 32 or 64 bits.
fn assembled(site: &Site, source: &str, bits: &str) -> PathBuf {
    let path = |name: &str| site.path().join(name);
    fs::write(path("program.s"), source).expect("the source");
    let emulation = if bits == "--32" { "elf_i386" } else { "elf_x86_64" };
    Command::new("as").arg(bits).arg(path("program.s")).arg("-o").arg(path("program.o")).run().succeeds();
    let mut ld = Command::new("ld").args(["-m", emulation]).arg(path("program.o"));
    ld = ld.arg("-o").arg(path("program"));
    ld.run().succeeds();
    path("program")
}

/// How `program` ends in a container with a profile.
fn status(site: &Site, program: &Path, profile: Option<Value>, no_new_privileges: bool) -> i32 {
    let bundle = site.bundle().args(&["/program"]).change(|spec| {
        spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
        if let Some(profile) = profile {
            spec["linux"]["seccomp"] = profile;
        }
    });
    copy_program(program, &bundle.in_root("program"));
    bundle.output().code()
}

#[test]
fn the_engines_profiles_are_in_force() {
    let site = oci_site!();
    // New user namespaces are Docker's alone to refuse.
    let script =
        "grep ^Seccomp: /proc/self/status; unshare -U true 2>/dev/null; echo $?; mkdir /made; echo $?";
    for no_new_privileges in [true, false] {
        for (profile, unshares) in [(DOCKER, 1), (PODMAN, 0)] {
            let output = with_profile(&site, script, real_profile(profile), no_new_privileges).output();
            assert_eq!(output.succeeds().stdout, format!("Seccomp:\t2\n{unshares}\n0\n"));
        }
    }
    assert_eq!(site.inside(script, |_| ()), "Seccomp:\t0\n0\n0", "the twin without a profile");
    if !cfg!(target_arch = "x86_64") {
        site.note("the program that both refuse is one of x86");
        return;
    }
    let program = assembled(&site, PERSONALITY, "--64");
    for no_new_privileges in [true, false] {
        for profile in [DOCKER, PODMAN] {
            let status = status(&site, &program, Some(real_profile(profile)), no_new_privileges);
            assert!([Errno::PERM, Errno::NOSYS].map(Errno::raw_os_error).contains(&status), "{status}");
        }
    }
    assert_eq!(status(&site, &program, None, true), 0, "the twin without a profile");
}

#[test]
fn capabilities_are_what_is_asked_for_once_the_filter_is_on() {
    let site = oci_site!();
    let script = "grep ^Cap /proc/self/status";
    for uid in [0, 1000] {
        let sets = |profile: Option<Value>| {
            site.inside(script, |spec| {
                spec["process"]["noNewPrivileges"] = json!(false);
                spec["process"]["user"] = json!({"uid": uid, "gid": uid});
                if uid != 0 {
                    spec["process"]["capabilities"] = json!({});
                }
                if let Some(profile) = profile {
                    spec["linux"]["seccomp"] = profile;
                }
            })
        };
        assert_eq!(sets(Some(real_profile(DOCKER))), sets(None), "user {uid}");
    }
}

#[test]
fn an_exec_is_under_the_same_filter() {
    let site = oci_site!();
    for no_new_privileges in [true, false] {
        let mkdir = rules(rule(&["mkdir", "mkdirat"], "SCMP_ACT_ERRNO"));
        let container = with_profile(&site, "sleep 60", mkdir, no_new_privileges).start();
        let output = container.exec(&[
            "sh",
            "-c",
            "grep ^Seccomp: /proc/self/status; mkdir /x 2>&1; touch /y; echo $?",
        ]);
        let expected = "Seccomp:\t2\nmkdir: can't create directory '/x': Operation not permitted\n0\n";
        assert_eq!(output.succeeds().stdout, expected);
        container.delete();
    }
}

#[test]
fn the_runtime_itself_needs_little_under_the_filter() {
    let site = oci_site!();
    if site.deviates("runc", "calls more between filter and execve") {
        return;
    }
    let allowed = |more: &[&str]| {
        let names: Vec<_> = BARE_MINIMUM.split_whitespace().chain(more.iter().copied()).collect();
        json!({
            "defaultAction": "SCMP_ACT_KILL_PROCESS", "architectures": [architecture()],
            "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]
        })
    };
    let run = |profile: Value, no_new_privileges: bool| {
        let bundle = with_profile(&site, "", profile, no_new_privileges).args(&["/bin/busybox", "true"]);
        bundle.output()
    };
    run(allowed(&[]), true).succeeds();
    run(allowed(&["capget", "capset", "geteuid", "getegid"]), false).succeeds();
}

#[test]
fn a_filter_that_keeps_the_command_from_running_is_reported() {
    let site = oci_site!();
    if site.deviates("runc", "does not say which rule it was") {
        return;
    }
    let last_words = ["execve", "sendmsg", "recvfrom", "openat", "exit_group", "exit"];
    let profiles = [
        rules(rule(&["execve"], "SCMP_ACT_ERRNO")),
        rules(rule(&["execve"], "SCMP_ACT_KILL_PROCESS")),
        rules(rule(&["execve"], "SCMP_ACT_KILL_THREAD")),
        rules(rule(&["execve"], "SCMP_ACT_TRAP")),
        rules(rule(&["execve"], "SCMP_ACT_TRACE")),
        rules(rule(&last_words, "SCMP_ACT_ERRNO")),
        rules(rule(&last_words, "SCMP_ACT_KILL_PROCESS")),
    ];
    for profile in profiles {
        let bundle = with_profile(&site, "true", profile.clone(), true);
        bundle.write();
        let run = site.oci(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
        assert_ne!(run.code(), 0, "{profile:#}:\n{run}");
        let place = "linux.seccomp.syscalls[0].names[0] has SCMP_ACT_";
        assert!(run.stderr.contains(place) && run.stderr.contains("execve"), "{profile:#}:\n{run}");
        let started = with_profile(&site, "true", profile.clone(), true).fails();
        assert!(started.stderr.contains("execve"), "{profile:#}:\n{started}");
    }
}

/// The agent's side: the listener that the runtime has sent, and what it has sent along.
fn listener(socket: &ConsoleSocket) -> (OwnedFd, Value) {
    let mut received = socket.receive();
    let state = serde_json::from_slice(&received.bytes).expect("the state of the container's process");
    assert_eq!(received.descriptors.len(), 1, "{state:#}");
    (received.descriptors.remove(0), state)
}

/// Answers the next notifications, one by each answer.
fn answer(listener: &OwnedFd, answers: &[NotificationAnswer]) -> Vec<Notification> {
    let answer = |answer: &NotificationAnswer| {
        let notification = receive_notification(listener.as_fd()).expect("a notification");
        answer_notification(listener.as_fd(), notification.id, *answer).expect("it is answered");
        notification
    };
    answers.iter().map(answer).collect()
}

#[test]
fn an_agent_decides_about_the_calls_that_it_is_notified_of() {
    let site = oci_site!();
    let script = "for name in refused made ignored; do mkdir /$name 2>&1; [ -d /$name ]; echo $?; done";
    let answers =
        [NotificationAnswer::Error(Errno::NOSPC), NotificationAnswer::Continue, NotificationAnswer::Value(0)];
    for no_new_privileges in [true, false] {
        let socket = ConsoleSocket::listen(&site.path().join(format!("agent-{no_new_privileges}")));
        let mut profile = rules(rule(&["mkdir", "mkdirat"], "SCMP_ACT_NOTIFY"));
        profile["listenerPath"] = json!(socket.path());
        profile["listenerMetadata"] = json!("words for the agent");
        let bundle = with_profile(&site, script, profile, no_new_privileges);
        let (output, state) = thread::scope(|scope| {
            let agent = scope.spawn(|| {
                let (listener, state) = listener(&socket);
                assert_eq!(answer(&listener, &answers).len(), 3);
                state
            });
            let output = bundle.output();
            (output, agent.join().expect("the agent"))
        });
        let expected = "mkdir: can't create directory '/refused': No space left on device\n1\n0\n1\n";
        assert_eq!(output.succeeds().stdout, expected);
        assert_eq!(state["ociVersion"], state["state"]["ociVersion"], "{state:#}");
        assert_eq!(state["metadata"], "words for the agent");
        assert_eq!(state["state"]["bundle"], json!(bundle.path()), "{state:#}");
    }
}

#[test]
fn an_agent_is_given_the_listener_of_an_exec_as_well() {
    let site = oci_site!();
    if site.deviates("runc", "1.1.5 closes the listener of an exec without sending it") {
        return;
    }
    let socket = ConsoleSocket::listen(&site.path().join("agent"));
    let mut profile = rules(rule(&["mkdir", "mkdirat"], "SCMP_ACT_NOTIFY"));
    profile["listenerPath"] = json!(socket.path());
    let (container, _listener) = thread::scope(|scope| {
        let agent = scope.spawn(|| listener(&socket));
        let container = with_profile(&site, "sleep 60", profile, true).start();
        (container, agent.join().expect("the agent").0)
    });
    let (output, state) = thread::scope(|scope| {
        let agent = scope.spawn(|| {
            let (listener, state) = listener(&socket);
            answer(&listener, &[NotificationAnswer::Error(Errno::ROFS)]);
            state
        });
        let output = container.exec(&["sh", "-c", "mkdir /x 2>&1; true"]);
        let state = agent.join().unwrap_or_else(|_| panic!("the agent was told nothing by\n{output}"));
        (output, state)
    });
    assert!(output.succeeds().stdout.contains("Read-only file system"), "{output}");
    assert_ne!(state["pid"], json!(container.pid()), "the process of the exec:\n{state:#}");
    assert_eq!(state["state"]["pid"], json!(container.pid()), "{state:#}");
    container.delete();
}

#[test]
fn an_agent_that_is_not_there_keeps_the_command_from_running() {
    let site = oci_site!();
    let mut profile = rules(rule(&["mkdir"], "SCMP_ACT_NOTIFY"));
    profile["listenerPath"] = json!(site.path().join("nobody"));
    let failed = with_profile(&site, "true", profile, true).fails();
    assert!(failed.stderr.contains("nobody"), "{failed}");
}

#[test]
fn what_is_wrong_in_a_profile_is_named() {
    let site = oci_site!();
    if site.deviates("runc", "names no fields") {
        return;
    }
    let condition = |index: u32, op: &str| {
        let args = json!([{"index": index, "value": 0, "op": op}]);
        rules(json!([{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": args}]))
    };
    let mut foreign = rules(json!([]));
    foreign["architectures"] = json!(["SCMP_ARCH_S390X"]);
    let mut by_default = rules(json!([]));
    by_default["defaultAction"] = json!("SCMP_ACT_NOTIFY");
    let mut for_write = rules(rule(&["write"], "SCMP_ACT_NOTIFY"));
    for_write["listenerPath"] = json!("/nobody");
    let mut for_sendmsg = rules(rule(&["sendmsg"], "SCMP_ACT_NOTIFY"));
    for_sendmsg["listenerPath"] = json!("/nobody");
    let cases = [
        (condition(0, "SCMP_CMP_ABOUT"), "linux.seccomp.syscalls[0].args[0].op: "),
        (condition(6, "SCMP_CMP_EQ"), "linux.seccomp.syscalls[0].args[0].index: 6"),
        (rules(rule(&["mkdir"], "SCMP_ACT_MAYBE")), "linux.seccomp.syscalls[0].action: "),
        (
            rules(rule(&["mkdir"], "SCMP_ACT_NOTIFY")),
            "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY needs",
        ),
        (rules(rule(&[""], "SCMP_ACT_ERRNO")), "linux.seccomp.syscalls[0].names[0]: "),
        (foreign, "linux.seccomp.architectures: SCMP_ARCH_S390X"),
        (by_default, "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY"),
        (for_write, "linux.seccomp.syscalls[0]: SCMP_ACT_NOTIFY for write"),
        (for_sendmsg, "linux.seccomp.syscalls: with SCMP_ACT_NOTIFY, sendmsg"),
    ];
    for (profile, place) in cases {
        let refused = with_profile(&site, "true", profile.clone(), true).refused();
        assert!(refused.stderr.contains(place), "{profile:#}:\n{refused}");
    }
}

#[test]
fn names_of_no_call_are_passed_over_and_logged_for_who_wants_to_know() {
    let site = oci_site!();
    if site.deviates("runc", "says so in other words") {
        return;
    }
    let log = site.path().join("log");
    for flags in [vec!["--debug"], vec![]] {
        let is_asked = !flags.is_empty();
        let bundle = with_profile(&site, "true", rules(rule(&["mkdir", "nonsense"], "SCMP_ACT_ERRNO")), true);
        bundle.write();
        let words = flags.into_iter().chain(["--log", log.to_str().expect("UTF-8"), "run", "--bundle"]);
        site.oci(words).arg(bundle.path()).arg(bundle.id()).run().succeeds();
        let text = fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(text.contains("linux.seccomp.syscalls[0].names[1]"), is_asked, "{text}");
        assert_eq!(text.is_empty(), !is_asked, "{text}");
        let _ = fs::remove_file(&log);
    }
}

/// Makes /made by the kernel's 32-bit calls, and ends with the error's number.
const MKDIR_32: &str = r#"
.globl _start
_start: mov $39, %eax
        mov $path, %ebx
        mov $0755, %ecx
        int $0x80
        neg %eax
        mov %eax, %ebx
        mov $1, %eax
        int $0x80
.data
path:   .asciz "/made"
"#;

#[test]
fn processes_of_32_bits_are_filtered_too() {
    let site = oci_site!();
    if !cfg!(target_arch = "x86_64") {
        site.note("the program is one of x86");
        return;
    }
    let program = assembled(&site, MKDIR_32, "--32");
    let status = |profile: Option<Value>| status(&site, &program, profile, true);
    if status(None) != 0 {
        site.note("this kernel runs no 32-bit programs");
        return;
    }
    let mut both = rules(rule(&["mkdir"], "SCMP_ACT_ERRNO"));
    both["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    assert_eq!(status(Some(both)), Errno::PERM.raw_os_error(), "EPERM");
    assert_eq!(status(Some(rules(json!([])))), 128 + 31, "SIGSYS: the profile is not for this architecture");
}
