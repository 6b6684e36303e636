// SPDX-License-Identifier: Apache-2.0

//! How long `husk see` takes among many containers. A benchmark, not a test: no figure fails it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::bench::{Scratch, busybox_root, figures, husk};
use crate::process::output;

/// How long the containers may take to come up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Containers that run; they end with their standard input.
struct Crowd(Vec<Child>);

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|husk| drop(husk.stdin.take()));
        for husk in &mut self.0 {
            if let Err(error) = husk.wait() {
                eprintln!("waiting for a container: {error}");
            }
        }
    }
}

/// The verb: an error only if the containers do not come up.
pub(crate) fn run(args: &[String]) -> Result {
    let (containers, runs) = parse(args)?;
    let husk = husk()?;
    let scratch = Scratch::new()?;
    let root = busybox_root(&husk, &scratch.0)?;
    let before = seen(&husk)?;
    let crowd = start(&husk, &root, containers)?;
    wait(&husk, before + containers)?;
    println!("\n{} containers, {runs} runs of each; milliseconds\n", before + containers);
    println!("{:<24}{:>8}{:>8}{:>8}", "", "min", "p50", "p90");
    for words in [&["see"][..], &["see", "--tree"], &["see", "--json"]] {
        let times = (0..runs).map(|_| time(&husk, words)).collect::<Result<Vec<_>>>()?;
        let of = figures(times);
        println!("{:<24}{:>8.1}{:>8.1}{:>8.1}", format!("husk {}", words.join(" ")), of.min, of.p50, of.p90);
    }
    drop(crowd);
    Ok(())
}

fn parse(args: &[String]) -> Result<(usize, usize)> {
    let (mut containers, mut runs) = (300, 30);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let target = match arg.as_str() {
            "--containers" => &mut containers,
            "--runs" => &mut runs,
            _ => return Err(format!("unexpected argument '{arg}'").into()),
        };
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        *target = value.parse().map_err(|error| format!("{arg}: {error}"))?;
    }
    if runs == 0 { Err("--runs: at least 1".into()) } else { Ok((containers, runs)) }
}

fn start(husk: &Path, root: &Path, count: usize) -> Result<Crowd> {
    let mut crowd = Crowd(Vec::with_capacity(count));
    for _ in 0..count {
        let mut command = Command::new(husk);
        command.args(["run", "-q"]).arg(root).args(["/bin/sh", "-c", "read end; true"]);
        crowd.0.push(command.stdin(Stdio::piped()).spawn()?);
    }
    Ok(crowd)
}

fn wait(husk: &Path, containers: usize) -> Result {
    let until = Instant::now() + PATIENCE;
    loop {
        match seen(husk)? {
            seen if seen >= containers => return Ok(()),
            seen if Instant::now() > until => {
                return Err(format!("only {seen} of {containers} containers came up").into());
            }
            _ => sleep(Duration::from_millis(100)),
        }
    }
}

/// How many containers husk sees.
fn seen(husk: &Path) -> Result<usize> {
    let seen: Value = serde_json::from_str(&output(Command::new(husk).args(["see", "--json"]))?)?;
    Ok(seen["containers"].as_array().map_or(0, Vec::len))
}

fn time(husk: &Path, words: &[&str]) -> Result<Duration> {
    let mut command = Command::new(husk);
    command.args(words).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let time = start.elapsed();
    if status.success() { Ok(time) } else { Err(format!("{words:?}: {status}").into()) }
}
