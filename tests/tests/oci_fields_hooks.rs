// SPDX-License-Identifier: Apache-2.0
//! `hooks` of config.json: the six kinds, when and where each runs, and what comes of a failure.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use husk_tests::Output;
use husk_tests::oci::{Bundle, Site};
use husk_tests::{oci_site, until};
use serde_json::{Value, json};

const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that runs a line of the host's shell.
fn hook(script: &str) -> Value {
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin", "OF_HOOK=yes"]}])
}

fn with_hook<'s>(bundle: Bundle<'s>, kind: &str, hooks: Value) -> Bundle<'s> {
    bundle.change(|spec| spec["hooks"][kind] = hooks)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn wait_for(path: &Path) -> String {
    until("the hook has written", || !read(path).is_empty());
    read(path)
}

/// Where a hook of this kind puts a file: `startContainer` runs in the container's root.
fn place(bundle: &Bundle<'_>, kind: &str, name: &str) -> (String, std::path::PathBuf) {
    match kind {
        "startContainer" => (format!("/{name}"), bundle.in_root(name)),
        _ => (bundle.path().join(name).display().to_string(), bundle.path().join(name)),
    }
}

/// What a hook of the kind finds on standard input, and the container's id.
#[track_caller]
fn state_of(site: &Site, kind: &str) -> (Value, String) {
    let bundle = site.bundle();
    let (inside, outside) = place(&bundle, kind, "said");
    let bundle = with_hook(bundle, kind, hook(&format!("cat > {inside}")));
    bundle.output().succeeds();
    let text = wait_for(&outside);
    let state = serde_json::from_str(&text);
    (state.unwrap_or_else(|error| panic!("{kind}: {error} in {text:?}")), bundle.id().to_owned())
}

#[test]
fn hooks_state_on_stdin() {
    let site = oci_site!();
    let is_crun = site.deviates("crun", "gives createContainer hooks pid 0");
    for kind in KINDS {
        let (state, id) = state_of(&site, kind);
        assert_eq!(state["id"], id, "{kind}");
        assert!(state["ociVersion"].is_string() && state["bundle"].is_string(), "{kind}: {state:#}");
        if kind != "poststop" && !is_crun {
            assert!(state["pid"].as_u64().is_some_and(|pid| pid > 0), "{kind}: {state:#}");
        }
    }
}

#[test]
fn hooks_have_the_usual_umask_and_begin_in_the_bundle() {
    let site = oci_site!();
    // Of the hooks on the host it is the caller's.
    let own = site.command("sh").args(["-c", "umask"]).run();
    for kind in KINDS {
        let bundle = site.bundle();
        let (inside, outside) = place(&bundle, kind, "said");
        let bundle = with_hook(bundle, kind, hook(&format!("umask > {inside}; pwd >> {inside}")));
        bundle.output().succeeds();
        let text = wait_for(&outside);
        let (umask, directory) = text.split_once('\n').unwrap_or_else(|| panic!("{kind}: {text:?}"));
        let is_inside = matches!(kind, "createContainer" | "startContainer");
        assert_eq!(umask, if is_inside { "0022" } else { own.stdout.trim() }, "{kind}");
        if matches!(kind, "prestart" | "createRuntime") {
            assert_eq!(Path::new(directory.trim()), bundle.path(), "{kind}");
        }
    }
    let bundle = site.bundle().change(|spec| spec["process"]["user"]["umask"] = json!(0o77));
    let bundle = with_hook(bundle, "startContainer", hook("umask > /said"));
    bundle.output().succeeds();
    assert_eq!(read(&bundle.in_root("said")), "0077\n", "the container's");
}

#[test]
fn hooks_status_in_the_state() {
    let site = oci_site!();
    if site.deviates("runc", "says `created` to poststart hooks")
        || site.deviates("crun", "says `created` to hooks at create")
    {
        return;
    }
    let expected = ["creating", "creating", "creating", "created", "running", "stopped"];
    for (kind, expected) in KINDS.into_iter().zip(expected) {
        let (state, _) = state_of(&site, kind);
        assert_eq!(state["status"], expected, "{kind}");
    }
}

#[test]
fn hooks_run_in_their_order_and_time() {
    let site = oci_site!();
    let mut bundle = site.bundle().sh("echo process >> /log");
    let (inside, outside) = ("/log".to_owned(), bundle.in_root("log"));
    for kind in KINDS {
        let file = if kind == "startContainer" { inside.clone() } else { outside.display().to_string() };
        let line = |number: u8| format!("echo {kind} {number} >> {file}");
        let two = [hook(&line(1))[0].clone(), hook(&line(2))[0].clone()];
        bundle = with_hook(bundle, kind, json!(two));
    }
    if site.deviates(
        "crun",
        "calls poststart hooks beside the process, and dies of SIGPIPE by hooks that do not read",
    ) {
        return;
    }
    let is_old = site.deviates("runc", "calls poststart hooks at create");
    if is_old {
        bundle = with_hook(bundle, "poststart", json!([]));
    }
    let two = |kind: &str| format!("{kind} 1\n{kind} 2\n");
    let container = bundle.create();
    let at_create: String = ["prestart", "createRuntime", "createContainer"].map(two).concat();
    assert_eq!(read(&outside), at_create, "at create");
    container.start();
    container.wait();
    let so_far = read(&outside);
    let of_start = so_far.strip_prefix(&at_create).expect("what was there");
    assert!(of_start.starts_with(&two("startContainer")), "{of_start:?}");
    assert!(of_start.contains("process\n"), "{of_start:?}");
    // The process runs by then, and may say so in between.
    let of_hooks = of_start.replace("process\n", "");
    assert!(is_old || of_hooks.contains(&two("poststart")), "{of_start:?}");
    assert!(!of_start.contains("poststop"), "{of_start:?}");
    container.verb("delete").run().succeeds();
    assert_eq!(read(&outside), format!("{so_far}{}", two("poststop")), "at delete");
}

#[test]
fn hooks_run_in_their_namespaces() {
    let site = oci_site!();
    let own = |name: &str| {
        fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace").display().to_string()
    };
    for kind in KINDS {
        let bundle = site.bundle().sh("readlink /proc/self/ns/mnt; readlink /proc/self/ns/uts; sleep 1000");
        let (inside, outside) = place(&bundle, kind, "said");
        let script = format!("echo $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/uts) > {inside}");
        let container = with_hook(bundle, kind, hook(&script)).start();
        container.wait_for("uts:");
        let inner: Vec<_> = container.stdout().split_whitespace().map(str::to_owned).collect();
        container.delete();
        let text = wait_for(&outside);
        let found: Vec<_> = text.split_whitespace().collect();
        let in_container = kind == "createContainer" || kind == "startContainer";
        assert_eq!(found[0] == inner[0], in_container, "mount namespace of {kind}");
        assert_eq!(found[1] == inner[1], in_container, "uts namespace of {kind}");
        assert!(in_container || found[1] == own("uts"), "{kind} is not in the runtime's");
    }
}

#[test]
fn hooks_create_container_runs_before_the_pivot() {
    let site = oci_site!();
    let bundle = site.bundle();
    let said = bundle.path().join("said");
    let script = format!(
        "grep -c ' {}/rootfs/proc ' /proc/self/mountinfo > {}",
        bundle.path().display(),
        said.display()
    );
    with_hook(bundle, "createContainer", hook(&script)).output().succeeds();
    assert_eq!(read(&said), "1\n", "the mounts are there and the host's root as well");
}

#[test]
fn hooks_args_and_env_are_their_own() {
    let site = oci_site!();
    for kind in KINDS {
        let bundle = site.bundle();
        let (inside, outside) = place(&bundle, kind, "said");
        // The container's sh is busybox, which goes by its name.
        let argv0 = if kind == "startContainer" { "sh" } else { "named" };
        let script = format!("cat > /dev/null; echo \"$0 $1 $OF_HOOK $MARK\" > {inside}");
        let hook = json!([{
            "path": "/bin/sh", "args": [argv0, "-c", script, "zero", "one"], "env": ["PATH=/usr/bin:/bin", "OF_HOOK=yes"]
        }]);
        with_hook(bundle, kind, hook).output().succeeds();
        assert_eq!(wait_for(&outside), "zero one yes \n", "{kind}");
    }
}

#[test]
fn hooks_timeout() {
    let site = oci_site!();
    let bundle = site.bundle();
    let mut slow = hook("exec sleep 1000");
    slow[0]["timeout"] = json!(1);
    with_hook(bundle, "createRuntime", slow).refused();
    let quick = |kind, timeout: i64| {
        let mut quick = hook("true");
        quick[0]["timeout"] = json!(timeout);
        with_hook(site.bundle(), kind, quick).output().succeeds();
    };
    quick("createRuntime", 100);
    if !site.deviates("crun", "takes no time-out of more than 32 bits") {
        ["createRuntime", "createContainer"].into_iter().for_each(|kind| quick(kind, 5_000_000_000));
    }
}

#[test]
fn hooks_that_fail_at_create_undo_it() {
    let site = oci_site!();
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let output = with_hook(site.bundle(), kind, hook("echo because >&2; exit 9")).refused();
        if site.runtime().name() == "husk-oci" {
            for word in [kind, "9", "because"] {
                assert!(output.stderr.contains(word), "{kind}: {word} is missing in\n{output}");
            }
        }
    }
    site.oci(["list", "-q"]).run().succeeds().prints("");
}

#[test]
fn hooks_that_fail_at_start_keep_the_process_from_running() {
    let site = oci_site!();
    let container = with_hook(site.bundle().sh("echo ran"), "startContainer", hook("exit 9")).create();
    let output = container.verb("start").run();
    if !site.deviates("runc", "has returned by then") && !site.deviates("crun", "has returned by then") {
        output.exits(1).says("hooks.startContainer[0]");
        container.verb("state").run().exits(1).says("container does not exist");
    }
    assert_ne!(container.wait().code(), Some(0));
    assert_eq!(container.stdout(), "");
}

#[test]
fn hooks_of_poststart_come_after_the_command_is_executed() {
    let site = oci_site!();
    if site.deviates("runc", "calls poststart hooks at create")
        || site.deviates("crun", "calls poststart hooks beside the process")
    {
        return;
    }
    let name = "executed-by-now";
    let bundle = site.bundle().args(&["sh", "-c", "sleep 1000; true", name]);
    let (inside, outside) = place(&bundle, "poststart", "said");
    let pid = r#"sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'"#;
    let container =
        with_hook(bundle, "poststart", hook(&format!("cat /proc/$({pid})/cmdline > {inside}"))).create();
    container.start();
    let told = read(&outside);
    assert!(told.ends_with(&format!("{name}\0")), "{told:?}");
}

#[test]
fn hooks_of_poststart_that_fail_end_the_container() {
    let site = oci_site!();
    if site.deviates("runc", "calls poststart hooks at create")
        || site.deviates("crun", "goes on when such a hook fails")
    {
        return;
    }
    let bundle = || {
        let bundle = site.bundle().sh("sleep 1000");
        let file = |name: &str| bundle.path().join(name).display().to_string();
        let (second, last) = (file("second"), file("last"));
        let hooks = json!([hook("echo because >&2; exit 9")[0], hook(&format!("echo again > {second}"))[0],]);
        let last = hook(&format!("cat > {last}"));
        with_hook(with_hook(bundle, "poststart", hooks), "poststop", last)
    };
    let is_told = |output: &Output| {
        output.exits(1).says("hooks.poststart[0]").says("exit status 9").says("because");
    };
    let is_gone = |bundle: &Path| {
        assert!(read(&bundle.join("last")).contains("stopped"), "{:?}", read(&bundle.join("last")));
        assert!(!bundle.join("second").exists(), "the next hook has run");
        site.oci(["list", "-q"]).run().succeeds().prints("");
    };
    let container = bundle().create();
    is_told(&container.verb("start").run());
    container.verb("state").run().exits(1).says("container does not exist");
    is_gone(container.bundle());
    assert_eq!(container.wait().signal(), Some(9));
    for detach in [&["--detach"][..], &[]] {
        let bundle = bundle();
        bundle.write();
        let place = bundle.path().display().to_string();
        let words = [&["run"], detach, &["--bundle", &place, bundle.id()]].concat();
        is_told(&site.oci(words).run());
        is_gone(bundle.path());
    }
}

#[test]
fn hooks_of_poststop_that_fail_change_nothing() {
    let site = oci_site!();
    for runtime in ["runc", "crun"] {
        if site.deviates(runtime, "fails when such a hook fails, or leaves out the next") {
            return;
        }
    }
    let bundle = site.bundle().sh("echo ran");
    let file = bundle.path().join("second");
    let hooks = json!([hook("exit 9")[0], hook(&format!("echo again > {}", file.display()))[0]]);
    with_hook(bundle, "poststop", hooks).output().succeeds().prints("ran\n");
    assert_eq!(wait_for(&file), "again\n", "the next hook runs");
}

#[test]
fn hooks_need_an_absolute_path() {
    let site = oci_site!();
    if site.deviates("crun", "looks for the program of a hook") {
        return;
    }
    let bundle = site.bundle();
    with_hook(bundle, "createRuntime", json!([{"path": "sh", "args": ["sh", "-c", "true"]}])).fails();
}
