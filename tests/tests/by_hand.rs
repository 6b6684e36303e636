// SPDX-License-Identifier: Apache-2.0
//! The two containers that people build by hand.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use husk_tests::{Caller, Command, Outside, Place, note_skip};

/// A busybox root in namespaces of its own: its own `/proc`, `ls`, `echo $$`, `ps`, `hostname sag`.
#[test]
fn container_one() {
    let place = Place::new();
    for caller in place.callers() {
        let minimal = caller.new_root("minimal", &["--minimal"]);
        let usual = caller.root("usual");
        let before = Outside::look(&place);
        look_around(&place, &caller, &minimal, "bin dev proc run sys tmp");
        look_around(&place, &caller, &usual, "bin dev etc home mnt proc root run sbin sys tmp usr var");
        before.is_unchanged(&place);
    }
}

fn look_around(place: &Place, caller: &Caller<'_>, root: &Path, top: &str) {
    assert_eq!(caller.inside(&[], root, "echo $(ls /)"), format!("{top}\n"), "{caller}");
    assert_eq!(caller.inside(&[], root, "echo $$"), "1\n", "{caller}");
    assert_eq!(caller.inside(&[], root, "cd /proc; echo [0-9]*"), "1\n", "{caller}: nobody else in /proc");
    let proc = caller.inside(&[], root, "cat /proc/mounts");
    assert!(proc.contains("\nproc /proc proc rw,nosuid,nodev,noexec"), "{caller}: {proc}");

    let ps = caller.inside(&[], root, "ps; true");
    let rows: Vec<_> = ps.lines().collect();
    assert!(rows[0].contains("PID"), "{caller}: {ps}");
    assert!(
        rows[1].trim_start().starts_with("1 ") && rows[1].ends_with("/bin/sh -c ps; true"),
        "{caller}: {ps}"
    );
    assert!(rows[2].contains("ps") && rows.len() == 3, "{caller}: {ps}");

    let before = Outside::look(place);
    let script = "hostname; hostname sag; hostname; read end";
    let mut container = caller.shell(&["--name", "first"], root, script).start();
    container.wait_for("first\nsag\n");
    let now = fs::read_to_string("/proc/sys/kernel/hostname").expect("the host's name");
    assert_ne!(now, "sag\n", "{caller}: the host's name while the container has another");
    let pid = container.container();
    assert_ne!(
        fs::read_link(format!("/proc/{pid}/ns/uts")).ok(),
        fs::read_link("/proc/self/ns/uts").ok(),
        "{caller}"
    );
    container.write("end\n");
    container.finish().succeeds();
    before.is_unchanged(place);
}

/// Private propagation, the host name `container2`, PID 1 is `sh`, and the host sees nothing of it.
#[test]
fn container_two() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let volume = caller.home().join("volume");
        fs::create_dir(&volume).expect("a volume");
        let volume_option = format!("{}:/volume", volume.display());
        let before = Outside::look(&place);
        let caller = match place.with_shared_mounts(caller.clone()) {
            Ok(shared) => shared,
            Err(reason) => {
                note_skip("container_two: mounts that are made later", reason);
                caller
            }
        };
        let script = "hostname; cat /proc/1/comm; read go
            mount -t tmpfs from-inside /mnt && mkdir /mnt/x && cat /proc/self/mountinfo
            echo in the volume: $(ls /volume); read end";
        let options = ["--hostname", "container2", "-v", &volume_option];
        let mut container = caller.shell(&options, &root, script).start();
        container.wait_for("container2\nsh\n");
        let husk = container.pid();
        if husk_tests::is_root() {
            let mount = format!("mount -t tmpfs from-outside {}", volume.display());
            on_the_host(husk, &format!("{mount} && touch {}/new", volume.display()));
        }
        container.write("\n");
        container.wait_for("in the volume:");
        if husk_tests::is_root() {
            let mounts = on_the_host(husk, "cat /proc/self/mountinfo");
            assert!(mounts.contains(" shared:"), "without shared mounts this test says nothing: {mounts}");
            assert!(mounts.contains("from-outside"), "{caller}: {mounts}");
            assert!(!mounts.contains("from-inside"), "{caller}: {mounts}");
            assert!(
                !fs::exists(root.join("mnt/x")).expect("the root"),
                "{caller}: the mount is the container's alone"
            );
        }
        container.write("\n");
        let output = container.finish();
        output.succeeds();
        assert!(output.stdout.contains("in the volume:\n"), "{caller}: {output}");
        assert!(output.stdout.contains("from-inside"), "{caller}: {output}");
        for travelling in [" shared:", " master:", "from-outside"] {
            assert!(!output.stdout.contains(travelling), "{caller}: {travelling} in\n{output}");
        }
        fs::remove_dir(volume).expect("the volume is empty");
        before.is_unchanged(&place);
    }
}

/// What `script` prints in the mount namespace that husk was started in.
fn on_the_host(husk: u32, script: &str) -> String {
    let mounts = format!("--mount=/proc/{husk}/ns/mnt");
    Command::new("nsenter").args([&mounts, "sh", "-c", script]).run().succeeds().stdout.clone()
}
