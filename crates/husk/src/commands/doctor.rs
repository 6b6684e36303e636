// SPDX-License-Identifier: Apache-2.0
//! `husk doctor`.

use std::fmt::Write;
use std::process::ExitCode;

use husk_runtime::doctor::{Facts, Finding, Group, State, asked, can_run};
use husk_see::is_invisible;
use serde_json::{Value, json};

use crate::cli::Doctor;
use crate::failure::{COMMAND_FAILED, Failure};
use crate::output::{self, Paint};
use crate::view::json::printed;
use crate::view::lines::hanging;

/// The version of the JSON's shape: another number, another shape.
const SHAPE: i64 = 1;

/// Says what this host can do.
///
/// # Errors
/// A feature that husk does not know.
pub(crate) fn doctor(doctor: &Doctor) -> Result<ExitCode, Failure> {
    let findings = Facts::gather().findings();
    let shown = choose(&findings, &doctor.features)?;
    let fine = can_run(&findings)
        && (doctor.features.is_empty() || shown.iter().all(|finding| finding.state != State::Missing));
    let printed = match doctor.json {
        true => output::line(printed(&json(&findings, &shown, doctor, fine)).trim_end()),
        false => output::paint(|paint| text(&findings, &shown, paint, output::columns_of_stdout())),
    };
    Ok(if fine || printed != ExitCode::SUCCESS { printed } else { ExitCode::from(COMMAND_FAILED) })
}

/// All findings, or those that were asked for, in the order of the table.
fn choose<'f>(findings: &'f [Finding], features: &[String]) -> Result<Vec<&'f Finding>, Failure> {
    if features.is_empty() {
        return Ok(findings.iter().collect());
    }
    let unknown = features.iter().find(|feature| asked(findings, feature).is_empty() && !is_group(feature));
    if let Some(feature) = unknown {
        return Err(Failure {
            doing: "reading the command line".to_owned(),
            problem: format!("{feature}: husk knows nothing of that name on this host"),
            hints: vec!["`husk doctor` alone shows all names".to_owned()],
            status: COMMAND_FAILED,
        });
    }
    let wanted = |finding: &&Finding| {
        features.iter().any(|word| asked(std::slice::from_ref(finding), word).len() == 1)
    };
    Ok(findings.iter().filter(wanted).collect())
}

fn is_group(word: &str) -> bool {
    Group::ALL.iter().any(|group| group.name() == word)
}

fn text(findings: &[Finding], shown: &[&Finding], paint: Paint, columns: Option<usize>) -> String {
    let width = shown.iter().map(|finding| finding.id.len()).max().unwrap_or(0).min(24);
    let mut text = String::new();
    for group in Group::ALL {
        let of_group = shown.iter().filter(|finding| finding.group == group);
        let mut rows = of_group.peekable();
        if rows.peek().is_some() {
            let _ = writeln!(text, "{}{}{}", paint.bold, group.name(), paint.off);
        }
        rows.for_each(|finding| row(&mut text, finding, width, paint, columns));
    }
    let verdict = match can_run(findings) {
        true => "A container can run here.",
        false => "No container can run here with husk's defaults.",
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}

/// One finding: its state, its name, what was found; below, what that costs and what to do.
fn row(text: &mut String, finding: &Finding, width: usize, paint: Paint, columns: Option<usize>) {
    let colour = match finding.state {
        State::Good => paint.green,
        State::Limited => paint.yellow,
        State::Missing => paint.red,
    };
    let Finding { id, found, cost, cure, .. } = finding;
    let (id, found) = (harmless(id), hanging(&harmless(found), 13 + width.max(id.len()), columns));
    let _ = writeln!(text, "  {colour}{:7}{}  {id:width$}  {found}", finding.state.name(), paint.off);
    for (name, line) in [("cost", cost), ("cure", cure)] {
        if let Some(line) = line {
            // A command stays one line: it is there to be copied.
            let line = match name {
                "cure" => harmless(line),
                _ => hanging(&harmless(line), 17, columns),
            };
            let _ = writeln!(text, "{:11}{}{name}:{} {line}", "", paint.dim, paint.off);
        }
    }
}

/// Names of paths and cgroups are chosen by others: nothing in them may move the cursor or turn the line round.
fn harmless(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, c| {
        match is_invisible(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
        shown
    })
}

fn json(findings: &[Finding], shown: &[&Finding], doctor: &Doctor, fine: bool) -> Value {
    let finding = |finding: &&Finding| {
        json!({
            "id": finding.id,
            "group": finding.group.name(),
            "state": finding.state.name(),
            "needed": finding.needed,
            "found": finding.found,
            "cost": finding.cost,
            "cure": finding.cure,
        })
    };
    json!({
        "version": SHAPE,
        "husk": env!("CARGO_PKG_VERSION"),
        "can_run": can_run(findings),
        "asked": doctor.features,
        "fine": fine,
        "findings": shown.iter().map(finding).collect::<Vec<_>>(),
    })
}
