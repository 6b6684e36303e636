// SPDX-License-Identifier: Apache-2.0
//! `husk diff`.

use std::path::Path;
use std::process::ExitCode;

use husk_plan::{Arena, Host};
use husk_see::{Details, Difference, Machine, compare};
use husk_spec::Config;

use super::run::configure;
use super::see::{details, find, observe};
use crate::cli::{Diff, Run, RunOptions};
use crate::failure::{DIFF_FAILED, Failure};
use crate::output::{self, Screen};
use crate::planned::{Planned, UNKNOWN};
use crate::view;

/// One of the two.
enum Side {
    Running(Box<Details>),
    Planned(Box<Planned>),
}

/// Shows what differs; the exit status says whether anything does, as that of diff(1).
///
/// # Errors
/// `/proc` cannot be read; there is nothing with such a name.
pub(crate) fn diff(diff: &Diff) -> Result<ExitCode, Failure> {
    show(diff).map_err(|failure| Failure { status: DIFF_FAILED, ..failure })
}

fn show(diff: &Diff) -> Result<ExitCode, Failure> {
    let machine = observe()?;
    let host = host(&machine)?;
    let side = |word| side(&machine, &host, word, diff.env);
    let (all, unknown) = match (side(&diff.a)?, side(&diff.b)?) {
        (Side::Running(a), Side::Running(b)) => (compare(&a, &b, diff.env), &[][..]),
        (Side::Planned(a), Side::Running(b)) => (a.compare(&b, &host, diff.env), &UNKNOWN[..]),
        (Side::Running(a), Side::Planned(b)) => (turned(b.compare(&a, &host, diff.env)), &UNKNOWN[..]),
        (Side::Planned(a), Side::Planned(b)) => (a.compare_planned(&b), &UNKNOWN[..]),
    };
    let names = [&diff.a, &diff.b].map(|name| husk_see::Text::from(name.as_str()).to_string());
    let [a, b] = names.each_ref().map(String::as_str);
    let text = match diff.json {
        true => view::json::differences(a, b, &all, unknown),
        false => view::difference::differences([a, b], &all, unknown, Screen::of_stdout()),
    };
    let is_printed = output::view(&text) == ExitCode::SUCCESS;
    Ok(ExitCode::from(if is_printed { u8::from(!all.is_empty()) } else { DIFF_FAILED }))
}

/// With the two sides in each other's place.
fn turned(all: Vec<Difference>) -> Vec<Difference> {
    all.into_iter().map(|Difference { topic, what, a, b }| Difference { topic, what, a: b, b: a }).collect()
}

/// What a command gets that is typed here: husk's own process, if husk is not in a container.
fn host(machine: &Machine) -> Result<Details, Failure> {
    let pid = if machine.is_on_host() { machine.own_id() } else { machine.host.process };
    details(machine, pid)
}

/// A word with a slash is a bundle's directory; so is one that is nothing else.
fn side(machine: &Machine, host: &Details, word: &str, with_values: bool) -> Result<Side, Failure> {
    if word == "host" {
        return Ok(Side::Running(Box::new(host.clone())));
    }
    let is_bundle = || Path::new(word).join("config.json").is_file();
    if word.contains('/') {
        return planned(word, host, with_values);
    }
    match find(machine, word) {
        Ok(target) => Ok(Side::Running(Box::new(details(machine, target.pid)?))),
        Err(_) if is_bundle() => planned(word, host, with_values),
        Err(failure) => Err(failure),
    }
}

fn planned(directory: &str, host: &Details, with_values: bool) -> Result<Side, Failure> {
    let options = RunOptions { bundle: Some(directory.into()), quiet: true, ..RunOptions::default() };
    let config = configure(&Run { options, ..Run::default() })?.config;
    check(&config)?;
    Ok(Side::Planned(Box::new(Planned::of(&config, host, with_values))))
}

/// Whether the container could be made at all.
fn check(config: &Config) -> Result<(), Failure> {
    let arena = Arena::new();
    let planned = Host::probe(config).and_then(|host| husk_plan::plan(config, &host, &arena).map(drop));
    planned.map_err(|error| Failure {
        doing: "planning the bundle".to_owned(),
        hints: error.hint().into_iter().collect(),
        problem: error.to_string(),
        status: DIFF_FAILED,
    })
}
