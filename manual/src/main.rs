// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask manual` runs this: writes man pages and completions below the directory that it is given.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr)]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [directory] = args.as_slice() else {
        eprintln!("usage: husk-manual DIRECTORY");
        return ExitCode::from(2);
    };
    match husk_manual::write(Path::new(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("husk-manual: {error}");
            ExitCode::FAILURE
        }
    }
}
