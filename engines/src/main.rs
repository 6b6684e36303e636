// SPDX-License-Identifier: Apache-2.0
//! Plays what people do with Docker, Podman, containerd and buildah with two OCI runtimes, and compares.
#![forbid(unsafe_code)]
// Printing is what this program is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use husk_engines::{Case, Engine, Result, Setting, Trial, Verdict, World, judge};

const HELP: &str = "\
usage: cargo xtask engines [--runtime PATH] [--reference PATH] [--engine NAME]… [--case NAME]… [--once] [--calls] [--list]

  --runtime PATH       the OCI runtime under test (default: husk-oci beside this program)
  --reference PATH     the one that it is compared with (default: runc)
  --engine NAME        docker, docker-remap, podman, podman-rootless, containerd, kubernetes or buildah (default: all)
  --case NAME          cases with this in their name (default: all)
  --once               no second try of a case that fails
  --calls              show how the engines called the runtime under test
  --without-unified    hide the empty cgroup hierarchy of version 2, which crun refuses
  --list               name the cases and end
";

/// What was typed.
#[derive(Debug)]
struct Asked {
    runtime: Option<PathBuf>,
    reference: PathBuf,
    engines: Vec<Engine>,
    cases: Vec<String>,
    once: bool,
    calls: bool,
    without_unified: bool,
    list: bool,
}

fn main() -> ExitCode {
    let asked = match parse(std::env::args().skip(1)) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("engines: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(&asked) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("engines: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Asked>> {
    let mut asked = Asked {
        runtime: None,
        reference: "/usr/sbin/runc".into(),
        engines: Vec::new(),
        cases: Vec::new(),
        once: false,
        calls: false,
        without_unified: false,
        list: false,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--runtime" => asked.runtime = Some(value()?.into()),
            "--reference" => asked.reference = value()?.into(),
            "--engine" => asked.engines.push(value()?.parse()?),
            "--case" => asked.cases.push(value()?),
            "--once" => asked.once = true,
            "--calls" => asked.calls = true,
            "--without-unified" => asked.without_unified = true,
            "--list" => asked.list = true,
            "-h" | "--help" => return Ok(None),
            _ => return Err(format!("unexpected argument '{arg}'").into()),
        }
    }
    if asked.engines.is_empty() {
        asked.engines = Engine::ALL.to_vec();
    }
    Ok(Some(asked))
}

fn run(asked: &Asked) -> Result<bool> {
    if asked.list {
        for engine in &asked.engines {
            chosen(asked, *engine).iter().for_each(|case| println!("{engine}: {}", case.name));
        }
        return Ok(true);
    }
    let runtimes = Runtimes {
        reference: absolute(&asked.reference)?,
        tested: absolute(&asked.runtime.clone().map_or_else(beside, Ok)?)?,
    };
    println!("{} beside {}", runtimes.tested.display(), runtimes.reference.display());
    let (begin, mut totals, mut none) = (Instant::now(), Totals::default(), true);
    for engine in &asked.engines {
        let cases = chosen(asked, *engine);
        if cases.is_empty() {
            continue;
        }
        none = false;
        match engine.missing() {
            Some(program) => {
                println!("SKIP {engine}: there is no {program} here; cargo xtask setup installs it")
            }
            None => play_twice(asked, *engine, &cases, &runtimes, &mut totals),
        }
    }
    if none {
        return Err("no case has such a name".into());
    }
    println!();
    totals.at_second_try.iter().for_each(|name| println!("  passed at the second try: {name}"));
    totals.failed.iter().for_each(|name| println!("  failed: {name}"));
    let Totals { passed, cannot, failed, .. } = &totals;
    let (failed, seconds) = (failed.len(), begin.elapsed().as_secs());
    println!("engines: {passed} passed, {failed} failed, {cannot} that runc cannot here; {seconds} s");
    Ok(failed == 0)
}

/// What is compared.
#[derive(Debug)]
struct Runtimes {
    reference: PathBuf,
    tested: PathBuf,
}

/// The verdicts, added up.
#[derive(Debug, Default)]
struct Totals {
    passed: usize,
    cannot: usize,
    at_second_try: Vec<String>,
    failed: Vec<String>,
}

impl Totals {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Same => self.passed += 1,
            Verdict::ReferenceCannot { .. } => self.cannot += 1,
            _ => {}
        }
    }
}

fn chosen(asked: &Asked, engine: Engine) -> Vec<Case> {
    let is_asked = |case: &Case| {
        asked.cases.is_empty() || asked.cases.iter().any(|name| case.name.contains(name.as_str()))
    };
    engine.cases().into_iter().filter(is_asked).collect()
}

/// husk-oci as it is released, or else of the same build as this program.
fn beside() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let directory = this.parent().ok_or("this program lies in a directory")?;
    let places = [directory.with_file_name("release").join("husk-oci"), directory.join("husk-oci")];
    let found = places.iter().find(|place| place.is_file()).cloned();
    found.ok_or_else(|| format!("{} is not built; name a runtime with --runtime", places[0].display()).into())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    Ok(path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Plays the cases of one engine. Engines have moments of their own on a busy machine: what has failed is tried once more, with
/// an engine that was started for it, and the totals say so.
fn play_twice(asked: &Asked, engine: Engine, cases: &[Case], runtimes: &Runtimes, totals: &mut Totals) {
    println!("\n== {engine}");
    let name = |case: &Case| format!("{engine}: {}", case.name);
    let unsettled = play(asked, engine, cases, runtimes, totals);
    if unsettled.is_empty() || asked.once {
        return totals.failed.extend(unsettled.iter().map(name));
    }
    println!("-- {engine}: a second try of {}", unsettled.len());
    let failed = play(asked, engine, &unsettled, runtimes, totals);
    let has_failed = |case: &&Case| failed.iter().any(|other| other.name == case.name);
    let (failed, passed): (Vec<_>, Vec<_>) = unsettled.iter().partition(has_failed);
    totals.at_second_try.extend(passed.into_iter().map(name));
    totals.failed.extend(failed.into_iter().map(name));
}

/// Plays cases in two new worlds, with both runtimes at the same time, and prints as they come. Those are returned that failed or
/// were not reached, because an engine did not start or a world broke.
fn play(
    asked: &Asked,
    engine: Engine,
    cases: &[Case],
    runtimes: &Runtimes,
    totals: &mut Totals,
) -> Vec<Case> {
    let mut unsettled = Vec::new();
    thread::scope(|scope| {
        let start = |runtime: &Path| -> Receiver<Result<Trial>> {
            let setting = Setting {
                runtime: runtime.to_owned(),
                programs: Vec::new(),
                without_unified: asked.without_unified,
            };
            let (sender, receiver) = channel();
            scope.spawn(move || {
                let trials = World::start(&setting).and_then(|mut world| {
                    engine.start(&mut world)?;
                    // Nobody listens any more once the other world has failed.
                    let _ = cases.iter().try_for_each(|case| sender.send(Trial::of(case, &mut world)));
                    Ok(())
                });
                trials.map_err(|error| sender.send(Err(error)))
            });
            receiver
        };
        let (references, tests) = (start(&runtimes.reference), start(&runtimes.tested));
        for (index, case) in cases.iter().enumerate() {
            let trial = |trials: &Receiver<Result<Trial>>, runtime: &Path| -> Result<Trial> {
                Ok(trials.recv()?.map_err(|error| format!("with {}: {error}", runtime.display()))?)
            };
            let trials = || -> Result<_> {
                Ok((trial(&references, &runtimes.reference)?, trial(&tests, &runtimes.tested)?))
            };
            let (reference, tested) = match trials() {
                Ok(trials) => trials,
                Err(error) => {
                    println!("{:<40} BROKEN: {error}", case.name);
                    return unsettled.extend_from_slice(&cases[index..]);
                }
            };
            let verdict = judge(case, &reference, &tested);
            let took = reference.took.max(tested.took).as_secs_f32();
            println!("{:<40} {took:>4.1} s  {verdict}", case.name);
            if asked.calls {
                tested.calls().lines().for_each(|call| println!("    runc {call}"));
            }
            totals.add(&verdict);
            if verdict.is_failure() {
                unsettled.push(*case);
            }
        }
    });
    unsettled
}
