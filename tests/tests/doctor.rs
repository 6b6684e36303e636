// SPDX-License-Identifier: Apache-2.0
//! `husk doctor`: on this machine, and on machines that lack something, made for real.
#![forbid(unsafe_code)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use husk_tests::{Command, Output, Outside, Place, cannot_filter, copy_program, is_root, refusing, skip};
use serde_json::Value;

/// A command of root's in a mount namespace of its own, after `script`.
fn after(script: &str, command: Command) -> Command {
    let script = format!("{script} && exec \"$@\"");
    command.through(["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}:\n{output}"))
}

fn finding<'j>(report: &'j Value, id: &str) -> &'j Value {
    let findings = report["findings"].as_array().expect("a list of findings");
    findings.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("{id}: {report:#}"))
}

/// The rows of a table that begin with this state.
fn row<'o>(output: &'o Output, id: &str) -> &'o str {
    let is_it = |line: &&str| line.split_ascii_whitespace().nth(1) == Some(id);
    output.stdout.lines().find(is_it).unwrap_or_else(|| panic!("no row {id}:\n{output}"))
}

#[test]
fn its_verdict_is_what_happens_and_it_changes_nothing() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("box");
        let before = Outside::look(&place);
        let works = caller.run(&["-q"], &root, "true").code() == 0;
        let output = caller.husk(["doctor"]).run();
        output.exits(i32::from(!works));
        assert!(!output.stdout.contains('\u{1b}') && output.stderr.is_empty(), "{output}");
        let verdict = if works { "\nA container can run here.\n" } else { "\nNo container can run here" };
        assert!(output.stdout.contains(verdict), "{output}");
        before.is_unchanged(&place);
        assert!(!caller.data_home().join("husk/failures").exists(), "nothing failed");
    }
}

#[test]
fn the_json_has_the_shape_that_is_documented() {
    let place = Place::new();
    for caller in place.callers() {
        let output = caller.husk(["doctor", "--json"]).run();
        let report = json(&output);
        assert_eq!((&report["version"], &report["asked"]), (&1.into(), &Value::Array(vec![])));
        assert_eq!(report["husk"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(report["can_run"], output.code() == 0);
        for finding in report["findings"].as_array().expect("a list") {
            let members: Vec<_> =
                finding.as_object().expect("an object").keys().map(String::as_str).collect();
            assert_eq!(members.len(), 7, "{finding}");
            assert!(finding["id"].is_string() && finding["found"].is_string(), "{finding}");
            assert!(["good", "limited", "missing"].contains(&finding["state"].as_str().expect("a state")));
            assert_eq!(finding["cost"].is_null(), finding["state"] == "good", "{finding}");
        }
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
        assert_eq!(finding(&report, "version")["found"], format!("Linux {}", kernel.trim()));
    }
}

#[test]
fn what_is_asked_for_decides() {
    let place = Place::new();
    let caller = &place.callers()[0];
    let output = caller.husk(["doctor", "overlay", "ids"]).run();
    assert!(output.stdout.contains("  overlay ") && !output.stdout.contains("clone3"), "{output}");
    let output = caller.husk(["doctor", "oevrlay"]).run();
    output
        .exits(1)
        .prints("")
        .says("oevrlay: husk knows nothing of that name")
        .says("hint: `husk doctor` alone");
}

#[test]
fn what_is_asked_for_and_missing_fails_though_a_container_can_run() {
    if !is_root() {
        skip!(
            "what_is_asked_for_and_missing_fails_though_a_container_can_run",
            "only root can hide /proc/filesystems"
        );
    }
    let place = Place::new();
    let list = place.path().join("filesystems");
    let text = fs::read_to_string("/proc/filesystems").expect("a list");
    fs::write(&list, text.replace("\toverlay\n", "\toverlai\n")).expect("a file");
    let bind = format!("mount --bind {} /proc/filesystems", list.display());
    let doctor = |words: &[&str]| {
        let modules = "if [ -d /lib/modules ]; then mount -t tmpfs tmpfs /lib/modules; fi";
        after(&format!("{bind} && {modules}"), place.root().husk(["doctor"]).args(words)).run()
    };
    let output = doctor(&["overlay"]);
    assert!(row(&output, "overlay").contains("missing"), "{output}");
    assert!(output.stdout.contains("modprobe overlay"), "{output}");
    output.exits(1);
    // A file laid over /proc hides a part of it, so a new one is refused as well: that is asked for by everybody.
    doctor(&["version"]).exits(1);
    place.root().husk(["doctor", "overlay"]).run().exits(0);
}

#[test]
fn over_mounted_proc() {
    if !is_root() {
        skip!("over_mounted_proc", "only root can mount over the host's /proc");
    }
    let place = Place::new();
    let doctor = |script| after(script, place.root().husk(["doctor", "new-proc"])).run();
    doctor("true").exits(0);
    let output = doctor("mount -t tmpfs -o size=64k tmpfs /proc/fs");
    output.exits(1);
    assert!(row(&output, "new-proc").contains("because /proc/fs hides a part of it"), "{output}");
    let cure =
        output.stdout.split("cure: as root: ").nth(1).expect("a cure").split(';').next().expect("a command");
    assert_eq!(cure, "umount /proc/fs");
    doctor(&format!("mount -t tmpfs -o size=64k tmpfs /proc/fs && {cure}")).exits(0);
}

#[test]
fn neither_proc_nor_sys() {
    if !is_root() {
        skip!("neither_proc_nor_sys", "only root can unmount /proc");
    }
    let place = Place::new();
    let bare = "mount -t tmpfs -o size=64k tmpfs /sys && mount -t tmpfs -o size=64k tmpfs /proc";
    let output = after(bare, place.root().husk(["doctor"])).run();
    output.exits(1);
    assert!(output.stdout.contains("cure: as root: mount -t proc proc /proc"), "{output}");
    assert!(row(&output, "clone3").contains("good"), "what is tried needs no /proc: {output}");
}

#[test]
fn user_namespaces_switched_off_and_on_again_by_the_cure() {
    let place = Place::new();
    let caller = place.ordinary();
    let doctor = |script: &str| {
        let words = ["unshare", "--user", "--map-root-user", "sh", "-c"];
        caller
            .husk(["doctor", "users"])
            .through([&format!("{script} exec \"$@\""), "sh"])
            .through(words)
            .run()
    };
    let off = "echo 0 > /proc/sys/user/max_user_namespaces;";
    let output = doctor(off);
    output.exits(1);
    assert!(row(&output, "user-namespaces").contains("No space left on device"), "{output}");
    assert!(row(&output, "max-namespaces").contains("user.max_user_namespaces is 0"), "{output}");
    assert!(output.stdout.contains("sysctl user.max_user_namespaces=15000"), "{output}");
    let output = doctor(&format!("{off} echo 15000 > /proc/sys/user/max_user_namespaces;"));
    assert!(row(&output, "user-namespaces").contains("good"), "{output}");
}

const CLONE3: u32 = 435;
const MOUNT_SETATTR: u32 = 442;

#[test]
fn calls_that_a_filter_hides_and_switches_of_distributions() {
    if let Some(why) = cannot_filter() {
        skip!("calls_that_a_filter_hides_and_switches_of_distributions", "{why}");
    }
    let place = Place::new();
    let doctor = |calls: &str, sysctl| refusing(&place, place.root().husk(["doctor"]), calls, sysctl).run();
    let output = doctor(&format!("{CLONE3}=38"), None);
    output.exits(1);
    assert!(row(&output, "clone3").contains("missing  clone3"), "{output}");
    assert!(row(&output, "clone3").contains("a seccomp filter hides it"), "{output}");
    assert!(row(&output, "seccomp").contains("limited"), "{output}");
    let output = doctor(&format!("{CLONE3}=1"), Some(("unprivileged_userns_clone", "0")));
    output.exits(1);
    assert!(row(&output, "userns-clone").contains("missing"), "{output}");
    assert!(output.stdout.contains("sysctl kernel.unprivileged_userns_clone=1"), "{output}");
    let output = doctor(&format!("{MOUNT_SETATTR}=13"), Some(("apparmor_restrict_unprivileged_userns", "1")));
    output.exits(1);
    assert!(row(&output, "mounts-inside").contains("missing"), "{output}");
    assert!(row(&output, "apparmor-userns").contains("missing"), "{output}");
    assert!(output.stdout.contains("sysctl kernel.apparmor_restrict_unprivileged_userns=0"), "{output}");
}

#[test]
fn ids_that_are_there_and_ids_that_are_not() {
    let place = Place::new();
    let caller = place.ordinary();
    if caller.ranges().is_none() {
        let output = caller.husk(["doctor", "ids"]).run();
        assert!(row(&output, "subuid").starts_with("  limited"), "{output}");
        assert!(output.stdout.contains("cure: as root: usermod --add-subuids 100000-165535 "), "{output}");
    }
    match place.with_subordinate_ids() {
        Err(why) => skip!("ids_that_are_there_and_ids_that_are_not", "{why}"),
        Ok(caller) => {
            let output = caller.husk(["doctor", "ids"]).run();
            for id in ["subuid", "subgid", "newuidmap", "newgidmap"] {
                assert!(row(&output, id).starts_with("  good"), "{output}");
            }
        }
    }
}

#[test]
fn a_helper_that_has_lost_its_right() {
    let helper = Path::new("/usr/bin/newuidmap");
    if !is_root() || !helper.exists() {
        skip!("a_helper_that_has_lost_its_right", "needs root, and newuidmap");
    }
    let place = Place::new();
    let copy = place.path().join("newuidmap");
    copy_program(helper, &copy);
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).expect("chmod");
    let script = format!("mount --bind {} {}", copy.display(), helper.display());
    let user = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"];
    let output = after(&script, place.root().husk(["doctor", "ids"]).through(user)).run();
    assert!(
        row(&output, "newuidmap").contains("neither set-user-id root nor has it file capabilities"),
        "{output}"
    );
    assert!(output.stdout.contains("chmod u+s /usr/bin/newuidmap"), "{output}");
}

#[test]
fn a_husk_that_others_may_write() {
    let place = Place::new();
    let caller = &place.callers()[0];
    let husk = caller.home().join("husk");
    copy_program(&place.binary(), &husk);
    let doctor = |mode| {
        fs::set_permissions(&husk, Permissions::from_mode(mode)).expect("chmod");
        caller.command(&husk).args(["doctor", "husk"]).run()
    };
    assert!(row(&doctor(0o755), "husk").contains("static"));
    let output = doctor(0o777);
    assert!(row(&output, "husk").contains("others than root and you may write"), "{output}");
}

#[test]
fn a_name_on_the_host_moves_no_cursor() {
    let place = Place::new();
    let caller = &place.callers()[0];
    for words in [&["doctor", "default-root"][..], &["doctor", "default-root", "--json"]] {
        let command =
            caller.husk(words).env("XDG_DATA_HOME", "/a\u{1b}[2J\u{202e}").env("CLICOLOR_FORCE", "1");
        let output = command.run();
        assert!(output.stdout.contains("\\u"), "{output}");
        assert!(!output.stdout.contains(['\u{202e}']) && !output.stdout.contains("[2J\u{1b}"), "{output}");
        assert!(!output.stdout.contains("\u{1b}[2J"), "{output}");
    }
}
