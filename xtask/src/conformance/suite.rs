// SPDX-License-Identifier: Apache-2.0

//! The OCI project's validation suite, from Debian's source package. The package of its library leaves the programs
//! out, so it is the source that is needed; what the programs import comes in packages, but for the writer of results,
//! which is here.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{find, run};
use crate::{Result, setup};

/// Debian's source package, the release that has it, and the checksum of its archive.
const SOURCE: &str = "golang-github-opencontainers-runtime-tools";
const RELEASE: &str = "trixie";
const ARCHIVE: &str = "golang-github-opencontainers-runtime-tools_0.9.0.109.ge931285.orig.tar.xz";
const SHA256: &str = "203989a1ea98cf2aaced79155bbda09270b20db19b03376dde91ab12e5e6a0fe";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where Debian's packages of Go libraries put their source.
const GO_CODE: &str = "/usr/share/gocode";

/// What must be there, and the package that has it.
const NEEDS: &[(&str, &str)] = &[
    ("/usr/bin/go", "golang-go"),
    ("/usr/sbin/runc", "runc"),
    (KEYS, "debian-archive-keyring"),
    (
        "/usr/share/gocode/src/github.com/opencontainers/runtime-tools",
        "golang-github-opencontainers-runtime-tools-dev",
    ),
    ("/usr/share/gocode/src/github.com/google/uuid", "golang-github-google-uuid-dev"),
];

/// Where it is written down which suite was built.
const BUILT: &str = "built";

/// The writer of results that the programs import.
const TAP: &str = include_str!("tap.go");

/// The built suite.
pub(super) struct Suite {
    /// The directory that the programs expect to run in: they look for a root file system and `runtimetest` there.
    pub(super) directory: PathBuf,
    /// The programs, by name.
    pub(super) programs: Vec<(String, PathBuf)>,
}

/// What tells one state of the suite from another.
pub(super) const IDENTITY: &str = SHA256;

/// Gets into `scratch` what [`build`] needs, as far as it is not there.
pub(super) fn provide(scratch: &Path) -> Result {
    install()?;
    if is_built(scratch) { Ok(()) } else { fetch(scratch) }
}

/// Builds the suite in `scratch`, as far as that has not been done.
pub(super) fn build(scratch: &Path) -> Result<Suite> {
    let directory = scratch.join("gopath/src/github.com/opencontainers/runtime-tools");
    let binaries = scratch.join("bin");
    if is_built(scratch) {
        return Ok(Suite { programs: programs(&binaries)?, directory });
    }
    let archive = scratch.join(ARCHIVE);
    if !is_intact(&archive) {
        let reason =
            format!("{ARCHIVE} did not come from Debian's {RELEASE} with the checksum that is known");
        return Err(format!(
            "{reason}; if the package has moved on, bring xtask/src/conformance/suite.rs up to it"
        )
        .into());
    }
    let go_path = scratch.join("gopath");
    let _ = fs::remove_dir_all(&go_path);
    let _ = fs::remove_dir_all(&binaries);
    fs::create_dir_all(&directory)?;
    fs::create_dir_all(&binaries)?;
    run(Command::new("tar").arg("-xJf").arg(&archive).args(["--strip-components=1", "-C"]).arg(&directory))?;
    let tap = go_path.join("src/github.com/mndrix/tap-go");
    fs::create_dir_all(&tap)?;
    fs::write(tap.join("tap.go"), TAP)?;
    compile(scratch, &directory, &binaries)?;
    fs::write(scratch.join(BUILT), stamp())?;
    Ok(Suite { programs: programs(&binaries)?, directory })
}

fn is_built(scratch: &Path) -> bool {
    fs::read_to_string(scratch.join(BUILT)).is_ok_and(|text| text == stamp())
}

fn stamp() -> String {
    format!("{SHA256}\n{TAP}")
}

fn install() -> Result {
    let wanted = missing();
    if !wanted.is_empty() {
        setup::install_packages(&wanted)?;
    }
    match missing().as_slice() {
        [] => Ok(()),
        packages => Err(format!("apt has no {} here", packages.join(", ")).into()),
    }
}

fn missing() -> Vec<&'static str> {
    NEEDS.iter().filter(|(path, _)| !Path::new(path).exists()).map(|(_, package)| *package).collect()
}

/// Downloads the archive of the source if it is not there with the right checksum. apt gets lists and settings of its
/// own, so that it needs no entry among the machine's sources and leaves none.
fn fetch(scratch: &Path) -> Result {
    if is_intact(&scratch.join(ARCHIVE)) {
        return Ok(());
    }
    let lists = scratch.join("lists");
    fs::create_dir_all(lists.join("partial"))?;
    let sources = scratch.join("sources.list");
    fs::write(&sources, format!("deb-src [signed-by={KEYS}] http://deb.debian.org/debian {RELEASE} main\n"))?;
    let settings = [
        format!("Dir::Etc::SourceList={}", sources.display()),
        "Dir::Etc::SourceParts=/dev/null".into(),
        format!("Dir::State::Lists={}", lists.display()),
        "Dir::Cache::pkgcache=".into(),
        "Dir::Cache::srcpkgcache=".into(),
        "APT::Sandbox::User=root".into(),
    ];
    let apt_get = |words: &[&str]| {
        let mut apt_get = Command::new("apt-get");
        apt_get.arg("-qq").args(settings.iter().flat_map(|setting| ["-o", setting])).args(words);
        run(apt_get.current_dir(scratch).stdin(Stdio::null()))
    };
    apt_get(&["update"])?;
    apt_get(&["source", "--tar-only", SOURCE])?;
    Ok(fs::remove_dir_all(&lists)?)
}

fn is_intact(archive: &Path) -> bool {
    let output = Command::new("sha256sum").arg(archive).stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.starts_with(SHA256.as_bytes()))
}

/// Compiles without the net: all that is imported lies in `scratch` or in Debian's packages.
fn compile(scratch: &Path, directory: &Path, binaries: &Path) -> Result {
    let go = |words: &[&str]| {
        let mut go = Command::new(find("go").unwrap_or_else(|| "go".into()));
        go.args(words)
            .current_dir(directory)
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            .env("CGO_ENABLED", "0");
        go.env("GOPATH", format!("{}:{GO_CODE}", scratch.join("gopath").display()));
        go.env("GOCACHE", scratch.join("cache"));
        go
    };
    run(&mut go(&["build", "-o", "runtimetest", "./cmd/runtimetest"]))?;
    let mut validation = Vec::new();
    for entry in fs::read_dir(directory.join("validation"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() && name != "util" {
            validation.push(format!("./validation/{name}"));
        }
    }
    validation.sort();
    let mut words = vec!["build", "-o", binaries.to_str().ok_or("the target directory's path is no text")?];
    words.extend(validation.iter().map(String::as_str));
    run(&mut go(&words))?;
    provide_root(directory)
}

/// The programs unpack `rootfs-ARCHITECTURE.tar.gz`, which the source has for x86 alone. Elsewhere that name leads to an
/// archive made of this machine's busybox.
fn provide_root(directory: &Path) -> Result {
    let (architecture, is_there) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", true),
        "aarch64" => ("arm64", false),
        other => (other, false),
    };
    if is_there {
        return Ok(());
    }
    let root = directory.join("rootfs");
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    let busybox = find("busybox").ok_or("busybox is not installed: cargo xtask setup")?;
    fs::copy(&busybox, root.join("bin/busybox"))?;
    let applets = crate::process::output(Command::new(&busybox).arg("--list"))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    let archive = format!("rootfs-{architecture}.tar.gz");
    run(Command::new("tar").args(["-C", "rootfs", "-czf", &archive, "."]).current_dir(directory))
}

fn programs(binaries: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut programs = Vec::new();
    for entry in fs::read_dir(binaries)? {
        let entry = entry?;
        programs.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    programs.sort();
    Ok(programs)
}
