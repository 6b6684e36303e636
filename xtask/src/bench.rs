// SPDX-License-Identifier: Apache-2.0

//! How long it takes to start a container, run /bin/true in it and be rid of it: husk beside what
//! people use instead, and beside bare C that does the same system calls. A benchmark, not a test:
//! no figure fails it. husk's guard, its looking at the host and its reading back what it has set are
//! not in the bare C: they count as husk's own.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{find, is_root, output, run as run_command, shown};
use crate::{Result, bench_oci, workspace};

/// Rounds that are run and thrown away, while caches fill.
const WARM_UP: usize = 5;
/// How long the machine rests after each run. The kernel takes a network namespace apart when its last process is long gone,
/// and whoever came next would pay for it.
const REST: Duration = Duration::from_millis(5);
/// What runs inside.
const COMMAND: &str = "/bin/true";
/// The contestant that ratios refer to.
const FLOOR: &str = "bare C, as husk";

struct Options {
    runs: usize,
    json: bool,
    root: Option<PathBuf>,
    user: Option<u32>,
}

/// Who takes part, and what comes before the command that runs inside. Words in capitals stand for
/// paths of this machine.
const CONTESTANTS: &[(&str, &str)] = &[
    (FLOOR, "FLOOR ROOT"),
    ("bare C, by hand", "FLOOR --by-hand ROOT"),
    (PLAIN, "HUSK run ROOT"),
    (NO_CGROUP, "HUSK run --pids-limit=-1 ROOT"),
    (LIMITED, "HUSK run --memory=512m --cpus=2 ROOT"),
    (OF_THE_HOST, "HUSK run --userns=host ROOT"),
    ("unshare … chroot", "UNSHARE --pid --uts --ipc --mount --fork --mount-proc CHROOT ROOT"),
    ("bwrap", "bwrap --unshare-all --bind ROOT / --proc /proc --dev /dev"),
];

/// As it is without asking: in a cgroup where there can be one, for the limit of processes.
const PLAIN: &str = "husk run";
const NO_CGROUP: &str = "husk run, no cgroup";
const LIMITED: &str = "husk run, limits";
const OF_THE_HOST: &str = "husk run --userns=host";

/// Take part only as root: the host's ids are nobody else's to use, and others may have no cgroup to divide.
const OF_ROOT: [&str; 2] = [OF_THE_HOST, LIMITED];

struct Contestant {
    name: &'static str,
    words: Vec<OsString>,
    /// The user and group id that it runs with, if they are not ours.
    user: Option<u32>,
}

impl Contestant {
    fn command(&self, inside: &str) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(inside.split(' ')).stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user).current_dir("/");
        }
        command
    }
}

/// What one contestant's runs came to, in milliseconds.
#[derive(Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
}

/// The verb: an error only if a contestant could not run.
pub(crate) fn run(args: &[String]) -> Result {
    if args == [bench_oci::INSIDE] {
        return bench_oci::inside();
    }
    let options = parse(args)?;
    let husk = husk()?;
    let floor = compile_floor()?;
    let scratch = Scratch::new()?;
    let root = match &options.root {
        Some(root) => root.clone(),
        None => busybox_root(&husk, &scratch.0)?,
    };
    let [husk, floor] = [("husk", husk), ("floor", floor)].map(|(name, program)| {
        // A copy, because another user may not reach the repository.
        let copy = scratch.0.join(name);
        fs::copy(program, &copy).map(|_| copy)
    });
    let floor = floor?;
    let (able, unable) = able(contestants(&husk?, &floor, &root, options.user));
    let figures = measure(able.len(), options.runs, |one| time(&mut able[one].command(COMMAND)))?;
    // An OCI runtime's share is root's; what an ordinary user may do depends on the machine.
    let runtimes = match options.user {
        None if is_root() => bench_oci::rows(options.runs, &floor, &root, &scratch.0)?,
        _ => Vec::new(),
    };
    if options.json {
        println!("{:#}", as_json(&able, &figures, &runtimes, &options));
    } else {
        println!("\n{}; {} runs of each, in turn; milliseconds\n", machine(options.user), options.runs);
        println!("{}", as_table(&able, &figures));
        if !runtimes.is_empty() {
            print!("{}", bench_oci::as_table(&runtimes));
        }
    }
    if unable.is_empty() { Ok(()) } else { Err(format!("could not run:\n  {}", unable.join("\n  ")).into()) }
}

fn parse(args: &[String]) -> Result<Options> {
    let mut options = Options { runs: 200, json: false, root: None, user: None };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--json" => options.json = true,
            "--runs" => options.runs = value()?.parse().map_err(|error| format!("--runs: {error}"))?,
            "--user" => options.user = Some(value()?.parse().map_err(|error| format!("--user: {error}"))?),
            "--root" => options.root = Some(fs::canonicalize(value()?)?),
            _ => return Err(format!("unexpected argument '{arg}'").into()),
        }
    }
    if options.runs == 0 {
        return Err("--runs: at least 1".into());
    }
    if options.user.is_some() && !is_root() {
        return Err("--user: only root can run programs as somebody else".into());
    }
    Ok(options)
}

pub(crate) fn husk() -> Result<PathBuf> {
    let programs = workspace::build_release()?;
    programs.into_iter().find(|program| program.ends_with("husk")).ok_or_else(|| "cargo built no husk".into())
}

fn compile_floor() -> Result<PathBuf> {
    let program = workspace::scratch_directory()?.join("floor");
    let source = workspace::root().join("benches/floor/floor.c");
    run_command(
        Command::new("cc").args(["-O2", "-static", "-Wall", "-Wextra", "-o"]).arg(&program).arg(source),
    )?;
    Ok(program)
}

pub(crate) fn busybox_root(husk: &Path, scratch: &Path) -> Result<PathBuf> {
    let root = scratch.join("root");
    run_command(Command::new(husk).args(["rootfs", "new"]).arg(&root).stdout(Stdio::null()))?;
    Ok(root)
}

/// A directory that goes away with its owner.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        // A run that was killed may have left one, under the same process id.
        for number in 0_u32.. {
            let directory = std::env::temp_dir().join(format!("husk-xtask-{}-{number}", process::id()));
            match fs::create_dir(&directory) {
                Ok(()) => return Ok(Self(directory)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(format!("{}: {error}", directory.display()).into()),
            }
        }
        Err("every name for a directory is taken".into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

fn contestants(husk: &Path, floor: &Path, root: &Path, user: Option<u32>) -> Vec<Contestant> {
    let chroot = find("chroot").unwrap_or_else(|| "chroot".into());
    let by_root = runs_as_root(user);
    let as_root: &[&str] = if by_root { &[] } else { &["--user", "--map-root-user"] };
    let words = |word: &str| match word {
        "FLOOR" => vec![floor.into()],
        "HUSK" => vec![husk.into()],
        "ROOT" => vec![root.into()],
        "CHROOT" => vec![chroot.clone().into()],
        "UNSHARE" => [&["unshare"], as_root].concat().iter().map(OsString::from).collect(),
        word => vec![word.into()],
    };
    let contestants =
        CONTESTANTS.iter().filter(|(name, _)| by_root || !OF_ROOT.contains(name)).map(|&(name, template)| {
            Contestant { name, words: template.split(' ').flat_map(words).collect(), user }
        });
    contestants.collect()
}

fn runs_as_root(user: Option<u32>) -> bool {
    user.map_or_else(is_root, |user| user == 0)
}

/// Has each say a word from inside: those that do, and for the others what stands in their way.
fn able(contestants: Vec<Contestant>) -> (Vec<Contestant>, Vec<String>) {
    let mut unable = Vec::new();
    let able = contestants.into_iter().filter(|contestant| {
        let outcome = says_a_word(contestant);
        let failure = outcome.as_ref().err();
        unable.extend(failure.map(|error| format!("{}: {error}", contestant.name)));
        outcome.is_ok()
    });
    (able.collect(), unable)
}

fn says_a_word(contestant: &Contestant) -> Result {
    let mut command = contestant.command("/bin/echo here");
    match output(&mut command)?.as_str() {
        "here\n" => Ok(()),
        other => Err(format!("{}: printed {other:?}, not \"here\"", shown(&command)).into()),
    }
}

/// One run of each of so many in turn, again and again: whatever else the machine does falls on all alike.
pub(crate) fn measure(
    contestants: usize,
    runs: usize,
    time: impl Fn(usize) -> Result<Duration>,
) -> Result<Vec<Figures>> {
    let mut times = vec![Vec::with_capacity(runs); contestants];
    for round in 0..WARM_UP + runs {
        for (contestant, times) in times.iter_mut().enumerate() {
            let time = time(contestant)?;
            thread::sleep(REST);
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    Ok(times.into_iter().map(figures).collect())
}

/// How long a command takes that must succeed. What it prints is lost: what goes wrong has been seen before.
pub(crate) fn time(command: &mut Command) -> Result<Duration> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let time = start.elapsed();
    if status.success() { Ok(time) } else { Err(format!("{}: {status}", shown(command)).into()) }
}

pub(crate) fn figures(mut times: Vec<Duration>) -> Figures {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    Figures { min: at(0), p50: at(50), p90: at(90) }
}

fn machine(user: Option<u32>) -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = thread::available_parallelism().map_or(0, usize::from);
    let user = if runs_as_root(user) { "root" } else { "an ordinary user" };
    format!("Linux {}, {cpus} CPUs, as {user}", kernel.trim_end())
}

/// The contestant's figures over the floor's: at the median and at the minimum.
fn ratios(contestants: &[Contestant], figures: &[Figures], of: &Figures) -> Option<(f64, f64)> {
    let floor = contestants.iter().position(|contestant| contestant.name == FLOOR)?;
    Some((of.p50 / figures[floor].p50, of.min / figures[floor].min))
}

fn as_table(contestants: &[Contestant], figures: &[Figures]) -> String {
    let mut table =
        format!("{:<24}{:>8}{:>8}{:>8}{:>10}{:>10}\n", "", "min", "p50", "p90", "p50 ratio", "min ratio");
    for (contestant, of) in contestants.iter().zip(figures) {
        table += &format!("{:<24}{:>8.2}{:>8.2}{:>8.2}", contestant.name, of.min, of.p50, of.p90);
        if let Some((p50, min)) = ratios(contestants, figures, of) {
            table += &format!("{p50:>10.2}{min:>10.2}");
        }
        table.push('\n');
    }
    for name in [PLAIN, LIMITED] {
        if let Some((p50, min)) = cost_of_cgroup(contestants, figures, name) {
            table += &format!(
                "{name}: its cgroup costs {p50:+.2} ms (p50), {min:+.2} (min); the aim: less than 0.5 on v1, 0.1 on v2\n"
            );
        }
    }
    table
}

/// How much longer than without a cgroup, by the medians and by the shortest runs, which a busy machine disturbs less.
fn cost_of_cgroup(contestants: &[Contestant], figures: &[Figures], name: &str) -> Option<(f64, f64)> {
    let of = |name: &str| {
        let mut pairs = contestants.iter().zip(figures);
        pairs.find(|(contestant, _)| contestant.name == name).map(|(_, of)| of)
    };
    let (with, without) = (of(name)?, of(NO_CGROUP)?);
    Some((with.p50 - without.p50, with.min - without.min))
}

fn as_json(contestants: &[Contestant], figures: &[Figures], runtimes: &[Value], options: &Options) -> Value {
    let rows = contestants.iter().zip(figures).map(|(contestant, of)| {
        let (p50_ratio, min_ratio) = ratios(contestants, figures, of).unzip();
        json!({
            "name": contestant.name, "command": shown(&contestant.command(COMMAND)),
            "min_ms": of.min, "p50_ms": of.p50, "p90_ms": of.p90, "p50_ratio": p50_ratio, "min_ratio": min_ratio,
        })
    });
    json!({ "machine": machine(options.user), "runs": options.runs, "results": rows.collect::<Vec<_>>(), "oci_runtimes": runtimes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contestant(name: &'static str, program: &str) -> Contestant {
        Contestant { name, words: vec![program.into()], user: None }
    }

    #[test]
    fn what_an_earlier_run_has_left_is_in_nobodys_way() {
        let (first, second) = (Scratch::new().unwrap(), Scratch::new().unwrap());
        assert_ne!(first.0, second.0);
        assert!(first.0.is_dir() && second.0.is_dir());
    }

    #[test]
    fn figures_are_taken_from_sorted_times() {
        let times = (1..=101).rev().map(Duration::from_millis).collect();
        assert_eq!(figures(times), Figures { min: 1.0, p50: 51.0, p90: 91.0 });
    }

    #[test]
    fn one_run_is_enough_for_figures() {
        assert_eq!(figures(vec![Duration::from_millis(2)]), Figures { min: 2.0, p50: 2.0, p90: 2.0 });
    }

    #[test]
    fn ratios_refer_to_the_floor() {
        let contestants = [contestant("husk run", "husk"), contestant(FLOOR, "floor")];
        let figures = [Figures { min: 3.0, p50: 6.0, p90: 9.0 }, Figures { min: 2.0, p50: 3.0, p90: 4.0 }];
        assert_eq!(ratios(&contestants, &figures, &figures[0]), Some((2.0, 1.5)));
        assert_eq!(ratios(&contestants[..1], &figures[..1], &figures[0]), None);
    }

    #[test]
    fn a_contestant_that_runs_nothing_is_not_measured() {
        let contestants = ["true", "false", "env"].map(|name| contestant(name, name));
        let (able, unable) = able(contestants.into());
        assert_eq!(able.iter().map(|contestant| contestant.name).collect::<Vec<_>>(), ["env"]);
        assert_eq!(unable.len(), 2);
    }

    #[test]
    fn options_are_checked() {
        let parse = |words: &[&str]| parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            parse(&["--runs", "7", "--json"]).map(|options| (options.runs, options.json)).unwrap(),
            (7, true)
        );
        for wrong in
            [&["--runs"][..], &["--runs", "0"], &["--runs", "x"], &["--root", "/nonexistent"], &["-x"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
