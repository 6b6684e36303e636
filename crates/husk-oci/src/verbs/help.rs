// SPDX-License-Identifier: Apache-2.0
//! `--help`.

use std::fmt::Write;
use std::process::ExitCode;

use crate::command_line::VERBS;
use crate::failure::Failure;
use crate::output;

const HEAD: &str = "\
husk-oci - an OCI runtime

usage: husk-oci [--root DIR] [--log FILE] [--log-format text|json] [--debug] [--systemd-cgroup]
                [--rootless true|false] VERB …
       husk-oci --version | --help
";

pub(crate) fn help(verb: Option<&'static str>) -> Result<ExitCode, Failure> {
    let mut text = String::new();
    if verb.is_none() {
        text += HEAD;
        text.push('\n');
    }
    for (name, flags, rest) in VERBS.iter().filter(|(name, ..)| verb.is_none_or(|verb| verb == *name)) {
        let flags = flags.iter().fold(String::new(), |all, flag| all + "[" + flag + "] ");
        let _ = writeln!(text, "husk-oci {name} {flags}{rest}");
    }
    output::product(&text)?;
    Ok(ExitCode::SUCCESS)
}
