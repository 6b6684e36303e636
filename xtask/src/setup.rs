// SPDX-License-Identifier: Apache-2.0

//! What the tests and the benchmark need from Debian or Ubuntu, and how it gets there.

use std::process::{Command, Stdio};

use crate::Result;
use crate::process::{find, is_root};

enum Need {
    Program(&'static str),
    /// A file that the C compiler finds among its libraries.
    Library(&'static str),
}
use Need::{Library, Program};

/// What is needed, and the package that has it.
const NEEDS: &[(Need, &str)] = &[
    (Program("busybox"), "busybox-static"),
    (Program("newuidmap"), "uidmap"),
    (Program("bwrap"), "bubblewrap"),
    (Program("ps"), "procps"),
    (Program("ip"), "iproute2"),
    (Program("tmux"), "tmux"),
    (Program("strace"), "strace"),
    (Program("unshare"), "util-linux"),
    (Program("setpriv"), "util-linux"),
    (Program("chromium"), "chromium"),
    (Program("zsh"), "zsh"),
    (Program("fish"), "fish"),
    (Program("groff"), "groff"),
    (Program("lexgrog"), "man-db"),
    (Program("cc"), "gcc"),
    (Library("libc.a"), "libc6-dev"),
    (Library("libseccomp.so"), "libseccomp-dev"),
    (Program("runc"), "runc"),
    (Program("crun"), "crun"),
    (Program("dockerd"), "docker.io"),
    (Program("docker-compose"), "docker-compose"),
    (Program("containerd"), "containerd"),
    (Program("podman"), "podman"),
    (Program("conmon"), "conmon"),
    (Program("buildah"), "buildah"),
    (Program("catatonit"), "catatonit"),
    (Program("tini"), "tini"),
    (Program("curl"), "curl"),
    (Program("protoc"), "protobuf-compiler"),
];

/// Runs its arguments while no package may start a service: Docker and containerd are wanted as programs, not as daemons
/// of this machine.
const WITHOUT_SERVICES: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
"$@"
"#;

/// The verb: an error if something is still missing afterwards.
pub(crate) fn run() -> Result {
    ensure();
    match missing_packages(is_present).as_slice() {
        [] => Ok(()),
        packages => Err(format!("still missing: {}", packages.join(" ")).into()),
    }
}

/// Installs what is missing. Where that cannot be done it says what to type and goes on: tests that
/// cannot run without something skip, and say why.
pub(crate) fn ensure() {
    let packages = missing_packages(is_present);
    if packages.is_empty() {
        return println!("setup: nothing is missing");
    }
    println!("setup: missing: {}", packages.join(" "));
    let Some(prefix) = way_to_root() else {
        return println!("setup: this needs root; to install them:\n    {}", instruction(&packages));
    };
    if let Err(error) = install(prefix, &packages) {
        println!("setup: {error}\nsetup: to install them:\n    {}", instruction(&packages));
    }
}

/// Installs packages that a verb needs.
///
/// # Errors
/// What to type where this cannot be done here.
pub(crate) fn install_packages(packages: &[&str]) -> Result {
    let prefix = way_to_root()
        .ok_or_else(|| format!("this needs root; to install it:\n    {}", instruction(packages)))?;
    install(prefix, packages)
        .map_err(|error| format!("{error}\nto install it:\n    {}", instruction(packages)).into())
}

fn missing_packages(is_present: impl Fn(&Need) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<_> =
        NEEDS.iter().filter(|(need, _)| !is_present(need)).map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

fn is_present(need: &Need) -> bool {
    match need {
        Program(name) => find(name).is_some(),
        Library(name) => compiler_finds(name),
    }
}

/// The compiler answers with a path when it finds the file, and with the bare name when not.
fn compiler_finds(library: &str) -> bool {
    let answer = Command::new("cc").arg(format!("-print-file-name={library}")).output();
    answer.is_ok_and(|output| output.stdout.starts_with(b"/"))
}

/// What to put before a command to run it as root, if there is a way that asks for no password.
fn way_to_root() -> Option<&'static [&'static str]> {
    if is_root() {
        return Some(&[]);
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    sudo.is_ok_and(|status| status.success()).then_some(&["sudo", "-n"])
}

fn install(prefix: &[&str], packages: &[&str]) -> Result {
    if find("apt-get").is_none() {
        return Err("there is no apt-get here".into());
    }
    let apt_get = |args: &[&str]| {
        let front = ["sh", "-c", WITHOUT_SERVICES, "apt-get", "env", "DEBIAN_FRONTEND=noninteractive"];
        let options = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"];
        let words: Vec<_> = [prefix, &front, &options, args].concat();
        eprintln!("$ apt-get {}", args.join(" "));
        let status = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(format!("apt-get {}: {status}", args.join(" ")).into()) }
    };
    apt_get(&["update"])?;
    // One name that apt does not know, such as Ubuntu's chromium, would keep it from installing the others.
    let (known, unknown): (Vec<_>, Vec<_>) = packages.iter().partition(|package| is_known(package));
    if !unknown.is_empty() {
        println!("setup: apt has no {} here", unknown.join(", "));
    }
    if known.is_empty() {
        return Ok(());
    }
    apt_get(&[&["install", "--yes", "--no-install-recommends"], known.as_slice()].concat())
}

/// Whether apt has a package of this name to install.
fn is_known(package: &str) -> bool {
    let shown = Command::new("apt-cache").args(["show", "--no-all-versions", package]).output();
    shown.is_ok_and(|output| !output.stdout.is_empty())
}

fn instruction(packages: &[&str]) -> String {
    format!("sudo apt-get update && sudo apt-get install --yes {}", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_installed_where_nothing_is_missing() {
        assert!(missing_packages(|_| true).is_empty());
    }

    #[test]
    fn a_package_that_apt_does_not_have_is_not_asked_for() {
        assert!(!is_known("no-such-package"));
    }

    #[test]
    fn each_package_is_named_once() {
        let packages = missing_packages(|need| !matches!(need, Program("unshare" | "setpriv" | "ip")));
        assert_eq!(packages, ["iproute2", "util-linux"]);
    }
}
