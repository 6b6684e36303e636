// SPDX-License-Identifier: Apache-2.0

//! How long an OCI runtime takes to run /bin/true from a bundle: husk-oci beside crun, runc and bare C, with the configuration
//! that runc writes and with Docker's and Podman's.
//!
//! crun refuses a machine that has cgroups of both versions, so that all take part where the empty hierarchy of version 2 is not
//! to be seen: in a mount namespace, where this program runs once more, reads what to do from its standard input and writes figures.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use serde_json::{Value, json};

use crate::bench::{Figures, measure, time};
use crate::process::{find, output, run as run_command};
use crate::{Result, workspace};

/// The argument with which this program runs once more.
pub(crate) const INSIDE: &str = "--inside";

/// Runs the rest of its arguments, but for the first two, where the hierarchy of version 2 beside those of version 1 is not to be seen,
/// and with states in memory, as /run is where engines run: the first is their directory. The second, husk-oci, is also at
/// [`READ_ONLY`] in there, on a mount that is read-only, as /usr is on systems that are updated as a whole. Beside it are more mount
/// namespaces, by name those of [`PLACES`].
const WITHOUT_UNIFIED: &str = r#"set -e
mount -t tmpfs states "$1"; mkdir "$1/usr"; : >"$1/usr/husk-oci"; mount --bind -o ro "$2" "$1/usr/husk-oci"
hold='eval "$1"; : >"$2"; exec setpriv --pdeathsig KILL sleep 3600'
beside() {
    unshare --mount --propagation private sh -c "$hold" sh "$3" "$1/$2.ready" & held="$held $!"
    until [ -e "$1/$2.ready" ]; do sleep 0.01; done
    ln -s "/proc/$!/ns/mnt" "$1/$2"
}
trap 'kill $held' EXIT
beside "$1" v2 'umount -l -a -t cgroup'
beside "$1" nowhere 'umount -l -a -t cgroup,cgroup2'
if mountpoint -q /sys/fs/cgroup/unified; then umount -l /sys/fs/cgroup/unified; fi
beside "$1" v1 :
shift 2; "$@""#;

const READ_ONLY: &str = "usr/husk-oci";

/// What it costs to place a container in cgroups of version 1 or in one of version 2, beside none: where it is made, what that is called.
/// It has [`UNSEEN`].
const PLACES: [(&str, &str); 3] =
    [("v1", "in cgroups v1"), ("v2", "in a cgroup v2"), ("nowhere", "in no cgroup")];

/// The configurations: what they are called, and where they are in the repository.
const CONFIGS: &[(&str, &str)] = &[
    ("runc spec", "crates/husk-spec/tests/runc/spec.json"),
    ("Docker", "crates/husk-spec/tests/configs/docker.json"),
    ("Podman", "crates/husk-spec/tests/configs/podman.json"),
];

/// The configuration that runc writes, without the mount that shows the container its cgroups.
const UNSEEN: &str = "no cgroup mount";

/// What is aimed at: one row's median is at most so many times another's, and so many milliseconds more.
struct Target {
    of: &'static str,
    to: &'static str,
    factor: f64,
    plus: f64,
}

const FLOOR: &str = "bare C, as husk";
const WITH_CGROUPS: &str = "bare C, with cgroups";
const HELLO: &str = "static hello, world";
const VERSION: &str = "husk-oci --version";

const TARGETS: &[Target] = &[
    Target { of: "husk-oci, runc spec", to: FLOOR, factor: 1.5, plus: 0.0 },
    Target { of: "husk-oci, runc spec", to: WITH_CGROUPS, factor: 1.5, plus: 0.0 },
    Target { of: "husk-oci, read-only /usr", to: FLOOR, factor: 1.5, plus: 0.0 },
    Target { of: "husk-oci, runc spec", to: "crun, runc spec", factor: 0.5, plus: 0.0 },
    Target { of: "husk-oci, Docker", to: "crun, Docker", factor: 0.3, plus: 0.0 },
    Target { of: VERSION, to: HELLO, factor: 1.0, plus: 0.5 },
    Target { of: "husk-oci, in cgroups v1", to: "husk-oci, in no cgroup", factor: 1.0, plus: 0.5 },
    Target { of: "husk-oci, in a cgroup v2", to: "husk-oci, in no cgroup", factor: 1.0, plus: 0.1 },
];

/// What is measured: a command, and one that must say "here" before, if anything can.
struct Row {
    name: String,
    command: Vec<String>,
    check: Option<Vec<String>>,
}

/// Prepares bundles in `scratch` around the root file system `root`, measures, and returns the rows as JSON.
pub(crate) fn rows(runs: usize, floor: &Path, root: &Path, scratch: &Path) -> Result<Vec<Value>> {
    let bundles = scratch.join("bundles");
    let write = |name: &str, config: &Value| -> Result {
        for command in ["/bin/true", "/bin/echo here"] {
            let bundle = bundle(&bundles, name, command);
            fs::create_dir_all(&bundle)?;
            fs::write(bundle.join("config.json"), configured(config.clone(), root, command).to_string())?;
        }
        Ok(())
    };
    for (name, file) in CONFIGS {
        write(name, &serde_json::from_str(&workspace::read(file)?)?)?;
    }
    write(UNSEEN, &without_cgroup_mount(serde_json::from_str(&workspace::read(CONFIGS[0].1)?)?))?;
    let states = bundles.join("states");
    fs::create_dir_all(&states)?;
    let husk_oci = husk_oci()?;
    let programs = [compile_hello(scratch)?, compile_within(scratch)?];
    let rows = all_rows(&husk_oci, &programs, floor, root, &bundles);
    let said = rows.iter().map(|row| json!({ "name": row.name, "command": row.command, "check": row.check }));
    let asked = scratch.join("rows.json");
    fs::write(&asked, json!({ "runs": runs, "rows": said.collect::<Vec<_>>() }).to_string())?;
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "--propagation", "private", "sh", "-c", WITHOUT_UNIFIED, "sh"]);
    inside
        .arg(&states)
        .arg(&husk_oci)
        .arg(std::env::current_exe()?)
        .args(["bench", INSIDE])
        .stdin(fs::File::open(&asked)?);
    let figures = output(inside.stderr(Stdio::inherit()))?;
    Ok(serde_json::from_str(&figures)?)
}

/// What this program does when it runs once more.
pub(crate) fn inside() -> Result {
    let mut asked = String::new();
    std::io::stdin().read_to_string(&mut asked)?;
    let asked: Value = serde_json::from_str(&asked)?;
    let rows: Vec<_> = workspace::members(&asked, "rows").collect();
    for row in &rows {
        check(row)?;
    }
    let runs = asked["runs"].as_u64().unwrap_or(1) as usize;
    let figures = measure(rows.len(), runs, |row| time(&mut command(rows[row], "command")))?;
    let said = rows.iter().zip(figures).map(
        |(row, of)| json!({ "name": row["name"], "min_ms": of.min, "p50_ms": of.p50, "p90_ms": of.p90 }),
    );
    println!("{}", Value::from_iter(said));
    Ok(())
}

fn check(row: &Value) -> Result {
    if row["check"].is_null() {
        return Ok(());
    }
    match output(&mut command(row, "check"))?.as_str() {
        "here\n" => Ok(()),
        other => Err(format!("{}: printed {other:?}, not \"here\"", row["name"]).into()),
    }
}

fn command(row: &Value, which: &str) -> Command {
    let mut words = workspace::members(row, which).filter_map(Value::as_str);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).stdin(Stdio::null());
    command
}

fn all_rows(
    husk_oci: &Path,
    [hello, within]: &[PathBuf; 2],
    floor: &Path,
    root: &Path,
    bundles: &Path,
) -> Vec<Row> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let bare = |flag: Option<&str>, inside: &str| {
        let words = flag.into_iter().map(str::to_owned).chain([text(root)]);
        [text(floor)].into_iter().chain(words).chain(inside.split(' ').map(str::to_owned)).collect()
    };
    let of_floor = |name: &str, flag| Row {
        name: name.to_owned(),
        command: bare(flag, "/bin/true"),
        check: Some(bare(flag, "/bin/echo here")),
    };
    let mut rows = vec![of_floor(FLOOR, None), of_floor(WITH_CGROUPS, Some("--cgroups"))];
    let others = ["crun", "runc"].into_iter().filter_map(|name| Some((name, find(name)?)));
    let runtimes: Vec<_> = [("husk-oci", husk_oci.to_owned())].into_iter().chain(others).collect();
    let states = bundles.join("states");
    let run = |before: &[String], (name, program): (&str, &Path), config: &str, called: &str| {
        let id = format!("husk-bench-{}", process::id());
        let words = |inside: &str| {
            let (state, bundle) = (text(&states.join(name)), text(&bundle(bundles, config, inside)));
            let run = ["--root", &state, "run", "--bundle", &bundle, &id].map(str::to_owned);
            before.iter().cloned().chain([text(program)]).chain(run).collect::<Vec<_>>()
        };
        let name = format!("{name}, {called}");
        Row { name, command: words("/bin/true"), check: Some(words("/bin/echo here")) }
    };
    for (config, _) in CONFIGS {
        rows.extend(runtimes.iter().map(|(name, program)| run(&[], (name, program), config, config)));
    }
    let spec = CONFIGS[0].0;
    rows.push(run(&[], ("husk-oci", &states.join(READ_ONLY)), spec, "read-only /usr"));
    rows.extend(PLACES.iter().map(|(place, called)| {
        run(&[text(within), text(&states.join(place))], ("husk-oci", husk_oci), UNSEEN, called)
    }));
    rows.extend(find("crun").map(|crun| {
        let run = |inside: &str| {
            let words =
                [&text(&crun), "--cgroup-manager=disabled", "--root", &text(&bundles.join("states/crun"))];
            let bundle = text(&bundle(bundles, CONFIGS[0].0, inside));
            let call = ["run", "--bundle", &bundle, &format!("husk-bench-{}", process::id())];
            words.iter().chain(&call).map(|word| (*word).to_owned()).collect()
        };
        let name = "crun, no cgroups".to_owned();
        Row { name, command: run("/bin/true"), check: Some(run("/bin/echo here")) }
    }));
    rows.push(Row { name: HELLO.to_owned(), command: vec![text(hello)], check: None });
    let version = vec![text(husk_oci), "--version".to_owned()];
    rows.push(Row { name: VERSION.to_owned(), command: version, check: None });
    rows
}

fn bundle(bundles: &Path, config: &str, command: &str) -> PathBuf {
    let program = command.split(' ').next().unwrap_or_default();
    bundles.join(config).join(program.trim_start_matches("/bin/"))
}

/// A configuration for this machine: its root, its command, no terminal, no cgroup that others have, and no limits beyond those
/// that this program has, which takes CAP_SYS_RESOURCE.
fn configured(mut config: Value, root: &Path, command: &str) -> Value {
    config["process"]["args"] = Value::from_iter(command.split(' '));
    config["process"]["terminal"] = false.into();
    config["root"]["path"] = root.to_string_lossy().into();
    if let Some(process) = config["process"].as_object_mut() {
        process.remove("rlimits");
    }
    if let Some(path) = config["linux"].get_mut("cgroupsPath") {
        *path = format!("/husk-bench-{}", process::id()).into();
    }
    config
}

fn without_cgroup_mount(mut config: Value) -> Value {
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["type"] != "cgroup");
    }
    config
}

fn husk_oci() -> Result<PathBuf> {
    let built = workspace::build_release_of(&["husk-oci"])?;
    built
        .into_iter()
        .find(|program| program.ends_with("husk-oci"))
        .ok_or_else(|| "cargo built no husk-oci".into())
}

fn compile_hello(scratch: &Path) -> Result<PathBuf> {
    let source = scratch.join("hello.c");
    fs::write(&source, "#include <stdio.h>\nint main(void) { return puts(\"hello, world\") < 0; }\n")?;
    compile(&source, scratch.join("hello"))
}

/// What enters a mount namespace before a program.
fn compile_within(scratch: &Path) -> Result<PathBuf> {
    compile(&workspace::root().join("benches/floor/within.c"), scratch.join("within"))
}

fn compile(source: &Path, program: PathBuf) -> Result<PathBuf> {
    run_command(Command::new("cc").args(["-O2", "-static", "-o"]).arg(&program).arg(source))?;
    Ok(program)
}

/// The rows and the targets, for people.
pub(crate) fn as_table(rows: &[Value]) -> String {
    let mut table =
        format!("{:<24}{:>8}{:>8}{:>8}{:>12}\n", "OCI runtimes", "min", "p50", "p90", "p50 ratio");
    let floor = find_row(rows, FLOOR);
    for row in rows {
        let of = figures(row);
        table +=
            &format!("{:<24}{:>8.2}{:>8.2}{:>8.2}", workspace::string(row, "name"), of.min, of.p50, of.p90);
        table += &floor.as_ref().map_or(String::new(), |floor| format!("{:>12.2}", of.p50 / floor.p50));
        table.push('\n');
    }
    table.push('\n');
    TARGETS.iter().for_each(|target| table += &judged(rows, target));
    table
}

fn judged(rows: &[Value], target: &Target) -> String {
    let (Some(of), Some(to)) = (find_row(rows, target.of), find_row(rows, target.to)) else {
        return format!("{} beside {}: not measured\n", target.of, target.to);
    };
    let verdict = if of.p50 <= to.p50 * target.factor + target.plus { "met" } else { "missed" };
    let (aim, is) = if target.plus > 0.0 {
        (format!("at most {} ms more than", target.plus), format!("{:+.2} ms", of.p50 - to.p50))
    } else {
        (format!("at most {} times", target.factor), format!("{:.2} times", of.p50 / to.p50))
    };
    format!("{}: {aim} {}: {verdict} ({is})\n", target.of, target.to)
}

fn find_row(rows: &[Value], name: &str) -> Option<Figures> {
    rows.iter().find(|row| row["name"] == name).map(figures)
}

fn figures(row: &Value) -> Figures {
    let [min, p50, p90] = ["min_ms", "p50_ms", "p90_ms"].map(|name| row[name].as_f64().unwrap_or(f64::NAN));
    Figures { min, p50, p90 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, p50: f64) -> Value {
        json!({ "name": name, "min_ms": 1.0, "p50_ms": p50, "p90_ms": 9.0 })
    }

    #[test]
    fn targets_are_judged_by_the_medians() {
        let rows = [row(FLOOR, 2.0), row("husk-oci, runc spec", 3.0), row(HELLO, 1.0), row(VERSION, 1.6)];
        assert_eq!(
            judged(&rows, &TARGETS[0]),
            "husk-oci, runc spec: at most 1.5 times bare C, as husk: met (1.50 times)\n"
        );
        let of = |of, to| {
            let is_it = |target: &&Target| target.of == of && target.to == to;
            TARGETS.iter().find(is_it).expect("a target")
        };
        let beside_crun = of("husk-oci, runc spec", "crun, runc spec");
        assert_eq!(judged(&rows, beside_crun), "husk-oci, runc spec beside crun, runc spec: not measured\n");
        assert_eq!(
            judged(&rows, of(VERSION, HELLO)),
            "husk-oci --version: at most 0.5 ms more than static hello, world: missed (+0.60 ms)\n"
        );
    }

    #[test]
    fn a_configuration_is_made_to_fit_the_machine() {
        let config = json!({
            "process": { "args": ["sh"], "terminal": true, "rlimits": [], "cwd": "/" },
            "root": { "path": "rootfs", "readonly": true },
            "linux": { "cgroupsPath": "/others" },
        });
        let config = configured(config, Path::new("/r"), "/bin/echo here");
        assert_eq!(
            config["process"],
            json!({ "args": ["/bin/echo", "here"], "terminal": false, "cwd": "/" })
        );
        assert_eq!(config["root"], json!({ "path": "/r", "readonly": true }));
        assert_ne!(config["linux"]["cgroupsPath"], "/others");
    }

    #[test]
    fn the_two_bundles_of_a_configuration_are_two() {
        let of = |command| bundle(Path::new("/b"), "Docker", command);
        assert_eq!(of("/bin/true"), Path::new("/b/Docker/true"));
        assert_ne!(of("/bin/true"), of("/bin/echo here"));
    }
}
