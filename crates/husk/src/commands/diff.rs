// SPDX-License-Identifier: Apache-2.0
//! `husk diff`.

use std::process::ExitCode;

use husk_see::{Details, Machine, compare};

use super::see::{details, find, observe};
use crate::cli::Diff;
use crate::failure::{DIFF_FAILED, Failure};
use crate::output::{self, Screen};
use crate::view;

/// Shows what differs; the exit status says whether anything does, as that of diff(1).
///
/// # Errors
/// `/proc` cannot be read; there is nothing with such a name.
pub(crate) fn diff(diff: &Diff) -> Result<ExitCode, Failure> {
    show(diff).map_err(|failure| Failure { status: DIFF_FAILED, ..failure })
}

fn show(diff: &Diff) -> Result<ExitCode, Failure> {
    let machine = observe()?;
    let (a, b) = (side(&machine, &diff.a)?, side(&machine, &diff.b)?);
    let all = compare(&a, &b, diff.env);
    let names = [&diff.a, &diff.b].map(|name| husk_see::Text::from(name.as_str()).to_string());
    let [a, b] = names.each_ref().map(String::as_str);
    let text = match diff.json {
        true => view::json::differences(a, b, &all),
        false => view::difference::differences([a, b], &all, Screen::of_stdout()),
    };
    let is_printed = output::view(&text) == ExitCode::SUCCESS;
    Ok(ExitCode::from(if is_printed { u8::from(!all.is_empty()) } else { DIFF_FAILED }))
}

/// One of the two. `host` is what a command gets that is typed here: husk's own process, if husk is not in a container.
fn side(machine: &Machine, word: &str) -> Result<Details, Failure> {
    let pid = match word {
        "host" if machine.is_on_host() => std::process::id(),
        "host" => machine.host.process,
        _ => find(machine, word)?.pid,
    };
    details(machine, pid)
}
