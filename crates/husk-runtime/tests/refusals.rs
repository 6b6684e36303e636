// SPDX-License-Identifier: Apache-2.0
//! Commands that run under a profile, with husk as the witness of what that refuses.
#![forbid(unsafe_code)]

#[allow(dead_code, reason = "other tests need the rest of it")]
mod again;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use husk_plan::{Arena, Host, PlanError, plan};
use husk_runtime::{End, Ended, Refusal, run_told};
use husk_spec::Lifetime;
use husk_spec::oci::{Lowering, Spec, SystemdCgroup};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A bundle's directory with a root in it that has a shell; `None`, with a printed reason, where none can be run.
fn bundle(test: &str) -> Option<TempDir> {
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let Some(busybox) = busybox.filter(|_| rustix::process::geteuid().is_root()) else {
        again::skip(test, "it takes root and a static busybox");
        return None;
    };
    let bundle = tempfile::tempdir().expect("a temporary directory");
    let bin = bundle.path().join("rootfs/bin");
    fs::create_dir_all(&bin).expect("the root");
    for name in ["proc", "dev"] {
        fs::create_dir(bundle.path().join("rootfs").join(name)).expect("the root");
    }
    {
        let _alone = again::alone();
        fs::copy(busybox, bin.join("busybox")).expect("busybox is copied");
    }
    for name in ["sh", "mkdir", "chmod"] {
        symlink("busybox", bin.join(name)).expect("an applet");
    }
    Some(bundle)
}

fn spec(script: &str, rules: &Value) -> Spec {
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}],
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
        }
    });
    serde_json::from_value(config).expect("a configuration")
}

/// Runs `script` under a profile with `rules`.
fn told(bundle: &TempDir, script: &str, rules: &Value) -> Result<(Ended, Vec<Refusal>), PlanError> {
    let spec = spec(script, rules);
    let with = Lowering {
        id: "told",
        bundle: bundle.path(),
        lifetime: Lifetime::Attached,
        no_pivot: false,
        no_new_keyring: true,
        systemd_cgroup: SystemdCgroup::No,
        preserved_descriptors: 0,
    };
    let mut config = spec.lower(&with).expect("a configuration with a meaning");
    config.cgroup = None;
    let profile = config.process.seccomp.clone().expect("a profile").value;
    let host = Host::probe(&config)?;
    let arena = Arena::new();
    let plan = plan(&config, &host, &arena)?.with_refusals_told(&profile, &arena)?;
    let _alone = again::alone();
    Ok(run_told(&plan, &config.process.terminal, None, &profile).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn what_is_refused_is_told_by_call_and_rule() {
    let Some(bundle) = bundle("what_is_refused_is_told_by_call_and_rule") else { return };
    let mode = |index: u32| json!([{"index": index, "value": 0o600, "op": "SCMP_CMP_EQ"}]);
    let rules = json!([
        {"names": ["rmdir", "mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "args": mode(1)},
        {"names": ["fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "args": mode(2)}
    ]);
    let script = "mkdir /a /b 2>/words; read words </words; [ -d /a ] && exit 1
                  case $words in *'No space left on device') ;; *) exit 2 ;; esac
                  chmod 644 /words || exit 3; chmod 600 /words 2>/dev/null && exit 4; exit 42";
    let (ended, refusals) = told(&bundle, script, &rules).expect("a plan");
    assert_eq!(ended.end, End::Exited(42), "the answers are the profile's: {refusals:#?}");
    let [mkdir, chmod] = refusals.as_slice() else { panic!("{refusals:#?}") };
    assert!(mkdir.call.starts_with("mkdir"), "{mkdir:?}");
    assert!(mkdir.by.starts_with("linux.seccomp.syscalls[0].names["), "{mkdir:?}");
    assert!(mkdir.by.contains("has SCMP_ACT_ERRNO(28) for mkdir"), "{mkdir:?}");
    assert_eq!((mkdir.times, mkdir.program.as_deref()), (2, Some("mkdir")));
    assert!(chmod.call.contains("chmod") && chmod.by.contains("SCMP_ACT_ERRNO(1)"), "{chmod:?}");
    assert_eq!(chmod.times, 1, "the other one passes");
}

#[test]
fn a_refusal_that_kills_is_told_and_kills() {
    let Some(bundle) = bundle("a_refusal_that_kills_is_told_and_kills") else { return };
    for action in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"] {
        let rules = json!([{"names": ["mkdir", "mkdirat"], "action": action}]);
        let (ended, refusals) = told(&bundle, "mkdir /a; exit $?", &rules).expect("a plan");
        assert_eq!(ended.end, End::Exited(128 + 9), "{refusals:#?}");
        assert!(matches!(refusals.as_slice(), [one] if one.by.contains(action)), "{refusals:#?}");
    }
}

#[test]
fn a_command_that_the_profile_keeps_from_running_is_told_of_as_well() {
    let Some(bundle) = bundle("a_command_that_the_profile_keeps_from_running_is_told_of_as_well") else {
        return;
    };
    let rules = json!([{"names": ["mount", "execve"], "action": "SCMP_ACT_KILL_PROCESS"}]);
    let (ended, refusals) = told(&bundle, "true", &rules).expect("a plan");
    assert_eq!(ended.end, End::Killed { signal: 9, by_husk: false });
    assert_eq!(refusals[0].by, "linux.seccomp.syscalls[0].names[1] has SCMP_ACT_KILL_PROCESS for execve");
}

#[test]
fn what_cannot_be_told_is_refused() {
    let Some(bundle) = bundle("what_cannot_be_told_is_refused") else { return };
    let rules = json!([{"names": ["sendmsg"], "action": "SCMP_ACT_ERRNO"}]);
    let error = told(&bundle, "true", &rules).expect_err("the listener cannot be sent").to_string();
    assert!(error.starts_with("linux.seccomp.syscalls: ") && error.contains("sendmsg"), "{error}");
}
