// SPDX-License-Identifier: Apache-2.0

//! The OCI project's validation suite, run against a runtime and, next to it, against runc: a difference to the
//! runtime's disadvantage is a failure.

mod compare;
mod excuse;
mod runtime;
mod sandbox;
mod suite;
mod tap;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use self::compare::{Row, Verdict, compare};
use self::runtime::Runtime;
use self::suite::Suite;
use self::tap::Assertion;
use crate::process::{is_root, side_by_side};
use crate::{Result, workspace};

const REFERENCE: &str = "/usr/sbin/runc";

/// How many programs run at once. Most of their time is waiting.
const AT_ONCE: usize = 4;

/// How many failures of one program are shown in full.
const SHOWN: usize = 8;

/// The assertions of each program.
type Results = BTreeMap<String, Vec<Assertion>>;

struct Options {
    runtime: Option<PathBuf>,
    only: Option<String>,
}

/// The verb.
pub(crate) fn run(args: &[String]) -> Result {
    let options = options(args)?;
    if !is_root() {
        return skip("the suite makes cgroups and namespaces, which needs root");
    }
    let scratch = workspace::scratch_directory()?.join("conformance");
    fs::create_dir_all(&scratch)?;
    if let Err(error) = suite::provide(&scratch) {
        return skip(&format!("its source, or what it is built with, cannot be had: {error}"));
    }
    let mut suite = suite::build(&scratch)?;
    let runtime = Runtime::new(&options.runtime.map_or_else(own_runtime, Ok)?)?;
    if let Some(only) = &options.only {
        suite.programs.retain(|(name, _)| name == only);
        if suite.programs.is_empty() {
            return Err(format!(
                "the suite has no program '{only}'; they are in {}",
                scratch.join("bin").display()
            )
            .into());
        }
    }
    let reference = Runtime::new(Path::new(REFERENCE))?;
    println!("{}\nnext to {}", runtime.title(), reference.title());
    let theirs = reference_results(&reference, &suite, &scratch)?;
    let begin = Instant::now();
    let mut ours = run_all(&runtime, &suite, &scratch)?;
    let again = failed(&ours, &theirs);
    if !again.is_empty() {
        println!("failed, and so run a second time: {}", again.join(", "));
        suite.programs.retain(|(name, _)| again.contains(name));
        ours.extend(run_all(&runtime, &suite, &scratch)?);
    }
    println!("{} programs, {:.0} s", ours.len(), begin.elapsed().as_secs_f64());
    report(&ours, &theirs, runtime.path == reference.path)
}

fn options(args: &[String]) -> Result<Options> {
    let mut options = Options { runtime: None, only: None };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or(format!("{flag} needs a value"));
        match flag.as_str() {
            "--runtime" => options.runtime = Some(value()?.into()),
            "--only" => options.only = Some(value()?.clone()),
            other => return Err(format!("unexpected argument '{other}'").into()),
        }
    }
    Ok(options)
}

fn skip(reason: &str) -> Result {
    println!("SKIP conformance: {reason}");
    Ok(())
}

/// The workspace's own runtime, built for release.
fn own_runtime() -> Result<PathBuf> {
    if !workspace::root().join("crates/husk-oci").exists() {
        return Err(
            "there is no husk-oci in this workspace yet; name another runtime with --runtime PATH".into()
        );
    }
    let built = workspace::build_release_of(&["husk-oci"])?;
    built.into_iter().find(|path| path.ends_with("husk-oci")).ok_or("cargo built no husk-oci".into())
}

/// The programs with an assertion that fails and has no excuse. The suite itself has races, and so has the reference:
/// such a program gets a second try.
fn failed(ours: &Results, theirs: &Results) -> Vec<String> {
    let has_failed = |name: &String, list: &[Assertion]| {
        let theirs = theirs.get(name).map_or(&[][..], Vec::as_slice);
        let rows = compare(name, list, theirs, sandbox::is_unified());
        rows.iter().any(|row| row.verdict.is_failure())
    };
    ours.iter().filter(|(name, list)| has_failed(name, list)).map(|(name, _)| name.clone()).collect()
}

/// Runs every program of the suite, some at once.
fn run_all(runtime: &Runtime, suite: &Suite, scratch: &Path) -> Result<Results> {
    let results = side_by_side(&suite.programs, AT_ONCE, |(name, path)| {
        let assertions = sandbox::run(runtime, path, &suite.directory, scratch);
        assertions.map(|list| (name.clone(), list)).map_err(|error| format!("{name}: {error}"))
    });
    Ok(results.into_iter().collect::<std::result::Result<_, _>>()?)
}

/// Runs programs, and once more those that did not come to an end: now and then runc has no memory for its filter.
fn run_twice(runtime: &Runtime, suite: &Suite, scratch: &Path) -> Result<Results> {
    let is_broken_off = |list: &Vec<Assertion>| {
        list.iter().any(|one| one.name == tap::WHOLE && one.outcome == tap::Outcome::Failed)
    };
    let mut results = run_all(runtime, suite, scratch)?;
    let again = suite.programs.iter().filter(|(name, _)| results.get(name).is_some_and(is_broken_off));
    let again = Suite { directory: suite.directory.clone(), programs: again.cloned().collect() };
    let second = run_all(runtime, &again, scratch)?;
    results.extend(second.into_iter().filter(|(_, list)| !is_broken_off(list)));
    Ok(results)
}

/// What the reference did: it does the same every time, so that once for each boot is enough.
fn reference_results(reference: &Runtime, suite: &Suite, scratch: &Path) -> Result<Results> {
    let file = scratch.join("reference.json");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let key = json!([boot, reference.version, suite::IDENTITY]);
    let kept: Value =
        fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let mut results = if kept["key"] == key { from_json(&kept["programs"]) } else { Results::new() };
    let missing = suite.programs.iter().filter(|(name, _)| !results.contains_key(name)).cloned().collect();
    let missing = Suite { directory: suite.directory.clone(), programs: missing };
    if !missing.programs.is_empty() {
        let begin = Instant::now();
        results.extend(run_twice(reference, &missing, scratch)?);
        println!(
            "the reference: {} programs, {:.0} s",
            missing.programs.len(),
            begin.elapsed().as_secs_f64()
        );
        let programs: Value = results.iter().map(|(name, list)| (name.clone(), tap::to_json(list))).collect();
        fs::write(&file, json!({"key": key, "programs": programs}).to_string())?;
    }
    Ok(results)
}

fn from_json(programs: &Value) -> Results {
    let rows = programs.as_object().into_iter().flatten();
    rows.filter_map(|(name, list)| Some((name.clone(), tap::from_json(list)?))).collect()
}

/// Prints what came out, program by program, then what may fail and why, then what may not. `is_itself` says that the
/// runtime is the reference: then a failure of both says nothing.
fn report(ours: &Results, theirs: &Results, is_itself: bool) -> Result {
    let none = Vec::new();
    let rows: Vec<(&String, Vec<Row>)> = ours
        .iter()
        .map(|(name, list)| {
            (name, compare(name, list, theirs.get(name).unwrap_or(&none), sandbox::is_unified()))
        })
        .collect();
    for (name, rows) in &rows {
        println!("{}", line(name, rows));
    }
    list_excused(&rows);
    let failures: Vec<_> = all(&rows, |verdict| verdict.is_failure()).collect();
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for (program, row) in &failures {
        let count = shown.entry(program).or_default();
        *count += 1;
        if *count > SHOWN {
            continue;
        }
        let how = match row.verdict {
            Verdict::Worse(how) => how,
            _ => "fails, as with the reference, for no known reason",
        };
        println!("\n{program}: {}\n  {how}", row.name);
        print!("{}{}", quoted("  it said:  ", &row.remark), quoted("  the other:", &row.reference));
    }
    for (program, count) in shown.iter().filter(|(_, count)| **count > SHOWN) {
        println!("\n{program}: and {} more", count - SHOWN);
    }
    let better = all(&rows, |verdict| *verdict == Verdict::Better).count();
    let passed = all(&rows, |verdict| *verdict == Verdict::Passed).count();
    println!("\n{passed} passed, {better} passed where the reference fails, {} failed", failures.len());
    let counts = |row: &Row| !(is_itself && row.verdict == Verdict::BothFail);
    match failures.iter().filter(|(_, row)| counts(row)).count() {
        0 => Ok(()),
        count => Err(format!("{count} assertions failed").into()),
    }
}

fn all<'a>(
    rows: &'a [(&String, Vec<Row>)],
    wanted: impl Fn(&Verdict) -> bool,
) -> impl Iterator<Item = (&'a str, &'a Row)> {
    let flat = rows.iter().flat_map(|(name, rows)| rows.iter().map(|row| (name.as_str(), row)));
    flat.filter(move |(_, row)| wanted(&row.verdict))
}

/// `ok` or `FAIL`, the program, and how many of its assertions came out how.
fn line(name: &str, rows: &[Row]) -> String {
    let count = |wanted: fn(&Verdict) -> bool| rows.iter().filter(|row| wanted(&row.verdict)).count();
    let passed = count(|verdict| matches!(verdict, Verdict::Passed | Verdict::Better));
    let parts = [
        (passed, "passed"),
        (count(|verdict| *verdict == Verdict::Skipped), "skipped"),
        (count(|verdict| matches!(verdict, Verdict::Excused(..))), "excused"),
        (count(Verdict::is_failure), "failed"),
    ];
    let parts: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let word = if rows.iter().any(|row| row.verdict.is_failure()) { "FAIL" } else { "ok" };
    format!("{word:<4} {name:<34} {}", parts.join(", "))
}

/// What fails for a known reason, by name.
fn list_excused(rows: &[(&String, Vec<Row>)]) {
    for kind in [excuse::Kind::Machine, excuse::Kind::Suite, excuse::Kind::Race, excuse::Kind::Engines] {
        let excused = all(rows, |verdict| matches!(verdict, Verdict::Excused(its, _) if *its == kind));
        let excused: Vec<_> = excused.collect();
        if !excused.is_empty() {
            println!("\n{}:", kind.heading());
        }
        for (program, row) in excused {
            if let Verdict::Excused(_, reason) = row.verdict {
                println!("  {program}: {}: {reason}", row.name);
            }
        }
    }
}

/// The first lines of what was said, under a heading; nothing where nothing was said.
fn quoted(heading: &str, text: &str) -> String {
    let lines = text.trim().lines().take(6);
    lines.map(|line| format!("{heading} {}\n", line.chars().take(400).collect::<String>())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::tap::Outcome;

    fn results(outcome: Outcome) -> Results {
        let assertion = Assertion { name: "a".into(), outcome, remark: String::new() };
        Results::from([("state".to_owned(), vec![assertion])])
    }

    #[test]
    fn a_failure_is_an_error_unless_both_are_the_same_program() {
        let (good, bad) = (results(Outcome::Passed), results(Outcome::Failed));
        assert!(report(&good, &bad, false).is_ok());
        assert!(report(&bad, &good, false).is_err());
        assert!(report(&bad, &bad, false).is_err());
        assert!(report(&bad, &bad, true).is_ok());
        assert_eq!((failed(&bad, &bad), failed(&good, &bad)), (vec!["state".to_owned()], vec![]));
        assert!(report(&bad, &good, true).is_err(), "the reference is expected to do the same every time");
    }

    #[test]
    fn flags_are_read_and_others_refused() {
        let words =
            |words: &[&str]| options(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let found = words(&["--runtime", "/x", "--only", "state"]).unwrap();
        assert_eq!((found.runtime, found.only), (Some("/x".into()), Some("state".into())));
        assert!(words(&["--only"]).is_err() && words(&["x"]).is_err());
    }
}
