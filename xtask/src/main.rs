// SPDX-License-Identifier: Apache-2.0

//! Everything that is done more than once on this repository: `cargo xtask VERB`.

#![forbid(unsafe_code)]
// Printing is what this program is for; the libraries it looks after may not.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod bench_oci;
mod conformance;
mod crowd;
mod edges;
mod engines;
mod lint;
mod manual;
mod pictures;
mod process;
mod setup;
mod size;
mod sources;
mod test;
mod test_v2;
mod workspace;

use std::error::Error;
use std::process::ExitCode;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

struct Verb {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "setup",
        help: "install what tests and benchmark need and this machine lacks (apt-get)",
        run: |args| no_arguments(args).and_then(|()| setup::run()),
    },
    Verb {
        name: "test",
        help: "setup, build, every test, lint, size",
        run: |args| no_arguments(args).and_then(|()| test::run()),
    },
    Verb {
        name: "engines",
        help: "Docker, Podman, containerd and buildah with husk-oci beside runc [--help]",
        run: engines::run,
    },
    Verb {
        name: "test-v2",
        help: "the tests of cgroups in a virtual machine, with cgroup v2 alone [root] [user] [systemd] [systemd-user] or a systemd with v1 [systemd-v1] [systemd-hybrid]",
        run: test_v2::run,
    },
    Verb {
        name: "lint",
        help: "formatting, clippy, edges between crates, source rules",
        run: |args| no_arguments(args).and_then(|()| lint::run()),
    },
    Verb {
        name: "edges",
        help: "check which crate depends on which",
        run: |args| no_arguments(args).and_then(|()| edges::run()),
    },
    Verb {
        name: "size",
        help: "size of the release programs, and that they are static",
        run: |args| no_arguments(args).and_then(|()| size::run()),
    },
    Verb {
        name: "manual",
        help: "man pages and shell completions, into target/manual, in the layout of /usr/share [--out DIR]",
        run: manual::run,
    },
    Verb {
        name: "pictures",
        help: "the pictures in docs/pictures, anew (as root)",
        run: |args| no_arguments(args).and_then(|()| pictures::run()),
    },
    Verb {
        name: "bench",
        help: "husk and husk-oci beside unshare, bubblewrap, crun, runc and bare C [--runs N] [--json] [--root DIR] [--user ID]",
        run: bench::run,
    },
    Verb {
        name: "crowd",
        help: "how long husk see takes among many containers [--containers N] [--runs N]",
        run: crowd::run,
    },
    Verb {
        name: "conformance",
        help: "the OCI validation suite on a runtime, next to runc [--runtime PATH] [--only NAME]",
        run: conformance::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        eprint!("{}", help());
        return ExitCode::from(2);
    };
    if ["help", "--help", "-h"].contains(&name.as_str()) {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        eprint!("xtask: there is no verb '{name}'\n\n{}", help());
        return ExitCode::from(2);
    };
    match (verb.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let verbs: String = VERBS.iter().map(|verb| format!("  {:<11} {}\n", verb.name, verb.help)).collect();
    format!("usage: cargo xtask VERB\n\n{verbs}")
}

fn no_arguments(args: &[String]) -> Result {
    match args.first() {
        None => Ok(()),
        Some(argument) => Err(format!("unexpected argument '{argument}'").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_one_line_for_each_verb() {
        let help = help();
        for verb in VERBS {
            let is_its = |line: &&str| line.split_whitespace().next() == Some(verb.name);
            assert_eq!(help.lines().filter(is_its).count(), 1);
        }
    }
}
