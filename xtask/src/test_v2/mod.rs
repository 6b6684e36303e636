// SPDX-License-Identifier: Apache-2.0

//! The tests that need a host with cgroup v2 alone, or one whose systemd has version 1, inside a virtual machine that is one.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::time::Instant;

use serde_json::Value;

use crate::bench::Scratch;
use crate::process::{cargo, find, is_root, output, run as run_command, shown, side_by_side};
use crate::{Result, workspace};

/// The virtual machine, beside the repository. It is no part of it.
const LAB: &str = "../shared/lab/lab";

/// Tests that run inside.
struct Suite {
    package: &'static str,
    /// The test program. It is static, and needs nothing but what the machine has.
    program: &'static str,
    /// The boots in which it has something to test.
    ways: &'static [&'static str],
    /// Those of its tests that run; all if none is named.
    tests: &'static [&'static str],
}

impl Suite {
    /// The name of the program's copy; a boot may have the name of a program.
    fn file(&self) -> String {
        format!("{}-{}", self.package, self.program)
    }
}

const fn suite(package: &'static str, program: &'static str, ways: &'static [&'static str]) -> Suite {
    Suite { package, program, ways, tests: &[] }
}

/// Of the OCI tests those where the version of cgroups makes a difference: a container takes a third of a second and more in
/// software emulation.
const SUITES: &[Suite] = &[
    suite("husk-cgroup", "effects", &["root", "user", "systemd"]),
    suite("husk-cgroup", "as_runc", &["root", "systemd"]),
    suite("husk-cgroup", "systemd", &["systemd", "systemd-user", "systemd-v1", "systemd-hybrid"]),
    suite("husk-tests", "oci_fields_resources", &["root", "systemd"]),
    Suite {
        tests: &["rule_2_", "rule_4_", "rule_12_", "rule_15_", "rule_17_"],
        ..suite("husk-tests", "oci_callers", &["root", "systemd"])
    },
    Suite {
        tests: &["cgroup", "mappings", "joined"],
        ..suite("husk-tests", "oci_fields_namespaces", &["root", "systemd", "systemd-v1"])
    },
    suite("husk-tests", "oci_cgroup_effects", &["root", "systemd", "systemd-v1"]),
    suite("husk-tests", "oci_as_runc", &["root", "systemd", "systemd-v1", "systemd-hybrid"]),
    suite("husk-tests", "oci_systemd", &["root", "systemd", "systemd-v1", "systemd-hybrid"]),
    suite("husk-tests", "oci_rootless", &["user", "systemd-user"]),
    // Below what it was given, nobody without CAP_SYS_RESOURCE can set this; inside there is one who has it.
    Suite {
        tests: &["process_oom_score_adj_below_the_callers"],
        ..suite("husk-tests", "oci_fields_process", &["root"])
    },
    Suite { tests: &["scope"], ..suite("husk-tests", "bundle", &["root", "systemd", "systemd-v1"]) },
    Suite { tests: &["systemds_cgroups"], ..suite("husk-tests", "as_shell", &["systemd"]) },
    suite("husk-tests", "limits", &["root", "user", "systemd", "systemd-user"]),
    Suite { package: "husk-tests", program: "left_behind", ways: &["root"], tests: &["cgroup"] },
];

/// The programs that the tests of husk-tests run, and the variables that name them.
const PROGRAMS: &[(&str, &str)] = &[("husk-oci", "HUSK_OCI"), ("husk", "HUSK")];

/// A boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    name: &'static str,
    /// What the machine is asked for.
    options: &'static [&'static str],
    /// What systemd is told on the kernel's command line to have version 1.
    v1: Option<&'static str>,
}

const fn way(name: &'static str, options: &'static [&'static str]) -> Way {
    Way { name, options, v1: None }
}

/// Who runs them.
const WAYS: &[Way] = &[
    way("root", &[]),
    way("user", &["--user"]),
    way("systemd", &["--systemd"]),
    way("systemd-user", &["--systemd", "--user"]),
    Way {
        v1: Some("systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1"),
        ..way("systemd-v1", &["--systemd"])
    },
    Way { v1: Some("systemd.unified_cgroup_hierarchy=0"), ..way("systemd-hybrid", &["--systemd"]) },
];

/// Makes a machine with all controllers of version 1.
const OLDER_KERNEL: &str = include_str!("older_kernel.sh");

/// Seconds for a boot and the tests in it, in software emulation. Where other work runs, nearly 700 have been seen.
const LIMIT: &str = "1200";

/// How many machines run at once, at most: each has one processor to itself, and 2 GB of memory.
const AT_ONCE: usize = 3;

/// The verb: without arguments all of [`WAYS`], else those named.
pub(crate) fn run(args: &[String]) -> Result {
    let ways = parse(args)?;
    let lab = workspace::root().join(LAB);
    if !lab.exists() {
        return skip(&format!("there is no virtual machine at {LAB}"));
    }
    if !is_root() {
        return skip("the virtual machine takes root to start");
    }
    let share = Scratch::new()?;
    // Also the ordinary user inside writes there.
    fs::set_permissions(&share.0, fs::Permissions::from_mode(0o777))?;
    // Also the ordinary user inside appends to it.
    fs::write(share.0.join("skips"), "")?;
    fs::set_permissions(share.0.join("skips"), fs::Permissions::from_mode(0o666))?;
    for (program, _) in PROGRAMS {
        build(&["build", "--package", program, "--bin", program], program, &share.0.join(program))?;
    }
    let wanted = |suite: &&Suite| ways.iter().any(|way| suite.ways.contains(&way.name));
    for suite in SUITES.iter().filter(wanted) {
        let test = ["test", "--package", suite.package, "--test", suite.program, "--no-run"];
        build(&test, suite.program, &share.0.join(suite.file()))?;
    }
    for way in &ways {
        let script = share.0.join(way.name);
        fs::write(&script, script_of(way, &share.0))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    let older = match ways.iter().any(|way| way.v1.is_some()) {
        true => older_kernel(&lab, &share.0),
        false => None,
    };
    if older.is_none() {
        for way in ways.iter().filter(|way| way.v1.is_some()) {
            skip(&format!("{}: there is no kernel with all controllers of version 1", way.name))?;
        }
    }
    let ways: Vec<_> = ways.into_iter().filter(|way| way.v1.is_none() || older.is_some()).collect();
    let failed = boot_all(&lab, &ways, older.as_deref(), &share.0);
    print!("{}", fs::read_to_string(share.0.join("skips")).unwrap_or_default());
    match failed.as_slice() {
        [] => Ok(()),
        names => Err(format!("tests failed as {}", names.join(", ")).into()),
    }
}

fn parse(args: &[String]) -> Result<Vec<Way>> {
    if args.is_empty() {
        return Ok(WAYS.to_vec());
    }
    let way = |arg: &String| WAYS.iter().find(|way| way.name == arg).copied();
    let known = || WAYS.iter().map(|way| way.name).collect::<Vec<_>>().join(" ");
    args.iter().map(|arg| way(arg).ok_or_else(|| format!("'{arg}' is none of: {}", known()).into())).collect()
}

fn skip(reason: &str) -> Result {
    println!("SKIP test-v2: {reason}");
    Ok(())
}

/// Builds a program and copies it, without what only a debugger reads, to where the machine sees it.
fn build(words: &[&str], target: &str, copy: &Path) -> Result {
    let mut build = cargo(words);
    build.arg("--message-format=json-render-diagnostics");
    eprintln!("$ {}", shown(&build));
    let messages = output(build.stderr(Stdio::inherit()))?;
    let built = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == target)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo built no {target}"))?;
    match find("strip") {
        Some(strip) => run_command(Command::new(strip).arg("--strip-debug").arg("-o").arg(copy).arg(&built)),
        None => Ok(fs::copy(&built, copy).map(drop)?),
    }
}

/// Runs everything, also after a failure.
fn script_of(way: &Way, share: &Path) -> String {
    let share = share.display();
    let calls: String = SUITES
        .iter()
        .filter(|suite| suite.ways.contains(&way.name))
        .map(|suite| {
            let (file, tests) = (suite.file(), suite.tests.join(" "));
            // A login's own cgroup is root's: what is the user's is below the user's systemd, where husk goes by itself if limits
            // were asked for.
            let delegated = "systemd-run --user --scope --quiet -p Delegate=yes -- ";
            let calls: &[(&str, &str)] = match (way.name, suite.program) {
                ("systemd-user", "limits") => &[(delegated, ""), ("", "more_ every_limit in_a_login_")],
                _ => &[("", &tests)],
            };
            let call = |(below, tests): &(&str, &str)| {
                format!("echo \"== {file}\"; {below}{share}/{file} --test-threads=2 {tests} || failed=1\n")
            };
            calls.iter().map(call).collect::<String>()
        })
        .collect();
    // Containers that systemd makes are what is new where it runs.
    let driver = if way.options == ["--systemd"] { "systemd" } else { "cgroupfs" };
    let programs: String =
        PROGRAMS.iter().map(|(program, variable)| format!(" {variable}={share}/{program}")).collect();
    format!(
        "#!/bin/sh\nfailed=0\nexport HUSK_SKIPS={share}/skips HUSK_OCI_DRIVER={driver}{programs}\n{calls}exit $failed\n"
    )
}

/// The directory that has it, as the machine wants it; kept from run to run.
fn older_kernel(lab: &Path, share: &Path) -> Option<PathBuf> {
    let script = share.join("older_kernel.sh");
    let directory = workspace::target_directory().ok()?.join("lab-v1");
    fs::write(&script, OLDER_KERNEL).ok()?;
    let made = run_command(Command::new("sh").arg(&script).arg(lab).arg(&directory));
    made.map_err(|error| println!("{error}")).ok()?;
    Some(directory)
}

/// Boots the machines, as many at once as there are processors. Returns the names of those with a failure.
fn boot_all(lab: &Path, ways: &[Way], older: Option<&Path>, share: &Path) -> Vec<&'static str> {
    let at_once = available_parallelism().map_or(1, usize::from).min(AT_ONCE);
    let failed = side_by_side(ways, at_once, |way| (!boot(lab, way, older, share)).then_some(way.name));
    failed.into_iter().flatten().collect()
}

/// Boots a machine and prints, when it has ended, all that was said in it.
fn boot(lab: &Path, way: &Way, older: Option<&Path>, share: &Path) -> bool {
    let begin = Instant::now();
    let log = share.join(format!("{}.log", way.name));
    let outcome = call_lab(lab, way, older, share, &log);
    let said = fs::read(&log).map(|said| String::from_utf8_lossy(&said).into_owned()).unwrap_or_default();
    let version = if way.v1.is_some() { "v1" } else { "v2" };
    let error = outcome.as_ref().err().map(|error| format!("{error}\n")).unwrap_or_default();
    let seconds = begin.elapsed().as_secs();
    println!("\n== cgroup {version}, {}, {seconds} s\n{said}{error}", way.name);
    outcome.is_ok()
}

fn call_lab(lab: &Path, way: &Way, older: Option<&Path>, share: &Path, log: &Path) -> Result {
    let log = File::create(log)?;
    let mut command = Command::new(lab);
    command.args(way.options).args(["--timeout", LIMIT, "--share"]).arg(share).arg("--");
    command.arg(share.join(way.name)).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    if let Some((parameters, older)) = way.v1.zip(older) {
        command.env("LAB_APPEND", parameters).env("LAB_CACHE", older);
    }
    run_command(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_named_or_all() {
        assert_eq!(parse(&[]).expect("all").len(), WAYS.len());
        assert_eq!(parse(&["user".to_string()]).expect("one"), [WAYS[1]]);
        assert!(
            parse(&["nobody".to_string()]).is_err_and(|error| error.to_string().contains("systemd-user"))
        );
    }
}
